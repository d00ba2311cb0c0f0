"""Cells for tests: random ones for property tests, and the official example."""

import numpy as np
from hypothesis import strategies as st

from nplib.cell import CONV1X1, CONV3X3, INPUT, INTERIOR_OPERATIONS, MAXPOOL3X3, OUTPUT, Cell

# The example of the official repository: an Inception-like cell, its 5x5 convolution made of two of 3x3.
INCEPTION_MATRIX = [
    [0, 1, 1, 1, 0, 1, 0],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 1, 0, 0],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 0],
]
INCEPTION_OPS = [INPUT, CONV1X1, CONV3X3, CONV3X3, CONV3X3, MAXPOOL3X3, OUTPUT]


@st.composite
def cells(draw, max_vertices=7):
    """Any labelled graph: dense or sparse, connected or not, with vertices that hang in the air or none."""
    size = draw(st.integers(2, max_vertices))
    edges = draw(st.lists(st.booleans(), min_size=size * (size - 1) // 2, max_size=size * (size - 1) // 2))
    matrix = np.zeros((size, size), dtype=int)
    matrix[np.triu_indices(size, 1)] = edges
    interior = draw(st.lists(st.sampled_from(INTERIOR_OPERATIONS), min_size=size - 2, max_size=size - 2))
    return Cell(matrix, [INPUT, *interior, OUTPUT])


@st.composite
def relabelled_cells(draw, max_vertices=7):
    """A cell and the same with its interior vertices in another order that keeps every edge going forward."""
    cell = draw(cells(max_vertices))
    last = cell.num_vertices - 1
    waiting = draw(st.permutations(range(1, last)))
    order = [0]
    while waiting:
        vertex = next(v for v in waiting if not any(cell.matrix[u, v] for u in waiting))
        waiting.remove(vertex)
        order.append(vertex)
    order.append(last)
    return cell, Cell(cell.matrix[np.ix_(order, order)], [cell.operations[v] for v in order])
