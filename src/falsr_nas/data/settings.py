"""Where images come from, as plain values: what the config group ``data`` builds. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from falsr_nas.data.errors import DataError

LEAST_CROP = 32


@dataclass(frozen=True)
class DataSettings:
    """What every source of images has.

    Attributes:
        on_error: ``stop`` at the first image that cannot be used, or ``skip`` it with a warning
            that names it.
        val_crop: HR side, in pixels, of the centre crop taken from each validation image; even, 32
            or more; 0 takes whole images. The default keeps validation a small part of a short
            training (our choice; the paper scores whole images).

    Raises:
        DataError: when a value is out of its range; the message names the key.
    """

    on_error: str = "stop"
    val_crop: int = 192

    def __post_init__(self) -> None:
        if self.on_error not in ("stop", "skip"):
            raise DataError(f"data.on_error is {self.on_error!r}: choose stop or skip")
        if self.val_crop != 0 and (self.val_crop < LEAST_CROP or self.val_crop % 2):
            raise DataError(
                f"data.val_crop is {self.val_crop}: give an even number of pixels, {LEAST_CROP} or more, or 0 for whole images"
            )


@dataclass(frozen=True)
class PhotographsSettings(DataSettings):
    """The colour photographs inside scikit-image's wheel, in a fixed split; needs no network."""


@dataclass(frozen=True)
class FolderSettings(DataSettings):
    """Any folders of images; LR is made by the benchmarks' degradation.

    Attributes:
        train_dirs: folders of training images, one or more; subfolders are not read.
        val_dir: folder of validation images; it may share no image with the training folders.
    """

    train_dirs: tuple[str, ...] = ()
    val_dir: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        folders = (self.train_dirs,) if isinstance(self.train_dirs, str) else tuple(self.train_dirs)
        object.__setattr__(
            self, "train_dirs", folders
        )  # configs bring lists, command lines a lone string
        if not folders or not all(folders):
            raise DataError(
                "data.train_dirs is empty: give at least one folder of images, e.g. 'data.train_dirs=[images/train]'"
            )
        if not self.val_dir:
            raise DataError(
                "data.val_dir is empty: give a folder of images, e.g. data.val_dir=images/val"
            )


@dataclass(frozen=True)
class Div2kSettings(DataSettings):
    """DIV2K as its archives unpack: 800 training images and 100 for validation.

    Attributes:
        root: folder that holds ``DIV2K_train_HR``, ``DIV2K_valid_HR`` and, where the official LR
            images are wanted, ``DIV2K_train_LR_bicubic/X2`` and ``DIV2K_valid_LR_bicubic/X2``; a
            missing LR folder is made up for by our degradation.
    """

    root: str = "data/DIV2K"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.root:
            raise DataError(
                "data.root is empty: give the folder that holds DIV2K_train_HR and DIV2K_valid_HR"
            )


DATA_SCHEMAS: dict[str, type[DataSettings]] = {
    "photographs": PhotographsSettings,
    "folder": FolderSettings,
    "div2k": Div2kSettings,
}
"""The options of the config group ``data``."""
