"""``python -m falsr_nas.upscale model=falsr-a.safetensors input=photographs output=larger``.

Upscales photographs to twice their size.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import MISSING

from falsr_nas.cli.command import run_command
from falsr_nas.cli.config import Schemas
from falsr_nas.cli.settings import Settings
from falsr_nas.errors import UserError
from falsr_nas.files import make_folder

if TYPE_CHECKING:
    from falsr_nas.inference.photograph import Photograph
    from falsr_nas.models.model_file import Model


@dataclass(frozen=True)
class UpscaleConfig(Settings):
    """Settings of the command.

    Attributes:
        model: a ``.safetensors``, ``.ckpt`` or ``.pb`` file, or ``bicubic``.
        input: an image, or a folder of images.
        output: the file to write, or a folder, where each image keeps its name.
        format: extension of the files in the output folder, e.g. ``png``; None keeps each image's.
        quality: of JPEG and WebP files, in 1..100.
        self_ensemble: average over the eight flips and rotations, for eight times the work.
        memory_limit: MiB for the whole process; larger images are upscaled in tiles.
        threads: number of processor threads; None for all.
        overwrite: upscale again where the output exists.
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
            raise UserError(f"memory_limit is {self.memory_limit}: it must be at least 1 MiB")
        if self.threads is not None and self.threads < 1:
            raise UserError(f"threads is {self.threads}: it must be at least 1")


@dataclass(frozen=True, slots=True)
class Job:
    """An image to upscale, and its output file."""

    source: Path
    target: Path

    @property
    def done(self) -> bool:
        """Whether the output exists and is not older than the image.

        Files are written atomically, so an existing output is complete.
        """
        return self.target.is_file() and self.target.stat().st_mtime >= self.source.stat().st_mtime


class Outcome(StrEnum):
    """What happened to an image."""

    upscaled = "upscaled"
    skipped = "skipped"
    """Its output existed already."""
    failed = "failed"


@dataclass(frozen=True, slots=True)
class Upscaled:
    """An image that was upscaled, skipped or failed.

    Attributes:
        source: the image.
        target: its output.
        outcome: what happened.
        error: why it failed, in one line; empty otherwise.
    """

    source: Path
    target: Path
    outcome: Outcome
    error: str = ""


def upscale(
    config: UpscaleConfig,
    *,
    progress: bool = False,
    on_failure: Callable[[str], None] = lambda message: None,
) -> tuple[Upscaled, ...]:
    """Upscale an image, or the images of a folder whose output does not exist yet.

    Args:
        config: the model, the images and the outputs.
        progress: show a progress bar on standard error, if that is a terminal.
        on_failure: called with a line about each image of a folder that fails; the others continue.

    Returns:
        What happened to each image.

    Raises:
        UserError: the model cannot be read, an output is not possible, or a single image fails.
    """
    from falsr_nas.inference.threads import processor_threads

    with processor_threads(config.threads):
        return _upscale(config, progress, on_failure)


def _upscale(
    config: UpscaleConfig, progress: bool, on_failure: Callable[[str], None]
) -> tuple[Upscaled, ...]:
    from rich.console import Console
    from rich.progress import Progress

    from falsr_nas.inference.photograph_file import save_photograph
    from falsr_nas.models.model_file import find_model

    source, target = Path(config.input).expanduser(), Path(config.output).expanduser()
    jobs = find_jobs(source, target, config.format)
    model = find_model(config.model)
    found: list[Upscaled] = []
    screen = Console(stderr=True)
    shown = progress and screen.is_terminal
    with Progress(console=screen, transient=True, disable=not shown) as bars:
        bar = bars.add_task("", total=sum(config.overwrite or not job.done for job in jobs))
        for job in jobs:
            if job.done and not config.overwrite:
                found.append(Upscaled(job.source, job.target, Outcome.skipped))
                continue
            bars.update(bar, description=job.source.name)
            try:
                result = _result(job, model, config, lambda share: bars.advance(bar, share))
            except UserError as error:
                if len(jobs) == 1:
                    raise
                on_failure(str(error))
                found.append(Upscaled(job.source, job.target, Outcome.failed, str(error)))
            else:
                save_photograph(result, job.target, config.quality)
                del result  # before the next image is read
                found.append(Upscaled(job.source, job.target, Outcome.upscaled))
    return tuple(found)


def find_jobs(source: Path, target: Path, ending: str | None) -> list[Job]:
    """Return the images to upscale and their outputs; the output folder is created.

    Raises:
        UserError: there is no image; or an output has an unknown extension, would be among the
            inputs, or belongs to two images.
    """
    from falsr_nas.data.images import FORMAT_OF, list_images

    known = ", ".join(FORMAT_OF)
    suffix = None if ending is None else f".{ending.lower().removeprefix('.')}"
    if suffix is not None and suffix not in FORMAT_OF:
        raise UserError(f"format is {ending}: it must be one of {known}")
    to_file = not source.is_dir() and target.suffix.lower() in FORMAT_OF and not target.is_dir()
    if to_file and suffix not in (None, target.suffix.lower()):
        raise UserError(
            f"output is {target} and format is {ending}: give only one of these formats"
        )
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
            raise UserError(f"unknown format of {job.target}: its extension must be one of {known}")
        if (
            job.target.resolve() == job.source.resolve()
            or job.target.parent.resolve() == source.resolve()
        ):
            raise UserError(
                f"output {job.target} would be among the input images: give another folder"
            )
        if sources.setdefault(job.target, job.source) != job.source:
            raise UserError(
                f"{sources[job.target].name} and {job.source.name} would both become {job.target}"
            )
    make_folder(jobs[0].target.parent)
    return jobs


def _result(
    job: Job, model: Model, config: UpscaleConfig, on_tile: Callable[[float], None]
) -> Photograph:
    from falsr_nas.data.images import FORMAT_OF
    from falsr_nas.inference.memory import MIB
    from falsr_nas.inference.photograph import upscale_photograph
    from falsr_nas.inference.photograph_file import for_format, read_photograph

    photograph = read_photograph(job.source)
    try:
        photograph = for_format(photograph, FORMAT_OF[job.target.suffix.lower()])
        return upscale_photograph(
            model.network, photograph, config.memory_limit * MIB, config.self_ensemble, on_tile
        )
    except UserError as error:
        raise UserError(f"image {job.source}: {error}") from None


def _upscale_and_print(config: UpscaleConfig) -> None:
    from falsr_nas.inference.memory import keep_freed_memory

    keep_freed_memory()
    found = upscale(
        config,
        progress=True,
        on_failure=lambda message: print(f"error: {message}", file=sys.stderr),
    )
    counts = Counter(one.outcome for one in found)
    done, failed = counts[Outcome.upscaled], counts[Outcome.failed]
    print(f"{done} upscaled, {counts[Outcome.skipped]} skipped, {failed} failed")
    if failed:
        raise UserError(f"{failed} of {len(found)} images could not be upscaled: see above")


def main() -> None:
    """Run the command."""
    schemas = Schemas(UpscaleConfig, {})
    run_command("upscale", schemas, _upscale_and_print, free_text=("model", "input", "output"))


if __name__ == "__main__":
    main()
