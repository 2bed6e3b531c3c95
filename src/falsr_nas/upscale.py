"""``python -m falsr_nas.upscale model=falsr-a.safetensors input=photographs output=larger``: photographs at twice their size."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import MISSING

from falsr_nas.cli.command import run_command
from falsr_nas.cli.config import Schemas
from falsr_nas.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from falsr_nas.inference.photograph import Photograph
    from falsr_nas.models.model_file import Model

MIB = 2**20


@dataclass(frozen=True)
class UpscaleConfig:
    """Settings of the command.

    Attributes:
        model: a ``.safetensors``, ``.ckpt`` or ``.pb`` file, or ``bicubic``.
        input: an image, or a folder of images.
        output: the file to write, or the folder to write to under the images' own names.
        format: ending of the files in the output folder, e.g. ``png``; None keeps each image's own.
        quality: of JPEG and WebP.
        self_ensemble: average over the eight flips and rotations, for eight times the work.
        memory_limit: MiB that the process may take; images are upscaled in tiles that keep it there.
        threads: processor threads; None for all.
        overwrite: upscale again what is there already.
    """

    model: str = MISSING
    input: str = MISSING
    output: str = MISSING
    format: str | None = None
    quality: int = 95
    self_ensemble: bool = False
    memory_limit: int = 2048
    threads: int | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise UserError(f"quality is {self.quality}: it must be in 1..100")
        if self.memory_limit < 1:
            raise UserError(f"memory_limit is {self.memory_limit}: give at least 1 MiB")
        if self.threads is not None and self.threads < 1:
            raise UserError(f"threads is {self.threads}: it must be at least 1")


@dataclass(frozen=True, slots=True)
class Job:
    """One image, and where it goes."""

    source: Path
    target: Path

    @property
    def done(self) -> bool:
        """Whether the result is there and no older than the image. Results appear whole, so what is there is finished."""
        return self.target.is_file() and self.target.stat().st_mtime >= self.source.stat().st_mtime


def upscale(config: UpscaleConfig) -> None:
    """Upscale what is not done yet; a folder's image that fails is named, and the others go on."""
    import torch
    from rich.console import Console
    from rich.progress import Progress

    from falsr_nas.inference.memory import keep_freed_memory
    from falsr_nas.inference.photograph_file import save_photograph
    from falsr_nas.models.model_file import find_model

    keep_freed_memory()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    jobs = find_jobs(
        Path(config.input).expanduser(), Path(config.output).expanduser(), config.format
    )
    open_jobs = [job for job in jobs if config.overwrite or not job.done]
    model = find_model(config.model)
    failed = 0
    screen = Console(stderr=True)
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
        bar = progress.add_task("", total=len(open_jobs))
        for number, job in enumerate(open_jobs):
            progress.update(bar, completed=number, description=job.source.name)
            try:
                result = _result(job, model, config, lambda share: progress.advance(bar, share))
            except UserError as error:
                if len(jobs) == 1:
                    raise
                print(f"error: {error}", file=sys.stderr)
                failed += 1
            else:
                save_photograph(result, job.target, config.quality)
                del result  # before the next one is read
    print(
        f"{len(open_jobs) - failed} upscaled, {len(jobs) - len(open_jobs)} there already, {failed} failed"
    )
    if failed:
        raise UserError(f"{failed} of {len(jobs)} images could not be upscaled: see above")


def find_jobs(source: Path, target: Path, ending: str | None) -> list[Job]:
    """What is to be upscaled, and to which files; folders to write to are made.

    Raises:
        UserError: when there is no image, an output has no known ending, would replace its input, or is that of two images.
    """
    from falsr_nas.data.images import list_images
    from falsr_nas.inference.photograph_file import FORMAT_OF

    known = ", ".join(FORMAT_OF)
    suffix = None if ending is None else f".{ending.lower().removeprefix('.')}"
    if suffix is not None and suffix not in FORMAT_OF:
        raise UserError(f"format is {ending}: it must be one of {known}")
    to_file = not source.is_dir() and target.suffix.lower() in FORMAT_OF and not target.is_dir()
    if to_file and suffix not in (None, target.suffix.lower()):
        raise UserError(f"output is {target} and format is {ending}: give one ending")
    images = list_images(source) if source.is_dir() else [source]
    if not images[0].exists():
        raise UserError(f"there is no input {source}")
    jobs = [
        Job(image, target if to_file else target / f"{image.stem}{suffix or image.suffix}")
        for image in images
    ]
    sources: dict[Path, Path] = {}
    for job in jobs:
        if job.target.suffix.lower() not in FORMAT_OF:
            raise UserError(
                f"cannot tell the format of {job.target}: its ending must be one of {known}"
            )
        if (
            job.target.resolve() == job.source.resolve()
            or job.target.parent.resolve() == source.resolve()
        ):
            raise UserError(
                f"output {job.target} would lie among the images of the input: give another folder"
            )
        if sources.setdefault(job.target, job.source) != job.source:
            raise UserError(
                f"{sources[job.target].name} and {job.source.name} would both become {job.target}"
            )
    try:
        jobs[0].target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot make the folder {jobs[0].target.parent}: {error.strerror or error}"
        ) from error
    return jobs


def _result(
    job: Job, model: Model, config: UpscaleConfig, on_tile: Callable[[float], None]
) -> Photograph:
    from falsr_nas.inference.photograph import upscale_photograph
    from falsr_nas.inference.photograph_file import FORMAT_OF, for_format, read_photograph

    photograph = read_photograph(job.source)
    try:
        photograph = for_format(photograph, FORMAT_OF[job.target.suffix.lower()])
        return upscale_photograph(
            model.network, photograph, config.memory_limit * MIB, config.self_ensemble, on_tile
        )
    except UserError as error:
        raise UserError(f"image {job.source}: {error}") from None


def main() -> None:
    """The command."""
    run_command(
        "upscale", Schemas(UpscaleConfig, {}), upscale, free_text=("model", "input", "output")
    )


if __name__ == "__main__":
    main()
