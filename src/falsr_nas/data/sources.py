"""Image files of each data source; nothing is decoded here. This module needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from os.path import realpath
from pathlib import Path

from falsr_nas.data.errors import DataError
from falsr_nas.data.formats import FORMAT_OF
from falsr_nas.data.settings import DataSettings, Div2kSettings, FolderSettings, PhotographsSettings

# The colour photographs of scikit-image; our choice. Left out are drawings, charts, renderings and
# grey images, and the image of a retina: it is so smooth (50 dB by interpolation) that networks
# learn nothing from it. The two motorcycles are a stereo pair, so both are in the same part.
PHOTOGRAPHS_TRAIN = (
    "astronaut.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
)
PHOTOGRAPHS_VAL = ("chelsea.png", "coffee.png", "rocket.jpg")


@dataclass(frozen=True, slots=True)
class ImageFile:
    """The file of an HR image, and how its LR image is made.

    Attributes:
        hr: the file of the HR image.
        lr: the file of its LR image; None if it has to be made by the benchmarks' degradation.
        degradation: what the LR image is put through: a name of
            :func:`~falsr_nas.data.degradations.degradation_named`.
    """

    hr: Path
    lr: Path | None = None
    degradation: str = "bicubic"


@dataclass(frozen=True, slots=True)
class Split:
    """Image files for training and for validation; no file is in both."""

    train: tuple[ImageFile, ...]
    val: tuple[ImageFile, ...]


def find_images(settings: DataSettings, scale: int = 2) -> Split:
    """Return the image files of a data source, in a fixed order.

    Args:
        settings: the data source.
        scale: of the low-resolution images, where the source has them.

    Raises:
        DataError: a folder is missing or empty, an image is both in training and in validation, or
            the settings belong to no known source.
    """
    match settings:
        case PhotographsSettings():
            folder = Path(str(resources.files("skimage.data")))
            return Split(
                tuple(ImageFile(folder / name) for name in PHOTOGRAPHS_TRAIN),
                tuple(ImageFile(folder / name) for name in PHOTOGRAPHS_VAL),
            )
        case FolderSettings():
            return _folders(settings)
        case Div2kSettings():
            return _div2k(Path(settings.root), scale)
    raise DataError(
        f"data: {type(settings).__name__} is no data source: choose photographs, folder or div2k"
    )


def list_images(folder: Path) -> list[Path]:
    """Return the image files of a folder, sorted by name, without hidden files and subfolders.

    Links to files that do not exist are among them: who reads them says so.

    Raises:
        DataError: the folder is missing, cannot be read or holds no image.
    """
    try:
        found = [path for path in folder.iterdir() if path.suffix.lower() in FORMAT_OF]
        images = sorted(
            path for path in found if not path.name.startswith(".") and not path.is_dir()
        )
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"no such folder of images: {folder}") from None
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror or error}") from None
    if not images:
        raise DataError(f"no images in {folder} (looked for {', '.join(sorted(FORMAT_OF))})")
    return images


def _folders(settings: FolderSettings) -> Split:
    train = [path for folder in settings.train_dirs for path in list_images(Path(folder))]
    val = list_images(Path(settings.val_dir))
    if both := {*map(realpath, train)} & {*map(realpath, val)}:
        raise DataError(f"data: {min(both)} is both in data.train_dirs and in data.val_dir")
    return Split(tuple(map(ImageFile, train)), tuple(map(ImageFile, val)))


def _div2k(root: Path, scale: int) -> Split:
    missing = [name for name in ("DIV2K_train_HR", "DIV2K_valid_HR") if not (root / name).is_dir()]
    if missing:
        raise DataError(
            f"data.root: no {' and no '.join(missing)} in {root}: it must contain DIV2K_train_HR "
            "(0001.png ... 0800.png) and DIV2K_valid_HR (0801.png ... 0900.png) and, for the "
            f"official LR images, DIV2K_train_LR_bicubic/X{scale} (0001x{scale}.png ...) and "
            f"DIV2K_valid_LR_bicubic/X{scale} (0801x{scale}.png ...)"
        )
    return Split(_div2k_part(root, "train", scale), _div2k_part(root, "valid", scale))


def _div2k_part(root: Path, part: str, scale: int) -> tuple[ImageFile, ...]:
    hr = list_images(root / f"DIV2K_{part}_HR")
    lr = root / f"DIV2K_{part}_LR_bicubic" / f"X{scale}"
    if not lr.is_dir():
        return tuple(map(ImageFile, hr))
    return tuple(ImageFile(path, lr / f"{path.stem}x{scale}{path.suffix}") for path in hr)
