"""Time the networks of this folder in onnxruntime, and write times.csv.

    python time_networks.py [THREADS]

It needs nothing but numpy and onnxruntime. Networks run in turns with the first one.
"""

import csv
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import onnxruntime

ROUNDS, WARM_UPS = 9, 4


def loaded(path: Path, shape: list[int], threads: int) -> Callable[[], Any]:
    """Load a network; what is returned runs it once."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    inputs = {session.get_inputs()[0].name: np.full(shape, 0.5, np.float32)}
    return lambda: session.run(None, inputs)


def seconds(run: Callable[[], Any]) -> float:
    """Return the seconds of a run: the mean of as many as take 20 ms."""
    times: list[float] = []
    while sum(times) < 0.02:
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return fmean(times)


def main() -> None:
    """Time all networks."""
    folder = Path(__file__).parent
    content = json.loads((folder / "networks.json").read_text(encoding="utf-8"))
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else content["threads"]
    networks, units, ratios = content["networks"], [], []
    reference = loaded(folder / networks[0]["file"], networks[0]["input"], threads)
    for network in networks:
        run = loaded(folder / network["file"], network["input"], threads)
        for _ in range(WARM_UPS):
            run()
            reference()
        rounds = [(seconds(reference), seconds(run)) for _ in range(ROUNDS)]
        units.append(median(unit for unit, _ in rounds))
        ratios.append(median(own / unit for unit, own in rounds))
        print(f"{network['file']}  {1e3 * units[-1] * ratios[-1]:.2f} ms", flush=True)
    with (folder / "times.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("file", "ms"))
        unit = sorted(units)[len(units) // 10]  # what disturbs it makes it slower
        for network, ratio in zip(networks, ratios, strict=True):
            rows.writerow((network["file"], f"{1e3 * unit * ratio:.4f}"))


if __name__ == "__main__":
    main()
