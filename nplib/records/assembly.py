"""Decoded records put where they belong in a benchmark, in the order of the file, with every check on the way.

A cell's row is the order of its first appearance; a run is the order of its appearance within cell and budget.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nplib._compiled import compiled
from nplib._layout import BUDGETS, METRICS, METRICS_SHAPE, POINTS, RUNS, UNITS
from nplib.records.decoding import UNKNOWN_PARAMETERS, Rows
from nplib.records.frames import BadRecord
from nplib.space import Space, adjacency_of_bits, operations_of_opcodes

# Why a record could not be placed.
FINE, BAD_BUDGET, BAD_FIGURE, OTHER_GRAPH, TOO_MANY_RUNS = range(5)

_BUDGETS = np.array(BUDGETS)
_LIMITS = np.array([1.0 if unit == "fraction" else np.finfo(np.float32).max for unit in UNITS], dtype=np.float32)


class Cells(NamedTuple):
    """What is known of each cell so far; arrays of more rows than there are cells, and the rest is not set."""

    hashes: np.ndarray  # (C, 4) uint64, the 32 characters
    vertices: np.ndarray  # (C,) int8
    bits: np.ndarray  # (C,) int32, edges
    opcodes: np.ndarray  # (C,) int32, operations
    parameters: np.ndarray  # (C,) int32
    metrics: np.ndarray  # (C, 4, 3, 2, 4) float32
    runs: np.ndarray  # (C, 4) int8, found at each budget
    first_record: np.ndarray  # (C,) int64
    first_offset: np.ndarray  # (C,) int64

    @classmethod
    def empty(cls, count: int) -> Cells:
        """Room for ``count`` cells; what is never set takes no memory."""
        shapes = ((4,), (), (), (), (), METRICS_SHAPE, (len(BUDGETS),), (), ())
        types = ("u8", "i1", "i4", "i4", "i4", "f4", "i1", "i8", "i8")
        return cls(*(np.empty((count, *shape), dtype=kind) for shape, kind in zip(shapes, types, strict=True)))

    def first(self, count: int) -> Cells:
        return Cells(*(array[:count] for array in self))

    def grown(self, count: int, capacity: int) -> Cells:
        """The first ``count`` cells, with room for ``capacity``."""
        cells = Cells.empty(capacity)
        for old, new in zip(self.first(count), cells, strict=True):
            new[:count] = old
        return cells


@compiled
def _find_slot(slots, hashes, words, i):
    """Where the hash ``words[i]`` stands in a table of rows with open addressing, or the free slot it is to get."""
    mixed = np.uint64(0)
    for k in range(4):
        mixed = (mixed ^ words[i, k]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    slot = np.int64(mixed & np.uint64(len(slots) - 1))
    while True:
        row = slots[slot]
        if row < 0:
            return slot
        if (
            hashes[row, 0] == words[i, 0]
            and hashes[row, 1] == words[i, 1]
            and hashes[row, 2] == words[i, 2]
            and hashes[row, 3] == words[i, 3]
        ):
            return slot
        slot = (slot + 1) & (len(slots) - 1)


@compiled
def _fill_slots(slots, hashes, count):
    """Enter the first ``count`` hashes, all different."""
    for slot in range(len(slots)):
        slots[slot] = -1
    for row in range(count):
        slots[_find_slot(slots, hashes, hashes, row)] = row


@compiled
def _place(rows, words, offsets, first_record, same_graphs, cells, slots, count):
    """Place records until one cannot be: (records placed, why the next one was not, its row, cells there are now)."""
    row = 0
    for i in range(len(offsets)):
        budget = -1
        for b in range(len(_BUDGETS)):
            if rows.epochs[i] == _BUDGETS[b]:
                budget = b
        if budget < 0:
            return i, BAD_BUDGET, row, count
        slot = _find_slot(slots, cells.hashes, words, i)
        row = slots[slot]
        if row < 0:
            row = count
            slots[slot] = row
            count += 1
            for k in range(4):
                cells.hashes[row, k] = words[i, k]
            cells.vertices[row] = rows.vertices[i]
            cells.bits[row] = rows.bits[i]
            cells.opcodes[row] = rows.opcodes[i]
            cells.parameters[row] = UNKNOWN_PARAMETERS
            for b in range(len(_BUDGETS)):
                cells.runs[row, b] = 0
                for r in range(RUNS):
                    for point in range(len(POINTS)):
                        for metric in range(len(METRICS)):
                            cells.metrics[row, b, r, point, metric] = np.nan
            cells.first_record[row] = first_record + i
            cells.first_offset[row] = offsets[i]
        elif same_graphs and not (
            cells.vertices[row] == rows.vertices[i]
            and cells.bits[row] == rows.bits[i]
            and cells.opcodes[row] == rows.opcodes[i]
        ):
            return i, OTHER_GRAPH, row, count
        if cells.parameters[row] == UNKNOWN_PARAMETERS:
            cells.parameters[row] = rows.parameters[i]
        run = cells.runs[row, budget]
        if run == RUNS:
            return i, TOO_MANY_RUNS, row, count
        cells.runs[row, budget] += 1
        for point in range(len(POINTS)):
            for metric in range(len(METRICS)):
                value = rows.metrics[i, point, metric]
                if value < 0 or value > _LIMITS[metric]:
                    return i, BAD_FIGURE, row, count
                cells.metrics[row, budget, run, point, metric] = value
    return len(offsets), FINE, row, count


def _texts(hashes: np.ndarray) -> np.ndarray:
    """Hashes of four words each, shape (N, 4), as text, shape (N,), S32."""
    return hashes.view("S32").reshape(-1)


def budget_problem(name: str, epochs: int) -> str:
    """What is wrong with a record of a budget that NASBench-101 does not have."""
    known = ", ".join(map(str, BUDGETS))
    return f"cell {name} was trained for {epochs} epochs; the budgets of NASBench-101 are {known}, so drop the record"


class Assembly:
    """Collects the records of one file.

    Args:
        path (Path): The file, for errors.
        space (callable or None): Gives the space, which knows the hash of every graph; called when it is first needed.
            None to take hashes as they are and the first graph of each.
    """

    def __init__(self, path: Path, space: Callable[[], Space] | None) -> None:
        self.path = path
        self._space = space
        self.num_records = 0
        self.num_cells = 0
        self._cells = Cells.empty(0)
        self._slots = np.empty(0, dtype=np.int32)

    def add(self, rows: Rows, offsets: np.ndarray) -> None:
        """Place the records that come next in the file, whose frames start at ``offsets``, shape (N,), int64.

        Raises:
            BadRecord: For the first that cannot be placed: a budget other than the four, a fourth run, a figure that
                cannot be, a graph that its hash does not name.
        """
        self._make_room(self.num_cells + len(offsets))
        known = self.num_cells
        placed, why, row, self.num_cells = _place(
            rows,
            rows.hashes.view(np.uint64),
            offsets,
            self.num_records,
            self._space is not None,
            self._cells,
            self._slots,
            known,
        )
        self._verify(slice(known, self.num_cells))
        if why != FINE:
            problem = self._problem(why, rows, placed, row)
            raise BadRecord(problem, self.path, self.num_records + placed, int(offsets[placed]))
        self.num_records += len(offsets)

    def _make_room(self, needed: int) -> None:
        if needed > len(self._cells.runs):
            self._cells = self._cells.grown(self.num_cells, 2 * needed)
        # At most half of the slots are taken, so that searches stay short.
        if 2 * needed > len(self._slots):
            self._slots = np.empty(2 ** (4 * needed).bit_length(), dtype=np.int32)
            _fill_slots(self._slots, self._cells.hashes, self.num_cells)

    def _verify(self, new: slice) -> None:
        """Hold the graphs of new cells against the space."""
        if self._space is None or new.start == new.stop:
            return
        space = self._space()
        cells = self._cells
        found = space.find_codes(cells.vertices[new], cells.bits[new], cells.opcodes[new])
        names = _texts(cells.hashes[new])
        wrong = np.flatnonzero((found < 0) | (space.hashes[found] != names))
        if not len(wrong):
            return
        first = int(wrong[0])
        name = names[first].decode()
        if found[first] < 0:
            problem = (
                f"the graph of {name} is no cell of NASBench-101, whose cells join input and output and have at most "
                "7 vertices and 9 edges"
            )
        else:
            true = space.hashes[found[first]].decode()
            problem = f"module hash {name} does not name its graph, which has {true}"
        row = new.start + first
        raise BadRecord(
            f"{problem}; get the file again, or convert it without this check (--no-verify-hashes)",
            self.path,
            int(cells.first_record[row]),
            int(cells.first_offset[row]),
        )

    def _problem(self, why: int, rows: Rows, i: int, row: int) -> str:
        name = rows.hashes[i].tobytes().decode()
        epochs = int(rows.epochs[i])
        first = f"record {self._cells.first_record[row]}, at byte {self._cells.first_offset[row]}"
        if why == BAD_BUDGET:
            return budget_problem(name, epochs)
        if why == TOO_MANY_RUNS:
            return (
                f"run {RUNS + 1} of cell {name} at {epochs} epochs; there must be {RUNS}. The cell first appears in "
                f"{first}; look whether records are in the file twice"
            )
        if why == OTHER_GRAPH:
            return (
                f"the graph of {name} is not the one that this hash had in {first}; get the file again, or keep the "
                "first graph (--no-verify-hashes)"
            )
        values = rows.metrics[i]
        point, metric = (int(k) for k in np.argwhere((values < 0) | (values > _LIMITS))[0])
        needed = "accuracies are from 0 to 1" if UNITS[metric] == "fraction" else "times are finite and not negative"
        return (
            f"{METRICS[metric]} of cell {name} ({epochs} epochs, {POINTS[point]}) is {values[point, metric]}; {needed}"
        )

    @property
    def budgets(self) -> tuple[int, ...]:
        """Budgets that occur."""
        there = self._cells.runs[: self.num_cells].any(axis=0)
        return tuple(budget for budget, any_run in zip(BUDGETS, there, strict=True) if any_run)

    def arrays(self) -> dict[str, np.ndarray]:
        """The six arrays of a :class:`~nplib.benchmark.Benchmark`, by their names there.

        Raises:
            BadRecord: If a cell lacks a run at a budget that occurs in the file.
        """
        cells = self._cells.first(self.num_cells)
        hashes = _texts(cells.hashes)
        occurring = np.isin(BUDGETS, self.budgets)
        lacking = (cells.runs != RUNS) & occurring
        if lacking.any():
            row, budget = (int(k) for k in np.argwhere(lacking)[0])
            others = int(lacking.any(axis=1).sum()) - 1
            counted = f" (and {others:,} other cells lack runs)" if others else ""
            raise BadRecord(
                f"cell {hashes[row].decode()}, which first appears here, has {cells.runs[row, budget]} of {RUNS} "
                f"runs at {BUDGETS[budget]} epochs{counted}; the file is not complete, so get it again",
                self.path,
                int(cells.first_record[row]),
                int(cells.first_offset[row]),
            )
        return {
            "hashes": hashes,
            "num_vertices": cells.vertices,
            "trainable_parameters": cells.parameters,
            "adjacency": adjacency_of_bits(cells.bits),
            "operations": operations_of_opcodes(cells.vertices, cells.opcodes),
            "metrics": cells.metrics,
        }
