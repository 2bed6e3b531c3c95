"""Measure the networks of a search's front as its profile was measured, beside what it predicts.

    python experiments/latency/measure.py RUN_DIR device.json [--most 20] [--seconds 300]

Prints a table in Markdown. Samples take turns, as in the profile.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from falsr_nas.inference.memory import keep_freed_memory
from falsr_nas.inference.threads import processor_threads
from falsr_nas.latency.profile import read_profile
from falsr_nas.profiling.device import network_latencies, prediction_error
from falsr_nas.report.run import read_run
from falsr_nas.report.terminal import compact


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("profile", type=Path)
    parser.add_argument("--most", type=int, default=20, help="networks, evenly from the front")
    parser.add_argument("--seconds", type=float, default=300.0)
    options = parser.parse_args()
    run, profile = read_run(options.run_dir), read_profile(options.profile)
    front = run.problem.front(run.evaluations)
    rows = np.unique(np.linspace(0, len(front) - 1, options.most).round().astype(int))
    chosen = [front[i] for i in rows]
    networks = [one.candidate.genome for one in chosen]
    keep_freed_memory()
    with processor_threads(profile.threads):
        measured = network_latencies(
            networks,
            profile.backend,
            width=profile.width,
            height=profile.height,
            seconds=options.seconds,
        )
    predicted = np.array([profile.latency(one) for one in networks])
    print(
        f"{profile.backend} {profile.versions[profile.backend]} on {profile.cpu},"
        f" {profile.threads} threads, {profile.width}x{profile.height} output\n"
    )
    print("| key | PSNR dB | G | K | predicted ms | measured ms | error | network |")
    print("|---|---|---|---|---|---|---|---|")
    for one, ms, expected in zip(chosen, measured, predicted, strict=True):
        cost, score = one.candidate.cost, one.score
        assert score is not None, "fronts have scored networks alone"
        print(
            f"| {one.key[:8]} | {score.psnr:.2f} | {cost.mult_adds / 1e9:.2f}"
            f" | {cost.params / 1e3:.1f} | {expected:.1f} | {ms:.1f} | {expected / ms - 1:+.0%}"
            f" | `{compact(one.candidate.genome)}` |"
        )
    error = prediction_error(measured, predicted)
    print(f"\nmedian error {error.median:.1%}, rank correlation {error.spearman:.3f}")


if __name__ == "__main__":
    main()
