"""``python -m falsr_nas.evaluate model=falsr-a.safetensors data_root=benchmark protocol=falsr``: PSNR and SSIM on benchmark sets."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING

from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.cli.command import run_command
from falsr_nas.cli.config import Schemas
from falsr_nas.errors import UserError

MIB = 2**20


@dataclass(frozen=True)
class EvaluateConfig:
    """Settings of the command.

    Attributes:
        model: a ``.safetensors``, ``.ckpt`` or ``.pb`` file, a model's folder, or ``bicubic``.
        data_root: the folder that holds the sets.
        sets: folders in ``data_root`` (or anywhere, by their absolute paths) of HR/LR pairs, or of HR images alone.
        protocol: how to score.
        self_ensemble: average over the eight flips and rotations of each image.
        memory_limit: MiB for activations; larger images are upscaled in tiles.
        threads: processor threads; None for all.
        output: JSON file for the scores, or None.
        save_images: folder for the upscaled images, or None.
    """

    model: str = MISSING
    data_root: str = MISSING
    sets: tuple[str, ...] = ("Set5", "Set14")
    protocol: ScoringProtocol = ScoringProtocol.standard
    self_ensemble: bool = False
    memory_limit: int = 3072
    threads: int | None = None
    output: str | None = None
    save_images: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sets", tuple(self.sets))  # configs bring lists
        names = [Path(name).name for name in self.sets]
        if not names or not all(names):
            raise UserError(
                "sets is empty: name at least one folder in data_root, e.g. sets=[Set5,Set14]"
            )
        if len(set(names)) < len(names):
            raise UserError(f"sets names a folder twice: {list(self.sets)}")
        if self.memory_limit < 1:
            raise UserError(f"memory_limit is {self.memory_limit}: give at least 1 MiB")
        if self.threads is not None and self.threads < 1:
            raise UserError(f"threads is {self.threads}: it must be at least 1")


def evaluate(config: EvaluateConfig) -> None:
    """Score the model, print the table, write the files."""
    import torch
    from rich.console import Console
    from rich.progress import Progress

    from falsr_nas.benchmark.scoring import (
        benchmark_files,
        score_model,
        score_table,
        to_json,
    )
    from falsr_nas.files import write_atomically
    from falsr_nas.inference.memory import keep_freed_memory
    from falsr_nas.models.model_file import find_model

    keep_freed_memory()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    model = find_model(config.model)
    root = Path(config.data_root).expanduser()
    sets = {Path(name).name: benchmark_files(root / name) for name in config.sets}
    screen = Console(stderr=True)
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
        bar = progress.add_task(model.name, total=sum(map(len, sets.values())))
        result = score_model(
            model,
            sets,
            config.protocol,
            memory_limit=config.memory_limit * MIB,
            self_ensemble=config.self_ensemble,
            save_images=None
            if config.save_images is None
            else Path(config.save_images).expanduser(),
            on_image=lambda name: progress.update(bar, advance=1, description=name),
        )
    if config.output is not None:
        content = json.dumps(to_json(result), indent=2, allow_nan=False) + "\n"
        write_atomically(Path(config.output).expanduser(), content.encode())
    Console(width=None if sys.stdout.isatty() else 140).print(score_table(result))


def main() -> None:
    """The command."""
    run_command(
        "evaluate",
        Schemas(EvaluateConfig, {}),
        evaluate,
        free_text=("model", "data_root", "output", "save_images"),
    )


if __name__ == "__main__":
    main()
