"""Export to ncnn: a ``.param`` file with the layers and a ``.bin`` file with the weights.

pnnx converts a TorchScript archive. The pair is in the form that upscayl loads: the input is called
``data``, the output ``output``, both are RGB in [0, 1], and the file's name tells the scale.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from falsr_nas.models.layout import ExportError
from falsr_nas.models.portable import Files, Runner, require

INPUT, OUTPUT = "data", "output"
"""Names of the input and the output: those of Real-ESRGAN's models, which upscayl looks for."""

_SECOND_SIZE = (24, 56)  # pnnx takes the sides that differ between two examples as variable
_TIME_LIMIT = 300  # seconds; pnnx takes one for a large network

Layers = list[list[str]]
"""The lines of a ``.param`` file without its header, divided at spaces.

A line is the type, the name, the numbers of inputs and outputs, their names, and parameters."""


def check_upscayl_name(path: Path, scale: int) -> None:
    """Raise ExportError if upscayl would read another scale from the file's name.

    It looks for ``x1``, ``x2`` and so on, or ``1x``, ``2x``, in this order, and otherwise takes 4.
    """
    found = re.findall(r"(?=x([123468])|([123468])x)", path.stem.lower())
    scales = {int(after or before) for after, before in found}
    if scales != {scale}:
        raise ExportError(
            f"{path}: upscayl reads the scale from the name, which must have x{scale} and no other"
            f" scale: for example {path.with_stem(f'network-x{scale}').name}"
        )


def to_ncnn(module: nn.Module, example: Tensor, metadata: Mapping[str, Any]) -> Files:
    """Export to ncnn with pnnx; weights are float32. The files have no room for metadata.

    Raises:
        ExportError: packages are missing, or ncnn lacks an operator of the network.
    """
    require("exporting to ncnn", "ncnn", "pnnx", "ncnn")
    import pnnx

    traced = torch.jit.trace(module, example[:1], check_trace=False)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as folder:
        torch.jit.save(traced, Path(folder) / "model.pt")
        sizes = {"inputshape": example.shape[-2:], "inputshape2": _SECOND_SIZE}
        shapes = [f"{name}=[1,{example.shape[1]},{h},{w}]f32" for name, (h, w) in sizes.items()]
        try:
            done = subprocess.run(
                [pnnx.EXEC_PATH, "model.pt", *shapes, "fp16=0"],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=_TIME_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ExportError(f"pnnx took more than {_TIME_LIMIT} seconds") from None
        try:
            param = (Path(folder) / "model.ncnn.param").read_text()
            graph = (Path(folder) / "model.pnnx.param").read_text()
            weights = (Path(folder) / "model.ncnn.bin").read_bytes()
        except OSError:
            said = (done.stderr or done.stdout).strip().splitlines()
            reason = said[-1] if said else f"exit code {done.returncode}"
            raise ExportError(f"pnnx could not convert the model: {reason}") from None
    return {".param": tidy(param, graph).encode(), ".bin": weights}


def tidy(param: str, graph: str) -> str:
    """Replace what pnnx leaves of the network in a ``.param`` file, and name input and output.

    pnnx 20261020 knows no ``channel_shuffle``: with the pixel shuffle after it, it becomes ncnn's
    pixel shuffle in TensorFlow's order (mode 1).

    Args:
        param: the ``.param`` file.
        graph: pnnx's own file of the same network, which has the constants.

    Raises:
        ExportError: an operator is left that ncnn does not have.
    """
    magic, _, *lines = param.strip().splitlines()
    constants = dict(re.findall(r"^pnnx\.Expression +(\S+) .* expr=(\d+)(?= |$)", graph, re.M))
    layers = _joined_shuffles([line.split() for line in lines], constants)
    foreign = {layer[0] for layer in layers if not layer[0].isalnum()}
    if unknown := sorted(foreign - {"pnnx.Expression"}):
        raise ExportError(f"ncnn has no operator for {', '.join(unknown)} of this network")
    new = {"in0": INPUT, "out0": OUTPUT}
    layers = [
        [*layer[:4], *(new.get(name, name) for name in _blobs(layer)), *_parameters(layer)]
        for layer in layers
    ]
    blobs = sum(int(layer[3]) for layer in layers)
    rows = [" ".join([f"{layer[0]:<24} {layer[1]:<24}", *layer[2:]]) for layer in layers]
    return "\n".join([magic, f"{len(layers)} {blobs}", *rows]) + "\n"


def from_ncnn(files: Files) -> Runner:
    """Load a model with ncnn, on the CPU in float32. Batches are run image by image.

    Raises:
        ExportError: ncnn is missing, or does not load the files.
    """
    require("running ncnn", "ncnn", "ncnn")
    import ncnn

    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.use_bf16_storage = False
    net.opt.num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        for suffix, content in files.items():
            (Path(folder) / f"model{suffix}").write_bytes(content)
        if net.load_param(f"{folder}/model.param") or net.load_model(f"{folder}/model.bin"):
            raise ExportError("ncnn does not load the model")

    def run(image: Tensor) -> Tensor:
        extractor = net.create_extractor()
        extractor.input(INPUT, ncnn.Mat(np.ascontiguousarray(image.numpy())))
        code, output = extractor.extract(OUTPUT)
        if code:
            raise ExportError(f"ncnn could not run the model (code {code})")
        return torch.from_numpy(np.array(output))

    return lambda x: torch.stack([run(image) for image in x])


def _joined_shuffles(layers: Layers, constants: Mapping[str, str]) -> Layers:
    """Join each channel shuffle with the pixel shuffle after it; drop constants without readers."""
    makers = {name: layer for layer in layers for name in _blobs(layer)[int(layer[2]) :]}
    joined: Layers = []
    for layer in layers:
        before = makers[_blobs(layer)[0]]
        if layer[0] != "PixelShuffle" or before[0] != "aten::channel_shuffle":
            joined.append(layer)
            continue
        source, groups, _ = _blobs(before)
        parameters = dict(word.split("=") for word in _parameters(layer))
        if constants.get(makers[groups][1]) != str(int(parameters["0"]) ** 2):
            raise ExportError("ncnn has no operator for this network's channel shuffle")
        if before in joined:
            joined.remove(before)
        joined.append([*layer[:4], source, _blobs(layer)[-1], f"0={parameters['0']}", "1=1"])
    used = {name for layer in joined for name in _blobs(layer)[: int(layer[2])]}
    return [layer for layer in joined if layer[0] != "pnnx.Expression" or _blobs(layer)[-1] in used]


def _blobs(layer: list[str]) -> list[str]:
    """Names of a layer's inputs and outputs."""
    return layer[4 : 4 + int(layer[2]) + int(layer[3])]


def _parameters(layer: list[str]) -> list[str]:
    return layer[4 + int(layer[2]) + int(layer[3]) :]
