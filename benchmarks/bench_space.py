"""Time the enumeration of all cells, its cache, the look-up of labelled graphs, and the opening of a benchmark.

python benchmarks/bench_space.py
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from nplib.benchmark import Benchmark, empty_metrics
from nplib.space import NUM_OPCODES, TABLE_SIZES, load_space

LOAD = """
import time
started = time.perf_counter()
from nplib.space import load_space
load_space()
print(time.perf_counter() - started)
"""


def load_in_new_process(cache: str) -> float:
    """Seconds that a new Python takes to import the module and load the space."""
    environment = os.environ | {"NPLIB_CACHE": cache}
    return float(subprocess.run([sys.executable, "-c", LOAD], env=environment, check=True, capture_output=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plain-cells", type=int, default=4_000, help="cells hashed one at a time (default 4,000)")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        print(f"enumerating all cells, nothing cached:      {load_in_new_process(folder):6.2f} s")
        print(f"loading them from the cache:                {load_in_new_process(folder):6.2f} s")
        space = load_space()
        random = np.random.default_rng(0)
        some = random.permutation(len(space))[: options.plain_cells]
        cells = [space.cell(index) for index in some]
        started = time.perf_counter()
        hashes = [cell.module_hash for cell in cells]
        plain = (time.perf_counter() - started) / len(some) * len(space)
        assert [name.decode() for name in space.hashes[some].tolist()] == hashes
        print(f"hashing them one at a time (from {len(some):,}):    {plain:6.2f} s")

        vertices = np.full(1_000_000, 7)
        bits = random.integers(0, TABLE_SIZES[7], 1_000_000)
        numbers = random.integers(0, NUM_OPCODES, 1_000_000)
        started = time.perf_counter()
        found = space.find_codes(vertices, bits, numbers)
        seconds = time.perf_counter() - started
        print(f"looking up a million labelled graphs:       {seconds:6.2f} s ({(found >= 0).mean():.0%} are cells)")

        path = Path(folder) / "all.hdf5"
        metrics = empty_metrics(len(space))
        metrics[:] = 0.9
        Benchmark.from_space(space, np.arange(len(space)), metrics).save(path)
        started = time.perf_counter()
        Benchmark.open(path)
        seconds = time.perf_counter() - started
        print(f"opening a full benchmark ({path.stat().st_size / 1e6:.0f} MB):          {seconds:6.2f} s")


if __name__ == "__main__":
    main()
