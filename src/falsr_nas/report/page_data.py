"""The data of the report page: searches as compact JSON, about a hundred bytes per candidate."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from falsr_nas.archive.candidate import Evaluation, Failure, Score
from falsr_nas.benchmark.peers import shown_peers
from falsr_nas.objectives.objective import Objective
from falsr_nas.report.architecture import stem_label
from falsr_nas.report.history import (
    END_TRAITS,
    TRAITS,
    Period,
    achievements,
    link_counts,
    periods,
    trait_counts,
)
from falsr_nas.report.run import Run
from falsr_nas.space.encoding import Networks
from falsr_nas.space.ends import PAPER_ENDS, Ends
from falsr_nas.space.operators import OPERATORS

MOST_FAILURES = 200
"""Largest number of distinct failures in a page; of the others only the number is given."""

MOST_CHARACTERS = {"message": 400, "traceback": 8000}
"""Longer messages lose their end, and longer tracebacks their beginning."""


def page_data(runs: Sequence[Run]) -> dict[str, Any]:
    """Return everything that the page shows of the searches, as values for JSON."""
    scales = {run.problem.scale for run in runs}
    peers = [
        {"name": peer.name, "mult_adds": peer.mult_adds_g * 1e9, "params": peer.params_k * 1e3}
        for peer in (shown_peers(scales.pop()) if len(scales) == 1 else ())
    ]
    used = {
        cell.operator.kind
        for run in runs
        for evaluation in run.evaluations
        for cell in evaluation.candidate.genome.cells
    }
    # Their prefix in short notation, in the order in which they were registered.
    operators = {name: kind.prefix for name, kind in OPERATORS.items() if name in used}
    return {
        "subject": _subject(runs),
        "runs": [_run(run) for run in runs],
        "costs": _costs(runs),
        "peers": peers,
        "operators": operators,
    }


def _subject(runs: Sequence[Run]) -> str:
    """Return what networks the searches are for: their upscaling factors and numbers of cells."""
    scales = ", ".join(f"x{scale}" for scale in sorted({run.problem.scale for run in runs}))
    depths = (_depths(run) or [0] for run in runs)
    ends = (dict.fromkeys([of_run[0], of_run[-1]]) for of_run in depths)
    cells = ", ".join(dict.fromkeys(f"{' to '.join(map(str, two))} cells" for two in ends))
    return f"{scales} super-resolution, {cells}"


def _depths(run: Run) -> list[int]:
    """Return the numbers of cells that its networks have."""
    return sorted({evaluation.candidate.genome.n for evaluation in run.evaluations})


def _costs(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return how the costs are shown that all searches show, in the order of the first search."""
    names = [{cost.name for cost in run.problem.shown} for run in runs]
    return [
        {
            "name": cost.name,
            "heading": cost.heading,
            "label": cost.axis,
            "unit": cost.unit,
            "factor": cost.factor,
            "maximised": cost.maximised,
            "logarithmic": cost.logarithmic,
        }
        for cost in (runs[0].problem.shown if runs else ())
        if all(cost.name in shown for shown in names)
    ]


def _run(run: Run) -> dict[str, Any]:
    evaluations, problem = run.evaluations, run.problem
    networks = Networks.of([evaluation.candidate.genome for evaluation in evaluations])
    row_of = {evaluation.key: row for row, evaluation in enumerate(evaluations)}
    history = periods(evaluations, problem)
    return {
        "name": run.name,
        "n": max(_depths(run), default=0),
        "depths": _depths(run),
        "min_psnr": problem.constraints.min_psnr,
        "objectives": [objective.heading for objective in problem.objectives],
        "limits": [
            f"at most {most / limited.factor:g} {limited.unit} {limited.heading}"
            for limited, most in problem.limits
        ],
        "scale": [
            {
                "name": objective.heading,
                "unit": objective.unit,
                "best": best / objective.factor,
                "worst": worst / objective.factor,
            }
            for objective, best, worst in zip(
                problem.objectives, problem.best, problem.worst, strict=True
            )
        ],
        "settings": dict(run.settings),
        "candidates": _candidates(evaluations, networks, row_of)
        | {cost.name: _numbers(cost, evaluations) for cost in problem.added},
        "front": [row_of[evaluation.key] for evaluation in problem.front(evaluations)],
        "periods": _periods(evaluations, history),
        "traits": {
            trait: _trait(networks, history, trait)
            for trait in (*TRAITS, *(END_TRAITS if len(networks.ends_table) > 1 else ()))
        },
        "links": {
            "made": [link_counts(networks, period.made).tolist() for period in history],
            "front": [link_counts(networks, period.front).tolist() for period in history],
        },
        "achievements": [asdict(achievement) for achievement in achievements(evaluations, problem)],
        "failures": _failures(evaluations),
    }


def _numbers(objective: Objective, evaluations: Sequence[Evaluation]) -> list[float]:
    """Return an objective's numbers, to 6 digits."""
    return [float(f"{objective.of(evaluation):.6g}") for evaluation in evaluations]


def _candidates(
    evaluations: Sequence[Evaluation], networks: Networks, row_of: dict[str, int]
) -> dict[str, Any]:
    """Return the candidates as columns.

    A parent is given by its row, or by its key if it is not among the evaluations.
    """
    combinations: dict[tuple[str, ...], int] = {}
    made_by = [
        combinations.setdefault(e.candidate.origin.operators, len(combinations))
        for e in evaluations
    ]

    def score(number: Callable[[Score], float | None]) -> list[float | None]:
        return [None if e.score is None else number(e.score) for e in evaluations]

    def present(value: Callable[[Evaluation], Any]) -> dict[int, Any]:
        """Return what some evaluations have, by row."""
        values = ((row, value(e)) for row, e in enumerate(evaluations))
        return {row: found for row, found in values if found is not None}

    return {
        "key": [e.key for e in evaluations],
        "number": [e.candidate.number for e in evaluations],
        "generation": [e.candidate.generation for e in evaluations],
        "psnr": score(lambda s: round(s.psnr, 4) if math.isfinite(s.psnr) else 0.0),
        "seconds": score(lambda s: round(s.seconds, 1)),
        "mult_adds": [e.candidate.cost.mult_adds for e in evaluations],
        "params": [e.candidate.cost.params for e in evaluations],
        "table": [cell.name for cell in networks.cell_table],
        "cells": networks.cells.ravel().tolist(),
        "ends_table": [_ends(ends) for ends in networks.ends_table],
        "ends": networks.ends.tolist(),
        # As bits in hexadecimal digits, the first link as the highest bit.
        "links": [row.tobytes().hex() for row in np.packbits(networks.links, axis=1)],
        "combinations": [list(combination) for combination in combinations],
        "made_by": made_by,
        "parents": [
            [row_of.get(parent, parent) for parent in e.candidate.origin.parents]
            for e in evaluations
        ],
        "failed": present(
            lambda e: e.outcome.kind.value if isinstance(e.outcome, Failure) else None
        ),
        "steps": score(lambda s: s.steps),
        "log_prob": present(lambda e: (p := e.candidate.origin.log_prob) and round(p, 3)),
    }


def _ends(ends: Ends) -> dict[str, Any]:
    """Return a pair of ends; the name of the paper's upsampler is left out, as in genomes."""
    return {
        "stem": ends.stem_name.removeprefix("stem_f"),
        "upsampler": "" if ends.name == PAPER_ENDS.name else ends.name,
        "labels": [stem_label(ends), ends.label],
        "skip": ends.upsampler != "subpixel",
    }


def _periods(evaluations: Sequence[Evaluation], history: Sequence[Period]) -> list[dict[str, Any]]:
    best: float | None = None
    found = []
    for period in history:
        scores = [e.score.psnr for row in period.made if (e := evaluations[row]).score is not None]
        best = max([*scores, *([] if best is None else [best])], default=None)
        found.append(
            {
                "first": period.first,
                "last": period.last,
                "evaluations": period.evaluations,
                "made": len(period.made),
                "front": len(period.front),
                "hypervolume": round(period.hypervolume, 6),
                "best_psnr": None if best is None else round(best, 4),
            }
        )
    return found


def _trait(networks: Networks, history: Sequence[Period], trait: str) -> dict[str, Any]:
    """Return the values of a trait, and how many cells or ends had each value in each period.

    They are counted in the networks made in the period, and in the front at its end.
    """
    made = [trait_counts(networks, trait, period.made) for period in history]
    front = [trait_counts(networks, trait, period.front) for period in history]
    found = {value for counts in made for value in counts}
    values = sorted(found, key=lambda value: (isinstance(value, str), value))
    return {
        "values": values,
        "made": [[counts.get(value, 0) for value in values] for counts in made],
        "front": [[counts.get(value, 0) for value in values] for counts in front],
    }


def _failures(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Return the number of failed attempts of each kind, and the failures grouped by their text.

    Failed attempts of candidates that a retry gave a score are included.
    """
    failed: dict[tuple[str, str, str], list[tuple[int, str]]] = {}  # rows and places
    kinds: Counter[str] = Counter()
    for row, evaluation in enumerate(evaluations):
        outcome = evaluation.outcome
        for failure in (*evaluation.earlier, *([outcome] if isinstance(outcome, Failure) else [])):
            kind = failure.kind.value
            kinds[kind] += 1
            message = failure.message[: MOST_CHARACTERS["message"]]
            traceback = failure.traceback[-MOST_CHARACTERS["traceback"] :]
            failed.setdefault((kind, message, traceback), []).append((row, failure.place))
    shown = sorted(failed.items(), key=lambda group: -len(group[1]))[:MOST_FAILURES]
    return {
        "kinds": dict(kinds.most_common()),
        "groups": [
            {
                "kind": kind,
                "message": message,
                "traceback": traceback,
                "rows": [row for row, _ in found],
                "places": dict(Counter(place for _, place in found if place).most_common()),
            }
            for (kind, message, traceback), found in shown
        ],
        "more": kinds.total() - sum(len(found) for _, found in shown),
    }
