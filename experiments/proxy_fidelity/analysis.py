"""The tables of the study: how well the recipes rank networks, with confidence intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from falsr_nas.space.cost import Cost
from falsr_nas.space.genome import Genome
from falsr_nas.surrogate.gaussian_process import fit

Array = NDArray[np.float64]

RESAMPLES = 2000
"""Bootstrap samples of the networks."""

DEFAULT = "constant rate and average"
"""The recipe of ``training=short``."""

TAKEN = 0.5
"""Share of the networks that a search keeps: its better half by the proxy."""


class Trainings:
    """The trainings of one set of networks, as arrays over its networks.

    Args:
        rows: of trainings.jsonl.
        group: the set.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], group: str) -> None:
        self.group = group
        self.rows = [row for row in rows if row["set"] == group]
        self.count = 1 + max(row["number"] for row in self.rows)
        costs = {row["number"]: (row["params"], row["mult_adds"]) for row in self.rows}
        genomes = {row["number"]: row["genome"] for row in self.rows}
        self.costs = [Cost(*costs[number]) for number in range(self.count)]
        self.genomes = [Genome.parse(genomes[number]) for number in range(self.count)]
        self.params, self.mult_adds = np.log([costs[number] for number in range(self.count)]).T

    def recipes(self) -> list[str]:
        """Return the recipes with at least one complete seed, in the order of the file."""
        names = dict.fromkeys(row["recipe"] for row in self.rows)
        return [name for name in names if self.seeds(name)]

    def seeds(self, recipe: str, sixths: int = 6) -> dict[int, Array]:
        """Return the PSNR (networks,) of each complete seed of a recipe.

        Args:
            recipe: its name.
            sixths: after how many sixths of the training. Trainings of fewer validations have only
                the last one.
        """
        found: dict[int, dict[int, float]] = {}
        for row in self.rows:
            if row["recipe"] == recipe:
                psnr = list(row["psnr"].values())[sixths - 1 if sixths < 6 else -1]
                found.setdefault(row["seed"], {})[row["number"]] = psnr
        return {
            seed: np.array([psnr[number] for number in range(self.count)])
            for seed, psnr in found.items()
            if len(psnr) == self.count
        }

    def seconds(self, recipe: str) -> float:
        """Return the mean processor seconds of a training."""
        return float(
            np.mean([row["processor_seconds"] for row in self.rows if row["recipe"] == recipe])
        )


def tau(a: Array, b: Array) -> float:
    """Return Kendall's tau-b."""
    return float(kendalltau(a, b).statistic)


def recall(proxy: Array, truth: Array) -> float:
    """Return the share of the best quarter that is in the proxy's upper half."""
    best = np.argsort(-truth)[: len(truth) // 4]
    kept = np.argsort(-proxy)[: int(len(truth) * TAKEN)]
    return len(set(best) & set(kept)) / len(best)


def regret(proxy: Array, truth: Array) -> float:
    """Return how many dB the proxy's best network is below the best one."""
    return float(truth.max() - truth[np.argmax(proxy)])


def interval(statistic: Callable[[Array, Array], float], a: Array, b: Array) -> tuple[float, float]:
    """Return the 95% percentile interval of a statistic over resampled networks."""
    rng = np.random.default_rng(1)
    values = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(a), size=len(a))
        values.append(statistic(a[drawn], b[drawn]))
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def equal_cost(psnr: Array, costs: Array) -> Array:
    """Return PSNR at equal cost: what a line in the logarithm of the cost leaves, (networks,)."""
    design = np.column_stack([np.ones_like(costs), costs])
    line = design @ np.linalg.lstsq(design, psnr, rcond=None)[0]
    return np.asarray(psnr - line)


def with_size(psnr: Array, params: Array) -> Array:
    """Return the sum of standardised PSNR and standardised log parameters."""
    return (psnr - psnr.mean()) / psnr.std() + (params - params.mean()) / params.std()


def denoised(psnr: Array, trainings: Trainings) -> Array:
    """Return the scores that the controllers' surrogate estimates without noise."""
    return np.asarray(fit(trainings.genomes, trainings.costs, psnr).denoised)


def spread(seeds: Sequence[Array]) -> tuple[float, float]:
    """Return the deviation within a network over seeds, and that of all networks' means, in dB."""
    stacked = np.stack(seeds)
    within = float(np.sqrt(stacked.var(axis=0, ddof=1).mean()))
    return within, float(stacked.mean(axis=0).std(ddof=1))


def tables(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the tables of all sets, in Markdown."""
    groups = [Trainings(rows, group) for group in dict.fromkeys(row["set"] for row in rows)]
    parts = [part for one in groups for part in (table(one), lengths(one)) if part]
    return "\n\n".join(parts)


def lengths(trainings: Trainings) -> str:
    """Return how the default recipe ranks networks after each sixth, where it was trained."""
    seeds, references = trainings.seeds(DEFAULT), trainings.seeds("reference")
    if not seeds or not references:
        return ""
    truth = np.mean(list(references.values()), axis=0)
    lines = [
        f"### Rungs of *{DEFAULT}*, set `{trainings.group}`\n",
        "| share of the training | two seeds' tau | tau with its own end | tau with the reference "
        "| recall |",
        "|---|---|---|---|---|",
    ]
    for sixths in range(1, 7):
        now = trainings.seeds(DEFAULT, sixths)
        pairs = [tau(a, b) for i, a in enumerate(now.values()) for b in list(now.values())[:i]]
        own = [tau(one, seeds[seed]) for seed, one in now.items()]
        cells = [
            f"{sixths}/6",
            f"{np.mean(pairs):.2f}" if pairs else "",
            _list(own),
            _list(tau(one, truth) for one in now.values()),
            _list(recall(one, truth) for one in now.values()),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for seed, end in seeds.items():
        rungs = [trainings.seeds(DEFAULT, sixths)[seed] for sixths in (2, 4)]
        halved = halving(rungs, end)
        lines.append(
            f"\nSeed {seed}: halving after 2/6 and 4/6 takes 58% of the steps; the best of its"
            f" survivors is {truth.max() - truth[halved]:.3f} dB below the best network, that of"
            f" all {regret(end, truth):.3f}."
        )
    return "\n".join(lines)


def halving(rungs: Sequence[Array], end: Array) -> int:
    """Return the best network at the end of those that are in the better half at each rung."""
    left = np.arange(len(end))
    for psnr in rungs:
        left = left[np.argsort(-psnr[left])[: len(left) // 2]]
    return int(left[np.argmax(end[left])])


def table(trainings: Trainings) -> str:
    """Return the table of one set."""
    lines = [
        f"### Set `{trainings.group}`, {trainings.count} networks\n",
        "| recipe | seconds | mean dB | deviation within / between | two seeds' tau "
        "| tau with the reference | with size | by the surrogate | mean of the seeds | recall "
        "| regret, dB | tau at equal cost |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    references = list(trainings.seeds("reference").values())
    truth = np.mean(references, axis=0) if references else None
    lines += [_line(trainings, recipe, truth) for recipe in trainings.recipes()]
    if truth is not None:
        for name, size in (("parameters", trainings.params), ("mult-adds", trainings.mult_adds)):
            order = f"{tau(size, truth):.2f} {_range(tau, size, truth)}"
            found, lost = recall(size, truth), regret(size, truth)
            lines.append(
                f"| {name}, no training | 0 | | | | {order} | | | | {found:.2f} | {lost:.3f} | |"
            )
    return "\n".join(lines)


def _line(trainings: Trainings, recipe: str, truth: Array | None) -> str:
    seeds = list(trainings.seeds(recipe).values())
    cells = [recipe, f"{trainings.seconds(recipe):.1f}", f"{np.mean(seeds):.2f}"]
    pairs = [(a, b) for i, a in enumerate(seeds) for b in seeds[:i]]
    if pairs:
        within, between = spread(seeds)
        agree = np.mean([tau(*pair) for pair in pairs])
        cells += [f"{within:.3f} / {between:.3f}", f"{agree:.2f} {_range(tau, *pairs[0])}"]
    else:
        cells += ["", ""]
    if truth is None or recipe == "reference":
        cells += [""] * 7
    else:
        cells += _against(seeds, truth, trainings)
    return f"| {' | '.join(cells)} |"


def _against(seeds: Sequence[Array], truth: Array, trainings: Trainings) -> list[str]:
    """Compare each seed, and their mean, with the truth."""
    costs = trainings.mult_adds
    fits = _list(tau(one, truth) for one in seeds)
    clean = _list(tau(denoised(one, trainings), truth) for one in seeds)
    sized = _list(tau(with_size(one, trainings.params), truth) for one in seeds)
    mean = np.mean(seeds, axis=0)
    level = equal_cost(truth, costs)
    return [
        f"{fits} {_range(tau, seeds[0], truth)}",
        sized,
        clean,
        f"{tau(mean, truth):.2f}" if len(seeds) > 1 else "",
        _list(recall(one, truth) for one in seeds),
        ", ".join(f"{regret(one, truth):.3f}" for one in seeds),
        _list(tau(equal_cost(one, costs), level) for one in seeds),
    ]


def _list(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _range(statistic: Callable[[Array, Array], float], a: Array, b: Array) -> str:
    low, high = interval(statistic, a, b)
    return f"[{low:.2f}, {high:.2f}]"
