"""``falsr-nas upscale photo.jpg``: enlarge photographs.

Upscales photographs by the scale of the model, or the frames of a video from a pipe to a pipe.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from falsr_nas.cli.command import run_command
from falsr_nas.cli.config import Schemas
from falsr_nas.cli.console import closed_output_ends_quietly, progress_bars
from falsr_nas.core.errors import UserError
from falsr_nas.core.files import make_folder
from falsr_nas.core.plugins import load_plugins
from falsr_nas.core.settings import REQUIRED, CommandSettings, at_least, between, one_of, path
from falsr_nas.data.formats import MAX_PIXELS, is_lossy
from falsr_nas.models.names import WEIGHTS, model_path
from falsr_nas.models.runtime_choice import Precision, Runtime, check_runtime
from falsr_nas.models.shipped import best_name
from falsr_nas.space.ends import SCALES

if TYPE_CHECKING:
    from falsr_nas.models.model import Model
    from falsr_nas.networks.super_resolver import SuperResolver
    from falsr_nas.photo.jobs import Job


SPEEDS = ("fast", "balanced")

PIPE = "-"
"""``input`` and ``output`` for frames on standard input and output."""

_FEW_PIXELS = 2**17  # of all images together; our choice
_MOST_FOLDERS = 3  # that are printed; our choice


@dataclass(frozen=True)
class UpscaleConfig(CommandSettings):
    """Settings of the command.

    Attributes:
        model: name of a shipped model, a ``.safetensors``, ``.ckpt``, ``.pb`` or ``.onnx`` file, a
            model's folder, or ``bicubic``. None takes shipped models: for JPEG and other lossy
            files, and for frames, one for photographs, which removes what compression adds; for
            PNG and the like one for clean images.
        input: images, folders of images, or patterns such as ``holiday/*.png``; or ``-`` for
            frames of raw RGB on standard input. A single one may be given as a string.
        output: the file to write, or a folder, where each image keeps its name; or ``-`` for the
            upscaled frames on standard output. None writes beside the input: ``photo.jpg``
            becomes ``photo_x2.jpg``, and a folder ``holiday`` ``holiday_x2``.
        size: width and height of the frames, for example ``480x270``.
        format: extension of the files in the output folder, e.g. ``png``; None keeps each image's,
            or takes PNG for images of formats that are only read.
        recursive: read the subfolders of the input, too.
        quality: of JPEG and WebP files, in 1..100; the default is our choice.
        self_ensemble: average over the eight flips and rotations, for eight times the work.
        memory_limit: MiB for the whole process; larger images are upscaled in tiles. The default is
            our choice.
        max_pixels: of an image; larger ones are refused before they are decoded.
        threads: number of processor threads; None for all.
        runtime: what computes the network: ``torch``, ``onnxruntime`` or ``openvino``; ``auto``
            takes the fastest that is installed, by a measurement of about a second that is made
            once.
        precision: ``fp32``, or ``bf16``, which is rounder and faster where the processor has it;
            ``auto`` takes it where the result keeps to the levels of float32.
        overwrite: upscale again where the output exists, also in folders and beside the input.
        preview: an HTML page to write, with a slider between each image, enlarged by bicubic
            interpolation, and its output; for the first 12 images, which are upscaled again.
        scale: of the shipped models.
        speed: of the shipped models.
    """

    model: str | None = path(default=None)
    input: tuple[str, ...] = path(default=REQUIRED)
    output: str | None = path(default=None)
    size: str | None = None
    format: str | None = None
    recursive: bool = False
    quality: int = between(1, 100, default=95)
    self_ensemble: bool = False
    memory_limit: int = at_least(1, unit="MiB", default=2048)
    max_pixels: int = at_least(1, default=MAX_PIXELS)
    threads: int | None = at_least(1, default=None, null="all")
    runtime: Runtime = Runtime.auto
    precision: Precision = Precision.auto
    overwrite: bool = False
    preview: str | None = path(default=None)
    scale: int = one_of(SCALES, default=2)
    speed: str = one_of(SPEEDS, default="balanced")

    def __post_init__(self) -> None:
        if isinstance(self.input, str):  # from Python
            object.__setattr__(self, "input", (self.input,))
        if not self.input:
            raise UserError("input is empty: give an image or a folder of images")
        if self.is_piped != (self.output == PIPE):
            raise UserError("input=- and output=- go together: frames come and go through pipes")
        if self.size is not None and not self.is_piped:
            raise UserError(f"size is {self.size}: only frames need it, with input=- output=-")
        if self.is_piped:
            self.frame_size()
        if self.model is not None and (self.scale, self.speed) != (2, SPEEDS[1]):
            raise UserError(f"model is {self.model}: scale and speed choose shipped models only")
        check_runtime(self.runtime, self.precision)
        if self.preview is not None:
            self._check_preview(self.preview)

    def _check_preview(self, page: str) -> None:
        if self.is_piped:
            raise UserError(f"preview is {page}: frames have none, only images")
        if not page.lower().endswith((".html", ".htm")):
            raise UserError(f"preview is {page}: give the page to write, as in preview=page.html")

    @property
    def is_piped(self) -> bool:
        """Whether frames come through a pipe."""
        return self.input == (PIPE,)

    def frame_size(self) -> tuple[int, int]:
        """Return width and height of the frames.

        Raises:
            UserError: ``size`` is missing, or not two numbers of at least 1.
        """
        match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", self.size or "")
        if match is None:
            given = "is missing" if self.size is None else f"is {self.size}"
            raise UserError(
                f"size {given}: give width and height of the frames, as in size=480x270"
            )
        return int(match[1]), int(match[2])


class Outcome(StrEnum):
    """What happened to an image."""

    upscaled = "upscaled"
    skipped = "skipped"
    """Its output existed already."""
    failed = "failed"
    unsupported = "unsupported"
    """It is a folder, or a file that is no image or of another format."""
    left_out = "left out"
    """It is the output of another of the images."""


@dataclass(frozen=True, slots=True)
class Upscaled:
    """An image that was upscaled, skipped or failed, or something else in the input folder.

    Attributes:
        source: the image.
        target: its output; of what is no image, the output folder.
        outcome: what happened.
        error: why it failed, in one line; empty otherwise.
        lost: what its file carried besides pixels and the output's format cannot hold.
        model: name of the model; empty where nothing was upscaled.
    """

    source: Path
    target: Path
    outcome: Outcome
    error: str = ""
    lost: tuple[str, ...] = ()
    model: str = ""


def upscale(
    config: UpscaleConfig,
    *,
    progress: bool = False,
    on_failure: Callable[[str], None] = lambda message: None,
) -> tuple[Upscaled, ...]:
    """Upscale the images whose output does not exist yet.

    Args:
        config: the model, the images and the outputs.
        progress: show a progress bar on standard error, if that is a terminal.
        on_failure: called with a line about each of several images that fails; the others continue.

    Returns:
        What happened to each image.

    Raises:
        UserError: the model cannot be read, an output is not possible, or a single image fails.
    """
    if config.is_piped:
        raise UserError("frames have no files: call upscale_frames")
    from falsr_nas.photo.jobs import check_inputs, find_jobs

    load_plugins(config.plugins)
    _check_model(config)
    check_inputs(config.input, config.output, config.format, config.recursive)
    page = None if config.preview is None else _preview_page(config.preview)
    # After the mistakes that are found without torch.
    from PIL import Image
    from rich.markup import escape

    from falsr_nas.inference.threads import processor_threads
    from falsr_nas.photo.preview import MOST_IMAGES, write_preview
    from falsr_nas.photo.results import remember_result

    if Image.MAX_IMAGE_PIXELS is not None:  # its own limit, of the whole process
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, config.max_pixels)
    model_for = _models(config)
    scale = config.scale if config.model is None else model_for(Path()).network.scale
    jobs, others, left_out = find_jobs(
        config.input, config.output, config.format, config.recursive, scale
    )
    found: list[Upscaled] = []
    figures: list[str] = []  # of the preview, for which the first images are upscaled again
    shown = 0 if page is None else MOST_IMAGES
    recipe = _recipes(model_for, config)
    wanted = _wanted(jobs, config, recipe, shown)
    with processor_threads(config.threads), progress_bars(progress) as bars:
        bar = bars.add_task("", total=sum(wanted))
        network_for = _networks(model_for, config)
        for job, is_wanted in zip(jobs, wanted, strict=True):
            if not is_wanted:
                found.append(Upscaled(job.source, job.target, Outcome.skipped))
                continue
            bars.update(bar, description=escape(job.source.name))
            made_of = recipe(job)
            try:
                figure, lost = _write_output(
                    job,
                    network_for,
                    config,
                    lambda share: bars.advance(bar, share),
                    is_compared=len(figures) < shown,
                )
            except UserError as error:
                if len(jobs) == 1:
                    raise
                on_failure(str(error))
                found.append(Upscaled(job.source, job.target, Outcome.failed, str(error)))
            else:
                figures += figure
                remember_result(job.target, made_of)
                name = model_for(job.source).name
                done = Upscaled(job.source, job.target, Outcome.upscaled, "", tuple(lost), name)
                found.append(done)
    if page is not None and figures:
        write_preview(page, figures, len(jobs) - len(figures))
    found += [Upscaled(other, folder, Outcome.unsupported) for other, folder in others]
    found += [Upscaled(job.source, job.target, Outcome.left_out) for job in left_out]
    return tuple(found)


def upscale_frames(config: UpscaleConfig, source: BinaryIO, target: BinaryIO) -> int:
    """Upscale frames of raw RGB from one stream to another; the model is loaded once.

    Args:
        config: the model and ``size``; ``input`` and ``output`` are ``-``.
        source: frames of 8-bit RGB without anything between them, as ffmpeg's ``rawvideo``.
        target: gets the frames in the same form, enlarged by the model's scale.

    Returns:
        The number of frames.

    Raises:
        UserError: the model cannot be read, or the source ends within a frame.
    """
    load_plugins(config.plugins)
    _check_model(config)
    from falsr_nas.inference.memory import MIB
    from falsr_nas.inference.threads import processor_threads
    from falsr_nas.models.model_file import find_model
    from falsr_nas.models.runtimes import in_runtime
    from falsr_nas.photo.frames import upscale_stream

    width, height = config.frame_size()
    model = find_model(config.model or best_name(config.scale, config.speed, is_photo=True))
    with processor_threads(config.threads):
        return upscale_stream(
            in_runtime(model.network, config.runtime, config.precision),
            source,
            target,
            height=height,
            width=width,
            memory=config.memory_limit * MIB,
            self_ensemble=config.self_ensemble,
        )


def _check_model(config: UpscaleConfig) -> None:
    """Raise UserError unless there is such a model; before torch is loaded."""
    if config.model is not None:
        model_path(config.model)
    else:
        best_name(config.scale, config.speed, is_photo=True)
        best_name(config.scale, config.speed, is_photo=False)


def _models(config: UpscaleConfig) -> Callable[[Path], Model]:
    """Return what gives the model for an image."""
    from falsr_nas.models.model_file import find_model

    find = cache(find_model)

    def model_for(source: Path) -> Model:
        if config.model is not None:
            return find(config.model)
        is_photo = True
        with suppress(OSError):  # which is an error when it is upscaled
            if source.is_file():  # opening a pipe would wait for its other end
                with source.open("rb") as file:
                    is_photo = is_lossy(file.read(2**16))
        return find(best_name(config.scale, config.speed, is_photo=is_photo))

    return model_for


def _preview_page(preview: str) -> Path:
    """Return the page's path, whose folder is made: mistakes shall not come after the work."""
    page = Path(preview).expanduser()
    if page.is_dir():
        raise UserError(f"preview is {page}, a folder: give the page to write, as in page.html")
    make_folder(page.parent)
    return page


def _wanted(
    jobs: Sequence[Job], config: UpscaleConfig, recipe: Callable[[Job], str], shown: int
) -> list[bool]:
    """Return which outputs are to be written: all that are not there, and the first ``shown``."""
    from falsr_nas.photo.results import recipes_of

    # A file that is named is written, as by other programs; outputs in folders are kept.
    is_named = [str(job.target) for job in jobs] == [str(Path(config.output or "").expanduser())]
    again = config.overwrite or is_named
    return [
        again or i < shown or not ((made := recipes_of(job.target)) and recipe(job) in made)
        for i, job in enumerate(jobs)
    ]


def _recipes(model_for: Callable[[Path], Model], config: UpscaleConfig) -> Callable[[Job], str]:
    """Return what gives a digest of all that decides the result of an image."""
    from falsr_nas.photo.photograph_file import WITH_QUALITY
    from falsr_nas.photo.results import digest

    digest_of = cache(digest)
    settings = f"{config.self_ensemble} {config.runtime} {config.precision}"

    def recipe(job: Job) -> str:
        is_lossy = job.format in WITH_QUALITY
        model = model_for(job.source)
        path = model.path and (model.path / WEIGHTS if model.path.is_dir() else model.path)
        weights = model.name if path is None else digest_of(path)
        try:
            source = digest(job.source)
        except OSError:  # which is an error when it is upscaled
            source = ""
        return f"{source} {weights} {settings} {config.quality if is_lossy else ''}"

    return recipe


def _networks(
    model_for: Callable[[Path], Model], config: UpscaleConfig
) -> Callable[[Path, int], SuperResolver]:
    """Return what gives the network for the next image by its file and number of pixels.

    PyTorch, which is loaded, upscales :data:`_FEW_PIXELS` before another runtime has started.
    """
    from falsr_nas.models.runtimes import in_runtime

    chosen = cache(partial(in_runtime, runtime=config.runtime, precision=config.precision))
    is_auto = config.runtime is Runtime.auto and config.precision is Precision.auto
    if not is_auto:
        chosen(model_for(Path()).network)  # so that mistakes come before the work
    seen = 0

    def network_for(source: Path, pixels: int) -> SuperResolver:
        nonlocal seen
        seen += pixels
        network = model_for(source).network
        return network if is_auto and seen <= _FEW_PIXELS else chosen(network)

    return network_for


def _write_output(
    job: Job,
    network_for: Callable[[Path, int], SuperResolver],
    config: UpscaleConfig,
    on_tile: Callable[[float], None],
    *,
    is_compared: bool,
) -> tuple[list[str], list[str]]:
    """Upscale an image; return its figure for the preview if it is compared, and what is lost."""
    from falsr_nas.inference.memory import MIB
    from falsr_nas.photo.photograph import upscale_photograph
    from falsr_nas.photo.photograph_file import for_format, read_photograph, save_photograph
    from falsr_nas.photo.preview import comparison

    photograph, memory = read_photograph(job.source, config.max_pixels), config.memory_limit * MIB
    height, width = photograph.pixels.shape[:2]
    network = network_for(job.source, height * width)
    try:
        photograph = for_format(photograph, job.format, network.scale)
        result = upscale_photograph(network, photograph, memory, config.self_ensemble, on_tile)
    except UserError as error:
        raise UserError(f"image {job.source}: {error}") from None
    del photograph  # before the result is encoded
    lost = save_photograph(result, job.target, config.quality, job.format)
    return [comparison(job.source, result, memory, config.max_pixels)] if is_compared else [], lost


def _upscale_and_print(config: UpscaleConfig) -> None:
    from falsr_nas.inference.memory import keep_freed_memory
    from falsr_nas.photo.jobs import counted_kinds

    # Before torch is loaded: threads that have nothing to do sleep instead of waiting busily, which
    # takes seconds of processor time for a small image on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    keep_freed_memory()
    if config.is_piped:
        with closed_output_ends_quietly():  # here, because Hydra prints a line about exceptions
            count = upscale_frames(config, sys.stdin.buffer, sys.stdout.buffer)
        print(f"{count} frames upscaled", file=sys.stderr)  # standard output has the frames
        return
    found = upscale(
        config,
        progress=True,
        on_failure=lambda message: print(f"error: {message}", file=sys.stderr),
    )
    counts = Counter(image.outcome for image in found)
    done, failed = counts[Outcome.upscaled], counts[Outcome.failed]
    if config.model is None and done:
        models = Counter(image.model for image in found if image.model)
        print("model:", ", ".join(f"{name} ({count})" for name, count in models.items()))
    print(f"{done} upscaled, {counts[Outcome.skipped]} up to date, {failed} failed")
    unused = (Outcome.unsupported, Outcome.left_out)
    targets = [image.target for image in found if image.outcome not in unused]
    print("output:", config.output or _places(targets))
    losses = Counter((image.target.suffix[1:], name) for image in found for name in image.lost)
    for (kind, name), count in losses.items():
        print(f"{kind.upper() or 'such'} files have no place for {name}: left out of {count}")
    if config.preview is not None and done:
        print("preview:", config.preview)
    if others := [image.source for image in found if image.outcome is Outcome.unsupported]:
        print(f"skipped {len(others)}: {counted_kinds(others)}")
        if any(other.is_dir() for other in others):
            print("--recursive reads folders in folders, too")
    if left_out := counts[Outcome.left_out]:
        print(f"left out {left_out}: outputs of the other images")
    if failed:
        images = len(found) - len(others) - left_out
        raise UserError(f"{failed} of {images} images could not be upscaled: see above")


def _places(targets: Sequence[Path]) -> str:
    """Return the output of one image, or the outermost folders of several, 3 at most."""
    if len(targets) == 1:
        return str(targets[0])
    folders = {target.parent.resolve() for target in targets}
    outermost = sorted(folder for folder in folders if folders.isdisjoint(folder.parents))
    if len(outermost) > _MOST_FOLDERS:
        return os.path.commonpath(outermost)
    return ", ".join(map(str, outermost))


def main() -> None:
    """Run the command."""
    run_command("upscale", Schemas(UpscaleConfig, {}, words=("input",)), _upscale_and_print)


if __name__ == "__main__":
    main()
