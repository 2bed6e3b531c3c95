"""Summarise a search: `python analyse.py RUN_DIR` prints Markdown tables.

It also writes `candidates.csv` beside this file.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from statistics import mean

from scipy.stats import kendalltau

from falsr_nas.archive.candidate import Evaluation, Score
from falsr_nas.objectives.problem import scored
from falsr_nas.report.run import read_run
from falsr_nas.space.cell import Cell

TRAITS: dict[str, Callable[[Cell], Hashable]] = {
    "operator": lambda cell: cell.operator.name,
    "channels": lambda cell: cell.channels,
    "kernel": lambda cell: cell.kernel,
    "repeats": lambda cell: cell.repeats,
    "residual (of repeats > 1)": lambda cell: cell.residual if cell.repeats > 1 else None,
}


def links(evaluation: Evaluation) -> int:
    return sum(map(len, evaluation.candidate.genome.links))


def psnr(evaluation: Evaluation) -> float:
    assert isinstance(evaluation.outcome, Score)
    return evaluation.outcome.psnr


def shares(group: Sequence[Evaluation], trait: Callable[[Cell], Hashable]) -> dict[Hashable, float]:
    counts = Counter(
        trait(cell) for evaluation in group for cell in evaluation.candidate.genome.cells
    )
    counts.pop(None, None)
    return {name: count / counts.total() for name, count in counts.items()}


def print_shares(groups: dict[str, Sequence[Evaluation]]) -> None:
    print(f"| cells | {' | '.join(groups)} |\n|---|{'---|' * len(groups)}")
    for title, trait in TRAITS.items():
        columns = [shares(group, trait) for group in groups.values()]
        for name in sorted(columns[0], key=str):
            row = " | ".join(f"{column.get(name, 0):.0%}" for column in columns)
            print(f"| {title} {name} | {row} |")
    different = [
        mean(len(set(e.candidate.genome.cells)) for e in group) for group in groups.values()
    ]
    row = " | ".join(f"{count:.1f}" for count in different)
    print(f"| different cells in a network, of 7 | {row} |")
    row = " | ".join(f"{mean(map(links, group)):.1f}" for group in groups.values())
    print(f"| links, of 28 (mean) | {row} |")


def write_candidates(path: Path, evaluations: Sequence[Evaluation]) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(
            (
                "number",
                "generation",
                "key",
                "genome",
                "psnr",
                "mse",
                "mult_adds",
                "params",
                "seconds",
                "operators",
                "parents",
            )
        )
        for e in evaluations:
            c, o = e.candidate, e.outcome
            score = (o.psnr, o.mse) if isinstance(o, Score) else ("", "")
            seconds = round(o.seconds, 1) if isinstance(o, Score) else ""
            origin = (" ".join(c.origin.operators), " ".join(c.origin.parents))
            table.writerow(
                (
                    c.number,
                    c.generation,
                    c.key,
                    c.genome,
                    *score,
                    c.cost.mult_adds,
                    c.cost.params,
                    seconds,
                    *origin,
                )
            )


def main() -> None:
    run = read_run(Path(sys.argv[1]))
    everyone = run.evaluations
    write_candidates(Path(__file__).with_name("candidates.csv"), everyone)
    ranked, front = scored(everyone), run.problem.front(everyone)
    best = sorted(ranked, key=psnr)[-len(ranked) // 10 :]
    failed = len(everyone) - len(ranked)
    print(f"{len(everyone)} candidates, {failed} failed, {len(front)} on the front\n")
    print_shares({"all": ranked, "the front": front, "the tenth of highest PSNR": best})
    made = Counter(" + ".join(e.candidate.origin.operators) for e in everyone)
    stood = Counter(" + ".join(e.candidate.origin.operators) for e in front)
    print("\n| made by | candidates | on the front |\n|---|---|---|")
    for name, count in made.most_common():
        print(f"| {name} | {count} | {stood[name]} |")
    print("\n| generation | best PSNR so far, dB | mean PSNR of it, dB | mean G of it |")
    print("|---|---|---|---|")
    for generation in range(max(e.candidate.generation for e in everyone) + 1):
        of_it = [e for e in ranked if e.candidate.generation == generation]
        so_far = max(psnr(e) for e in ranked if e.candidate.generation <= generation)
        giga = mean(e.candidate.cost.mult_adds for e in of_it) / 1e9
        print(f"| {generation} | {so_far:.2f} | {mean(map(psnr, of_it)):.2f} | {giga:.1f} |")
    for name, cost in (("mult-adds", lambda e: e.candidate.cost.mult_adds), ("links", links)):
        tau = kendalltau([cost(e) for e in ranked], [psnr(e) for e in ranked]).statistic
        print(f"\nKendall's tau of PSNR with {name}, all candidates: {tau:.2f}")


if __name__ == "__main__":
    main()
