"""Starting processes that do not import the caller's script."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()


@contextmanager
def main_module_hidden() -> Iterator[None]:
    """Start processes in this block without ``__main__``.

    A spawned process imports the module ``__main__`` of its parent again. A script without
    ``if __name__ == "__main__"`` would then start its search once more in every worker. Our workers
    need nothing from it.
    """
    main = vars(sys.modules["__main__"])
    with _lock:
        hidden: dict[str, Any] = {
            name: main[name] for name in ("__file__", "__spec__") if name in main
        }
        main.pop("__file__", None)
        main["__spec__"] = None
        try:
            yield
        finally:
            main.update(hidden)
