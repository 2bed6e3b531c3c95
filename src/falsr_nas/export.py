"""``python -m falsr_nas.export model=... output=falsr-a.onnx``: export for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING

from falsr_nas.cli.command import run_command
from falsr_nas.cli.config import Schemas
from falsr_nas.cli.settings import Settings
from falsr_nas.errors import UserError
from falsr_nas.models.layout import Layout


@dataclass(frozen=True)
class ExportConfig(Settings):
    """Settings of the command.

    Attributes:
        model: a ``.safetensors``, ``.ckpt`` or ``.pb`` file, a model's folder, or ``bicubic``.
        output: the file to write: ``.onnx``, ``.pt2`` (torch.export), ``.pt`` or ``.torchscript``.
        layout: RGB images, or the luma plane alone.

    Raises:
        UserError: the layout is unknown.
    """

    model: str = MISSING
    output: str = MISSING
    layout: Layout = Layout.rgb

    def __post_init__(self) -> None:
        if self.layout not in set(Layout):
            raise UserError(f"layout is {self.layout}: choose one of {', '.join(Layout)}")
        object.__setattr__(self, "layout", Layout(self.layout))  # may be a plain str


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """An exported model.

    Attributes:
        path: the file that was written.
        largest_difference: largest absolute difference between the outputs of the exported model
            and PyTorch's, which are in [0, 1].
    """

    path: Path
    largest_difference: float


def export(config: ExportConfig) -> ExportedModel:
    """Export a model, compare it with PyTorch, and write it.

    Raises:
        UserError: the model cannot be read or exported, the exported model disagrees with PyTorch,
            or the file cannot be written.
    """
    from falsr_nas.models.export import export_model
    from falsr_nas.models.model_file import find_model

    target = Path(config.output).expanduser()
    return ExportedModel(target, export_model(find_model(config.model), target, config.layout))


def _export_and_print(config: ExportConfig) -> None:
    from falsr_nas.models.export import CHECKED_SIZES, FORMATS

    exported = export(config)
    sizes = ", ".join("x".join(map(str, size)) for size in CHECKED_SIZES)
    print(
        f"{exported.path}: in {FORMATS[exported.path.suffix].runtime} at most"
        f" {exported.largest_difference:.1e} from PyTorch (N x H x W of {sizes})"
    )


def main() -> None:
    """Run the command."""
    run_command(
        "export", Schemas(ExportConfig, {}), _export_and_print, free_text=("model", "output")
    )


if __name__ == "__main__":
    main()
