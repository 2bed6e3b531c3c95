"""Expanded convolutions: over-parameterised while they train, plain everywhere else.

The kernel of a convolution is trained as ``base + narrow @ wide``: the product of a wide k x k
kernel and a narrow 1 x 1 kernel (Bhardwaj et al., SESR, 2022; Zhang et al., ECBSR, 2021). The
kernels are multiplied at every step, not the images, so a forward pass costs almost what it costs
without expansion. Costs, genomes and saved models are those of the plain network.

The constant ``base`` makes the initial kernel any given one, so that an expanded network begins
with the output of the plain one: with its initial weights, or with weights of an earlier training.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from falsr_nas.networks.cells import layers_named
from falsr_nas.networks.network import Network, layer_seed

GAIN = 0.25
"""Variance of the initial product, as a multiple of He's; our choice."""


class ExpandedConv(nn.Module):
    """A convolution whose kernel is a constant plus the product of two trained matrices.

    Its output is at first that of the plain convolution.

    Args:
        plain: the convolution that it replaces.
        width: channels of the wide kernel per group; at least twice the outputs per group.

    Attributes:
        base: the constant (out, in / g, k, k).
        wide: (g, width, k k in / g), trained.
        narrow: (g, out / g, width), trained.
        bias: (out,), trained.
        merged: kernel and bias for the next forward pass, where its network has computed them.
    """

    base: Tensor
    merged: tuple[Tensor, Tensor] | None = None

    def __init__(self, plain: nn.Conv2d, width: int) -> None:
        super().__init__()
        weight, groups = plain.weight.detach(), plain.groups
        fan_in, outputs = weight[0].numel(), len(weight) // groups
        width = max(width, 2 * outputs)
        self.padding, self.groups, self.bias = plain.padding, groups, plain.bias
        self.wide = nn.Parameter(torch.randn(groups, width, fan_in) / fan_in**0.5)
        scale = (2 * GAIN / width) ** 0.5
        self.narrow = nn.Parameter(scale * torch.randn(groups, outputs, width))
        product = merged_kernel(torch.zeros_like(weight), self.wide, self.narrow)
        self.register_buffer("base", weight - product.detach())

    @property
    def weight(self) -> Tensor:
        """The kernel (out, in / g, k, k)."""
        with torch.autocast(self.base.device.type, enabled=False):
            return merged_kernel(self.base, self.wide, self.narrow)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W)."""
        weight, bias = self.merged or (self.weight, self.bias)
        self.merged = None  # of this pass alone: weights may change
        return conv2d(x, weight, bias, padding=self.padding, groups=self.groups)


def merge_together(network: nn.Module, inputs: object = None) -> None:
    """Compute the kernels of all expanded convolutions of a network, layers of one shape at once.

    It runs before each forward pass. The kernels of a small network are worth a few microseconds,
    but alone each takes a dozen operations, there and back, as long as its convolution.
    """
    alike: dict[object, list[ExpandedConv]] = {}
    for layer in network.modules():
        if isinstance(layer, ExpandedConv):
            alike.setdefault((layer.base.shape, layer.wide.shape), []).append(layer)
    for layers in alike.values():
        device = layers[0].base.device.type
        parts = zip(*((e.base, e.wide, e.narrow, e.bias) for e in layers), strict=True)
        with torch.autocast(device, enabled=False):
            *matrices, biases = (torch.cat(part) for part in parts)
            kernels = merged_kernel(*matrices)
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            kernels, biases = kernels.to(dtype), biases.to(dtype)
        both = kernels.chunk(len(layers)), biases.chunk(len(layers))
        for layer, kernel, bias in zip(layers, *both, strict=True):
            layer.merged = kernel, bias


def merged_kernel(base: Tensor, wide: Tensor, narrow: Tensor) -> Tensor:
    """Return the plain kernel ``base + narrow @ wide``, (out, in / g, k, k).

    Args:
        base: (out, in / g, k, k).
        wide: (g, width, k k in / g), channels last, which convolutions want.
        narrow: (g, out / g, width).
    """
    outputs, inputs, height, width = base.shape
    flat = base.permute(0, 2, 3, 1).reshape(len(wide), outputs // len(wide), -1)
    kernel = torch.baddbmm(flat, narrow, wide)
    return kernel.view(outputs, height, width, inputs).permute(0, 3, 1, 2)


def expand(network: Network, width: int, seed: int) -> None:
    """Expand the convolutions of a network in place; its output does not change.

    The stem, the last convolution, and the convolutions that cells name (the depthwise and last
    ones of bottlenecks) stay as they are: they are small, or begin at zero. The CPU's
    global random generator is not changed.

    Args:
        network: a plain network, on the CPU.
        width: as that of :class:`ExpandedConv`.
        seed: of the initial matrices. They are the same for layers of the same name and shape.
    """
    plain: set[nn.Module] = {network.stem, network.restore}
    plain |= {*layers_named(network, "not_expanded"), *layers_named(network, "begins_at_zero")}
    with torch.random.fork_rng(devices=[]):
        for name, layer in list(network.named_modules()):
            if isinstance(layer, nn.Conv2d) and layer not in plain:
                torch.manual_seed(layer_seed(seed, f"{name}.expanded", layer.weight.shape))
                network.set_submodule(name, ExpandedConv(layer, width))
    network.register_forward_pre_hook(merge_together)


def merged_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the plain network from the ``state_dict`` of an expanded one.

    Weights of a plain network are returned as they are.

    Raises:
        ValueError: the tensors of an expanded convolution are incomplete or do not fit together.
    """
    merged = dict(weights)
    for name in weights:
        if name.endswith(".base"):
            layer = name.removesuffix(".base")
            parts = [merged.pop(f"{layer}.{part}", None) for part in ("base", "wide", "narrow")]
            merged[f"{layer}.weight"] = _checked_kernel(layer, *parts)
    return merged


def _checked_kernel(
    layer: str, base: Tensor | None, wide: Tensor | None, narrow: Tensor | None
) -> Tensor:
    if base is None or wide is None or narrow is None:
        raise ValueError(f"the expanded convolution {layer!r} is not complete")
    groups, outputs, width = narrow.shape if narrow.dim() == 3 else (0, 0, 0)
    if base.dim() != 4 or not len(base) == groups * outputs > 0:
        raise ValueError(f"the tensors of {layer!r} do not fit together")
    if wide.shape != (groups, width, base[0].numel()):
        raise ValueError(f"the tensors of {layer!r} do not fit together")
    return merged_kernel(base.float(), wide.float(), narrow.float())
