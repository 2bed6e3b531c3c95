"""Files that somebody made to do harm, with the real commands: one line, exit code 2, at once."""

from __future__ import annotations

import io
import pickle
import resource
import shutil
import sqlite3
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from commands import run
from falsr_nas.networks.checkpoint import LONGEST_PICKLE
from falsr_nas.networks.network import Network
from falsr_nas.space.genome import Genome
from test_unlucky_users import BRIEF, SEARCH

GENOME = Genome.parse("stem_f4 conv_f4_k1_b1_noskip | ")
MEMORY = 4 * 2**30


def refused(module: str, *arguments: str, folder: Path) -> str:
    """Run a command with at most 4 GiB of memory; return its one line."""
    done = run(module, *arguments, folder=folder, preexec_fn=_limit_memory)
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searched")
    assert run(*SEARCH, "run_dir=whole", folder=folder).returncode == 0
    return folder / "whole"


ENDLESS = "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
DATABASES = {
    "a view without end": f"DROP TABLE about; CREATE VIEW about AS SELECT i AS name, i AS value"
    f" FROM ({ENDLESS})",
    "a trigger": "CREATE TRIGGER t AFTER UPDATE ON evaluations BEGIN DELETE FROM about; END",
    "a virtual table": "CREATE VIRTUAL TABLE other USING fts5(text)",
    "a generated column": "ALTER TABLE about ADD COLUMN more AS (hex(zeroblob(100000000)))",
    "a value of 400 MB": "UPDATE evaluations SET operators = zeroblob(400000000) WHERE number = 3",
    "an infinite PSNR": "UPDATE evaluations SET psnr = 9e999 WHERE number = 3",
    "an infinite latency": "UPDATE evaluations SET latency = -9e999 WHERE number = 3",
    "a blob as a genome": "UPDATE evaluations SET genome = x'c3' WHERE number = 3",
    "infinite mult-adds": "UPDATE evaluations SET mult_adds = 9e999 WHERE number = 3",
    "negative parameters": "UPDATE evaluations SET params = -5 WHERE number = 3",
    "a number of 10^300": "UPDATE evaluations SET generation = 1e300 WHERE number = 3",
    "parents that are numbers": "UPDATE evaluations SET parents = '[1]' WHERE number = 3",
    "operators that are a text": "UPDATE evaluations SET operators = '\"x\"' WHERE number = 3",
    "no score": "UPDATE evaluations SET mse = NULL WHERE number = 3",
    "settings of another kind": "UPDATE about SET value = replace(value, '\"space.n\": 7',"
    " '\"space.n\": [7]') WHERE name = 'config'",
    "an objective of another kind": "UPDATE about SET value = replace(value, '[\"psnr\"',"
    " '[7') WHERE name = 'config'",
    "a range without numbers": "INSERT OR REPLACE INTO about VALUES ('psnr_range', '[\"a\", []]')",
}


OFTEN = ("a view without end", "a value of 400 MB", "an infinite PSNR", "settings of another kind")


@pytest.mark.parametrize(
    "damage",
    [one if one in OFTEN else pytest.param(one, marks=pytest.mark.slow) for one in DATABASES],
)
def test_a_database(damage: str, searched: Path, tmp_path: Path) -> None:
    shutil.copytree(searched, tmp_path / "run")
    database = sqlite3.connect(tmp_path / "run/search.db")
    database.executescript(DATABASES[damage])
    database.close()
    commands = {"report": "run_dirs=[run]", "train": "run_dir=run"}
    for module, setting in [*commands.items()][: 1 if damage in OFTEN else 2]:
        told = refused(f"falsr_nas.{module}", setting, folder=tmp_path)
        assert ("space.n" if damage == "settings of another kind" else "search.db") in told


def test_a_report_changes_nothing_in_a_database(searched: Path, tmp_path: Path) -> None:
    shutil.copytree(searched, tmp_path / "run")
    content = (tmp_path / "run/search.db").read_bytes()
    done = run("falsr_nas.report", "run_dirs=[run]", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/search.db").read_bytes() == content


def checkpoint(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def with_pickle(pickled: bytes) -> bytes:
    """Return a checkpoint whose ``data.pkl`` is another one."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(checkpoint({"a": torch.zeros(1)}))) as old,
        zipfile.ZipFile(file, "w") as new,
    ):
        for entry in old.infolist():
            is_pickle = entry.filename.endswith("data.pkl")
            new.writestr(entry, pickled if is_pickle else old.read(entry))
    return file.getvalue()


def long_pickle(length: int) -> bytes:
    """Return the pickle of a dictionary with a list of that many entries."""
    return b"\x80\x02}X\x01\x00\x00\x00a](" + pickle.NONE * length + b"es."


def lightning(**weights: torch.Tensor) -> bytes:
    state = {f"network.{name}": one for name, one in Network(GENOME).state_dict().items()}
    about = {"genome": GENOME.to_json(), "target": "image"}
    return checkpoint({"hyper_parameters": about, "state_dict": state | weights})


STEM = "network.stem.weight"
CHECKPOINTS = {
    "strides of zero": lambda: lightning(**{STEM: torch.zeros(1).expand(60000, 60000)}),
    "a sparse tensor": lambda: lightning(
        **{STEM: torch.sparse_coo_tensor(torch.zeros(2, 0), torch.zeros(0), (60000, 60000))}
    ),
    "infinite in float32": lambda: lightning(
        **{STEM: torch.full_like(Network(GENOME).stem.weight, 1e300, dtype=torch.float64)}
    ),
    "60 MB of opcodes": lambda: with_pickle(long_pickle(60_000_000)),
}


@pytest.mark.parametrize(
    "kind",
    [
        "strides of zero",
        "60 MB of opcodes",
        pytest.param("a sparse tensor", marks=pytest.mark.slow),
        pytest.param("infinite in float32", marks=pytest.mark.slow),
    ],
)
def test_a_checkpoint(kind: str, tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    (tmp_path / "made.ckpt").write_bytes(CHECKPOINTS[kind]())
    told = refused(
        "falsr_nas.upscale", "model=made.ckpt", "input=a.png", "output=b.png", folder=tmp_path
    )
    assert "made.ckpt" in told


@pytest.mark.slow
def test_the_longest_pickle_is_read_in_time(tmp_path: Path) -> None:
    path = tmp_path / "long.ckpt"
    path.write_bytes(with_pickle(long_pickle(LONGEST_PICKLE - 20)))
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    told = refused("falsr_nas.upscale", "model=long.ckpt", "input=a.png", folder=tmp_path)
    assert "hyper_parameters" in told


def graph(*nodes: onnx.NodeProto, **weights: np.ndarray) -> onnx.ModelProto:
    """Return a model that doubles the image, with other nodes and weights before that."""
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, "h", "w"])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    kept = [numpy_helper.from_array(one, name) for name, one in weights.items()]
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    resize = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest")
    made = helper.make_graph([*nodes, resize], "g", [image], [output], [*kept, scales])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def endless() -> onnx.ModelProto:
    names = [
        helper.make_tensor_value_info("i", TensorProto.INT64, []),
        helper.make_tensor_value_info("c", TensorProto.BOOL, []),
    ]
    again = helper.make_tensor_value_info("d", TensorProto.BOOL, [])
    body = helper.make_graph([helper.make_node("Identity", ["c"], ["d"])], "body", names, [again])
    loop = helper.make_node("Loop", ["", "true"], [], body=body)
    return graph(loop, true=np.array(True))


def gigabytes() -> onnx.ModelProto:
    made = helper.make_node("ConstantOfShape", ["shape"], ["large"])
    summed = helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0)
    added = helper.make_node("Add", ["x", "sum"], ["z"])
    model = graph(made, summed, added, shape=np.array([1, 1700, 1000, 1000]))
    model.graph.node[-1].input[0] = "z"
    return model


def elsewhere() -> onnx.ModelProto:
    """Return a model with weights in /etc/passwd, inside of an If."""
    weight = TensorProto(
        name="w", data_type=TensorProto.UINT8, dims=[8], data_location=TensorProto.EXTERNAL
    )
    weight.external_data.add(key="location", value="/etc/passwd")
    output = helper.make_tensor_value_info("v", TensorProto.UINT8, [8])
    inside = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["v"])], "inside", [], [output], [weight]
    )
    branch = helper.make_node("If", ["true"], ["never"], then_branch=inside, else_branch=inside)
    return graph(branch, true=np.array(True))


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (endless, "the operator 'Loop' is not supported"),
        (gigabytes, "onnx: "),
        (elsewhere, "keeps weights in other files"),
    ],
)
def test_a_graph(made: object, says: str, tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    good = ("falsr_nas.upscale", "model=made.onnx", "input=a.png", "output=b.png")
    onnx.save(graph(), tmp_path / "made.onnx")
    assert run(*good, folder=tmp_path).returncode == 0
    assert callable(made)
    onnx.save(made(), tmp_path / "made.onnx")
    assert says in refused(*good, folder=tmp_path)


@pytest.mark.slow
def test_a_recipe_of_a_training(tmp_path: Path) -> None:
    assert run(*BRIEF, "output=out", folder=tmp_path).returncode == 0
    recipe = tmp_path / "out/best/recipe.json"
    for content in (b"", b"[1, 2]", b"[" * 5000, b"\xff"):
        recipe.write_bytes(content)
        done = run(*BRIEF, "output=out", folder=tmp_path)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert "recipe.json: damaged" in done.stderr.splitlines()[-1]
