"""Damaged model files and databases."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given

from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, FailureKind, Origin, Score
from falsr_nas.archive.store import Store
from falsr_nas.core.errors import UserError
from falsr_nas.models.model_file import load_model, save_model
from falsr_nas.networks.network import Network
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome
from fuzz.mutations import fuzz, mutated

GENOME = Genome.parse("stem_f4 conv_f4_k1_b1_noskip groupConG2_f4_k3_b1_noskip | 0->2")


def model(folder: Path, ending: str) -> bytes:
    path = folder / f"whole{ending}"
    network = Network(GENOME)
    if ending == ".safetensors":
        save_model(path, network, {"source": "a test"})
    else:
        state = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
        torch.save(
            {
                "hyper_parameters": {"genome": GENOME.to_json(), "target": "image"},
                "state_dict": state,
            },
            path,
        )
    return path.read_bytes()


@pytest.mark.parametrize("ending", [".safetensors", ".ckpt"])
@pytest.mark.filterwarnings("ignore")
def test_damaged_model_files(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"damaged{ending}"

    @fuzz
    @given(mutated([model(tmp_path, ending)]))
    def run(content: bytes) -> None:
        path.write_bytes(content)
        try:
            found = load_model(path)
        except UserError as error:
            assert path.name in str(error)
        else:
            assert all(parameter.isfinite().all() for parameter in found.network.parameters())

    run()


def database(folder: Path) -> bytes:
    path = folder / "whole.db"
    with Store(path, {"seed": 1}) as store:
        for number, outcome in enumerate(
            [Score(1.0, 30.0, 2.0), Failure(FailureKind.DIVERGED, "nan", "")]
        ):
            store.add(
                Evaluation(
                    Candidate(GENOME, genome_cost(GENOME), Origin(("random",)), 0, number), outcome
                )
            )
            store.commit_state({"rng": [1, 2, 3]})
    return path.read_bytes()


def test_damaged_databases(tmp_path: Path) -> None:
    path = tmp_path / "search.db"

    @fuzz
    @given(mutated([database(tmp_path)]))
    def run(content: bytes) -> None:
        for old in tmp_path.glob("search.db*"):
            old.unlink()
        path.write_bytes(content)
        try:
            with Store(path) as store:
                store.config, store.state(), store.evaluations(), store.failures(), store.count()
        except UserError as error:
            assert "search.db" in str(error)

    run()
