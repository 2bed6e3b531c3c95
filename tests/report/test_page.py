"""The page of a search, in a real browser where there is one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from browser import Page, find_browser, open_page
from falsr_nas.archive.candidate import Candidate, Evaluation, Failure, Origin, Score
from falsr_nas.objectives.problem import Problem
from falsr_nas.report.architecture import stem_label
from falsr_nas.report.history import achievements
from falsr_nas.report.page import page, write_page
from falsr_nas.report.page_data import MOST_FAILURES, page_data
from falsr_nas.report.run import Run
from falsr_nas.report.terminal import compact
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.search_space import SearchSpace


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    browser = find_browser()
    if browser is None:
        pytest.skip(
            "no chromium, chromium-browser or google-chrome on PATH: the page is not tested"
        )
    with open_page(browser, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def shown(tab: Page, folder: Path, *runs: Run, width: int = 1400) -> Path:
    """Write the page and open it; it must load without errors and request no other file."""
    path = folder / "report.html"
    write_page(path, runs)
    tab.size(width, 900)
    tab.errors.clear()
    tab.requests.clear()
    tab.open(path.as_uri())
    assert tab.errors == []
    assert tab.requests == [path.as_uri()]
    return path


def drawn(tab: Page) -> dict[str, list[str]]:
    """Names and links of the drawing that is shown."""
    return dict(
        tab.evaluate(
            "(() => { const drawing = document.querySelector('#candidate .architecture'); return {"
            " names: [...drawing.querySelectorAll('.name')].map((name) => name.textContent),"
            " links: [...drawing.querySelectorAll('[data-link]:not(.gone)')]"
            ".map((link) => link.dataset.link),"
            " loops: [...drawing.querySelectorAll('.residual')]"
            ".map((loop) => loop.parentNode.dataset.node) }; })()"
        )
    )


def expected_drawing(evaluation: Evaluation) -> dict[str, list[str]]:
    genome = evaluation.candidate.genome
    return {
        "names": [
            stem_label(genome.ends),
            *(cell.name.replace("_", " ") for cell in genome.cells),
            genome.ends.label,
        ],
        "links": sorted(
            (
                f"{node}-{target}"
                for target, nodes in enumerate(genome.links, start=2)
                for node in nodes
            )
        ),
        "loops": [
            str(i)
            for i, cell in enumerate(genome.cells, start=1)
            if cell.residual and cell.repeats > 1
        ],
    }


def each(tab: Page, selector: str, of: str) -> list:
    """For each such element, called ``one``, the value of an expression."""
    return list(
        tab.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map((one) => {of})")
    )


def text_of(tab: Page, selector: str) -> str:
    return str(tab.evaluate(f"document.querySelector({json.dumps(selector)}).textContent"))


def test_the_page_loads_offline_and_shows_the_search(
    tab: Page, tmp_path: Path, family: Run
) -> None:
    shown(tab, tmp_path, family)
    tiles = dict(each(tab, ".tile", "[one.children[1].textContent, one.children[0].textContent]"))
    front = family.problem.front(family.evaluations)
    assert (tiles["candidates"], tiles["generations"], tiles["on the front"]) == (
        "200",
        "5",
        str(len(front)),
    )
    assert tiles["without a score"] == "8"
    assert (
        tiles["best PSNR"] == f"{max(e.score.psnr for e in family.evaluations if e.score):.2f} dB"
    )
    assert set(each(tab, "circle.front", "one.dataset.key")) == {e.key for e in front}
    assert each(tab, "#front-table tbody tr", "one.dataset.key") == [e.key for e in front]
    made = {
        " + ".join(one.operators): str(one.made)
        for one in achievements(family.evaluations, family.problem)
    }
    assert (
        dict(
            each(
                tab,
                ".achievements tbody tr",
                "[one.cells[0].textContent, one.cells[1].textContent]",
            )
        )
        == made
    )
    assert tab.evaluate("document.querySelectorAll('#links [data-link]').length") == 28


def test_the_page_knows_every_genome(tab: Page, tmp_path: Path, family: Run) -> None:
    shown(tab, tmp_path, family)
    texts = tab.evaluate("Array.from({ length: RUNS[0].size }, (_, row) => RUNS[0].text(row))")
    assert texts == [str(evaluation.candidate.genome) for evaluation in family.evaluations]


def test_a_click_shows_an_architecture(tab: Page, tmp_path: Path, family: Run) -> None:
    shown(tab, tmp_path, family)
    front = family.problem.front(family.evaluations)
    for evaluation in (front[0], front[-1], front[len(front) // 3]):
        tab.click(f"circle.front[data-key='{evaluation.key}']")
        assert tab.evaluate("document.querySelector('#candidate').dataset.key") == evaluation.key
        found = drawn(tab)
        assert found | {"links": sorted(found["links"])} == expected_drawing(evaluation)
        assert text_of(tab, "#candidate .genome code") == str(evaluation.candidate.genome)
        assert evaluation.score is not None
        assert f"{evaluation.score.psnr:.3f} dB" in text_of(tab, "#candidate .facts")
        assert tab.evaluate("location.hash") == f"#{evaluation.key}"
    tab.click(f"#front-table tr[data-key='{front[1].key}'] td")
    assert tab.evaluate("document.querySelector('#candidate').dataset.key") == front[1].key
    assert tab.errors == []


CHAINS = SearchSpace(
    n=4,
    operators=("conv", "empty"),
    links=False,
    channels=(8, 32),
    stems=(8, 32),
    upsamplers=("subpixel", "skipsubpixel"),
    unshuffles=(1, 2),
)


@pytest.mark.parametrize(
    "space", [SearchSpace(n=3, stems=(8, 32), upsamplers=("paper", "subpixel")), CHAINS]
)
def test_other_ends_and_depths_are_shown(tab: Page, tmp_path: Path, space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    made = [
        Evaluation(
            Candidate(genome, genome_cost(genome), Origin(("initial",)), 0, number),
            Score(20.0, 25.0 + number, 1.0),
        )
        for number, genome in enumerate(space.sample(rng).canonical() for _ in range(24))
    ]
    run = Run("ends", made, Problem(space))
    shown(tab, tmp_path, run)
    assert {e.candidate.genome.ends for e in made} == set(space.ends)
    texts = tab.evaluate("Array.from({ length: RUNS[0].size }, (_, row) => RUNS[0].text(row))")
    assert texts == [str(evaluation.candidate.genome) for evaluation in made]
    for evaluation in run.problem.front(made):
        tab.click(f"#front-table tr[data-key='{evaluation.key}'] td")
        found = drawn(tab)
        assert found | {"links": sorted(found["links"])} == expected_drawing(evaluation)
        skips = tab.evaluate("document.querySelectorAll('#candidate .global-skip').length")
        assert skips == evaluation.candidate.genome.has_global_skip
        cells = each(
            tab, f"#front-table tr[data-key='{evaluation.key}'] td.text", "one.textContent"
        )
        assert cells[0] == compact(evaluation.candidate.genome).replace(" x", " \u00d7")
    assert each(tab, "#traits h3", "one.textContent")[-2:] == ["stem", "upsampler"]
    assert tab.evaluate("document.querySelector('#links').hidden") == (not space.links)
    depths = {e.candidate.genome.n for e in made}
    assert depths == set(space.depths)
    said = "1 to 4 cells" if space is CHAINS else "3 cells"
    assert said in tab.evaluate("document.body.textContent")


def test_lineage_leads_back_to_the_initial_population(
    tab: Page, tmp_path: Path, family: Run
) -> None:
    shown(tab, tmp_path, family)
    by_key = {evaluation.key: evaluation for evaluation in family.evaluations}

    def ancestors(key: str) -> set[str]:
        parents = set(by_key[key].candidate.origin.parents)
        return parents.union(*map(ancestors, parents))

    child = next(
        e for e in reversed(family.problem.front(family.evaluations)) if e.candidate.generation >= 2
    )
    tab.click(f"circle.front[data-key='{child.key}']")
    found = tab.evaluate(
        f"(() => {{ const run = RUNS[0]; const row = run.rowOf.get('{child.key}');"
        " return [...run.ancestors(row)].map((row) => run.c.key[row]); })()"
    )
    assert set(found) == ancestors(child.key)
    assert f"{len(found)} ancestors" in text_of(tab, "#candidate")
    mother = child.candidate.origin.parents[0]
    assert text_of(tab, "#candidate .chips .chip code") == mother[:8]
    tab.click("#candidate .chips .chip")
    assert tab.evaluate("document.querySelector('#candidate').dataset.key") == mother
    assert "children" in text_of(tab, "#candidate") or "1 child" in text_of(tab, "#candidate")
    assert tab.errors == []


def test_what_no_parent_has_is_marked(tab: Page, tmp_path: Path, family: Run) -> None:
    shown(tab, tmp_path, family)
    by_key = {evaluation.key: evaluation for evaluation in family.evaluations}
    for evaluation in family.evaluations[60:200:23]:
        genome, parents = (
            evaluation.candidate.genome,
            [by_key[key].candidate.genome for key in evaluation.candidate.origin.parents],
        )
        tab.evaluate(f"choose(RUNS[0], {evaluation.candidate.number})")
        cells = [
            str(i)
            for i, cell in enumerate(genome.cells, start=1)
            if all(parent.cells[i - 1] != cell for parent in parents)
        ]
        assert (
            tab.evaluate(
                "[...document.querySelectorAll('#candidate .block.new')]"
                ".map((block) => block.dataset.node)"
            )
            == cells
        )
        lost = {
            f"{node}-{target}"
            for target in range(2, genome.n + 2)
            for node in range(target - 1)
            if node not in genome.links[target - 2]
            and all(node in parent.links[target - 2] for parent in parents)
        }
        assert (
            set(
                tab.evaluate(
                    "[...document.querySelectorAll('#candidate .gone')]"
                    ".map((link) => link.dataset.link)"
                )
            )
            == lost
        )


def test_the_front_can_be_walked_with_the_keyboard(tab: Page, tmp_path: Path, family: Run) -> None:
    shown(tab, tmp_path, family)
    front = [evaluation.key for evaluation in family.problem.front(family.evaluations)]
    for _ in range(40):
        tab.press("Tab")
        if tab.evaluate("document.activeElement.classList.contains('front')"):
            break
    assert tab.evaluate("document.activeElement.dataset.key") == front[0]
    tab.press("ArrowRight")
    tab.press("ArrowRight")
    assert tab.evaluate("document.activeElement.dataset.key") == front[2]
    assert not tab.evaluate("document.querySelector('#tip').hidden")
    tab.press("Enter")
    assert tab.evaluate("document.querySelector('#candidate').dataset.key") == front[2]
    tab.evaluate("document.querySelector('#front-table button.key').focus()")
    tab.press("ArrowDown")
    tab.press("Enter")
    assert tab.evaluate("document.querySelector('#candidate').dataset.key") == front[1]


def test_hovering_tells_the_cells(tab: Page, tmp_path: Path, family: Run) -> None:
    shown(tab, tmp_path, family)
    evaluation = family.problem.front(family.evaluations)[3]
    tab.move(f"circle.front[data-key='{evaluation.key}']")
    assert not tab.evaluate("document.querySelector('#tip').hidden")
    cells = tab.evaluate(
        "[...document.querySelectorAll('#tip li')].map((cell) => cell.textContent)"
    )
    assert cells == [cell.name.replace("_", " ") for cell in evaluation.candidate.genome.cells]


def test_costs_switch_to_parameters(tab: Page, tmp_path: Path, family: Run) -> None:
    shown(tab, tmp_path, family)
    tab.click("#front .choice button:nth-child(2)")
    assert "parameters (K)" in text_of(tab, "#front .chart")
    front = sorted(family.problem.front(family.evaluations), key=lambda e: e.candidate.cost.params)
    places = tab.evaluate(
        "[...document.querySelectorAll('circle.front')]"
        ".map((point) => [point.dataset.key, Number(point.getAttribute('cx'))])"
    )
    assert {key for key, _ in places} == {e.key for e in front}
    assert places == sorted(places, key=lambda place: place[1])
    params = {e.key: e.candidate.cost.params for e in front}
    assert [params[key] for key, _ in places] == sorted(params.values())


def test_failures_are_told_to_the_letter_and_run_nothing(
    tab: Page, tmp_path: Path, family: Run
) -> None:
    path = shown(tab, tmp_path, family)
    hostile = family.settings["note"]
    assert tab.evaluate("window.hacked") is None
    assert text_of(tab, "h1") == family.name
    assert (
        "8 of 200 candidates (4.0%) have no score; 9 attempts failed: bug 8, worker died 1."
        in text_of(tab, "#failures")
    )
    assert hostile in text_of(tab, "#failures summary")
    assert text_of(tab, "#failures pre") == f"Traceback (most recent call last):\n{hostile}"
    assert "worker 2" in text_of(tab, "#failures")
    assert hostile in text_of(tab, "#settings table")
    tab.click("#failures summary")
    tab.click("#failures .chip")
    assert text_of(tab, "#candidate .badge.bad") == "bug"
    assert tab.errors == []
    assert path.read_text().count("</script>") == 2


def test_several_searches_lie_over_each_other(tab: Page, tmp_path: Path, family: Run) -> None:
    space, rng = SearchSpace(n=3), np.random.default_rng(1)
    genomes = [space.sample(rng).canonical() for _ in range(30)]
    made = []
    for number, genome in enumerate(genomes):
        candidate = Candidate(
            genome, genome_cost(genome), Origin(("initial",)), number // 10, number
        )
        made.append(Evaluation(candidate, Score(100.0 + number, 28 - number / 20, 1.0)))
    other = Run("small", made, Problem(space))
    shown(tab, tmp_path, family, other)
    assert tab.evaluate("document.querySelectorAll('circle.front').length") == len(
        family.problem.front(family.evaluations)
    ) + len(other.problem.front(made))
    assert "cannot be compared" in text_of(tab, "#growth .note")
    small = other.problem.front(made)[0]
    tab.click(f"#front-table tr[data-key='{small.key}'] td")
    found = drawn(tab)
    assert found | {"links": sorted(found["links"])} == expected_drawing(small)
    tab.click("#tiles tr:nth-child(1) input")
    assert tab.evaluate("document.querySelectorAll('circle.front').length") == len(
        other.problem.front(made)
    )
    tab.click("#traits .choice button:nth-child(2)")
    assert tab.evaluate("document.querySelectorAll('#links [data-link]').length") == 6
    assert "None of 30 candidates failed." in text_of(tab, "#failures")
    assert tab.errors == []


@pytest.mark.parametrize("count", ["none", "one", "only failures"])
def test_a_search_that_has_hardly_begun(tab: Page, tmp_path: Path, family: Run, count: str) -> None:
    made = {
        "none": [],
        "one": family.evaluations[:1],
        "only failures": [e for e in family.evaluations if isinstance(e.outcome, Failure)],
    }[count]
    shown(tab, tmp_path, replace(family, evaluations=made))
    if made:
        assert len(drawn(tab)["names"]) == 9


def test_a_narrow_window_scrolls_in_one_direction_only(
    tab: Page, tmp_path: Path, family: Run
) -> None:
    shown(tab, tmp_path, family, width=390)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.click("circle.front")
    assert len(drawn(tab)["names"]) == 9


@pytest.mark.parametrize("width", [1280, 390])
def test_no_column_is_cut(tab: Page, tmp_path: Path, family: Run, width: int) -> None:
    runs = [replace(family, name=f"seed={seed}, controller=hybrid") for seed in (1, 2)]
    for shown_runs in (runs[:1], runs):
        shown(tab, tmp_path, *shown_runs, width=width)
        tab.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        tab.settle()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        cut = each(
            tab,
            ".scroll, table, th, td",
            "one.closest('.scroll, #tiles').getBoundingClientRect().right + 1"
            " < one.getBoundingClientRect().right || one.scrollWidth > one.clientWidth + 1"
            " ? `${one.textContent} ${one.scrollWidth} ${one.clientWidth}` : ''",
        )
        assert not any(cut), [text for text in cut if text]
        front = family.problem.front(family.evaluations)[0]
        last = each(tab, f"#front-table tr[data-key='{front.key}'] td", "one.textContent")[-1]
        assert last == " + ".join(front.candidate.origin.operators)


def test_a_network_can_be_linked_to(tab: Page, tmp_path: Path, family: Run) -> None:
    path = shown(tab, tmp_path, family)
    front = family.problem.front(family.evaluations)
    key = "document.querySelector('#candidate').dataset.key"
    for width in (1400, 390):
        tab.size(width, 900)
        tab.open("about:blank")
        tab.open(f"{path.as_uri()}#{front[-1].key}")
        assert tab.evaluate(key) == front[-1].key
        place = "#front-table .is-chosen" if width > 1000 else "#candidate h2"
        top = tab.evaluate(f"document.querySelector('{place}').getBoundingClientRect().top")
        assert 0 <= top < 900, "it is scrolled to"
    tab.evaluate(f"(location.hash = '{front[0].key[:8]}')")  # as the table shows it
    tab.settle()
    assert tab.evaluate(key) == front[0].key
    tab.evaluate(f"choose(RUNS[0], {front[1].candidate.number})")
    assert tab.evaluate("location.hash") == f"#{front[1].key}"
    href = "document.querySelector('#candidate h2 a').getAttribute('href')"
    assert tab.evaluate(href) == f"#{front[1].key}"
    tab.evaluate("(location.hash = '0123')")
    tab.settle()
    assert tab.evaluate(key) == front[1].key, "another search's network changes nothing"
    assert tab.errors == []


def test_a_network_of_the_second_search_can_be_linked_to(
    tab: Page, tmp_path: Path, family: Run
) -> None:
    half = len(family.evaluations) // 2
    runs = [
        replace(family, name="a", evaluations=family.evaluations[:half]),
        replace(family, name="b", evaluations=family.evaluations[half:]),
    ]
    path = shown(tab, tmp_path, *runs)
    wanted = runs[1].problem.front(runs[1].evaluations)[0].key
    for name in (wanted, f"1-{wanted}"):
        tab.open("about:blank")
        tab.open(f"{path.as_uri()}#{name}")
        assert tab.evaluate("document.querySelector('#candidate').dataset.key") == wanted


def test_colours_follow_the_reader(tab: Page, tmp_path: Path, family: Run) -> None:
    shown(tab, tmp_path, family)
    tab.size(1400, 900, dark=True)
    ground = "getComputedStyle(document.body).backgroundColor"
    assert tab.evaluate(ground) == "rgb(21, 23, 27)"
    tab.click("#theme")
    assert tab.evaluate(ground) == "rgb(255, 255, 255)"
    assert tab.errors == []


def test_10_000_candidates_are_a_small_page(
    tab: Page, tmp_path: Path, evaluations: list[Evaluation], problem: Problem
) -> None:
    many = []
    for number in range(10_000):
        evaluation = evaluations[number % len(evaluations)]
        origin = Origin(
            ("crossover", "random"),
            tuple(evaluations[(number * step) % 300].key for step in (7, 11)),
        )
        many.append(
            replace(
                evaluation,
                candidate=replace(
                    evaluation.candidate, origin=origin, generation=number // 64, number=number
                ),
            )
        )
    path = shown(tab, tmp_path, Run("large", many, problem))
    assert path.stat().st_size < 2_000_000
    tab.click("circle.front")
    assert len(drawn(tab)["names"]) == 9
    assert tab.errors == []


def test_thousands_of_different_failures_do_not_swell_it(family: Run) -> None:
    trace = "Traceback (most recent call last):\n" + "  File x\n" * 3000
    failed = [
        replace(e, outcome=Failure(e.outcome.kind, f"failure {i}", trace + str(i)))
        for i, e in enumerate(e for e in family.evaluations * 50 if isinstance(e.outcome, Failure))
    ]
    failures = page_data([replace(family, evaluations=failed)])["runs"][0]["failures"]
    assert len(failures["groups"]) == MOST_FAILURES
    assert failures["more"] == len(failed) - MOST_FAILURES
    assert len(json.dumps(failures)) < 2_500_000
    assert failures["groups"][0]["traceback"].endswith("0")


def test_nothing_is_loaded_from_anywhere(family: Run) -> None:
    text = page([family])
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "'unsafe-inline'" not in policy[1].split("style-src")[0]
    assert set(re.findall(r"https?://[\w./-]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(?:src|href)=\"(?!data:)", text.partition('id="data"')[0])


def test_equal_searches_make_equal_pages(family: Run) -> None:
    assert page([family]) == page([replace(family, evaluations=list(family.evaluations))])
