"""Time training and prediction, against a plain implementation in the same run.

python benchmarks/bench_predictor.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from plain_gcn import PlainCells, predict, train

from nplib.space import load_space
from nplib.training import TrainingConfig, fit_predictors

TRAINED = 172
STEPS = TRAINED // 10
# The reference's own code on 2 CPU cores, as measured once: the figures to stand beside ours.
REFERENCE_STEP_MS = 4.1
REFERENCE_PREDICTION_S = 25.0


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="rounds; in each, both sides run (default 3)")
    parser.add_argument("--epochs", type=int, default=60, help="epochs of each training (default 60)")
    parser.add_argument("--models", type=int, default=10, help="models that train together (default 10)")
    parser.add_argument("--plain-cells", type=int, default=40_000, help="cells that plain code predicts (40,000)")
    options = parser.parse_args()

    space = load_space()
    random = np.random.default_rng(0)
    cells = random.permutation(len(space))[:TRAINED]
    accuracies = np.full(len(space), np.nan)
    accuracies[cells] = random.normal(0.908, 0.024, TRAINED)
    targets = (accuracies[cells] - 0.908192) / 0.023961
    graphs = space.cells
    config = TrainingConfig(epochs=options.epochs)
    plain_cells = PlainCells(space, cells, targets)
    some = random.permutation(len(space))[: options.plain_cells]
    to_predict = PlainCells(space, some, np.zeros(len(some)))
    # Trained to the end: weight decay leaves weights near zero, with which processors are slow.
    trained = TrainingConfig()
    predictor = fit_predictors(graphs, accuracies, [0], trained, training_cells=cells).predictors[0]
    model = train(plain_cells, trained.epochs)
    steps = options.epochs * STEPS

    names = ("plain step", "one model", "many models", "plain all", "ours all")
    rows: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(options.repeats):
        rows["plain step"].append(timed(lambda: train(plain_cells, options.epochs)) / steps * 1e3)
        for name, count in (("one model", 1), ("many models", options.models)):
            seconds = timed(lambda n=count: fit_predictors(graphs, accuracies, range(n), config, training_cells=cells))
            rows[name].append(seconds / steps / count * 1e3)
        rows["plain all"].append(timed(lambda: predict(model, to_predict)) * len(space) / len(some))
        # A new object each time: what it keeps for the next prediction counts here.
        rows["ours all"].append(timed(lambda: predictor.predict(space.cells)))

    def ratio(theirs: str, ours: str) -> str:
        ratios = [a / b for a, b in zip(rows[theirs], rows[ours], strict=True)]
        return f"{statistics.median(ratios):.1f}x (from {min(ratios):.1f} to {max(ratios):.1f})"

    middle = {name: statistics.median(values) for name, values in rows.items()}
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {options.repeats} rounds")
    print(f"a training step, plain code:  {middle['plain step']:.2f} ms (the reference: {REFERENCE_STEP_MS} ms)")
    for name in ("one model", "many models"):
        count = f" ({options.models}, a step of each)" if name == "many models" else ""
        print(f"a training step, {name}{count}:  {middle[name]:.2f} ms, {ratio('plain step', name)}")
    print(
        f"predicting {len(space):,} cells, plain code:  {middle['plain all']:.1f} s, from {len(some):,} of them "
        f"(the reference: {REFERENCE_PREDICTION_S:.0f} s)"
    )
    print(f"predicting {len(space):,} cells, ours:  {middle['ours all']:.1f} s, {ratio('plain all', 'ours all')}")


if __name__ == "__main__":
    main()
