"""Which images are upscaled to which files."""

from __future__ import annotations

import glob
import mimetypes
import os
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from falsr_nas.core.errors import UserError
from falsr_nas.core.files import make_folder
from falsr_nas.data.formats import FORMAT_OF, WRITTEN
from falsr_nas.photo.results import recipes_of

_KNOWN = ", ".join(WRITTEN)
_LONGEST_NAME = 255  # bytes; of most file systems
_DEFAULT = ".png"  # for images of formats that are only read


@dataclass(frozen=True, slots=True)
class Job:
    """An image to upscale, its output, and the format where the output is a device or a pipe."""

    source: Path
    target: Path
    suffix: str = ""

    @property
    def format(self) -> str:
        """The format of the output, of :data:`~falsr_nas.data.formats.WRITTEN`."""
        return WRITTEN[self.suffix or self.target.suffix.lower()]


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
        elif not (place.exists() or place.is_symlink()):  # a link to nowhere fails when it is read
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
        because they are the outputs of others, as ``photo_x2.jpg`` of ``photo.jpg``.

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
    inputs = {job.source.resolve() for job in jobs}
    targets = {job.target.resolve() for job in jobs if job.target.resolve() in inputs}
    outputs = {target for target in targets if recipes_of(target)} if is_beside else set()
    left_out = [job for job in jobs if _is_output(job, outputs)]
    jobs = _told_apart([job for job in jobs if not _is_output(job, outputs)])
    _check_distinct(jobs)
    folders = {job.target.parent for job in jobs}
    for folder in folders:  # of several, each that cannot be made fails when it is written to
        with suppress(UserError) if len(folders) > 1 else nullcontext():
            make_folder(folder)
    return jobs, others, left_out


def _unique(jobs: Iterable[Job]) -> list[Job]:
    """Leave out the images that are given again by another path."""
    unique: dict[tuple[Path, Path], Job] = {}
    for job in jobs:
        unique.setdefault((job.source.resolve(), job.target.resolve()), job)
    return list(unique.values())


def _told_apart(jobs: Sequence[Job]) -> list[Job]:
    """Add the extension to the names of outputs that differ only in that of their images.

    Of a.jpg and a.png, PNG files are written as a_jpg.png and a.png.
    """
    counts = Counter((job.target, job.source.with_suffix("")) for job in jobs)
    told = []
    for job in jobs:
        target, kind = job.target, job.source.suffix
        if counts[target, job.source.with_suffix("")] > 1 and kind != target.suffix:
            target = _named(target.parent, f"{target.stem}_{kind[1:]}", target.suffix)
        told.append(replace(job, target=target))
    return told


def _named(folder: Path, stem: str, suffix: str) -> Path:
    """Return a file of a folder, whose name is cut where a file system would refuse it."""
    while stem and len(os.fsencode(stem + suffix)) > _LONGEST_NAME:
        stem = stem[:-1]
    return folder / f"{stem}{suffix}"


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
    jobs = []
    for image in images:
        folder = output / image.relative_to(base).parent
        jobs.append(Job(image, _named(folder, image.stem, suffix or _kept_suffix(image))))
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
    suffix = f"_x{scale}{_suffix(ending) or _kept_suffix(place)}"
    return str(_named(place.parent, place.stem, suffix))


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
    if output.exists() and not (output.is_file() or output.is_dir()):
        named = output.suffix.lower() if output.suffix.lower() in WRITTEN else None
        return Job(image, output, suffix or named or _kept_suffix(image).lower())
    if names_folder or output.is_dir() or not output.suffix:
        return Job(image, _named(output, image.stem, suffix or _kept_suffix(image)))
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
        base, found = place, _below(place) if recursive else place.iterdir()
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
        is_folder = path.is_dir()
        # What cannot be read is an image, too, which fails: links to nowhere, and folders that
        # cannot be listed.
        if path.suffix.lower() in FORMAT_OF if not is_folder else recursive:
            images.append(path)
        else:
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
            yield from _below(path)


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and its subfolders, through links; and unreadable subfolders."""
    seen = {os.path.realpath(folder)}
    unread: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=unread.append, followlinks=True):
        for name in sorted(folders, key=lambda name: Path(place, name).is_symlink()):
            if (real := os.path.realpath(f"{place}/{name}")) in seen:
                folders.remove(name)
            seen.add(real)
        yield from (Path(place, name) for name in names)
    yield from (Path(error.filename) for error in unread)


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


def _kind(path: Path) -> str:
    if path.is_symlink() and not path.exists():
        return "link to nowhere"
    return "folder" if path.is_dir() else path.suffix[1:].upper() or "without extension"


def counted_kinds(paths: Iterable[Path]) -> str:
    """Count files by extension and folders, for example ``3 GIF, 1 folder``."""
    counts = Counter(_kind(path) for path in paths)
    return ", ".join(
        f"{count} {kind}{'s' * (kind == 'folder' and count > 1)}"
        for kind, count in sorted(counts.items(), key=lambda item: (item[0].islower(), item))
    )
