"""Time the features of all cells, beside the prototype they were explored with where that is at hand.

python benchmarks/bench_features.py
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nplib.features import NAMES, compute_features
from nplib.space import Space, load_space

SHARED = Path(os.environ.get("NPLIB_SHARED") or Path(__file__).parents[2] / "shared")
FIRST = """
import time
import numpy as np
from nplib.cell import Cell, Cells
from nplib.features import compute_features
started = time.perf_counter()
compute_features(Cells.of([Cell([[0, 1], [0, 0]], ["input", "output"])]))
print(time.perf_counter() - started)
"""


def first_in_new_process(cache: str) -> float:
    """Seconds that a new Python takes for the features of one cell, compiled code being kept in a folder."""
    environment = os.environ | {"NUMBA_CACHE_DIR": cache}
    return float(subprocess.run([sys.executable, "-c", FIRST], env=environment, check=True, capture_output=True).stdout)


def prototype(cache: str) -> Callable[[Space], np.ndarray] | None:
    """The prototype's features of all cells, on one thread; None where it is not at hand."""
    folder = SHARED / "prototype"
    if not folder.is_dir():
        return None
    # What it compiles is kept beside it otherwise.
    os.environ["NUMBA_CACHE_DIR"] = cache
    sys.path.insert(0, str(folder))
    first, second = importlib.import_module("features_a"), importlib.import_module("features_b")

    def compute(space: Space, stop: int | None = None) -> np.ndarray:
        arrays = space.adjacency[:stop], space.operations[:stop], space.num_vertices[:stop]
        return np.concatenate([first.compute(*arrays)[0], second.compute2(*arrays)], axis=1)

    compute(load_space(), 2)
    return compute


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="rounds; in each, both sides run (default 3)")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        print(f"one cell, nothing compiled yet:     {first_in_new_process(folder):6.2f} s")
        print(f"one cell, compiled before:          {first_in_new_process(folder):6.2f} s")
        space = load_space()
        theirs = prototype(folder)
        compute_features(space.cells[:2])
        ours_s, theirs_s = [], []
        for _ in range(options.repeats):
            ours_s.append(seconds(lambda: compute_features(space.cells)))
            if theirs is not None:
                theirs_s.append(seconds(lambda: theirs(space)))
        count = f"{len(NAMES)} features of {len(space):,} cells"
        print(f"{count}, {os.cpu_count()} threads:  {statistics.median(ours_s):6.2f} s")
        if theirs is None:
            print(f"the prototype is not in {SHARED}; set NPLIB_SHARED to the folder that has it")
        else:
            ratios = [b / a for a, b in zip(ours_s, theirs_s, strict=True)]
            print(
                f"the prototype, one thread: {statistics.median(theirs_s):6.2f} s; ours is "
                f"{statistics.median(ratios):.1f}x as fast (from {min(ratios):.1f} to {max(ratios):.1f})"
            )


if __name__ == "__main__":
    main()
