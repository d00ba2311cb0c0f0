"""A cell of NASBench-101: a small directed acyclic graph whose vertices are labelled with operations.

Everything here works on one cell and is written to be read; :class:`Cells` holds many as arrays, and
:mod:`nplib.space` all 423,624.
Source: Ying et al., "NAS-Bench-101: Towards Reproducible Neural Architecture Search", 2019, and its public library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, TypeVar

import numpy as np

from nplib.errors import UserError

INPUT = "input"
OUTPUT = "output"
CONV3X3 = "conv3x3-bn-relu"
CONV1X1 = "conv1x1-bn-relu"
MAXPOOL3X3 = "maxpool3x3"
INTERIOR_OPERATIONS = (CONV3X3, CONV1X1, MAXPOOL3X3)
OPERATION_CODES = {INPUT: -1, OUTPUT: -2, CONV3X3: 0, CONV1X1: 1, MAXPOOL3X3: 2}
OPERATION_NAMES = {code: name for name, code in OPERATION_CODES.items()}

MAX_VERTICES = 7
MAX_EDGES = 9

STEM_CHANNELS = 128
NUM_STACKS = 3
MODULES_PER_STACK = 3
NUM_CLASSES = 10


Derived = TypeVar("Derived")


class InvalidCell(UserError):
    """The graph is no cell: the message names what was found and what a cell needs."""


@dataclass(frozen=True, eq=False)
class Cell:
    """One cell: an upper-triangular adjacency matrix and an operation for every vertex.

    Args:
        matrix (array_like, shape (V, V)): ``matrix[u, v] == 1`` is an edge from vertex ``u`` to vertex ``v``;
            ``u < v``. Vertex 0 is the input, vertex ``V - 1`` the output. Stored as a read-only int8 array.
        operations (sequence of str, length V): ``"input"``, then the interior operations (``conv3x3-bn-relu``,
            ``conv1x1-bn-relu``, ``maxpool3x3``), then ``"output"``.

    Raises:
        InvalidCell: If the matrix is not square, not 0/1, not upper-triangular, or the operations do not fit it.
            Vertices off every input-output path are allowed here, as in the official library; :meth:`pruned` removes
            them.

    >>> cell = Cell([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", "conv3x3-bn-relu", "output"])
    >>> cell.num_edges, cell.trainable_parameters
    (2, 10177674)
    """

    matrix: np.ndarray
    operations: tuple[str, ...]

    def __post_init__(self) -> None:
        try:
            matrix = np.asarray(self.matrix)
        except ValueError as error:
            raise InvalidCell("adjacency matrix has rows of different lengths; it must be square, (V, V)") from error
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise InvalidCell(f"adjacency matrix has shape {matrix.shape}; it must be square, (V, V)")
        if len(matrix) < 2:
            raise InvalidCell(f"a cell of {len(matrix)} vertices; it needs at least 2, the input and the output")
        if matrix.dtype.kind not in "biuf":
            raise InvalidCell(f"adjacency matrix is of type {matrix.dtype}; it must hold the numbers 0 and 1")
        if not np.isin(matrix, (0, 1)).all():
            found = np.setdiff1d(matrix, (0, 1)).tolist()
            raise InvalidCell(f"adjacency matrix holds {found}; only 0 and 1 are allowed")
        if np.tril(matrix).any():
            row, column = np.argwhere(np.tril(matrix))[0]
            raise InvalidCell(
                f"edge {row} -> {column} does not go forward; the matrix must be strictly upper-triangular"
            )
        if not isinstance(self.operations, Iterable):
            raise InvalidCell(f"operations are {self.operations!r}; they must be a list, one for each vertex")
        operations = tuple(str(operation) for operation in self.operations)
        if len(operations) != len(matrix):
            raise InvalidCell(f"{len(operations)} operations for {len(matrix)} vertices; there must be one for each")
        if operations[0] != INPUT or operations[-1] != OUTPUT:
            raise InvalidCell(
                f"operations run from {operations[0]!r} to {operations[-1]!r}; they must from {INPUT!r} to {OUTPUT!r}"
            )
        for vertex, operation in enumerate(operations[1:-1], start=1):
            if operation not in INTERIOR_OPERATIONS:
                raise InvalidCell(
                    f"vertex {vertex} has operation {operation!r}; known are {', '.join(INTERIOR_OPERATIONS)}"
                )
        matrix = matrix.astype(np.int8)
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "operations", operations)

    @classmethod
    def from_codes(cls, matrix: np.ndarray, codes: Iterable[int]) -> Cell:
        """Make a cell from integer operation codes (input -1, output -2, conv3x3 0, conv1x1 1, maxpool 2)."""
        codes = list(codes)
        unknown = ", ".join(str(code) for code in codes if code not in OPERATION_NAMES)
        if unknown:
            raise InvalidCell(f"unknown operation codes: {unknown}; known are {sorted(OPERATION_NAMES)}")
        return cls(matrix, tuple(OPERATION_NAMES[code] for code in codes))

    def __eq__(self, other: object) -> bool:
        """Equal as labelled graphs; compare :attr:`module_hash` for equality up to isomorphism."""
        if not isinstance(other, Cell):
            return NotImplemented
        return self.operations == other.operations and np.array_equal(self.matrix, other.matrix)

    def __hash__(self) -> int:
        return hash((self.operations, self.matrix.tobytes()))

    def __repr__(self) -> str:
        edges = " ".join(f"{u}->{v}" for u, v in self.edges)
        return f"Cell({' '.join(self.operations[1:-1]) or 'no interior vertex'}; {edges})"

    @property
    def num_vertices(self) -> int:
        return len(self.matrix)

    @property
    def codes(self) -> np.ndarray:
        """Operation codes, shape (V,), int8."""
        return np.array([OPERATION_CODES[operation] for operation in self.operations], dtype=np.int8)

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Edges (from, to), ordered by their start and then their end."""
        return tuple((int(u), int(v)) for u, v in np.argwhere(self.matrix))

    @property
    def num_edges(self) -> int:
        return int(self.matrix.sum())

    def on_path(self) -> np.ndarray:
        """Which vertices lie on a path from input to output, shape (V,), bool."""
        last = self.num_vertices - 1
        from_input = np.zeros(self.num_vertices, dtype=bool)
        to_output = np.zeros(self.num_vertices, dtype=bool)
        from_input[0] = to_output[last] = True
        for vertex in range(1, self.num_vertices):
            from_input[vertex] = (self.matrix[:, vertex].astype(bool) & from_input).any()
        for vertex in range(last - 1, -1, -1):
            to_output[vertex] = (self.matrix[vertex].astype(bool) & to_output).any()
        return from_input & to_output

    @cached_property
    def _pruned(self) -> Cell | None:
        keep = self.on_path()
        if not keep[0]:
            return None
        if keep.all():
            return self
        return Cell(self.matrix[np.ix_(keep, keep)], tuple(np.array(self.operations, dtype=object)[keep]))

    def pruned(self) -> Cell:
        """This cell without the vertices that lie on no path from input to output; InvalidCell if there is none."""
        if self._pruned is None:
            raise InvalidCell("the input does not reach the output, so nothing is left after pruning")
        return self._pruned

    @property
    def in_space(self) -> bool:
        """Whether NASBench-101 holds this cell, connected and of at most 7 vertices and 9 edges after pruning."""
        pruned = self._pruned
        return pruned is not None and pruned.num_vertices <= MAX_VERTICES and pruned.num_edges <= MAX_EDGES

    @cached_property
    def module_hash(self) -> str:
        """The 32 hexadecimal digits that name the pruned cell in NASBench-101, equal for isomorphic cells.

        Vertex hashes start from (out-degree, in-degree, operation code) and are mixed V times with those of their
        neighbours; the module hash is that of the sorted vertex hashes (``graph_util.hash_module`` of the official
        library).
        """
        cell = self.pruned()
        # Plain ints: NumPy 2 prints its own scalars as "np.int8(1)", and every hash would silently be another.
        rows = tuple(map(tuple, cell.matrix.astype(int).tolist()))
        return graph_hash(rows, tuple(OPERATION_CODES[operation] for operation in cell.operations))

    @cached_property
    def trainable_parameters(self) -> int:
        """Trainable parameters of the whole network built from the pruned cell (3x3 stem, 3 stacks of 3 modules).

        Channels that do not divide evenly go to the first vertices, so isomorphic cells can differ by a few.
        """
        cell = self.pruned()
        matrix_cost, operation_costs = parameter_costs(cell.matrix)
        codes = cell.codes[1:-1]
        return matrix_cost + sum(int(operation_costs[v, code]) for v, code in enumerate(codes, start=1))


@lru_cache(maxsize=2**16)
def graph_hash(rows: tuple[tuple[int, ...], ...], labels: tuple[int, ...]) -> str:
    """Module hash of a pruned graph: rows of its adjacency matrix, a label a vertex. See :attr:`Cell.module_hash`."""
    vertices = range(len(rows))
    targets = [[v for v in vertices if row[v]] for row in rows]
    sources = [[u for u in vertices if rows[u][v]] for v in vertices]
    hashes = [_md5(str((len(targets[v]), len(sources[v]), labels[v]))) for v in vertices]
    for _ in vertices:
        hashes = [
            _md5(
                f"{''.join(sorted([hashes[u] for u in sources[v]]))}|"
                f"{''.join(sorted([hashes[w] for w in targets[v]]))}|{hashes[v]}"
            )
            for v in vertices
        ]
    return _md5(str(sorted(hashes)))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def vertex_channels(matrix: np.ndarray, input_channels: int, output_channels: int) -> list[int]:
    """Channels of every vertex of a module (``compute_vertex_channels`` of the official library).

    Vertices that feed the output share its channels equally, and the remainder goes one each to the first of them;
    any other interior vertex has the largest channel count that it feeds. The matrix, shape (V, V), is pruned.
    """
    edges, last = matrix.tolist(), len(matrix) - 1
    channels = [0] * len(matrix)
    channels[0] = input_channels
    channels[last] = output_channels
    feeders = [v for v in range(1, last) if edges[v][last]]
    for order, vertex in enumerate(feeders):
        share, remainder = divmod(output_channels, len(feeders))
        channels[vertex] = share + (order < remainder)
    for vertex in range(last - 1, 0, -1):
        if not edges[vertex][last]:
            channels[vertex] = max(channels[w] for w in range(vertex + 1, last) if edges[vertex][w])
    return channels


def convolution_parameters(kernel: int, inputs: int, outputs: int) -> int:
    """Parameters of a kernel x kernel convolution without bias, with batch-norm scale and shift."""
    return kernel * kernel * inputs * outputs + 2 * outputs


def parameter_costs(matrix: np.ndarray) -> tuple[int, np.ndarray]:
    """Trainable parameters of the network built from a pruned matrix, shape (V, V), split by what operations decide.

    Returns:
        fixed (int): Parameters that any choice of operations has: stem, projections, dense layer.
        by_operation (array, shape (V, 3), int64): What each vertex adds with conv3x3, conv1x1 or maxpool; zero for
            input and output.
    """
    read = np.flatnonzero(matrix[0]).tolist()  # by what projections
    fixed = convolution_parameters(3, 3, STEM_CHANNELS)
    by_operation = np.zeros((len(matrix), 3), dtype=np.int64)
    inputs = STEM_CHANNELS
    for stack in range(NUM_STACKS):
        outputs = STEM_CHANNELS * 2**stack
        channels = vertex_channels(matrix, inputs, outputs)
        widths = np.array(channels[1:-1], dtype=np.int64)
        for column, kernel in enumerate((3, 1)):
            by_operation[1:-1, column] += MODULES_PER_STACK * convolution_parameters(kernel, widths, widths)
        for _ in range(MODULES_PER_STACK):
            fixed += sum(convolution_parameters(1, inputs, channels[vertex]) for vertex in read)
            inputs = outputs
    return fixed + inputs * NUM_CLASSES + NUM_CLASSES, by_operation


@dataclass(frozen=True, eq=False)
class Cells:
    """Many cells as one value, which everything that computes hands on; read-only, with ``len``.

    Args:
        num_vertices (array, shape (N,), int8): From 2 to 7.
        adjacency, operations (array, shapes (N, 7, 7) and (N, 7), int8): Zero-padded; operations as codes.

    Raises:
        InvalidCell: If shapes or types are others. :meth:`nplib.space.Space.find_cells` says which are cells of
            NASBench-101.

    >>> chain = Cell([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", "conv3x3-bn-relu", "output"])
    >>> cells = Cells.of([chain, chain, chain])
    >>> len(cells[1:]), cells.cell(2) == chain
    (2, True)
    """

    num_vertices: np.ndarray
    adjacency: np.ndarray
    operations: np.ndarray
    _derived: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)
    _whole: tuple[Cells, Any] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        count = len(self.num_vertices) if np.ndim(self.num_vertices) else 1
        wanted = {"num_vertices": (count,), "adjacency": (count, MAX_VERTICES, MAX_VERTICES)}
        wanted["operations"] = (count, MAX_VERTICES)
        for name, shape in wanted.items():
            array = np.asarray(getattr(self, name))
            if array.shape != shape:
                raise InvalidCell(
                    f"{name} has shape {array.shape}, not {shape}; num_vertices must have shape (N,), adjacency "
                    f"(N, {MAX_VERTICES}, {MAX_VERTICES}) and operations (N, {MAX_VERTICES})"
                )
            if array.dtype.kind not in "biu":
                raise InvalidCell(f"{name} is of type {array.dtype}; it must hold integers")
            if array.dtype != np.int8 and array.size and not -128 <= array.min() <= array.max() <= 127:
                raise InvalidCell(f"{name} holds numbers from {array.min()} to {array.max()}; none is so large")
            array = array.astype(np.int8, copy=False).view()
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @classmethod
    def of(cls, cells: Sequence[Cell]) -> Cells:
        """Cells as they are, not pruned; InvalidCell if one has more than 7 vertices."""
        num_vertices = np.array([cell.num_vertices for cell in cells], dtype=np.int8)
        adjacency = np.zeros((len(cells), MAX_VERTICES, MAX_VERTICES), dtype=np.int8)
        operations = np.zeros((len(cells), MAX_VERTICES), dtype=np.int8)
        for row, cell in enumerate(cells):
            size = cell.num_vertices
            if size > MAX_VERTICES:
                raise InvalidCell(f"cell {row} has {size} vertices; at most {MAX_VERTICES} fit")
            adjacency[row, :size, :size] = cell.matrix
            operations[row, :size] = cell.codes
        return cls(num_vertices, adjacency, operations)

    def __len__(self) -> int:
        return len(self.num_vertices)

    def __getitem__(self, index: slice | np.ndarray) -> Cells:
        """Some of the cells, by a slice, indices or a mask."""
        if not isinstance(index, slice):
            index = np.asarray(index)
        part = Cells(self.num_vertices[index], self.adjacency[index], self.operations[index])
        object.__setattr__(part, "_whole", (self, index))
        return part

    def __reduce__(self) -> tuple:
        return Cells, (self.num_vertices, self.adjacency, self.operations)

    def cell(self, index: int) -> Cell:
        """The cell at an index, as an object."""
        size = int(self.num_vertices[index])
        return Cell.from_codes(self.adjacency[index, :size, :size], self.operations[index, :size])

    def derived(self, name: Hashable, make: Callable[[Cells], Derived]) -> Derived:
        """What somebody makes of these cells, made once and kept by name; of a part, taken from what the whole has.

        It has a row for each cell, which ``[index]`` picks.
        """
        if name not in self._derived:
            known = self._known(name)
            self._derived[name] = make(self) if known is None else known
        return self._derived[name]

    def _known(self, name: Hashable) -> Any:
        if name in self._derived or self._whole is None:
            return self._derived.get(name)
        whole, index = self._whole
        known = whole._known(name)
        return None if known is None else known[index]
