"""Networks that another runtime or arithmetic computes, such as ONNX files run by onnxruntime."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

import torch
from torch import Tensor

from falsr_nas.networks.footprint import Footprint
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.space.cost import Cost

LARGEST_MARGIN = 48
"""Largest margin, in low-resolution pixels, at which images are upscaled in tiles; our choice."""

MARGIN_TOLERANCE = 1e-4
"""Largest difference at the edges of tiles: a fortieth of an 8-bit level; our choice."""

NO_TILES = 10**6
"""Margin of networks that must see the whole image: larger than any image."""

_CUTS = (0, 1, 2)  # further pixels at which a margin must hold: attention works on fixed windows


def cpu_has_bf16() -> bool:
    """Return whether this processor has bfloat16 in hardware; emulation is slower than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


class RuntimeNetwork(SuperResolver):
    """A network that another runtime computes: (N, planes, H, W) -> (N, planes, sH, sW).

    It has no weights that PyTorch could train, move or save, except for those of the network that
    it was made from, its ``origin``, if there is one. Its output is what ``run`` returns; its
    ``cost`` is None where parameters and mult-adds are not known.
    """

    def __init__(
        self,
        run: Callable[[Tensor], Tensor],
        planes: int,
        scale: int,
        footprint: Footprint,
        cost: Cost | None = None,
        *,
        origin: SuperResolver | None = None,
    ) -> None:
        super().__init__()
        self._run = run
        self.planes, self.scale = planes, scale
        self.footprint, self.cost = footprint, cost
        self.origin = origin

    def forward(self, x: Tensor) -> Tensor:
        """(N, planes, H, W) in [0, 1] -> (N, planes, sH, sW), not clipped."""
        return self._run(x.contiguous())


def measured_margin(run: Callable[[Tensor], Tensor], planes: int, scale: int, step: int = 1) -> int:
    """Measure the margin that tiles need: an image and its centre, cut out, are both upscaled.

    Cuts are at multiples of ``step``, and so is the centre, a square of as many pixels.

    Returns:
        The smallest margin at which the pixel in the centre differs by at most
        :data:`MARGIN_TOLERANCE`; :data:`NO_TILES` if :data:`LARGEST_MARGIN` is not enough.
    """
    largest = -(-LARGEST_MARGIN // step)  # all in steps
    centre = largest + max(_CUTS) + 1
    side = step * (2 * centre + 1)
    image = torch.rand(1, planes, side, side, generator=torch.Generator().manual_seed(0))
    place = slice(scale * step * centre, scale * step * (centre + 1))
    wanted = run(image)[..., place, place]

    def holds(margin: int) -> bool:
        for cut in _CUTS:
            before = margin + cut  # not centred, so that windows do not fall alike
            part = slice(step * (centre - before), step * (centre + margin + 1))
            kept = slice(scale * step * before, scale * step * (before + 1))
            output = run(image[..., part, part].contiguous())[..., kept, kept]
            if not (output - wanted).abs().max() <= MARGIN_TOLERANCE:
                return False
        return True

    if not holds(largest):
        return NO_TILES
    return step * bisect_left(range(largest), True, key=holds)
