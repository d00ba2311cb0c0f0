"""A cell as the official library describes one: :class:`ModelSpec`, for code written against ``nasbench.api``.

:class:`~nplib.cell.Cell` is what the rest of this package uses. A ``ModelSpec`` prunes as it is made, is told which
operations there are only when it is hashed, and may be changed after.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import ArrayLike

from nplib.cell import INPUT, OUTPUT, Cell, InvalidCell, graph_hash

INPUT_LABEL = -1
OUTPUT_LABEL = -2


class ModelSpec:
    """An adjacency matrix and the operation of every vertex, pruned.

    Parameters
    ----------
    matrix : array_like, shape (V, V)
        Of 0 and 1; ``matrix[u, v] == 1`` is an edge from vertex ``u`` to vertex ``v``, and ``u < v``. Any number of
        vertices: what NASBench-101 holds is asked of :meth:`nplib.api.NASBench.is_valid`.
    ops : sequence of str, length V
        The first and the last belong to input and output and count for nothing here.
    data_format : str
        Kept, and not used.

    Attributes
    ----------
    original_matrix, original_ops : array, list
        Copies of what was given.
    matrix : array, shape (W, W), or None
        Without the vertices that lie on no path from input to output; of the type that was given. None if nothing is
        left.
    ops : list of str, or None
        Operations of the vertices that are left.
    valid_spec : bool
        Whether the input reaches the output.
    data_format : str

    Raises
    ------
    InvalidCell
        If the matrix is not square, not of 0 and 1 or not upper-triangular, or has another size than the operations.
        It is a ``ValueError``.

    Examples
    --------
    >>> spec = ModelSpec([[0, 1, 1], [0, 0, 0], [0, 0, 0]], ["input", "maxpool3x3", "output"])
    >>> spec.valid_spec, spec.matrix.tolist(), spec.ops
    (True, [[0, 1], [0, 0]], ['input', 'output'])

    Notes
    -----
    Behaves as ``nasbench/lib/model_spec.py`` of google-research/nasbench.
    """

    def __init__(self, matrix: ArrayLike, ops: Sequence[str], data_format: str = "channels_last") -> None:
        self.original_matrix = _checked_matrix(matrix)
        self.original_ops = list(ops)
        if len(self.original_ops) != len(self.original_matrix):
            raise InvalidCell(
                f"{len(self.original_ops)} ops for a matrix of {len(self.original_matrix)} vertices; there must be "
                "one for each"
            )
        kept = _on_path(self.original_matrix.tolist())
        self.valid_spec = len(kept) >= 2
        self.matrix: np.ndarray | None = self.original_matrix[kept][:, kept] if self.valid_spec else None
        self.ops: list[str] | None = [self.original_ops[v] for v in kept] if self.valid_spec else None
        self.data_format = data_format

    def __repr__(self) -> str:
        if not self.valid_spec:
            return "ModelSpec(the input does not reach the output)"
        return f"ModelSpec({self.matrix.tolist()}, {self.ops})"

    def hash_spec(self, canonical_ops: Sequence[str]) -> str:
        """The 32 hexadecimal digits that name this cell, equal for isomorphic cells.

        Parameters
        ----------
        canonical_ops : sequence of str
            Operations in the order of their codes; that of NASBench-101 is ``config["available_ops"]``.

        Raises
        ------
        InvalidCell
            If the spec is not valid, or an operation is none of those.
        """
        self._require_valid()
        codes = {op: code for code, op in reversed(list(enumerate(canonical_ops)))}
        unknown = [op for op in self.ops[1:-1] if op not in codes]
        if unknown:
            raise InvalidCell(f"operation {unknown[0]!r} is none of {', '.join(map(str, canonical_ops))}")
        labels = (INPUT_LABEL, *(codes[op] for op in self.ops[1:-1]), OUTPUT_LABEL)
        # Whole numbers whatever the type of the matrix: the text of 1.0 or True has another digest.
        return graph_hash(tuple(map(tuple, np.asarray(self.matrix).astype(int).tolist())), labels)

    def visualize(self) -> CellDrawing:
        """The pruned cell as a graph: a notebook shows it, and ``source`` is its text for Graphviz.

        Raises
        ------
        InvalidCell
            If the spec is not valid.
        """
        self._require_valid()
        return CellDrawing(self.matrix, [INPUT, *map(str, self.ops[1:-1]), OUTPUT])

    def _require_valid(self) -> None:
        if not self.valid_spec:
            raise InvalidCell("the input does not reach the output, so nothing is left after pruning (valid_spec)")


class CellDrawing:
    """A drawing of a graph, as :meth:`ModelSpec.visualize` gives it."""

    def __init__(self, matrix: np.ndarray, labels: Sequence[str]) -> None:
        self._edges = [(int(u), int(v)) for u, v in np.argwhere(matrix)]
        self._labels = list(labels)

    @property
    def source(self) -> str:
        """The graph in the DOT language of Graphviz."""
        quoted = [label.replace("\\", "\\\\").replace('"', '\\"') for label in self._labels]
        lines = [f'{v} [label="{label}"]' for v, label in enumerate(quoted)]
        lines += [f"{u} -> {v}" for u, v in self._edges]
        return "digraph {\n" + "".join(f"\t{line}\n" for line in lines) + "}\n"

    def _repr_svg_(self) -> str:
        """The drawing as Jupyter asks for it, from left to right."""
        from nplib.plots.cells import lay_out  # loads matplotlib

        step, half, height = np.array([150, 70]), np.array([54, 0]), 26  # pixels: grid, half a box, its height
        matrix = np.zeros((len(self._labels),) * 2, dtype=int)
        if self._edges:
            matrix[tuple(np.transpose(self._edges))] = 1
        # Places depend on edges alone, so any operations serve.
        picture = lay_out(Cell(matrix, [INPUT, *["maxpool3x3"] * (len(matrix) - 2), OUTPUT]))
        shift = np.array([half[0] + 4, picture.reach * step[1]])
        places = picture.places * step * (1, -1) + shift
        width, depth = places[:, 0].max() + half[0] + 4, 2 * picture.reach * step[1]
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{depth:.0f}" '
            'font-family="sans-serif" font-size="12" text-anchor="middle">',
            '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
            '<path d="M0,1 L8,4 L0,7 z"/></marker></defs>',
        ]
        for (u, v), bend in zip(self._edges, picture.bends, strict=True):
            middle = (picture.places[u] + picture.places[v]) / 2
            x, y = picture.places[v] - picture.places[u]
            (ax, ay), (bx, by) = places[u] + half, places[v] - half
            cx, cy = (middle + bend * np.array([y, -x])) * step * (1, -1) + shift
            parts.append(
                f'<path d="M{ax:.1f},{ay:.1f} Q{cx:.1f},{cy:.1f} {bx:.1f},{by:.1f}" fill="none" stroke="black" '
                'marker-end="url(#tip)"/>'
            )
        for (x, y), label in zip(places, self._labels, strict=True):
            parts.append(
                f'<rect x="{x - half[0]:.1f}" y="{y - height / 2:.1f}" width="{2 * half[0]}" height="{height}" rx="6" '
                f'fill="white" stroke="black"/><text x="{x:.1f}" y="{y + 4:.1f}">{escape(label)}</text>'
            )
        return "".join(parts) + "</svg>"


def _checked_matrix(matrix: ArrayLike) -> np.ndarray:
    """A copy of an adjacency matrix, shape (V, V), of the type it has."""
    try:
        matrix = np.array(matrix)
    except ValueError as error:
        raise InvalidCell("matrix has rows of different lengths; it must be square, (V, V)") from error
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InvalidCell(f"matrix has shape {matrix.shape}; it must be square, (V, V)")
    # Searches make many specs, and on lists this small Python is faster than NumPy.
    rows = matrix.tolist()
    if matrix.dtype.kind not in "biuf" or not set().union(*rows) <= {0, 1}:
        raise InvalidCell("matrix must hold only the numbers 0 and 1; 1 where an edge is")
    for u, row in enumerate(rows):
        if any(row[: u + 1]):
            v = row.index(1)
            raise InvalidCell(f"edge {u} -> {v} does not go forward; matrix must be strictly upper triangular")
    return matrix


def _on_path(rows: list[list[int]]) -> list[int]:
    """Vertices on a path from the first to the last."""
    vertices = range(len(rows))
    from_input, to_output = {0}, {len(rows) - 1}
    for v in vertices:
        if v in from_input:
            from_input.update(w for w in vertices if rows[v][w])
    for v in reversed(vertices):
        if any(rows[v][w] for w in to_output):
            to_output.add(v)
    return sorted(from_input & to_output)
