"""Settings that had another name in an earlier version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED = {
    "training.rate": "training.learning_rate",
    "training.batch": "training.batch_size",
    "training.patch": "training.patch_size",
    "controller.population": "controller.population_size",
    "controller.policy.rate": "controller.policy.learning_rate",
    "controller.policy.batch": "controller.policy.batch_size",
}
"""Old dotted name -> new one. Version 0.1 wrote the old names into its run folders."""


def with_current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their dotted names, with those of an earlier version replaced by today's."""
    return {RENAMED.get(name, name): value for name, value in settings.items()}
