"""The time of networks in a runtime on this device, in turns with a reference network.

Both stay loaded in one process, are warmed up, and run by turns. What counts is the ratio of their
times, in the steady state: a processor that slows down as it gets warm affects both alike. Other
programs do not, so the half of the rounds counts in which the reference network was fastest.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from statistics import fmean, median

import numpy as np
import torch
from torch import Tensor, nn

from falsr_nas.core.errors import UserError
from falsr_nas.latency.profile import EXTRAS, input_size
from falsr_nas.models.int8 import quantise
from falsr_nas.models.ncnn_files import from_ncnn, to_ncnn
from falsr_nas.models.portable import onnx_session, require
from falsr_nas.models.traced_onnx import traced_onnx
from falsr_nas.networks.network import Network
from falsr_nas.space.genome import Genome

Run = Callable[[], object]
"""Runs what is loaded once."""

Load = Callable[[nn.Module, Tensor], Run]
"""Converts a module and loads it for an input (1, C, H, W)."""

ROUNDS = 5
"""Fewest rounds of a timing, but for slow networks; our choice, like all numbers here."""

SLOW, SLOW_ROUNDS = 4, 3
"""Fewest rounds where these take that many times the time for them."""

BLOCK_SECONDS = 0.02
"""Shortest duration of a block of runs, which are timed together."""

WARM_UPS, WARM_UP_SECONDS = 4, 0.5
"""Most runs before the first that is timed, and after how long no other begins."""

_EXAMPLE_SIDES = (13, 19)  # of the images that exporters see


def _torch(module: nn.Module, x: Tensor, *, bf16: bool = False) -> Run:
    kept = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = x.contiguous(memory_format=torch.channels_last)

    def run() -> Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            output: Tensor = kept(x)
            return output

    return run


def _onnxruntime(module: nn.Module, x: Tensor, *, int8: bool = False) -> Run:
    content = onnx_content(module, x.shape[1])
    if int8:
        example = torch.rand(1, x.shape[1], *(4 * side for side in _EXAMPLE_SIDES))
        content, _ = quantise(content, [example], math.inf)
    # The threads of one network must not be busy waiting while the other one runs.
    session = onnx_session(content, stops_spinning=True)
    # Input and output stay in place: copies to and from numpy are not the network's time.
    shape = deepcopy(module).to("meta")(torch.empty_like(x, device="meta")).shape
    output = np.zeros(tuple(shape), np.float32)
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


def _ncnn(module: nn.Module, x: Tensor) -> Run:
    with torch.no_grad():
        run = from_ncnn(to_ncnn(module, torch.rand(1, x.shape[1], *_EXAMPLE_SIDES), {}))
    return lambda: run(x)


def _openvino(module: nn.Module, x: Tensor, *, precision: str) -> Run:
    require("timing in OpenVINO", "openvino", "onnx", "openvino")
    import openvino

    core = openvino.Core()
    model = core.read_model(onnx_content(module, x.shape[1]))
    model.reshape([*x.shape])
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    array = x.numpy()
    request.set_input_tensor(openvino.Tensor(array, shared_memory=True))
    kept = (core, array)

    def run() -> object:
        request.infer()
        return kept

    return run


BACKENDS: Mapping[str, Load] = {
    "onnxruntime": _onnxruntime,
    "onnxruntime-int8": partial(_onnxruntime, int8=True),
    "torch": _torch,
    "torch-bf16": partial(_torch, bf16=True),
    "ncnn": _ncnn,
    "openvino": partial(_openvino, precision="f32"),
    "openvino-bf16": partial(_openvino, precision="bf16"),
}
"""What converts and loads a module for each backend of :data:`EXTRAS`. All run on the CPU."""


def onnx_content(module: nn.Module, channels: int) -> bytes:
    """Return a module as an ONNX file. Raises ExportError where packages are missing."""
    require("timing in this runtime", "export", "onnx", "onnxruntime")
    from falsr_nas.models.export import to_onnx

    if (content := traced_onnx(module, channels)) is not None:
        return content
    with torch.no_grad():  # an operator that the fast writer does not know
        return to_onnx(module, torch.rand(2, channels, *_EXAMPLE_SIDES), {"falsr_nas": ""})


def backend_version(backend: str) -> str:
    """Return the version of a backend's package.

    Raises:
        UserError: it is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(backend.partition("-")[0])
    except PackageNotFoundError:
        raise UserError(
            f"backend={backend} is not installed: pip install 'falsr-nas[{EXTRAS[backend]}]'"
        ) from None


def load_network(genome: Genome, backend: str, width: int, height: int) -> Run:
    """Load a network with random weights for an upscaled image of ``width`` and ``height`` pixels.

    It uses as many threads as PyTorch does now.
    """
    # No layer's time depends on the values.
    sides = (input_size(side, genome.scale) for side in (height, width))
    return BACKENDS[backend](Network(genome).eval(), torch.full((1, 1, *sides), 0.5))


@dataclass(frozen=True)
class Measured:
    """The time of a network.

    Attributes:
        ratio: to the time of the reference network, the median over the calmer half of the rounds.
        spread: median absolute deviation of their ratios.
        reference_ms: median time of the reference network in them.
    """

    ratio: float
    spread: float
    reference_ms: float


def time_against(reference: Run, candidate: Run, seconds: float) -> Measured:
    """Time a network in turns with a reference network.

    Args:
        reference: runs the reference network.
        candidate: runs the network.
        seconds: after it no other round begins, unless there are too few.
    """
    began = time.perf_counter()
    repeats = {run: _repeats(run) for run in (reference, candidate)}
    before = _block(reference, repeats[reference])
    rounds = list[tuple[float, float]]()  # seconds of the reference network, ratio
    while not _enough(len(rounds), time.perf_counter() - began, seconds):
        taken = _block(candidate, repeats[candidate])
        after = _block(reference, repeats[reference])
        meanwhile = fmean((before, after))
        rounds.append((meanwhile, taken / meanwhile))
        before = after
    references, ratios = zip(*sorted(rounds)[: math.ceil(len(rounds) / 2)], strict=True)
    ratio = median(ratios)
    spread = median(abs(one - ratio) for one in ratios)
    return Measured(ratio, spread, 1e3 * median(references))


def _enough(rounds: int, spent: float, seconds: float) -> bool:
    return (rounds >= ROUNDS and spent >= seconds) or (
        rounds >= SLOW_ROUNDS and spent >= SLOW * seconds
    )


def _repeats(run: Run) -> int:
    """Warm up, and return the runs of a block."""
    began, times = time.perf_counter(), list[float]()
    while len(times) < WARM_UPS and time.perf_counter() - began < WARM_UP_SECONDS:
        times.append(_seconds(run))
    return math.ceil(BLOCK_SECONDS / max(times[-1], 1e-6))


def _block(run: Run, repeats: int) -> float:
    """Return the mean seconds of runs, after one that is not timed, unless they are long."""
    if repeats > 1:
        run()
    return fmean(_seconds(run) for _ in range(repeats))


def _seconds(run: Run) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
