"""Cells whose training fails: how many by chance and how many for what they are, and what sets them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from nplib.benchmark import FAILED_BELOW
from nplib.errors import UserError


def failed_run_counts(runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many cells have 0, 1, ..., R failed runs, and how many would if every run failed with the same chance.

    Parameters
    ----------
    runs : array, shape (N, R)
        Accuracies, fractions.

    Returns
    -------
    seen : array, shape (R + 1,), int64
    by_chance : array, shape (R + 1,), float64

    Examples
    --------
    >>> seen, by_chance = failed_run_counts(np.array([[0.9, 0.9], [0.1, 0.1]]))
    >>> seen.tolist(), by_chance.tolist()
    ([1, 0, 1], [0.5, 1.0, 0.5])
    """
    failed = np.asarray(runs) < FAILED_BELOW
    num_cells, num_runs = failed.shape
    seen = np.bincount(failed.sum(axis=1), minlength=num_runs + 1)
    share = failed.mean()
    chances = [comb(num_runs, k) * share**k * (1 - share) ** (num_runs - k) for k in range(num_runs + 1)]
    return seen, num_cells * np.array(chances)


@dataclass(frozen=True, eq=False)
class FeatureDifferences:
    """How the features of some cells differ from those of the rest.

    Attributes
    ----------
    names : sequence of str, length F
    means, means_of_rest : array, shape (F,)
    differences : array, shape (F,)
        Of the means, in standard deviations of the rest; 0 for a feature that is the same in all of the rest.
    by_chance : float
        Size that the largest difference of random cells, as many, exceeds once in twenty times.
    correlations : array, shape (F, F)
        Between features, over the rest; 0 for those that are the same in all of it.
    """

    names: Sequence[str]
    means: np.ndarray
    means_of_rest: np.ndarray
    differences: np.ndarray
    by_chance: float
    correlations: np.ndarray

    def distinct(self, count: int, at_most: float = 0.7) -> list[int]:
        """Positions of the features that differ most, without those that say the same as one before.

        Parameters
        ----------
        count : int
            How many, if there are as many beyond chance.
        at_most : float
            Correlation, either way, that two of them may have.
        """
        chosen: list[int] = []
        for position in np.argsort(-np.abs(self.differences), kind="stable"):
            if len(chosen) == count or abs(self.differences[position]) <= self.by_chance:
                break
            if (np.abs(self.correlations[position, chosen]) <= at_most).all():
                chosen.append(int(position))
        return chosen


def compare_features(
    features: np.ndarray, rest: np.ndarray, names: Sequence[str], repeats: int = 200, seed: int = 0
) -> FeatureDifferences:
    """Hold the features of some cells against those of the rest.

    Parameters
    ----------
    features, rest : array, shape (n, F), (m, F)
        See :func:`nplib.features.compute_features`.
    names : sequence of str, length F
    repeats : int
        Random draws of n of the rest, which tell what chance gives.
    seed : int
        Of these draws.

    Raises
    ------
    UserError
        If there is no cell, or no larger rest to draw as many from.
    """
    if not 1 <= len(features) < len(rest):
        raise UserError(f"{len(features)} cells are held against {len(rest)}; give at least one, and a larger rest")
    mean, sd = rest.mean(axis=0), rest.std(axis=0)
    varies = sd > 1e-9 * np.maximum(np.abs(mean), 1)

    def differences_of(means: np.ndarray) -> np.ndarray:
        return np.divide(means - mean, sd, out=np.zeros_like(mean), where=varies)

    standardised = np.divide(rest - mean, sd, out=np.zeros_like(rest), where=varies)
    random = np.random.default_rng(seed)
    draws = (random.choice(len(rest), len(features), replace=False, shuffle=False) for _ in range(repeats))
    largest = [np.abs(standardised[draw].mean(axis=0)).max() for draw in draws]
    means = features.mean(axis=0)
    return FeatureDifferences(
        names=names,
        means=means,
        means_of_rest=mean,
        differences=differences_of(means),
        by_chance=float(np.quantile(largest, 0.95)),
        correlations=standardised.T @ standardised / len(rest),
    )


@dataclass(frozen=True)
class Property:
    """A feature at or beyond a value, as a property of cells.

    Attributes
    ----------
    threshold : float
    above : bool
        Whether cells have it at this value and above, or at it and below.
    of_cells, of_rest : float
        Share of the cells that have it, and of the rest.
    of_holders : float
        How many of those that have it are among the cells.
    """

    threshold: float
    above: bool
    of_cells: float
    of_rest: float
    of_holders: float


def typical_property(values: np.ndarray, rest: np.ndarray, stands_for: float = 1.0) -> Property:
    """What at least half of some cells have: their median of a feature, or further from the rest.

    Parameters
    ----------
    values, rest : array, shape (n,), (m,)
        The feature, of the cells and of the rest.
    stands_for : float
        For how many cells each of the rest stands, where it is a random part of them.

    Examples
    --------
    >>> typical_property(np.array([3, 4, 5]), np.array([1, 2, 4, 1]), stands_for=10)
    Property(threshold=4.0, above=True, of_cells=0.6666666666666666, of_rest=0.25, of_holders=0.16666666666666666)
    """
    above = bool(values.mean() >= rest.mean())
    # The lower or the upper median: a value that there is, so that it splits whole numbers as it does others.
    threshold = float(np.quantile(values, 0.5, method="lower" if above else "higher"))
    of_cells, of_rest = ((kind >= threshold) if above else (kind <= threshold) for kind in (values, rest))
    holders, others = of_cells.sum(), of_rest.sum() * stands_for
    return Property(
        threshold, above, float(of_cells.mean()), float(of_rest.mean()), float(holders / (holders + others))
    )


def shares_by_value(
    values: np.ndarray, rest: np.ndarray, stands_for: float = 1.0, bins: int = 12
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many of the cells with about the same value of a feature are among some cells.

    Parameters
    ----------
    values, rest, stands_for
        As for :func:`typical_property`.
    bins : int
        At most so many: a half of the rest in the first, and in each one half of what is left, in the direction in
        which the cells lie.

    Returns
    -------
    middles : array, shape (B,)
        Median of the feature in each bin.
    shares : array, shape (B,)
        Of cells in it that are among the cells.
    counts : array, shape (B,), int64
        How many of the cells are in it.
    """
    above = values.mean() >= rest.mean()
    sign = 1 if above else -1
    edges = np.unique(np.quantile(sign * rest, [1 - 0.5**k for k in range(1, bins)]))
    numbers, numbers_of_rest = (np.searchsorted(edges, sign * kind, side="right") for kind in (values, rest))
    counts, of_rest = (np.bincount(kind, minlength=len(edges) + 1) for kind in (numbers, numbers_of_rest))
    kept = counts + of_rest > 0
    everything, places = np.concatenate([values, rest]), np.concatenate([numbers, numbers_of_rest])
    middles = np.array([np.median(everything[places == place]) for place in np.flatnonzero(kept)])
    return middles, counts[kept] / (counts[kept] + stands_for * of_rest[kept]), counts[kept]
