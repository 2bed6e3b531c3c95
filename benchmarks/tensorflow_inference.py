"""Compare this package with the authors' graph under TensorFlow: time to upscale benchmark sets.

    python benchmarks/tensorflow_inference.py --model FALSR-A.pb --data benchmark

Each side is a process of its own. Give ``--tensorflow=PYTHON`` if another interpreter than this one
has TensorFlow, NumPy and Pillow. The two take turns, pass by pass, so that other load on the
machine affects both alike. A pass upscales all images of all sets, from 8-bit input to 8-bit
output, with colours as in the authors' script. Start (imports and loading) and first pass, in which
every image size is new, are the time of an evaluation. The best of the other passes is the steady
state. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from turns import Side

SIDES = ("falsr_nas", "tensorflow")
Upscale = Callable[[list[np.ndarray]], list[np.ndarray]]
"""Maps images (H, W, 3) uint8 to images (2H, 2W, 3) uint8."""


def this_package(model: Path, threads: int) -> Upscale:
    import torch

    from falsr_nas.benchmark.protocol import ScoringProtocol
    from falsr_nas.benchmark.super_resolution import super_resolve
    from falsr_nas.inference.memory import keep_freed_memory
    from falsr_nas.inference.threads import side_by_side
    from falsr_nas.models.model_file import load_model

    keep_freed_memory()  # as the command evaluate does, which also scores images in parallel
    torch.set_num_threads(threads)
    network = load_model(model).network

    def upscale(image: np.ndarray) -> np.ndarray:
        output = super_resolve(
            network, torch.from_numpy(image).permute(2, 0, 1).contiguous(), ScoringProtocol.falsr
        )
        return output.permute(1, 2, 0).numpy()

    return lambda images: list(side_by_side(upscale, images, threads))


def authors_graph(model: Path, threads: int) -> Upscale:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    v1 = tf.compat.v1
    v1.disable_eager_execution()
    definition = v1.GraphDef()
    definition.ParseFromString(model.read_bytes())
    tf.import_graph_def(definition, name="")
    session = v1.Session(
        config=v1.ConfigProto(
            intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads
        )
    )
    target = next(node.name for node in definition.node if node.name.endswith("/target"))
    matrix = np.array(
        [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
    )

    def upscale(image: np.ndarray) -> np.ndarray:
        height, width, _ = image.shape
        larger = np.asarray(
            Image.fromarray(image).resize((2 * width, 2 * height), Image.Resampling.BICUBIC)
        )
        feed = {
            "input_image_evaluate_y:0": (image / 255 @ matrix[0])[None, :, :, None],
            "input_image_evaluate_pbpr:0": (larger / 255 @ matrix[1:].T)[None],
        }
        output = session.run(f"{target}:0", feed)[0]
        return np.clip(output * 255, 0, 255).astype(np.uint8)

    return lambda images: list(map(upscale, images))


def work(side: str, model: Path, images: Path, outputs: Path, threads: int) -> None:
    """Run one side: per line of input a pass, whose seconds are printed; save the last outputs."""
    with np.load(images) as archive:
        low = {name: archive[name] for name in archive.files}
    upscale = {"falsr_nas": this_package, "tensorflow": authors_graph}[side](model, threads)
    print("ready", flush=True)
    for _ in sys.stdin:
        began, worked = time.perf_counter(), time.process_time()
        high = dict(zip(low, upscale(list(low.values())), strict=True))
        print(time.perf_counter() - began, time.process_time() - worked, flush=True)
    np.savez(outputs, **high)


def finish(side: Side, outputs: Path) -> dict[str, np.ndarray]:
    """End a side and return the outputs of its last pass."""
    side.finish()
    with np.load(outputs) as archive:
        return {name: archive[name] for name in archive.files}


def compare(options: argparse.Namespace) -> None:
    import torch

    from falsr_nas.benchmark.metrics import PSNR
    from falsr_nas.benchmark.protocol import ScoringProtocol
    from falsr_nas.benchmark.sets import benchmark_files
    from falsr_nas.data.images import read_image

    files = {
        f"{name}/{file.hr.stem}": file
        for name in options.sets
        for file in benchmark_files(Path(options.data) / name)
    }
    files = dict(sorted(files.items(), key=lambda item: item[1].hr.stat().st_size, reverse=True))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        np.savez(
            folder / "images.npz",
            **{
                name: read_image(file.lr).permute(1, 2, 0).numpy()
                for name, file in files.items()
                if file.lr
            },
        )
        arguments = ["--model", options.model, "--threads", str(options.threads), "--data", place]
        pythons = zip(SIDES, (sys.executable, options.tensorflow), strict=True)
        sides = [
            Side(name, [python, __file__, "--worker", name, *arguments], {}, subprocess.DEVNULL)
            for name, python in pythons
        ]
        for _ in range(options.passes):
            for side in sides:
                side.run()
        outputs = [finish(side, folder / f"{side.name}.npz") for side in sides]
    rows = {}
    for side, high in zip(sides, outputs, strict=True):
        passes, work_of_passes = zip(*side.turns, strict=True)
        psnr = PSNR(ScoringProtocol.falsr)
        for name, file in files.items():
            if file.lr:
                output = torch.from_numpy(high[name]).permute(2, 0, 1)
                psnr.update(output[None], read_image(file.hr)[None])
        rows[side.name] = {
            "start_s": round(side.start, 2),
            "first_pass_s": round(passes[0], 2),
            "evaluation_s": round(side.start + passes[0], 2),
            "best_pass_s": round(min(passes[1:] or passes), 2),
            "best_cpu_s": round(min(work_of_passes[1:] or work_of_passes), 2),
            "psnr": round(float(psnr.compute()), 4),
        }
    columns = ("start", "first pass", "together", "best pass", "CPU time")
    print(f"{'':12}{''.join(f'{one:>12}' for one in columns)}{'PSNR, protocol falsr':>24}")
    for name, row in rows.items():
        seconds = "".join(
            f"{row[key]:>10} s"
            for key in ("start_s", "first_pass_s", "evaluation_s", "best_pass_s", "best_cpu_s")
        )
        print(f"{name:12}{seconds}{row['psnr']:>21} dB")
    ours, theirs = outputs
    pixels = sum(image.size for image in ours.values())
    different = sum(int((image != theirs[name]).sum()) for name, image in ours.items()) / pixels
    ratio = {
        key: round(rows["tensorflow"][key] / rows["falsr_nas"][key], 2)
        for key in ("evaluation_s", "best_pass_s", "best_cpu_s")
    }
    print(
        f"{len(ours)} images, {options.threads} threads,"
        f" {different:.2e} of the output's values differ"
    )
    setting = {
        "model": Path(options.model).name,
        "sets": options.sets,
        "threads": options.threads,
        "passes": options.passes,
    }
    print(json.dumps({**setting, **rows, "times_faster": ratio, "values_that_differ": different}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="a frozen graph, FALSR-A.pb")
    parser.add_argument("--data", required=True, help="folder that holds the sets of HR/LR pairs")
    parser.add_argument("--sets", nargs="+", default=["Set5", "Set14"])
    parser.add_argument(
        "--tensorflow", default=sys.executable, help="interpreter that has TensorFlow"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("--worker", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        folder = Path(options.data)
        work(
            options.worker,
            Path(options.model),
            folder / "images.npz",
            folder / f"{options.worker}.npz",
            options.threads,
        )
    else:
        compare(options)


if __name__ == "__main__":
    main()
