"""A cell as the official library describes one: :class:`ModelSpec`, for code written against ``nasbench.api``.

:class:`~nplib.cell.Cell` is what the rest of this package uses. A ``ModelSpec`` prunes as it is made, is told which
operations there are only when it is hashed, and may be changed after.
"""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from nplib._files import expand, replacing
from nplib.api.graph_util import hash_module
from nplib.cell import CONV1X1, INPUT, OUTPUT, Cell, InvalidCell

INPUT_LABEL = -1
OUTPUT_LABEL = -2


class ModelSpec:
    """An adjacency matrix and the operation of every vertex, pruned.

    Args:
        matrix (array_like, shape (V, V)): Of 0 and 1; ``matrix[u, v] == 1`` is an edge from vertex ``u`` to vertex
            ``v``, and ``u < v``. Any number of vertices: what NASBench-101 holds is asked of
            :meth:`~nplib.api.nasbench.NASBench.is_valid`.
        ops (sequence of str, length V): The first and the last belong to input and output and count for nothing here.
        data_format (str): Kept, and not used.

    Attributes:
        original_matrix, original_ops (array, list): Copies of what was given.
        matrix, ops (array, shape (W, W), list of str): Without the vertices that lie on no path from input to output;
            None if nothing is left.
        valid_spec (bool): Whether the input reaches the output.

    Raises:
        InvalidCell: If the matrix is not square, not of 0 and 1 or not upper-triangular, or has another size than the
            operations. It is a ``ValueError``.

    >>> spec = ModelSpec([[0, 1, 1], [0, 0, 0], [0, 0, 0]], ["input", "maxpool3x3", "output"])
    >>> spec.valid_spec, spec.matrix.tolist(), spec.ops
    (True, [[0, 1], [0, 0]], ['input', 'output'])

    Notes:
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

        Args:
            canonical_ops (sequence of str): Operations in the order of their codes; that of NASBench-101 is
                ``config["available_ops"]``.

        Raises:
            InvalidCell: If the spec is not valid, or an operation is none of those.
        """
        self._require_valid()
        codes = {op: code for code, op in reversed(list(enumerate(canonical_ops)))}
        unknown = [op for op in self.ops[1:-1] if op not in codes]
        if unknown:
            raise InvalidCell(f"operation {unknown[0]!r} is none of {', '.join(map(str, canonical_ops))}")
        return hash_module(self.matrix, [INPUT_LABEL, *(codes[op] for op in self.ops[1:-1]), OUTPUT_LABEL])

    def visualize(self) -> CellDrawing:
        """The pruned cell as a graph: a notebook shows it, and ``source`` is its text for Graphviz.

        Raises:
            InvalidCell: If the spec is not valid.
        """
        self._require_valid()
        return CellDrawing(self.matrix, [INPUT, *map(str, self.ops[1:-1]), OUTPUT])

    def _require_valid(self) -> None:
        if not self.valid_spec:
            raise InvalidCell("the input does not reach the output, so nothing is left after pruning (valid_spec)")


class CellDrawing:
    """A drawing of a graph, with the methods that a graph of the package ``graphviz`` has; needs no Graphviz."""

    def __init__(self, matrix: np.ndarray, labels: Sequence[str]) -> None:
        self._matrix, self._labels = np.asarray(matrix).astype(int), list(labels)

    @property
    def source(self) -> str:
        """The graph in the DOT language of Graphviz."""
        quoted = [label.replace("\\", "\\\\").replace('"', '\\"') for label in self._labels]
        lines = [f'{v} [label="{label}"]' for v, label in enumerate(quoted)]
        lines += [f"{u} -> {v}" for u, v in np.argwhere(self._matrix)]
        return "digraph {\n" + "".join(f"\t{line}\n" for line in lines) + "}\n"

    def pipe(self, format: str | None = None, encoding: str | None = None) -> bytes | str:
        """The picture as ``pdf`` (the default), ``png`` or ``svg``; as text if an encoding is given."""
        from nplib.plots.cells import cell_image  # loads matplotlib

        # Where vertices go depends on edges alone, so any operations serve.
        cell = Cell(self._matrix, [INPUT, *[CONV1X1] * (len(self._labels) - 2), OUTPUT])
        image = cell_image(cell, format or "pdf", self._labels)
        return image if encoding is None else image.decode(encoding)

    def render(
        self,
        filename: str | None = None,
        directory: str | None = None,
        view: bool = False,
        cleanup: bool = False,
        format: str | None = None,
    ) -> str:
        """Write :attr:`source` to a file, and the picture beside it; returns the path of the picture.

        What is there is replaced, as by Graphviz. ``cleanup`` leaves the picture alone; ``view`` opens it.
        """
        path = expand(directory or "") / expand(filename or "Digraph.gv")
        picture = Path(f"{path}.{format or 'pdf'}")
        path.parent.mkdir(parents=True, exist_ok=True)
        for target, data in ((path, self.source.encode()), (picture, self.pipe(format))):
            if target is picture or not cleanup:
                with replacing(target, overwrite=True) as partial:
                    partial.write_bytes(data)
        if view:
            webbrowser.open(picture.absolute().as_uri())
        return str(picture)

    def view(self, filename: str | None = None, directory: str | None = None, cleanup: bool = False) -> str:
        """As :meth:`render`, and opens the picture."""
        return self.render(filename, directory, view=True, cleanup=cleanup)

    def _repr_svg_(self) -> str:
        """The drawing as Jupyter asks for it, from left to right."""
        return str(self.pipe("svg", "utf8"))


def is_upper_triangular(matrix: ArrayLike) -> bool:
    """Whether a matrix, shape (V, V), is 0 on its diagonal and below."""
    return not np.tril(np.asarray(matrix) != 0).any()


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
    if matrix.dtype.kind not in "biufO" or not all(edge in (0, 1) for row in rows for edge in row):
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
