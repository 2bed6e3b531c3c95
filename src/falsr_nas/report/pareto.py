"""The Pareto front of a search as ``pareto.csv`` and ``pareto.json``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from falsr_nas.archive.candidate import Evaluation, Score
from falsr_nas.core.files import write_atomically
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.summary import summarise

COLUMNS: dict[str, Callable[[Evaluation, Score], Any]] = {
    "key": lambda one, score: one.key,
    "genome": lambda one, score: str(one.candidate.genome),
    "psnr": lambda one, score: score.psnr,
    "mse": lambda one, score: score.mse,
    "mult_adds": lambda one, score: one.candidate.cost.mult_adds,
    "params": lambda one, score: one.candidate.cost.params,
    "generation": lambda one, score: one.candidate.generation,
    "psnr_deviation": lambda one, score: score.deviation,
    "scores": lambda one, score: score.count,
    "steps": lambda one, score: score.steps,
    "rung": lambda one, score: one.rung,
}
"""Columns of ``pareto.csv``: PSNR in dB, MSE in 8-bit levels, mult-adds at 1280x720 output.

``psnr_deviation`` is the standard deviation in dB over the trainings of which the PSNR is the mean,
``scores`` their number, ``steps`` the optimiser steps behind the weights, and ``rung`` the rung at
which the candidate's training ended in the search.
"""


def write_pareto_csv(path: Path, evaluations: Sequence[Evaluation], problem: Problem) -> None:
    """Write the front of evaluations as CSV with the columns of :data:`COLUMNS`.

    Other objectives of the search, such as ``latency`` in ms, have columns after them.

    Numbers have all their digits and lines end in LF, so equal fronts give equal files.

    Raises:
        UserError: the file cannot be written.
    """
    text = io.StringIO()
    columns = (*COLUMNS, *(cost.name for cost in problem.added))
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(_row(evaluation, problem) for evaluation in problem.front(evaluations))
    write_atomically(path, text.getvalue().encode())


def write_pareto_json(path: Path, evaluations: Sequence[Evaluation], problem: Problem) -> None:
    """Write the front as JSON, with the origins of its networks and its hypervolume.

    The file contains no times and nothing of the machine: equal searches give equal files.

    Args:
        path: the file.
        evaluations: all evaluations of the search, including failures.
        problem: of the search; the bounds of its hypervolume are written as ``reference`` and
            ``ideal``.

    Raises:
        UserError: the file cannot be written.
    """
    summary = summarise(evaluations, problem)
    names = [objective.name for objective in problem.objectives]
    content = {
        "candidates": summary.candidates,
        "failures": summary.failures,
        "generations": summary.generation + 1,
        "min_psnr": problem.constraints.min_psnr,
        "hypervolume": summary.hypervolume,
        "reference": dict(zip(names, problem.worst, strict=True)),
        "ideal": dict(zip(names, problem.best, strict=True)),
        "front": [_entry(evaluation, problem) for evaluation in problem.front(evaluations)],
    }
    write_atomically(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def _row(evaluation: Evaluation, problem: Problem) -> dict[str, Any]:
    outcome = evaluation.outcome
    if not isinstance(outcome, Score):
        raise ValueError(f"candidate {evaluation.key} failed: it cannot be on a front")
    columns = {name: value(evaluation, outcome) for name, value in COLUMNS.items()}
    return columns | problem.numbers(evaluation)


def _entry(evaluation: Evaluation, problem: Problem) -> dict[str, Any]:
    network, origin = evaluation.candidate.genome.to_json(), asdict(evaluation.candidate.origin)
    return {**_row(evaluation, problem), "network": network, "origin": origin}
