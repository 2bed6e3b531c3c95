"""A trained model as an object: its network, what it is called, and its use on images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

from numpy.typing import NDArray
from PIL import Image

from falsr_nas.inference.memory import MIB
from falsr_nas.models.runtime_choice import Precision, Runtime
from falsr_nas.models.runtimes import in_runtime
from falsr_nas.networks.network import Network, without_residual
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.photo.in_memory import enlarge
from falsr_nas.photo.photograph import upscale_photograph
from falsr_nas.space.genome import Genome


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Model:
    """A network with its weights, in evaluation mode.

    Attributes:
        network: the network, on the CPU, in float32.
        name: the file's name without its suffix, or the folder's name.
        provenance: origin of the weights, e.g. ``{"source": "FALSR-A.pb", "sha256": "..."}``.
        path: the file or folder that the model was loaded from, or None.
    """

    network: SuperResolver
    name: str
    provenance: Mapping[str, str]
    path: Path | None = None

    @property
    def scale(self) -> int:
        """The factor by which width and height grow."""
        return self.network.scale

    @property
    def genome(self) -> Genome | None:
        """The genome of the network; None for bicubic interpolation and ONNX files."""
        plain = without_residual(self.network)
        return plain.genome if isinstance(plain, Network) else None

    def in_runtime(self, runtime: str = Runtime.auto, precision: str = Precision.auto) -> Model:
        """Return this model, computed by another runtime or in another precision.

        Args:
            runtime: ``torch``, ``onnxruntime``, ``openvino``, or ``auto`` for the fastest that is
                installed, by a measurement of about a second that is made once.
            precision: ``fp32``, ``bf16``, or ``auto`` for bf16 where it is faster and keeps to the
                levels of float32.

        Raises:
            UserError: packages are missing, or the runtime lacks the precision.
        """
        chosen = Runtime(runtime), Precision(precision)
        return replace(self, network=in_runtime(self.network, *chosen))

    @overload
    def upscale(
        self, image: NDArray[Any], *, self_ensemble: bool = ..., memory_limit: int = ...
    ) -> NDArray[Any]: ...

    @overload
    def upscale(
        self,
        image: Image.Image | str | os.PathLike[str],
        *,
        self_ensemble: bool = ...,
        memory_limit: int = ...,
    ) -> Image.Image: ...

    def upscale(
        self,
        image: Image.Image | NDArray[Any] | str | os.PathLike[str],
        *,
        self_ensemble: bool = False,
        memory_limit: int = 2048,
    ) -> Image.Image | NDArray[Any]:
        """Upscale an image by :attr:`scale`; the pixels are those of ``falsr_nas.upscale``.

        Args:
            image: an image of Pillow, or the path of an image file, for an image of Pillow; or an
                array for an array of its type: (H, W) grey, or (H, W, C) with C of 1 to 4 for
                grey, grey and alpha, RGB, RGB and alpha. Arrays are uint8 in 0..255, uint16 in
                0..65535, or floats in 0..1, whose results are clipped to 0..1 and not rounded.
                Palettes, CMYK and YCbCr become RGB, the EXIF orientation is applied, and the ICC
                profile and EXIF data are kept in ``info``.
            self_ensemble: average over the eight flips and rotations, for eight times the work.
            memory_limit: MiB for the whole process; larger images are upscaled in tiles.

        Returns:
            (sH, sW) or (sH, sW, C) for an array, s being the scale.

        Raises:
            UserError: the image cannot be read, is of another kind, or needs more memory. Pillow
                has no images of 16 bits with more than one channel: such files need an array, or
                the command.
        """
        return enlarge(
            image,
            lambda photograph: upscale_photograph(
                self.network, photograph, memory_limit * MIB, self_ensemble
            ),
        )

    def __repr__(self) -> str:
        """Return name, scale, size and genome in one line."""
        size = sum(parameter.numel() for parameter in self.network.parameters())
        kind = type(self.network).__name__ if self.genome is None else f"'{self.genome}'"
        return f"Model({self.name!r}, x{self.scale}, {size:,} parameters, {kind})"
