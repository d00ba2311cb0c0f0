"""Pictures of cells: where vertices and edges go, and the drawing."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, FancyArrowPatch, FancyBboxPatch

from nplib.cell import CONV3X3, Cell
from nplib.errors import UserError
from nplib.plots.style import (
    BLUE,
    OPERATION_COLOURS,
    OPERATION_LABELS,
    ORANGE,
    PALETTE,
    PHONE_WIDTH,
    columns,
    finish,
)

PICTURE_FORMATS = ("svg", "png", "pdf")


@dataclass(frozen=True, eq=False)
class CellPicture:
    """A cell laid out from left to right, in units of the distance between two columns.

    Attributes:
        places (array, shape (V, 2)): Of vertices: x, the longest path from the input in edges, and y, about 0.
        bends (list of float): Of edges, in the order of :attr:`nplib.cell.Cell.edges`: how far each curves, as in
            matplotlib's ``arc3``.
        reach (float): How far the picture goes up and down.
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


def draw_cell(
    cell: Cell,
    axes: Axes,
    title: str = "",
    weights: np.ndarray | None = None,
    notes: Sequence[str] = (),
    names: Sequence[str] = (),
) -> None:
    """Draw a cell from left to right: a disc for every vertex, coloured by its operation, and its edges.

    Edges are as thick as their weights, (V, V), from 0 to 1, if these are given; notes stand below the vertices; names
    of operations, which may be unknown ones, take the place of the cell's own.
    """
    picture = lay_out(cell)
    places = picture.places
    for (u, v), bend in zip(cell.edges, picture.bends, strict=True):
        arrow = FancyArrowPatch(
            places[u],
            places[v],
            arrowstyle="-|>",
            mutation_scale=11,
            shrinkA=11,
            shrinkB=11,
            color="0.35",
            linewidth=1.1 if weights is None else 0.3 + 3.2 * weights[u, v],
            connectionstyle=f"arc3,rad={bend}",
            clip_on=False,  # edges bend as far as they are long on the page, in a wide panel out of it
        )
        axes.add_patch(arrow)
    for place, operation in zip(places, names or cell.operations, strict=True):
        colour, label = OPERATION_COLOURS.get(operation, "white"), OPERATION_LABELS.get(operation, operation)
        axes.plot(*place, "o", markersize=23, color=colour, markeredgecolor="0.3", markeredgewidth=0.8)
        ink = "white" if operation == CONV3X3 else "black"
        axes.text(*place, label, ha="center", va="center", size=8, color=ink, parse_math=False)
    for place, note in zip(places, notes, strict=False):
        axes.annotate(note, place, (0, -13), textcoords="offset points", ha="center", va="top", size=8)
    axes.set(xlim=(-0.6, places[:, 0].max() + 0.6), ylim=(-picture.reach, picture.reach))
    axes.set_title(title, size=9)
    axes.axis("off")


def draw_cells(cells: Sequence[Cell], titles: Sequence[str] = (), columns: int = 3) -> Figure:
    """Several cells in a grid."""
    rows = -(-len(cells) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(3.0 * columns, 1.7 * rows), squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    titles = list(titles) or [""] * len(cells)
    for cell, title, axes in zip(cells, titles, grid.flat, strict=False):
        draw_cell(cell, axes, title)
    return finish(figure)


def cell_image(cell: Cell, file_format: str, names: Sequence[str] = ()) -> bytes:
    """A picture of one cell as the bytes of a file, whatever the settings of matplotlib are.

    Args:
        file_format (str): ``"svg"``, ``"png"`` or ``"pdf"``.
        names (sequence of str): As :func:`draw_cell` takes them.
    """
    if file_format not in PICTURE_FORMATS:
        raise UserError(f"no picture is made as {file_format!r}; there are {', '.join(PICTURE_FORMATS)}")
    picture = lay_out(cell)
    image = io.BytesIO()
    with plt.style.context(["default", {"svg.fonttype": "none"}]):  # texts stay texts
        figure = Figure(figsize=(1.0 + 0.9 * picture.places[:, 0].max(), 0.75 * picture.reach + 0.3))
        draw_cell(cell, figure.add_axes((0, 0, 1, 1)), names=names)
        figure.savefig(image, format=file_format)
    return image.getvalue()


def cell_in_network(cell: Cell) -> Figure:
    """The network of a cell: a stem, three stacks of three copies of the cell, a mean over the image, ten classes.

    Source: Ying et al., "NAS-Bench-101", 2019, figure 1.
    """
    figure, (above, below) = plt.subplots(2, 1, figsize=(PHONE_WIDTH, 4.3), height_ratios=[1.35, 1.0])
    stacks = {
        128: ["image\n32×32", "3×3\nconv", *["cell"] * 3],
        256: ["", "halve", *["cell"] * 3],
        512: ["", "halve", *["cell"] * 3, "mean", "10\nclasses"],
    }
    arrow, apart = {"arrowstyle": "-|>", "color": "0.35"}, 1.3  # apart: how far one row is below the other
    for row, (channels, parts) in enumerate(stacks.items()):
        y = -apart * row
        for place, part in enumerate(parts):
            if not part:  # from the last cell of the row above
                above.plot([4.38, 4.7, 4.7, 0.3, 0.3, 0.5], [y + apart] * 2 + [y + 0.85] * 2 + [y] * 2, color="0.35")
                continue
            box = FancyBboxPatch(
                (place - 0.38, y - 0.38),
                0.76,
                0.76,
                boxstyle="round,pad=0,rounding_size=0.12",
                facecolor=PALETTE[9] if part == "cell" else "0.93",
                edgecolor="0.3",
                linewidth=0.8,
            )
            above.add_patch(box)
            above.text(place, y, part, ha="center", va="center", fontsize=8)
            if place:
                above.annotate("", (place - 0.38, y), (place - 0.62, y), arrowprops=arrow)
        above.text(3, y + 0.47, f"{channels} channels", ha="center", fontsize=8)
    above.set(xlim=(-0.6, 6.6), ylim=(y - 0.5, 0.8), aspect="equal")
    above.axis("off")
    draw_cell(cell, below, f"every cell: {cell.num_vertices} boxes, {len(cell.edges)} arrows")
    for corner, side in ((1.62, 0.0), (4.38, 1.0)):  # the last row's cells stand for all
        line = ConnectionPatch(
            (corner, y - 0.42), (side, 1.0), above.transData, below.transAxes, color="0.7", linewidth=0.8
        )
        figure.add_artist(line)
    return finish(figure)


def message_passing(cell: Cell, vertex: int) -> Figure:
    """One step of the predictor at one vertex: what it reads, and with which weights, along and against edges.

    The weights are rows of the paper's two matrices: the row-normalised A + I, and its transpose, normalised again.
    Source: Wen et al., "Neural Predictor for Neural Architecture Search", 2019, equation 3.

    Args:
        vertex (int): Whose new state is computed; from 0.
    """
    propagation = np.asarray(cell.matrix, dtype=float) + np.eye(cell.num_vertices)
    propagation /= propagation.sum(axis=1, keepdims=True)
    against = propagation.T / propagation.T.sum(axis=1, keepdims=True)
    figure, panels = columns(2, width=4.0, height=2.9)
    titles = ("along the arrows: itself and what it feeds", "against them: itself and what feeds it")
    for axes, weights, title in zip(panels, (propagation[vertex], against[vertex]), titles, strict=True):
        draw_cell(cell, axes, title)
        places = lay_out(cell).places
        read = np.flatnonzero(weights)
        for place, weight in zip(places[read], weights[read], strict=True):
            axes.annotate(f"{weight:.2f}", place, (0, -16), textcoords="offset points", ha="center", va="top", size=9)
        axes.plot(*places[read].T, "o", markersize=29, fillstyle="none", color=BLUE, markeredgewidth=1.5)
        axes.plot(*places[vertex], "o", markersize=29, fillstyle="none", color=ORANGE, markeredgewidth=2.5)
    return finish(figure)
