"""Measurement of the tensors in memory."""

from __future__ import annotations

import weakref
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveTensors(TorchDispatchMode):
    """Measures the most numbers in memory at one time, without weights and input."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.most = 0
        self.known: set[int] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        outputs = function(*arguments, **(options or {}))
        for tensor in tree_leaves(outputs):
            storage = tensor.untyped_storage()
            if storage._cdata not in self.known:
                floats = storage.nbytes() // 4
                self.known.add(storage._cdata)
                self.live += floats
                self.most = max(self.most, self.live)
                weakref.finalize(storage, self.free, storage._cdata, floats)
        return outputs

    def free(self, key: int, floats: int) -> None:
        self.known.discard(key)
        self.live -= floats
