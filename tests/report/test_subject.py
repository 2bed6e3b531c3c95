"""What the page says that searches are for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from browser import find_browser, open_page
from falsr_nas.archive.candidate import Candidate, Evaluation, Origin, Score
from falsr_nas.objectives.problem import Problem
from falsr_nas.report.page import page, write_page
from falsr_nas.report.page_data import page_data
from falsr_nas.report.run import Run
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.search_space import SearchSpace


def searched(space: SearchSpace) -> Run:
    """A search of two candidates."""
    rng, made = np.random.default_rng(0), []
    for number in range(2):
        genome = space.sample(rng)
        candidate = Candidate(genome, genome_cost(genome), Origin(("initial",)), 0, number)
        made.append(Evaluation(candidate, Score(40.0, 28.0 + number, 1.0)))
    return Run(f"x{space.scale}", made, Problem(space))


X3 = searched(SearchSpace(n=3, scale=3))
X2 = searched(SearchSpace())


def test_the_page_of_a_search_says_its_scale() -> None:
    assert page_data([X3])["subject"] == "x3 super-resolution, 3 cells"
    assert "x3 super-resolution, 3 cells" in page([X3])
    assert "x2 super-resolution" not in page([X3])


def test_the_page_of_several_searches_says_all_their_scales() -> None:
    assert page_data([X3, X2])["subject"] == "x2, x3 super-resolution, 3 cells, 7 cells"


def test_the_scale_is_shown(tmp_path: Path) -> None:
    browser = find_browser()
    if browser is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on PATH")
    write_page(tmp_path / "report.html", [X3])
    with open_page(browser, tmp_path / "profile") as tab:
        tab.open((tmp_path / "report.html").as_uri())
        lead = tab.evaluate("document.querySelector('.lead').textContent")
    assert lead == "2 candidates for x3 super-resolution, 3 cells"
