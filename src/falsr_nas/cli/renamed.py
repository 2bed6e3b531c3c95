"""Settings that changed since an earlier version, so that its run folders can be resumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED = {
    "space.stem": "space.stems",
    "training.rate": "training.learning_rate",
    "training.batch": "training.batch_size",
    "training.patch": "training.patch_size",
    "controller.population": "controller.population_size",
    "controller.policy.rate": "controller.policy.learning_rate",
    "controller.policy.batch": "controller.policy.batch_size",
}
"""Old dotted name -> new one. Version 0.1 wrote the old names into its run folders."""

NOW_LISTS = ("space.stem",)
"""Old names whose value is now a list of choices."""

ADDED: dict[str, Any] = {
    "controller.crossover": "single_point",
    "evaluator.common_patches": False,
    "evaluator.common_weights": False,
    "training.expansion": None,
    "space.upsamplers": ["paper"],
    "space.scale": 2,
    "rungs.epochs": [],
    "rungs.keep": [],
    "inheritance.share": None,
    "fresh_scores": 0,
    "controller.screening": 1,
    "controller.adaptive": False,
    "controller.truncation": "crowding",
    "controller.exploration.p_attribute": 0.0,
    "controller.generations": 1,
    "controller.sampler": "nsga2",
    "evaluator.landscape": None,
    "objectives": ["psnr", "mult_adds", "params"],
    "latency": None,
    "constraints.max_params": None,
    "constraints.min_mult_adds": None,
    "constraints.max_latency_ms": None,
}
"""Settings that version 0.1 did not have, with the value that does what it did."""


def with_current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by dotted names, with those of an earlier version replaced by today's."""
    return {
        RENAMED.get(name, name): [value] if name in NOW_LISTS else value
        for name, value in settings.items()
    }


def brought_up_to_date(stored: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored settings as today's version would have stored them.

    Args:
        stored: settings by dotted names, perhaps of an earlier version.
        current: settings that they are compared with; those of :data:`ADDED` that these have are
            added to the stored ones.
    """
    added = {name: value for name, value in ADDED.items() if name in current}
    return added | with_current_names(stored)
