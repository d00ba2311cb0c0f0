"""How good a prediction is: errors, rank correlations, and what would be found by trusting it.

Accuracies are fractions; errors are given in points (percent) and points squared, as the paper and the reference do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from nplib.errors import UserError

# So many standard errors to either side hold the mean of a normally distributed figure in 95 of 100 cases.
NORMAL_95 = 1.96
# Mean and variance of the largest of three draws from a standard normal distribution.
BEST_MEAN, BEST_VARIANCE = 3 / (2 * np.pi**0.5), 1 + (3**0.5 / 2 - 9 / 4) / np.pi


def _checked(true: np.ndarray, predicted: np.ndarray, least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 of shape (N,), once they are sound and there are at least so many values."""
    true, predicted = np.asarray(true), np.asarray(predicted)
    for name, values in (("true", true), ("predicted", predicted)):
        if values.dtype.kind not in "fiu":
            raise UserError(f"{name} values are of type {values.dtype}; they must be numbers")
        if values.ndim != 1:
            raise UserError(f"{name} values have shape {values.shape}; they must be a list, (N,)")
    if true.shape != predicted.shape:
        raise UserError(f"{len(true):,} true and {len(predicted):,} predicted values; there must be one for each cell")
    if len(true) < least:
        raise UserError(f"{len(true)} values are given, and at least {least} needed; is the split empty?")
    for name, values in (("true", true), ("predicted", predicted)):
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise UserError(
                f"{len(bad):,} of {len(values):,} {name} values are no finite numbers, the first at {bad[0]} "
                f"({values[bad[0]]}); leave out what is unknown, and look for a diverged training"
            )
    return true.astype(np.float64), predicted.astype(np.float64)


def mse_percent2(true: np.ndarray, predicted: np.ndarray) -> float:
    """Mean squared error of accuracies (fractions), both of shape (N,), in points squared.

    UserError if shapes differ, nothing is given, or a value is no finite number; so do all functions here.

    >>> round(mse_percent2([0.90, 0.92], [0.91, 0.95]), 6)
    5.0
    """
    true, predicted = _checked(true, predicted)
    return float(np.mean((100 * (predicted - true)) ** 2))


def kendall_tau(true: np.ndarray, predicted: np.ndarray) -> float:
    """Kendall rank correlation, tau-b: ties count for neither side.

    NaN if all true or all predicted values are equal, since nothing is ranked then. At least two are needed.

    >>> round(kendall_tau([0.1, 0.2, 0.3], [0.5, 0.9, 0.7]), 4)
    0.3333
    """
    from scipy import stats  # slow to load, and errors need none of it

    true, predicted = _checked(true, predicted, least=2)
    return float(stats.kendalltau(true, predicted).statistic)


def spearman(true: np.ndarray, predicted: np.ndarray) -> float:
    """Spearman rank correlation; equal values share the mean of their ranks.

    NaN if all true or all predicted values are equal. At least two are needed.

    >>> round(spearman([0.1, 0.2, 0.3], [0.5, 0.9, 0.7]), 4)
    0.5
    """
    from scipy import stats

    true, predicted = _checked(true, predicted, least=2)
    if np.ptp(true) == 0 or np.ptp(predicted) == 0:
        return float("nan")
    return float(np.corrcoef(stats.rankdata(true), stats.rankdata(predicted))[0, 1])


def _best(values: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k largest, the largest first; of equal ones, those that come first."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= len(values):
        raise UserError(f"the best {k!r} of {len(values):,} values are asked for; choose a whole number from 1 to that")
    # Most of many values need no sorting, only those that are no less than the k-th largest.
    least = np.partition(values, len(values) - k)[len(values) - k]
    candidates = np.flatnonzero(values >= least)
    return candidates[np.argsort(-values[candidates], kind="stable")[:k]]


def precision_at(true: np.ndarray, predicted: np.ndarray, k: int) -> float:
    """Share of the k truly best cells that are among the k predicted best.

    Of equal values those that come first count as better, on both sides. A constant prediction thus chooses the first
    k cells, whichever they are.

    >>> precision_at([0.90, 0.94, 0.93, 0.91], [0.5, 0.9, 0.7, 0.8], k=2)
    0.5
    """
    true, predicted = _checked(true, predicted)
    return len(np.intersect1d(_best(true, k), _best(predicted, k))) / int(k)


def regret(true: np.ndarray, predicted: np.ndarray, k: int = 1) -> float:
    """How much worse than the best of all cells is the best among the k predicted best, as a fraction.

    Of equal predictions those that come first are taken.

    >>> round(regret([0.90, 0.94, 0.93, 0.91], [0.5, 0.6, 0.7, 0.8], k=2), 6)
    0.01
    """
    true, predicted = _checked(true, predicted)
    return float(true.max() - true[_best(predicted, k)].max())


@dataclass(frozen=True)
class MeanSd:
    """Mean and spread of one figure over seeds.

    >>> f"{summarize([2.0, 3.0, 4.0]):.1f}"
    '3.0 ± 1.0'
    >>> str(summarize([2.0]))
    '2.00 ± n/a'
    >>> f"{summarize([0.1, 0.3]):+.1f}"
    '+0.2 ± 0.1'
    """

    mean: float
    sd: float  # of a sample (divisor count - 1); NaN of a single value
    count: int  # of seeds

    def __format__(self, spec: str) -> str:
        spec = spec or ".2f"
        return f"{self.mean:{spec}} ± {'n/a' if np.isnan(self.sd) else format(self.sd, spec.lstrip('+'))}"

    def __str__(self) -> str:
        return format(self)


def summarize(values: Iterable[float]) -> MeanSd:
    """Mean and sample standard deviation over seeds; UserError if there is none, or one is no finite number."""
    values = np.asarray(list(values), dtype=np.float64)
    if not len(values):
        raise UserError("no values to take the mean of; run at least one seed")
    if values.ndim != 1 or not np.isfinite(values).all():
        raise UserError(f"the mean over seeds needs one finite number a seed, not {values.tolist()}")
    return MeanSd(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float("nan"), len(values))
