"""Seconds that ``nplib.api`` takes on a full-size HDF5: to open it, to query it, and to walk through all of it."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from nplib import api
from nplib.cell import INPUT, INTERIOR_OPERATIONS, OUTPUT
from nplib.sources.surrogate import load_surrogate

Result = TypeVar("Result")


def timed(what: str, work: Callable[[], Result]) -> Result:
    start = time.perf_counter()
    result = work()
    print(f"{what:<52} {time.perf_counter() - start:7.2f} s", flush=True)
    return result


def random_specs(count: int) -> list[api.ModelSpec]:
    """Random specs of seven vertices that are cells of the space."""
    random, specs = np.random.default_rng(0), []
    while len(specs) < count:
        matrix = np.triu(random.random((7, 7)) < 0.4, 1).astype(int)
        spec = api.ModelSpec(matrix, [INPUT, *random.choice(INTERIOR_OPERATIONS, 5).tolist(), OUTPUT])
        if spec.valid_spec and spec.matrix.sum() <= 9:
            specs.append(spec)
    return specs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=100_000)
    queries = parser.parse_args().queries
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "surrogate.hdf5"
        load_surrogate().save(path)
        nasbench = timed("open the HDF5", lambda: api.NASBench(str(path), seed=0))
        specs = timed(f"make {queries:,} random specs and more", lambda: random_specs(queries))
        timed("query them, hashes included", lambda: [nasbench.query(spec) for spec in specs])
        timed("query them again", lambda: [nasbench.query(spec) for spec in specs])
        timed("walk all hashes", lambda: sum(1 for _ in nasbench.hash_iterator()))
        walk = (nasbench.get_metrics_from_hash(name) for name in nasbench.hash_iterator())
        timed("walk all hashes and take all figures of every cell", lambda: sum(1 for _ in walk))


if __name__ == "__main__":
    main()
