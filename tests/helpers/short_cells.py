"""Cells written in short, and their features by name."""

import numpy as np

from nplib.cell import Cell, Cells
from nplib.features import NAMES, compute_features

SHORT = {"input": "input", "3x3": "conv3x3-bn-relu", "1x1": "conv1x1-bn-relu", "pool": "maxpool3x3", "output": "output"}


def cell_of(operations, *edges):
    """A cell of the operations in short, with edges written as two digits."""
    names = [SHORT[name] for name in ("input", *operations.split(), "output")]
    matrix = np.zeros((len(names), len(names)), dtype=int)
    for start, end in edges:
        matrix[int(start), int(end)] = 1
    return Cell(matrix, names)


def features_of(*cells):
    """Features of cells, a dictionary for each."""
    return [dict(zip(NAMES, row.tolist(), strict=True)) for row in compute_features(Cells.of(cells))]
