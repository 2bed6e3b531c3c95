"""Checks that the modules of plug-in operators are what the operators declare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

import torch
from torch import Tensor, nn

from falsr_nas.core import plugins
from falsr_nas.core.errors import UserError
from falsr_nas.networks.cells import build_cell
from falsr_nas.space.cell import Cell
from falsr_nas.space.cost import cell_convs, cell_extra, cell_mult_adds, cell_params
from falsr_nas.space.layers import Conv
from falsr_nas.space.operators import GROUP, OPERATORS

SIDE = 240
"""Side of the images on which mult-adds are counted, without computing anything: large enough for
work that does not grow with the image to be a small part, and a multiple of common windows."""

TOLERANCE = 0.01
"""Largest relative difference between counted and declared mult-adds."""

LARGEST_REACH = 64
"""Reach up to which the receptive field is measured, in pixels."""


def check_operators(cells: Iterable[Cell]) -> None:
    """Build cells and compare them with what their operators declare.

    Of each operator the narrowest and the widest of these cells are built, for each kernel, number
    of repeats and residual.

    Raises:
        UserError: a module cannot be built or run, or has another number of output channels,
            parameters or mult-adds, or a wider receptive field than its operator declares.
    """
    for cell in _extremes(cells):
        _check_layers(cell)
        # space/enumeration.py adds up what links cost.
        counts = [cell_mult_adds(cell, factor * cell.channels) for factor in (1, 2, 3)]
        if counts[2] - counts[1] != counts[1] - counts[0]:
            raise _wrong(cell, "its mult-adds are not linear in the channels that it reads")
        _check_costs(cell, cell.channels)
        _check_costs(cell, 2 * cell.channels)
        _check_reach(cell)


def _extremes(cells: Iterable[Cell]) -> Iterator[Cell]:
    """Yield the narrowest and the widest of the cells that differ only in their channels."""

    def kind(cell: Cell) -> str:
        return replace(cell, channels=1024 - 1024 % cell.operator.groups).name

    for _, group in groupby(sorted(set(cells), key=lambda cell: (kind(cell), cell.channels)), kind):
        narrowest, *wider = group
        yield from (narrowest, *wider[-1:])


def _check_layers(cell: Cell) -> None:
    try:
        layers = tuple(cell_convs(cell, cell.channels))
        cell_extra(cell, cell.channels)
    except Exception as error:
        raise _wrong(cell, "its layers cannot be listed", error) from error
    if not layers or not all(isinstance(layer, Conv) for layer in layers):
        raise _wrong(cell, f"its layers are {layers!r:.80}: give one Conv or more")


def _check_costs(cell: Cell, inputs: int) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    where = f"with {inputs} input channels"
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        module = _built(cell, inputs)
        output = _run(module, torch.empty(1, inputs, SIDE, SIDE), cell)
    if output.shape != (1, cell.channels, SIDE, SIDE):
        shape = "x".join(map(str, output.shape[1:]))
        raise _wrong(cell, f"{where} its output is {shape}, not {cell.channels}x{SIDE}x{SIDE}")
    params = sum(parameter.numel() for parameter in module.parameters())
    declared = cell_params(cell, inputs)
    if params != declared:
        raise _wrong(
            cell,
            f"{where} its module has {params} parameters, its layers declare {declared}"
            " (a convolution has a bias)",
        )
    counted, claimed = counter.get_total_flops() / 2, SIDE**2 * cell_mult_adds(cell, inputs)
    if abs(counted - claimed) > TOLERANCE * counted:
        raise _wrong(
            cell,
            f"{where} its module takes {counted / SIDE**2:g} mult-adds per pixel, its layers"
            f" declare {claimed / SIDE**2:g}",
        )
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            raise _wrong(
                cell, f"its module has a state {name!r} of {tensor.dtype}: only floats are kept"
            )


def _check_reach(cell: Cell) -> None:
    """Mark one pixel as NaN and look how far away outputs depend on it."""
    reach = OPERATORS[cell.operator.kind].cell_reach(cell)
    if reach > LARGEST_REACH:
        return
    centre = reach + 2
    x = torch.rand(1, cell.channels, 2 * centre + 1, 2 * centre + 1)
    x[..., centre, centre] = torch.nan
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        output = _run(_built(cell, cell.channels).eval(), x, cell)
    touched = torch.isnan(output).any(dim=1)[0].nonzero()
    if len(touched) and int((touched - centre).abs().max()) > reach:
        raise _wrong(
            cell,
            f"its output depends on pixels more than {reach} away, which its operator declares:"
            " give its reach (WHOLE_IMAGE for a mean over the image)",
        )


def _built(cell: Cell, inputs: int) -> nn.Module:
    try:
        module = build_cell(cell, inputs)
    except UserError:
        raise
    except Exception as error:
        raise _wrong(cell, "its module cannot be built", error) from error
    if not isinstance(module, nn.Module):
        raise _wrong(cell, f"its module is a {type(module).__name__}, not a torch.nn.Module")
    return module


def _run(module: nn.Module, x: Tensor, cell: Cell) -> Tensor:
    try:
        output = module(x)
    except Exception as error:
        raise _wrong(cell, "its module cannot be run", error) from error
    if not isinstance(output, Tensor):
        raise _wrong(cell, f"its module returns a {type(output).__name__}, not a tensor")
    return output


def _wrong(cell: Cell, problem: str, cause: Exception | None = None) -> UserError:
    if cause is not None:
        what = plugins.explained(cause) or f"{type(cause).__name__}: {cause}".partition("\n")[0]
        problem += f": {what}"
    owner = plugins.owner(GROUP, cell.operator.kind)
    by = "" if owner is None else f" of the plug-in {owner.name}"
    return UserError(f"operator {cell.operator.kind}{by}: cell {cell.name}: {problem}")
