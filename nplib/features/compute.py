"""What a cell does to a signal, as named numbers.

:mod:`nplib.features.catalogue` says what each feature is; this computes them. All but the two of group ``cost`` are the
same for isomorphic cells up to rounding; where channels do not divide evenly, ``log_parameters`` can differ by .014 and
``log_flops`` by .024.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from tqdm import tqdm

from nplib.cell import (
    INPUT,
    MAX_VERTICES,
    OPERATION_CODES,
    OPERATION_NAMES,
    OUTPUT,
    Cells,
    InvalidCell,
)
from nplib.features.catalogue import (
    ENERGY_FEATURES,
    FEATURES,
    GRAPH_FEATURES,
    NAMES,
    Feature,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FEATURES", "NAMES", "Feature", "compute_features", "feature_table"]

CELLS_AT_A_TIME = 2_048  # whose features a processor's cache holds
NUM_OPERATIONS = 3
Result = TypeVar("Result")


def on_all_cores(function: Callable[[int], Result], items: Iterable[int]) -> Iterator[Result]:
    """What a function gives for items, in order, as many at a time as there are cores: NumPy and compiled code."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(function, items)


def feature_table() -> pd.DataFrame:
    """The features as a table of ``name``, ``group``, ``formula`` and ``reason``, a row for each column of values."""
    import pandas as pd

    return pd.DataFrame([asdict(feature) for feature in FEATURES]).drop(columns="written_by")


def compute_features(cells: Cells, dtype: type = np.float64, *, progress: bool = False) -> np.ndarray:
    """Features of many cells.

    Args:
        cells (Cells): Every vertex on a path from input to output; what stands past the last vertex is not looked at.
        dtype (type): Of the values, which are computed as float64.
        progress (bool): Show a progress bar.

    Returns:
        array, shape (N, F): A column for each of ``NAMES``, all of them finite numbers. For all cells of NASBench-101
            it takes 700 MB, and half of that as float32.

    Raises:
        nplib.cell.InvalidCell: If a graph is no cell or not pruned; the message names the first.

    >>> from nplib.cell import Cell, Cells
    >>> cell = Cell([[0, 1, 1], [0, 0, 1], [0, 0, 0]], ["input", "conv3x3-bn-relu", "output"])
    >>> features = compute_features(Cells.of([cell]))
    >>> [float(features[0, NAMES.index(name)]) for name in ("paths", "skips", "mean_conv3x3_by_flow")]
    [2.0, 1.0, 0.5]
    """
    # Compiled: only loaded when there is something to compute.
    from nplib.features.energy import write_energy_features
    from nplib.features.graph import write_graph_features
    from nplib.features.walks import write_walk_features

    count = len(cells)
    features = np.empty((count, len(FEATURES)), dtype)
    energy_column = len(GRAPH_FEATURES)
    walk_column = energy_column + len(ENERGY_FEATURES)
    input_gradient = NAMES.index("log_gradient_input")

    def fill(start: int) -> int:
        rows = slice(start, start + CELLS_AT_A_TIME)
        graphs = _checked(cells[rows], start)
        values = np.zeros(features[rows].shape)
        vertex_energy, vertex_gradient = np.zeros((2, len(values), MAX_VERTICES))
        write_graph_features(*graphs, values, 0)
        write_energy_features(*graphs, vertex_energy, vertex_gradient, values, energy_column)
        known = vertex_energy, vertex_gradient, values[:, input_gradient]
        write_walk_features(*graphs, *known, values, walk_column)
        features[rows] = values
        return len(values)

    with tqdm(total=count, unit=" cells", unit_scale=True, desc="features", disable=not progress) as bar:
        for done in on_all_cores(fill, range(0, count, CELLS_AT_A_TIME)):
            bar.update(done)
    return features


def _checked(cells: Cells, first: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The arrays of cells, writable, or a clear error, in which they are counted from ``first``."""
    sizes, edges, codes = cells.num_vertices, cells.adjacency, cells.operations
    for cell in np.flatnonzero((sizes < 2) | (sizes > MAX_VERTICES)):
        raise InvalidCell(f"cell {first + cell} has {sizes[cell]} vertices; there must be from 2 to {MAX_VERTICES}")
    last = sizes.astype(np.int64)[:, None] - 1
    vertex = np.arange(MAX_VERTICES)
    forward = (vertex[:, None] < vertex) & (vertex <= last)[:, None, :]  # (N, 7, 7)
    for cell, u, v in np.argwhere((edges != 0) & ~((edges == 1) & forward)):
        raise InvalidCell(
            f"cell {first + cell} of {sizes[cell]} vertices has {edges[cell, u, v]} in row {u}, column {v} of its "
            "adjacency; only 0 and 1 are allowed, and 1 only above the diagonal and for vertices that there are"
        )
    right = np.where(vertex == last, codes == OPERATION_CODES[OUTPUT], (codes >= 0) & (codes < NUM_OPERATIONS))
    right[:, 0] = codes[:, 0] == OPERATION_CODES[INPUT]
    for cell, v in np.argwhere(~right & (vertex <= last)):
        known = ", ".join(f"{code} ({name})" for code, name in OPERATION_NAMES.items())
        raise InvalidCell(
            f"cell {first + cell} of {sizes[cell]} vertices has operation code {codes[cell, v]} at vertex {v}; known "
            f"are {known}, the input first and the output last"
        )
    entered, left = edges.any(axis=1), edges.any(axis=2)
    for cell, v in np.argwhere((vertex <= last) & ((~entered & (vertex > 0)) | (~left & (vertex < last)))):
        raise InvalidCell(
            f"vertex {v} of cell {first + cell} lies on no path from input to output; nplib.cell.Cell.pruned removes it"
        )
    # Copies: arrays that are read-only would have everything compiled a second time.
    return sizes.copy(), edges.copy(), codes.copy()
