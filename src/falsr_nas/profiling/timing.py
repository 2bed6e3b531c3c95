"""The time of modules in a runtime on this device, with samples that take turns.

Everything that is timed is loaded, warmed up, timed and dropped, then the next one, in rounds.
Other programs, and a processor that slows down as it gets warm, then affect all alike, and memory
holds one module at a time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from falsr_nas.core.errors import UserError
from falsr_nas.models.ncnn_files import from_ncnn, to_ncnn
from falsr_nas.models.portable import onnx_session, require
from falsr_nas.models.traced_onnx import traced_onnx

Run = Callable[[], object]

Load = Callable[[Tensor], Run]
"""Loads what was converted, for one input (1, C, H, W); what it returns runs it once."""

SAMPLE_SECONDS = 0.005
"""Shortest duration of a sample: shorter runs are repeated."""

_EXAMPLE_SIDES = (13, 19)  # of the images that exporters see


def _torch(module: nn.Module, channels: int) -> Load:
    def load(x: Tensor) -> Run:
        def run() -> Tensor:
            with torch.inference_mode():
                output: Tensor = module(x)
                return output

        return run

    return load


def _onnxruntime(module: nn.Module, channels: int) -> Load:
    require("timing in onnxruntime", "export", "onnx", "onnxruntime")
    from falsr_nas.models.export import to_onnx

    content = traced_onnx(module, channels)
    if content is None:  # an operator that the fast writer does not know
        with torch.no_grad():
            content = to_onnx(module, torch.rand(2, channels, *_EXAMPLE_SIDES), {"falsr_nas": ""})

    shapes = deepcopy(module).to("meta")  # computes shapes alone

    def load(x: Tensor) -> Run:
        session = onnx_session(content)
        # Input and output stay in place: copies to and from numpy are not the network's time.
        output = np.zeros(tuple(shapes(torch.empty_like(x, device="meta")).shape), np.float32)
        binding = session.io_binding()
        for bind, name, array in (
            (binding.bind_input, "input", x.numpy()),
            (binding.bind_output, "output", output),
        ):
            bind(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        kept = (x, output)  # the binding knows only their addresses

        def run() -> object:
            session.run_with_iobinding(binding)
            return kept

        return run

    return load


def _ncnn(module: nn.Module, channels: int) -> Load:
    with torch.no_grad():
        files = to_ncnn(module, torch.rand(1, channels, *_EXAMPLE_SIDES), {})

    def load(x: Tensor) -> Run:
        run = from_ncnn(files)
        return lambda: run(x)

    return load


BACKENDS: Mapping[str, Callable[[nn.Module, int], Load]] = {
    "onnxruntime": _onnxruntime,
    "torch": _torch,
    "ncnn": _ncnn,
}
"""By name what converts a module with a number of input channels. All run on the CPU."""


def backend_version(backend: str) -> str:
    """Return the version of a backend's package.

    Raises:
        UserError: it is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(backend)
    except PackageNotFoundError:
        extra = "ncnn" if backend == "ncnn" else "export"
        raise UserError(
            f"backend={backend} is not installed: pip install 'falsr-nas[{extra}]'"
        ) from None


@dataclass
class Timed:
    """Something that is timed.

    Attributes:
        load: loads it for an input.
        shape: of the input (1, C, H, W).
        samples: its times so far in ms, one per round.
    """

    load: Load
    shape: tuple[int, int, int, int]
    samples: list[float] = field(default_factory=list)

    @property
    def milliseconds(self) -> float:
        """The median of the samples."""
        return median(self.samples)

    def sample(self) -> None:
        """Load, warm up, time, and drop it."""
        run = self.load(torch.full(self.shape, 0.5))  # no layer's time depends on the values
        run()  # allocates memory
        once = _seconds(run)
        repeats = math.ceil(SAMPLE_SECONDS / max(once, 1e-6)) - 1
        total = once + sum(_seconds(run) for _ in range(repeats))
        self.samples.append(1e3 * total / (repeats + 1))


def time_in_turns(
    timed: Sequence[Timed],
    seconds: float,
    rounds: int,
    advance: Callable[[int, int], None] = lambda turn, done: None,
) -> int:
    """Take samples of all in rounds: at least one round, and as many as fit into a time.

    Args:
        timed: what is timed.
        seconds: after them no other round begins that would not end in time.
        rounds: most rounds.
        advance: called after each sample with the number of the round, counted from 1, and of the
            sample in it.

    Returns:
        The number of rounds.
    """
    began = time.monotonic()
    rng = np.random.default_rng(0)
    for past in range(rounds):
        spent = time.monotonic() - began
        if past and spent + spent / past > seconds:
            return past
        # The neighbours of each are others in each round.
        for done, i in enumerate(rng.permutation(len(timed)), start=1):
            timed[i].sample()
            advance(past + 1, done)
    return rounds


def _seconds(run: Run) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
