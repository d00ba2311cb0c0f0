"""Cells whose training fails: what sets them apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nplib.errors import UserError


@dataclass(frozen=True, eq=False)
class FeatureDifferences:
    """How the features of some cells differ from those of the rest.

    Attributes:
        differences (array, shape (F,)): Of the means, in standard deviations of the rest; 0 for a feature that is the
            same in all of the rest.
        by_chance (float): Size that the largest difference of random cells, as many, exceeds once in twenty times.
        correlations (array, shape (F, F)): Between features, over the rest; 0 for those that are the same in all of it.
    """

    differences: np.ndarray
    by_chance: float
    correlations: np.ndarray

    def distinct(self, count: int, at_most: float = 0.7) -> list[int]:
        """Positions of the features that differ most, without those that say the same as one before.

        Args:
            count (int): How many, if there are as many beyond chance.
            at_most (float): Correlation, either way, that two of them may have.
        """
        chosen: list[int] = []
        for position in np.argsort(-np.abs(self.differences), kind="stable"):
            if len(chosen) == count or abs(self.differences[position]) <= self.by_chance:
                break
            if (np.abs(self.correlations[position, chosen]) <= at_most).all():
                chosen.append(int(position))
        return chosen


def compare_features(features: np.ndarray, rest: np.ndarray, repeats: int = 200, seed: int = 0) -> FeatureDifferences:
    """Hold the features of some cells against those of the rest.

    Args:
        features, rest (array, shape (n, F), (m, F)): See :func:`~nplib.features.compute.compute_features`.
        repeats (int): Random draws of n of the rest, which tell what chance gives.
        seed (int): Of these draws.

    Raises:
        UserError: If there is no cell, or no larger rest to draw as many from.
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
    return FeatureDifferences(
        differences=differences_of(features.mean(axis=0)),
        by_chance=float(np.quantile(largest, 0.95)),
        correlations=standardised.T @ standardised / len(rest),
    )


def shares_by_value(
    values: np.ndarray, rest: np.ndarray, stands_for: float = 1.0, bins: int = 12
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many of the cells with about the same value of a feature are among some cells.

    Args:
        values, rest (array, shape (n,), (m,)): The feature, of the cells and of the rest.
        stands_for (float): For how many cells each of the rest stands, where it is a random part of them.
        bins (int): At most so many: a half of the rest in the first, and in each one half of what is left, in the
            direction in which the cells lie.

    Returns:
        middles (array, shape (B,)): Median of the feature in each bin.
        shares (array, shape (B,)): Of cells in it that are among the cells.
        counts (array, shape (B,), int64): How many of the cells are in it.
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
