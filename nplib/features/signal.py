"""What a cell does to a signal and to its gradient, vertex by vertex, to be looked at.

:mod:`nplib.features.energy` computes the same for all cells at once and sums it up in features; here it is of one
cell, and its parts have names. Tests hold both equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nplib.cell import MAXPOOL3X3, Cell
from nplib.features.energy import GRADIENT_GAIN, POOL_VARIANCE


@dataclass(frozen=True, eq=False)
class CellSignal:
    """Energies in a cell when its input has energy 1 a channel; convolutions end in batch-norm, which sets 1.

    Attributes:
        energy (array, shape (V,)): Of the tensor that each vertex passes on. Tensors that share a source add up in it.
        flow (array, shape (V, V)): Part of what a vertex reads that comes by each edge, 0 where there is none; columns
            sum to 1. What several edges bring of one source counts for each as if it came alone.
        gradient (array, shape (V,)): Energy of the gradient at each vertex's tensor, when that at the output is 1; that
            of the input is the one at the projections that read it.
    """

    cell: Cell
    energy: np.ndarray
    flow: np.ndarray
    gradient: np.ndarray


def signal_of(cell: Cell) -> CellSignal:
    """Follow a signal forward through a cell, and a gradient back.

    Args:
        cell (Cell): Every vertex on a path from input to output; see :meth:`nplib.cell.Cell.pruned`.

    Raises:
        nplib.cell.InvalidCell: If input and output are not connected.

    >>> cell = Cell([[0, 1, 1], [0, 0, 1], [0, 0, 0]], ["input", "conv3x3-bn-relu", "output"])
    >>> signal_of(cell).energy.tolist(), signal_of(cell).flow[:, 2].tolist()
    ([1.0, 1.0, 2.0], [0.5, 0.5, 0.0])
    """
    cell = cell.pruned()
    matrix, last = np.asarray(cell.matrix), cell.num_vertices - 1
    feeders = max(int(matrix[1:last, last].sum()), 1)
    # What each vertex carries, as coefficients over independent sources: outputs of convolutions, projected inputs.
    carried = np.zeros((last + 1, 2 * (last + 1)))
    energy, read, flow = np.ones(last + 1), np.ones(last + 1), np.zeros((last + 1, last + 1))
    for v in range(1, last + 1):
        before = np.flatnonzero(matrix[:v, v])
        brought = np.array([1.0 if u == 0 else energy[u] / (feeders if v == last else 1) for u in before])
        flow[before, v] = brought / brought.sum()
        mixture = carried[[u for u in before if u > 0]].sum(axis=0)
        mixture[last + 1 + v] += matrix[0, v]
        # Tensors are added before an operation and concatenated before the output.
        read[v] = brought.sum() if v == last else (mixture**2).sum()
        if v == last:
            energy[v] = read[v]
        elif cell.operations[v] == MAXPOOL3X3:
            carried[v] = POOL_VARIANCE**0.5 * mixture
            energy[v] = POOL_VARIANCE * read[v]
        else:
            carried[v, v] = 1
    gradient = np.zeros(last + 1)
    gradient[last], gradient[0] = 1, matrix[0, last]
    for v in range(last - 1, 0, -1):
        gradient[v] += matrix[v, last] / feeders
        pooled = cell.operations[v] == MAXPOOL3X3
        gradient[:v] += matrix[:v, v] * gradient[v] * (POOL_VARIANCE if pooled else GRADIENT_GAIN / read[v])
    return CellSignal(cell, energy, flow, gradient)
