"""``falsr-nas profile device.json``: measure a profile of this device, or of another one.

It tells how long networks take; a search predicts the latency of its networks from it.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from falsr_nas.cli.command import run_command
from falsr_nas.cli.config import Schemas
from falsr_nas.core.errors import UserError
from falsr_nas.core.plugins import load_plugins
from falsr_nas.core.settings import REQUIRED, CommandSettings, at_least, one_of, path, positive
from falsr_nas.latency.profile import EXTRAS, FEWEST
from falsr_nas.space.search_space import SearchSpace

if TYPE_CHECKING:
    from falsr_nas.latency.profile import LatencyProfile
    from falsr_nas.space.genome import Genome

GOOD_ERROR, GOOD_CORRELATION = 0.1, 0.95
"""Median error and rank correlation beyond which a profile is said to be doubtful; our choice."""


@dataclass(frozen=True)
class ProfileConfig(CommandSettings):
    """Settings of the command. The defaults are our choice.

    Attributes:
        output: the file to write; with ``export`` the folder.
        space: the search space whose networks are measured.
        backend: what runs the networks.
        width: of the upscaled image in pixels.
        height: of the upscaled image in pixels.
        threads: number of processor threads, or None for all.
        minutes: time for all; a few rounds are taken of each network in any case.
        networks: how many networks are measured.
        max_mult_adds: G mult-adds of the heaviest of them; as ``constraints.max_mult_adds`` of the
            search.
        seed: seed of the networks.
        search: folder of a search whose front is measured instead of networks of the space.
        export: whether to write networks, to be timed on another device, instead of a profile.
        times: file of the times of such networks, in their folder, for the profile of that device.
        cpu: name of that device.
    """

    output: str = path(default=REQUIRED)
    space: SearchSpace = field(default_factory=SearchSpace)
    backend: str = one_of(tuple(EXTRAS), default="onnxruntime")
    width: int = at_least(8, unit="pixels", default=1280)
    height: int = at_least(8, unit="pixels", default=720)
    threads: int | None = at_least(1, default=None, null="all")
    minutes: float = at_least(0, default=3.0)
    networks: int = at_least(FEWEST, default=72)
    max_mult_adds: float | None = positive(unit="G", default=60.0, null="no limit")
    seed: int = at_least(0, default=1)
    search: str | None = path(default=None)
    export: bool = False
    times: str | None = path(default=None)
    cpu: str = "another device"


def profile(config: ProfileConfig, *, progress: bool = False) -> LatencyProfile | None:
    """Measure the profile of this device and write it, or what the config says instead.

    Args:
        config: the settings.
        progress: whether to show the progress on standard error.

    Returns:
        The profile; None where networks are written.

    Raises:
        UserError: the backend is not installed, or a file cannot be read or written.
    """
    from falsr_nas.core.files import make_folder, write_atomically

    load_plugins(config.plugins)
    output = Path(config.output)
    make_folder(output.parent)  # not after all the measuring
    from falsr_nas.profiling.device import Device, measure_device
    from falsr_nas.profiling.elsewhere import profile_of_times, write_networks
    from falsr_nas.tracking.progress import LiveLine

    if config.times is not None:
        measured = profile_of_times(Path(config.times), config.cpu)
    else:
        device = Device.here(config.backend, config.width, config.height, config.threads)
        networks = _networks(config)
        if config.export:
            write_networks(output, networks, device)
            return None
        with LiveLine("starting", quiet=not progress) as shown:
            measured = measure_device(networks, device, 60 * config.minutes, shown.phase)
    write_atomically(output, measured.to_json().encode())
    return measured


def _networks(config: ProfileConfig) -> list[Genome]:
    if config.search is None:
        from falsr_nas.profiling.device import drawn_networks

        most = math.inf if config.max_mult_adds is None else 1e9 * config.max_mult_adds
        networks = drawn_networks(config.space, config.networks, config.seed, most)
        if len(networks) < FEWEST:
            raise UserError(f"only {len(networks)} networks have {most / 1e9:g} G or less")
        return networks
    from falsr_nas.search.result import load_search

    front = [member.genome for member in load_search(config.search).front]
    if len(front) < FEWEST:
        raise UserError(f"search: {config.search} has {len(front)} networks on its front")
    return front


def _command(config: ProfileConfig) -> None:
    """Measure, then print what was measured and how well it predicts."""
    measured = profile(config, progress=True)
    if measured is None:
        print(f"{config.output}: networks to be timed on another device; see docs/profile.md")
        return
    median, correlation = measured.error
    times = [one.milliseconds for one in measured.networks]
    print(
        f"{config.output}: {measured.backend} {measured.versions[measured.backend]} on"
        f" {measured.cpu}, threads={measured.threads}, {measured.width}x{measured.height}:"
        f" {len(times)} networks of {min(times):.3g} to {max(times):.3g} ms"
    )
    print(
        f"each predicted by the others: median error {median:.1%}, rank correlation (Spearman)"
        f" {correlation:.3f}"
    )
    if median > GOOD_ERROR or correlation < GOOD_CORRELATION:
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
