"""The Pareto front of a search as ``pareto.csv`` and ``pareto.json``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from falsr_nas.archive.candidate import Evaluation, Score
from falsr_nas.core.files import write_atomically
from falsr_nas.objectives.front import ObjectiveScale, pareto_front, summarise
from falsr_nas.objectives.objective import PAPER_OBJECTIVES, Objectives

COLUMNS = (
    "key",
    "genome",
    "psnr",
    "mse",
    "mult_adds",
    "params",
    "generation",
    "psnr_deviation",
    "scores",
    "steps",
    "rung",
)
"""Columns of ``pareto.csv``: PSNR in dB, MSE in 8-bit levels, mult-adds at 1280x720 output.

``psnr_deviation`` is the standard deviation in dB over the trainings of which the PSNR is the mean,
``scores`` their number, ``steps`` the optimiser steps behind the weights, those of ancestors
included, and ``rung`` the rung at which the candidate's training ended in the search.
"""


def write_pareto_csv(
    path: Path, front: Sequence[Evaluation], objectives: Objectives = PAPER_OBJECTIVES
) -> None:
    """Write a front as CSV with the columns of :data:`COLUMNS`, in the given order.

    Other objectives of the search, such as ``latency`` in ms, have columns after them.

    Numbers have all their digits and lines end in LF, so equal fronts give equal files.

    Raises:
        UserError: the file cannot be written.
        ValueError: an evaluation has no score.
    """
    text = io.StringIO()
    columns = (*COLUMNS, *(one.name for one in objectives.added))
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(_row(evaluation, objectives) for evaluation in front)
    write_atomically(path, text.getvalue().encode())


def write_pareto_json(
    path: Path,
    evaluations: Sequence[Evaluation],
    scale: ObjectiveScale,
    min_psnr: float | None = None,
) -> None:
    """Write the front as JSON, with the origins of its networks and its hypervolume.

    The file contains no times and nothing of the machine: equal searches give equal files.

    Args:
        path: the file.
        evaluations: all evaluations of the search, including failures.
        scale: scale of the hypervolume; its bounds are written as ``reference`` and ``ideal``.
        min_psnr: dB that a network must reach to be on the front; None for no limit.

    Raises:
        UserError: the file cannot be written.
    """
    objectives = scale.objectives
    summary = summarise(evaluations, scale, min_psnr)
    front = pareto_front(evaluations, min_psnr, objectives)
    names = [one.name for one in objectives.chosen]
    content = {
        "candidates": summary.candidates,
        "failures": summary.failures,
        "generations": summary.generation + 1,
        "min_psnr": min_psnr,
        "hypervolume": summary.hypervolume,
        "reference": dict(zip(names, scale.worst, strict=True)),
        "ideal": dict(zip(names, scale.best, strict=True)),
        "front": [_entry(evaluation, objectives) for evaluation in front],
    }
    write_atomically(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def _row(evaluation: Evaluation, objectives: Objectives) -> dict[str, Any]:
    candidate, outcome = evaluation.candidate, evaluation.outcome
    if not isinstance(outcome, Score):
        raise ValueError(f"candidate {evaluation.key} failed: it cannot be on a front")
    return {
        "key": candidate.key,
        "genome": str(candidate.genome),
        "psnr": outcome.psnr,
        "mse": outcome.mse,
        "mult_adds": candidate.cost.mult_adds,
        "params": candidate.cost.params,
        "generation": candidate.generation,
        "psnr_deviation": outcome.deviation,
        "scores": outcome.count,
        "steps": outcome.steps,
        "rung": evaluation.rung,
        **objectives.row(evaluation),
    }


def _entry(evaluation: Evaluation, objectives: Objectives) -> dict[str, Any]:
    candidate = evaluation.candidate
    origin = {
        "operators": candidate.origin.operators,
        "parents": candidate.origin.parents,
        "log_prob": candidate.origin.log_prob,
    }
    return {**_row(evaluation, objectives), "network": candidate.genome.to_json(), "origin": origin}
