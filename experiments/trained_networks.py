"""Rows of trained networks in the JSON files of experiments."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.scoring import score_model
from falsr_nas.models import find_model
from falsr_nas.networks.network import BilinearResidual, Network
from falsr_nas.space.cost import genome_cost


def scored(folder: Path, sets: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a network that was trained in a folder, scored under ``standard``."""
    model = find_model(str(folder))
    network = model.network
    assert isinstance(network, BilinearResidual) and isinstance(network.network, Network)
    genome = network.network.genome
    cost = genome_cost(genome)
    last = curve(folder)[-1]
    score = score_model(model, sets, ScoringProtocol.standard)
    return {
        "seed": json.loads((folder / "recipe.json").read_text())["seed"],
        "genome": str(genome),
        "params": cost.params,
        "mult_adds": cost.mult_adds,
        "steps": int(last["step"]),
        "minutes": round(float(last["seconds"]) / 60, 1),
        "validation": round(float(last["psnr"]), 3),
        "psnr": {one.name: round(one.mean.psnr, 3) for one in score.sets},
    }


def curve(folder: Path) -> list[dict[str, str]]:
    """Return the validation curve of a training."""
    with (folder / "curve.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def read(path: Path) -> list[dict[str, Any]]:
    """Return what was measured so far."""
    return json.loads(path.read_text()) if path.exists() else []


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write a line for each row."""
    path.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
