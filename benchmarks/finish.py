"""Train the networks that come with the package side by side for a given time, resumably.

    python benchmarks/finish.py --output outputs/family [--seconds 600] [--data DIR]
                                [--networks x2-clean-fast,x2-clean-best] [SETTING ...]

All are trained at a time by ``training=final``, each in a process of its own; on a GPU under
NVIDIA's Multi-Process Service, where that is installed. Before the time is over they write
checkpoints, and the same command continues them, here or on another machine. DIR has ``T91``,
``BSDS200``, ``BSDS-test200`` and ``clean`` in ``train``, and ``val/Kodak24``; without it, the
photographs of scikit-image serve.
SETTINGs are passed to ``falsr_nas.train``. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from candidates import MPS, multi_process_service
from falsr_nas.space.genome import Genome
from falsr_nas.training.full_training import stored_curve

BODIES = {"fast": (16, 3), "balanced": (16, 11), "best": (32, 11)}
"""Channels and cells of the speeds, as in experiments/family/run.sh."""

NETWORKS = tuple(f"x2-{kind}-{speed}" for kind in ("photo", "clean") for speed in BODIES)
TRAINED, VALIDATED = ("T91", "BSDS200", "BSDS-test200", "clean"), "Kodak24"

LAST_SECONDS = 20.0
"""Kept for the last epoch and its checkpoint."""


def command_of(network: str, output: Path, data: Path | None, settings: list[str]) -> list[str]:
    """Return the command that trains a network, e.g. ``x2-photo-best``."""
    scale, kind, speed = network.split("-")
    command = [sys.executable, "-m", "falsr_nas.train", "training=final", "tracking=none"]
    command += [f"genome={genome(speed, int(scale[1:]))}", f"output={output / network}"]
    command += [f"degradation={'photo' if kind == 'photo' else 'bicubic'}"]
    command += ["trainer.validate_every=20"]
    if scale != "x2":
        command += [f"start_from={output / f'x2-{kind}-{speed}' / 'best'}"]
    if data is not None:
        folders = ",".join(str(data / "train" / name) for name in TRAINED)
        command += ["data=folder", f"data.train_dirs=[{folders}]"]
        command += [f"data.val_dir={data / 'val' / VALIDATED}"]
    return [*command, *settings]


def genome(speed: str, scale: int) -> Genome:
    """Return the chain of a speed, with SESR's long skip."""
    width, cells = BODIES[speed]
    chain = " ".join([f"conv_f{width}_k3_b1_noskip"] * cells)
    return Genome.parse(f"stem_f{width} {chain} skipsubpixel_x{scale}")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--networks", type=lambda text: text.split(","), default=NETWORKS)
    options, settings = parser.parse_known_args()
    on_gpu = torch.cuda.is_available() and shutil.which(MPS) is not None
    began = time.monotonic()
    with multi_process_service() if on_gpu else nullcontext():
        started = {
            name: subprocess.Popen(command_of(name, options.output, options.data, settings))
            for name in options.networks
        }
        codes = end_in_time([*started.values()], options.seconds)
    seconds = time.monotonic() - began
    networks = {name: reached(options.output / name) for name in started}
    result: dict[str, Any] = {
        "networks": networks,
        "failed": [name for name, code in zip(started, codes, strict=True) if code not in (0, 130)],
        "finished": all(code == 0 for code in codes),
        "seconds": round(seconds, 1),
        "torch": torch.__version__,
    }
    print(json.dumps(result))
    sys.exit(1 if result["failed"] else 0)


def end_in_time(processes: list[subprocess.Popen[bytes]], seconds: float) -> list[int]:
    """Wait for processes, have those write a checkpoint that are not ready in time, end them."""
    end = time.monotonic() + seconds
    for number, wait in ((signal.SIGUSR1, LAST_SECONDS), (signal.SIGTERM, 0.0)):
        while time.monotonic() < end - wait and any(one.poll() is None for one in processes):
            time.sleep(0.1)
        for one in processes:
            if one.poll() is None:
                one.send_signal(number)
    return [one.wait() for one in processes]


def reached(folder: Path) -> dict[str, float]:
    """Return steps, seconds and PSNR in dB of the last validation of the training in a folder."""
    found = [
        stored_curve(path) for path in folder.glob("*/last.ckpt") if path.parent.name != "best"
    ]
    curve = found[0] if found else []
    if not curve:
        return {"steps": 0}
    last = curve[-1]
    return {"steps": last.step, "psnr": round(last.psnr, 3), "training_seconds": last.seconds}


if __name__ == "__main__":
    main()
