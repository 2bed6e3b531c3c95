"""``falsr-nas convert FALSR-A.pb falsr-a.safetensors``: convert a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from falsr_nas.cli.command import run_command
from falsr_nas.cli.config import Schemas
from falsr_nas.core.plugins import load_plugins
from falsr_nas.core.settings import REQUIRED, CommandSettings, path
from falsr_nas.models.names import check_model_path

if TYPE_CHECKING:
    from falsr_nas.models.model import Model


@dataclass(frozen=True)
class ConvertConfig(CommandSettings):
    """Settings of the command.

    Attributes:
        input: a frozen FALSR graph (``.pb``), a Lightning checkpoint (``.ckpt``), a
            ``.safetensors`` file, or a model's folder.
        output: the ``.safetensors`` file to write, or a folder: a path without a suffix, or one
            that ends in ``/``.
    """

    input: str = path(default=REQUIRED)
    output: str = path(default=REQUIRED)


def convert(config: ConvertConfig) -> Model:
    """Write a model of any form as a ``.safetensors`` file, or as a model's folder.

    Returns:
        The model as read back from ``output``, which is its ``path``.

    Raises:
        UserError: the model cannot be read or written.
    """
    load_plugins(config.plugins)
    source, target = Path(config.input), Path(config.output)
    check_model_path(source)
    # After the mistakes that are found without torch.
    from falsr_nas.models.model_file import load_model, save_model
    from falsr_nas.models.pretrained import save_pretrained

    model = load_model(source)
    if str(config.output).endswith("/") or not target.suffix or target.is_dir():
        save_pretrained(model, target)
    else:
        save_model(target, model.network, model.provenance)
    return load_model(target)


def _convert_and_print(config: ConvertConfig) -> None:
    model = convert(config)
    from falsr_nas.networks.counted_cost import network_cost

    cost = network_cost(model.network)
    print(
        f"{model.path}: {cost.params:,} parameters,"
        f" {cost.mult_adds / 1e9:.2f} G mult-adds at 1280x720 output"
    )


def main() -> None:
    """Run the command."""
    schemas = Schemas(ConvertConfig, {}, words=("input", "output"))
    run_command("convert", schemas, _convert_and_print)


if __name__ == "__main__":
    main()
