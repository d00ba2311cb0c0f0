"""A benchmark as records of the official format: the way back from :mod:`nplib.convert`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from nplib.benchmark import BUDGETS, METRICS, POINTS, RUNS, Benchmark
from nplib.records.record import Evaluation, Record


def records_of(benchmark: Benchmark, cells: Iterable[int] | None = None) -> Iterator[Record]:
    """Three records of every cell at each budget of which the benchmark knows anything.

    Args:
        cells (iterable of int, optional): Indices into it; all cells if not given.

    Yields:
        Record: What the benchmark does not know is absent from it.
    """
    known = ~np.isnan(benchmark.metrics).all(axis=(0, 2, 3, 4))
    budgets = [budget for budget, any_figure in zip(BUDGETS, known, strict=True) if any_figure]
    for index in range(len(benchmark)) if cells is None else cells:
        cell = benchmark.cell(index)
        module_hash = benchmark.hashes[index].decode()
        adjacency = "".join(str(int(edge)) for edge in cell.matrix.ravel())
        for budget in budgets:
            for run in range(RUNS):
                figures = benchmark.metrics[index, BUDGETS.index(budget), run]
                points = [
                    Evaluation(
                        budget * (p + 1) / len(POINTS), **dict(zip(METRICS, map(float, figures[p]), strict=True))
                    )
                    for p in range(len(POINTS))
                ]
                yield Record(
                    module_hash,
                    budget,
                    adjacency,
                    ",".join(cell.operations),
                    (Evaluation(0.0), *points),
                    int(benchmark.trainable_parameters[index]),
                )
