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
from falsr_nas.objectives.problem import Problem
from falsr_nas.report.architecture import stem_label
from falsr_nas.report.history import (
    END_TRAITS,
    TRAITS,
    Period,
    achievements,
    link_counts,
    networks_of,
    periods,
    trait_counts,
)
from falsr_nas.report.run import Run
from falsr_nas.space.encoding import IntArray, Networks
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
    cells = ", ".join(dict.fromkeys(f"{_cells(run)} cells" for run in runs))
    return f"{scales} super-resolution, {cells}"


def _cells(run: Run) -> int:
    return run.evaluations[0].candidate.genome.n if run.evaluations else 0


def _costs(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return how the costs are shown that all searches show, in the order of the first search."""
    names = [{cost.name for cost in run.problem.shown} for run in runs]
    return [
        {
            "name": one.name,
            "heading": one.heading,
            "label": one.axis,
            "unit": one.unit,
            "factor": one.factor,
            "maximised": one.maximised,
            "logarithmic": one.logarithmic,
        }
        for one in (runs[0].problem.shown if runs else ())
        if all(one.name in shown for shown in names)
    ]


def _run(run: Run) -> dict[str, Any]:
    evaluations, problem = run.evaluations, run.problem
    networks = networks_of(evaluations)
    row_of = {evaluation.key: row for row, evaluation in enumerate(evaluations)}
    history = periods(evaluations, problem)
    return {
        "name": run.name,
        "n": _cells(run),
        "min_psnr": problem.constraints.min_psnr,
        "objectives": [objective.heading for objective in problem.objectives],
        "limits": [
            f"at most {most / one.factor:g} {one.unit} {one.heading}"
            for one, most in problem.limits
        ],
        "scale": _scale(problem),
        "settings": dict(run.settings),
        "candidates": _candidates(evaluations, networks, row_of)
        | {one.name: _numbers(one, evaluations) for one in problem.added},
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


def _scale(problem: Problem) -> list[dict[str, Any]]:
    """Return the bounds of each objective as they are shown."""
    return [
        {
            "name": one.heading,
            "unit": one.unit,
            "best": best / one.factor,
            "worst": worst / one.factor,
        }
        for one, best, worst in zip(problem.objectives, problem.best, problem.worst, strict=True)
    ]


def _numbers(objective: Objective, evaluations: Sequence[Evaluation]) -> list[float]:
    """Return an objective's numbers, to 6 digits."""
    candidates = (one.candidate for one in evaluations)
    return [float(f"{objective.measure(one.genome, one.cost):.6g}") for one in candidates]


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

    def score(number: Callable[[Score], float]) -> list[float | None]:
        return [number(e.outcome) if isinstance(e.outcome, Score) else None for e in evaluations]

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
        "links": ["".join(f"{byte:02x}" for byte in row) for row in _packed(networks)],
        "combinations": [list(combination) for combination in combinations],
        "made_by": made_by,
        "parents": [
            [row_of.get(parent, parent) for parent in e.candidate.origin.parents]
            for e in evaluations
        ],
        "failed": {
            row: e.outcome.kind.value
            for row, e in enumerate(evaluations)
            if isinstance(e.outcome, Failure)
        },
        "steps": [e.score.steps if e.score else None for e in evaluations],
        "rung": {row: e.rung for row, e in enumerate(evaluations) if e.rung},
        "scores": {
            row: [e.score.count, None if (sd := e.score.deviation) is None else round(sd, 4)]
            for row, e in enumerate(evaluations)
            if e.score and e.score.count > 1
        },
        "log_prob": {
            row: round(p, 3)
            for row, e in enumerate(evaluations)
            if (p := e.candidate.origin.log_prob) is not None
        },
    }


def _ends(ends: Ends) -> dict[str, Any]:
    """Return a pair of ends; the name of the paper's upsampler is left out, as in genomes."""
    return {
        "stem": ends.stem,
        "upsampler": "" if ends.name == PAPER_ENDS.name else ends.name,
        "labels": [stem_label(ends), ends.label],
        "skip": ends.has_global_skip,
    }


def _packed(networks: Networks) -> IntArray:
    """Return (N, bytes): the links of each network as bits, the first one as the highest bit."""
    return np.packbits(networks.links, axis=1).astype(np.int64)


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
    values = sorted(
        {value for counts in made for value in counts},
        key=lambda value: (isinstance(value, str), value),
    )
    return {
        "values": values,
        "made": [[counts.get(value, 0) for value in values] for counts in made],
        "front": [[counts.get(value, 0) for value in values] for counts in front],
    }


def _failures(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Return the number of failed attempts of each kind, and the failures grouped by their text.

    Failed attempts of candidates that a retry gave a score are included.
    """
    kinds: Counter[str] = Counter()
    rows: dict[tuple[str, str, str], list[int]] = {}
    places: dict[tuple[str, str, str], Counter[str]] = {}
    for row, evaluation in enumerate(evaluations):
        outcome = evaluation.outcome
        for failure in (*evaluation.earlier, *([outcome] if isinstance(outcome, Failure) else [])):
            kinds[failure.kind.value] += 1
            message, traceback = (
                failure.message[: MOST_CHARACTERS["message"]],
                failure.traceback[-MOST_CHARACTERS["traceback"] :],
            )
            group = (failure.kind.value, message, traceback)
            rows.setdefault(group, []).append(row)
            places.setdefault(group, Counter())[failure.place] += 1
    shown = sorted(rows, key=lambda group: -len(rows[group]))[:MOST_FAILURES]
    return {
        "kinds": dict(kinds.most_common()),
        "groups": [
            {
                "kind": kind,
                "message": message,
                "traceback": traceback,
                "rows": rows[kind, message, traceback],
                "places": {
                    place: count
                    for place, count in places[kind, message, traceback].most_common()
                    if place
                },
            }
            for kind, message, traceback in shown
        ],
        "more": sum(kinds.values()) - sum(len(rows[group]) for group in shown),
    }
