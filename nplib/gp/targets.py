"""Scales that a Gaussian process learns accuracies on, and the way back to accuracies.

Accuracies crowd near the top and have a long tail below, which is nothing that a Gaussian process would expect. Each
scale is an increasing function of the accuracy, standardised over the labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

TARGETS = ("log_gap", "log_spread", "rank_normal", "rank")
# log_gap takes all that is worse as alike: among such cells differences are of no interest, and they are large.
FLOOR = 0.85
# No cell of the space reaches this; where labels come near it, the ceiling is a little above the best of them.
CEILING = 0.97
ABOVE_BEST = 0.004
# log_spread takes the worst twentieth as alike: outliers, such as trainings that failed.
LOWEST = 0.05
# Where a normal distribution is looked at for an expected value, in its own standard deviations, and its density there.
NODES = np.linspace(-5, 5, 201)
DENSITY = np.exp(-(NODES**2) / 2)
# Means of predictions, in standard deviations of the labels, for which expected accuracies are tabulated.
TABULATED = np.linspace(-8, 8, 1601)


def target_values(name: str, labels: np.ndarray) -> np.ndarray:
    """Labels (fractions, not all alike) on one of the scales ``TARGETS``, standardised, shape (n,).

    These are minus the logarithm of how far a label stays below a ceiling, with the constants above or, as
    ``log_spread``, with a ceiling and a floor taken from the labels alone; its rank as a quantile of a normal
    distribution; or its rank.
    """
    if name == "log_gap":
        # With all labels at or below the floor, or a floor near the best, nothing would be left to tell apart.
        floor = FLOOR if np.ptp(np.maximum(labels, FLOOR)) > 0 else labels.min()
        values = _log_gap(np.maximum(labels, floor), ceiling_of(labels))
    elif name == "log_spread":
        floor = np.quantile(labels, LOWEST)
        if np.ptp(np.maximum(labels, floor)) == 0:
            floor = labels.min()
        values = _log_gap(np.maximum(labels, floor), labels.max() + _spread(labels))
    else:
        from scipy.special import ndtri
        from scipy.stats import rankdata

        quantiles = (rankdata(labels) - 0.5) / len(labels)  # equal labels share the mean of their ranks
        values = ndtri(quantiles) if name == "rank_normal" else quantiles
    return (values - values.mean()) / values.std()


def ceiling_of(labels: np.ndarray, name: str = "log_gap") -> float:
    """An accuracy that no cell is taken to reach, on the scale of this name."""
    return labels.max() + _spread(labels) if name == "log_spread" else max(CEILING, labels.max() + ABOVE_BEST)


def _spread(labels: np.ndarray) -> float:
    """The interquartile range of labels, or their range where that is nothing."""
    low, high = np.quantile(labels, [0.25, 0.75])
    return float(high - low) or float(np.ptp(labels))


def _log_gap(accuracies: np.ndarray, ceiling: float) -> np.ndarray:
    return -np.log(ceiling - accuracies)


@dataclass(frozen=True, eq=False)
class ScoreMap:
    """The way back from a score, which is the mean of some scales, to accuracies.

    Piecewise linear in the logarithm of the gap to the ceiling, through the labels. Above the best it goes on as over
    the best tenth of the labels, below the worst as over the worse half, without the tail.

    Attributes:
        scores, log_gaps (array, shape (k,)): Of the knots, one for each score that labels have; both increasing.
        ceiling (float): Fraction.
    """

    scores: np.ndarray
    log_gaps: np.ndarray
    ceiling: float

    @classmethod
    def through(cls, scores: np.ndarray, labels: np.ndarray, name: str = "log_gap") -> ScoreMap:
        """The map through labels (fractions) with these scores, both of shape (n,), learned on the scale of a name."""
        knots, which = np.unique(scores, return_inverse=True)
        accuracies = np.bincount(which, labels) / np.bincount(which)  # labels below the floor share a score
        ceiling = ceiling_of(labels, name)
        return cls(knots, _log_gap(accuracies, ceiling), ceiling)

    def accuracies(self, scores: np.ndarray) -> np.ndarray:
        """Accuracies (fractions) of scores, of the same shape, from 0 to 1 and never decreasing."""
        above, below = self._slopes
        log_gaps = np.interp(scores, self.scores, self.log_gaps)
        log_gaps += above * np.maximum(scores - self.scores[-1], 0) + below * np.minimum(scores - self.scores[0], 0)
        return np.clip(self.ceiling - np.exp(-log_gaps), 0, 1)

    def score(self, accuracy: float) -> float:
        """The score of an accuracy (fraction); infinite at the ceiling and above."""
        if accuracy >= self.ceiling:
            return np.inf
        above, below = self._slopes
        log_gap = _log_gap(accuracy, self.ceiling)
        beyond = max(log_gap - self.log_gaps[-1], 0) / above + min(log_gap - self.log_gaps[0], 0) / below
        return float(np.interp(log_gap, self.log_gaps, self.scores) + beyond)

    @cached_property
    def _slopes(self) -> tuple[float, float]:
        """Of the logarithm of the gap by the score, above the last knot and below the first."""
        last = len(self.scores) - 1
        middle = max(last // 2, 1)
        spans = [(last - 1 - last // 10, last), (min(1, middle - 1), middle)]
        above, below = (
            (self.log_gaps[stop] - self.log_gaps[start]) / (self.scores[stop] - self.scores[start])
            for start, stop in spans
        )
        return above, below

    def expected(self, scores: np.ndarray, sd: float) -> np.ndarray:
        """Expected accuracies (fractions) under normal distributions about scores, shape (N,), which share their sd."""
        table = self.accuracies(TABULATED[:, None] + sd * NODES) @ (DENSITY / DENSITY.sum())
        return np.interp(scores, TABULATED, table)
