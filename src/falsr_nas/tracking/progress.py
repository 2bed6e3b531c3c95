"""How a running search goes, live: a panel in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.status import Status
from rich.table import Table
from rich.text import Text

from falsr_nas.archive.candidate import Evaluation, Score
from falsr_nas.archive.objectives import ObjectiveScale, SearchSummary, pareto_front, summarise
from falsr_nas.tracking.tracker import Tracker


class Progress:
    """Generation, candidates, rate, time left, hypervolume, best PSNR and failures of a search.

    In a terminal they are a panel that is redrawn in place; elsewhere a line after every
    generation, and every ``seconds`` while one lasts longer. A context manager that stops with the
    search.

    Args:
        console: where to show it; standard error by default, which leaves standard output to
            results.
        clock: seconds that only ever grow.
        seconds: between plain lines at most, while candidates end.
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
        self._began = self._spoke = clock()
        self._total = self._done = self._here = self._failures = self._retries = 0
        self._kinds: Counter[str] = Counter()
        self._generation = -1
        self._best: float | None = None
        self._hypervolume: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, total: int, done: SearchSummary) -> None:
        """Begin to show a search of ``total`` candidates, of which a resumed one has ``done`` some already."""
        self._total = total
        self._began = self._spoke = self._clock()
        self._take(done)
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=self._panel,
                console=self._console,
                refresh_per_second=4,
                redirect_stdout=sys.stdout.isatty(),
            )
            self._live.start()

    def evaluated(self, evaluation: Evaluation) -> None:
        """A candidate has ended."""
        self._done += 1
        self._here += 1
        self._generation = max(self._generation, evaluation.candidate.generation)
        if isinstance(evaluation.outcome, Score):
            self._best = max(
                evaluation.outcome.psnr, -math.inf if self._best is None else self._best
            )
        else:
            self._failures += 1
            self._kinds[evaluation.outcome.kind.value] += 1
        self._retries += len(evaluation.earlier)
        if self._clock() - self._spoke >= self._seconds:
            self._speak()

    def generation(self, summary: SearchSummary) -> None:
        """A generation has ended."""
        self._take(summary)
        self._speak()

    def stop(self) -> None:
        """Stop redrawing; the last state stays on the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    @property
    def candidates_per_hour(self) -> float | None:
        """Rate of this process alone, whatever it resumed from; None before its first candidate has ended."""
        elapsed = self._clock() - self._began
        return 3600 * self._here / elapsed if self._here and elapsed > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Time until the last candidate at this rate; None before there is a rate."""
        rate = self.candidates_per_hour
        return None if rate is None else 3600 * max(0, self._total - self._done) / rate

    def _take(self, summary: SearchSummary) -> None:
        self._generation, self._done, self._failures = (
            summary.generation,
            summary.candidates,
            summary.failures,
        )
        self._best, self._hypervolume = summary.best_psnr, summary.hypervolume
        self._kinds, self._retries = Counter(summary.failures_by_kind), summary.retries

    def _facts(self) -> dict[str, str]:
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

    def _speak(self) -> None:
        self._spoke = self._clock()
        if self._live is None:
            line = "  ".join(f"{name} {value}" for name, value in self._facts().items())
            trouble = self._trouble()
            self._console.print(
                f"{line} ({trouble})" if trouble else line, soft_wrap=True, highlight=False
            )

    def _trouble(self) -> str:
        """The failures by kind and the retries, where there are any, e.g. ``2 out_of_memory, 1 timeout, 4 retries``."""
        counts = [f"{count} {kind}" for kind, count in self._kinds.most_common()]
        return ", ".join(
            [*counts, f"{self._retries} {'retry' if self._retries == 1 else 'retries'}"]
            if self._retries
            else counts
        )

    def _panel(self) -> RenderableType:
        facts = self._facts()
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_row(*(Text(name, style="dim") for name in facts))
        table.add_row(
            *(
                Text(value, style="red" if name == "failures" and self._failures else "bold")
                for name, value in facts.items()
            )
        )
        panel = Table.grid(expand=True)
        panel.add_row(ProgressBar(total=max(self._total, 1), completed=self._done))
        panel.add_row(table)
        if trouble := self._trouble():
            panel.add_row(Text(f"failures: {trouble}", style="red" if self._failures else "dim"))
        return panel


def hours(seconds: float) -> str:
    """A duration as hours, minutes and seconds, e.g. ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


class SearchMonitor:
    """Watches a search's loop: knows all its evaluations, and tells progress and tracker how it stands after each generation.

    Args:
        progress: shown while the search runs; started here.
        tracker: gets each generation's metrics.
        scale: of the hypervolume.
        total: candidates that the search may evaluate.
        evaluations: those that the search resumes from.
        min_psnr: dB that a network must reach to be on the front.
    """

    def __init__(
        self,
        progress: Progress,
        tracker: Tracker,
        scale: ObjectiveScale,
        *,
        total: int,
        evaluations: Sequence[Evaluation] = (),
        min_psnr: float | None = None,
    ) -> None:
        self._progress = progress
        self._tracker = tracker
        self._scale = scale
        self._min_psnr = min_psnr
        self._evaluations = list(evaluations)
        self._news = False  # evaluations that no summary has told of
        progress.start(total, self._summary())

    def evaluated(self, evaluation: Evaluation) -> None:
        """An evaluation has ended."""
        self._evaluations.append(evaluation)
        self._news = True
        self._progress.evaluated(evaluation)

    def generation_ended(self, generation: int) -> None:
        """Generation number ``generation`` is whole."""
        self._report()

    def finish(self) -> None:
        """The search has ended, perhaps within a generation: tell its last state, and the tracker all candidates and the front."""
        if self._news:
            self._report()
        self._progress.stop()
        self._tracker.finish(self._evaluations, pareto_front(self._evaluations, self._min_psnr))

    def _report(self) -> None:
        summary = self._summary()
        self._progress.generation(summary)
        self._tracker.generation(summary, self._progress.candidates_per_hour)
        self._news = False

    def _summary(self) -> SearchSummary:
        return summarise(self._evaluations, self._scale, self._min_psnr)


class TrainingProgress:
    """Shows how far a training is: a live line on a terminal, one line per validation elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        waiting = Status("waiting for the first validation", console=self._console)
        self._status = waiting if self._console.is_terminal else None

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status:
            self._status.stop()

    def show(self, step: int, steps: int, psnr: float, seconds: float) -> None:
        """Show a validation: PSNR in dB after ``step`` of ``steps`` steps and ``seconds`` seconds."""
        left = hours(seconds / step * (steps - step))
        text = f"step {step:,} of {steps:,}: {psnr:.3f} dB, {left} left"
        if self._status:
            self._status.update(text)
        else:
            self._console.print(text, highlight=False)
