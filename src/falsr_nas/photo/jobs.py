"""Which images are upscaled to which files."""

from __future__ import annotations

import glob
import mimetypes
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from falsr_nas.core.errors import UserError
from falsr_nas.core.files import make_folder
from falsr_nas.data.formats import FORMAT_OF, WRITTEN

_KNOWN = ", ".join(WRITTEN)
_DEFAULT = ".png"  # for images of formats that are only read


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


def check_inputs(
    sources: Sequence[str], target: str | None, ending: str | None, recursive: bool = False
) -> None:
    """Check inputs before the model is known; arguments as of :func:`find_jobs`.

    Raises:
        UserError: an input does not exist, or holds no image, or is a pattern without an output; or
            none of several files is an image; or images are not written in the format.
    """
    _suffix(ending)
    for source in sources:
        place = Path(source).expanduser()
        if place.is_dir() or (glob.has_magic(source) and not place.exists()):
            if target is None and not place.is_dir():
                raise UserError(
                    f"input is the pattern {source}: give --output FOLDER for what is written"
                )
            _listed(place, source, recursive)
        elif not place.exists():
            raise UserError(f"there is no input {place}")
    if len(sources) > 1 and all(_is_unread(Path(source).expanduser()) for source in sources):
        raise UserError(f"no images in {', '.join(sources)} (looked for {', '.join(FORMAT_OF)})")


def find_jobs(
    sources: Sequence[str],
    target: str | None,
    ending: str | None,
    recursive: bool = False,
    scale: int = 2,
) -> tuple[list[Job], list[tuple[Path, Path]], list[Job]]:
    """Return the images to upscale and their outputs; the output folders are created.

    Args:
        sources: images, folders of images, or patterns such as ``holiday/*.png``.
        target: the file to write for a single image; or a folder, in which images keep their names,
            and their places below the input folder. None writes beside each input.
        ending: extension of the files in the output folder; None keeps each image's, or takes PNG
            where that format is only read.
        recursive: whether subfolders are read.
        scale: of the model, for the names of outputs beside their inputs.

    Returns:
        The images in the order of their paths; what else is in the inputs, with its output folder:
        other files, and folders that are not read; and, without ``target``, the images left out
        because they are the existing outputs of others, as ``photo_x2.jpg`` of ``photo.jpg``.

    Raises:
        UserError: there is no image; or an output has an unknown extension, would be among the
            inputs, or belongs to two images; or an output folder cannot be made.
    """
    check_inputs(sources, target, ending, recursive)
    is_beside = target is None
    if target is not None and len(sources) > 1:
        _check_folder_name(Path(target).expanduser(), target)
        target = f"{target}/"
    jobs: list[Job] = []
    others: list[tuple[Path, Path]] = []
    for source in dict.fromkeys(sources):
        output = default_output(source, scale, ending) if target is None else target
        if len(sources) > 1 and _is_unread(Path(source).expanduser()):
            others.append((Path(source), Path(output).expanduser()))
            continue
        found, unread = _jobs_of(source, output, ending, recursive)
        jobs += found
        others += [(other, Path(output).expanduser()) for other in unread]
    jobs = _unique(jobs)
    outputs = {job.target.resolve() for job in jobs if job.done} if is_beside else set()
    left_out = [job for job in jobs if _is_output(job, outputs)]
    jobs = [job for job in jobs if not _is_output(job, outputs)]
    _check_distinct(jobs)
    for folder in dict.fromkeys(job.target.parent for job in jobs):
        make_folder(folder)
    return jobs, others, left_out


def _unique(jobs: Iterable[Job]) -> list[Job]:
    """Leave out the images that are given again by another path."""
    unique: dict[tuple[Path, Path], Job] = {}
    for job in jobs:
        unique.setdefault((job.source.resolve(), job.target.resolve()), job)
    return list(unique.values())


def _is_output(job: Job, outputs: Container[Path]) -> bool:
    """Whether the image is the output of another one."""
    source = job.source.resolve()
    return source in outputs and source != job.target.resolve()


def _is_unread(place: Path) -> bool:
    """Whether a file that a shell's pattern may have matched is no image by its name."""
    return place.is_file() and place.suffix.lower() not in FORMAT_OF


def _jobs_of(
    source: str, target: str, ending: str | None, recursive: bool
) -> tuple[list[Job], list[Path]]:
    """Return the images of one input, and what else is in it."""
    suffix = _suffix(ending)
    place, output = Path(source).expanduser(), Path(target).expanduser()
    if place.is_file() or not (place.exists() or glob.has_magic(source)):
        return [_single(place, output, target.endswith("/"), ending, suffix)], []
    _check_folder_name(output, target)
    base, images, others = _listed(place, source, recursive)
    if output.resolve() == base.resolve() or (
        recursive and output.resolve().is_relative_to(base.resolve())
    ):
        raise UserError(f"output {output} would be among the input images: give another folder")
    jobs = [
        Job(image, output / image.relative_to(base).with_suffix(suffix or _kept_suffix(image)))
        for image in images
    ]
    return jobs, others


def default_output(source: str, scale: int, ending: str | None) -> str:
    """Return the output of an input that is given without one, e.g. ``photo_x2.jpg``, beside it.

    Args:
        source: an image or a folder of images.
        scale: of the model.
        ending: extension of the output; None keeps the image's, as :func:`find_jobs` does.
    """
    place = Path(source).expanduser()
    if place.is_dir():
        place = place.resolve()  # "." has no name
        return str(place.with_name(f"{place.name}_x{scale}"))
    return str(place.with_name(f"{place.stem}_x{scale}{_suffix(ending) or _kept_suffix(place)}"))


def _suffix(ending: str | None) -> str | None:
    if ending is None:
        return None
    suffix = f".{ending.lower().removeprefix('.')}"
    if suffix not in WRITTEN:
        raise UserError(f"format is {ending}: it must be one of {_KNOWN}")
    return suffix


def _single(
    image: Path, output: Path, names_folder: bool, ending: str | None, suffix: str | None
) -> Job:
    if names_folder or output.is_dir() or not output.suffix:
        return Job(image, output / f"{image.stem}{suffix or _kept_suffix(image)}")
    if output.suffix.lower() not in WRITTEN:
        raise UserError(
            f"unknown format of {output}: its extension must be one of {_KNOWN}; the path of a"
            " folder ends in /"
        )
    if suffix not in (None, output.suffix.lower()):
        raise UserError(
            f"output is {output} and format is {ending}: give only one of these formats"
        )
    return Job(image, output)


def _check_folder_name(output: Path, typed: str) -> None:
    """Raise UserError if the folder for several images has the name of an image or a video."""
    if typed.endswith("/") or output.is_dir():
        return
    kind = mimetypes.guess_type(output.name, strict=False)[0] or ""
    if output.suffix.lower() in FORMAT_OF or kind.startswith(("image/", "video/")):
        raise UserError(
            f"output is {output}, but there are several images: give a folder, whose path may end"
            " in /"
        )


def _listed(place: Path, source: str, recursive: bool) -> tuple[Path, list[Path], list[Path]]:
    """Return the folder that the places of images are relative to, the images, and the others.

    Raises:
        UserError: the folder cannot be read, or holds no image.
    """
    found: Iterable[Path]
    if place.is_dir():
        base, found = place, place.rglob("*") if recursive else place.iterdir()
    else:
        fixed = next(i for i, part in enumerate(place.parts) if glob.has_magic(part))
        base, found = Path(*place.parts[:fixed]), _matches(place, recursive)
    images: list[Path] = []
    others: list[Path] = []
    try:
        paths = sorted(set(found))
    except OSError as error:
        raise UserError(f"cannot read the folder {base}: {error.strerror or error}") from None
    for path in paths:
        if any(part.startswith(".") for part in path.relative_to(base).parts):
            continue  # hidden
        if path.is_file() and path.suffix.lower() in FORMAT_OF:
            images.append(path)
        elif not (recursive and path.is_dir()):
            others.append(path)
    if not images:
        instead = f", but {counted_kinds(others)}" if others else ""
        raise UserError(f"no images in {source}{instead} (looked for {', '.join(FORMAT_OF)})")
    return base, images, others


def _matches(pattern: Path, recursive: bool) -> Iterable[Path]:
    for name in glob.glob(str(pattern), recursive=True):  # noqa: PTH207  # may be absolute
        path = Path(name)
        yield path
        if recursive and path.is_dir():
            yield from path.rglob("*")


def _kept_suffix(image: Path) -> str:
    return image.suffix if image.suffix.lower() in WRITTEN else _DEFAULT


def _check_distinct(jobs: Sequence[Job]) -> None:
    inputs = {job.source.resolve() for job in jobs}
    sources: dict[Path, Path] = {}
    for job in jobs:
        target = job.target.resolve()
        if target == job.source.resolve():
            raise UserError(
                f"output {job.target} would be among the input images: give another folder"
            )
        if target in inputs:
            raise UserError(
                f"the output of {job.source} would replace the input {job.target}:"
                " give another folder with --output"
            )
        if sources.setdefault(target, job.source) != job.source:
            raise UserError(
                f"{sources[target].name} and {job.source.name} would both become {job.target}"
            )


def counted_kinds(paths: Iterable[Path]) -> str:
    """Count files by extension and folders, for example ``3 GIF, 1 folder``."""
    counts = Counter(
        "folder" if path.is_dir() else path.suffix[1:].upper() or "without extension"
        for path in paths
    )
    return ", ".join(
        f"{count} {kind}{'s' * (kind == 'folder' and count > 1)}"
        for kind, count in sorted(counts.items(), key=lambda item: (item[0].islower(), item))
    )
