"""Trained weights of candidates: a value that travels with them, and the folder that keeps them.

The folder ``weights/`` of a run holds the weights from which candidates train on after a rung. A
file is as large as the network's parameters in float32, 4 bytes each: 1.3 MB for FALSR-B, 4.1 MB
for FALSR-A. Only the search's own process writes them, each one before the row of the store that
needs it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falsr_nas.archive.database import DiskFullError
from falsr_nas.core.errors import UserError
from falsr_nas.core.files import write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_ABOUT = "falsr_nas"

_FILE = re.compile(r"([0-9a-f]{16})-\d+\.safetensors")
_DRAFT = re.compile(r"\.[0-9a-f]{16}\.tmp")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a trained network, as a safetensors file in memory.

    Attributes:
        steps: optimiser steps behind the weights.
        data: the content of the file: the tensors by their names in the plain network, float32. Its
            metadata repeat the steps and hold a checksum.
    """

    steps: int
    data: bytes = field(repr=False)

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[np.float32]], steps: int) -> Weights:
        """Make weights of the tensors of a network."""
        import safetensors.numpy

        about = {"steps": steps, "sha256": _digest(tensors)}
        # As a single entry: safetensors writes several in a random order.
        metadata = {_ABOUT: json.dumps(about)}
        return cls(steps, safetensors.numpy.save(dict(tensors), metadata))

    @classmethod
    def read(cls, data: bytes) -> Weights:
        """Make weights of the content of a file.

        Raises:
            ValueError: it is not such a file, or damaged.
        """
        try:
            size = int.from_bytes(data[:8], "little")
            about = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][_ABOUT])
            found = cls(int(about["steps"]), data)
            if _digest(found.tensors()) != about["sha256"]:
                raise ValueError("the checksum does not fit")
        except Exception as error:  # safetensors raises errors of its own
            raise ValueError(f"damaged weights: {error}") from error
        return found

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the tensors by name."""
        import safetensors.numpy

        tensors: dict[str, NDArray[Any]] = safetensors.numpy.load(self.data)
        return tensors


class WeightsFolder:
    """The folder of a run with the weights of candidates, by key and rung.

    Args:
        path: the folder; it is made by the first :meth:`save`.
        on_full: called when the disk is full, with the error and the number of retries so far; when
            it returns, the write is retried. Without it the error is raised.
    """

    def __init__(
        self, path: Path, on_full: Callable[[DiskFullError, int], None] | None = None
    ) -> None:
        self.path = path
        self._on_full = on_full

    def save(self, key: str, rung: int, weights: Weights) -> None:
        """Write weights durably.

        Raises:
            UserError: the folder cannot be written.
        """
        retries = 0
        while True:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                write_atomically(self._file(key, rung), weights.data)
                return
            except (UserError, OSError) as error:
                cause = error if isinstance(error, OSError) else error.__cause__
                full = isinstance(cause, OSError) and cause.errno in _DISK_FULL
                if not full or self._on_full is None:
                    raise
                self._on_full(DiskFullError(f"{self.path}: the disk is full ({error})"), retries)
                retries += 1

    def load(self, key: str, rung: int) -> Weights | None:
        """Return weights, or None if they are missing or damaged, which is logged."""
        file = self._file(key, rung)
        try:
            return Weights.read(file.read_bytes())
        except FileNotFoundError:
            problem = "is missing"
        except (OSError, ValueError) as error:
            problem = f"cannot be used ({error})"
        _log.warning("%s %s: the training begins without it", file, problem)
        return None

    def prune(self, keys: Collection[str]) -> None:
        """Delete the weights of all candidates but those with these keys, and unfinished files.

        Files of other names are left, and so are all files where the folder is a link.
        """
        if not self.path.is_dir() or self.path.is_symlink():
            return
        for file in self.path.iterdir():
            match = _FILE.fullmatch(file.name)
            if _DRAFT.fullmatch(file.name) or (match and match[1] not in keys):
                file.unlink(missing_ok=True)

    def _file(self, key: str, rung: int) -> Path:
        return self.path / f"{key}-{rung}.safetensors"


def _digest(tensors: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()
