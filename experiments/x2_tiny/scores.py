"""Score the trained networks of run.sh, print the table of README.md, and draw its figure.

    python experiments/x2_tiny/scores.py measure --data DIR outputs/x2_tiny/nano/rows/*
    python experiments/x2_tiny/scores.py time
    python experiments/x2_tiny/scores.py report
    python experiments/x2_tiny/scores.py figure
    python experiments/x2_tiny/scores.py short --data DIR GENOME

``measure`` scores the networks in these folders, one each, on Set5, Set14 and B100 under
``standard``, and adds them to scores.json. Networks that are in it are not scored again. ``time``
adds the milliseconds for a 1280x720 output; the processor should have nothing else to do. ``short``
prints the PSNR of a network after the short training of the searches.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import torch
from torch import nn

from falsr_nas.archive.candidate import Candidate, Origin
from falsr_nas.benchmark.peers import PEERS
from falsr_nas.benchmark.sets import benchmark_files
from falsr_nas.data.settings import FolderSettings
from falsr_nas.inference.threads import processor_threads
from falsr_nas.networks.network import Network
from falsr_nas.profiling.device import reference_network
from falsr_nas.profiling.timing import BACKENDS, Measured, time_against
from falsr_nas.search import SearchConfig, build_evaluator
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import Genome

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
from hand_made import FSRCNN  # noqa: E402 - of this folder
from trained_networks import read, scored, write  # noqa: E402

SCORES = HERE / "scores.json"
FIGURE = HERE.parents[1] / "docs" / "images" / "front.png"
SETS = ("Set5", "Set14", "B100")
SMALL_PEERS = {
    "ECBSR-M4C8": (0.6, 32.51),
    "SESR-M3": (2.05, 32.70),
    "ECBSR-M4C16": (2.3, 32.81),
    "SESR-M5": (3.1, 32.84),
    "MoreMNAS-C": (5.5, 32.75),
    "SESR-M11": (6.3, 33.03),
    "TPSR-NoGAN": (14, 33.00),
    "ECBSR-M10C32": (21.8, 33.26),
    "SESR-XL": (24.3, 33.24),
}
"""G mult-adds, and PSNR in dB on Set14, of the smallest published x2 networks.

Quoted from SESR (Bhardwaj et al., MLSys 2022), ECBSR (Zhang et al., ACM MM 2021), MoreMNAS (Chu et
al., 2019) and TPSR (Lee et al., ECCV 2020).
"""
TO_THE_LEFT = ("ECBSR-M4C16", "ECBSR-M10C32", "FALSR-A", "VDSR")
"""Networks whose names are on the left of their points in the figure."""
THREADS = 2
RUNTIMES = ("torch", "onnxruntime")


def measure(options: argparse.Namespace) -> None:
    """Score the networks of the folders that are not in the file."""
    rows = read(SCORES)
    known = {row["folder"] for row in rows}
    sets = {name: benchmark_files(options.data / "benchmark" / name) for name in SETS}
    for folder in map(Path, options.folders):
        space = next(part for part in folder.parts if part in ("nano", "tiny"))
        name = f"{space}/{folder.stem}"
        if name in known:
            continue
        if folder.suffix == ".json":
            rows.append({"folder": name, **json.loads(folder.read_text())})
        else:
            rows.append({"folder": name, **scored((folder / "best").resolve(), sets)})
        print(rows[-1])
        write(SCORES, rows)


def time(options: argparse.Namespace) -> None:
    """Time all networks in turns, in each runtime."""
    rows = read(SCORES)
    texts = dict.fromkeys(row.get("genome", "FSRCNN") for row in rows)
    networks = {text: network_of(text).eval() for text in texts}
    with processor_threads(THREADS):
        for backend in RUNTIMES:
            load, x = BACKENDS[backend], torch.full((1, 1, 360, 640), 0.5)
            reference = load(Network(reference_network(2)).eval(), x)
            timed: dict[str, Measured] = {
                text: time_against(reference, load(network, x), seconds=5.0)
                for text, network in networks.items()
            }
            unit = median(one.reference_ms for one in timed.values())
            for row in rows:
                ms = unit * timed[row.get("genome", "FSRCNN")].ratio
                row.setdefault("milliseconds", {})[backend] = round(ms, 1)
    write(SCORES, rows)


def network_of(text: str) -> nn.Module:
    """Return the network of a genome, or FSRCNN, with random weights."""
    return FSRCNN() if text == "FSRCNN" else Network(Genome.parse(text))


def report(options: argparse.Namespace) -> None:
    """Print a line for each network: the mean of its seeds, and the deviation between them."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for row in read(SCORES):
        groups[row["folder"].rsplit("_", 1)[0], row["steps"]].append(row)
    heads = ("network", "params", "G", "steps", "seeds", *SETS, "Set14 + B100", "ms", "minutes")
    print(f"| {' | '.join(heads)} |")
    print("|---" * len(heads) + "|")
    for (name, steps), rows in sorted(groups.items()):
        first = rows[0]
        sets = [with_deviation([row["psnr"][one] for row in rows]) for one in SETS]
        both = with_deviation([(row["psnr"]["Set14"] + row["psnr"]["B100"]) / 2 for row in rows])
        times = ", ".join(f"{ms:.0f}" for ms in first.get("milliseconds", {}).values())
        minutes = fmean(row.get("minutes", row.get("processor_seconds", 0) / 60) for row in rows)
        print(
            f"| {name} | {first['params']:,} | {first['mult_adds'] / 1e9:.2f} | {steps:,}"
            f" | {len(rows)} | {' | '.join(sets)} | {both} | {times} | {minutes:.0f} |"
        )


def with_deviation(values: Sequence[float]) -> str:
    """Return the mean, and the standard deviation where there are several values."""
    spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return f"{fmean(values):.2f}{spread}"


def figure(options: argparse.Namespace) -> None:
    """Draw PSNR on Set14 against mult-adds: the literature's networks, and the shipped ones."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["font.size"] = 8
    drawing = Figure(figsize=(7.5, 3.6), layout="constrained", facecolor="white")
    axes = drawing.subplots()
    axes.set_xscale("log")
    shown = ("FSRCNN", "SRCNN", "FALSR-B", "FALSR-A", "CARN", "VDSR")
    larger = {name: (PEERS[name].mult_adds_g, PEERS[name].psnr["Set14"]) for name in shown}
    for name, point in (SMALL_PEERS | larger).items():
        axes.plot(*point, "o", ms=4, color="#8a8f98")
        left = name in TO_THE_LEFT
        axes.annotate(
            name,
            point,
            xytext=(-5, -3) if left else (4, -8),
            textcoords="offset points",
            color="#5b616a",
            ha="right" if left else "left",
        )
    for row in read(SCORES):
        if not row["folder"].endswith("/winner"):
            continue
        point = row["mult_adds"] / 1e9, row["psnr"]["Set14"]
        name = f"falsr-{row['folder'].split('/')[0]}-x2"
        axes.plot(*point, "*", ms=11, color="#D55E00")
        axes.annotate(
            name, point, xytext=(2, -15), textcoords="offset points", color="#D55E00", ha="center"
        )
    axes.set_xlabel("mult-adds for a 1280x720 output (G)")
    axes.set_ylabel("PSNR on Set14, x2 (dB)")
    axes.grid(color="#e6e8eb")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xticks([1, 10, 100], ["1", "10", "100"])
    drawing.savefig(FIGURE, dpi=150)


def short(options: argparse.Namespace) -> None:
    """Train a network as the searches do, and print its PSNR in dB."""
    folders = tuple(str(options.data / "train" / name) for name in ("T91", "BSDS200"))
    data = FolderSettings(train_dirs=folders, val_dir=str(options.data / "val" / "Kodak24"))
    evaluator = build_evaluator(SearchConfig(data=data))
    evaluator.prepare()
    genome = Genome.parse(options.genome)
    candidate = Candidate(genome, genome_cost(genome), Origin(("given",)), 0, 0)
    print(evaluator.evaluate(candidate))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("measure")
    command.add_argument("folders", nargs="+")
    command.add_argument("--data", type=Path, required=True)
    command.set_defaults(act=measure)
    command = commands.add_parser("short")
    command.add_argument("genome")
    command.add_argument("--data", type=Path, required=True)
    command.set_defaults(act=short)
    for name, act in (("time", time), ("report", report), ("figure", figure)):
        commands.add_parser(name).set_defaults(act=act)
    options = parser.parse_args()
    act_of: Callable[[argparse.Namespace], None] = options.act
    act_of(options)


if __name__ == "__main__":
    main()
