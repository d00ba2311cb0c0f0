"""Columns that a predictor reads: features over all 423,624 cells, standardised, or as normal scores.

A column is named as its feature, or as its feature and ``:normal``. The first is (x - mean) / sd over all cells of the
space, whatever cells are at hand. The second is what a normally distributed number of the same rank among all cells
would be: rare values are drawn in, and crowded ones apart. What has to be known of all cells is computed once and kept
in the cache folder.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from nplib._files import cached_arrays
from nplib.errors import UserError
from nplib.features.catalogue import FEATURES, NAMES
from nplib.features.compute import compute_features, on_all_cores
from nplib.space import load_space

NORMAL = ":normal"
# A feature's distribution is kept as so many quantiles.
QUANTILES = 1001
# Ranks nearer to the ends than this, as a share of all cells, count as this.
EXTREME = 0.001
CACHED_ARRAYS = ("mean", "sd", "quantiles", "normal_mean", "normal_sd")


def base_name(column: str) -> str:
    """The feature that a column is made of.

    >>> base_name("paths:normal"), base_name("paths")
    ('paths', 'paths')
    """
    return column.removesuffix(NORMAL)


def place_of(column: str) -> int:
    """Place in ``NAMES`` of the feature that a column is made of.

    Raises:
        UserError: If there is no such feature.
    """
    if base_name(column) not in _PLACES:
        raise UserError(f"no column is called {column!r}; nplib.features.feature_table lists all features")
    return _PLACES[base_name(column)]


def all_columns() -> tuple[str, ...]:
    """Names of all columns: features in the order of the catalogue, then the same as normal scores."""
    return (*NAMES, *(name + NORMAL for name in NAMES))


@dataclass(frozen=True, eq=False)
class FeatureScales:
    """Of each feature, over all cells of the space.

    Attributes:
        mean, sd: Array, shape (F,).
        quantiles (array, shape (F, 1001)): From the smallest value to the largest.
        normal_mean, normal_sd (array, shape (F,)): Of its normal scores.
    """

    mean: np.ndarray
    sd: np.ndarray
    quantiles: np.ndarray
    normal_mean: np.ndarray
    normal_sd: np.ndarray

    @cached_property
    def _knots(self) -> list[tuple[np.ndarray, np.ndarray]]:
        return [_ranks(quantiles) for quantiles in self.quantiles]

    def column(self, name: str, values: np.ndarray) -> np.ndarray:
        """A column, shape (N,), float64, from the values of its feature, shape (N,)."""
        place = place_of(name)
        if name.endswith(NORMAL):
            return (_normal_scores(values, *self._knots[place]) - self.normal_mean[place]) / self.normal_sd[place]
        return (values - self.mean[place]) / self.sd[place]


def _ranks(quantiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values that differ, and their ranks among all cells, from 0 to 1; equal values share the middle of theirs."""
    knots, first, counts = np.unique(quantiles, return_index=True, return_counts=True)
    return knots, (first + (counts - 1) / 2) / (len(quantiles) - 1)


def _normal_scores(values: np.ndarray, knots: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Normal scores of the ranks of values among all cells."""
    from scipy.special import ndtri  # slow to load

    return ndtri(np.clip(np.interp(values, knots, ranks), EXTREME, 1 - EXTREME))


def _compute() -> dict[str, np.ndarray]:
    """Everything that is kept, from all cells; a few seconds."""
    features = compute_features(load_space().cells, np.float32)
    places = np.round(np.linspace(0, len(features) - 1, QUANTILES)).astype(int)
    arrays = {name: np.empty(len(NAMES)) for name in CACHED_ARRAYS if name != "quantiles"}
    arrays["quantiles"] = np.empty((len(NAMES), QUANTILES))

    def fill(place: int) -> None:
        values = np.sort(features[:, place]).astype(np.float64)
        arrays["quantiles"][place] = values[places]
        scores = _normal_scores(values, *_ranks(values[places]))
        for prefix, numbers in (("", values), ("normal_", scores)):
            arrays[f"{prefix}mean"][place], arrays[f"{prefix}sd"][place] = numbers.mean(), numbers.std()

    list(on_all_cores(fill, range(len(NAMES))))
    return arrays


@cache
def load_scales() -> FeatureScales:
    """The scales, from the cache folder, or computed once and stored there."""
    # The name changes with what features there are and how they are defined.
    definition = repr([(feature.name, feature.formula) for feature in FEATURES]).encode()
    name = f"feature-scales-{hashlib.sha256(definition).hexdigest()[:16]}.npz"
    arrays = cached_arrays(name, CACHED_ARRAYS, _compute)
    return FeatureScales(**{array: arrays[array] for array in CACHED_ARRAYS})


_PLACES = {name: place for place, name in enumerate(NAMES)}
