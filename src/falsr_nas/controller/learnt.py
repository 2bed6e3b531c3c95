"""What the learnt mutations share, and NSGA-II with one of them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from falsr_nas.archive.candidate import Candidate, Evaluation
from falsr_nas.controller.mutation import Mutant, Mutations
from falsr_nas.controller.nsga2 import NSGA2
from falsr_nas.controller.settings import (
    ConditionalPolicySettings,
    HybridSettings,
    PolicySettings,
    ReinforcedSettings,
)
from falsr_nas.space.genome import Genome

P = TypeVar("P", bound=nn.Module)
T = TypeVar("T", PolicySettings, ConditionalPolicySettings)
D = TypeVar("D")


class LearntMutation(Generic[P, T, D]):
    """A policy with its optimiser, and what is kept of its draws until their scores are known.

    Args:
        settings: of the policy and its training.
        policy: from which mutants are drawn.
    """

    def __init__(self, settings: T, policy: P) -> None:
        self.settings: T = settings
        self.policy = policy
        self.optimiser = torch.optim.Adam(policy.parameters(), lr=settings.learning_rate)
        # Draws by key: of candidates that are being evaluated, and all since the last call of
        # taken(), whether they become candidates or not.
        self._pending: dict[str, D] = {}
        self._draws: dict[str, D] = {}

    def mutate(self, genome: Genome, rng: np.random.Generator) -> Mutant:
        """Draw a mutant of a genome, with its log-probability."""
        raise NotImplementedError

    def taken(self, candidates: Sequence[Candidate]) -> tuple[int, list[D]]:
        """Note which draws since the last call became candidates, and forget the others.

        Returns:
            How many became candidates, and the others.
        """
        keys = {candidate.key for candidate in candidates}
        made = {key: draw for key, draw in self._draws.items() if key in keys}
        others = [draw for key, draw in self._draws.items() if key not in keys]
        self._pending |= made
        self._draws.clear()
        return len(made), others

    def step(self, loss: Tensor) -> None:
        """Take a step of the optimiser that lowers the loss."""
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.settings.max_gradient)
        self.optimiser.step()

    def state(self) -> dict[str, Any]:
        """Return weights and moments of the optimiser as JSON, without loss.

        Subclasses add what they have not learnt from yet.
        """
        parameters = list(self.policy.parameters())
        moments = [self.optimiser.state[parameter] for parameter in parameters]
        names = ("exp_avg", "exp_avg_sq") if moments[0] else ()
        return {
            "weights": _pack([parameter.detach() for parameter in parameters]),
            "updates": int(moments[0]["step"]) if moments[0] else 0,
            "moments": [_pack([moment[name] for moment in moments]) for name in names],
        }

    def restore(self, state: Mapping[str, Any], told: Sequence[Evaluation]) -> None:
        """Continue from :meth:`state`, after these evaluations."""
        self._draws.clear()
        parameters = list(self.policy.parameters())
        with torch.no_grad():
            weights = _unpack(state["weights"], parameters)
            for parameter, values in zip(parameters, weights, strict=True):
                parameter.copy_(values)
        self.optimiser.state.clear()
        if state["updates"]:
            first, second = (_unpack(text, parameters) for text in state["moments"])
            for parameter, a, b in zip(parameters, first, second, strict=True):
                step = torch.tensor(float(state["updates"]))
                self.optimiser.state[parameter] = {"step": step, "exp_avg": a, "exp_avg_sq": b}


S = TypeVar("S", HybridSettings, ReinforcedSettings)
M = TypeVar("M", bound=LearntMutation[Any, Any, Any])


class Guided(NSGA2[S], Generic[S, M]):
    """NSGA-II with one more mutation, ``policy``, whose share begins at ``p_exploit``.

    Subclasses set ``reinforced`` before they call the constructor.
    """

    reinforced: M

    def all_mutations(self) -> Mutations:
        """Return the mutations by name: the exploring ones, and the policy's."""
        share = self.settings.p_exploit
        others = {
            name: ((1 - share) * chance, mutate)
            for name, (chance, mutate) in super().all_mutations().items()
        }
        return others | {"policy": (share, self.reinforced.mutate)}

    def state(self) -> dict[str, Any]:
        """Return NSGA-II's state and the policy's, as JSON."""
        return super().state() | {"policy": self.reinforced.state()}

    def restore(
        self, state: dict[str, Any], told: Sequence[Evaluation], pending: Sequence[Candidate] = ()
    ) -> None:
        """Continue from :meth:`state`."""
        super().restore(state, told, pending)
        self.reinforced.restore(state["policy"], told)


def _pack(tensors: Sequence[Tensor]) -> str:
    """Encode float32 tensors as one base64 text."""
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    return base64.b64encode(flat.numpy().astype("<f4").tobytes()).decode()


def _unpack(text: str, like: Sequence[Tensor]) -> list[Tensor]:
    """Decode the tensors of :func:`_pack` into the shapes of ``like``."""
    flat = torch.from_numpy(np.frombuffer(base64.b64decode(text), dtype="<f4").copy())
    parts = torch.split(flat, [tensor.numel() for tensor in like])
    return [part.view(tensor.shape).clone() for part, tensor in zip(parts, like, strict=True)]
