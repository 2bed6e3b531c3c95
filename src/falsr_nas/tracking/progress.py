"""Progress of a search or a training: live in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.status import Status
from rich.table import Table
from rich.text import Text

from falsr_nas.archive.candidate import Evaluation, Score
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
        self._clock = clock
        self._seconds = seconds
        self._live: Live | None = None
        self._started = self._last_line = clock()
        self._total = self._done = self._done_here = self._failures = self._retries = 0
        self._kinds: Counter[str] = Counter()
        self._generation = -1
        self._best: float | None = None
        self._hypervolume: float | None = None

    def start(self, total: int, done: SearchSummary) -> None:
        """Start to show a search.

        Args:
            total: number of candidates that the search may evaluate.
            done: summary of the evaluations that a resumed search has already.
        """
        self._total = total
        self._started = self._last_line = self._clock()
        self._update(done)
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=self._panel,
                console=self._console,
                refresh_per_second=4,
                redirect_stdout=sys.stdout.isatty(),
            )
            self._live.start()

    def evaluated(self, evaluation: Evaluation) -> None:
        """Count an evaluation that has ended."""
        self._done += 1
        self._done_here += 1
        self._generation = max(self._generation, evaluation.candidate.generation)
        if isinstance(evaluation.outcome, Score):
            self._best = max(
                evaluation.outcome.psnr, -math.inf if self._best is None else self._best
            )
        else:
            self._failures += 1
            self._kinds[evaluation.outcome.kind.value] += 1
        self._retries += len(evaluation.earlier)
        if self._clock() - self._last_line >= self._seconds:
            self._print_line()

    def generation(self, summary: SearchSummary) -> None:
        """Show the summary after a generation."""
        self._update(summary)
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
        return None if rate is None else 3600 * max(0, self._total - self._done) / rate

    def _update(self, summary: SearchSummary) -> None:
        self._generation, self._done, self._failures = (
            summary.generation,
            summary.candidates,
            summary.failures,
        )
        self._best, self._hypervolume = summary.best_psnr, summary.hypervolume
        self._kinds, self._retries = Counter(summary.failures_by_kind), summary.retries

    def _figures(self) -> dict[str, str]:
        rate, left = self.candidates_per_hour, self.seconds_left
        return {
            "generation": str(max(self._generation, 0)),
            "candidates": f"{self._done}/{self._total}",
            "per hour": "-" if rate is None else f"{rate:.0f}",
            "left": "-" if left is None else hours(left),
            "hypervolume": "-" if self._hypervolume is None else f"{self._hypervolume:.4f}",
            "best PSNR": "-" if self._best is None else f"{self._best:.2f} dB",
            "failures": str(self._failures),
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
        counts = [f"{count} {kind}" for kind, count in self._kinds.most_common()]
        return ", ".join(
            [*counts, f"{self._retries} {'retry' if self._retries == 1 else 'retries'}"]
            if self._retries
            else counts
        )

    def _panel(self) -> RenderableType:
        figures = self._figures()
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_row(*(Text(name, style="dim") for name in figures))
        table.add_row(
            *(
                Text(value, style="red" if name == "failures" and self._failures else "bold")
                for name, value in figures.items()
            )
        )
        panel = Table.grid(expand=True)
        panel.add_row(ProgressBar(total=max(self._total, 1), completed=self._done))
        panel.add_row(table)
        if counts := self._failure_counts():
            panel.add_row(Text(f"failures: {counts}", style="red" if self._failures else "dim"))
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
        self._progress = progress
        self._tracker = tracker
        self._problem = problem
        self._evaluations = list(evaluations)
        self._unreported = False  # whether evaluations ended since the last report
        progress.start(total, self._summary())

    def evaluated(self, evaluation: Evaluation) -> None:
        """Record an evaluation that has ended."""
        self._evaluations.append(evaluation)
        self._unreported = True
        self._progress.evaluated(evaluation)

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

    def __init__(self, text: str, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        status = Status(text, console=self._console)
        self._status = status if self._console.is_terminal else None

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def close(self) -> None:
        """Remove the live line."""
        if self._status:
            self._status.stop()

    def _say(self, live: str, printed: str) -> None:
        """Show a text in the live line, or print another one; an empty one is not printed."""
        if self._status:
            self._status.update(live)
        elif printed:
            self._console.print(printed, highlight=False)


class TrainingProgress(LiveLine):
    """Show the progress of a training: one live line in a terminal, else a line per validation."""

    def __init__(self) -> None:
        super().__init__("waiting for the first validation")

    def show(self, step: int, steps: int, psnr: float, seconds: float) -> None:
        """Show the result of a validation.

        Args:
            step: number of optimizer steps so far.
            steps: number of optimizer steps of the whole training.
            psnr: PSNR in dB.
            seconds: duration of the training so far.
        """
        left = hours(seconds / step * (steps - step))
        text = f"step {step:,} of {steps:,}: {psnr:.3f} dB, {left} left"
        self._say(text, text)


class PhaseProgress(LiveLine):
    """Show phases with counts: a live line in a terminal, else a line per phase.

    Args:
        quiet: show nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        super().__init__("starting", quiet=quiet)
        self._phase = ""

    def show(self, phase: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` steps of a phase are done."""
        new = phase != self._phase
        self._say(f"{phase}: {done} of {total}", f"{phase}: {total}" if new else "")
        self._phase = phase
