"""A surrogate of the evaluator: a Gaussian process from genomes and costs to PSNR.

It predicts a network's PSNR with its uncertainty, and estimates from scores with noise what the
networks would score without it: a score is corrected by what networks of similar cost and similar
cells got. Usable alone::

    surrogate = fit(genomes, costs, psnr)
    mean, deviation = surrogate.predict(other_genomes, other_costs)
    surrogate.denoised  # PSNR (N,) of the given networks, without noise

It is linear in features of :data:`BLOCKS`, except for the last block, which has a Gaussian kernel.
Each block has a variance, which is fitted, with that of the noise, by the marginal likelihood
(Rasmussen and Williams, 2006, 2.1 and 5.4.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, lapack, solve_triangular
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

from falsr_nas.space.cell import Cell
from falsr_nas.space.cost import Cost
from falsr_nas.space.encoding import FloatArray, Networks, attributes_of
from falsr_nas.space.genome import Genome

BLOCKS = ("costs", "counts", "places", "cells", "neighbours", "links", "whole")
"""The blocks of features: a quadratic function of log parameters and log mult-adds; how many cells
have which attribute (operator, channels, kernel, repeats, residual); which attribute is at which
place; pairs of attributes of one cell; pairs of attributes of adjacent cells; which links and ends
a network has, and how many links; and costs, places and links once more, for similarity as a
whole."""

MOST_FITTED = 400
"""Networks, evenly spaced among those given, by which the variances are fitted."""

ITERATIONS = 40
"""Most steps of the fit of the variances."""


@dataclass(frozen=True)
class Variances:
    """Variances of the blocks and of the noise, in units of the variance of the PSNR.

    Attributes:
        blocks: one for each of :data:`BLOCKS`.
        noise: that of independent noise.
    """

    blocks: tuple[float, ...] = (1.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)
    noise: float = 0.2


class Features:
    """Turns networks into blocks of features, which are 0 on average over given networks.

    An attribute, link or end that none of these has is ignored in others.

    Args:
        genomes: at least one.
        costs: their costs.
        n: the largest number of cells; None where all networks have as many as the first.

    Attributes:
        n: the number of cells.
    """

    def __init__(
        self, genomes: Sequence[Genome], costs: Sequence[Cost], n: int | None = None
    ) -> None:
        self.n = genomes[0].n if n is None else n
        self._least = self.n if n is None else 1
        networks = Networks.of(genomes, self.n)
        self._attributes = _numbered(
            word for cell in networks.cell_table for word in attributes_of(cell.canonical())
        )
        used = networks.links_and_ends().sum(axis=0)
        names = zip(_gene_names(networks), used, strict=True)
        self._genes = _numbered(name for name, count in names if count)
        logs = _logs(costs)
        self._center, self._spread = logs.mean(axis=0), np.maximum(logs.std(axis=0), 1e-3)
        self._means = [np.zeros(())] * len(BLOCKS)
        self._means = [block.mean(axis=0) for block in self.of(genomes, costs)]

    def of(self, genomes: Sequence[Genome], costs: Sequence[Cost]) -> list[FloatArray]:
        """Return the blocks (N, P) of networks. Raises ValueError for another number of cells."""
        if any(not self._least <= genome.n <= self.n for genome in genomes):
            raise ValueError(f"the surrogate compares networks of {self.n} cells")
        networks, n = Networks.of(genomes, self.n), self.n
        cells = self.cells(networks.cell_table)[networks.cells]  # (N, n, A)
        pairs = np.einsum("npa,npb->nab", cells, cells)
        adjacent = np.einsum("npa,npb->nab", cells[:, :-1], cells[:, 1:])
        genes = networks.links_and_ends() @ self._columns(networks)
        links = np.hstack([genes, genes.sum(axis=1, keepdims=True)])
        scaled = (_logs(costs) - self._center) / self._spread
        a, b = scaled.T
        places = _flat(cells) / math.sqrt(n)
        genes = genes / math.sqrt(max(1, genes.shape[1]))
        whole = np.hstack([scaled, 2 * places, 2 * genes])
        blocks = (
            np.column_stack([scaled, a * a, a * b, b * b]),
            cells.sum(axis=1) / math.sqrt(n),
            places,
            _flat(pairs) / math.sqrt(n),
            _flat(adjacent) / math.sqrt(n),
            links / math.sqrt(links.shape[1]),
            whole,
        )
        return [block - mean for block, mean in zip(blocks, self._means, strict=True)]

    def cells(self, cells: Sequence[Cell]) -> FloatArray:
        """Return the attributes (N, A) of cells as vectors of norm 1 at most."""
        rows = np.zeros((len(cells), len(self._attributes)))
        for row, cell in zip(rows, cells, strict=True):
            words = attributes_of(cell.canonical())  # an attribute without effect is as without
            known = [self._attributes[word] for word in words if word in self._attributes]
            row[known] = 1 / math.sqrt(len(words))
        return rows

    def _columns(self, networks: Networks) -> FloatArray:
        """Return which gene each link and pair of ends is, as 0 and 1 (L + E, G)."""
        names = _gene_names(networks)
        columns = np.zeros((len(names), len(self._genes)))
        for row, name in zip(columns, names, strict=True):
            if name in self._genes:
                row[self._genes[name]] = 1
        return columns


class Surrogate:
    """A fitted Gaussian process; made by :func:`fit`.

    Attributes:
        variances: of its blocks and noise.
        denoised: the PSNR (N,) that it estimates the given networks to have without noise.
        noise: standard deviation of the noise in dB.
        features: makes the features of networks.
    """

    def __init__(
        self,
        genomes: Sequence[Genome],
        costs: Sequence[Cost],
        psnr: FloatArray,
        variances: Variances,
        n: int | None = None,
    ) -> None:
        self.variances = variances
        self.features = Features(genomes, costs, n)
        self._mean, self._unit = float(psnr.mean()), _deviation(psnr)
        self._known = self.features.of(genomes, costs)
        noisy = self._covariance(self._known, self._known)
        noisy[np.diag_indices_from(noisy)] += variances.noise
        self._factor = cholesky(noisy, lower=True)
        self._weights = cho_solve((self._factor, True), (psnr - self._mean) / self._unit)
        self.denoised: FloatArray = psnr - self._unit * variances.noise * self._weights
        self.noise = self._unit * math.sqrt(variances.noise)

    def predict(
        self, genomes: Sequence[Genome], costs: Sequence[Cost]
    ) -> tuple[FloatArray, FloatArray]:
        """Return the PSNR without noise of networks, and its standard deviation: (N,) and (N,)."""
        posterior = self.posterior(genomes, costs)
        return posterior.mean, posterior.deviation

    def posterior(self, genomes: Sequence[Genome], costs: Sequence[Cost]) -> Posterior:
        """Return the joint distribution of the PSNR without noise of networks."""
        blocks = self.features.of(genomes, costs)
        shared = self._covariance(self._known, blocks)
        explained = solve_triangular(self._factor, shared, lower=True)
        # Those of a network with itself: 1 for the mean, and of the Gaussian kernel.
        *linear, whole = self.variances.blocks
        squares = ((block**2).sum(axis=1) for block in blocks[:-1])
        own = 1 + whole + sum(v * one for v, one in zip(linear, squares, strict=True))

        def covariance(i: int) -> FloatArray:
            prior = self._covariance(blocks, [block[i : i + 1] for block in blocks])[:, 0]
            return np.asarray(self._unit**2 * (prior - explained.T @ explained[:, i]))

        mean = self._mean + self._unit * (shared.T @ self._weights)
        variance = self._unit**2 * np.maximum(own - (explained**2).sum(axis=0), 0)
        return Posterior(mean, variance, covariance, self.noise**2)

    def _covariance(self, a: list[FloatArray], b: list[FloatArray]) -> FloatArray:
        """Return the covariance (N, M) between networks, 1 of which is that of the mean."""
        parts = zip(self.variances.blocks, kernels(a, b), strict=True)
        return np.asarray(1 + sum(variance * part for variance, part in parts))


class Posterior:
    """The joint normal distribution of the PSNR without noise of networks.

    Args:
        mean: expected PSNR (N,) in dB, also an attribute.
        variance: its variances (N,).
        covariance: returns the covariances (N,) of all networks with one of them, by its index.
        noise: variance of the noise of a score.
    """

    def __init__(
        self,
        mean: FloatArray,
        variance: FloatArray,
        covariance: Callable[[int], FloatArray],
        noise: float,
    ) -> None:
        self.mean = mean
        self._variance = variance
        self._covariance = covariance
        self._noise = noise
        self._learnt: list[FloatArray] = []  # what each network to be evaluated explains

    @property
    def deviation(self) -> FloatArray:
        """Standard deviation (N,) in dB."""
        return np.sqrt(self._variance)

    def evaluate(self, i: int) -> None:
        """Reduce the deviations by what a score of network ``i`` will tell of it and of others.

        The means stay, as the score is not known yet.
        """
        column = self._covariance(i)
        for known in self._learnt:
            column = column - known * known[i]
        explained = column / math.sqrt(max(column[i], 0.0) + self._noise)
        self._learnt.append(explained)
        self._variance = np.maximum(self._variance - explained**2, 0)


def fit(
    genomes: Sequence[Genome],
    costs: Sequence[Cost],
    psnr: Sequence[float] | FloatArray,
    variances: Variances | None = None,
    n: int | None = None,
) -> Surrogate:
    """Fit a surrogate to scored networks.

    Args:
        genomes: at least two networks.
        costs: their costs.
        psnr: their scores in dB.
        variances: of blocks and noise; None to fit them, too.
        n: the largest number of cells of networks; None where all have the same.

    Raises:
        ValueError: there are fewer than two networks, or the lengths differ.
    """
    target = np.asarray(psnr, dtype=np.float64)
    if not 2 <= len(genomes) == len(costs) == len(target):
        raise ValueError("give at least two genomes, and as many costs and scores")
    if variances is None:
        variances = fitted_variances(genomes, costs, target, n)
    return Surrogate(genomes, costs, target, variances, n)


def fitted_variances(
    genomes: Sequence[Genome], costs: Sequence[Cost], psnr: FloatArray, n: int | None = None
) -> Variances:
    """Return the variances of the largest posterior density.

    The prior of each logarithm is normal around that of the default, with a deviation of 1.5, so
    that few networks do not lead to extreme values. Of more than MOST_FITTED networks, evenly
    spaced ones are used.
    """
    rows = np.unique(np.linspace(0, len(genomes) - 1, MOST_FITTED).round().astype(int))
    genomes, costs, psnr = [genomes[i] for i in rows], [costs[i] for i in rows], psnr[rows]
    blocks = Features(genomes, costs, n).of(genomes, costs)
    parts = kernels(blocks, blocks)
    parts.append(np.eye(len(rows)))
    target = (psnr - psnr.mean()) / _deviation(psnr)
    start = np.log([*Variances().blocks, Variances().noise])
    width = 1.5

    def loss(logs: FloatArray) -> tuple[float, FloatArray]:
        """Return the negative log posterior and its gradient."""
        scales = np.exp(logs)
        total = 1 + sum(scale * part for scale, part in zip(scales, parts, strict=True))
        factor = cholesky(total, lower=True)
        weights = cho_solve((factor, True), target)
        lower, _ = lapack.dpotri(factor, lower=1)
        inverse = np.tril(lower) + np.tril(lower, -1).T
        pull = inverse - np.outer(weights, weights)
        slopes = np.array([0.5 * np.vdot(pull, part) for part in parts]) * scales
        value = 0.5 * target @ weights + np.log(np.diag(factor)).sum()
        away = (logs - start) / width
        return float(value + 0.5 * away @ away), slopes + away / width

    bounds = [(-12.0, 5.0)] * (len(start) - 1) + [(-6.0, 2.0)]
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": ITERATIONS}
    )
    *fitted, noise = (float(value) for value in np.exp(found.x))
    return Variances(tuple(fitted), noise)


def kernels(a: list[FloatArray], b: list[FloatArray]) -> list[FloatArray]:
    """Return the kernel of each block between networks: matrices (N, M)."""
    distance = cdist(a[-1], b[-1], "sqeuclidean")
    return [*(x @ y.T for x, y in zip(a[:-1], b[:-1], strict=True)), np.exp(-distance / 2)]


def _flat(array: FloatArray) -> FloatArray:
    """(N, A, B) -> (N, A B), for no networks, too."""
    return array.reshape(len(array), math.prod(array.shape[1:]))


def _logs(costs: Sequence[Cost]) -> FloatArray:
    return np.log([(cost.params, cost.mult_adds) for cost in costs]).reshape(-1, 2)


def _gene_names(networks: Networks) -> list[tuple[object, ...]]:
    """Return names of links and of pairs of ends."""
    ends = (("ends", str(pair)) for pair in networks.ends_table)
    return [*(("link", *place) for place in networks.places), *ends]


def _numbered(words: Iterable[Hashable]) -> dict[Hashable, int]:
    return {word: i for i, word in enumerate(sorted(set(words), key=str))}


def _deviation(psnr: FloatArray) -> float:
    """Return the standard deviation of scores in dB; 1 where they are all equal."""
    return float(psnr.std()) or 1.0
