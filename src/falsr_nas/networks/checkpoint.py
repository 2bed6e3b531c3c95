"""Reading of checkpoint files (``.ckpt``) without running code from them."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from falsr_nas.core.errors import UserError

LONGEST_PICKLE = 4 * 2**20
"""Most bytes of a checkpoint without its tensors; our choice."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint: tensors on the CPU and plain values by name.

    Raises:
        UserError: the file cannot be read, is no checkpoint, or holds more than weights and plain
            values. Nothing in it was run.
    """
    try:
        _check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except pickle.UnpicklingError:
        raise UserError(
            f"{path}: holds more than weights and plain values, so it is not opened:"
            " it could run code"
        ) from None
    except Exception as error:  # a damaged archive fails in many ways
        raise UserError(
            f"{path}: not a checkpoint, or cut short ({type(error).__name__})"
        ) from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a checkpoint of a training")
    return content


def _check_archive(path: Path) -> None:
    """Raise UserError unless a checkpoint is an undamaged, uncompressed zip archive, as PyTorch's.

    PyTorch does not compare the checksums of the entries. A compressed archive could expand without
    limit in memory, and a long pickle keeps the reader busy. Names of entries are harmless: entries
    are read by name and never extracted.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if {entry.compress_type for entry in entries} - {zipfile.ZIP_STORED}:
            raise UserError(f"{path}: not a checkpoint of PyTorch: its entries are compressed")
        pickles = (one.file_size for one in entries if one.filename.endswith("data.pkl"))
        if sum(one.file_size for one in entries) > path.stat().st_size:
            raise UserError(f"{path}: not a checkpoint of PyTorch: its entries overlap")
        if max(pickles, default=0) > LONGEST_PICKLE:
            raise UserError(f"{path}: not a checkpoint of a training: too long without its tensors")
        if (damaged := archive.testzip()) is not None:
            raise UserError(f"{path}: damaged: the checksum of {damaged} does not fit")
