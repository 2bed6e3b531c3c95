"""The latency of networks, predicted from networks that were measured.

A prediction has two factors. The first is a sum over the layers: mult-adds and traffic of each kind
of layer, exact and with channels rounded up to blocks, and the number of layers, with coefficients
that are fitted by least squares of the relative errors. They are not negative, so that another
layer never makes a network slower to predict. The second corrects it by what similar networks were
found to take: a Gaussian process on the logarithm of measured over predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import nnls
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr

from falsr_nas.latency.layers import BLOCK, GROUPS, layers
from falsr_nas.space.genome import Genome

FloatArray = NDArray[np.float64]

RIDGE = 1e-4
"""Pull of the coefficients to zero, relative to each feature's share of a network's time."""

LENGTHS, NOISES = (0.25, 0.5, 1.0, 2.0, 4.0), (0.03, 0.1, 0.3, 1.0, 3.0)
"""Of the Gaussian process: the best by leave-one-out are used; our choice."""

FOLDS = 10
"""Parts of which one at a time is held out to measure the error."""

_BLOCKED = (1, BLOCK)


@lru_cache(1 << 15)
def features(genome: Genome) -> FloatArray:
    """Return what the first factor is a sum of: (F,), all at least 0."""
    values = np.zeros((len(GROUPS), 2 * len(_BLOCKED)))
    found = list(layers(genome))
    for layer in found:
        values[GROUPS.index(layer.group)] += [
            number(block) for number in (layer.mult_adds, layer.traffic) for block in _BLOCKED
        ]
    return np.array([*values.ravel(), len(found), 1.0])


class Fit:
    """A prediction that is fitted to measured networks.

    Args:
        networks: at least one.
        milliseconds: their measured latencies (N,), > 0.
    """

    def __init__(self, networks: Sequence[Genome], milliseconds: FloatArray) -> None:
        rows = np.array([features(genome) for genome in networks])
        relative = rows / milliseconds[:, None]
        ridge = np.diag(np.sqrt(RIDGE * len(rows)) * relative.mean(axis=0))
        target = np.concatenate([np.ones(len(rows)), np.zeros(len(ridge))])
        self._coefficients, _ = nnls(np.vstack([relative, ridge]), target)
        self._least = 0.1 * milliseconds.min()
        self._used = rows.any(axis=0) & (np.ptp(rows, axis=0) > 0)
        self._scale = np.maximum(rows[:, self._used].mean(axis=0), 1e-9)
        self._places = self._place(rows)
        residuals = np.log(milliseconds / self._sums(rows))
        distances = cdist(self._places, self._places, "sqeuclidean")
        choices = [
            (*_weights(distances, residuals, length, noise), length)
            for length in LENGTHS
            for noise in NOISES
        ]
        _, self._weights, self._length = min(choices, key=lambda choice: choice[0])

    def predict(self, networks: Sequence[Genome]) -> FloatArray:
        """Return predicted latencies (N,) in ms, > 0."""
        rows = np.array([features(genome) for genome in networks])
        near = _kernel(cdist(self._place(rows), self._places, "sqeuclidean"), self._length)
        return np.asarray(self._sums(rows) * np.exp(near @ self._weights))

    def _sums(self, rows: FloatArray) -> FloatArray:
        # A fit to noisy measurements may predict 0 for a small network.
        return np.asarray(np.maximum(rows @ self._coefficients, self._least))

    def _place(self, rows: FloatArray) -> FloatArray:
        """Return where networks are (N, U), so that similar ones are near each other."""
        places = np.log1p(rows[:, self._used] / self._scale)
        return np.asarray(places / np.sqrt(max(1, places.shape[1]) / 8))


def left_out(networks: Sequence[Genome], milliseconds: FloatArray) -> FloatArray:
    """Return predictions (N,) of networks in ms, each by a fit without it."""
    predicted = np.empty(len(networks))
    folds = np.arange(len(networks)) % min(FOLDS, len(networks))
    for fold in np.unique(folds):
        kept = [genome for genome, own in zip(networks, folds, strict=True) if own != fold]
        others = [genome for genome, own in zip(networks, folds, strict=True) if own == fold]
        predicted[folds == fold] = Fit(kept, milliseconds[folds != fold]).predict(others)
    return predicted


def prediction_error(
    measured: Sequence[float] | FloatArray, predicted: Sequence[float] | FloatArray
) -> tuple[float, float]:
    """Return the median relative error and the rank correlation of predictions (N,)."""
    relative = np.abs(np.divide(predicted, measured) - 1)
    correlation = spearmanr(measured, predicted).statistic if len(measured) > 1 else 1.0
    return float(np.median(relative)), float(np.nan_to_num(correlation))


def _kernel(distances: FloatArray, length: float) -> FloatArray:
    return np.asarray(np.exp(-distances / (2 * length**2)))


def _weights(
    distances: FloatArray, residuals: FloatArray, length: float, noise: float
) -> tuple[float, FloatArray]:
    """Return the mean absolute leave-one-out error of a process, and its weights (N,)."""
    covariance = _kernel(distances, length)
    covariance[np.diag_indices_from(covariance)] += noise
    factor = cho_factor(covariance)
    weights = cho_solve(factor, residuals)
    inverse = cho_solve(factor, np.eye(len(residuals)))
    return float(np.abs(weights / np.diag(inverse)).mean()), weights
