"""Score and time the networks that run.sh trained, print the tables, and draw the figure.

    python experiments/x2_fast/scores.py measure --data DIR outputs/x2_fast
    python experiments/x2_fast/scores.py time [--backends onnxruntime torch ncnn onnxruntime-int8]
    python experiments/x2_fast/scores.py report
    python experiments/x2_fast/scores.py rungs outputs/x2_fast
    python experiments/x2_fast/scores.py figure

``measure`` scores the networks in the folder of run.sh on Set5, Set14, B100 and Kodak24 (whole
images) under ``standard``, and adds them to scores.json; those that are in it are not scored again.
``time`` adds the milliseconds for a 1280x720 output by one and two threads, all networks in turns
with one reference network, in one run; the processor should have nothing else to do. ``rungs``
prints how far the order of the finalists at a rung is that of the next one. DIR has benchmark/ and
val/Kodak24.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import nn

from falsr_nas.benchmark.sets import benchmark_files
from falsr_nas.core.turns import alone
from falsr_nas.inference.threads import processor_threads
from falsr_nas.networks.network import Network
from falsr_nas.profiling.device import UNDISTURBED, reference_network
from falsr_nas.profiling.timing import BACKENDS, time_against
from falsr_nas.space.genome import Genome

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
from hand_made import NETWORKS, SETS  # noqa: E402 - of this folder
from trained_networks import curve, read, scored, write  # noqa: E402

SCORES = HERE / "scores.json"
TIMES = HERE / "times.json"
FIGURE = HERE.parents[1] / "docs" / "images" / "milliseconds.png"
COUNTED = ("Set14", "B100", "Kodak24")
"""Sets whose mean PSNR is compared; Set5 has five images."""
AT = (25, 50, 100, 200, 400)
"""Milliseconds at which networks are compared, of two threads."""
SHAPE = (1, 1, 360, 640)
KINDS = {"ladder": "hand-made", "finals_random": "random", "finals_onnxruntime": "search"}


def measure(options: argparse.Namespace) -> None:
    """Score the networks of the folder that are not in the file."""
    rows = read(SCORES)
    known = {row["folder"] for row in rows}
    sets = {Path(name).name: benchmark_files(options.data / name) for name in SETS}
    for folder in trained(options.output):
        name = str(folder.relative_to(options.output))
        if name in known:
            continue
        if folder.suffix == ".json":
            label = folder.stem.rsplit("_", 1)[0]
            row = {"name": label, "network": label.upper(), **json.loads(folder.read_text())}
        else:
            row = scored(folder, sets)
            row["network"] = row.pop("genome")
            hand = folder.parent.parent.name == "ladder"
            row["name"] = folder.parent.name.rsplit("_", 1)[0] if hand else folder.name[:12]
        rows.append(
            {"folder": name, "kind": KINDS.get(name.split("/", maxsplit=1)[0], "search"), **row}
        )
        print(rows[-1], flush=True)
        write(SCORES, rows)


def trained(output: Path) -> list[Path]:
    """Return the folders of finished trainings, and the files of those of hand_made.py."""
    models = [path.parent for path in output.glob("ladder/*/*/model.safetensors")]
    models += [path.parent for path in output.glob("finals_*/*/model.safetensors")]
    found = {folder for folder in models if not folder.is_symlink()}
    return sorted([*found, *output.glob("ladder/*.json")])


def time(options: argparse.Namespace) -> None:
    """Time all networks in turns with one network, by backend and number of threads."""
    networks = dict.fromkeys(row["network"] for row in read(SCORES))
    x = torch.full(SHAPE, 0.5)
    found: dict[str, Any] = {network: {} for network in networks}
    for backend in options.backends:
        for threads in (1, 2):
            with processor_threads(threads), alone():
                reference = BACKENDS[backend](module_of(str(reference_network(2))), x)
                references = []
                for network in networks:
                    run = BACKENDS[backend](module_of(network), x)
                    measured = time_against(reference, run, options.seconds)
                    references.append(measured.reference_ms)
                    found[network][f"{backend} {threads}"] = measured.ratio
                    print(backend, threads, f"{measured.ratio:.3f}", network, flush=True)
            unit = float(np.quantile(references, UNDISTURBED))
            for times in found.values():
                times[f"{backend} {threads}"] = round(unit * times[f"{backend} {threads}"], 2)
    write(TIMES, [{"network": network, "ms": times} for network, times in found.items()])


def module_of(network: str) -> nn.Module:
    """Return the network of a genome, or one of hand_made.py, with random weights."""
    if network in NETWORKS:
        return NETWORKS[network]().eval()
    return Network(Genome.parse(network)).eval()


def groups() -> list[dict[str, Any]]:
    """Return a row for each network: the means and deviations of its seeds, and its times."""
    times = {row["network"]: row["ms"] for row in read(TIMES)}
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in read(SCORES):
        found[row["kind"], row["name"]].append(row)
    means = []
    for (kind, name), rows in found.items():
        each = [fmean(row["psnr"][one] for one in COUNTED) for row in rows]
        means.append(
            {
                "kind": kind,
                "name": name,
                "network": rows[0]["network"],
                "params": rows[0]["params"],
                "giga": rows[0]["mult_adds"] / 1e9,
                "seeds": len(rows),
                "psnr": fmean(each),
                "deviation": stdev(each) if len(each) > 1 else math.nan,
                "sets": {s: fmean(row["psnr"][s] for row in rows) for s in rows[0]["psnr"]},
                "ms": times.get(rows[0]["network"], {}),
            }
        )
    return sorted(means, key=lambda row: row["ms"].get("onnxruntime 2", 0.0))


def report(options: argparse.Namespace) -> None:
    """Print the table of networks, and the comparison at the times of AT."""
    rows = groups()
    columns = list(rows[0]["ms"])
    heads = ("network", "", "K", "G", "seeds", "Set5", *COUNTED, "mean", *columns)
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for row in rows:
        sets = [f"{row['sets'][one]:.2f}" for one in ("Set5", *COUNTED)]
        times = [f"{row['ms'][column]:.1f}" for column in columns]
        print(
            f"| {row['name']} | {row['kind']} | {row['params'] / 1e3:.1f} | {row['giga']:.2f}"
            f" | {row['seeds']} | {' | '.join(sets)} | {row['psnr']:.3f} ± {row['deviation']:.3f}"
            f" | {' | '.join(times)} |"
        )
    print("\n| ms | hand-made | random | search | search - hand-made |\n|---|---|---|---|---|")
    for ms in AT:
        best = {kind: at(rows, kind, ms) for kind in ("hand-made", "random", "search")}
        gain = best["search"] - best["hand-made"]
        shown = " | ".join(f"{value:.3f}" for value in (*best.values(), gain))
        print(f"| {ms} | {shown} |")


def at(rows: Sequence[dict[str, Any]], kind: str, ms: float) -> float:
    """Return the PSNR that the front of a kind has at a time.

    It is interpolated over the logarithm of the time for hand-made networks, above the slowest one
    that of the best. Of the others it is that of the best network that takes no longer.
    """
    front: list[tuple[float, float]] = []
    for row in rows:
        if row["kind"] == kind and (not front or row["psnr"] > front[-1][1]):
            front.append((row["ms"]["onnxruntime 2"], row["psnr"]))
    times, psnr = (np.array(values) for values in zip(*front, strict=True)) if front else ((), ())
    if not len(times) or ms < times[0]:
        return math.nan
    if kind == "hand-made":
        return float(np.interp(math.log(ms), np.log(times), psnr))
    return float(psnr[times <= ms].max())


def rungs(options: argparse.Namespace) -> None:
    """Print the rank correlations of the finalists' PSNR between one validation and the next."""
    for finals in sorted(options.output.glob("finals_*")):
        curves: dict[str, dict[int, float]] = {
            folder.name: {int(row["step"]): float(row["psnr"]) for row in curve(folder)}
            for folder in finals.iterdir()
            if (folder / "curve.csv").exists() and not folder.is_symlink()
        }
        steps = sorted({step for points in curves.values() for step in points})
        for before, after in pairwise(steps):
            both = [name for name, points in curves.items() if before in points and after in points]
            values = [[curves[name][step] for name in both] for step in (before, after)]
            if len(both) > 2:
                print(finals.name, before, after, len(both), f"{spearmanr(*values).statistic:.3f}")


def figure(options: argparse.Namespace) -> None:
    """Draw PSNR against milliseconds: hand-made, random and searched networks."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["font.size"] = 8
    drawing = Figure(figsize=(7.5, 3.8), layout="constrained", facecolor="white")
    axes = drawing.subplots()
    axes.set_xscale("log")
    styles = {"hand-made": ("o", "#8a8f98"), "random": ("x", "#56b4e9"), "search": ("*", "#D55E00")}
    rows = groups()
    for kind, (marker, color) in styles.items():
        points = [(row["ms"]["onnxruntime 2"], row["psnr"]) for row in rows if row["kind"] == kind]
        if points:
            axes.plot(*zip(*points, strict=True), marker, color=color, label=kind, ms=6)
    for row in rows:
        if row["kind"] == "hand-made":
            axes.annotate(
                row["name"],
                (row["ms"]["onnxruntime 2"], row["psnr"]),
                xytext=(4, -8),
                textcoords="offset points",
                color="#5b616a",
            )
    axes.set_xlabel("milliseconds for a 1280x720 output, onnxruntime, two threads")
    axes.set_ylabel(f"PSNR, x2 (dB): mean of {', '.join(COUNTED)}")
    axes.grid(color="#e6e8eb")
    axes.set_axisbelow(True)
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xticks(AT, [str(ms) for ms in AT])
    drawing.savefig(FIGURE, dpi=150)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("measure")
    command.add_argument("output", type=Path)
    command.add_argument("--data", type=Path, required=True)
    command.set_defaults(act=measure)
    command = commands.add_parser("time")
    default = ["onnxruntime", "onnxruntime-int8", "torch", "ncnn"]
    command.add_argument("--backends", nargs="+", choices=BACKENDS, default=default)
    command.add_argument("--seconds", type=float, default=3.0, help="for each network")
    command.set_defaults(act=time)
    command = commands.add_parser("rungs")
    command.add_argument("output", type=Path)
    command.set_defaults(act=rungs)
    for name, act in (("report", report), ("figure", figure)):
        commands.add_parser(name).set_defaults(act=act)
    options = parser.parse_args()
    act_of: Callable[[argparse.Namespace], None] = options.act
    act_of(options)


if __name__ == "__main__":
    main()
