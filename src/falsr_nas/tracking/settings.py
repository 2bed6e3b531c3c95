"""Settings of tracking, without heavy imports."""

from __future__ import annotations

from dataclasses import dataclass

from falsr_nas.core.settings import Settings, one_of

MODES = ("none", "offline", "online")


@dataclass(frozen=True)
class TrackingSettings(Settings, group="tracking"):
    """Where metrics are recorded: Weights & Biases (W&B).

    Attributes:
        mode: ``none`` for no tracking; ``offline`` for files in the run folder, which ``wandb
            sync`` can upload later; ``online`` needs an API key.
        project: W&B project.
        entity: W&B user or team; None for the default of the account.
        group: name under which W&B groups runs; None for one group per search or sweep, named after
            its run folder.
        tags: tags of the run.
    """

    mode: str = one_of(MODES, default="offline")
    project: str = "falsr-nas"
    entity: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
