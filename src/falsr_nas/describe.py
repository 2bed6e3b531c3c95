"""``falsr-nas describe FALSR-A``: describe a network.

Prints its cells, links, parameters and mult-adds, or a drawing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from falsr_nas.cli.command import run_command
from falsr_nas.cli.config import Schemas
from falsr_nas.cli.console import console
from falsr_nas.core.errors import UserError
from falsr_nas.core.plugins import load_plugins
from falsr_nas.core.settings import REQUIRED, CommandSettings, one_of, path
from falsr_nas.models.names import model_path, names_model
from falsr_nas.models.shipped import SHIPPED_MODELS
from falsr_nas.space.cost import Cost, Part, genome_cost, input_pixels, input_side, parts
from falsr_nas.space.genome import Genome
from falsr_nas.space.lookup import find_genome
from falsr_nas.space.published import PUBLISHED

if TYPE_CHECKING:
    from rich.table import Table

FORMATS = ("table", "json", "svg")


@dataclass(frozen=True)
class DescribeConfig(CommandSettings):
    """Settings of the command.

    Attributes:
        genome: a published name or that of a shipped model, in any case; a model file or a model's
            folder; a genome's text or JSON, or the path of a file that holds one.
        format: ``table``, ``json``, or ``svg`` for a drawing like the paper's figures 3 and 4.
        check: also build the network and count its cost with thop.
    """

    genome: str = path(default=REQUIRED)
    format: str = one_of(FORMATS, default="table")
    check: bool = False


@dataclass(frozen=True)
class Description:
    """What a network is and what it costs.

    Attributes:
        genome: the network.
        cost: parameters, and mult-adds for 960x960 output, by formula.
        counted: the same as thop counts it on the built network; None where it was not asked for.
    """

    genome: Genome
    cost: Cost
    counted: Cost | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the network, from the stem to the upsampler, with their convolutions."""
        return tuple(parts(self.genome))

    def to_json(self) -> str:
        """Return key, genome and cost as JSON."""
        content = {
            "key": self.genome.key,
            "genome": self.genome.to_json(),
            "text": str(self.genome),
            "params": self.cost.params,
            "mult_adds": self.cost.mult_adds,
        }
        if self.counted is not None:
            content["counted_by_thop"] = {
                "params": self.counted.params,
                "mult_adds": self.counted.mult_adds,
            }
        return json.dumps(content, indent=2)

    def to_svg(self) -> str:
        """Return a drawing of the network."""
        from falsr_nas.report.architecture import architecture_svg

        return architecture_svg(self.genome)

    def to_table(self) -> Table:
        """Return a table of the parts and their cost."""
        from rich.table import Table

        columns = ("target", "block", "reads nodes", "channels in", "params", "G mult-adds")
        table = Table(*columns, title=f"network {self.genome.key}")
        for part in self.parts:
            reads, inputs = ", ".join(map(str, part.reads)), str(part.convs[0].inputs)
            cost = Cost(part.params, int(input_pixels(self.genome.scale) * part.mult_adds))
            table.add_row(str(part.target), part.block, reads, inputs, *_figures(cost))
        table.add_section()
        links = sum(map(len, self.genome.links))
        total = f"{self.genome.n} cells, {links} links"
        table.add_row("", total, "", "", *_figures(self.cost))
        if self.counted is not None:
            table.add_row("", "counted by thop", "", "", *_figures(self.counted))
        return table


def describe(config: DescribeConfig) -> Description:
    """Describe the network of ``config``.

    Raises:
        UserError: there is no such network, or it is none of a search space.
    """
    load_plugins(config.plugins)
    genome = _genome(config.genome)
    counted = None
    if config.check:
        from falsr_nas.networks.counted_cost import thop_cost

        counted = thop_cost(genome)
    return Description(genome, genome_cost(genome), counted)


def _genome(name: str) -> Genome:
    if name.upper() in PUBLISHED or not names_model(name):
        return find_genome(name, SHIPPED_MODELS)
    model_path(name)  # a mistake is found without torch
    from falsr_nas.models.model_file import find_model

    model = find_model(name)
    if model.genome is None:
        raise UserError(
            f"{name} has no genome, so it cannot be described: falsr_nas.evaluate prints its cost"
        )
    return model.genome


def _figures(cost: Cost) -> tuple[str, str]:
    return f"{cost.params:,}", f"{cost.mult_adds / 1e9:.4f}"


def _command(config: DescribeConfig) -> None:
    """Describe and print."""
    description = describe(config)
    if config.format == "svg":
        print(description.to_svg())
    elif config.format == "json":
        print(description.to_json())
    else:
        screen = console()
        screen.print(description.to_table())
        side = input_side(description.genome.scale)
        note = f"mult-adds at {side}x{side} input: its output has as many pixels as 1280x720"
        screen.print(note, style="dim")
        print(description.genome)


def main() -> None:
    """Run the command."""
    run_command("describe", Schemas(DescribeConfig, {}, words=("genome",)), _command)


if __name__ == "__main__":
    main()
