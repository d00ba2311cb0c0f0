"""How much a cell moves when it is trained again."""

from __future__ import annotations

import numpy as np

from nplib.benchmark import FAILED_BELOW, Benchmark


def within_cell_sd(runs: np.ndarray) -> np.ndarray:
    """Standard deviation between the runs of each cell, shape (N,), of accuracies, shape (N, R)."""
    return runs.std(axis=1, ddof=1)


def pooled(deviations: np.ndarray) -> float:
    """Root of the mean variance."""
    return float(np.sqrt((deviations**2).mean()))


def run_noise(benchmark: Benchmark, budget: int = 108) -> dict[str, float]:
    """Figures of the noise between runs, by name; in points, but for the correlation and the share.

    Cells of which a run failed count for the share of failed runs alone: they are few, and would drown all others.

    Parameters
    ----------
    benchmark : Benchmark
        With three runs of every cell.
    budget : int
        Epochs.

    Raises
    ------
    nplib.benchmark.MissingMetric
        If a run is missing.
    """
    validation, test = (100 * benchmark.values(f"{name}_accuracy", budget, run=None) for name in ("validation", "test"))
    halfway = 100 * benchmark.values("validation_accuracy", budget, run=None, at="halfway")
    failed = validation < 100 * FAILED_BELOW
    validation, test, halfway = (runs[~failed.any(axis=1)] for runs in (validation, test, halfway))
    deviations = within_cell_sd(validation)
    apart = [(runs - runs.mean(axis=1, keepdims=True)).ravel() for runs in (validation, test)]
    return {
        "standard deviation within a cell, validation (points)": pooled(deviations),
        "its median": float(np.median(deviations)),
        "standard deviation within a cell, test (points)": pooled(within_cell_sd(test)),
        "correlation of validation and test between runs of a cell": float(np.corrcoef(*apart)[0, 1]),
        "validation minus test accuracy (points)": float((validation - test).mean()),
        "standard deviation within a cell at halfway (points)": pooled(within_cell_sd(halfway)),
        "runs that failed (below 20 %)": float(failed.mean()),
    }


def table_figures(benchmark: Benchmark, metric: str, budget: int = 108) -> dict[str, float]:
    """Figures of a whole table, of the mean of the three runs of each cell; all fractions.

    Parameters
    ----------
    benchmark : Benchmark
        With three runs of every cell.
    metric : str
        ``"validation_accuracy"`` or ``"test_accuracy"``.
    budget : int
        Epochs.
    """
    runs = benchmark.values(metric, budget, run=None)
    means = runs.mean(axis=1)
    return {
        "mean": float(means.mean()),
        "standard deviation": float(means.std()),
        "median": float(np.median(means)),
        "smallest": float(means.min()),
        "largest": float(means.max()),
        "best single run": float(runs.max()),
    }
