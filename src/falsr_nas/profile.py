"""``falsr-nas profile device.json``: measure a profile of this device.

It tells how long layers take; a search predicts the latency of its networks from it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from falsr_nas.cli.command import run_command
from falsr_nas.cli.config import Schemas
from falsr_nas.core.plugins import load_plugins
from falsr_nas.core.settings import REQUIRED, CommandSettings, at_least, one_of
from falsr_nas.space.search_space import SearchSpace

if TYPE_CHECKING:
    from falsr_nas.latency.profile import LatencyProfile

BACKENDS = ("onnxruntime", "torch", "ncnn")
"""What can run the networks, all on the processor."""

GOOD_ERROR, GOOD_CORRELATION = 0.1, 0.95
"""Median error and rank correlation beyond which a profile is said to be doubtful; our choice."""


@dataclass(frozen=True)
class ProfileConfig(CommandSettings):
    """Settings of the command. The defaults are our choice.

    Attributes:
        output: the file to write.
        space: the search space whose layers are measured.
        backend: what runs the networks.
        width: of the upscaled image in pixels.
        height: of the upscaled image in pixels.
        threads: number of processor threads, or None for all.
        minutes: time for the samples; converting the models takes longer, and one round of samples
            is taken in any case.
        networks: how many networks the prediction is fitted to.
        held_out: how many other networks its error is measured on.
        seed: seed of the networks.
    """

    output: str = REQUIRED
    space: SearchSpace = field(default_factory=SearchSpace)
    backend: str = one_of(BACKENDS, default=BACKENDS[0])
    width: int = at_least(8, unit="pixels", default=1280)
    height: int = at_least(8, unit="pixels", default=720)
    threads: int | None = at_least(1, default=None, null="all")
    minutes: float = at_least(0, default=10.0)
    networks: int = at_least(2, default=40)
    held_out: int = at_least(2, default=20)
    seed: int = at_least(0, default=1)


def profile(config: ProfileConfig, *, progress: bool = False) -> LatencyProfile:
    """Measure the profile of this device and write it.

    Args:
        config: the settings.
        progress: whether to show the progress on standard error.

    Raises:
        UserError: the backend is not installed, or the file cannot be written.
    """
    from falsr_nas.core.files import make_folder, write_atomically

    load_plugins(config.plugins)
    output = Path(config.output).expanduser()
    make_folder(output.parent)  # not after all the measuring
    import torch

    from falsr_nas.inference.threads import processor_threads
    from falsr_nas.profiling.device import Plan, measure_device
    from falsr_nas.tracking.progress import LiveLine

    with processor_threads(config.threads), LiveLine("starting", quiet=not progress) as shown:
        plan = Plan(
            config.backend,
            config.width,
            config.height,
            torch.get_num_threads(),
            60 * config.minutes,
            config.networks,
            config.held_out,
            config.seed,
        )
        measured = measure_device(config.space, plan, shown.phase)
    write_atomically(output, measured.to_json().encode())
    return measured


def _command(config: ProfileConfig) -> None:
    """Measure, then print what was measured and how well it predicts."""
    from falsr_nas.inference.memory import keep_freed_memory

    keep_freed_memory()
    measured = profile(config, progress=True)
    layers = sum(map(len, measured.table.values()))
    error = measured.error
    print(
        f"{config.output}: {measured.backend} {measured.versions[measured.backend]} on"
        f" {measured.cpu}, threads={measured.threads}, {measured.width}x{measured.height}:"
        f" {layers} layers and {config.networks} networks"
    )
    print(
        f"{len(error.measured)} other networks of {min(error.measured):.3g} to"
        f" {max(error.measured):.3g} ms: median error {error.median:.1%}, rank correlation"
        f" (Spearman) {error.spearman:.3f}"
    )
    if error.median > GOOD_ERROR or error.spearman < GOOD_CORRELATION:
        print(
            "this is a doubtful profile: measure again while nothing else runs, or with more"
            " minutes=... and networks=...",
            file=sys.stderr,
        )


def main() -> None:
    """Run the command."""
    schemas = Schemas(ProfileConfig, {"space": {"falsr": SearchSpace}}, words=("output",))
    run_command("profile", schemas, _command)


if __name__ == "__main__":
    main()
