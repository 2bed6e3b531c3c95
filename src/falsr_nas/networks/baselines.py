"""Published networks as baselines: bicubic interpolation, SRCNN, FSRCNN, VDSR, CARN, CARN-M.

Bicubic interpolation is for any scale, the networks are for x2. All convolutions pad with zeros to
keep the size, so that the output is exactly twice the input. Weights are not included. Published
costs and scores are in :mod:`falsr_nas.benchmark.peers`. Where a network's parameters or mult-adds
differ from those by more than 0.5%, its docstring says why.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, pixel_shuffle, relu

from falsr_nas.networks.footprint import Footprint
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.space.ends import SCALE

_MEAN = (0.4488, 0.4371, 0.4040)  # mean RGB of DIV2K, which CARN subtracts


def bicubic(x: Tensor, scale: int = SCALE) -> Tensor:
    """Upscale by bicubic interpolation: (N, C, H, W) -> (N, C, sH, sW), s the scale.

    As in MATLAB: a = -0.5 (Keys, 1981), with the border replicated.
    """
    edge = 2  # taps on each side
    # PyTorch uses a = -0.5 only with antialiasing, which does not change the taps of upscaling.
    x = interpolate(
        pad(x, (edge,) * 4, mode="replicate"), scale_factor=scale, mode="bicubic", antialias=True
    )
    return x[..., scale * edge : -scale * edge, scale * edge : -scale * edge]


class Bicubic(SuperResolver):
    """Bicubic interpolation as a network without weights."""

    planes = 3

    def __init__(self, scale: int = SCALE) -> None:
        super().__init__()
        self.scale = scale
        self.footprint = Footprint(margin=2, floats=4 * scale**2 + 8)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, sH, sW)."""
        return bicubic(x, self.scale)


class SRCNN(SuperResolver):
    """SRCNN 9-5-5 (Dong et al., TPAMI 2016): three convolutions on the bicubic image."""

    planes = 1
    footprint = Footprint(margin=6, floats=390)

    def __init__(self) -> None:
        super().__init__()
        self.extract = nn.Conv2d(1, 64, 9, padding=4)
        self.map = nn.Conv2d(64, 32, 5, padding=2)
        self.restore = nn.Conv2d(32, 1, 5, padding=2)

    def forward(self, y: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, 1, 2H, 2W)."""
        x = relu(self.extract(bicubic(y)), inplace=True)
        x = relu(self.map(x), inplace=True)
        return self.restore(x)  # type: ignore[no-any-return]


class FSRCNN(SuperResolver):
    """FSRCNN(56, 12, 4) (Dong et al., ECCV 2016): all but the last layer at low resolution.

    The published 12K parameters are its 12,464 weights; biases and PReLU slopes are 345 more. The
    literature has 6.0 G mult-adds instead of 2.9 G: it counts all 9x9 taps of the transposed
    convolution for each output pixel, of which a quarter meets an input pixel at stride 2.
    """

    planes = 1
    footprint = Footprint(margin=8, floats=130)

    def __init__(self) -> None:
        super().__init__()
        self.extract = nn.Sequential(nn.Conv2d(1, 56, 5, padding=2), nn.PReLU(56))
        self.shrink = nn.Sequential(nn.Conv2d(56, 12, 1), nn.PReLU(12))
        self.map = nn.Sequential(
            *(layer for _ in range(4) for layer in (nn.Conv2d(12, 12, 3, padding=1), nn.PReLU(12)))
        )
        self.expand = nn.Sequential(nn.Conv2d(12, 56, 1), nn.PReLU(56))
        self.upscale = nn.ConvTranspose2d(56, 1, 9, stride=SCALE, padding=4, output_padding=1)

    def forward(self, y: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, 1, 2H, 2W)."""
        return self.upscale(self.expand(self.map(self.shrink(self.extract(y)))))  # type: ignore[no-any-return]


class VDSR(SuperResolver):
    """VDSR (Kim et al., CVPR 2016): 20 convolutions that predict the residual of bicubic."""

    planes = 1
    footprint = Footprint(margin=12, floats=520)

    def __init__(self) -> None:
        super().__init__()
        widths = [1, *[64] * 19]
        self.body = nn.ModuleList(nn.Conv2d(inputs, 64, 3, padding=1) for inputs in widths[:-1])
        self.restore = nn.Conv2d(64, 1, 3, padding=1)

    def forward(self, y: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, 1, 2H, 2W)."""
        coarse = x = bicubic(y)
        for layer in self.body:
            x = relu(layer(x), inplace=True)
        return coarse + self.restore(x)  # type: ignore[no-any-return]


class ResidualUnit(nn.Module):
    """The residual block: two 3x3 convolutions in CARN; in CARN-M grouped, then a 1x1 one."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, groups=groups)
        self.second = nn.Conv2d(width, width, 3, padding=1, groups=groups)
        self.third = nn.Conv2d(width, width, 1) if groups > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        inner = self.second(relu(self.first(x), inplace=True))
        if self.third is not None:
            inner = self.third(relu(inner, inplace=True))
        return relu(inner.add_(x), inplace=True)


class Cascade(nn.Module):
    """A cascade of three units; after each, a 1x1 convolution fuses all outputs so far.

    CARN is a cascade of such cascades.

    Args:
        width: number of channels.
        *units: three modules, or one whose weights are shared by all three.
    """

    def __init__(self, width: int, *units: nn.Module) -> None:
        super().__init__()
        self.units = nn.ModuleList(units)
        self.fusions = nn.ModuleList(nn.Conv2d(width * (i + 2), width, 1) for i in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        joined = x
        for i, fusion in enumerate(self.fusions):
            joined = torch.cat([joined, self.units[i % len(self.units)](x)], dim=1)
            x = relu(fusion(joined), inplace=True)
        return x


class CARN(SuperResolver):
    """CARN (Ahn et al., ECCV 2018), for x2 only.

    The published 1592K parameters are those of a network for x2, x3 and x4: its upsamplers for x3
    and x4 have 627,776.
    """

    planes = 3
    footprint = Footprint(margin=21, floats=900)
    mean: Tensor

    width: ClassVar[int] = 64
    groups: ClassVar[int] = 1

    def __init__(self) -> None:
        super().__init__()
        width = self.width
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.entry = nn.Conv2d(3, width, 3, padding=1)
        self.body = Cascade(width, *(self._block() for _ in range(3)))
        self.upscale = nn.Conv2d(width, width * SCALE**2, 3, padding=1, groups=self.groups)
        self.restore = nn.Conv2d(width, 3, 3, padding=1)

    def _block(self) -> Cascade:
        units = 3 if self.groups == 1 else 1
        return Cascade(self.width, *(ResidualUnit(self.width, self.groups) for _ in range(units)))

    def forward(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, 3, 2H, 2W), not clipped."""
        x = self.body(self.entry(rgb - self.mean))
        x = pixel_shuffle(relu(self.upscale(x), inplace=True), SCALE)
        return self.restore(x) + self.mean  # type: ignore[no-any-return]


class CARNM(CARN):
    """CARN-M (Ahn et al., ECCV 2018), for x2 only.

    Its convolutions have four groups, and the units of a block share their weights. The published
    412K parameters are those of a network for x2, x3 and x4, without biases.
    """

    groups: ClassVar[int] = 4


BASELINES: dict[str, Callable[[], SuperResolver]] = {
    "bicubic": Bicubic,
    "bicubic_x3": partial(Bicubic, 3),
    "bicubic_x4": partial(Bicubic, 4),
    "SRCNN": SRCNN,
    "FSRCNN": FSRCNN,
    "VDSR": VDSR,
    "CARN-M": CARNM,
    "CARN": CARN,
}
"""Constructors of the baselines by their names in the literature; bicubic is for x2."""

BICUBIC = ("bicubic", "bicubic_x3", "bicubic_x4")
"""The baselines without weights."""


def baseline_name(network: SuperResolver) -> str | None:
    """Return the name of a baseline, or None for any other network."""
    if isinstance(network, Bicubic):
        return BICUBIC[network.scale - SCALE]
    return next((name for name, build in BASELINES.items() if type(network) is build), None)
