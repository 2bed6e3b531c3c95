"""Inheritance of trained weights: a network begins with the weights of another one like it.

Cells, nodes and layers correspond by their position. Of a layer that both networks have, the
weights between channels that both have are copied; a kernel of another size is cut, or padded with
zeros, around its centre. What is new begins so that it does not change the output: input channels
with zero weights, further bottlenecks with a zero projection, further convolutions as the identity.
So the output of the child is that of the parent where a link, channels, repeats without a residual,
or a larger kernel were added, or groups were joined.

The output does change where something was taken away, where a residual was added, and where the
channels of a grouped convolution fall into other groups. Weights that have no counterpart then keep
their initial values, as do the last layers where the stem or the upsampler is another one: the
output begins anew. A cell with another kind of module (bottleneck or not, for example) begins anew;
its consumers keep their weights by the position of the channels. In cells of plug-ins, layers
correspond by their names.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from falsr_nas.networks.cells import (
    ConvCell,
    InvertedBottleneck,
    InvertedBottleneckCell,
    layers_named,
)
from falsr_nas.networks.expansion import merged_weights
from falsr_nas.networks.network import Network
from falsr_nas.space.genome import Genome

NEW_RESIDUAL = 0.1
"""Factor of the initial weights of convolutions that are new in a residual branch: they disturb
little, and unlike zero weights before a ReLU they are trained (our choice)."""

_Channels = Tensor
"""For each channel of the child, the channel of the parent (int64), or -1 where it is new."""


def tensors_of(network: Network) -> dict[str, NDArray[np.float32]]:
    """Return the weights of a network by name, as float32 arrays.

    Expanded convolutions are multiplied out: the weights are those of the plain network.
    """
    return {
        name: tensor.detach().cpu().contiguous().numpy()
        for name, tensor in merged_weights(network.state_dict()).items()
    }


@torch.no_grad()
def inherit(network: Network, parent: Genome, tensors: Mapping[str, Tensor]) -> None:
    """Give a network the weights of its parent.

    Args:
        network: the child with its initial weights, which what is new in it keeps.
        parent: genome of the parent.
        tensors: weights of the parent by name.
    """
    if str(parent.canonical()) == str(network.genome.canonical()):
        network.load_state_dict(dict(tensors))
        return
    child, old = network.genome, Network(parent)
    old.load_state_dict(dict(tensors))
    _copy(network.stem, old.stem, _common(1, 1))
    for target in range(1, min(child.n, parent.n) + 1):
        _inherit_cell(
            network.cells[target - 1],
            old.cells[target - 1],
            _inputs(child, target, parent, target),
        )
    last = _inputs(child, child.n + 1, parent, parent.n + 1)
    if network.merge is not None and old.merge is not None:
        _copy(network.merge, old.merge, last)
    if child.ends != parent.ends:
        return  # the channels are shuffled into other sub-pixels
    if network.widen is not None and old.widen is not None:
        _copy(network.widen, old.widen, _common(old.widen.in_channels))
    inputs = last if network.merge is None else _common(old.restore.in_channels)
    _copy(network.restore, old.restore, inputs)


def _inherit_cell(new: nn.Module, old: nn.Module, inputs: _Channels) -> None:
    if isinstance(new, ConvCell) and isinstance(old, ConvCell):
        _inherit_convs(new, old, inputs)
    elif isinstance(new, InvertedBottleneckCell) and isinstance(old, InvertedBottleneckCell):
        _inherit_bottlenecks(new, old, inputs)
    elif type(new) is type(old):
        _inherit_by_name(new, old, inputs)


def _inherit_convs(new: ConvCell, old: ConvCell, inputs: _Channels) -> None:
    layers, before = _convs(new), _convs(old)
    for layer, source in zip(layers, before, strict=False):
        _copy(layer, source, inputs)
        inputs = _common(layer.out_channels, source.out_channels)
    for layer in layers[len(before) :]:
        if new.residual and not old.residual:
            layer.weight.mul_(NEW_RESIDUAL)
        else:  # outputs of a ReLU pass it unchanged
            nn.init.dirac_(layer.weight, layer.groups)
            nn.init.zeros_(_bias(layer))


def _inherit_bottlenecks(
    new: InvertedBottleneckCell, old: InvertedBottleneckCell, inputs: _Channels
) -> None:
    _copy(new.entry, old.entry, inputs)
    width = _common(new.entry.out_channels, old.entry.out_channels)
    blocks, before = _bottlenecks(new), _bottlenecks(old)
    for block, source in zip(blocks, before, strict=False):
        inner = _common(block.expand.out_channels, source.expand.out_channels)
        _copy(block.expand, source.expand, width)
        _copy(block.depthwise, source.depthwise, inner)
        _copy(block.project, source.project, inner)
    for block in blocks[len(before) :]:
        nn.init.zeros_(block.project.weight)
        nn.init.zeros_(_bias(block.project))


def _inherit_by_name(new: nn.Module, old: nn.Module, inputs: _Channels) -> None:
    """Copy what two cells of a plug-in have under the same name; the first layer reads the input.

    Other weights than those of convolutions are copied where they have the same shape. Residual
    branches that are new begin at zero, all else keeps its initial weights.
    """
    before = dict(old.named_modules())
    convs = [name for name, layer in new.named_modules() if isinstance(layer, nn.Conv2d)]
    for name, layer in new.named_modules():
        source = before.get(name)
        if not isinstance(layer, nn.Conv2d):
            _copy_same_shapes(layer, source)
        elif isinstance(source, nn.Conv2d):
            read = _common(layer.in_channels, source.in_channels)
            _copy(layer, source, inputs if name == convs[0] else read)
    names = {layer: name for name, layer in new.named_modules()}
    for layer in layers_named(new, "begins_at_zero"):
        if names[layer] not in before:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(_bias(layer))


def _copy_same_shapes(new: nn.Module, old: nn.Module | None) -> None:
    for name, weight in new.named_parameters(recurse=False):
        other = getattr(old, name, None)
        if isinstance(other, Tensor) and other.shape == weight.shape:
            weight.copy_(other)


def _inputs(child: Genome, target: int, parent: Genome, parent_target: int) -> _Channels:
    """Return the channels that two targets read, matched node by node."""
    places: dict[int, int] = {}
    position = 0
    for node in parent.inputs(parent_target):
        places[node] = position
        position += parent.node_channels(node)
    matched = []
    for node in child.inputs(target):
        width = child.node_channels(node)
        if node in places:
            matched.append(_common(width, parent.node_channels(node), places[node]))
        else:
            matched.append(torch.full((width,), -1))
    return torch.cat(matched)


def _common(count: int, before: int | None = None, first: int = 0) -> _Channels:
    """Match ``count`` channels with ``before`` ones, which begin at ``first``, by position."""
    channels = torch.arange(count)
    return torch.where(channels < (count if before is None else before), channels + first, -1)


def _copy(new: nn.Conv2d, old: nn.Conv2d, inputs: _Channels) -> None:
    """Copy a convolution where both have the channels; zero the weights of new input channels.

    Initial weights stay in new output channels, and, where connections of the parent are lost
    because groups have changed, between channels that were not connected in the parent.
    """
    rows = min(new.out_channels, old.out_channels)
    weight, source = _dense(new, new.weight)[:rows], _dense(old, _resized(old.weight, new))[:rows]
    connected, was = _connections(new)[:rows], _connections(old)[:rows]
    known = inputs >= 0
    copied = torch.zeros_like(weight)
    copied[:, known] = source[:, inputs[known]]
    had = torch.zeros_like(connected)
    had[:, known] = was[:, inputs[known]]
    if (had & ~connected).any():
        fresh = (connected & ~had & known)[:, :, None, None]
        copied = torch.where(fresh, weight, copied)
    whole = _dense(new, new.weight)
    whole[:rows] = copied
    size = new.in_channels // new.groups
    new.weight.copy_(whole[_connections(new)].view(new.out_channels, size, *new.kernel_size))
    _bias(new)[:rows] = _bias(old)[:rows]


def _dense(layer: nn.Conv2d, weight: Tensor) -> Tensor:
    """Return grouped weights (O, I / groups, k, k) as (O, I, k, k), 0 between the groups."""
    dense = weight.new_zeros(layer.out_channels, layer.in_channels, *weight.shape[2:])
    dense[_connections(layer)] = weight.reshape(-1, *weight.shape[2:])
    return dense


def _connections(layer: nn.Conv2d) -> Tensor:
    """Return (O, I): whether an output channel reads an input channel."""
    outputs = torch.arange(layer.out_channels) // (layer.out_channels // layer.groups)
    inputs = torch.arange(layer.in_channels) // (layer.in_channels // layer.groups)
    return outputs[:, None] == inputs[None, :]


def _resized(weight: Tensor, layer: nn.Conv2d) -> Tensor:
    """Cut or pad a kernel around its centre to the size of a layer's."""
    margin = (layer.kernel_size[0] - weight.shape[-1]) // 2
    return nn.functional.pad(weight, [margin] * 4)


def _convs(cell: ConvCell) -> list[nn.Conv2d]:
    return [layer for layer in cell.layers if isinstance(layer, nn.Conv2d)]


def _bottlenecks(cell: InvertedBottleneckCell) -> list[InvertedBottleneck]:
    return [block for block in cell.blocks if isinstance(block, InvertedBottleneck)]


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None, "every convolution of the family has a bias"
    return layer.bias
