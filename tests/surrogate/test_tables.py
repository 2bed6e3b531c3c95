"""The tables against the surrogate's own mean."""

import numpy as np
import pytest

from falsr_nas.space.cost import genome_cost
from falsr_nas.space.encoding import Encoding
from falsr_nas.space.search_space import SearchSpace
from falsr_nas.surrogate.gaussian_process import Variances, fit
from falsr_nas.surrogate.tables import ROWS, SurrogateTables
from plugin_modules import random_landscape

SPACES = {
    "paper": SearchSpace(),
    "several ends": SearchSpace(n=3, stems=(8, 12, 32), upsamplers=("paper", "subpixel")),
    "one cell": SearchSpace(n=1, residuals=(True,)),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_the_mean_is_that_of_the_surrogate(space: SearchSpace) -> None:
    rng, landscape = np.random.default_rng(0), random_landscape(0, noise=0.0, seed=0)
    genomes = [space.sample(rng) for _ in range(60 + ROWS + 40)]
    costs = [genome_cost(genome) for genome in genomes]
    psnr = [landscape.psnr(genome) for genome in genomes[:60]]
    # All kernels matter, and of the ends and cells of the others some are not known.
    surrogate = fit(genomes[:60], costs[:60], psnr, Variances((0.5,) * 8, 0.1))
    encoding = Encoding(space)
    genes = encoding.encode(genomes[60:])
    mean, _ = surrogate.predict(genomes[60:], costs[60:])
    tables = SurrogateTables(surrogate, encoding).mean(genes, encoding.costs(genes))
    assert tables == pytest.approx(mean, abs=1e-4)
    assert mean.std() > 0.1
