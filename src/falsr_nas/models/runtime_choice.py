"""Which runtime and precision run a model, and what is remembered of it. Does not import torch."""

from __future__ import annotations

import json
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

from falsr_nas.core.errors import UserError
from falsr_nas.core.files import cache_folder, write_atomically


class Runtime(StrEnum):
    """What computes a network."""

    auto = "auto"
    """The fastest of those that are installed, measured once for each model and processor."""
    torch = "torch"
    onnxruntime = "onnxruntime"
    openvino = "openvino"


class Precision(StrEnum):
    """Arithmetic of a network's layers; sums, images and colours are float32."""

    auto = "auto"
    """bfloat16 where it is faster and keeps to the levels of float32, else float32."""
    fp32 = "fp32"
    bf16 = "bf16"


EXTRAS = {
    Runtime.onnxruntime: ("export", ("onnx", "onnxruntime")),
    Runtime.openvino: ("openvino", ("onnx", "openvino")),
}
"""The extra of this project that installs a runtime, and its packages."""

Choice = tuple[Runtime, Precision]


def check_runtime(runtime: Runtime, precision: Precision) -> None:
    """Raise UserError if a runtime lacks the precision."""
    if runtime is Runtime.onnxruntime and precision is Precision.bf16:
        raise UserError(
            "precision is bf16, which onnxruntime does not have: give runtime=openvino or torch"
        )


def remembered(key: str) -> Choice | None:
    """Return what :func:`remember` kept under a key."""
    try:
        runtime, precision = _choices()[key]
        return Runtime(runtime), Precision(precision)
    except (KeyError, TypeError, ValueError):
        return None


def remember(key: str, choice: Choice) -> None:
    """Keep a choice in the user's cache folder, if it can be written."""
    with suppress(OSError, UserError):
        content = json.dumps({**_choices(), key: list(choice)}, indent=1, sort_keys=True)
        write_atomically(_file(), content.encode())


def _choices() -> dict[str, Any]:
    try:
        content = json.loads(_file().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _file() -> Path:
    return cache_folder() / "runtimes.json"
