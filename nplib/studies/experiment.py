"""One experiment as the paper's tables have them: train on one split, hold against another, over several seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from tqdm import tqdm

from nplib._fits import trained_anew
from nplib.benchmark import Benchmark
from nplib.cell import Cells
from nplib.errors import UserError
from nplib.metrics import kendall_tau, mse_percent2, summarize
from nplib.training import Config, Fit, Fitted


@dataclass(frozen=True, eq=False)
class Outcome:
    """Trained predictors and how they did, one predictor a seed, M of them."""

    fit: Fitted
    cells: np.ndarray  # (n,), int64, those of the evaluation
    unseen: np.ndarray  # (n,), bool: no predictor was trained on them
    true: np.ndarray  # (n,), their accuracies, fractions
    predicted: np.ndarray  # (M, n), fractions
    training_cells: int  # how many a predictor was trained on
    training_seconds: float  # of all predictors together, as the next
    evaluation_seconds: float

    def on(self, cells: np.ndarray) -> Outcome:
        """The same predictors, evaluated on some of :attr:`cells` alone; UserError if others are among them."""
        kept = np.isin(self.cells, cells)
        if kept.sum() != len(np.unique(cells)):
            raise UserError(f"only {kept.sum():,} of {len(cells):,} cells were evaluated; evaluate on all first")
        fields = {name: getattr(self, name)[kept] for name in ("cells", "unseen", "true")}
        return replace(self, predicted=self.predicted[:, kept], **fields)

    def figures(self) -> dict[str, list[float]]:
        """By figure, a value a seed: ``mse_percent2`` and ``kendall_tau``, and both of ``unseen`` cells alone.

        The figures of unseen cells are left out if there are fewer than two, since a rank correlation needs them.
        """
        return self._figures

    @cached_property
    def _figures(self) -> dict[str, list[float]]:
        figures = {
            "mse_percent2": [mse_percent2(self.true, row) for row in self.predicted],
            "kendall_tau": [kendall_tau(self.true, row) for row in self.predicted],
        }
        if self.unseen.sum() >= 2:
            true, predicted = self.true[self.unseen], self.predicted[:, self.unseen]
            figures["mse_percent2_unseen"] = [mse_percent2(true, row) for row in predicted]
            figures["kendall_tau_unseen"] = [kendall_tau(true, row) for row in predicted]
        return figures

    def report(self) -> dict[str, object]:
        """Everything but the predictions, as JSON can hold it."""
        figures = self.figures()
        summaries = {name: summarize(values) for name, values in figures.items()}
        return {
            "seeds": list(self.fit.seeds),
            "training_cells": self.training_cells,
            "evaluation_cells": len(self.cells),
            "evaluation_cells_unseen": int(self.unseen.sum()),
            **figures,
            "mean": {name: summary.mean for name, summary in summaries.items()},
            "sd": {name: summary.sd if summary.count > 1 else None for name, summary in summaries.items()},
            **self.fit.training_report(),
            "training_seconds": round(self.training_seconds, 3),
            "evaluation_seconds": round(self.evaluation_seconds, 3),
        }


def run_experiment(
    benchmark: Benchmark,
    training_cells: np.ndarray,
    evaluation_cells: np.ndarray,
    seeds: Sequence[int],
    config: Config,
    *,
    device: str = "auto",
    test_batch_size: int = 256,
    after_epochs: int = 0,
    callback: Callable[[int, Fit], None] | None = None,
    watched: Cells | None = None,
    progress: bool = False,
) -> Outcome:
    """Train on some cells of a benchmark, one predictor a seed, and evaluate on others.

    UserError if there is nothing to evaluate, or the training cannot start or diverges.

    Args:
        benchmark (Benchmark): Its :meth:`~nplib.benchmark.Benchmark.accuracy_labels` are learned and held against.
        training_cells, evaluation_cells (array of int): Indices into it. Cells in both are evaluated too, as in the
            reference; :attr:`Outcome.unseen` tells them apart.
        config (TrainingConfig or GPConfig): What is fitted.
        test_batch_size (int): Cells predicted at a time.
        seeds, device, after_epochs, callback, watched, progress: See :func:`nplib.training.fit_predictors`.
    """
    if len(evaluation_cells) < 2:
        raise UserError(f"the evaluation has {len(evaluation_cells)} cells; it needs at least 2")
    if test_batch_size < 1:
        raise UserError(f"test_batch_size is {test_batch_size}; it must be 1 or more")
    labels = benchmark.accuracy_labels()
    chosen, true = benchmark.cells[evaluation_cells], labels[evaluation_cells]

    watching = {"after_epochs": after_epochs, "callback": callback, "watched": watched} if callback else {}
    options = {"training_cells": training_cells, "device": device, "progress": progress} | watching
    start = time.perf_counter()
    with trained_anew():
        fit = config.fit(benchmark.cells, labels, seeds, **options)
    trained = time.perf_counter()
    bar = tqdm(fit.predictors, desc="predicting", unit="predictor", disable=not progress)
    predicted = np.stack([predictor.predict(chosen, test_batch_size) for predictor in bar])
    return Outcome(
        fit=fit,
        cells=evaluation_cells,
        unseen=~np.isin(evaluation_cells, training_cells),
        true=true,
        predicted=predicted,
        training_cells=len(training_cells),
        training_seconds=trained - start,
        evaluation_seconds=time.perf_counter() - trained,
    )
