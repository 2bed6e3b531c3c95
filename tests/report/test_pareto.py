from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.settings import Constraints
from falsr_nas.report.pareto import COLUMNS, write_pareto_csv, write_pareto_json
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome


def test_csv_gives_back_every_number_and_genome(
    tmp_path: Path, evaluations: list[Evaluation], problem: Problem
) -> None:
    front = problem.front(evaluations)
    write_pareto_csv(tmp_path / "pareto.csv", evaluations, problem)
    data = (tmp_path / "pareto.csv").read_bytes()
    assert data.startswith(b"key,genome,psnr,mse,mult_adds,params,generation,steps")
    assert b"\r" not in data
    with (tmp_path / "pareto.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == tuple(COLUMNS)
    assert len(rows) == len(front) > 5
    for row, evaluation in zip(rows, front, strict=True):
        genome = Genome.parse(row["genome"])
        assert genome == evaluation.candidate.genome
        assert genome.key == row["key"]
        assert (int(row["params"]), int(row["mult_adds"])) == (
            genome_cost(genome).params,
            genome_cost(genome).mult_adds,
        )
        assert evaluation.score is not None
        assert (float(row["psnr"]), float(row["mse"])) == (
            evaluation.score.psnr,
            evaluation.score.mse,
        )
        assert int(row["generation"]) == evaluation.candidate.generation


def test_csv_of_an_empty_front_is_its_header(
    tmp_path: Path, evaluations: list[Evaluation], problem: Problem
) -> None:
    failed = evaluations[49]
    assert failed.score is None
    for count, nothing in enumerate(([], [failed])):
        write_pareto_csv(tmp_path / f"{count}.csv", nothing, problem)
        assert (tmp_path / f"{count}.csv").read_text() == ",".join(COLUMNS) + "\n"


def test_json_tells_the_whole_story(
    tmp_path: Path, evaluations: list[Evaluation], problem: Problem
) -> None:
    problem = replace(problem, constraints=Constraints(min_psnr=25.0))
    write_pareto_json(tmp_path / "pareto.json", evaluations, problem)
    content = json.loads((tmp_path / "pareto.json").read_text())
    front = problem.front(evaluations)
    assert (
        content["candidates"],
        content["failures"],
        content["generations"],
        content["min_psnr"],
    ) == (300, 6, 5, 25.0)
    assert content["hypervolume"] == problem.hypervolume(front)
    assert content["reference"] == {
        "psnr": 20.0,
        "mult_adds": problem.worst[1],
        "params": problem.worst[2],
    }
    assert [entry["key"] for entry in content["front"]] == [evaluation.key for evaluation in front]
    for entry, evaluation in zip(content["front"], front, strict=True):
        assert (
            Genome.from_json(entry["network"])
            == Genome.parse(entry["genome"])
            == evaluation.candidate.genome
        )
        assert entry["psnr"] >= 25.0
        assert entry["origin"] == {
            "operators": ["crossover", "random"],
            "parents": ["a" * 16, "b" * 16],
            "log_prob": None,
        }


def test_equal_searches_make_equal_files(
    tmp_path: Path, evaluations: list[Evaluation], problem: Problem
) -> None:
    for name, order in (("one", evaluations), ("two", evaluations[::-1])):
        write_pareto_csv(tmp_path / f"{name}.csv", order, problem)
        write_pareto_json(tmp_path / f"{name}.json", order, problem)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_json_of_a_search_without_scores(
    tmp_path: Path, evaluations: list[Evaluation], problem: Problem
) -> None:
    write_pareto_json(tmp_path / "pareto.json", [evaluations[49]], problem)
    content = json.loads((tmp_path / "pareto.json").read_text())
    assert (
        content["candidates"],
        content["failures"],
        content["hypervolume"],
        content["front"],
    ) == (1, 1, 0.0, [])
