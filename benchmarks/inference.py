"""Compare the runtimes of this package, and onnxruntime on the exported model, on one image.

    python benchmarks/inference.py [--model falsr-tiny-x2] [--threads 2] [--passes 9]
                                   [--memory 3072] [--photograph] [--sides torch onnxruntime]

The network upscales one luma plane from 640x360 to 1280x720. Without ``--model`` it is FALSR-A with
random weights, on which time and memory do not depend. ``--photograph`` also upscales a JPEG of 12
megapixels from file to file by each setting of the command. Each side is a process of its own with
the same number of threads. The sides take turns, pass by pass, so that other load on the machine
affects all alike. The first pass is reported separately; time is the median of the others, wall
time and CPU time of all threads. Memory is the peak of the whole process, libraries included, and
how much of it was added by the passes after the model was loaded. The last line is one JSON object.
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
SETTINGS = {
    "torch": ("torch", "fp32"),
    "torch bf16": ("torch", "bf16"),
    "onnxruntime": ("onnxruntime", "fp32"),
    "openvino": ("openvino", "fp32"),
    "openvino bf16": ("openvino", "bf16"),
    "auto": ("auto", "auto"),
}
EXPORTED = "exported file"
SIDES = (*SETTINGS, EXPORTED)
EXACT = ("torch", "onnxruntime", "openvino", EXPORTED)
AGREEMENT, BF16_AGREEMENT = 1e-4, 6 / 255  # the image is noise, the worst case
Upscale = Callable[[np.ndarray], np.ndarray]  # (1, 1, H, W) float32 -> (1, 1, 2H, 2W)


def this_package(side: str, folder: Path, options: argparse.Namespace) -> Upscale:
    import torch

    from falsr_nas.inference.memory import keep_freed_memory
    from falsr_nas.inference.tiling import upscale
    from falsr_nas.models.model_file import load_model

    keep_freed_memory()  # as the commands do
    torch.set_num_threads(options.threads)
    model = load_model(folder / "model.safetensors")
    network = model.in_runtime(*SETTINGS[side]).network
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
    from falsr_nas.models.model_file import Model, find_model, save_model
    from falsr_nas.networks.network import Network
    from falsr_nas.space.published import PUBLISHED

    torch.manual_seed(0)
    model = (
        find_model(options.model)
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
    if side == EXPORTED:
        upscale = exported_model(folder, options)
    else:
        upscale = this_package(side, folder, options)
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
            for name in options.sides
        }
        sides = [Side(name, command, threads) for name, command in commands.items()]
        for _ in range(1 + options.passes):
            for side in sides:
                side.run()
        rows = {side.name: figures(side.turns, *side.finish()) for side in sides}
        outputs = {name: np.load(folder / f"{name}.npy") for name in options.sides}
        photograph = photograph_seconds(folder, options) if options.photograph else {}
    wanted = outputs[options.sides[0]]
    differences = {name: float(np.abs(output - wanted).max()) for name, output in outputs.items()}
    for name, difference in differences.items():
        if not difference <= (AGREEMENT if name in EXACT else BF16_AGREEMENT):
            sys.exit(f"{name} differs by {difference:.1e}: it is not the same model")
    model = done.stdout.strip().splitlines()[-1]
    print_table(
        f"{model}: {WIDTH}x{HEIGHT} to {2 * WIDTH}x{2 * HEIGHT}, {options.threads} threads,"
        f" {options.passes} passes",
        rows,
    )
    for name, (wall, work) in photograph.items():
        print(f"12 megapixels, {name}: {wall:.1f} s, {work:.1f} s of processor time")
    setting = {
        "model": model,
        "input": [WIDTH, HEIGHT],
        "threads": options.threads,
        "passes": options.passes,
        "memory_mib": options.memory,
    }
    print(json.dumps({**setting, **rows, "differences": differences, "photograph": photograph}))


def photograph_seconds(folder: Path, options: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Return wall and processor seconds of the command for a photograph; the second run counts."""
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((4000, 3000), Image.Resampling.BICUBIC).save(folder / "in.jpg")
    files = [f"model={folder / 'model.safetensors'}", f"input={folder / 'in.jpg'}"]
    seconds = {}
    for name in options.sides:
        if name == EXPORTED:
            continue
        runtime, precision = SETTINGS[name]
        settings = [f"runtime={runtime}", f"precision={precision}", f"threads={options.threads}"]
        command = [sys.executable, "-m", "falsr_nas.upscale", *files, *settings]
        for _ in range(2):  # the first one may measure
            began, worked = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            output = f"output={folder / 'out.jpg'}"
            subprocess.run([*command, output], check=True, stdout=subprocess.DEVNULL)
            done = resource.getrusage(resource.RUSAGE_CHILDREN)
            work = done.ru_utime + done.ru_stime - worked.ru_utime - worked.ru_stime
            seconds[name] = (round(time.perf_counter() - began, 2), round(work, 2))
    return seconds


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
        help="a shipped model, a file of a model or a graph; default: FALSR-A, random weights",
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
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES, help="all by default")
    parser.add_argument("--photograph", action="store_true", help="upscale 12 megapixels, too")
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
