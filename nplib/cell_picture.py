"""Where the vertices and edges of a cell go in a picture of it; :mod:`nplib.plots` draws them there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nplib.cell import Cell


@dataclass(frozen=True, eq=False)
class CellPicture:
    """A cell laid out from left to right, in units of the distance between two columns.

    Attributes
    ----------
    places : array, shape (V, 2)
        Of vertices: x, the longest path from the input in edges, and y, about 0.
    bends : list of float
        Of edges, in the order of :attr:`nplib.cell.Cell.edges`: how far each curves, as in matplotlib's ``arc3``.
    reach : float
        How far the picture goes up and down.
    """

    places: np.ndarray
    bends: list[float]
    reach: float


def lay_out(cell: Cell) -> CellPicture:
    """Place the vertices of a cell in columns, and bend its edges so that they pass by other vertices and one another.

    An edge to the next column is straight.
    """
    depths = _depths(cell)
    places = np.zeros((cell.num_vertices, 2))
    for depth in range(depths.max() + 1):
        row = np.flatnonzero(depths == depth)
        places[row, 0] = depth
        places[row, 1] = (len(row) - 1) / 2 - np.arange(len(row))
    bends: list[float] = []
    reach = max(1.4, np.abs(places[:, 1]).max() + 0.6)
    for u, v in cell.edges:
        between = [w for w in range(cell.num_vertices) if w not in (u, v)]
        bends.append(_bend(places[u], places[v], places[between], bends))
        peak = (places[u, 1] + places[v, 1]) / 2 - bends[-1] * (depths[v] - depths[u]) / 2
        reach = max(reach, abs(peak) + 0.2)
    return CellPicture(places, bends, reach)


def _depths(cell: Cell) -> np.ndarray:
    """Longest path from the input to every vertex, in edges."""
    depths = np.zeros(cell.num_vertices, dtype=int)
    for u, v in cell.edges:
        depths[v] = max(depths[v], depths[u] + 1)
    depths[-1] = depths.max() if cell.num_vertices > 1 else 0
    return depths


def _bend(start: np.ndarray, stop: np.ndarray, others: np.ndarray, earlier: list[float]) -> float:
    """How far an edge curves to pass by other vertices and earlier edges."""
    if stop[0] - start[0] == 1:
        return 0.0
    t = np.linspace(0, 1, 30)[:, None]
    forward = stop - start
    best, fewest = 0.0, np.inf
    for bend in (0.0, 0.35, -0.35, 0.5, -0.5, 0.65, -0.65):
        control = (start + stop) / 2 + bend * np.array([forward[1], -forward[0]])
        curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * stop
        near = np.abs(curve[:, None] - others).max(axis=2).min(axis=0)  # distance of the curve to each vertex
        beside = sum(np.sign(other) == np.sign(bend) for other in earlier)
        cost = 10 * (near < 0.4).sum() + beside + abs(bend)
        if cost < fewest:
            best, fewest = bend, cost
    return best
