"""``python -m falsr_nas.describe genome=FALSR-A``: cells, links, parameters and mult-adds of a network, or its drawing."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from omegaconf import MISSING

from falsr_nas.cli.command import run_command
from falsr_nas.cli.config import Schemas
from falsr_nas.errors import UserError
from falsr_nas.report.architecture import architecture_svg
from falsr_nas.space.cost import LR_PIXELS, genome_cost, parts
from falsr_nas.space.genome import Genome
from falsr_nas.space.lookup import find_genome


@dataclass(frozen=True)
class DescribeConfig:
    """Settings of the command.

    Attributes:
        genome: a published name, a genome's text or JSON, or the path of a file that holds one.
        format: ``table`` for people, ``json`` for programs, ``svg`` for a drawing as in the paper's figures 3 and 4.
    """

    genome: str = MISSING
    format: str = "table"


def describe(config: DescribeConfig) -> None:
    """Print the network."""
    if config.format not in ("table", "json", "svg"):
        raise UserError(f"format is {config.format!r}: choose table, json or svg")
    genome = find_genome(config.genome)
    if config.format == "svg":
        print(architecture_svg(genome))
        return
    if config.format == "json":
        cost = genome_cost(genome)
        about = {
            "key": genome.key,
            "genome": genome.to_json(),
            "text": str(genome),
            "params": cost.params,
            "mult_adds": cost.mult_adds,
        }
        print(json.dumps(about, indent=2))
        return
    _print_table(genome)


def _print_table(genome: Genome) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "target",
        "block",
        "reads nodes",
        "channels in",
        "params",
        "G mult-adds",
        title=f"network {genome.key}",
    )
    for part in parts(genome):
        params = sum(conv.params for conv in part.convs)
        giga = LR_PIXELS * sum(conv.mult_adds for conv in part.convs) / 1e9
        table.add_row(
            str(part.target),
            part.block,
            ", ".join(map(str, part.reads)),
            str(part.convs[0].inputs),
            f"{params:,}",
            f"{giga:.4f}",
        )
    cost = genome_cost(genome)
    links = sum(map(len, genome.links))
    table.add_section()
    table.add_row(
        "",
        f"{genome.n} cells, {links} links",
        "",
        "",
        f"{cost.params:,}",
        f"{cost.mult_adds / 1e9:.4f}",
    )
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    console.print(
        "mult-adds at 480x480 input, which is 1280x720 pixels' worth of x2 output", style="dim"
    )
    print(genome)


def main() -> None:
    """The command."""
    run_command("describe", Schemas(DescribeConfig, {}), describe, free_text=("genome",))


if __name__ == "__main__":
    main()
