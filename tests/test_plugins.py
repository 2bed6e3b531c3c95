"""Plug-ins: errors in one line, what they register, workers, stores, model files, reports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backends import Backend, every_backend
from falsr_nas.archive.candidate import Candidate, Origin, Score
from falsr_nas.archive.store import Store
from falsr_nas.controller.settings import RandomSettings
from falsr_nas.core.errors import UserError
from falsr_nas.core.plugins import Plugin, load_plugins, loaded_plugins, unload
from falsr_nas.data.settings import FolderSettings
from falsr_nas.evaluation.settings import EVALUATORS, SyntheticSettings
from falsr_nas.execution.pickling import pickled
from falsr_nas.execution.settings import InlineSettings
from falsr_nas.models.export import convert_model
from falsr_nas.models.layout import Layout
from falsr_nas.models.model_file import Model, ModelFileError, load_model, save_model
from falsr_nas.networks.counted_cost import network_cost
from falsr_nas.networks.network import Network
from falsr_nas.networks.operator_check import check_operators
from falsr_nas.report.__main__ import ReportConfig, report
from falsr_nas.report.architecture import architecture_svg
from falsr_nas.report.terminal import compact
from falsr_nas.search import SearchConfig, build_evaluator, search
from falsr_nas.search.config import identity
from falsr_nas.space import OPERATORS, Genome, SearchSpace, genome_cost
from falsr_nas.space.operators import PALETTE
from falsr_nas.train import TrainConfig, train
from falsr_nas.training.initialization import initialized_network
from falsr_nas.training.settings import Initialization, TrainerSettings, TrainingSettings
from live_tensors import LiveTensors
from plugin_files import CONTROLLER, EVALUATOR, OBJECTIVE, OPERATOR

OURS = Path(__file__).parents[1] / "plugins"
OUR_FILES = (str(OURS / "bsconv.py"), str(OURS / "pixel_attention.py"))
BRIEF = TrainingSettings(epochs=1, steps_per_epoch=2, batch_size=2, patch_size=8, warmup=0)
Write = Callable[..., str]


def loaded_here() -> list[Plugin]:
    """Plug-ins except those that other modules of tests load while they are collected."""
    return [one for one in loaded_plugins() if not one.name.endswith("landscape")]


@pytest.fixture(autouse=True)
def nothing_stays_loaded() -> Iterator[None]:
    yield
    for plugin in loaded_here():
        unload(plugin.name)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a plug-in and returns its path."""

    def to_file(source: str, name: str = "my_cells") -> str:
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        return str(path)

    return to_file


def space_of(*operators: str, **choices: object) -> SearchSpace:
    small = {"n": 2, "channels": (8,), "kernels": (3,), "repeats": (1, 2), "stems": (8,)}
    return SearchSpace(operators=operators, upsamplers=("subpixel",), **small | choices)


def config_of(tmp_path: Path, *operators: str, **settings: object) -> SearchConfig:
    defaults = {
        "space": space_of(*operators),
        "controller": RandomSettings(population_size=2),
        "evaluator": SyntheticSettings(),
        "execution": InlineSettings(),
        "candidates": 4,
        "run_dir": str(tmp_path / "run"),
    }
    return SearchConfig(**defaults | settings)


def images(folder: Path) -> FolderSettings:
    for name in ("train", "val"):
        (folder / name).mkdir()
        pixels = np.random.default_rng(len(name)).integers(0, 256, (48, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name / "1.png")
    train_dirs = (str(folder / "train"),)
    return FolderSettings(train_dirs=train_dirs, val_dir=str(folder / "val"), val_crop=0)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("x = 1\ndef broken(:\n", r"my_cells\.py:2: SyntaxError: invalid syntax"),
        ("x = 1\n\nx.missing", r"my_cells\.py:3: AttributeError: 'int' object has no"),
        ("import no_such_module", r"my_cells\.py:1: ModuleNotFoundError: .*no_such_module"),
        ("raise SystemExit", r"my_cells\.py:1: SystemExit"),
        (
            OPERATOR.replace('"linear"', '"conv"'),
            r"my_cells\.py:\d+: operator conv is registered already",
        ),
        (OPERATOR.replace('"linear"', '"my_conv"'), r"'my_conv' cannot be the name of an operator"),
        (OPERATOR.replace('"linear"', '"linear", label="a-b"'), "its label is 'a-b'"),
        (OPERATOR.replace('"linear"', '"linear", letter="g"'), "its letter is 'g'"),
        (OPERATOR.replace('"linear"', '"linear", colors=("red", "x")'), "its colors are"),
        (OPERATOR.replace('"linear"', '"linear", factors=(0, 2)'), "its factors are"),
        (OBJECTIVE.replace('"links"', '"psnr"', 1), "objective psnr is registered already"),
        (OBJECTIVE.replace('"links"', '"my-links"', 1), "'my-links' cannot be the name of an obj"),
        (EVALUATOR.replace('"links"', '"synthetic"'), "evaluator=synthetic is registered already"),
        (EVALUATOR.replace('"links"', '"my-links"'), "'my-links' cannot be an option of evaluator"),
    ],
)
def test_a_plugin_that_fails_says_where_and_leaves_nothing(
    write: Write, source: str, says: str
) -> None:
    before = (list(OPERATORS), dict(EVALUATORS.schemas))
    with pytest.raises(UserError, match=says) as caught:
        load_plugins([write(source)])
    assert "\n" not in str(caught.value)
    assert (list(OPERATORS), dict(EVALUATORS.schemas)) == before
    assert not loaded_here()
    assert "falsr_nas_plugin_my_cells" not in sys.modules


def test_what_a_failing_plugin_registered_before_is_taken_back(write: Write) -> None:
    with pytest.raises(UserError, match="ZeroDivisionError"):
        load_plugins(write(f"{OPERATOR}\n{EVALUATOR}\n1 / 0"))
    assert "linear" not in OPERATORS
    assert "links" not in EVALUATORS.schemas
    load_plugins(write(OPERATOR))
    assert "linear" in OPERATORS


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("missing.py", "missing.py: No such file"),
        ("folder/my-cells.py", "not named like a Python module"),
        ("uninstalled", "no installed package has a plug-in 'uninstalled'"),
    ],
)
def test_a_plugin_that_is_not_there(given: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        load_plugins([given])


def test_two_plugins_of_one_name_or_operator(write: Write, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first = write(OPERATOR)
    other = tmp_path / "other" / "my_cells.py"
    other.write_text(EVALUATOR)
    with pytest.raises(UserError, match="both called my_cells"):
        load_plugins([first, other])
    load_plugins(first)
    with pytest.raises(UserError, match="linear is registered already by the plug-in my_cells"):
        load_plugins(write(OPERATOR, "his_cells"))


def test_a_changed_file_is_loaded_again_and_an_equal_one_is_not(write: Write) -> None:
    (first,) = load_plugins(write(OPERATOR))
    kind = OPERATORS["linear"]
    load_plugins(write(OPERATOR))
    assert OPERATORS["linear"] is kind
    (second,) = load_plugins(write(OPERATOR.replace("linear", "straight")))
    assert first.sha256 != second.sha256
    assert "straight" in OPERATORS
    assert "linear" not in OPERATORS


def test_an_installed_plugin_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    (site / "their_cells").mkdir(parents=True)
    (site / "their_cells" / "__init__.py").write_text("from their_cells import scores")
    (site / "their_cells" / "scores.py").write_text(EVALUATOR)
    (site / "their_cells-1.dist-info").mkdir()
    (site / "their_cells-1.dist-info" / "METADATA").write_text("Name: their-cells\nVersion: 1\n")
    (site / "their_cells-1.dist-info" / "entry_points.txt").write_text(
        "[falsr_nas.plugins]\ntheirs = their_cells\n"
    )
    code = (
        "from falsr_nas.core.plugins import load_plugins, owner\n"
        "(plugin,) = load_plugins('theirs')\n"
        "from falsr_nas.evaluation import EVALUATORS\n"
        "assert owner('evaluator', 'synthetic') is None, 'the plug-in only imported it'\n"
        "assert owner('evaluator', 'links') == plugin\n"
        "print('links' in EVALUATORS.schemas, plugin.sha256)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *sys.path])}

    late = subprocess.run(
        [sys.executable, "-c", f"import their_cells\n{code}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "their_cells: ImportError: it was imported before: load plug-ins first" in late.stderr

    def loaded() -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    registered, sha256 = loaded()
    assert registered == "True"
    (site / "their_cells" / "scores.py").write_text(f"{EVALUATOR}\n# changed")
    assert loaded()[1] != sha256, "the hash is of all files of the package"


def test_genomes_with_an_operator_of_a_plugin_are_read_and_written(write: Write) -> None:
    text = "stem_f8 linear_f8_k3_b1_noskip conv_f8_k3_b2_isskip subpixel_x2 | 0->2"
    with pytest.raises(UserError, match=r"unknown operator 'linear'.*plug-in \(plugins="):
        Genome.parse(text)
    load_plugins(write(OPERATOR))
    genome = Genome.parse(text)
    assert str(genome) == text
    assert Genome.from_json(genome.to_json()) == genome
    space = SearchSpace(operators=("linear", "conv"), channels=(8,), n=2)
    sampled = space.sample(np.random.default_rng(0))
    assert space.decode(*space.encode(sampled)) == sampled
    with pytest.raises(UserError, match="unknown operator 'linearG4'"):
        Genome.parse(text.replace("linear", "linearG4"))


def test_an_operator_with_a_number(write: Write) -> None:
    numbered = OPERATOR.replace('"linear"', '"linear", letter="R", factors=(2, 4)')
    load_plugins(write(numbered))
    genome = Genome.parse("linearR3_f8_k3_b1_noskip")
    assert (genome.cells[0].operator.factor, compact(genome)) == (3, "linearR3-8k3b1")
    with pytest.raises(UserError, match=r"'linearR5': factor must be in 2\.\.4"):
        Genome.parse("linearR5_f8_k3_b1_noskip")


def test_reports_have_a_name_and_a_colour_by_default(write: Write) -> None:
    load_plugins(write(OPERATOR))
    genome = Genome.parse("linear_f8_k3_b1_noskip")
    assert compact(genome) == "linear-8k3b1"
    svg = architecture_svg(genome)
    assert f".operator-linear {{ --operator: {PALETTE[0][0]}; }}" in svg
    assert '<g class="block operator-linear"' in svg


WRONG = {
    "output is 9x240x240, not 8x240x240": (
        "conv(inputs, cell.channels, cell.kernel)",
        "conv(inputs, cell.channels + 1, cell.kernel)",
    ),
    "has 577 parameters, its layers declare 584": (
        "conv(inputs, cell.channels, cell.kernel)",
        "conv(inputs, cell.channels, cell.kernel)\n"
        "        self.layer.bias = nn.Parameter(self.layer.bias[:1])\n"
        "        self.forward = lambda x: self.layer._conv_forward(x, self.layer.weight, None)",
    ),
    "takes 1152 mult-adds per pixel, its layers declare 576": (
        "return self.layer(x)",
        "return self.layer(x) + self.layer(x)",
    ),
    "depends on pixels more than 1 away": (
        "return self.layer(x)",
        "return self.layer(x) + x.mean((2, 3), keepdim=True)[:, :1]",
    ),
    "not linear in the channels that it reads": (
        "yield Conv(inputs, cell.channels, cell.kernel)",
        "yield Conv(inputs, inputs, cell.kernel)",
    ),
    "its layers cannot be listed: NameError: name 'width'": (
        "yield Conv(inputs, cell.channels, cell.kernel)",
        "yield Conv(inputs, width, cell.kernel)",
    ),
    "its layers are (3,): give one Conv or more": (
        "yield Conv(inputs, cell.channels, cell.kernel)",
        "yield cell.kernel",
    ),
    "has a state 'count' of torch.int64": (
        "super().__init__()",
        "super().__init__()\n        self.register_buffer('count', __import__('torch').tensor(1))",
    ),
    "cannot be built: AttributeError: 'Cell' object has no": (
        "cell.kernel)\n\n    def",
        "cell.k)\n\n    def",
    ),
    "cannot be run: NameError: name 'y'": ("return self.layer(x)", "return self.layer(y)"),
    "returns a tuple, not a tensor": ("return self.layer(x)", "return self.layer(x), x"),
    "its module is a int": ("module=Plain", "module=lambda cell, inputs: 1"),
}


@pytest.mark.parametrize("says", WRONG)
def test_a_module_that_is_not_what_its_operator_declares(write: Write, says: str) -> None:
    before, after = WRONG[says]
    assert before in OPERATOR
    load_plugins(write(OPERATOR.replace(before, after)))
    with pytest.raises(UserError) as caught:
        check_operators(space_of("linear", repeats=(1,)).distinct_cells)
    assert str(caught.value).startswith("operator linear of the plug-in my_cells: cell linear_f8")
    said, place = re.subn(r"plug-in \S*my_cells\.py:\d+: ", "", str(caught.value))
    assert says in said
    assert place == ("Error: " in says), "exceptions name the line"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("operator", ["bsconv", "pixelAtt"])
def test_our_plugins_are_what_they_declare(operator: str) -> None:
    load_plugins(OUR_FILES)
    space = SearchSpace(operators=(operator,), n=3, channels=(8, 24), stems=(8,))
    check_operators(space.distinct_cells)
    rng = np.random.default_rng(3)
    for _ in range(3):
        genome = space.sample(rng)
        network = Network(genome).eval()
        assert network_cost(network) == genome_cost(genome)
        with torch.inference_mode(), LiveTensors() as tensors:
            network(torch.rand(1, 1, 20, 20))
        measured = tensors.most / 20**2
        assert measured <= network.footprint.floats <= 1.6 * measured


def test_pixel_attention_begins_as_a_plain_convolution() -> None:
    load_plugins(OUR_FILES)
    text = "stem_f8 pixelAtt_f8_k3_b2_isskip subpixel_x2 |"
    network = initialized_network(Genome.parse(text), Initialization.he, False, 1).eval()
    plain = Network(Genome.parse(text.replace("pixelAtt", "conv"))).eval()
    weights = {
        name.replace(".body.", "."): value
        for name, value in network.state_dict().items()
        if ".gate." not in name
    }
    plain.load_state_dict(weights)
    y = torch.rand(1, 1, 12, 12)
    with torch.no_grad():
        torch.testing.assert_close(network(y), plain(y))


def test_model_files_name_their_plugins_and_load_no_code(
    write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, marker = tmp_path / "model.safetensors", tmp_path / "ran"
    source = f"{OPERATOR}\nopen({str(marker)!r}, 'w').close()\n"
    (plugin,) = load_plugins(write(source))
    network = Network(Genome.parse("stem_f8 linear_f8_k3_b1_noskip subpixel_x2 |"))
    save_model(path, network, {})
    y = torch.rand(1, 1, 8, 8)
    with torch.no_grad():
        expected = network(y)
        torch.testing.assert_close(load_model(path).network(y), expected)
    marker.unlink()
    unload("my_cells")
    with pytest.raises(ModelFileError) as caught:
        load_model(path)
    assert str(caught.value) == (
        f"{path}: needs the plug-in my_cells (SHA-256 {plugin.sha256[:12]}...):"
        " give plugins=[my_cells.py]"
    )
    assert not marker.exists()
    assert not caplog.records
    load_plugins(write(f"{source}# another version"))
    load_model(path)
    assert "made with another version of the plug-in my_cells" in caplog.text


def test_our_plugins_run_in_onnxruntime(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    load_plugins(OUR_FILES)
    genome = Genome.parse(
        "stem_f8 bsconv_f8_k3_b2_isskip pixelAtt_f8_k3_b2_isskip subpixel_x2 | 0->2 1->3"
    )
    network = initialized_network(genome, Initialization.he, False, 1).eval()
    exported = convert_model(Model(network, "both", {}), tmp_path / "model.onnx", Layout.y)
    exported.write()
    y = torch.rand(1, 1, 10, 14)
    with torch.no_grad():
        difference = (exported.run(y) - network(y)).abs().max()
    assert difference < 1e-5
    metadata = {one.key: one.value for one in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert all(plugin.sha256 in metadata["plugins"] for plugin in loaded_here())


def test_our_plugins_are_searched_trained_and_reported(tmp_path: Path) -> None:
    load_plugins(OUR_FILES)
    data = images(tmp_path)
    config = config_of(
        tmp_path,
        "bsconv",
        "pixelAtt",
        evaluator=replace(SearchConfig().evaluator),
        training=BRIEF,
        data=data,
        plugins=OUR_FILES,
        candidates=3,
    )
    result = search(config)
    assert len(result.evaluations) == 3
    assert all(one.score for one in result.evaluations), result.failures
    kinds = {
        cell.operator.kind for one in result.evaluations for cell in one.candidate.genome.cells
    }
    assert kinds == {"bsconv", "pixelAtt"}
    (trained,) = train(
        TrainConfig(
            run_dir=config.run_dir,
            select="psnr",
            n=1,
            training=BRIEF,
            trainer=TrainerSettings(validate_every=1, accelerator="cpu"),
            data=data,
            plugins=OUR_FILES,
        )
    )
    names = {cell.operator.kind for cell in trained.genome.cells}
    for name in names:
        plugin = "bsconv" if name == "bsconv" else "pixel_attention"
        assert f'"plugins.{plugin}"' in (trained.folder / "recipe.json").read_text()
        assert (trained.folder / "plugins" / f"{plugin}.py").is_file()
        assert f"{trained.name}/plugins/{plugin}.py" in (trained.folder / "README.md").read_text()
    for path in (trained.folder, trained.folder / "last.ckpt"):
        network = load_model(path).network
        assert getattr(network, "network", network).genome == trained.genome
    page = (tmp_path / "run" / "report.html").read_text()
    assert "--operator-bsconv: light-dark(" in page
    assert '"bsconv":"BS"' in page
    for plugin in loaded_here():
        unload(plugin.name)
    with pytest.raises(ModelFileError, match="needs the plug-in"):
        load_model(trained.folder / "last.ckpt")
    with pytest.raises(UserError, match=r"plug-in bsconv, pixel_attention: give plugins=\[.*run/"):
        report(ReportConfig(run_dirs=(config.run_dir,)))


def test_a_search_is_resumed_with_the_same_plugins_only(write: Write, tmp_path: Path) -> None:
    path = write(OPERATOR)
    load_plugins(path)
    config = config_of(tmp_path, "linear", "conv", plugins=(path,))
    plain = identity(config_of(tmp_path, "conv"))
    assert not any(name.startswith("plugins") for name in plain)
    assert identity(config)["plugins.my_cells"] == loaded_here()[0].sha256
    assert identity(replace(config, plugins=())) == identity(config), "its operators are used"
    first = search(config)
    (tmp_path / "elsewhere").mkdir()
    moved = tmp_path / "elsewhere" / "my_cells.py"
    moved.write_text(OPERATOR)
    again = search(replace(config, plugins=(str(moved),), candidates=6))
    assert [one.key for one in again.evaluations][:4] == [one.key for one in first.evaluations]
    kept = tmp_path / "run" / "plugins" / "my_cells.py"
    assert kept.read_text() == OPERATOR
    write(f"{OPERATOR}# changed")
    with pytest.raises(UserError) as caught:
        search(replace(config, candidates=8))
    assert "the plug-in my_cells has changed" in str(caught.value)
    assert f"({kept.parent} has its plug-ins)" in str(caught.value)
    assert kept.read_text() == OPERATOR
    search(replace(config, plugins=(str(kept),), candidates=8))


def test_an_objective_of_a_plugin_is_searched_and_reported(write: Write, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no 'links'.*plug-in that has it \(plugins="):
        config_of(tmp_path, "conv", objectives=("psnr", "links"))
    path = write(OBJECTIVE, "my_objective")
    (plugin,) = load_plugins(path)
    config = config_of(tmp_path, "conv", objectives=("psnr", "links"), candidates=8)
    assert identity(config)["plugins.my_objective"] == plugin.sha256
    result = search(config)
    for one in result.front:
        links, psnr = sum(map(len, one.candidate.genome.links)), one.score.psnr
        assert not any(
            other.score.psnr > psnr and sum(map(len, other.candidate.genome.links)) < links
            for other in result.evaluations
        )
    report(ReportConfig(run_dirs=(config.run_dir,)))
    unload(plugin.name)
    with pytest.raises(UserError, match=r"no 'links'.*plug-in that has it \(plugins="):
        report(ReportConfig(run_dirs=(config.run_dir,)))


def test_an_operator_of_a_script_needs_execution_inline(tmp_path: Path) -> None:
    from falsr_nas.execution.settings import ProcessesSettings

    namespace: dict = {}
    exec(OPERATOR, namespace)  # registered by no plug-in
    try:
        config = config_of(tmp_path, "linear", execution=ProcessesSettings(workers=1))
        with pytest.raises(UserError, match=r"linear is registered by no plug-in.*plugins=\["):
            search(config)
        assert len(search(config_of(tmp_path, "linear", candidates=2)).evaluations) == 2
    finally:
        OPERATORS._remove("linear")


def test_a_store_of_a_search_without_plugins_is_as_before(tmp_path: Path) -> None:
    search(config_of(tmp_path, "conv"))
    with Store(tmp_path / "run" / "search.db") as store:
        assert not any(name.startswith("plugins") for name in store.config)
    assert not (tmp_path / "run" / "plugins").exists()


@every_backend
def test_an_evaluator_reaches_workers_that_do_not_have_its_file(
    backend: Backend, write: Write, tmp_path: Path
) -> None:
    paths = (write(EVALUATOR, "my_scores"), write(OPERATOR))
    load_plugins(paths)
    settings = EVALUATORS.schemas["links"](bonus=2.0)
    config = config_of(tmp_path, "linear", evaluator=settings)
    for path in paths:
        Path(path).unlink()
    genome = Genome.parse("stem_f8 linear_f8_k3_b1_noskip linear_f8_k3_b1_noskip | 0->2 0->3")
    candidate = Candidate(genome, genome_cost(genome), Origin(("initial",)), 0, 0)
    with backend.build(partial(build_evaluator, config), None) as executor:
        executor.submit(candidate)
        evaluation = executor.collect()
    assert evaluation.outcome == Score(10.0, 29.0, 0.0)
    assert evaluation.candidate == candidate


def test_a_plugin_that_fails_in_a_worker_is_the_users_mistake(write: Write, tmp_path: Path) -> None:
    source = f"import os\nassert os.getpid() == {os.getpid()}, 'only here'\n{EVALUATOR}"
    load_plugins(write(source, "my_scores"))
    content = pickled(partial(build_evaluator, config_of(tmp_path, "conv")))
    code = (
        "import sys\n"
        "from falsr_nas.execution.pickling import unpickled\n"
        "from falsr_nas.core.errors import UserError\n"
        "try: unpickled(sys.stdin.buffer.read())\n"
        "except UserError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=content, capture_output=True, check=False
    )
    assert b"my_scores.py:2: AssertionError: only here" in done.stdout, done.stderr


def command(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_command_searches_with_an_evaluator_and_a_controller_of_plugins(
    write: Write, tmp_path: Path
) -> None:
    write(EVALUATOR, "my_scores")
    write(CONTROLLER, "my_controller")
    chosen = (
        "evaluator=links",
        "evaluator.bonus=0.25",
        "controller=shortest",
        "controller.tries=2",
    )
    small = ("execution=processes", "execution.workers=1", "tracking=none", "run_dir=run")
    size = ("candidates=8", "controller.population_size=4")
    plugins = "plugins=[my_scores.py,./my_controller.py]"
    done = command("falsr_nas.search", plugins, *chosen, *small, *size, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    with Store(tmp_path / "run" / "search.db") as store:
        evaluations = store.evaluations()
        assert (store.config["evaluator"], store.config["controller"]) == ("links", "shortest")
    for one in evaluations:
        links = sum(map(len, one.candidate.genome.links))
        assert one.score.psnr == 25 + 0.25 * links
        assert one.candidate.origin.operators == ("shortest",)
    forgotten = command("falsr_nas.search", *chosen, *small, *size, folder=tmp_path)
    assert forgotten.returncode == 2
    assert forgotten.stderr.count("\n") == 1
    assert "or give the plug-in that has it (plugins=[...])" in forgotten.stderr


def test_help_lists_the_options_of_plugins(write: Write, tmp_path: Path) -> None:
    write(EVALUATOR, "my_scores")
    done = command(
        "falsr_nas.search", "plugins=[my_scores.py]", "evaluator=links", "--help", folder=tmp_path
    )
    assert re.search(r"evaluator=NAME.*\n(.*\n)+? +synthetic .*\n(.*\n)*?  \* links\n", done.stdout)
    assert re.search(r"evaluator\.bonus +0\.5\n", done.stdout)


def test_a_single_plugin_needs_no_brackets(write: Write, tmp_path: Path) -> None:
    write(OPERATOR)
    genome = "genome=linear_f8_k3_b1_noskip"
    done = command("falsr_nas.describe", "plugins=my_cells.py", genome, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    done = command("falsr_nas.describe", "--plugins", "my_cells.py", genome, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
