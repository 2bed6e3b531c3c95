"""8-bit ONNX models: static quantisation in the QDQ form, in mixed precision.

Weights are signed, one scale per channel; activations are unsigned, one scale per tensor, from the
smallest and largest value on the calibration images. Super-resolution is more sensitive than
classification, because its output is the image itself: quantising all of FALSR-B loses 0.5 dB.
Nodes are therefore kept in float32, the most sensitive ones first, until the loss on the
calibration images is small.

Colour conversion and the interpolation of chroma stay in float32. Pixel shuffles are moved in 8
bits by onnxruntime 1.21 and later.
"""

from __future__ import annotations

import math
import tempfile
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from falsr_nas.core.quiet import quiet
from falsr_nas.inference.color import rgb_to_ypbpr
from falsr_nas.models.export import from_onnx
from falsr_nas.models.layout import ExportError
from falsr_nas.models.portable import require

if TYPE_CHECKING:
    import onnx

ALLOWED_LOSS = 0.15
"""dB that quantisation may lose of :data:`REFERENCE_PSNR` by its noise on the calibration images.

Our choice, below the 0.2 dB that an int8 model may lose on the images that it is measured on."""

REFERENCE_PSNR = 38.0
"""PSNR in dB of an easy image without quantisation, as those of Set5 at x2: there its noise shows
most."""

_MEASURED_IMAGES = 6  # of the calibration images, for the loss; our choice
_STUDIO_RANGE = 219 / 255  # of the luma that is scored, as a share of the full range

_QUANTISED = ("Conv", "Relu", "Add", "Concat", "DepthToSpace", "Resize")
_FOLLOWS = ("Relu",)  # as the node before it
_LUMA, _CHROMA = "to_luma", "to_chroma"  # weights of RgbUpscaler around a luma network


def quantise(
    content: bytes, images: Sequence[Tensor], allowed: float = ALLOWED_LOSS
) -> tuple[bytes, tuple[str, ...]]:
    """Quantise an ONNX model to 8 bits.

    Args:
        content: of a float32 ONNX file as :func:`falsr_nas.models.export.to_onnx` writes it.
        images: calibration images as the model takes them, (1, planes, H, W) of one size.
        allowed: dB that the noise of quantisation may take from :data:`REFERENCE_PSNR`.

    Returns:
        The content of the quantised file, and the names of the nodes of the network that stay in
        float32, the most sensitive first.

    Raises:
        ExportError: packages are missing, or nothing can be quantised.
    """
    require("exporting to int8", "export", "onnx", "onnxruntime")
    # onnxruntime's quantiser logs advice that is followed here.
    with tempfile.TemporaryDirectory() as folder, quiet("root"):
        return _Quantiser(content, images, Path(folder)).within(allowed)


class _Quantiser:
    """Quantised versions of one model, and what they lose."""

    def __init__(self, content: bytes, images: Sequence[Tensor], folder: Path) -> None:
        import onnx
        from onnxruntime.quantization.shape_inference import quant_pre_process

        self.metadata = onnx.load_model_from_string(content).metadata_props
        (folder / "float.onnx").write_bytes(content)
        ready = folder / "ready.onnx"
        quant_pre_process(str(folder / "float.onnx"), str(ready), skip_symbolic_shape=True)
        self.model = onnx.load(ready)
        self.nodes = network_nodes(self.model)
        self.ranges = self._ranges(folder, images)
        self.images = images[:_MEASURED_IMAGES]
        reference = from_onnx(content)
        self.outputs = [_luma(reference(image)) for image in self.images]

    def within(self, allowed: float) -> tuple[bytes, tuple[str, ...]]:
        """Return the model with the fewest nodes in float32 that loses at most ``allowed`` dB."""
        content = self.build(())
        if self.loss(content) <= allowed:
            return content, ()

        def lost_by(node: str) -> float:
            return self.loss(self.build([other for other in self.nodes if other != node]))

        order = sorted(self.nodes, key=lost_by, reverse=True)
        counts = range(1, len(order))  # of nodes to keep

        def suffices(count: int) -> bool:
            return self.loss(self.build(order[:count])) <= allowed

        enough = bisect_left(counts, True, key=suffices)
        if enough == len(counts):
            raise ExportError(
                f"every quantised layer loses more than {allowed:g} dB on the calibration images"
            )
        kept = order[: counts[enough]]
        return self.build(kept), tuple(kept)

    def build(self, kept: Sequence[str]) -> bytes:
        """Return the model with all nodes quantised but ``kept`` and those around the network."""
        import onnx
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        copy = onnx.ModelProto()
        copy.CopyFrom(self.model)
        others = {node.name for node in copy.graph.node if node.op_type not in _FOLLOWS}
        quantizer = QDQQuantizer(
            copy,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=self.ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=sorted(others - set(self.nodes)) + list(kept),
            op_types_to_quantize=list(_QUANTISED),
            extra_options={},
        )
        quantizer.quantize_model()
        result = quantizer.model.model
        result.producer_name = self.model.producer_name
        result.producer_version = self.model.producer_version
        del result.metadata_props[:]
        result.metadata_props.extend(self.metadata)
        result.metadata_props.add(key="precision", value="int8")
        return bytes(result.SerializeToString())

    def loss(self, content: bytes) -> float:
        """Return the dB that the noise of a quantised model takes from :data:`REFERENCE_PSNR`."""
        run = from_onnx(content)
        noise = [
            (_luma(run(image)) - output).square().mean()
            for image, output in zip(self.images, self.outputs, strict=True)
        ]
        scored = float(torch.stack(noise).mean()) * _STUDIO_RANGE**2
        return 10 * math.log10(1 + scored * 10 ** (REFERENCE_PSNR / 10))

    def _ranges(self, folder: Path, images: Sequence[Tensor]) -> Any:
        """Return the smallest and largest value of every tensor on the calibration images."""
        from onnxruntime.quantization.calibrate import (
            CalibrationDataReader,
            CalibrationMethod,
            create_calibrator,
        )

        feeds = iter([{"input": image.numpy()} for image in images])

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            def get_next(self) -> dict[str, Any] | None:
                return next(feeds, None)

        calibrator = create_calibrator(
            folder / "ready.onnx",
            None,
            augmented_model_path=str(folder / "augmented.onnx"),
            calibrate_method=CalibrationMethod.MinMax,
        )
        calibrator.collect_data(Reader())
        return calibrator.compute_data()


def network_nodes(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes that may be quantised: those of the network alone.

    Around a luma network these are the nodes that depend on the luma and not on the chroma.
    """
    after_luma = _descendants(model, _LUMA)
    inside = after_luma - _descendants(model, _CHROMA) if after_luma else None
    return [
        node.name
        for node in model.graph.node
        if node.op_type in _QUANTISED
        and node.op_type not in _FOLLOWS
        and (inside is None or node.name in inside)
        and _LUMA not in node.input
    ]


def _descendants(model: onnx.ModelProto, weight: str) -> set[str]:
    """Return the names of the nodes that depend on a weight."""
    values, names = {weight}, set()
    for node in model.graph.node:
        if values & set(node.input):
            values |= set(node.output)
            names.add(node.name)
    return names


def _luma(image: Tensor) -> Tensor:
    return rgb_to_ypbpr(image)[:, :1] if image.shape[1] == 3 else image
