"""Seconds to draw the surrogate, to store and open it again, and to write some of it as official records."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from nplib.benchmark import Benchmark
from nplib.records import write_records
from nplib.records.export import records_of
from nplib.sources.surrogate import make_surrogate, read_model
from nplib.space import load_space

Result = TypeVar("Result")


def timed(what: str, work: Callable[[], Result]) -> Result:
    start = time.perf_counter()
    result = work()
    print(f"{what:<44} {time.perf_counter() - start:7.2f} s", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=20_000, help="how many to write as records (default: 20,000)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    load_space()  # timed by bench_space.py
    for number in range(options.rounds):
        print(f"round {number + 1}")
        model = timed("read and check the shipped files", read_model)
        benchmark = timed("draw all 423,624 cells", lambda model=model: make_surrogate(0, model))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "surrogate.hdf5"
            timed("store as HDF5, 202 MB", lambda benchmark=benchmark, path=path: benchmark.save(path))
            timed("open it, with all checks", lambda path=path: Benchmark.open(path))
            records = records_of(benchmark, range(options.cells))
            what = f"write {options.cells:,} cells as tfrecord"
            timed(what, lambda records=records, folder=folder: write_records(Path(folder) / "cells.tfrecord", records))


if __name__ == "__main__":
    main()
