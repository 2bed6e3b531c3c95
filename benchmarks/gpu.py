"""Run everything that is to be measured on a GPU, one step after the other; called by gpu.sh.

Each step is a process of its own with a time limit. When it ends, OUTPUT/STEP.json and
OUTPUT/summary.json are written, and what it printed is in OUTPUT/STEP.log. A step that fails or
takes too long is reported, and the next one runs. A step that is done already is not run again,
and a search or training that was stopped continues. When the time is over, the remaining steps
are skipped. The exit code is 0 if no step failed, 1 if one did, 2 for a mistake in the options and
130 when interrupted.

Without a GPU the same steps measure the processor; --tiny makes that a matter of minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from falsr_nas.execution.devices import visible_gpus
from gpu_steps import ROOT, Step, steps_of, tiny_steps_of

LEAST_SECONDS = 20.0
"""A step is not begun when less time is left."""

GRACE_SECONDS = 15.0
"""Between SIGTERM and SIGKILL for a step that takes too long."""

PAPER_STEPS = 10_000
"""Optimiser steps of a candidate of ``+experiment=x2_paper``."""

PACKAGES = (
    *("torch", "pytorch_lightning", "torchmetrics", "hydra", "omegaconf", "numpy", "PIL"),
    *("skimage", "scipy", "rich", "safetensors", "lazy_loader", "deap", "moocore"),
    *("matplotlib", "pytest", "hypothesis"),
)
"""What the steps import."""

PROBE = """
import importlib.util, json, platform, sys
missing = [name for name in sys.argv[1:] if importlib.util.find_spec(name) is None]
about = {"python": platform.python_version(), "missing": missing}
if not missing:
    import pytorch_lightning, torch
    about |= {"torch": torch.__version__, "lightning": pytorch_lightning.__version__}
    about |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    about["device"] = "cpu"
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        about |= {"device": gpu.name, "memory_mib": gpu.total_memory >> 20}
        about["capability"] = f"{gpu.major}.{gpu.minor}"
    about["gpu"] = torch.cuda.is_available()
print(json.dumps(about))
"""

Record = dict[str, Any]


def finite(value: Any) -> Any:
    """Return a value of JSON with null for every number that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, value: Record) -> None:
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(json.dumps(finite(value), indent=2, allow_nan=False) + "\n")
    draft.replace(path)


def last_object(text: str) -> Record | None:
    """Return the JSON object in the last line that is one."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(found, dict):
                return found
    return None


def call(command: list[str], seconds: float, log: Path) -> int | None:
    """Run a command with its processes, its output in a file; None if it took too long."""
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True
        )
        try:
            return process.wait(None if math.isinf(seconds) else seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:  # also when this process is interrupted
            end_group(process)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it started: by SIGTERM, then by SIGKILL."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(GRACE_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run_step(step: Step, seconds: float, output: Path) -> Record:
    """Run a step for at most ``seconds`` and return its record."""
    log = output / f"{step.name}.log"
    command = step.command(seconds)
    date, began = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    code = call(command, seconds, log)
    text = log.read_text(errors="replace")
    result = last_object(text)
    record: Record = {
        "status": "done",
        "date": date,
        "seconds": round(time.monotonic() - began, 1),
        "command": command,
        "result": result,
    }
    if code == 0 and result is not None:
        return record if result.get("finished", True) else record | {"status": "to be continued"}
    if code is None:
        reason = f"took longer than {seconds:.0f} s"
    elif code:
        reason = f"ended with exit code {code}"
    else:
        reason = "printed no JSON"
    return record | {
        "status": "failed",
        "reason": reason,
        "last_lines": text.splitlines()[-20:],
    }


def recorded(path: Path) -> Record | None:
    """Return the record of a step that is done; None if there is none or it is to be run again."""
    if not path.exists():
        return None
    record: Record = json.loads(path.read_text())
    return record if record["status"] == "done" else None


def x2_paper_estimate(steps: dict[str, Record]) -> Record | None:
    """Return how long the paper's search of 10,000 candidates would take on this device.

    The seconds of a candidate are measured one at a time, on shorter trainings: its steps are
    scaled to the paper's 10,000, and its validation to DIV2K's 100 images. How much faster several
    at a time are is measured on still shorter ones.
    """
    results = {name: step["result"] for name, step in steps.items() if step["status"] == "done"}
    if "candidates" not in results:
        return None
    alone, measured = results["candidates"], results.get("workers", {})
    without, mps = measured.get("side_by_side", {}), measured.get("side_by_side_mps", {})
    rates = [(rate, int(count), False) for count, rate in without.items()]
    rates += [(rate, int(count), True) for count, rate in mps.items()]
    best, workers, with_mps = max(rates, default=(1.0, 1, False))
    speedup = best / without.get("1", best)
    steps_seconds = alone["seconds"]["steps"] + alone["seconds"]["batches"]
    others = alone["seconds_with_whole_validation"] - steps_seconds
    seconds = others + steps_seconds * PAPER_STEPS / alone["steps"]
    return {
        "hours": 10_000 * seconds / speedup / 3600,
        "measured_candidates": alone["candidates"],
        "steps_per_candidate": PAPER_STEPS,
        "seconds_per_candidate_alone": seconds,
        "workers_per_device": workers,
        "mps": with_mps,
        "speedup_of_workers": speedup,
    }


def run_steps(
    steps: Sequence[Step], output: Path, budget: float, about: Record, *, again: bool = False
) -> dict[str, Record]:
    """Run steps in their order within ``budget`` seconds; write their records and the summary."""
    output.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + budget
    records: dict[str, Record] = {}
    for step in steps:
        path = output / f"{step.name}.json"
        left = end - time.monotonic()
        if not again and (record := recorded(path)):
            print(f"{step.name}: done already", flush=True)
        elif left < LEAST_SECONDS:
            record = {"status": "skipped", "reason": "no time was left"}
            print(f"{step.name}: skipped, no time is left", flush=True)
        else:
            print(f"{step.name}: running", flush=True)
            record = run_step(step, min(step.limit, left), output)
            write_json(path, record)
            reason = f", {record['reason']}" if "reason" in record else ""
            print(f"{step.name}: {record['status']}{reason}, {record['seconds']} s", flush=True)
            for line in record.get("last_lines", ()):
                print(f"    {line}", flush=True)
        records[step.name] = record
        write_json(output / "summary.json", summary(output, about, records))
    return records


def summary(output: Path, about: Record, records: dict[str, Record]) -> Record:
    """Return the summary: of this run's steps, and of those of earlier runs in the folder."""
    others = {
        path.stem: json.loads(path.read_text())
        for path in sorted(output.glob("*.json"))
        if path.stem not in {*records, "summary"}
    }
    steps = records | others
    estimate = None if about["tiny"] else x2_paper_estimate(steps)
    return {"about": about, "x2_paper": estimate, "steps": steps}


def about_machine() -> Record:
    """Return device, versions, commit and date; exit where a package is missing."""
    probe = subprocess.run(
        [sys.executable, "-c", PROBE, *PACKAGES], capture_output=True, text=True, check=False
    )
    about = last_object(probe.stdout)
    if about is None:
        last = (probe.stderr.strip().splitlines() or ["no message"])[-1]
        fail(f"{sys.executable} cannot load torch: {last}")
    if missing := about.pop("missing"):
        fail(f"{sys.executable} lacks {', '.join(missing)}: give their wheels with --wheels")
    driver = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    commit = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return about | {
        "driver": first_line(driver) if about["gpu"] else None,
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "commit": first_line(commit),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def first_line(command: list[str]) -> str | None:
    """Return the first line that a command prints; None where it cannot be run or prints none."""
    try:
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return next(iter(printed.splitlines()), None)


def cpu_model() -> str | None:
    """Return the name of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return None


def fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="gpu.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "outputs" / "gpu")
    parser.add_argument("--steps", help="some of the steps, e.g. tests,train_step; all by default")
    parser.add_argument("--budget", type=float, default=3600.0, help="seconds of the whole run")
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="STEP=SECONDS",
        help="another time limit of a step; may be given several times",
    )
    parser.add_argument(
        "--data", type=Path, help="folder with train/, val/ and benchmark/, for the training"
    )
    parser.add_argument(
        "--recipe",
        action="append",
        default=[],
        metavar="SETTING",
        help="a setting of the training, e.g. training.ema=0.99; may be given several times",
    )
    parser.add_argument("--again", action="store_true", help="also run steps that are done")
    parser.add_argument("--tiny", action="store_true", help="the smallest numbers, without --data")
    return parser.parse_args()


def chosen(steps: list[Step], names: str | None, limits: list[str]) -> list[Step]:
    """Return the steps of these names, with other limits; exit where a name is unknown."""
    changed: dict[str, float] = {}
    for limit in limits:
        name, _, seconds = limit.partition("=")
        try:
            changed[name] = float(seconds)
        except ValueError:
            fail(f"--limit {limit}: give STEP=SECONDS")
    wanted = names.split(",") if names else [step.name for step in steps]
    known = {step.name for step in steps}
    if unknown := [name for name in (*wanted, *changed) if name not in known]:
        fail(f"there is no step {unknown[0]!r}: choose some of {', '.join(s.name for s in steps)}")
    return [
        replace(step, limit=changed.get(step.name, step.limit))
        for step in steps
        if step.name in wanted
    ]


def show_one_gpu() -> None:
    """Show the steps one GPU of several: they measure one."""
    if len(gpus := visible_gpus()) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[0]


def check_kind(output: Path, tiny: bool) -> None:
    """Exit where the folder holds results of the other kind, tiny or not."""
    path = output / "summary.json"
    if path.exists() and json.loads(path.read_text())["about"]["tiny"] != tiny:
        kind = "of a run without --tiny" if tiny else "of --tiny"
        fail(f"{output} holds results {kind}: give another --output")


def run(options: argparse.Namespace, output: Path) -> int:
    """Run the chosen steps, and return the exit code."""
    data = options.data.expanduser().resolve() if options.data else None
    if data and not data.is_dir():
        fail(f"--data {data}: there is no such folder")
    check_kind(output, options.tiny)
    steps = tiny_steps_of(output) if options.tiny else steps_of(output, data, options.recipe)
    steps = chosen(steps, options.steps, options.limit)
    show_one_gpu()
    about = about_machine() | {"tiny": options.tiny}
    print(f"{about['device']}, torch {about['torch']}", flush=True)
    records = run_steps(steps, output, options.budget, about, again=options.again)
    if estimate := json.loads((output / "summary.json").read_text())["x2_paper"]:
        print(
            f"x2_paper: {estimate['hours']:.1f} hours for 10,000 candidates of"
            f" {estimate['steps_per_candidate']} steps, {estimate['workers_per_device']} at a time"
        )
    failed = [name for name, record in records.items() if record["status"] == "failed"]
    print(f"failed: {', '.join(failed) or 'none'}; results: {output / 'summary.json'}")
    return 1 if failed else 0


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = parse_options()
    output = options.output.expanduser().resolve()
    try:
        sys.exit(run(options, output))
    except KeyboardInterrupt:
        print(f"stopped; {output} keeps what is done", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
