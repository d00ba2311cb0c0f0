"""Decoded records put where they belong in a benchmark, in the order of the file, with every check on the way.

A cell's row is the order of its first appearance; a run is the order of its appearance within cell and budget.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from nplib._layout import BUDGETS, METRICS, METRICS_SHAPE, POINTS, RUNS, UNITS
from nplib.records.decoding import UNKNOWN_PARAMETERS, Rows
from nplib.records.frames import BadRecord
from nplib.space import SPACE_SIZE, Space, adjacency_of_bits, operations_of_opcodes

# Why a record cannot be placed, in the order in which that is looked for.
BAD_BUDGET, TOO_MANY_CELLS, OTHER_HASH, OTHER_GRAPH, TOO_MANY_RUNS, BAD_FIGURE = range(6)

_BUDGETS = np.array(BUDGETS)
_LIMITS = np.array([1.0 if unit == "fraction" else np.finfo(np.float32).max for unit in UNITS], dtype=np.float32)


def budget_problem(name: str, epochs: int) -> str:
    """What is wrong with a record of a budget that NASBench-101 does not have."""
    known = ", ".join(map(str, BUDGETS))
    return f"cell {name} was trained for {epochs} epochs; the budgets of NASBench-101 are {known}, so drop the record"


def _rank(keys: np.ndarray) -> np.ndarray:
    """How many equal keys stand before each; shape (N,)."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    ranks = np.empty(len(keys), dtype=np.int64)
    ranks[order] = np.arange(len(keys)) - np.searchsorted(ordered, ordered)
    return ranks


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
        self._row_of: dict[bytes, int] = {}
        # Of each cell so far; what is never set takes no memory.
        self._graphs = np.empty((SPACE_SIZE, 3), dtype=np.int32)  # vertices, edge bits, opcodes
        self._parameters = np.empty(SPACE_SIZE, dtype=np.int32)
        self._metrics = np.empty((SPACE_SIZE, *METRICS_SHAPE), dtype=np.float32)
        self._runs = np.zeros((SPACE_SIZE, len(BUDGETS)), dtype=np.int8)
        self._places = np.empty((SPACE_SIZE, 2), dtype=np.int64)  # its first record, and at which byte that is

    def add(self, rows: Rows, offsets: np.ndarray) -> None:
        """Place the records that come next in the file, whose frames start at ``offsets``, shape (N,), int64.

        Raises:
            BadRecord: For the first that cannot be placed: a budget other than the four, a fourth run, a figure that
                cannot be, a graph that its hash does not name.
        """
        count, known = len(offsets), len(self._row_of)
        names = rows.hashes[:count].view("S32").ravel()
        row = np.array([self._row_of.setdefault(name, len(self._row_of)) for name in names.tolist()], dtype=np.int64)
        problems = np.zeros((6, count), dtype=bool)
        problems[TOO_MANY_CELLS] = row >= SPACE_SIZE
        row = np.minimum(row, SPACE_SIZE - 1)
        graphs = np.stack([rows.vertices[:count], rows.bits[:count], rows.opcodes[:count]], axis=1)
        cells, first = np.unique(row, return_index=True)
        cells, first = cells[cells >= known], first[cells >= known]
        self._graphs[cells] = graphs[first]
        self._parameters[cells] = UNKNOWN_PARAMETERS
        self._metrics[cells] = np.nan
        self._places[cells] = np.stack([self.num_records + first, offsets[first]], axis=1)
        if self._space is not None and len(cells):
            space = self._space()
            found = space.find_codes(*self._graphs[cells].T)
            problems[OTHER_HASH, first] = (found < 0) | (space.hashes[found] != names[first])
            problems[OTHER_GRAPH] = (graphs != self._graphs[row]).any(axis=1)
        budget = np.searchsorted(_BUDGETS[:-1], rows.epochs[:count])
        problems[BAD_BUDGET] = _BUDGETS[budget] != rows.epochs[:count]
        run = self._runs[row, budget] + _rank(row * len(BUDGETS) + budget)
        problems[TOO_MANY_RUNS] = run >= RUNS
        metrics = rows.metrics[:count]
        problems[BAD_FIGURE] = ((metrics < 0) | (metrics > _LIMITS)).any(axis=(1, 2))
        if problems.any():
            i = int(problems.any(axis=0).argmax())
            problem = self._problem(int(problems[:, i].argmax()), rows, i, int(row[i]))
            raise BadRecord(problem, self.path, self.num_records + i, int(offsets[i]))
        self._metrics[row, budget, run] = metrics
        np.add.at(self._runs, (row, budget), 1)
        # A cell has the first number that is known of it.
        told = np.flatnonzero(rows.parameters[:count] != UNKNOWN_PARAMETERS)[::-1]
        told = told[self._parameters[row[told]] == UNKNOWN_PARAMETERS]
        self._parameters[row[told]] = rows.parameters[told]
        self.num_records += count

    def _first(self, row: int) -> str:
        record, offset = self._places[row]
        return f"record {record}, at byte {offset}"

    def _problem(self, why: int, rows: Rows, i: int, row: int) -> str:
        name = rows.hashes[i].tobytes().decode()
        epochs = int(rows.epochs[i])
        if why == BAD_BUDGET:
            return budget_problem(name, epochs)
        if why == TOO_MANY_CELLS:
            return f"{name} is one cell more than the {SPACE_SIZE:,} that NASBench-101 has; the file is another one"
        if why == OTHER_HASH:
            space = self._space()
            (found,) = space.find_codes(*self._graphs[[row]].T)
            mend = "get the file again, or convert it without this check (--no-verify-hashes)"
            if found < 0:
                return (
                    f"the graph of {name} is no cell of NASBench-101, whose cells join input and output and have at "
                    f"most 7 vertices and 9 edges; {mend}"
                )
            return f"module hash {name} does not name its graph, which has {space.hashes[found].decode()}; {mend}"
        if why == OTHER_GRAPH:
            return (
                f"the graph of {name} is not the one that this hash had in {self._first(row)}; get the file again, or "
                "keep the first graph (--no-verify-hashes)"
            )
        if why == TOO_MANY_RUNS:
            return (
                f"run {RUNS + 1} of cell {name} at {epochs} epochs; there must be {RUNS}. The cell first appears in "
                f"{self._first(row)}; look whether records are in the file twice"
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
        return tuple(int(budget) for budget in _BUDGETS[self._runs.any(axis=0)])

    def arrays(self) -> dict[str, np.ndarray]:
        """The six arrays of a :class:`~nplib.benchmark.Benchmark`, by their names there.

        Raises:
            BadRecord: If a cell lacks a run at a budget that occurs in the file.
        """
        names, count = list(self._row_of), len(self._row_of)
        runs, graphs = self._runs[:count], self._graphs[:count]
        lacking = (runs != RUNS) & np.isin(BUDGETS, self.budgets)
        if lacking.any():
            row, budget = (int(k) for k in np.argwhere(lacking)[0])
            others = int(lacking.any(axis=1).sum()) - 1
            counted = f" (and {others:,} other cells lack runs)" if others else ""
            raise BadRecord(
                f"cell {names[row].decode()}, which first appears here, has {runs[row, budget]} of {RUNS} runs at "
                f"{BUDGETS[budget]} epochs{counted}; the file is not complete, so get it again",
                self.path,
                *map(int, self._places[row]),
            )
        vertices = graphs[:, 0].astype(np.int8)
        return {
            "hashes": np.array(names, dtype="S32"),
            "num_vertices": vertices,
            "trainable_parameters": self._parameters[:count],
            "adjacency": adjacency_of_bits(graphs[:, 1]),
            "operations": operations_of_opcodes(vertices, graphs[:, 2]),
            "metrics": self._metrics[:count],
        }
