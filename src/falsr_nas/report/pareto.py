"""The Pareto front of a search as ``pareto.csv`` and ``pareto.json``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.core.files import write_atomically
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.summary import flat_row, summarise

COLUMNS = (
    "key",
    "genome",
    "psnr",
    "mse",
    "mult_adds",
    "params",
    "generation",
    "steps",
)
"""Columns of ``pareto.csv``, see :func:`~falsr_nas.objectives.summary.flat_row`."""


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

    The file contains no times and nothing of the machine: equal searches give equal files. The
    bounds of the hypervolume are ``reference`` and ``ideal``.

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
        "front": [
            {
                **_row(evaluation, problem),
                "network": evaluation.candidate.genome.to_json(),
                "origin": asdict(evaluation.candidate.origin),
            }
            for evaluation in problem.front(evaluations)
        ],
    }
    write_atomically(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def _row(evaluation: Evaluation, problem: Problem) -> dict[str, Any]:
    row = flat_row(evaluation)
    return {name: row[name] for name in COLUMNS} | problem.numbers(evaluation)
