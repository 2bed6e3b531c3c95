"""The mean of a surrogate from tables over a space's cells: thousands of networks at a time.

Most kernels of :mod:`falsr_nas.surrogate.gaussian_process` are sums over places of a function of
one cell or of two adjacent cells. Weighted and summed over the networks that the surrogate was
fitted to, each becomes a table with an entry for each of the space's cells, or for each pair. Only
two kernels remain to be computed for each pair of networks.
"""

from __future__ import annotations

import itertools

import numpy as np

from falsr_nas.space.encoding import Encoding, FloatArray, Networks
from falsr_nas.surrogate.gaussian_process import Surrogate

ROWS = 512
"""Networks that are compared at a time with those of the surrogate, to stay in the cache."""


class SurrogateTables:
    """Computes the mean of a surrogate for networks of a space.

    Args:
        surrogate: of networks of the space.
        encoding: of the space.
    """

    def __init__(self, surrogate: Surrogate, encoding: Encoding) -> None:
        space, fitted = encoding.space, surrogate.features
        covariance, vocabulary = surrogate.covariance, surrogate.vocabulary
        trend, self._cost, counts, places, cells, pairs, links, self._whole = (
            surrogate.variances.kernels
        )
        weights, n = surrogate.weights, space.n
        total = weights.sum()
        words = vocabulary.cell_features(space.distinct_cells)  # (|S|, A)
        alike = np.array([words @ own.T for own in fitted.cells])  # (n, |S|, N)
        sharp = alike**2
        means = covariance.places  # (n, A)
        # Tables of places, and what is the same for all networks.
        centred = ((fitted.cells - means[:, None]).sum(axis=0) * weights[:, None]).sum(axis=0)
        mean_of = np.einsum("pna,pa->n", fitted.cells, means)
        self._of_place = (
            counts * (words @ centred) / n
            + places * (alike @ weights - total * (means @ words.T)) / n
            + cells * (sharp @ weights) / n
        )
        constant = -counts * means.sum(axis=0) @ centred / n
        constant += places * (total * (means**2).sum() - mean_of @ weights) / n
        if n == 1:
            self._of_place += pairs * (sharp**2 @ weights)
        self._of_pair = pairs * np.array(
            [(a * weights) @ b.T / (n - 1) for a, b in itertools.pairwise(sharp)]
        )
        # Links and ends as the surrogate has them.
        self._genes = vocabulary.columns(space.link_places, space.ends)
        self._width = max(1, self._genes.shape[1])
        shifted = fitted.genes - covariance.share
        of_gene = links * (weights @ shifted + (weights * shifted.sum(axis=1)).sum()) / self._width
        constant -= covariance.share @ of_gene
        self._of_link = self._genes @ of_gene
        # The two kernels that do not become tables, and the trend.
        own = covariance.scaled_costs(fitted)
        self._center, self._spread = covariance.center, covariance.spread
        self._slope = trend * (weights @ own)
        self._constant = constant + trend * total
        self._words, self._n = words, n
        self._weights = weights.astype(np.float32)
        self._columns = np.vstack(
            [
                4 / n * fitted.cells.transpose(0, 2, 1).reshape(-1, len(own)),
                4 / self._width * fitted.genes.T,
                -2 / self._width * fitted.genes.sum(axis=1),
            ]
        ).astype(np.float32)
        self._near = np.vstack([own.T, -0.5 * (own**2).sum(axis=1)]).astype(np.float32)
        self._mean, self._unit = surrogate.psnr_mean, surrogate.unit

    def mean(self, networks: Networks, costs: FloatArray) -> FloatArray:
        """Return the PSNR (B,) that the surrogate predicts, in dB.

        Args:
            networks: of the space, as its encoding has them.
            costs: their parameters and mult-adds (B, 2).
        """
        blocks = [slice(first, first + ROWS) for first in range(0, len(networks), ROWS)]
        values = [self._block(networks[rows], costs[rows]) for rows in blocks]
        return np.concatenate([np.empty(0), *values])

    def _block(self, networks: Networks, costs: FloatArray) -> FloatArray:
        cells, n = networks.cells, self._n
        total = self._of_place[np.arange(n), cells].sum(axis=1)
        if n > 1:
            total += self._of_pair[np.arange(n - 1), cells[:, :-1], cells[:, 1:]].sum(axis=1)
        named = networks.links_and_ends()
        total += named @ self._of_link
        scaled = (np.log(costs) - self._center) / self._spread
        total += scaled @ self._slope + self._constant
        return np.asarray(self._mean + self._unit * (total + self._remaining(cells, named, scaled)))

    def _remaining(self, cells: np.ndarray, named: FloatArray, scaled: FloatArray) -> FloatArray:
        """Return what the kernels *cost* and *whole* add to the mean (B,)."""
        ones = np.ones(len(cells))
        near = np.column_stack([scaled, ones]).astype(np.float32) @ self._near
        near -= (0.5 * (scaled**2).sum(axis=1)[:, None]).astype(np.float32)
        genes = named @ self._genes
        rows = np.column_stack([self._words[cells].reshape(len(cells), -1), genes, ones])
        apart = rows.astype(np.float32) @ self._columns
        apart -= (4 + 2 / self._width * genes.sum(axis=1)[:, None]).astype(np.float32)
        apart += near
        kernels = self._whole * np.exp(apart) + self._cost * np.exp(near)
        return np.asarray(kernels @ self._weights, dtype=np.float64)
