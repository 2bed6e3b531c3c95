"""Train FALSR-B by the best recipe for a given time, resumably, and score it.

    python benchmarks/timed_training.py --output outputs/falsr_b [--seconds 3600] [--data DIR]
                                        [SETTING ...]

The recipe is ``training=modern`` with as many epochs as fit into the time at the measured speed of
a step; ``--epochs`` gives their number instead. The number is kept in the output folder: the same
command continues a training that was stopped because its time was over. DIR has ``train/T91``,
``train/BSDS200``, ``val/Kodak24``, and in ``benchmark`` the sets on which the weights are scored.
Without it, the photographs of scikit-image serve for training and validation, and nothing is
scored. SETTINGs are passed to ``falsr_nas.train``. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from falsr_nas.data.datamodule import SuperResolutionData
from falsr_nas.data.settings import PhotographsSettings
from falsr_nas.space.published import PUBLISHED
from falsr_nas.training.full_training import stored_curve
from falsr_nas.training.settings import MODERN
from train_step import BATCH, our_step

NETWORK = "FALSR-B"
SHARE_OF_STEPS = 0.7
"""Share of the time that is planned for steps; the rest is for start, validation and scores."""

EPOCHS_PER_VALIDATION = 20
INTERRUPTED = 130
TRAINED, VALIDATED = ["T91", "BSDS200"], "Kodak24"


def epochs_that_fit(seconds: float) -> int:
    """Return how many epochs fit into the time, a multiple of those between two validations."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = SuperResolutionData(
        PhotographsSettings(), batch_size=BATCH, patch_size=MODERN.patch_size, steps_per_epoch=1
    )
    step = our_step(PUBLISHED[NETWORK], MODERN.patch_size, device, data, 3.0)
    print(f"a step takes {1e3 * step:.2f} ms", flush=True)
    block = EPOCHS_PER_VALIDATION * MODERN.steps_per_epoch * step
    return EPOCHS_PER_VALIDATION * max(1, int(SHARE_OF_STEPS * seconds / block))


def planned_epochs(output: Path, epochs: int | None, seconds: float) -> int:
    """Return the epochs of the training in the folder, which are decided when it begins."""
    plan = output / "plan.json"
    if plan.exists():
        return int(json.loads(plan.read_text())["epochs"])
    chosen = epochs or epochs_that_fit(seconds)
    output.mkdir(parents=True, exist_ok=True)
    plan.write_text(json.dumps({"epochs": chosen}) + "\n")
    return chosen


def image_settings(data: Path | None) -> list[str]:
    """Return the settings of the images."""
    if data is None:
        return []
    folders = ",".join(str(data / "train" / name) for name in TRAINED)
    return [
        "data=folder",
        f"data.train_dirs=[{folders}]",
        f"data.val_dir={data / 'val' / VALIDATED}",
    ]


def train(command: list[str], seconds: float) -> bool:
    """Run a training for at most this time; return whether it finished."""
    process = subprocess.Popen(command)
    try:
        code = process.wait(max(1.0, seconds))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        code = process.wait()
    if code not in (0, INTERRUPTED):
        sys.exit(f"the training failed with exit code {code}")
    return code == 0


def scores(output: Path, data: Path) -> dict[str, Any]:
    """Score the weights reached on the benchmark sets, by ``protocol=standard``."""
    folder = output / NETWORK
    model = folder / "model.safetensors"
    sets = sorted(path.name for path in (data / "benchmark").iterdir() if path.is_dir())
    written = output / "scores.json"
    command = [sys.executable, "-m", "falsr_nas.evaluate", f"output={written}"]
    command += [f"model={model if model.exists() else folder / 'last.ckpt'}"]
    command += [f"data_root={data / 'benchmark'}", f"sets=[{','.join(sets)}]"]
    subprocess.run(command, check=True)
    return json.loads(written.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--scoring", type=float, default=60.0, help="seconds of it for the scores")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--data", type=Path)
    options, settings = parser.parse_known_args()
    end = time.monotonic() + options.seconds - (options.scoring if options.data else 0)
    epochs = planned_epochs(options.output, options.epochs, end - time.monotonic())
    command = [sys.executable, "-m", "falsr_nas.train", f"genome={NETWORK}", "tracking=none"]
    command += [f"output={options.output}", "training=modern", f"training.epochs={epochs}"]
    command += [f"trainer.validate_every={EPOCHS_PER_VALIDATION}"]
    finished = train([*command, *image_settings(options.data), *settings], end - time.monotonic())
    curve = stored_curve(options.output / NETWORK / "last.ckpt")
    result: dict[str, Any] = {
        "network": NETWORK,
        "epochs": epochs,
        "finished": finished,
        "steps": curve[-1].step if curve else 0,
        "training_seconds": curve[-1].seconds if curve else 0.0,
        "validation_psnr": curve[-1].psnr if curve else None,
        "scores": scores(options.output, options.data) if options.data and curve else None,
    }
    print(json.dumps(result | {"torch": torch.__version__}))


if __name__ == "__main__":
    main()
