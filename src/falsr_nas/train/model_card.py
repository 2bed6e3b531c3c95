"""The model card, the ``README.md`` beside a trained model: scores, training settings and use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from falsr_nas.core.plugins import SETTING, loaded_plugins, plugins_of_settings
from falsr_nas.space.cost import genome_cost, input_side
from falsr_nas.space.genome import Genome

if TYPE_CHECKING:
    from falsr_nas.benchmark.scoring import ModelScore
    from falsr_nas.training.full_training import CurvePoint


def model_card(
    name: str,
    genome: Genome,
    recipe: Mapping[str, Any],
    curve: Sequence[CurvePoint],
    scores: ModelScore | None,
) -> str:
    """Return the card in Markdown.

    Args:
        name: name of the model.
        genome: the network.
        recipe: settings of the training by dotted names.
        curve: validation curve of the training, at least one point.
        scores: scores on benchmark sets; None if it was not scored.
    """
    cost, last = genome_cost(genome), curve[-1]
    scale, side = genome.scale, input_side(genome.scale)
    best = max(curve, key=lambda point: point.psnr)
    model = f"model={name}{_plugins(name, recipe)}"
    sections = [
        f"# {name}",
        f"An x{scale} super-resolution network of {cost.params:,} parameters and"
        f" {cost.mult_adds / 1e9:.2f} G mult-adds at {side}x{side} input.",
        f"    {genome}",
        "## Scores",
        f"Validation: {last.psnr:.3f} dB after {last.step:,} steps and"
        f" {last.seconds / 60:.0f} minutes (highest: {best.psnr:.3f} dB at step {best.step:,})."
        " This is the PSNR of the luma channel (studio range) with"
        f" {scale} pixels shaved. It compares"
        " networks on the same validation images and is not comparable with published results.",
        _benchmarks(scores),
        "## Training",
        "\n".join(
            [
                "| setting | value |",
                "|---|---|",
                *(f"| `{key}` | {value} |" for key, value in recipe.items()),
            ]
        ),
        "## Use",
        "Run in the parent folder of this one:",
        f"    python -m falsr_nas.upscale {model} input=photograph.jpg output=larger.png\n"
        f"    python -m falsr_nas.evaluate {model} data_root=benchmark 'sets=[Set5]'",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _plugins(name: str, recipe: Mapping[str, Any]) -> str:
    """Return the setting that names the plug-ins of the network's operators, if there are any."""
    needed = plugins_of_settings(recipe)
    given = [
        plugin.name if plugin.source is None else f"{name}/{SETTING}/{plugin.name}.py"
        for plugin in loaded_plugins()
        if plugin.name in needed
    ]
    return f" '{SETTING}=[{','.join(given)}]'" if given else ""


def _benchmarks(scores: ModelScore | None) -> str:
    if scores is None:
        return ""
    rows = [
        f"| PSNR/SSIM, protocol `{scores.protocol}` | "
        + " | ".join(scored.name for scored in scores.sets)
        + " |"
    ]
    rows.append("|---" * (len(scores.sets) + 1) + "|")
    rows.append(
        "| this model | "
        + " | ".join(f"{scored.mean.psnr:.2f}/{scored.mean.ssim:.4f}" for scored in scores.sets)
        + " |"
    )
    return "\n".join(rows)
