"""Weights of a policy and the moments of its optimiser as JSON, without loss."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def weights_state(policy: nn.Module, optimiser: torch.optim.Adam) -> dict[str, Any]:
    """Return ``weights``, ``updates`` and ``moments`` as JSON."""
    parameters = list(policy.parameters())
    moments = [optimiser.state[p] for p in parameters]
    learnt = bool(moments[0])
    return {
        "weights": _pack([p.detach() for p in parameters]),
        "updates": int(moments[0]["step"]) if learnt else 0,
        "moments": [_pack([m[name] for m in moments]) for name in ("exp_avg", "exp_avg_sq")]
        if learnt
        else [],
    }


def restore_weights(
    policy: nn.Module, optimiser: torch.optim.Adam, state: Mapping[str, Any]
) -> None:
    """Continue from :func:`weights_state`; other entries of ``state`` are ignored."""
    parameters = list(policy.parameters())
    with torch.no_grad():
        for parameter, values in zip(
            parameters, _unpack(state["weights"], parameters), strict=True
        ):
            parameter.copy_(values)
    optimiser.state.clear()
    if state["updates"]:
        first, second = (_unpack(text, parameters) for text in state["moments"])
        for parameter, a, b in zip(parameters, first, second, strict=True):
            step = torch.tensor(float(state["updates"]))
            optimiser.state[parameter] = {"step": step, "exp_avg": a, "exp_avg_sq": b}


def _pack(tensors: Sequence[Tensor]) -> str:
    """Encode float32 tensors as one base64 text, without loss."""
    return base64.b64encode(
        torch.cat([tensor.flatten() for tensor in tensors]).numpy().astype("<f4").tobytes()
    ).decode()


def _unpack(text: str, like: Sequence[Tensor]) -> list[Tensor]:
    """Decode the tensors of :func:`_pack` into the shapes of ``like``."""
    flat = torch.from_numpy(np.frombuffer(base64.b64decode(text), dtype="<f4").copy())
    parts = torch.split(flat, [tensor.numel() for tensor in like])
    return [part.view(tensor.shape).clone() for part, tensor in zip(parts, like, strict=True)]
