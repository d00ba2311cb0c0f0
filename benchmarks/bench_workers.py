"""Time trainings in threads, in worker processes and on a Dask cluster of this machine, in turn in each round.

python benchmarks/bench_workers.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from contextlib import ExitStack
from unittest.mock import patch

import numpy as np
import torch
from distributed import LocalCluster

from nplib import _workers
from nplib.space import load_space
from nplib.training import TrainingConfig, fit_predictors

TRAINED = 172
NEVER = 1e9  # seconds of work from which on processes are worth it
# By name: threads of torch here, whether processes are worth it, workers of a cluster.
WAYS = {
    "one process": (1, NEVER, 0),
    "two threads": (2, NEVER, 0),
    "two processes": (2, 0.0, 0),
    "a cluster of one worker": (1, 0.0, 1),
    "a cluster of two": (2, 0.0, 2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="rounds, after one that is not counted (default 3)")
    parser.add_argument("--epochs", type=int, default=60, help="epochs of each training (default 60)")
    parser.add_argument("--seeds", type=int, default=40, help="trainings (default 40)")
    options = parser.parse_args()
    space, random = load_space(), np.random.default_rng(0)
    cells = random.permutation(len(space))[:TRAINED]
    accuracies = np.full(len(space), np.nan)
    accuracies[cells] = random.normal(0.908, 0.024, TRAINED)
    config = TrainingConfig(epochs=options.epochs)
    rows: dict[str, list[float]] = {name: [] for name in WAYS}
    loads = []
    with ExitStack() as stack:
        about = {"threads_per_worker": 1, "processes": True, "dashboard_address": None, "host": "127.0.0.1"}
        clusters = {count: stack.enter_context(LocalCluster(n_workers=count, **about)) for count in (1, 2)}
        for round_ in range(options.repeats + 1):
            for name, (threads, worth, workers) in WAYS.items():
                torch.set_num_threads(threads)
                address = clusters[workers].scheduler_address if workers else ""
                loads.append(os.getloadavg()[0])
                with (
                    patch.object(_workers, "WORTH_STARTING", worth),
                    patch.object(_workers, "WORTH_SENDING", worth),
                    patch.dict(os.environ, {_workers.SCHEDULER: address}),
                ):
                    started = time.perf_counter()
                    fit_predictors(space.cells, accuracies, range(options.seeds), config, training_cells=cells)
                    if round_:
                        rows[name].append(time.perf_counter() - started)
    print(
        f"{options.seeds} trainings of {options.epochs} epochs, {os.cpu_count()} cores; load before each, with what",
        end=" ",
    )
    print(f"ran before: {min(loads):.1f} to {max(loads):.1f}")
    for name, seconds in rows.items():
        ratios = [alone / own for alone, own in zip(rows["one process"], seconds, strict=True)]
        print(f"{name}: {statistics.median(seconds):.1f} s, {statistics.median(ratios):.2f}x one process", end=" ")
        print(f"(from {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
