"""Progress of a search or a training: live in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.status import Status
from rich.table import Table
from rich.text import Text

from falsr_nas.archive.candidate import Evaluation, Failure, Score
from falsr_nas.core.closing import Closing
from falsr_nas.objectives.problem import Problem
from falsr_nas.objectives.summary import SearchSummary, summarise
from falsr_nas.tracking.tracker import Tracker


class Progress(Closing):
    """Show the progress of a search: generation, candidates, rate, time left, quality, failures.

    In a terminal, a panel is redrawn in place. Elsewhere, a line is printed after every generation,
    and every ``seconds`` during longer generations. A context manager: leaving it stops the panel.

    Args:
        console: the output; standard error by default, as standard output is for results.
        clock: monotonic clock in seconds.
        seconds: shortest time between two lines during a generation.
    """

    def __init__(
        self,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
        seconds: float = 30.0,
    ) -> None:
        self._console = console or Console(stderr=True)
        self._clock, self._seconds = clock, seconds
        self._live: Live | None = None
        self._started = self._last_line = clock()
        self._total = self._done_here = 0
        self._summary = SearchSummary(-1, 0, 0, None, 0.0, 0)

    def start(self, total: int, done: SearchSummary) -> None:
        """Start to show a search.

        Args:
            total: number of candidates that the search may evaluate.
            done: summary of the evaluations that a resumed search has already.
        """
        self._total, self._summary = total, done
        self._started = self._last_line = self._clock()
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=self._panel,
                console=self._console,
                refresh_per_second=4,
                redirect_stdout=sys.stdout.isatty(),
            )
            self._live.start()

    def evaluated(self, evaluation: Evaluation, hypervolume: float | None = None) -> None:
        """Count an evaluation that has ended, and show the hypervolume of the front with it."""
        self._done_here += 1
        known, outcome = self._summary, evaluation.outcome
        best, kinds = known.best_psnr, Counter(known.failures_by_kind)
        if isinstance(outcome, Score):
            best = outcome.psnr if best is None else max(outcome.psnr, best)
        else:
            kinds[outcome.kind.value] += 1
        self._summary = replace(
            known,
            generation=max(known.generation, evaluation.candidate.generation),
            candidates=known.candidates + 1,
            failures=known.failures + isinstance(outcome, Failure),
            best_psnr=best,
            hypervolume=known.hypervolume if hypervolume is None else hypervolume,
            failures_by_kind=kinds,
            retries=known.retries + len(evaluation.earlier),
        )
        if self._clock() - self._last_line >= self._seconds:
            self._print_line()

    def generation(self, summary: SearchSummary) -> None:
        """Show the summary after a generation."""
        self._summary = summary
        self._print_line()

    def close(self) -> None:
        """Stop redrawing; the last state remains on the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    @property
    def candidates_per_hour(self) -> float | None:
        """Rate of this process; None before its first candidate has ended."""
        elapsed = self._clock() - self._started
        return 3600 * self._done_here / elapsed if self._done_here and elapsed > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Estimated time to the last candidate; None before the first candidate has ended."""
        rate = self.candidates_per_hour
        return (
            None if rate is None else 3600 * max(0, self._total - self._summary.candidates) / rate
        )

    def _figures(self) -> dict[str, str]:
        rate, left, known = self.candidates_per_hour, self.seconds_left, self._summary
        return {
            "generation": str(max(known.generation, 0)),
            "candidates": f"{known.candidates}/{self._total}",
            "per hour": "-" if rate is None else f"{rate:.0f}",
            "left": "-" if left is None else hours(left),
            "hypervolume": f"{known.hypervolume:.4f}",
            "best PSNR": "-" if known.best_psnr is None else f"{known.best_psnr:.2f} dB",
            "failures": str(known.failures),
        }

    def _print_line(self) -> None:
        self._last_line = self._clock()
        if self._live is None:
            line = "  ".join(f"{name} {value}" for name, value in self._figures().items())
            counts = self._failure_counts()
            self._console.print(
                f"{line} ({counts})" if counts else line, soft_wrap=True, highlight=False
            )

    def _failure_counts(self) -> str:
        """Return failures by kind and retries, e.g. ``2 out_of_memory, 1 timeout, 4 retries``."""
        kinds, retries = Counter(self._summary.failures_by_kind), self._summary.retries
        counts = [f"{count} {kind}" for kind, count in kinds.most_common()]
        if retries:
            counts.append(f"{retries} {'retry' if retries == 1 else 'retries'}")
        return ", ".join(counts)

    def _panel(self) -> RenderableType:
        figures, failures = self._figures(), self._summary.failures
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_row(*(Text(name, style="dim") for name in figures))
        table.add_row(
            *(
                Text(value, style="red" if name == "failures" and failures else "bold")
                for name, value in figures.items()
            )
        )
        panel = Table.grid(expand=True)
        panel.add_row(ProgressBar(total=max(self._total, 1), completed=self._summary.candidates))
        panel.add_row(table)
        if counts := self._failure_counts():
            panel.add_row(Text(f"failures: {counts}", style="red" if failures else "dim"))
        return panel


def hours(seconds: float) -> str:
    """Format a duration as hours, minutes and seconds, e.g. ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


class SearchMonitor:
    """Observer of a search that updates progress and tracker after each generation.

    Args:
        progress: progress of the search; the monitor starts and stops it.
        tracker: gets the metrics after each generation, and all evaluations at the end.
        problem: what the search looks for.
        total: number of candidates that the search may evaluate.
        evaluations: evaluations that a resumed search has already.
    """

    def __init__(
        self,
        progress: Progress,
        tracker: Tracker,
        problem: Problem,
        *,
        total: int,
        evaluations: Sequence[Evaluation] = (),
    ) -> None:
        self._progress, self._tracker, self._problem = progress, tracker, problem
        self._evaluations = list(evaluations)
        self._front = problem.front(self._evaluations)
        self._unreported = False  # whether evaluations ended since the last report
        progress.start(total, self._summary())

    def evaluated(self, evaluation: Evaluation) -> None:
        """Record an evaluation that has ended."""
        self._evaluations.append(evaluation)
        self._unreported = True
        self._front = self._problem.front([*self._front, evaluation])
        self._progress.evaluated(evaluation, self._problem.hypervolume(self._front))

    def generation_ended(self, generation: int) -> None:
        """Report a summary after a generation."""
        self._report()

    def finish(self) -> None:
        """Report the final state, and pass all evaluations and the front to the tracker."""
        if self._unreported:
            self._report()
        self._progress.close()
        self._tracker.finish(self._evaluations, self._problem)

    def _report(self) -> None:
        summary = self._summary()
        self._progress.generation(summary)
        self._tracker.generation(summary, self._progress.candidates_per_hour)
        self._unreported = False

    def _summary(self) -> SearchSummary:
        return summarise(self._evaluations, self._problem)


class LiveLine(Closing):
    """One live line on standard error in a terminal; elsewhere lines are printed below each other.

    Args:
        text: what the live line shows at first.
        quiet: show nothing.
    """

    def __init__(self, text: str, *, quiet: bool) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._status = Status(text, console=self._console)  # shows nothing outside of a terminal
        self._phase = ""

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def close(self) -> None:
        """Remove the live line."""
        self._status.stop()

    def validated(self, step: int, steps: int, psnr: float, seconds: float) -> None:
        """Show the PSNR in dB after ``step`` of all ``steps`` of a training, and its duration."""
        left = hours(seconds / step * (steps - step))
        text = f"step {step:,} of {steps:,}: {psnr:.3f} dB, {left} left"
        self._say(text, text)

    def phase(self, phase: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` steps of a phase are done; print a line per phase."""
        self._say(
            f"{phase}: {done} of {total}", f"{phase}: {total}" if phase != self._phase else ""
        )
        self._phase = phase

    def _say(self, live: str, printed: str) -> None:
        """Show a text in the live line, or print another one; an empty one is not printed."""
        self._status.update(live)
        if printed and not self._console.is_terminal:
            self._console.print(printed, highlight=False)
