"""Settings of the config group ``data``: where images come from. This module needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from falsr_nas.core.errors import UserError
from falsr_nas.core.settings import (
    Settings,
    at_least,
    between,
    bounded,
    one_of,
    path,
    probability,
)

MIN_CROP = 32
"""Smallest HR side of the centre crops for validation."""


@dataclass(frozen=True)
class DataSettings(Settings, group="data"):
    """Settings of every source of images.

    Attributes:
        on_error: ``stop`` at the first image that cannot be used, or ``skip`` it with a warning
            that names it.
        val_crop: HR side, in pixels, of the centre crop of each validation image; even, at least
            32, and rounded down to a multiple of the scale; 0 for whole images. The default keeps
            validation a small part of a short training (our choice; the paper scores whole images).
    """

    on_error: str = one_of(("stop", "skip"), default="stop")
    val_crop: int = bounded(
        lambda side: side == 0 or (side >= MIN_CROP and side % 2 == 0),
        f"even and at least {MIN_CROP} pixels, or 0 for whole images",
        default=192,
    )


@dataclass(frozen=True)
class PhotographsSettings(DataSettings):
    """The colour photographs that are part of scikit-image, in a fixed split; needs no network."""


@dataclass(frozen=True)
class FolderSettings(DataSettings):
    """Any folders of images; LR images are made by the benchmarks' degradation.

    Attributes:
        train_dirs: one or more folders of training images; subfolders are not read.
        val_dir: folder of validation images; no image may also be in a training folder.
    """

    train_dirs: tuple[str, ...] = path(default=())
    val_dir: str = path(default="")

    def __post_init__(self) -> None:
        if isinstance(self.train_dirs, str):  # from Python
            object.__setattr__(self, "train_dirs", (self.train_dirs,))
        if not self.train_dirs or not all(self.train_dirs):
            raise UserError(
                "data.train_dirs is empty: give at least one folder of images,"
                " e.g. 'data.train_dirs=[images/train]'"
            )
        if not self.val_dir:
            raise UserError(
                "data.val_dir is empty: give a folder of images, e.g. data.val_dir=images/val"
            )


@dataclass(frozen=True)
class Div2kSettings(DataSettings):
    """DIV2K in the layout of its archives: 800 training images and 100 for validation.

    Attributes:
        root: folder with ``DIV2K_train_HR`` and ``DIV2K_valid_HR``. The official LR images are read
            from ``DIV2K_train_LR_bicubic/X2`` and ``DIV2K_valid_LR_bicubic/X2``, or X3 and X4, if
            these folders exist, else LR images are made by the benchmarks' degradation.
    """

    root: str = path(default="data/DIV2K")

    def __post_init__(self) -> None:
        if not self.root:
            raise UserError(
                "data.root is empty: give the folder that holds DIV2K_train_HR and DIV2K_valid_HR"
            )


@dataclass(frozen=True)
class DegradationSettings(Settings, group="degradation"):
    """The benchmarks' degradation: bicubic interpolation, exact; data sets may bring LR images."""


@dataclass(frozen=True)
class PhotoDegradation(DegradationSettings):
    """What cameras and web sites do between scene and file, at random. All numbers are our choice.

    Half of the images are blurred, half are sharpened, half are noisy; all strengths are uniform
    from nothing to the given one.

    Attributes:
        clean: share of the images that are degraded as the benchmarks', so that networks stay good
            at clean images.
        blur: standard deviation of the Gaussian blur, in LR pixels.
        sharpening: strength of the unsharp mask after down-scaling, radius 1 LR pixel.
        noise: standard deviation of Gaussian noise, in levels of 255.
        quality: lowest and highest quality of JPEG and WebP.
        full_chroma: share of the JPEG files whose chroma has the full size (4:4:4), the others have
            half of it (4:2:0).
        webp: share of the files that are WebP.
        twice: share of the images that are written as a file twice.
        period: epochs after which each image is degraded anew; about as many images of the set
            change in each epoch. None for one degradation per training, as candidates of a search
            have in any case.
    """

    clean: float = probability(default=0.15)
    blur: float = at_least(0, unit="pixels", default=0.5)
    sharpening: float = at_least(0, default=0.6)
    noise: float = at_least(0, unit="levels", default=3.0)
    quality: tuple[int, int] = between(1, 100, default=(30, 95))
    full_chroma: float = probability(default=0.3)
    webp: float = probability(default=0.1)
    twice: float = probability(default=0.2)
    period: int | None = at_least(1, default=10, null="one degradation per training")

    def __post_init__(self) -> None:
        if len(self.quality) != 2 or self.quality[0] > self.quality[1]:
            raise UserError(
                f"degradation.quality is {list(self.quality)}: give the lowest and the highest"
            )


DEGRADATIONS: dict[str, type[DegradationSettings]] = {
    "bicubic": DegradationSettings,
    "photo": PhotoDegradation,
}
"""The options of the config group ``degradation``."""


DATA_SCHEMAS: dict[str, type[DataSettings]] = {
    "photographs": PhotographsSettings,
    "folder": FolderSettings,
    "div2k": Div2kSettings,
}
"""The options of the config group ``data``."""


def data_option(settings: DataSettings) -> str:
    """Return the name of the option that settings belong to, for example ``folder``."""
    return next(name for name, kind in DATA_SCHEMAS.items() if type(settings) is kind)
