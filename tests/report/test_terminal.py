from __future__ import annotations

import io

from rich.console import Console

from falsr_nas.archive.candidate import Evaluation
from falsr_nas.objectives.problem import Problem
from falsr_nas.report.terminal import compact, front_table
from falsr_nas.space.genome import Genome
from falsr_nas.space.published import PUBLISHED

PROBLEM = Problem()


def shown(front: list[Evaluation], most: int = 20) -> str:
    console = Console(file=io.StringIO(), width=150, legacy_windows=False)
    console.print(front_table(front, PROBLEM, most))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_cells_in_short() -> None:
    assert compact(PUBLISHED["FALSR-A"]) == "C64k3b4+ C48k1b1+ C64k3b4+ x3 C64k1b4 C64k3b4+"
    assert compact(PUBLISHED["FALSR-B"]).split()[5] == "G4-16k3b4"
    assert compact(PUBLISHED["FALSR-B"]).split()[1] == "E2-48k1b2+"


def test_ends_in_short_where_they_are_not_the_papers() -> None:
    cells = "conv_f16_k3_b1_noskip conv_f16_k3_b1_noskip"
    assert compact(Genome.parse(f"stem_f16 {cells}")) == "S16 C16k3b1 x2"
    assert compact(Genome.parse(f"stem_f32 {cells} subpixel_x2")) == "C16k3b1 x2 subpixel"


def test_every_network_of_a_short_front_is_shown(evaluations: list[Evaluation]) -> None:
    front = PROBLEM.front(evaluations)
    text = shown(front, most=1000)
    assert f"Pareto front, {len(front)} networks" in text
    for evaluation in front:
        line = next(line for line in text.splitlines() if evaluation.key in line)
        assert evaluation.score is not None
        assert f"{evaluation.score.psnr:.2f}" in line
        assert f"{evaluation.candidate.cost.mult_adds / 1e9:.1f}" in line
        assert f"{evaluation.candidate.cost.params / 1e3:.1f}" in line


def test_a_long_front_is_thinned_and_says_so(evaluations: list[Evaluation]) -> None:
    front = PROBLEM.front(evaluations)
    text = shown(front, most=4)
    assert f"4 of its {len(front)} networks" in text
    assert sum(evaluation.key in text for evaluation in front) == 4
    assert front[0].key in text
    assert front[-1].key in text


def test_an_empty_front() -> None:
    assert "0 networks" in shown([])
