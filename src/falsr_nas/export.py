"""``falsr-nas export MODEL falsr-a.onnx``: export for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from falsr_nas.cli.command import run_command
from falsr_nas.cli.config import Schemas
from falsr_nas.core.errors import UserError
from falsr_nas.core.plugins import load_plugins
from falsr_nas.core.settings import REQUIRED, CommandSettings, at_least, path
from falsr_nas.models.layout import ExportPrecision, Layout, runtime_of
from falsr_nas.models.names import model_path

if TYPE_CHECKING:
    from falsr_nas.benchmark.exported import Measured
    from falsr_nas.data.sources import ImageFile
    from falsr_nas.models.export import Exported

MOST_LOSS = 0.2
"""dB that an int8 model may lose on the benchmark, unless it is forced; our choice."""


@dataclass(frozen=True)
class ExportConfig(CommandSettings):
    """Settings of the command.

    Attributes:
        model: name of a shipped model, a ``.safetensors``, ``.ckpt`` or ``.pb`` file, a model's
            folder, or ``bicubic``.
        output: the file to write: ``.onnx``, ``.param`` (ncnn, with a ``.bin`` beside it), ``.pt2``
            (torch.export), ``.pt`` or ``.torchscript``, or ``.glsl`` (a shader for mpv).
        layout: RGB images, or the luma plane alone, which shaders always work on.
        precision: fp32, or int8 (ONNX only).
        calibration: folder of images from which int8 takes the ranges of values.
        benchmark: folder of a benchmark set, on which the exported model is measured. int8 needs
            it.
        force: write an int8 model that is slower than fp32 or loses more than 0.2 dB, too.
        threads: number of processor threads of the measurement, or None for all.
    """

    model: str = path(default=REQUIRED)
    output: str = path(default=REQUIRED)
    layout: Layout = Layout.rgb
    precision: ExportPrecision = ExportPrecision.fp32
    calibration: str | None = path(default=None)
    benchmark: str | None = path(default=None)
    force: bool = False
    threads: int | None = at_least(1, default=None, null="all")

    def __post_init__(self) -> None:
        if self.benchmark is not None and Path(self.output).suffix == ".glsl":
            raise UserError(f"output is {self.output}: leave out benchmark, only mpv runs shaders")
        if self.precision is ExportPrecision.fp32:
            return
        if Path(self.output).suffix != ".onnx":
            raise UserError(f"precision is int8 and output is {self.output}: int8 is .onnx only")
        for name, use in (("calibration", "to take ranges from"), ("benchmark", "to measure it")):
            if getattr(self, name) is None:
                raise UserError(f"precision is int8: give {name}=FOLDER of images {use}")


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """An exported model.

    Attributes:
        path: the file that was written.
        largest_difference: largest absolute difference between the outputs of the exported model
            and PyTorch's, which are in [0, 1]; for int8 that of the fp32 model it was made from;
            None for a shader, which is not run.
        measured: PSNR and time of the exported model; None without a benchmark.
        reference: those of fp32 ONNX for an int8 model, of PyTorch for the others.
        kept: nodes of an int8 model that stayed in fp32.
    """

    path: Path
    largest_difference: float | None
    measured: Measured | None = None
    reference: Measured | None = None
    kept: tuple[str, ...] = ()

    @property
    def psnr_lost(self) -> float | None:
        """DB that the exported model loses on the benchmark; None without one."""
        if self.measured is None or self.reference is None:
            return None
        return self.reference.psnr - self.measured.psnr


def export(config: ExportConfig) -> ExportedModel:
    """Export a model, compare it with PyTorch, measure it and write it.

    Raises:
        UserError: the model cannot be read or exported, the exported model disagrees with PyTorch,
            an int8 model is slower or loses more than 0.2 dB, or the file cannot be written.
    """
    from falsr_nas.benchmark.sets import benchmark_files

    load_plugins(config.plugins)
    runtime_of(Path(config.output))
    model_path(config.model)
    calibration, benchmark = (
        None if folder is None else benchmark_files(Path(folder))
        for folder in (config.calibration, config.benchmark)
    )
    import torch  # after the mistakes that are found without it

    from falsr_nas.benchmark.exported import measure
    from falsr_nas.inference.threads import processor_threads
    from falsr_nas.models.export import RgbUpscaler, convert_model
    from falsr_nas.models.model_file import find_model
    from falsr_nas.models.mpv_shader import write_shader

    model = find_model(config.model)
    output = Path(config.output)
    if output.suffix == ".glsl":
        write_shader(model, output)
        return ExportedModel(output, None)
    scale = model.network.scale
    reference = measured = None
    with processor_threads(config.threads):
        exported = convert_model(model, output, config.layout)
        if config.precision is ExportPrecision.int8:
            return _export_int8(config, exported, scale, calibration or [], benchmark or [])
        if benchmark is not None:
            rgb = config.layout is Layout.rgb
            runs = [RgbUpscaler(model.network).eval() if rgb else model.network, exported.run]
            with torch.inference_mode():
                reference, measured = measure(runs, exported.planes, scale, benchmark)
    exported.write()
    return ExportedModel(exported.path, exported.difference, measured, reference)


def _export_int8(
    config: ExportConfig,
    exported: Exported,
    scale: int,
    calibration: list[ImageFile],
    files: list[ImageFile],
) -> ExportedModel:
    """Quantise a converted model, measure both, and write it if it is good enough."""
    from falsr_nas.benchmark.exported import calibration_patches, measure
    from falsr_nas.core.files import write_atomically
    from falsr_nas.models.export import from_onnx
    from falsr_nas.models.int8 import quantise

    patches = calibration_patches(calibration, exported.planes, scale)
    content, kept = quantise(exported.files[".onnx"], patches)
    runs = [exported.run, from_onnx(content)]
    reference, measured = measure(runs, exported.planes, scale, files)
    result = ExportedModel(exported.path, exported.difference, measured, reference, kept)
    problems = rejections(reference, measured)
    if problems and not config.force:
        raise UserError(
            f"{exported.path} is not written: int8 {' and '.join(problems)}; force=true writes it"
        )
    write_atomically(exported.path, content)
    return result


def rejections(reference: Measured, int8: Measured) -> list[str]:
    """Return why an int8 model is not worth having; empty if it is."""
    lost = reference.psnr - int8.psnr
    problems = []
    if lost > MOST_LOSS:
        problems.append(f"loses {lost:.2f} dB (at most {MOST_LOSS} dB)")
    if int8.milliseconds >= reference.milliseconds:
        problems.append(
            f"takes {int8.milliseconds:.0f} ms where fp32 takes {reference.milliseconds:.0f} ms"
        )
    return problems


def _export_and_print(config: ExportConfig) -> None:
    exported = export(config)
    if exported.largest_difference is None:
        print(f"{exported.path}: mpv --glsl-shader={exported.path} VIDEO")
        return
    from falsr_nas.benchmark.exported import TIMED_SIZE
    from falsr_nas.models.export import CHECKED_SIZES

    runtime = runtime_of(exported.path)
    int8 = config.precision is ExportPrecision.int8
    sizes = ", ".join("x".join(map(str, size)) for size in CHECKED_SIZES)
    print(
        f"{exported.path}: {'before int8 ' if int8 else ''}in {runtime} at most"
        f" {exported.largest_difference:.1e} from PyTorch (N x H x W of {sizes})"
    )
    if exported.measured is None or exported.reference is None or config.benchmark is None:
        return
    height, width = TIMED_SIZE
    name = Path(config.benchmark).name
    rows = (
        (f"{runtime} fp32" if int8 else "PyTorch fp32", exported.reference),
        (f"{runtime} {config.precision}", exported.measured),
    )
    for form, score in rows:
        print(
            f"{form}: {score.psnr:.3f} dB on {name},"
            f" {score.milliseconds:.0f} ms for {width}x{height}"
        )
    print(
        f"lost: {exported.psnr_lost:.3f} dB"
        + (f"; {len(exported.kept)} nodes stayed in fp32" if int8 else "")
    )


def main() -> None:
    """Run the command."""
    schemas = Schemas(ExportConfig, {}, words=("model", "output"))
    run_command("export", schemas, _export_and_print)


if __name__ == "__main__":
    main()
