"""A surrogate of the evaluator: a Gaussian process from genomes and costs to PSNR.

It predicts a network's PSNR with its uncertainty, and estimates from scores with noise what the
networks would score without it: a score is corrected by what networks of similar cost and similar
cells got. Usable alone::

    surrogate = fit(genomes, costs, psnr)
    mean, deviation = surrogate.predict(other_genomes, other_costs)
    surrogate.denoised  # PSNR (N,) of the given networks, without noise

The covariance of two networks is a sum of kernels, each scaled by a variance that is fitted, with
that of the noise, by the marginal likelihood (Rasmussen and Williams, 2006, 5.4.1):

- *trend*: linear in log parameters and log mult-adds;
- *cost*: smooth in both;
- *counts*: how many cells have which attribute (operator, channels, kernel, repeats, residual);
- *places*: which attribute is at which place;
- *cells*: pairs of attributes of one cell;
- *neighbours*: pairs of attributes of adjacent cells;
- *links*: which links are set, and how many of them;
- *whole*: similar in all of this.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, lapack, solve_triangular
from scipy.optimize import minimize

from falsr_nas.space.cell import Cell
from falsr_nas.space.cost import Cost
from falsr_nas.space.encoding import FloatArray, Networks, attributes_of
from falsr_nas.space.ends import Ends
from falsr_nas.space.genome import Genome

KERNELS = ("trend", "cost", "counts", "places", "cells", "neighbours", "links", "whole")
"""The parts of the covariance, in the order of their variances."""

MOST_FITTED = 400
"""Networks, evenly spaced among those given, by which the variances are fitted."""

ITERATIONS = 40
"""Most steps of the fit of the variances."""


@dataclass(frozen=True)
class Variances:
    """Variances of the kernels and of the noise, in units of the variance of the PSNR.

    Attributes:
        kernels: one for each of :data:`KERNELS`.
        noise: that of independent noise.
    """

    kernels: tuple[float, ...] = (1.0, 0.3, 0.1, 0.1, 0.05, 0.05, 0.1, 0.05)
    noise: float = 0.2


@dataclass(frozen=True)
class Features:
    """What the kernels compare, one row per network.

    Attributes:
        costs: log parameters and log mult-adds (N, 2).
        cells: attributes of each cell as one-hot vectors of norm 1 (n, N, A).
        genes: links and other genes of the genome as 0 and 1 (N, L).
    """

    costs: FloatArray
    cells: FloatArray
    genes: FloatArray

    def __len__(self) -> int:
        return len(self.costs)

    def __getitem__(self, rows: NDArray[np.int64] | slice) -> Features:
        return Features(self.costs[rows], self.cells[:, rows], self.genes[rows])


class Vocabulary:
    """Turns genomes into features; knows the attributes and genes that some genomes have.

    An attribute or gene that none of them has is ignored in others.

    Args:
        genomes: at least one.
        n: the largest number of cells; None where all networks have as many as the first.

    Attributes:
        n: the number of cells.
    """

    def __init__(self, genomes: Sequence[Genome], n: int | None = None) -> None:
        self.n = genomes[0].n if n is None else n
        self._least = self.n if n is None else 1
        networks = Networks.of(genomes, self.n)
        self._attributes = _numbered(
            {word for cell in networks.cell_table for word in attributes_of(cell.canonical())}
        )
        names = _names(networks.places, networks.ends_table)
        used = networks.links_and_ends().sum(axis=0)
        self._genes = _numbered({name for name, count in zip(names, used, strict=True) if count})

    def features(self, genomes: Sequence[Genome], costs: Sequence[Cost]) -> Features:
        """Return the features of networks. Raises ValueError for another number of cells."""
        if any(not self._least <= genome.n <= self.n for genome in genomes):
            raise ValueError(f"the surrogate compares networks of {self.n} cells")
        networks = Networks.of(genomes, self.n)
        rows = self.cell_features(networks.cell_table)
        shape = (self.n, len(genomes), len(self._attributes))
        return Features(
            np.log([(cost.params, cost.mult_adds) for cost in costs]).reshape(-1, 2),
            rows[np.ascontiguousarray(networks.cells.T)].reshape(shape),
            networks.links_and_ends() @ self.columns(networks.places, networks.ends_table),
        )

    def cell_features(self, cells: Sequence[Cell]) -> FloatArray:
        """Return the features (N, A) of cells."""
        rows = np.zeros((len(cells), len(self._attributes)))
        for row, cell in zip(rows, cells, strict=True):
            words = attributes_of(cell.canonical())  # an attribute without effect is as without
            known = [self._attributes[word] for word in words if word in self._attributes]
            row[known] = 1 / math.sqrt(len(words))
        return rows

    def columns(self, places: Sequence[tuple[int, int]], ends: Sequence[Ends]) -> FloatArray:
        """Return which column of the genes each link and pair of ends is, as 0 and 1 (L + E, G)."""
        names = _names(places, ends)
        columns = np.zeros((len(names), len(self._genes)))
        for row, name in zip(columns, names, strict=True):
            if name in self._genes:
                row[self._genes[name]] = 1
        return columns


class Surrogate:
    """A fitted Gaussian process; made by :func:`fit`.

    Attributes:
        variances: of its kernels and noise.
        denoised: the PSNR (N,) that it estimates the given networks to have without noise.
        noise: standard deviation of the noise in dB.
        vocabulary, features, covariance: of the given networks.
        weights: weights (N,) of the covariances with them in the mean, in units of ``unit``.
        psnr_mean, unit: mean and standard deviation of their scores in dB.
    """

    def __init__(
        self,
        genomes: Sequence[Genome],
        costs: Sequence[Cost],
        psnr: FloatArray,
        settings: Variances,
        n: int | None = None,
    ) -> None:
        self.variances = settings
        self.psnr_mean = float(psnr.mean())
        self.unit = _deviation(psnr)
        self.vocabulary = Vocabulary(genomes, n)
        self.features = self.vocabulary.features(genomes, costs)
        self.covariance = Covariance(self.features)
        noisy = self.covariance.between(self.features, self.features, settings.kernels)
        noisy[np.diag_indices_from(noisy)] += settings.noise
        self._factor = cholesky(noisy, lower=True)
        target = (psnr - self.psnr_mean) / self.unit
        self.weights = cho_solve((self._factor, True), target)
        self.denoised: FloatArray = psnr - self.unit * settings.noise * self.weights
        self.noise = self.unit * math.sqrt(settings.noise)

    def predict(
        self, genomes: Sequence[Genome], costs: Sequence[Cost]
    ) -> tuple[FloatArray, FloatArray]:
        """Return the PSNR without noise of networks, and its standard deviation: (N,) and (N,)."""
        posterior = self.posterior(genomes, costs)
        return posterior.mean, posterior.deviation

    def posterior(self, genomes: Sequence[Genome], costs: Sequence[Cost]) -> Posterior:
        """Return the joint distribution of the PSNR without noise of networks."""
        kernels = self.variances.kernels
        features = self.vocabulary.features(genomes, costs)
        shared = self.covariance.between(self.features, features, kernels)
        explained = solve_triangular(self._factor, shared, lower=True)
        own = self.covariance.diagonal(features, kernels)
        mean = self.psnr_mean + self.unit * (shared.T @ self.weights)
        variance = self.unit**2 * np.maximum(own - (explained**2).sum(axis=0), 0)

        def covariance(i: int) -> FloatArray:
            prior = self.covariance.between(features, features[i : i + 1], kernels)
            return self.unit**2 * np.asarray(prior[:, 0] - explained.T @ explained[:, i])

        return Posterior(mean, variance, covariance, self.noise**2)


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
        variances: of kernels and noise; None to fit them, too.
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
    features = Vocabulary(genomes, n).features(genomes, costs)
    parts = Covariance(features).parts(features, features)
    parts.append(np.eye(len(rows)))
    target = (psnr - psnr.mean()) / _deviation(psnr)
    start = np.log([*Variances().kernels, Variances().noise])
    width = 1.5

    def loss(logs: FloatArray) -> tuple[float, FloatArray]:
        """Return the negative log posterior and its gradient."""
        scales = np.exp(logs)
        total = sum(scale * part for scale, part in zip(scales, parts, strict=True))
        factor = cholesky(total, lower=True)
        weights = cho_solve((factor, True), target)
        pull = _inverse(factor) - np.outer(weights, weights)
        slopes = np.array([0.5 * np.vdot(pull, part) for part in parts]) * scales
        value = 0.5 * target @ weights + np.log(np.diag(factor)).sum()
        away = (logs - start) / width
        return float(value + 0.5 * away @ away), slopes + away / width

    bounds = [(-12.0, 5.0)] * (len(start) - 1) + [(-6.0, 2.0)]
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": ITERATIONS}
    )
    *kernels, noise = (float(value) for value in np.exp(found.x))
    return Variances(tuple(kernels), noise)


class Covariance:
    """The kernels of :data:`KERNELS` between networks.

    Args:
        features: of the networks by whose costs and links others are measured.

    Attributes:
        center, spread: mean and standard deviation (2,) of their logarithms of costs.
        places: mean (n, A) of the attributes at each place.
        share: mean (L,) of the genes.
    """

    def __init__(self, features: Features) -> None:
        self.center = features.costs.mean(axis=0)
        self.spread = np.maximum(features.costs.std(axis=0), 1e-3)
        self.places = features.cells.mean(axis=1)
        self.share = features.genes.mean(axis=0)

    def parts(self, a: Features, b: Features) -> list[FloatArray]:
        """Return each kernel between networks: matrices (N, M)."""
        n = len(a.cells)
        costs_a, costs_b = self.scaled_costs(a), self.scaled_costs(b)
        distance = _squared_distance(costs_a, costs_b)
        alike = [x @ y.T for x, y in zip(a.cells, b.cells, strict=True)]  # shares of attributes
        same: FloatArray = np.add.reduce(alike)
        sharp = [share**2 for share in alike]
        pairs = [x * y for x, y in itertools.pairwise(sharp)] or [sharp[0] ** 2]
        counts_a, counts_b = ((x.cells - self.places[:, None]).sum(axis=0) for x in (a, b))
        mean_a, mean_b = (np.einsum("pna,pa->n", x.cells, self.places) for x in (a, b))
        genes_a, genes_b = a.genes - self.share, b.genes - self.share
        links = genes_a @ genes_b.T + np.outer(genes_a.sum(axis=1), genes_b.sum(axis=1))
        width = max(1, a.genes.shape[1])
        apart = (1 - same / n) * 4 + 2 * _squared_distance(a.genes, b.genes) / width
        return [
            1 + costs_a @ costs_b.T,
            np.exp(-distance / 2),
            counts_a @ counts_b.T / n,
            (same - mean_a[:, None] - mean_b + (self.places**2).sum()) / n,  # centred
            np.add.reduce(sharp) / n,
            np.add.reduce(pairs) / len(pairs),
            links / width,
            np.exp(-apart - distance / 2),
        ]

    def between(self, a: Features, b: Features, variances: Sequence[float]) -> FloatArray:
        """Return the covariance (N, M) between networks."""
        parts = zip(variances, self.parts(a, b), strict=True)
        return np.asarray(sum(variance * part for variance, part in parts))

    def diagonal(self, a: Features, variances: Sequence[float]) -> FloatArray:
        """Return the prior variance (N,) of networks."""
        blocks = [a[first : first + 32] for first in range(0, len(a), 32)]
        return np.concatenate(
            [np.diag(self.between(block, block, variances)) for block in blocks] or [np.empty(0)]
        )

    def scaled_costs(self, features: Features) -> FloatArray:
        """Return the logarithms of the costs in standard deviations from their mean (N, 2)."""
        scaled: FloatArray = (features.costs - self.center) / self.spread
        return scaled


def quadratic_terms(logs: FloatArray) -> FloatArray:
    """Return the terms (N, 6) of a quadratic function of two numbers (N, 2)."""
    a, b = logs.T
    return np.column_stack([np.ones(len(logs)), a, b, a * a, a * b, b * b])


def _names(places: Sequence[tuple[int, int]], ends: Sequence[Ends]) -> list[tuple[object, ...]]:
    """Return names of links and of pairs of ends."""
    return [*(("link", *place) for place in places), *(("ends", str(pair)) for pair in ends)]


def _numbered(words: set[tuple[object, ...]] | set[tuple[str, str]]) -> dict[object, int]:
    return {word: i for i, word in enumerate(sorted(words, key=str))}


def _squared_distance(a: FloatArray, b: FloatArray) -> FloatArray:
    squares: FloatArray = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    return np.maximum(squares, 0)


def _inverse(factor: FloatArray) -> FloatArray:
    """Return the inverse of a matrix with this lower Cholesky factor."""
    lower, _ = lapack.dpotri(factor, lower=1)
    inverse: FloatArray = np.tril(lower) + np.tril(lower, -1).T
    return inverse


def _deviation(psnr: FloatArray) -> float:
    """Return the standard deviation of scores in dB; 1 where they are all equal."""
    return float(psnr.std()) or 1.0
