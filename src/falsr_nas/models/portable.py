"""What the formats of exported models share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from falsr_nas.models.layout import ExportError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Runner = Callable[[Tensor], Tensor]
"""An exported model that can be called: (N, C, H, W) -> (N, C, sH, sW), s the scale."""

Files = Mapping[str, bytes]
"""The content of the files of an exported model by their suffixes."""

OPSET = 18
"""ONNX opset of the files: the oldest that PyTorch's exporter supports, for most runtimes."""


def require(what: str, extra: str, *packages: str) -> None:
    """Raise ExportError, beginning with ``what`` needs them, unless the packages are installed.

    ``extra`` is the extra of this project that installs them.
    """
    if missing := [package for package in packages if find_spec(package) is None]:
        raise ExportError(f"{what} needs {' and '.join(missing)}: pip install 'falsr-nas[{extra}]'")


def onnx_session(content: bytes, *, stops_spinning: bool = False) -> InferenceSession:
    """Load an ONNX model with onnxruntime, on the CPU, with as many threads as PyTorch uses.

    ``stops_spinning`` is whether its threads sleep when a run has ended, not some time later.
    """
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # no warnings on standard error
    options.add_session_config_entry("session.force_spinning_stop", str(int(stops_spinning)))
    return InferenceSession(content, options, providers=["CPUExecutionProvider"])
