"""Full trainings, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from falsr_nas.core.lock import exclusive
from falsr_nas.models.model_file import load_model

GENOME = "stem_f16 conv_f16_k3_b2_isskip invertBotConE2_f16_k1_b1_noskip | 0->3"
SMALL = (
    "training.steps_per_epoch=4",
    "training.batch_size=4",
    "training.patch_size=8",
    "training.warmup=2",
    "tracking=none",
    "data.val_crop=32",
)
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "falsr_nas.train", *SMALL, *arguments]


def succeeds(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, env=ONE_THREAD, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_model(folder / "model.safetensors").network.state_dict()


@pytest.mark.parametrize("degradation", [pytest.param("bicubic", marks=pytest.mark.slow), "photo"])
def test_a_training_killed_and_gone_on_with_is_one_never_stopped(
    degradation: str, tmp_path: Path
) -> None:
    recipe = (
        f"genome={GENOME}",
        f"degradation={degradation}",
        "training.epochs=24",
        "trainer.validate_every=2",
    )
    succeeds(*recipe, f"output={tmp_path / 'whole'}")
    whole = (tmp_path / "whole" / "best").resolve()
    broken = tmp_path / "broken" / whole.name
    for sign in (signal.SIGKILL, signal.SIGTERM):
        kept = checkpoint_time(broken)
        process = subprocess.Popen(
            command(*recipe, f"output={tmp_path / 'broken'}"),
            stderr=subprocess.PIPE,
            text=True,
            env=ONE_THREAD,
        )
        while checkpoint_time(broken) == kept and process.poll() is None:
            time.sleep(0.005)
        if sign is signal.SIGKILL:  # as Slurm announces the end of a job
            kept = checkpoint_time(broken)
            process.send_signal(signal.SIGUSR1)
            while checkpoint_time(broken) == kept and process.poll() is None:
                time.sleep(0.005)
        process.send_signal(sign)
        _, told = process.communicate()
        assert process.returncode == (-sign if sign == signal.SIGKILL else 130), told
    assert "The same command continues from there" in told
    assert not (broken / "model.safetensors").exists(), "killed too late: the test shows nothing"
    succeeds(*recipe, f"output={tmp_path / 'broken'}")
    assert weights(whole).keys() == weights(broken).keys()
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(broken)[name]), name
    curves = [
        [line.rsplit(",", 1)[0] for line in (folder / "curve.csv").read_text().splitlines()]
        for folder in (whole, broken)
    ]
    assert curves[0] == curves[1]
    assert len(curves[0]) == 1 + 12


def checkpoint_time(folder: Path) -> int:
    path = folder / "last.ckpt"
    return path.stat().st_mtime_ns if path.exists() else 0


def searched(tmp_path: Path) -> Path:
    run_dir = tmp_path / "search"
    settings = (
        "evaluator=synthetic",
        "execution=inline",
        "tracking=none",
        "candidates=16",
        "controller.population_size=8",
        "constraints.max_mult_adds=12",
        f"run_dir={run_dir}",
    )
    command = [sys.executable, "-m", "falsr_nas.search", *settings]
    subprocess.run(command, check=True, capture_output=True)
    return run_dir


def test_the_best_of_a_search_are_trained_once(tmp_path: Path) -> None:
    run_dir = searched(tmp_path)
    brief = (
        f"run_dir={run_dir}",
        "select=crowding",
        "n=2",
        "training.epochs=1",
        "training.steps_per_epoch=3",
        "tracking=offline",
    )
    done = succeeds(*brief)
    folders = sorted(
        folder for folder in (run_dir / "trained").iterdir() if not folder.is_symlink()
    )
    assert len(folders) == 2
    last = {
        folder: float((folder / "curve.csv").read_text().splitlines()[-1].split(",")[1])
        for folder in folders
    }
    assert (run_dir / "trained" / "best").resolve() == max(folders, key=last.__getitem__)
    front = {row["key"] for row in json.loads((run_dir / "pareto.json").read_text())["front"]}
    for folder in folders:
        assert any(key.startswith(folder.name) for key in front)
        assert (folder / "model.safetensors").exists()
        card = (folder / "README.md").read_text()
        assert "dB after 3 steps" in card
        assert "| `training.steps_per_epoch` | 3 |" in card
        assert list((folder / "wandb").glob("offline-run-*")), "W&B's offline run"
        checkpoint = load_model(folder / "last.ckpt").network.state_dict()
        assert all(
            torch.equal(tensor, checkpoint[name]) for name, tensor in weights(folder).items()
        )
    assert done.stdout.count("dB on the validation images") == 2
    before = [(folder / "model.safetensors").stat().st_mtime_ns for folder in folders]
    assert succeeds(*brief).stderr.count("is trained already") == 2
    assert before == [(folder / "model.safetensors").stat().st_mtime_ns for folder in folders]


def test_rungs_stop_the_worse_networks_and_change_nothing_in_the_others(tmp_path: Path) -> None:
    recipe = (f"run_dir={searched(tmp_path)}", "select=psnr", "n=4", "training.epochs=6")
    recipe = (*recipe, "trainer.validate_every=2")
    succeeds(*recipe, f"output={tmp_path / 'all'}")
    rungs = ("rungs.epochs=[2,4]", "rungs.keep=[0.5,0.25]")
    told = succeeds(*recipe, *rungs, f"output={tmp_path / 'rungs'}").stdout
    curves = {
        path.parent.name: psnr(path)
        for path in (tmp_path / "all").glob("*/curve.csv")
        if path.parent.name != "best"  # a link
    }
    assert len(curves) == 4
    two = sorted(curves, key=lambda name: -curves[name][0])[:2]
    best = max(two, key=lambda name: curves[name][1])
    finished = {path.parent.resolve() for path in (tmp_path / "rungs").glob("*/model.safetensors")}
    trained = tmp_path / "rungs" / best
    assert finished == {trained} == {(tmp_path / "rungs" / "best").resolve()}
    for name, tensor in weights(tmp_path / "all" / best).items():
        assert torch.equal(tensor, weights(trained)[name]), name
    assert psnr(trained / "curve.csv") == curves[best]
    assert told.count("epoch 2, is trained on") == told.count("epoch 2, is not trained on") == 2
    assert told.count("epoch 4, is not trained on") == 1
    again = succeeds(*recipe, *rungs, f"output={tmp_path / 'rungs'}")
    assert "is trained already" in again.stderr
    late = command(*recipe, "rungs.epochs=[3]", "rungs.keep=[0.5]", f"output={tmp_path / 'all'}")
    done = subprocess.run(late, capture_output=True, text=True, env=ONE_THREAD, check=False)
    assert done.returncode == 2
    assert "was trained without a rung at epoch 3" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_workers_stopped_and_gone_on_with_train_what_one_process_does(tmp_path: Path) -> None:
    recipe = (f"run_dir={searched(tmp_path)}", "select=crowding", "n=3", "training.epochs=6")
    recipe = (*recipe, "trainer.validate_every=2", "rungs.epochs=[2]", "rungs.keep=[0.67]")
    succeeds(*recipe, "seeds=2", f"output={tmp_path / 'one'}")
    workers = (*recipe, "seeds=2", "workers=2", f"output={tmp_path / 'two'}")
    process = subprocess.Popen(
        command(*workers), stderr=subprocess.PIPE, text=True, env=ONE_THREAD, start_new_session=True
    )
    while not list((tmp_path / "two").glob("*/last.ckpt")) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert not list((tmp_path / "two").glob("*/model.safetensors")), "stopped too late"
    succeeds(*workers)
    names = {path.parent.name for path in (tmp_path / "one").glob("*/last.ckpt")}
    trained = {path.parent.name for path in (tmp_path / "one").glob("*/model.safetensors")}
    trained.remove("best")
    assert len(names - {"best"}) == 5, "three networks, two of them with a second seed"
    assert {name.partition("-")[0] + "-seed2" for name in trained} < trained
    for name in trained:
        one, two = (weights(tmp_path / run / name) for run in ("one", "two"))
        assert one.keys() == two.keys()
        assert all(torch.equal(tensor, two[key]) for key, tensor in one.items()), name
    seeds = [weights(tmp_path / "one" / name) for name in sorted(trained)[:2]]
    assert any(not torch.equal(tensor, seeds[1][key]) for key, tensor in seeds[0].items())


def psnr(curve: Path) -> list[float]:
    return [float(line.split(",")[1]) for line in curve.read_text().splitlines()[1:]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["tracking=none"],
            "give the run_dir of a search, falsr-nas train outputs/demo, or genome=...",
        ),
        (["run_dir=nowhere"], "there is no folder nowhere"),
        (["genome=FALSR-Z"], "neither a known network"),
        (["genome=FALSR-A", "trainer.devices=0"], "trainer.devices is 0"),
        (["genome=FALSR-A", "training.warmup=-1"], "training.warmup is -1"),
        (["genome=FALSR-A", "benchmark_root=nowhere"], "no such folder of images: nowhere/Set5"),
        (["genome=FALSR-A", "start_from=nowhere"], "nowhere"),
        (["genome=FALSR-A", "benchmark_root={images}", "sets=[a/s,b/s]"], "names a folder twice"),
    ],
)
def test_a_users_mistake_is_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    for folder in ("a/s", "b/s"):
        (tmp_path / folder).mkdir(parents=True)
        Image.new("RGB", (64, 64)).save(tmp_path / folder / "1.png")
    filled = [one.format(images=tmp_path, output=tmp_path / "out") for one in arguments]
    done = subprocess.run(command(*filled), capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_said_in_one_line(tmp_path: Path) -> None:
    arguments = (f"genome={GENOME}", "trainer.accelerator=gpu", f"output={tmp_path}")
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    *_, last = done.stderr.strip().splitlines()
    assert last.startswith("error: trainer.accelerator=gpu trainer.devices=1: ")
    assert "Traceback" not in done.stderr


def test_a_network_is_trained_by_one_process_at_a_time(tmp_path: Path) -> None:
    recipe = (f"genome={GENOME}", f"output={tmp_path}", "training.epochs=1")
    succeeds(*recipe)
    folder = (tmp_path / "best").resolve()
    (folder / "model.safetensors").unlink()
    with exclusive(folder, setting="output", lock=".lock"):
        done = subprocess.run(command(*recipe), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"output {folder} is in use by process {os.getpid()}" in done.stderr
    succeeds(*recipe)
    assert len(psnr(folder / "curve.csv")) == 1


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    """A limit on the size of files acts like a full disk: the checkpoint does not fit."""
    recipe = (f"genome={GENOME}", f"output={tmp_path}", "training.epochs=1")
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 8 && exec "$@"', "bash", *command(*recipe)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "last.ckpt: File too large; an older file is unchanged" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*/last.ckpt"))
    succeeds(*recipe)


def test_another_recipe_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    recipe = (f"genome={GENOME}", f"output={tmp_path}", "training.epochs=1")
    succeeds(*recipe)
    done = subprocess.run(
        command(*recipe, "training.learning_rate=0.002"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "training.learning_rate is 0.001 there and 0.002 here" in done.stderr


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    """Two processes take half of every batch each; sums differ in their order, so by rounding.

    Adam's steps of 1e-3 bound what rounding can change.
    """
    recipe = (
        f"genome={GENOME}",
        "training.epochs=2",
        "training.ema=null",
        "training.precision=fp32",
        "trainer.validate_every=1",
    )
    for devices in (1, 2):
        told = succeeds(
            *recipe,
            "trainer.accelerator=cpu",
            f"trainer.devices={devices}",
            f"output={tmp_path / str(devices)}",
        ).stderr
        assert told.count("dB") == 2
    alone, together = (tmp_path / str(devices) / "best" for devices in (1, 2))
    for name, tensor in weights(alone).items():
        torch.testing.assert_close(weights(together)[name], tensor, rtol=1e-3, atol=2e-4, msg=name)
    done = subprocess.run(
        command(*recipe, "trainer.devices=3", f"output={tmp_path / '3'}"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "a batch of 4 patches cannot be shared by 3 devices" in done.stderr


@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_training_says_nothing_of_lightning(tmp_path: Path, devices: int) -> None:
    done = succeeds(
        f"genome={GENOME}",
        "training.epochs=2",
        "trainer.validate_every=1",
        "trainer.accelerator=cpu",
        f"trainer.devices={devices}",
        f"output={tmp_path}",
    )
    told = [line for line in done.stderr.splitlines() if str(tmp_path) not in line]
    told.remove(f"1 of 1: {(tmp_path / 'best').resolve().name}")
    assert [line.split(":")[0] for line in told] == ["step 4 of 8", "step 8 of 8"]


def processes_of(mark: str) -> list[int]:
    """Return the processes that have a text in their environment, without zombies."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["the group is told to end", "the first process is killed"])
def test_two_processes_end_together(ending: str, tmp_path: Path) -> None:
    """As Slurm ends a job, or a user a hanging one; then the same command goes on."""
    output, temporary = tmp_path / "out", tmp_path / "temporary"
    temporary.mkdir()
    recipe = (
        f"genome={GENOME}",
        "training.epochs=400",
        "trainer.validate_every=10",
        "trainer.accelerator=cpu",
        "trainer.devices=2",
        f"output={output}",
    )
    env = {**ONE_THREAD, "TMPDIR": str(temporary)}
    process = subprocess.Popen(
        command(*recipe), env=env, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until = time.monotonic() + 120
    while not list(output.glob("*/last.ckpt")):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.05)
    assert len(processes_of(str(temporary))) > 2
    if ending == "the group is told to end":
        os.killpg(process.pid, signal.SIGTERM)
        _, told = process.communicate(timeout=10)
        assert process.returncode == 130, told
        assert "Traceback" not in told and len(told.splitlines()) < 10, told
        assert not [path for path in temporary.rglob("*") if path.is_file()]
    else:
        process.kill()
        process.wait()
    until = time.monotonic() + 10
    while processes_of(str(temporary)):
        assert time.monotonic() < until
        time.sleep(0.05)
    [checkpoint] = output.glob("*/last.ckpt")
    succeeds(*recipe)
    assert len(psnr(checkpoint.parent / "curve.csv")) == 40
