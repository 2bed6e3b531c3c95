"""Settings of tracking, without heavy imports."""

from __future__ import annotations

from dataclasses import dataclass

from falsr_nas.core.errors import UserError
from falsr_nas.core.settings import Settings

MODES = ("none", "offline", "online")


@dataclass(frozen=True)
class TrackingSettings(Settings, group="tracking"):
    """Settings of Weights & Biases (W&B).

    Attributes:
        mode: ``none`` for no tracking; ``offline`` for files in the run folder, which ``wandb
            sync`` can upload later; ``online``, which needs an API key.
        project: W&B project.
        entity: W&B user or team; None for the default of the account.
        group: name under which W&B groups runs; None for one group per search, named after its run
            folder.
        tags: tags of the run.

    Raises:
        UserError: the mode is unknown.
    """

    mode: str = "offline"
    project: str = "falsr-nas"
    entity: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UserError(f"tracking.mode is {self.mode!r}: choose one of {', '.join(MODES)}")
        object.__setattr__(self, "tags", tuple(self.tags))  # configs contain lists
