"""``falsr-nas train R --select crowding --n 4``: train the best networks of a search.

The same command resumes a training.
"""

from __future__ import annotations

import math
import shlex
import sys
from dataclasses import replace

from falsr_nas.cli.command import job_of_sweep, run_command
from falsr_nas.train.config import SCHEMAS, TrainConfig, output_folder
from falsr_nas.train.run import train


def _command(config: TrainConfig) -> float:
    """Train, printing a line for each model, and return the best validation PSNR in dB."""
    if (job := job_of_sweep()) is not None:
        config = replace(config, output=str(output_folder(config) / job))
    try:
        trained = train(config, progress=True, report=print)
    except KeyboardInterrupt:
        print(
            f"stopped; what was validated is kept in {output_folder(config)}."
            " The same command continues from there",
            file=sys.stderr,
        )
        raise
    best = shlex.quote(str(output_folder(config) / "best"))
    print(f"next: falsr-nas upscale photo.jpg --model {best}")
    print(f"      falsr-nas export {best} model.onnx")
    # A model that was trained before has no curve if its last.ckpt was deleted.
    return max((model.curve[-1].psnr for model in trained if model.curve), default=math.nan)


def main() -> None:
    """Run the command."""
    run_command("train", SCHEMAS, _command)


if __name__ == "__main__":
    main()
