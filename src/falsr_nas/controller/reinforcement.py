"""The reinforced mutation: draws genes from a policy and trains it on the rewards (paper, IV-E2).

The paper gives the policy's form, the gradient (Eq. 6) and gamma = 1. Our choices are to keep some
of the parent's genes, the reward, its baseline, the entropy bonus, and Adam with gradient clipping.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from falsr_nas.archive.candidate import Candidate, Evaluation
from falsr_nas.controller.mutation import Mutant
from falsr_nas.controller.policy import Policy, reinforce_loss
from falsr_nas.controller.reward import Reward
from falsr_nas.controller.settings import PolicySettings
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace, link_bits


class RewardedCandidate(NamedTuple):
    """A rewarded candidate that the policy has not learnt from yet.

    Attributes:
        cells: indices (n,) among the space's distinct cells.
        links: values 0 or 1 (n(n+1)/2,).
        ends: index (1,) of its ends; empty where the space has only one pair.
        drawn: mask over all genes, cells first, ends last: 1 for genes that count in Eq. 6, else 0.
        reward: reward of the candidate, once it is known.
    """

    cells: list[int]
    links: list[int]
    ends: list[int]
    drawn: list[int]
    reward: float = math.nan


class ReinforcedMutation:
    """Draws some genes from the policy and keeps the parent's other genes.

    The policy chooses among the space's distinct cells (our choice; the paper has all 192), so that
    no two choices build the same layers. All random numbers come from the given NumPy generator;
    PyTorch only computes probabilities.

    Args:
        settings: of the policy and its training.
        reward: rewards evaluations.
        space: the search space.
        rng: draws the policy's initial weights.
    """

    def __init__(
        self, settings: PolicySettings, reward: Reward, space: SearchSpace, rng: np.random.Generator
    ) -> None:
        self.settings = settings
        self.policy = Policy(
            settings, space.n, len(space.distinct_cells), space.bits, rng, ends=len(space.ends)
        )
        self.optimiser = torch.optim.Adam(self.policy.parameters(), lr=settings.learning_rate)
        # By key: candidates that are being evaluated, and all draws since the last call of taken(),
        # whether they become candidates or not.
        self._pending: dict[str, RewardedCandidate] = {}
        self._draws: dict[str, RewardedCandidate] = {}
        self.reward = reward
        self.space = space
        self._index = {cell: i for i, cell in enumerate(space.distinct_cells)}
        self._lessons: list[RewardedCandidate] = []
        # Moving averages of the rewards and of their squared distance from the former.
        self._baseline: tuple[float, float] | None = None
        # Probabilities of the cells (n, |S|), None after an update.
        self._chances: np.ndarray | None = None

    def mutate(self, genome: Genome, rng: np.random.Generator) -> Mutant:
        """Keep each gene with its probability and draw the others, at least one, from the policy.

        Ends are kept with the probability of a cell. The mutant's ``log_prob`` is the
        log-probability of the genes that were drawn.
        """
        space, settings = self.space, self.settings
        cells, links, ends = self._encode(genome)
        keep = np.repeat(
            [settings.keep_cells, settings.keep_links, settings.keep_cells],
            [space.n, space.bits, space.end_genes],
        )
        mask = rng.random(len(keep)) >= keep
        if not mask.any():
            mask[rng.integers(len(mask))] = True
        redraw, relink, other_ends = np.split(mask, [space.n, space.n + space.bits])
        if self._chances is None:
            self._chances = self.policy.cell_logits.detach().double().softmax(1).numpy()
        of_cells = self._chances
        drawn = (of_cells.cumsum(axis=1)[:, :-1] < rng.random((space.n, 1))).sum(axis=1)
        cells = np.where(redraw, drawn, cells)
        of_links = self._link_chances(cells)
        links = np.where(relink, rng.random(space.bits) < of_links, links)
        of_ends = self._end_chances()
        drawn_ends = (of_ends.cumsum()[:-1] < rng.random((space.end_genes, 1))).sum(axis=1)
        ends = np.where(other_ends, drawn_ends, ends)
        mutant = space.genome(
            [space.distinct_cells[i] for i in cells], links, space.decode_ends(tuple(ends))
        )
        # If a network is drawn twice, the first draw is the one that becomes a candidate.
        genes = (values.astype(int).tolist() for values in (cells, links, ends, mask))
        self._draws.setdefault(mutant.key, RewardedCandidate(*genes))
        chances = np.concatenate(
            [
                of_cells[np.arange(space.n), cells],
                np.where(links, of_links, 1 - of_links),
                of_ends[ends],
            ]
        )
        return Mutant(mutant, float(np.log(chances[mask]).sum()))

    def taken(self, candidates: Sequence[Candidate]) -> None:
        """Note which draws since the last call became candidates, and forget the others."""
        for candidate in candidates:
            if (drawn := self._draws.get(candidate.key)) is not None:
                self._pending[candidate.key] = drawn
        self._draws.clear()

    def learn(self, evaluations: Sequence[Evaluation]) -> None:
        """Reward the evaluations and update the policy after each full batch.

        The policy learns from candidates that it mutated, and of these from the genes that it drew.
        This is Eq. 6's gradient but for two things: draws that were rejected (known or too
        expensive) do not count, and the policy may have been updated between the draw and the
        reward.
        """
        for evaluation, reward in zip(evaluations, self.reward(evaluations), strict=True):
            drawn = self._pending.pop(evaluation.key, None)
            if drawn is None:
                continue
            self._lessons.append(drawn._replace(reward=float(reward)))
            if len(self._lessons) == self.settings.batch_size:
                self._update()

    def state(self) -> dict[str, Any]:
        """Return weights, optimiser, baseline and the rewards not learnt from yet, as JSON."""
        parameters = list(self.policy.parameters())
        moments = [self.optimiser.state[parameter] for parameter in parameters]
        names = ("exp_avg", "exp_avg_sq") if moments[0] else ()
        return {
            "weights": _pack([parameter.detach() for parameter in parameters]),
            "updates": int(moments[0]["step"]) if moments[0] else 0,
            "moments": [_pack([moment[name] for moment in moments]) for name in names],
            "baseline": self._baseline,
            "lessons": self._lessons,
            "pending": self._pending,
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
        self._baseline = None if state["baseline"] is None else tuple(state["baseline"])
        self._lessons = [RewardedCandidate(*lesson) for lesson in state["lessons"]]
        self._pending = {key: RewardedCandidate(*draw) for key, draw in state["pending"].items()}
        self._chances = None
        self.reward.restore(told)

    def _encode(self, genome: Genome) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the indices among distinct cells, the links, and the index of the ends."""
        space = self.space
        cells = [self._index[cell.canonical()] for cell in space.genes(genome)]
        links = np.array(link_bits(genome, space.n), dtype=int)[: space.bits]
        ends = [space.ends.index(genome.ends)] * space.end_genes
        return np.array(cells), links, np.array(ends, dtype=int)

    def _end_chances(self) -> np.ndarray:
        if self.policy.end_logits is None:
            return np.ones(1)
        return np.asarray(self.policy.end_logits.detach().double().softmax(0).numpy())

    def _link_chances(self, cells: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(
                self.policy.link_logits(torch.from_numpy(cells)[None])[0].double().sigmoid().numpy()
            )

    def _update(self) -> None:
        """Take one optimiser step along the gradients of Eq. 6 and of the entropy bonus."""
        rewards = torch.tensor([lesson.reward for lesson in self._lessons], dtype=torch.float64)
        advantage = self._advantage(rewards).float()
        cells = torch.tensor([lesson.cells for lesson in self._lessons])
        loss: Tensor = reinforce_loss(
            self.policy,
            cells,
            torch.tensor([lesson.links for lesson in self._lessons], dtype=torch.float32),
            drawn=torch.tensor([lesson.drawn for lesson in self._lessons], dtype=torch.float32),
            advantage=advantage,
            gamma=self.settings.gamma,
            ends=torch.tensor([lesson.ends for lesson in self._lessons], dtype=torch.int64),
        )
        loss = loss - self.settings.entropy * self.policy.entropy(cells)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.settings.max_gradient)
        self.optimiser.step()
        self._lessons.clear()
        self._chances = None

    def _advantage(self, rewards: Tensor) -> Tensor:
        """Return (reward - moving average) / moving standard deviation, (B,).

        The division makes the entropy's weight independent of the reward's unit.
        """
        mean, variance = self._baseline or (float(rewards.mean()), float(rewards.var(correction=0)))
        if variance == 0:
            return torch.zeros_like(rewards)  # all rewards were equal so far
        stay, distance = self.settings.baseline, rewards - mean
        self._baseline = (
            stay * mean + (1 - stay) * float(rewards.mean()),
            stay * variance + (1 - stay) * float((distance**2).mean()),
        )
        return distance / math.sqrt(variance)


def _pack(tensors: Sequence[Tensor]) -> str:
    """Encode float32 tensors as one base64 text."""
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    return base64.b64encode(flat.numpy().astype("<f4").tobytes()).decode()


def _unpack(text: str, like: Sequence[Tensor]) -> list[Tensor]:
    """Decode the tensors of :func:`_pack` into the shapes of ``like``."""
    flat = torch.from_numpy(np.frombuffer(base64.b64decode(text), dtype="<f4").copy())
    parts = torch.split(flat, [tensor.numel() for tensor in like])
    return [part.view(tensor.shape).clone() for part, tensor in zip(parts, like, strict=True)]
