"""Settings of tracking. No heavy imports."""

from __future__ import annotations

from dataclasses import dataclass

from falsr_nas.errors import UserError

MODES = ("none", "offline", "online")


@dataclass(frozen=True)
class TrackingSettings:
    """Where a search reports to.

    Attributes:
        mode: ``none``; ``offline``, files in the run folder that ``wandb sync`` can send later;
            ``online``, which needs an API key.
        project: of W&B.
        entity: W&B user or team; None for the account's own.
        group: under which W&B shows the runs of a study together; None for one group a search,
            named after its folder.
        tags: of the run.

    Raises:
        UserError: the mode is none of these.
    """

    mode: str = "offline"
    project: str = "falsr-nas"
    entity: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UserError(f"tracking.mode is {self.mode!r}: choose one of {', '.join(MODES)}")
        object.__setattr__(self, "tags", tuple(self.tags))  # configs bring lists
