"""Features and columns of cells, kept with the cells once they are computed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from nplib.cell import Cells
from nplib.features.compute import compute_features, on_all_cores
from nplib.features.scales import load_scales, place_of

# Columns are written for so many at a time, which a processor's cache can hold.
ROWS_AT_A_TIME = 8_192


def features_of(cells: Cells) -> np.ndarray:
    """The features of :mod:`nplib.features.catalogue`, shape (N, F), float32; parts of the cells share them."""
    return cells.derived("features", partial(compute_features, dtype=np.float32))


def columns_of(cells: Cells, names: Sequence[str]) -> np.ndarray:
    """Standardised features by name: see :mod:`nplib.features.scales`.

    Args:
        names (sequence of str, length C): Of features, or of features and ``:normal``.

    Returns:
        array, shape (N, C), float32

    Raises:
        UserError: If there is no such feature.
    """
    names = tuple(names)
    places = [place_of(name) for name in names]

    def make(cells: Cells) -> np.ndarray:
        features, scales = features_of(cells), load_scales()
        columns = np.empty((len(cells), len(names)), dtype=np.float32)

        def fill(start: int) -> None:
            rows = slice(start, start + ROWS_AT_A_TIME)
            values = np.ascontiguousarray(features[rows].T, dtype=np.float64)  # (F, n)
            for number, (name, place) in enumerate(zip(names, places, strict=True)):
                columns[rows, number] = scales.column(name, values[place])

        list(on_all_cores(fill, range(0, len(cells), ROWS_AT_A_TIME)))
        return columns

    return cells.derived(names, make)
