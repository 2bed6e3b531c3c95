"""Networks of genomes run by PyTorch, onnxruntime or OpenVINO, in float32 or bfloat16.

``auto`` takes the fastest. It is measured once for a model, a processor and a number of threads,
and remembered.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from importlib.metadata import version
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from falsr_nas.core.errors import UserError
from falsr_nas.core.processor import processor_name
from falsr_nas.core.version import __version__
from falsr_nas.models.portable import Runner, onnx_session, require
from falsr_nas.models.runtime_choice import (
    EXTRAS,
    Choice,
    Precision,
    Runtime,
    check_runtime,
    remember,
    remembered,
)
from falsr_nas.models.traced_onnx import traced_onnx
from falsr_nas.networks.network import BilinearResidual, Network, without_residual
from falsr_nas.networks.runtime_network import RuntimeNetwork, cpu_has_bf16
from falsr_nas.networks.super_resolver import SuperResolver

MOST_LEVELS, MOST_ERROR = 1.0, 0.2
"""How far ``auto`` may be from PyTorch in float32, in 8-bit levels: an output pixel, and the root
of the mean square, which changes an image of 40 dB by 0.03 dB."""

_SIDE = 128  # of the image that is measured; our choice
_ROUNDS = 2


def in_runtime(
    network: SuperResolver,
    runtime: Runtime = Runtime.auto,
    precision: Precision = Precision.auto,
) -> SuperResolver:
    """Return a network that computes the same in a runtime, on as many threads as PyTorch uses now.

    Bicubic interpolation and ONNX files run where they always do, unless another is asked for.

    Args:
        network: in evaluation mode, on the CPU.
        runtime: what runs it; ``auto`` may take a second for the first measurement.
        precision: with ``auto``, bfloat16 is taken only where the output of a test image is within
            :data:`MOST_LEVELS` and :data:`MOST_ERROR` of float32.

    Raises:
        UserError: packages are missing, or the runtime lacks the precision or cannot run the
            network.
    """
    check_runtime(runtime, precision)
    plain = without_residual(network)
    if not isinstance(plain, Network):
        own = Runtime.onnxruntime if isinstance(network, RuntimeNetwork) else Runtime.torch
        if runtime not in (Runtime.auto, own) or precision is Precision.bf16:
            raise UserError(
                f"this model runs in {own} and float32 only: leave out runtime and precision"
            )
        return network
    network = BilinearResidual(plain) if isinstance(network, BilinearResidual) else plain
    choices = list(_choices(runtime, precision))
    if len(choices) == 1:
        return _built(network, choices[0])
    key = _key(network, choices)
    choice = remembered(key)
    if choice not in choices:
        choice = _fastest(network, choices, is_checked=precision is Precision.auto)
        remember(key, choice)
    return _built(network, choice)


def _choices(runtime: Runtime, precision: Precision) -> Iterator[Choice]:
    """Yield what can run here; PyTorch in float32 first, where that is allowed."""
    for tried in (Runtime.torch, Runtime.onnxruntime, Runtime.openvino):
        if runtime not in (Runtime.auto, tried):
            continue
        if tried in EXTRAS:
            extra, packages = EXTRAS[tried]
            if runtime is tried:
                require(f"runtime={tried}", extra, *packages)
            elif not all(map(find_spec, packages)):
                continue
        if precision is not Precision.bf16:
            yield tried, Precision.fp32
        if tried is not Runtime.onnxruntime and (
            precision is Precision.bf16 or (precision is Precision.auto and cpu_has_bf16())
        ):
            yield tried, Precision.bf16


def _key(network: SuperResolver, choices: list[Choice]) -> str:
    """Return a digest of all that decides what is fastest."""
    weights = hashlib.sha256()
    for tensor in network.state_dict().values():
        weights.update(tensor.contiguous().numpy().tobytes())
    packages = {package for runtime, _ in choices for package in (runtime, "torch")}
    about = [
        __version__,
        processor_name(),
        torch.get_num_threads(),
        str(without_residual(network).genome),
        type(network).__name__,
        weights.hexdigest(),
        [list(choice) for choice in choices],
        sorted((package, version(package)) for package in packages),
    ]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]


def _fastest(network: SuperResolver, choices: list[Choice], is_checked: bool) -> Choice:
    """Measure choices in turns; leave out those whose output is too far from float32's."""
    image = _test_image()
    seconds: dict[Choice, float] = {}
    with torch.inference_mode():
        wanted = network(image)
        built = {}
        for choice in choices:
            with suppress(UserError):  # a plug-in's operator that the runtime lacks
                built[choice] = _built(network, choice)
        if is_checked:
            built = {choice: run for choice, run in built.items() if is_close(run(image), wanted)}
        for _ in range(_ROUNDS):
            for choice, run in built.items():
                began = time.perf_counter()
                run(image)
                took = time.perf_counter() - began
                seconds[choice] = min(took, seconds.get(choice, took))
    return min(seconds, key=lambda choice: seconds[choice])


def is_close(output: Tensor, wanted: Tensor) -> bool:
    """Whether two outputs in [0, 1] agree within :data:`MOST_LEVELS` and :data:`MOST_ERROR`."""
    error = 255 * (output.clamp(0, 1) - wanted.clamp(0, 1))
    return bool(error.abs().max() <= MOST_LEVELS and error.square().mean() <= MOST_ERROR**2)


def _test_image() -> Tensor:
    """Return an image with the spectrum of a photograph and edges, (1, 1, side, side)."""
    random = torch.Generator().manual_seed(0)
    sizes = [4 * 2**i for i in range(6)]
    waves = [torch.rand(1, 1, size, size, generator=random) - 0.5 for size in sizes]
    octaves = [interpolate(w, (_SIDE, _SIDE), mode="bicubic") / 2**i for i, w in enumerate(waves)]
    image: Tensor = sum(octaves, torch.full((1, 1, _SIDE, _SIDE), 0.5))
    y, x = torch.meshgrid(torch.arange(_SIDE), torch.arange(_SIDE), indexing="ij")
    return torch.where((x + 2 * y) % 97 < 40, 0.6 * image, image).clamp(0, 1)


def _built(network: SuperResolver, choice: Choice) -> SuperResolver:
    runtime, precision = choice
    if choice == (Runtime.torch, Precision.fp32):
        return network
    plain = without_residual(network)
    assert isinstance(plain, Network)
    is_half = precision is Precision.bf16
    module = _with_split_input(plain) if is_half else plain
    run = _RUNNERS[runtime](module, 3 if is_half else 1, is_half)
    split = (lambda x: run(split_input(x))) if is_half else run
    inner = RuntimeNetwork(split, 1, plain.scale, plain.footprint, origin=plain)
    return BilinearResidual(inner) if isinstance(network, BilinearResidual) else inner


def split_input(x: Tensor) -> Tensor:
    """Split luma into what bfloat16 holds of it, the rest, and the former again: 1 -> 3 planes."""
    high = x.bfloat16().float()
    return torch.cat([high, x - high, high], dim=1)


def _with_split_input(network: Network) -> Network:
    """Return a copy whose stem reads :func:`split_input`.

    Rounded to bfloat16, the input is off by up to half an 8-bit level, which would be half of the
    error of the whole network. Products of the parts of image and weights are nearly those of
    float32, and the stem has channels to spare in any runtime.
    """
    copy = deepcopy(network)
    stem = network.stem
    high = stem.weight.bfloat16().float()
    copy.stem = nn.Conv2d(3, stem.out_channels, stem.kernel_size, stem.stride, stem.padding)  # type: ignore[arg-type]
    with torch.no_grad():
        copy.stem.weight.copy_(torch.cat([high, high, stem.weight - high], dim=1))
    copy.stem.bias = stem.bias
    return copy.eval()


def _in_torch(module: nn.Module, planes: int, is_half: bool) -> Runner:
    half = deepcopy(module).to(torch.bfloat16).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return lambda x: half(x.bfloat16()).float()


def _in_onnxruntime(module: nn.Module, planes: int, is_half: bool) -> Runner:
    session = onnx_session(_onnx(module, planes))
    return lambda x: torch.from_numpy(session.run(None, {"input": x.numpy()})[0])


def _in_openvino(module: nn.Module, planes: int, is_half: bool) -> Runner:
    import openvino

    core = openvino.Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if is_half else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled = core.compile_model(core.read_model(_onnx(module, planes)), "CPU", settings)

    def run(x: Tensor) -> Tensor:
        request = compiled.create_infer_request()  # of its own: several threads may call
        return torch.from_numpy(request.infer({0: x.numpy()}, share_inputs=True)[0])

    return run


_RUNNERS = {
    Runtime.torch: _in_torch,
    Runtime.onnxruntime: _in_onnxruntime,
    Runtime.openvino: _in_openvino,
}


def _onnx(module: nn.Module, planes: int) -> bytes:
    # Networks run kernels of this processor in inference mode, which no file can hold.
    with torch.inference_mode(False), torch.no_grad():
        content = traced_onnx(module, planes)
    if content is None:
        raise UserError("this network has operators that only PyTorch runs: leave out runtime")
    return content
