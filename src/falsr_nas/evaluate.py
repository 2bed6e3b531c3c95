"""``falsr-nas evaluate MODEL FOLDER``: PSNR and SSIM on benchmark sets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.cli.command import run_command
from falsr_nas.cli.config import Schemas
from falsr_nas.cli.console import console, progress_bars
from falsr_nas.core.errors import UserError
from falsr_nas.core.plugins import load_plugins
from falsr_nas.core.settings import REQUIRED, CommandSettings, at_least, path
from falsr_nas.models.names import model_path
from falsr_nas.models.runtime_choice import Precision, Runtime, check_runtime

if TYPE_CHECKING:
    from falsr_nas.benchmark.scoring import ModelScore
    from falsr_nas.data.sources import ImageFile


@dataclass(frozen=True)
class EvaluateConfig(CommandSettings):
    """Settings of the command.

    Attributes:
        model: name of a shipped model, a ``.safetensors``, ``.ckpt``, ``.pb`` or ``.onnx`` file, a
            model's folder, or ``bicubic``.
        data_root: the folder that holds the sets; None for the photographs of scikit-image on which
            searches are validated by default.
        sets: folders in ``data_root``, or absolute paths of folders. A set consists of HR/LR pairs,
            or of HR images alone.
        degradations: what the low-resolution images are put through before they are upscaled:
            ``bicubic`` (nothing), ``jpeg60``, ``jpeg60-444``, ``webp60`` (any quality), or
            ``photo``, as ``degradation=photo`` of trainings. Sets are scored under each.
        protocol: the scoring protocol.
        self_ensemble: average outputs over the eight flips and rotations of each image.
        memory_limit: MiB for activations; larger images are upscaled in tiles.
        threads: number of processor threads, or None for all.
        runtime: what computes the network: ``torch``, ``onnxruntime`` or ``openvino``; ``auto``
            takes the fastest that is installed and is as accurate.
        precision: ``fp32``, or ``bf16``, which is rounder and faster where the processor has it;
            ``auto`` takes it where the result keeps to the levels of float32.
        output: JSON file to write the scores to, or None.
        save_images: folder to write the upscaled images to, or None.
    """

    model: str = path(default=REQUIRED)
    data_root: str | None = path(default=None)
    sets: tuple[str, ...] = path(default=("Set5", "Set14"))
    degradations: tuple[str, ...] = ("bicubic",)
    protocol: ScoringProtocol = ScoringProtocol.standard
    self_ensemble: bool = False
    memory_limit: int = at_least(1, unit="MiB", default=3072)
    threads: int | None = at_least(1, default=None, null="all")
    runtime: Runtime = Runtime.torch
    precision: Precision = Precision.fp32
    output: str | None = path(default=None)
    save_images: str | None = path(default=None)

    def __post_init__(self) -> None:
        check_runtime(self.runtime, self.precision)
        if self.data_root is None and self.sets != EvaluateConfig.sets:
            raise UserError("sets are folders in data_root: give data_root=FOLDER, too")
        names = [Path(name).name for name in self.sets]
        if not names or not all(names):
            raise UserError(
                "sets is empty: name at least one folder in data_root, e.g. sets=[Set5,Set14]"
            )
        if not self.degradations or len(set(self.degradations)) < len(self.degradations):
            raise UserError(
                f"degradation is {list(self.degradations)}: give different ones, such as"
                " bicubic,jpeg60"
            )
        if len(set(names)) < len(names):
            raise UserError(f"sets names a folder twice: {list(self.sets)}")


def evaluate(config: EvaluateConfig, *, progress: bool = False) -> ModelScore:
    """Score a model on benchmark sets, and write the files that the config names.

    Args:
        config: the model, the sets and how to score.
        progress: show a progress bar on standard error, if that is a terminal.

    Returns:
        The mean scores of each set and the scores of each image.

    Raises:
        UserError: the model or an image cannot be read, a file cannot be written, or
            ``memory_limit`` is too small for the model.
    """
    load_plugins(config.plugins)
    model_path(config.model)
    files = _sets(config)
    # After the mistakes that are found without torch.
    from falsr_nas.benchmark.scoring import score_model, to_json
    from falsr_nas.core.files import write_atomically
    from falsr_nas.data.degradations import degradation_named
    from falsr_nas.data.identity import digest_of
    from falsr_nas.inference.memory import MIB
    from falsr_nas.inference.threads import processor_threads
    from falsr_nas.models.model_file import find_model

    sets = {}
    for degradation in config.degradations:
        degradation_named(degradation)  # that there is one
        for name, images in files.items():
            label = name if degradation == "bicubic" else f"{name} {degradation}"
            sets[label] = [replace(file, degradation=degradation) for file in images]
    model = find_model(config.model)
    folder = None if config.save_images is None else Path(config.save_images)
    with processor_threads(config.threads), progress_bars(progress) as bars:
        model = model.in_runtime(config.runtime, config.precision)
        bar = bars.add_task(model.name, total=sum(map(len, sets.values())))
        result = score_model(
            model,
            sets,
            config.protocol,
            memory_limit=config.memory_limit * MIB,
            self_ensemble=config.self_ensemble,
            save_images=folder,
            on_image=lambda name: bars.update(bar, advance=1, description=name),
        )
    if config.output is not None:
        scores = to_json(result)
        for name, images in sets.items():  # a score is of these images, wherever they are
            scores["sets"][name]["sha256"] = digest_of(images)
        content = json.dumps(scores, indent=2, allow_nan=False) + "\n"
        write_atomically(Path(config.output), content.encode())
    return result


def _sets(config: EvaluateConfig) -> Mapping[str, Sequence[ImageFile]]:
    from falsr_nas.benchmark.sets import benchmark_sets
    from falsr_nas.data.settings import PhotographsSettings
    from falsr_nas.data.sources import find_images

    if config.data_root is None:
        return {"photographs": find_images(PhotographsSettings()).val}
    return benchmark_sets(Path(config.data_root), config.sets)


def _evaluate_and_print(config: EvaluateConfig) -> None:
    from falsr_nas.inference.memory import keep_freed_memory

    keep_freed_memory()
    scores = evaluate(config, progress=True)
    from falsr_nas.benchmark.scoring import score_table

    console().print(score_table(scores))


def main() -> None:
    """Run the command."""
    schemas = Schemas(
        EvaluateConfig, {}, words=("model", "data_root"), aliases={"degradation": "degradations"}
    )
    run_command("evaluate", schemas, _evaluate_and_print)


if __name__ == "__main__":
    main()
