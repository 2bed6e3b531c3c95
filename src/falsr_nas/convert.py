"""``python -m falsr_nas.convert input=FALSR-A.pb output=falsr-a.safetensors``: any model file as the project's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING

from falsr_nas.cli.command import run_command
from falsr_nas.cli.config import Schemas


@dataclass(frozen=True)
class ConvertConfig:
    """Settings of the command.

    Attributes:
        input: a frozen FALSR graph (``.pb``), a Lightning checkpoint (``.ckpt``), a ``.safetensors`` file or a model's folder.
        output: the ``.safetensors`` file to write, or a folder: a name without an ending, or one that ends in ``/``.
    """

    input: str = MISSING
    output: str = MISSING


def convert(config: ConvertConfig) -> None:
    """Read, write, and print what it was."""
    from falsr_nas.models.model_file import load_model, save_model
    from falsr_nas.models.pretrained import save_pretrained
    from falsr_nas.networks.profile import network_cost

    target = Path(config.output).expanduser()
    model = load_model(Path(config.input).expanduser())
    if config.output.endswith("/") or not target.suffix or target.is_dir():
        save_pretrained(model, target)
    else:
        save_model(target, model.network, model.provenance)
    cost = network_cost(model.network)
    print(
        f"{target}: {cost.params:,} parameters, {cost.mult_adds / 1e9:.2f} G mult-adds at 480x480 input"
    )


def main() -> None:
    """The command."""
    run_command("convert", Schemas(ConvertConfig, {}), convert, free_text=("input", "output"))


if __name__ == "__main__":
    main()
