"""All 423,624 cells of NASBench-101 as arrays, and the table that finds any labelled graph among them.

A labelled graph is written as two numbers: its edges as ``bits``, edge x -> y as bit x + y(y - 1)/2, and its interior
operations as ``opcode``, that of vertex v as the digit of 3^(v - 1). Two small tables lead from these to the cell.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from nplib._files import cached_arrays
from nplib.cell import (
    INPUT,
    MAX_EDGES,
    MAX_VERTICES,
    OPERATION_CODES,
    OUTPUT,
    Cell,
    Cells,
    InvalidCell,
    parameter_costs,
)

SPACE_SIZE = 423_624
CELLS_BY_VERTICES = {2: 1, 3: 6, 4: 84, 5: 2_441, 6: 62_010, 7: 359_082}
NUM_INTERIOR = MAX_VERTICES - 2
NUM_OPCODES = 3**NUM_INTERIOR

# Where the edge bits of graphs with V vertices start in the tables indexed by graph.
TABLE_SIZES = {v: 2 ** (v * (v - 1) // 2) for v in range(2, MAX_VERTICES + 1)}
TABLE_STARTS = np.array([0, 0, *np.cumsum([0, *TABLE_SIZES.values()])[:-1]])

CACHE_VERSION = 1
CACHED_ARRAYS = ("digests", "matrix_bits", "matrix_vertices", "matrix", "opcode", "trainable_parameters")
CACHED_TABLES = ("matrix_of_graph", "kept_of_graph", "cell_of_matrix")


def edge_bits(adjacency: np.ndarray) -> np.ndarray:
    """Edges of zero-padded adjacency matrices, shape (N, 7, 7), as numbers, shape (N,), int32."""
    bits = np.zeros(len(adjacency), dtype=np.int32)
    for y in range(1, MAX_VERTICES):
        for x in range(y):
            bits |= adjacency[:, x, y].astype(np.int32) << (x + y * (y - 1) // 2)
    return bits


def adjacency_of_bits(bits: np.ndarray) -> np.ndarray:
    """Zero-padded adjacency matrices, shape (N, 7, 7), int8, of edge numbers, shape (N,)."""
    adjacency = np.zeros((len(bits), MAX_VERTICES, MAX_VERTICES), dtype=np.int8)
    for y in range(1, MAX_VERTICES):
        for x in range(y):
            adjacency[:, x, y] = (bits >> (x + y * (y - 1) // 2)) & 1
    return adjacency


def opcodes(num_vertices: np.ndarray, operations: np.ndarray) -> np.ndarray:
    """Interior operations, shape (N, 7), as numbers in base 3, shape (N,), int32."""
    numbers = np.zeros(len(operations), dtype=np.int32)
    for v in range(1, MAX_VERTICES - 1):
        numbers += np.where(v < num_vertices - 1, operations[:, v], 0).astype(np.int32) * 3 ** (v - 1)
    return numbers


def operations_of_opcodes(num_vertices: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Operation codes, shape (N, 7), int8, zero-padded, of opcodes, shape (N,)."""
    operations = np.zeros((len(numbers), MAX_VERTICES), dtype=np.int8)
    for v in range(1, MAX_VERTICES - 1):
        operations[:, v] = np.where(v < num_vertices - 1, numbers // 3 ** (v - 1) % 3, 0)
    operations[:, 0] = OPERATION_CODES[INPUT]
    operations[np.arange(len(numbers)), num_vertices - 1] = OPERATION_CODES[OUTPUT]
    return operations


@dataclass(frozen=True, eq=False)
class Space:
    """Every cell of NASBench-101, one of each isomorphism class, with its name and size.

    Cells are ordered by vertices, then edge bits, then operations; the representative of a class is its first member
    in that order, which is also the one that NASBench-101 trained. Use :func:`load_space` to get one.

    Attributes:
        num_vertices, adjacency, operations (array): See :class:`nplib.cell.Cells`.
        hashes, trainable_parameters: Array, shape (N,), S32 and int32.
    """

    num_vertices: np.ndarray
    adjacency: np.ndarray
    operations: np.ndarray
    hashes: np.ndarray
    trainable_parameters: np.ndarray
    # By graph (vertices and edge bits): row of the pruned matrix, -1 where it is no cell; the vertices that are kept.
    matrix_of_graph: np.ndarray
    kept_of_graph: np.ndarray
    # By pruned matrix and opcode: index of the cell.
    cell_of_matrix: np.ndarray

    def __len__(self) -> int:
        return len(self.hashes)

    @cached_property
    def cells(self) -> Cells:
        """All cells as one value."""
        return Cells(self.num_vertices, self.adjacency, self.operations)

    def cells_of(self, hashes: Iterable[str | bytes]) -> Cells:
        """Cells of these module hashes; KeyError if the space has no such cell."""
        return self.cells[np.array([self.find_hash(name) for name in hashes], dtype=np.int64)]

    def cell(self, index: int) -> Cell:
        """The cell at an index, as an object."""
        return self.cells.cell(index)

    def find(self, cell: Cell) -> int:
        """Index of the cell that this one is isomorphic to, once pruned; InvalidCell if that is not in the space."""
        pruned = cell.pruned()
        if not pruned.in_space:
            raise InvalidCell(
                f"{pruned.num_vertices} vertices and {pruned.num_edges} edges after pruning; NASBench-101 holds cells "
                f"of at most {MAX_VERTICES} and {MAX_EDGES}"
            )
        return int(self.find_cells(Cells.of([pruned]))[0])

    def find_cells(self, cells: Cells) -> np.ndarray:
        """Indices of many labelled graphs at once, pruned on the way, shape (N,), int32; -1 where one is no cell."""
        codes = opcodes(cells.num_vertices, cells.operations)
        return self.find_codes(cells.num_vertices, edge_bits(cells.adjacency), codes)

    def find_codes(self, num_vertices: np.ndarray, bits: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """As :meth:`find_cells`, for graphs written as edge bits and opcodes, all of shape (N,)."""
        graph = TABLE_STARTS[num_vertices] + bits
        matrix = self.matrix_of_graph[graph]
        interior = (self.kept_of_graph[graph] >> 1) & ((1 << (np.asarray(num_vertices) - 2)) - 1)
        cells = self.cell_of_matrix[matrix, kept_opcodes()[interior, numbers]]
        return np.where(matrix < 0, np.int32(-1), cells)

    @cached_property
    def _index_of_hash(self) -> dict[bytes, int]:
        return {name: index for index, name in enumerate(self.hashes.tolist())}

    def find_hash(self, module_hash: str | bytes) -> int:
        """Index of a module hash; KeyError if no cell of the space has it."""
        key = module_hash.encode() if isinstance(module_hash, str) else module_hash
        try:
            return self._index_of_hash[key]
        except KeyError:
            raise KeyError(f"no cell of NASBench-101 has module hash {key.decode(errors='replace')!r}") from None

    def find_hashes(self, hashes: np.ndarray) -> np.ndarray:
        """Indices, shape (N,), int64, of module hashes, shape (N,), S32; -1 where no cell has them."""
        index = self._index_of_hash
        return np.array([index.get(name, -1) for name in hashes.tolist()], dtype=np.int64)


@cache
def kept_opcodes() -> np.ndarray:
    """Opcode that is left when only some interior vertices are kept, shape (32, 243), int16."""
    numbers = np.arange(NUM_OPCODES)
    table = np.zeros((2**NUM_INTERIOR, NUM_OPCODES), dtype=np.int16)
    for kept in range(2**NUM_INTERIOR):
        place = 0
        for v in range(NUM_INTERIOR):
            if kept >> v & 1:
                table[kept] += (numbers // 3**v % 3 * 3**place).astype(np.int16)
                place += 1
    return table


def _prune_graphs(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prune every graph of ``size`` vertices: kept vertices as a mask (0: not connected), their number, their edges."""
    bits = np.arange(TABLE_SIZES[size], dtype=np.int32)
    sources = [(bits >> (v * (v - 1) // 2)) & ((1 << v) - 1) for v in range(size)]  # in-neighbours of v as a mask
    reached = np.ones_like(bits)
    for v in range(1, size):
        reached |= ((sources[v] & reached) != 0).astype(np.int32) << v
    reaching = np.full_like(bits, 1 << (size - 1))
    for v in range(size - 1, 0, -1):
        reaching |= np.where(reaching >> v & 1, sources[v], 0)
    kept = np.where(reached >> (size - 1) & 1, reached & reaching, 0)
    place = [np.bitwise_count(kept & ((1 << v) - 1)).astype(np.int32) for v in range(size)]
    edges = np.zeros_like(bits)
    for y in range(1, size):
        for x in range(y):
            edge = (sources[y] >> x) & (kept >> x) & (kept >> y) & 1
            edges |= edge << (place[x] + place[y] * (place[y] - 1) // 2)
    return kept, np.bitwise_count(kept), edges


def _enumerate() -> dict[str, np.ndarray]:
    """All cells and the look-up tables, from nothing; a few seconds."""
    from nplib._hashing import isomorphism_keys, module_digests  # compiled: only loaded when there is no cache

    pruned = {size: _prune_graphs(size) for size in TABLE_SIZES}
    full_bits = {}
    for size, (kept, _, _) in pruned.items():
        bits = np.arange(TABLE_SIZES[size], dtype=np.int32)
        full_bits[size] = bits[(kept == (1 << size) - 1) & (np.bitwise_count(bits) <= MAX_EDGES)]
    matrix_starts = dict(zip(full_bits, np.cumsum([0, *map(len, full_bits.values())])[:-1], strict=True))

    matrix_of_graph = np.full(sum(TABLE_SIZES.values()), -1, dtype=np.int16)
    for size, (kept, left, edges) in pruned.items():
        for smaller in range(2, size + 1):
            graphs = np.flatnonzero((left == smaller) & (np.bitwise_count(edges) <= MAX_EDGES) & (kept > 0))
            rows = matrix_starts[smaller] + np.searchsorted(full_bits[smaller], edges[graphs])
            matrix_of_graph[TABLE_STARTS[size] + graphs] = rows

    cell_of_matrix = np.full((sum(map(len, full_bits.values())), NUM_OPCODES), -1, dtype=np.int32)
    found = 0
    parts = []
    for size, bits in full_bits.items():
        # Labellings in the order of itertools.product: the first interior vertex changes slowest.
        rank = np.arange(3 ** (size - 2), dtype=np.int32)
        labelling = sum(rank // 3 ** (size - 2 - v) % 3 * 3 ** (v - 1) for v in range(1, size - 1)) + 0 * rank
        matrix = np.repeat(np.arange(len(bits)), len(labelling))
        numbers = np.tile(labelling, len(bits))
        vertices = np.full(len(matrix), size, dtype=np.int8)
        adjacency = adjacency_of_bits(bits)
        keys = isomorphism_keys(vertices, adjacency, matrix, operations_of_opcodes(vertices, numbers))
        _, first, class_of = np.unique(keys, return_index=True, return_inverse=True)
        order = np.argsort(first)
        position = np.empty_like(order)
        position[order] = np.arange(len(order))
        cell_of_matrix[matrix_starts[size] + matrix, numbers] = found + position[class_of]
        representative = first[order]
        matrix, numbers, vertices = matrix[representative], numbers[representative], vertices[representative]
        costs = [parameter_costs(a[:size, :size]) for a in adjacency]
        fixed = np.array([cost for cost, _ in costs])
        by_operation = np.stack([cost for _, cost in costs])  # (matrices, V, 3)
        operations = operations_of_opcodes(vertices, numbers)
        parameters = fixed[matrix]
        for v in range(1, size - 1):
            parameters = parameters + by_operation[matrix, v, operations[:, v]]
        parts.append(
            {
                "digests": module_digests(vertices, adjacency, matrix, operations),
                "matrix": (matrix_starts[size] + matrix).astype(np.int16),
                "opcode": numbers.astype(np.uint8),
                "trainable_parameters": parameters.astype(np.int32),
            }
        )
        found += len(representative)
        if len(representative) != CELLS_BY_VERTICES[size]:
            raise RuntimeError(f"found {len(representative)} cells of {size} vertices, not {CELLS_BY_VERTICES[size]}")
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    arrays["matrix_bits"] = np.concatenate(list(full_bits.values()))
    arrays["matrix_vertices"] = np.repeat(list(full_bits), [len(bits) for bits in full_bits.values()]).astype(np.int8)
    arrays["matrix_of_graph"] = matrix_of_graph
    arrays["kept_of_graph"] = np.concatenate([kept for kept, _, _ in pruned.values()]).astype(np.uint8)
    arrays["cell_of_matrix"] = cell_of_matrix
    return arrays


def _space_of_arrays(arrays: dict[str, np.ndarray]) -> Space:
    matrix = arrays["matrix"]
    num_vertices = arrays["matrix_vertices"][matrix]
    octets = arrays["digests"]
    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
    space = Space(
        num_vertices=num_vertices,
        adjacency=adjacency_of_bits(arrays["matrix_bits"])[matrix],
        operations=operations_of_opcodes(num_vertices, arrays["opcode"].astype(np.int32)),
        hashes=np.stack([digits[octets >> 4], digits[octets & 15]], axis=-1).reshape(-1).view("S32"),
        trainable_parameters=arrays["trainable_parameters"],
        **{name: arrays[name] for name in CACHED_TABLES},
    )
    for name in ("num_vertices", "adjacency", "operations", "hashes", "trainable_parameters", *CACHED_TABLES):
        getattr(space, name).setflags(write=False)
    return space


@cache
def load_space() -> Space:
    """The space, from the cache folder, or enumerated once and stored there."""
    names = CACHED_ARRAYS + CACHED_TABLES
    return _space_of_arrays(cached_arrays(f"space-v{CACHE_VERSION}.npz", names, _enumerate))
