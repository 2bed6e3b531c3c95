"""Which names and paths denote models. Does not import torch, so that commands can ask early.

A mistake in a name is reported before torch is loaded, which takes a second or more.
"""

from __future__ import annotations

from os.path import isdir
from pathlib import Path

from falsr_nas.core.errors import UserError
from falsr_nas.models.shipped import SHIPPED_MODELS, shipped_folder
from falsr_nas.space.ends import BICUBIC

WEIGHTS = "model.safetensors"
"""Name of the model file in a model's folder."""

MODEL_FILES = (".safetensors", ".ckpt", ".pb", ".onnx")
"""Suffixes of model files."""


class ModelFileError(UserError):
    """A model file that cannot be read or written; the message names the file and the reason."""


def names_model(text: str) -> bool:
    """Return whether a text names a model rather than a genome.

    It is then the name of a shipped model, a folder, or the path of a file, which need not exist,
    with one of :data:`MODEL_FILES`.
    """
    path = Path(text).expanduser()
    # Path.is_dir() refuses names as long as those of genomes.
    is_folder = isdir(path)  # noqa: PTH112
    return shipped_folder(text) is not None or path.suffix in MODEL_FILES or is_folder


def model_path(name: str) -> Path | None:
    """Return the file or the folder of a model, or None for bicubic interpolation.

    Args:
        name: as for :func:`falsr_nas.models.model_file.find_model`.

    Raises:
        ModelFileError: there is no such file, folder or shipped model, or it is no model by its
            name.
    """
    if name.lower() in BICUBIC:
        return None
    path = shipped_folder(name) or Path(name).expanduser()
    if not path.exists() and path.name == name and not path.suffix:
        raise ModelFileError(
            f"{name}: no such folder, and no model that comes with the package"
            f" ({', '.join(SHIPPED_MODELS)})"
        )
    check_model_path(path)
    return path


def check_model_path(path: Path) -> None:
    """Raise ModelFileError if there is no such file or folder, or it is no model by its name."""
    if path.is_dir():
        if not (path / WEIGHTS).is_file():
            raise ModelFileError(f"{path}: not the folder of a model: it has no {WEIGHTS}")
    elif path.suffix not in MODEL_FILES:
        raise ModelFileError(f"{path}: a model file ends in {', '.join(MODEL_FILES)}")
    elif not path.exists():
        raise ModelFileError(f"{path}: No such file or directory")
