"""The least and the largest number of an objective over a search space."""

from __future__ import annotations

import numpy as np

from falsr_nas.core.errors import UserError
from falsr_nas.objectives.objective import MULT_ADDS, PARAMS, Objective
from falsr_nas.space.cost import genome_cost, input_pixels
from falsr_nas.space.enumeration import heaviest, lightest
from falsr_nas.space.search_space import SearchSpace

PROBES = 256
"""Random networks by which the range of an objective over a space is estimated; our choice."""


def cost_range(
    objective: Objective, space: SearchSpace, max_mult_adds: float | None
) -> tuple[float, float]:
    """Return the least and the largest number of an objective that a search may propose.

    Args:
        objective: other than PSNR.
        space: the search space.
        max_mult_adds: maximum mult-adds, or None for no limit.
    """
    if objective not in (MULT_ADDS, PARAMS):
        return value_range(objective, space)
    by = "params" if objective == PARAMS else "mult_adds"
    least, most = (getattr(genome_cost(of(space, by)), by) for of in (lightest, heaviest))
    if max_mult_adds is None:
        return least, most
    # A weight is used at least once per pixel on which layers work, so that a limit on mult-adds is
    # one on weights. (Biases are not counted: a few percent, clipped by ``Problem.unit``.)
    density = min(ends.density for ends in space.ends) if objective == PARAMS else 0
    limit = max_mult_adds / (density * input_pixels(space.scale)) if density else max_mult_adds
    return least, int(max(least, min(most, limit)))


def value_range(objective: Objective, space: SearchSpace) -> tuple[float, float]:
    """Return the least and the largest number of an objective over a space, nearly.

    They are those of the lightest and the heaviest network and of PROBES random ones.

    Raises:
        UserError: a number is not finite, or not positive although the objective is logarithmic.
    """
    rng = np.random.default_rng(0)
    drawn = [lightest(space), heaviest(space), *(space.sample(rng) for _ in range(PROBES))]
    values = [float(objective.measure(genome, genome_cost(genome))) for genome in drawn]
    for genome, value in zip(drawn, values, strict=True):
        if not np.isfinite(value) or (objective.logarithmic and value <= 0):
            allowed = "positive and finite" if objective.logarithmic else "finite"
            raise UserError(
                f"the objective {objective.name} must be {allowed}: {value} of {genome}"
            )
    return min(values), max(values)
