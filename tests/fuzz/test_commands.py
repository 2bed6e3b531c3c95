"""Damaged files and settings, given to the commands: exit code 0 or 2, soon, in little memory."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from falsr_nas.models.model_file import load_model, save_model
from falsr_nas.networks.network import Network
from falsr_nas.space.genome import Genome
from falsr_nas.space.search_space import SearchSpace
from fuzz.mutations import EXAMPLES
from made_profile import made_profile

GENOME = "stem_f4 conv_f4_k1_b1_noskip groupConG2_f4_k3_b1_noskip | 0->2"
SEARCH = (
    "search", "evaluator=synthetic", "execution=inline", "tracking=none",
    "controller.population_size=8",
)  # fmt: skip
UPSCALE = ("upscale", "input=a.png", "output=b.png", "runtime=torch")
FAST = SearchSpace(n=3, stems=(8, 16), channels=(8, 16), links=False)
MEMORY = 4 * 2**30

Ask = Callable[..., dict[str, object]]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Return a function that runs a command in a folder."""
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("command_server.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdin is not None and server.stdout is not None
    assert server.stdout.readline() == "ready\n"

    def run(*words: str, folder: Path) -> dict[str, object]:
        server.stdin.write(json.dumps({"words": words, "folder": str(folder)}) + "\n")
        server.stdin.flush()
        return json.loads(server.stdout.readline())

    yield run
    server.stdin.close()
    server.wait()


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Return bytes with up to four edits: other bits and numbers, spans moved, cut or repeated."""
    found = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        place, length = rng.randrange(len(found) + 1), rng.choice((1, 2, 4, 8, 64, 1024))
        kind = rng.randrange(5)
        if kind == 0 and place < len(found):
            found[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            found[place : place + length] = rng.choice((b"\xff", b"\0", b"\x7f")) * length
        elif kind == 2:
            del found[place : place + length]
        elif kind == 3:
            found[place:place] = found[rng.randrange(len(found) + 1) :][:length]
        else:
            del found[rng.randrange(len(found) // 2 + 1) :]
    return bytes(found)


VALUES = (
    "NULL", "-1", "0", "9e999", "-9e999", "1e300", "9223372036854775807", "''", "'x'", "x'00ff'",
    "'[]'", "'{}'", "'[1]'", "'null'", "'1e999'", "zeroblob(1000000)", "'\u00e9'", "'[[[[[['",
)  # fmt: skip


def change_database(path: Path, rng: random.Random) -> None:
    """Replace a few values of a search, or parts of its texts, by others."""
    database = sqlite3.connect(path)
    for _ in range(rng.randint(1, 3)):
        table = rng.choice(("about", "evaluations", "evaluations", "failures"))
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        rows = [row[0] for row in database.execute(f"SELECT {columns[0]} FROM {table}")]
        if not rows:
            continue
        column, row = rng.choice(columns), rng.choice(rows)
        (old,) = database.execute(
            f"SELECT {column} FROM {table} WHERE {columns[0]} = ?", (row,)
        ).fetchone()
        new = rng.choice(VALUES)
        if isinstance(old, str) and rng.random() < 0.6:
            text = damaged(old.encode(), rng).decode(errors="ignore").replace("\0", "")
            new = "'" + text.replace("'", "''") + "'"
        try:
            database.execute(f"UPDATE {table} SET {column} = {new} WHERE {columns[0]} = ?", (row,))
        except sqlite3.Error:
            continue
    database.commit()
    database.close()


@pytest.fixture(scope="module")
def seeds(ask: Ask, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a whole file of each kind."""
    folder = tmp_path_factory.mktemp("seeds")
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 255, (24, 20, 3), dtype=np.uint8)).save(folder / "a.png")
    Image.fromarray(rng.integers(0, 255, (24, 20, 3), dtype=np.uint8)).save(folder / "a.jpg")
    save_model(folder / "m.safetensors", Network(Genome.parse(GENOME)).eval(), {"source": "a test"})
    load_model(folder / "m.safetensors")
    for words in (
        ("export", "model=m.safetensors", "output=m.onnx"),
        (*SEARCH, "candidates=24", "run_dir=run"),
        ("train", f"genome={GENOME}", "training.epochs=1", "training.steps_per_epoch=2",
         "training.batch_size=2", "training.patch_size=8", "tracking=none", "output=out"),
    ):  # fmt: skip
        done = ask(*words, folder=folder)
        assert done["code"] == 0, done
    shutil.copy((folder / "out/best").resolve() / "last.ckpt", folder / "m.ckpt")
    (folder / "g.txt").write_text(GENOME)
    (folder / "p.json").write_text(made_profile(FAST).to_json())
    return folder


BYTES: dict[str, tuple[str, ...]] = {
    "m.safetensors": (*UPSCALE, "model=m.safetensors"),
    "m.ckpt": (*UPSCALE, "model=m.ckpt"),
    "m.onnx": (*UPSCALE, "model=m.onnx"),
    "a.png": (*UPSCALE, "model=m.safetensors"),
    "a.jpg": ("upscale", "input=a.jpg", "output=b.png", "runtime=torch", "model=m.safetensors"),
    "g.txt": ("describe", "genome=g.txt"),
    "p.json": (*SEARCH, "candidates=8", "space.links=false", "objectives=[psnr,latency]",
               "latency=p.json", "measure_latency=false", "run_dir=new"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", [*BYTES, "report", "resume", "overrides"])
def test_damage(name: str, ask: Ask, seeds: Path, tmp_path: Path) -> None:
    rng, failed, codes = random.Random(name), [], {0: 0, 2: 0}
    whole = (seeds / name).read_bytes() if name in BYTES else b""
    for number in range(EXAMPLES):
        folder = tmp_path / str(number)
        shutil.copytree(seeds, folder, ignore=shutil.ignore_patterns("out", "wandb"), symlinks=True)
        if name in BYTES:
            (folder / name).write_bytes(damaged(whole, rng))
            words = BYTES[name]
        elif name == "overrides":
            words = (*SEARCH, "candidates=8", "run_dir=new", *overrides(rng))
        else:
            change_database(folder / "run/search.db", rng)
            resume = (*SEARCH, "candidates=32", "run_dir=run")
            words = ("report", "run_dirs=[run]") if name == "report" else resume
        done = ask(*words, folder=folder)
        lines = str(done["stderr"]).splitlines()
        codes[done["code"]] = codes.get(done["code"], 0) + 1
        if done["code"] not in (0, 2) or any("Traceback" in line for line in lines):
            failed.append((number, words, done["code"], lines[-3:]))
        elif done["code"] == 2 and not lines[-1].startswith("error: "):
            failed.append((number, words, lines))
        elif float(str(done["seconds"])) > 60 or int(str(done["memory"])) > MEMORY:
            failed.append((number, done["seconds"], done["memory"]))
        else:
            shutil.rmtree(folder)
    print(name, codes)
    assert not failed, failed


def overrides(rng: random.Random) -> list[str]:
    """Return settings with values of other kinds, and unknown ones."""
    names = ("candidates", "controller", "space", "training", "space.n", "seed", "evaluator.noise",
             "controller.mutation", "objectives", "constraints.max_mult_adds", "space.operators",
             "training.betas", "data.val_crop", "execution", "latency", "mode",
             "nothing")  # fmt: skip
    values = ("1", "-1", "inf", "nan", "null", "[]", "{}", "[1,2]", "{a:1}", "x", "''", "1e999",
              "true", "[[", "${seed}", "${nothing}", "\u00e9", "a=b", "9" * 400)  # fmt: skip
    return [f"{rng.choice(names)}={rng.choice(values)}" for _ in range(rng.randint(1, 3))]
