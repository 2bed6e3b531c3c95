"""``python -m falsr_nas.export model=falsr-a.safetensors output=falsr-a.onnx``: a model for other programs to run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING

from falsr_nas.cli.command import run_command
from falsr_nas.cli.config import Schemas
from falsr_nas.models.layout import Layout


@dataclass(frozen=True)
class ExportConfig:
    """Settings of the command.

    Attributes:
        model: a ``.safetensors``, ``.ckpt`` or ``.pb`` file, a model's folder, or ``bicubic``.
        output: the file to write: ``.onnx``, ``.pt2`` (torch.export), ``.pt`` or ``.torchscript``.
        layout: RGB images, or the luma plane alone.
    """

    model: str = MISSING
    output: str = MISSING
    layout: Layout = Layout.rgb


def export(config: ExportConfig) -> None:
    """Export, compare with PyTorch, write, and say so."""
    from falsr_nas.models.export import CHECKED, FORMS, export_model
    from falsr_nas.models.model_file import find_model

    target = Path(config.output).expanduser()
    difference = export_model(find_model(config.model), target, config.layout)
    sizes = ", ".join("x".join(map(str, size)) for size in CHECKED)
    print(
        f"{target}: in {FORMS[target.suffix].runtime} at most {difference:.1e} from PyTorch (N x H x W of {sizes})"
    )


def main() -> None:
    """The command."""
    run_command("export", Schemas(ExportConfig, {}), export, free_text=("model", "output"))


if __name__ == "__main__":
    main()
