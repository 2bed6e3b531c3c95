"""The steps of gpu.sh: their commands and time limits, and the same with tiny numbers."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent
ROOT = BENCHMARKS.parent


@dataclass(frozen=True)
class Step:
    """A step.

    Attributes:
        name: of the step and its files.
        limit: seconds it may take.
        command: returns the command, given the seconds that the step may take now. The last line
            that it prints is a JSON object. Where that says ``"finished": false``, the step is
            continued by the next run.
    """

    name: str
    limit: float
    command: Callable[[float], list[str]]


def script(name: str, *arguments: object) -> list[str]:
    """Return the command of a script of this folder."""
    return [sys.executable, str(BENCHMARKS / name), *map(str, arguments)]


def steps_of(output: Path, data: Path | None, recipe: Sequence[str] = ()) -> list[Step]:
    """Return the steps in their order; ``recipe`` has settings of the full training."""
    search, training = output / "search", output / "falsr_b"
    images = ("--data", data) if data else ()
    return [
        Step(
            "finish",
            420,
            lambda seconds: script(
                *("finish.py", "--output", output / "family", "--seconds", 0.9 * seconds, *images)
            ),
        ),
        Step("tests", 300, lambda _: script("engine_tests.py")),
        Step(
            "train_step",
            300,
            lambda _: script(
                *("train_step.py", "--networks", "FALSR-A", "FALSR-B", "FALSR-C", "random 0%"),
                *("random 40%", "random 100%", "--patches", 32, "--seconds", 0.5, "--eager"),
            ),
        ),
        Step(
            "candidates",
            300,
            lambda seconds: script(
                *("candidates.py", "--paper", "--steps", 1000, "--candidates", 32),
                *("--workers", 0, "--plain", 1, "--seconds", 0.4 * seconds),
            ),
        ),
        Step(
            "workers",
            400,
            lambda _: script(
                *("candidates.py", "--paper", "--steps", 500, "--candidates", 16),
                *("--workers", 1, 4, "--mps", 8, "--plain", 0, "--seconds", 0),
            ),
        ),
        Step("precision", 400, lambda _: script("precision.py", "--candidates", 24)),
        Step("memory", 400, lambda _: script("memory.py")),
        Step(
            "search",
            750,
            lambda seconds: script(
                *("killed_search.py", "--run-dir", search, "--seconds", min(600, 0.8 * seconds)),
                "execution.workers_per_device=4",
            ),
        ),
        Step(
            "falsr_b",
            math.inf,
            lambda seconds: script(
                *("timed_training.py", "--output", training, "--seconds", 0.9 * seconds),
                *(*images, *recipe),
            ),
        ),
    ]


def tiny_steps_of(output: Path) -> list[Step]:
    """Return the same steps with the smallest numbers, to try them on a processor."""
    search, training = output / "search", output / "falsr_b"
    network = ("--networks", "random 0%")
    image = ("--val-shape", 96, 96)
    steps: dict[str, list[str]] = {
        "finish": script(
            *("finish.py", "--output", output / "family", "--seconds", 300),
            *("--networks", "x2-photo-fast,x2-clean-fast", "training.epochs=2"),
            *("training.steps_per_epoch=2", "training.batch_size=2", "training.patch_size=8"),
            "data.val_crop=64",
        ),
        "tests": script("engine_tests.py", "tests/training/test_engine.py"),
        "train_step": script(
            *("train_step.py", *network, "--patches", 8, "--seconds", 0.01, "--plain", 1),
            *("--threads", 1, "--eager"),
        ),
        "candidates": script(
            *("candidates.py", "--paper", "--steps", 2, "--candidates", 2, "--workers", 0),
            *("--plain", 1, "--threads", 1, "--val-images", 1, *image),
        ),
        "workers": script(
            *("candidates.py", "--paper", "--steps", 1, "--candidates", 2, "--workers", 1, 2),
            *("--mps", 2, "--plain", 0, "--seconds", 0, "--threads", 1),
            *("--val-images", 1, *image),
        ),
        "precision": script(
            *("precision.py", "--candidates", 3, "--steps", 2, "--batch", 1, "--patch", 8)
        ),
        "memory": script(
            *("memory.py", *network, "--recipes", "x2_paper", "--steps", 1, *image),
        ),
        "search": script(
            *("killed_search.py", "--run-dir", search, "--seconds", 40, "--repeat", 1),
            *("training.epochs=1", "training.steps_per_epoch=2", "constraints.max_mult_adds=20"),
            *("controller.population_size=4", "execution.workers=1"),
        ),
        "falsr_b": script(
            *("timed_training.py", "--output", training, "--epochs", 1, "--seconds", 300),
            *("training.steps_per_epoch=2", "training.batch_size=2", "training.patch_size=8"),
            *("training.warmup=0", "data.val_crop=64"),
        ),
    }
    return [Step(name, 400, lambda _, command=command: command) for name, command in steps.items()]
