"""Compare this package with onnxruntime on the exported model: time and memory of one image.

    python benchmarks/inference.py [--model FALSR-A.pb] [--threads 2] [--passes 9] [--memory 3072]

The network upscales one luma plane from 640x360 to 1280x720. Without ``--model`` it is FALSR-A with
random weights, on which time and memory do not depend. Each side is a process of its own with the
same number of threads. The two take turns, pass by pass, so that other load on the machine affects
both alike. The first pass is reported separately; time is the median of the others, wall time and
CPU time of all threads. Memory is the peak of the whole process, libraries included, and how
much of it was added by the passes after the model was loaded. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np  # no larger imports: on Linux, a process inherits its parent's peak

from turns import Side

HEIGHT, WIDTH = 360, 640
SIDES = ("falsr_nas", "onnxruntime")
AGREEMENT = 1e-4
Upscale = Callable[[np.ndarray], np.ndarray]  # (1, 1, H, W) float32 -> (1, 1, 2H, 2W)


def this_package(folder: Path, options: argparse.Namespace) -> Upscale:
    import torch

    from falsr_nas.inference.memory import keep_freed_memory
    from falsr_nas.inference.tiling import upscale
    from falsr_nas.models.model_file import load_model

    keep_freed_memory()  # as the commands do
    torch.set_num_threads(options.threads)
    network = load_model(folder / "model.safetensors").network
    return lambda image: upscale(network, torch.from_numpy(image), options.memory * 2**20).numpy()


def exported_model(folder: Path, options: argparse.Namespace) -> Upscale:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", settings, providers=["CPUExecutionProvider"]
    )
    return lambda image: session.run(None, {"input": image})[0]  # type: ignore[no-any-return]


def prepare(folder: Path, options: argparse.Namespace) -> None:
    """Write the model for each side, with equal weights, and the image."""
    import torch

    from falsr_nas.models.export import export_model
    from falsr_nas.models.layout import Layout
    from falsr_nas.models.model_file import Model, load_model, save_model
    from falsr_nas.networks.network import Network
    from falsr_nas.space.published import PUBLISHED

    torch.manual_seed(0)
    model = (
        load_model(Path(options.model))
        if options.model
        else Model(Network(PUBLISHED["FALSR-A"]).eval(), "FALSR-A, random weights", {})
    )
    if model.network.planes != 1:
        sys.exit(f"{options.model}: only networks on luma are compared")
    save_model(folder / "model.safetensors", model.network, model.provenance)
    export_model(model, folder / "model.onnx", Layout.y)
    np.save(
        folder / "image.npy",
        np.random.default_rng(0).random((1, 1, HEIGHT, WIDTH), dtype=np.float32),
    )
    print(model.name)


def work(side: str, folder: Path, options: argparse.Namespace) -> None:
    """Run one side: per line of input a pass, whose wall and CPU ms are printed; then memory."""
    image = np.load(folder / "image.npy")
    upscale = {"falsr_nas": this_package, "onnxruntime": exported_model}[side](folder, options)
    upscale(image[..., :32, :32])  # some libraries are loaded in the first pass
    loaded = peak_mib()
    print("ready", flush=True)
    for _ in sys.stdin:
        began, worked = time.perf_counter(), time.process_time()
        output = upscale(image)
        print(1e3 * (time.perf_counter() - began), 1e3 * (time.process_time() - worked), flush=True)
    np.save(folder / f"{side}.npy", output)
    print(loaded, peak_mib())


def peak_mib() -> float:
    """Return the peak memory of this process in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def figures(turns: list[list[float]], loaded: float, peak: float) -> dict[str, float]:
    """Return the wall and CPU time of the passes in ms, and the memory in MiB."""
    first, *passes = [wall for wall, _ in turns]
    return {
        "first_ms": round(first, 1),
        "median_ms": round(statistics.median(passes), 1),
        "least_ms": round(min(passes), 1),
        "most_ms": round(max(passes), 1),
        "cpu_ms": round(statistics.median(work for _, work in turns[1:]), 1),
        "peak_mib": round(peak),
        "passes_mib": round(peak - loaded),
    }


def compare(options: argparse.Namespace, arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        command = [sys.executable, __file__, "--worker", "prepare", "--folder", place, *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            sys.exit(done.returncode)
        threads = {"OMP_NUM_THREADS": str(options.threads)}
        commands = {
            name: [sys.executable, __file__, "--worker", name, "--folder", place, *arguments]
            for name in SIDES
        }
        sides = [Side(name, command, threads) for name, command in commands.items()]
        for _ in range(1 + options.passes):
            for side in sides:
                side.run()
        rows = {side.name: figures(side.turns, *side.finish()) for side in sides}
        ours, theirs = (np.load(folder / f"{name}.npy") for name in SIDES)
    difference = float(np.abs(ours - theirs).max())
    if not difference <= AGREEMENT:
        sys.exit(f"the outputs differ by {difference:.1e}: the two are not the same model")
    model = done.stdout.strip().splitlines()[-1]
    print_table(
        f"{model}: {WIDTH}x{HEIGHT} to {2 * WIDTH}x{2 * HEIGHT}, {options.threads} threads,"
        f" {options.passes} passes",
        rows,
    )
    print(f"the outputs differ by {difference:.1e} at most")
    ratio = round(rows["onnxruntime"]["median_ms"] / rows["falsr_nas"]["median_ms"], 2)
    setting = {
        "model": model,
        "input": [WIDTH, HEIGHT],
        "threads": options.threads,
        "passes": options.passes,
        "memory_mib": options.memory,
    }
    print(json.dumps({**setting, **rows, "times_faster": ratio, "largest_difference": difference}))


def print_table(title: str, rows: dict[str, dict[str, float]]) -> None:
    from rich.table import Table

    from falsr_nas.cli.console import console

    table = Table(
        "",
        "first ms",
        "median ms",
        "least",
        "most",
        "CPU ms",
        "peak MiB",
        "added by passes",
        title=title,
    )
    for name, row in rows.items():
        table.add_row(name, *(f"{value:,.0f}" for value in row.values()))
    console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model",
        help="a model of this project or a frozen graph; default: FALSR-A with random weights",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
    )
    parser.add_argument("--passes", type=int, default=9, help="passes per side, after a first one")
    parser.add_argument(
        "--memory",
        type=int,
        default=3072,
        help="MiB that a pass of this package may use; larger images are upscaled in tiles",
    )
    parser.add_argument("--worker", choices=(*SIDES, "prepare"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.passes < 1 or options.threads < 1 or options.memory < 1:
        parser.error("passes, threads and memory must be at least 1")
    if options.worker == "prepare":
        prepare(Path(options.folder), options)
    elif options.worker:
        work(options.worker, Path(options.folder), options)
    else:
        compare(options, sys.argv[1:])


if __name__ == "__main__":
    main()
