"""Pickling of evaluators for worker processes, with the plug-ins that they need."""

from __future__ import annotations

import io
import pickle
from types import FunctionType
from typing import Any

from falsr_nas.core.errors import UserError
from falsr_nas.core.plugins import load_sent, loaded_plugins
from falsr_nas.execution.executor import MakeEvaluator


def pickled(make_evaluator: MakeEvaluator) -> bytes:
    """Pickle the function that builds an evaluator, for another process.

    Raises:
        UserError: it needs a class or function of ``__main__``, which workers do not import.
    """
    buffer = io.BytesIO()
    _Pickler(buffer).dump(make_evaluator)
    return pickle.dumps((loaded_plugins(), buffer.getvalue()))


def unpickled(content: bytes) -> MakeEvaluator:
    """Return the function that builds an evaluator, after loading the plug-ins of its process.

    Raises:
        UserError: a plug-in cannot be loaded.
    """
    plugins, make_evaluator = pickle.loads(content)
    load_sent(plugins)
    made: MakeEvaluator = pickle.loads(make_evaluator)
    return made


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | FunctionType) and obj.__module__ == "__main__":
            raise UserError(
                f"{obj.__qualname__} is defined in the script or notebook that runs the search,"
                " which worker processes do not import: move it to a module and import it from"
                " there, or use execution=inline"
            )
        return NotImplemented
