"""Time the networks of a search's front again, beside what was predicted and measured before.

    python experiments/latency/measure.py RUN_DIR [--most 20] [--seconds 3]

Prints a table in Markdown, and the errors of the predictions. ``profile`` is what
the profile alone predicts, ``proposed`` what the search expected when it proposed the network, with
what was measured in the generations before, ``search`` what it measured, ``again`` what is measured
now, with nothing else running.
"""

from __future__ import annotations

import argparse
from itertools import groupby
from pathlib import Path

import numpy as np

from falsr_nas.latency.prediction import prediction_error
from falsr_nas.latency.profile import LatencyPredictor
from falsr_nas.profiling.device import Stopwatch, check_device
from falsr_nas.report.run import read_run
from falsr_nas.report.terminal import compact


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--most", type=int, default=20, help="networks, evenly from the front")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each network")
    options = parser.parse_args()
    run = read_run(options.run_dir)
    profile = run.problem.profile
    assert profile is not None, "a search with latency"
    predictor, proposed, measured = LatencyPredictor(profile), {}, {}
    for _, members in groupby(run.evaluations, lambda one: one.candidate.generation):
        generation = [(one, one.score) for one in members]
        proposed |= {one.key: predictor.latency(one.genome) for one, _ in generation}
        known = [(one.genome, score.latency) for one, score in generation if score]
        measured |= {genome.key: ms for genome, ms in known}
        predictor.learn((genome, ms) for genome, ms in known if ms)
    front = run.problem.front(run.evaluations)
    rows = np.unique(np.linspace(0, len(front) - 1, options.most).round().astype(int))
    stopwatch, again = Stopwatch(check_device(profile), profile.reference), {}
    print(
        f"{profile.backend} {profile.versions[profile.backend]} on {profile.cpu},"
        f" {profile.threads} threads, {profile.width}x{profile.height} output\n"
    )
    print("| key | PSNR dB | G | profile | proposed | search | again | spread | network |")
    print("|---|---|---|---|---|---|---|---|---|")
    for one in (front[i] for i in rows):
        found = stopwatch.time(one.genome, options.seconds)
        again[one.key] = profile.reference_ms * found.ratio
        score = one.score
        assert score is not None, "fronts have scored networks alone"
        print(
            f"| {one.key[:8]} | {score.psnr:.2f} | {one.cost.mult_adds / 1e9:.2f}"
            f" | {profile.latency(one.genome):.1f} | {proposed[one.key]:.1f}"
            f" | {measured[one.key] or 0:.1f} | {again[one.key]:.1f}"
            f" | {found.spread / found.ratio:.1%} | `{compact(one.genome)}` |"
        )
    first = [profile.latency(one.genome) for one in front]
    late = [proposed[one.key] for one in front]
    truth = [measured[one.key] for one in front]
    print()
    report("front: profile alone", first, truth)
    report("front: when proposed", late, truth)
    report("front: search against again", [measured[key] for key in again], [*again.values()])
    later = [one for one in run.evaluations if one.candidate.generation and one.score]
    everyone = [proposed[one.key] for one in later], [measured[one.key] for one in later]
    report("all candidates after the first generation: when proposed", *everyone)


def report(name: str, predicted: list[float], measured: list[float]) -> None:
    """Print the errors of predictions in ms."""
    median, correlation = prediction_error(measured, predicted)
    low = np.median(np.divide(predicted, measured)) - 1
    print(
        f"{name}: median error {median:.1%} (signed {low:+.1%}), rank correlation {correlation:.3f}"
    )


if __name__ == "__main__":
    main()
