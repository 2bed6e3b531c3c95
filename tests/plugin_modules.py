"""Plug-ins of the project as modules: their names are registered in this process."""

from pathlib import Path
from types import ModuleType

from falsr_nas.core.plugins import load_plugins
from falsr_nas.evaluation.synthetic import SyntheticEvaluator

PLUGINS = Path(__file__).parents[1] / "plugins"


def plugin_module(name: str) -> ModuleType:
    """Load ``plugins/<name>.py``, unless it is loaded, and return its module."""
    (plugin,) = load_plugins(PLUGINS / f"{name}.py")
    return plugin.module


def random_landscape(landscape: int, *, noise: float, seed: int) -> SyntheticEvaluator:
    """Return the evaluator of a random landscape."""
    module = plugin_module("random_landscape")
    settings = module.RandomLandscapeSettings(landscape=landscape, noise=noise)
    truth = module.RandomLandscape(landscape)
    return SyntheticEvaluator(settings, seed, psnr=truth.psnr)
