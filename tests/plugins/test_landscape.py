"""The landscape of trainings, here of made-up ones, and the script that measures them."""

import csv
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from falsr_nas.archive.candidate import Candidate, Origin
from falsr_nas.controller.settings import RandomSettings
from falsr_nas.core.errors import UserError
from falsr_nas.data.settings import PhotographsSettings
from falsr_nas.evaluation.psnr_range import psnr_range
from falsr_nas.evaluation.settings import EvaluationContext, SyntheticSettings
from falsr_nas.evaluation.synthetic import SyntheticEvaluator
from falsr_nas.execution.inline import InlineExecutor
from falsr_nas.execution.settings import InlineSettings
from falsr_nas.search import SearchConfig, search
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.training.settings import TrainingSettings
from plugin_modules import plugin_module, random_landscape

SPACE = SearchSpace()
TRUTH = random_landscape(1, noise=0.3, seed=1)
PLUGIN = plugin_module("landscape")
LandscapeEvaluator, LandscapeSettings = PLUGIN.LandscapeEvaluator, PLUGIN.LandscapeSettings
SCRIPT = Path(__file__).parents[2] / "experiments/landscape/measure.py"


def candidate(genome: Genome) -> Candidate:
    return Candidate(genome, genome_cost(genome), Origin(("sampled",)), 0, 0)


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("landscape") / "trainings.csv"
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["genome", "psnr", "seed"])
        for genome in (SPACE.sample(rng) for _ in range(60)):
            for seed in (1, 2):
                psnr = TRUTH.psnr(genome) + rng.normal(scale=0.2)
                writer.writerow([str(genome), psnr, seed])
    return path


def test_scores_are_those_of_similar_trainings_with_their_noise(trainings: Path) -> None:
    evaluator = LandscapeEvaluator(LandscapeSettings(str(trainings)), seed=1)
    assert evaluator.surrogate.noise == pytest.approx(0.2, abs=0.07)
    rng = np.random.default_rng(1)
    genomes = [SPACE.sample(rng) for _ in range(120)]
    scores = [evaluator.evaluate(candidate(one)).psnr for one in genomes]
    assert scores == [evaluator.evaluate(candidate(one)).psnr for one in genomes]
    with pytest.raises(UserError, match="networks of 7 cells, and those of the search have 3"):
        evaluator.evaluate(candidate(SearchSpace(n=3).sample(rng)))
    expected = np.array([evaluator.psnr(one) for one in genomes])
    assert np.corrcoef(expected, [TRUTH.psnr(one) for one in genomes])[0, 1] > 0.4
    noise = np.array(scores) - expected
    assert noise.std() == pytest.approx(evaluator.surrogate.noise, rel=0.3)
    quiet = LandscapeEvaluator(LandscapeSettings(str(trainings), noise=0.0), seed=1)
    assert quiet.evaluate(candidate(genomes[0])).psnr == pytest.approx(expected[0])


def test_a_search_runs_on_it(trainings: Path, tmp_path: Path) -> None:
    config = SearchConfig(
        evaluator=LandscapeSettings(str(trainings)),
        execution=InlineSettings(),
        candidates=16,
        run_dir=str(tmp_path),
    )
    result = search(config)
    assert len(result.evaluations) == 16
    context = EvaluationContext(TrainingSettings(), PhotographsSettings(), seed=1)
    worst, best = psnr_range(config.evaluator, context)
    _, psnr = PLUGIN.read_trainings(trainings)
    assert min(psnr) - 0.3 < worst < best < max(psnr) + 0.8


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("genome,psnr\n", "0 trainings: a landscape needs 20"),
        ("genome,score\n" + "stem_f32 conv_f16_k3_b1_noskip |,30\n" * 20, "no column 'psnr'"),
        ("genome,psnr\n" + "stem_f32 conv_f16_k3_b1_noskip |,nan\n" * 20, "line 2: 'nan' is not"),
        ("genome,psnr\n" + "stem_f32 nonsense |,30\n" * 20, "line 2: 'nonsense' is not a cell"),
        (
            "genome,psnr\n"
            + "stem_f32 conv_f16_k3_b1_noskip |,30\n" * 20
            + "stem_f32 conv_f16_k3_b1_noskip conv_f16_k3_b1_noskip |,30\n",
            r"have \[1, 2\] cells",
        ),
        ("\x00\xff", "trainings"),
    ],
)
def test_unusable_files_get_one_line(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=says) as caught:
        LandscapeEvaluator(LandscapeSettings(str(path)), 1)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"evaluator.path is .*: give a CSV"):
        LandscapeEvaluator(LandscapeSettings(str(tmp_path / "none.csv")), 1)


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("measure", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_design_is_uniform_over_log_cost(script: ModuleType) -> None:
    costs = [genome_cost(script.designed(i, 12.0)).mult_adds for i in range(30)]
    assert max(costs) < 1.06 * 12e9
    logs = np.sort(np.log(costs))
    expected = np.linspace(logs[0], logs[-1], 30)
    assert np.abs(logs - expected).max() < 0.35 * np.ptp(logs)
    assert script.designed(3, 12.0) == script.designed(3, 12.0)


def test_measuring_resumes_without_repeating(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated: list[tuple[int, str]] = []

    class Recorded(SyntheticEvaluator):
        def evaluate(self, candidate: Candidate):
            if len(evaluated) == 7:
                evaluated.append((0, "stopped"))
                raise KeyboardInterrupt
            evaluated.append((self.seed, candidate.key))
            return super().evaluate(candidate)

    monkeypatch.setattr(
        script,
        "build_executor",
        lambda config: InlineExecutor(
            InlineSettings(), lambda: Recorded(TRUTH.settings, config.seed, psnr=TRUTH.psnr)
        ),
    )
    path = tmp_path / "trainings.csv"
    with pytest.raises(KeyboardInterrupt):
        script.measure(path, SearchConfig(), genomes=20, most=12.0)
    script.measure(path, SearchConfig(), genomes=20, most=12.0)
    script.measure(path, SearchConfig(seed=2), genomes=10, most=12.0)
    assert len(evaluated) == len(set(evaluated)) == 31
    genomes, psnr = PLUGIN.read_trainings(path)
    assert len(genomes) == 30
    assert [one.key for one in genomes[20:]] == [one.key for one in genomes[:10]]
    assert psnr[:10] != psnr[20:], "other seeds"
    assert np.mean(psnr[:10]) == pytest.approx(np.mean(psnr[20:])), "aligned"
    found = script.error(path, folds=5)
    assert found["trainings"] == 30
    assert 0 < found["rmse"] < 2


def test_the_trainings_of_a_search_are_added_once(script: ModuleType, tmp_path: Path) -> None:
    run_dir, path = tmp_path / "run", tmp_path / "trainings.csv"
    config = SearchConfig(
        evaluator=SyntheticSettings(),
        execution=InlineSettings(),
        controller=RandomSettings(8),
        candidates=24,
        seed=5,
        run_dir=str(run_dir),
    )
    result = search(config, progress=False)
    for _ in range(2):
        script.add(path, run_dir)
    genomes, psnr = PLUGIN.read_trainings(path)
    assert [one.key for one in genomes] == [one.key for one in result.evaluations]
    assert psnr == pytest.approx([one.score.psnr for one in result.evaluations], abs=1e-4)


def test_what_a_seed_gives_to_all_is_subtracted() -> None:
    genomes = [SPACE.sample(np.random.default_rng(i)) for i in range(4)]
    psnr = [30.0, 31.0, 32.0, 30.25, 31.25, 33.0]
    seeds = ["1", "1", "1", "2", "2", "3"]
    found = PLUGIN.aligned([*genomes[:3], *genomes[:2], genomes[3]], psnr, seeds)
    assert found == pytest.approx([30, 31, 32, 30, 31, 33])
