"""The limits of a search, as settings. No heavy imports."""

from __future__ import annotations

from dataclasses import dataclass

from falsr_nas.core.errors import UserError
from falsr_nas.core.settings import Settings, positive


@dataclass(frozen=True)
class Constraints(Settings, group="constraints"):
    """The limits of a search (paper, II).

    Networks beyond a limit on costs are never trained, since it is known beforehand what they cost.

    Attributes:
        max_mult_adds: maximum mult-adds at 1280x720 output, in G; None for no limit.
        min_mult_adds: minimum mult-adds, in G; None for no limit. Short trainings favour small
            networks: for the best network of a budget, compare networks of about that cost.
        max_params: maximum number of parameters, in K; None for no limit.
        max_latency_ms: maximum latency in ms, as the profile of a device predicts it; None for no
            limit.
        min_psnr: minimum PSNR on the validation images, in dB; None for no limit. A network that
            meets it dominates every network that does not.

    Raises:
        UserError: a limit is not positive, or the minimum is above the maximum.
    """

    max_mult_adds: float | None = positive(unit="G", default=None, null="no limit")
    min_psnr: float | None = None
    max_params: float | None = positive(unit="K", default=None, null="no limit")
    max_latency_ms: float | None = positive(unit="ms", default=None, null="no limit")
    min_mult_adds: float | None = positive(unit="G", default=None, null="no limit")

    def __post_init__(self) -> None:
        least, most = self.min_mult_adds, self.max_mult_adds
        if least is not None and most is not None and least > most:
            raise UserError(
                f"constraints.min_mult_adds is {least:g} G: it must not be above max_mult_adds,"
                f" which is {most:g} G"
            )
