"""Noise of labels: how much a cell moves when it is trained again, whose an error is, and what no predictor can know.

Runs of a cell are independent draws about an accuracy of its own, which a *perfect predictor* knows. What it would get
wrong is measured from runs of the same cell; where each cell has one run, it follows from the noise of other real runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from nplib.benchmark import FAILED_BELOW, FALLBACK_ACCURACY, Benchmark
from nplib.cell import Cells
from nplib.errors import UserError
from nplib.metrics import BEST_MEAN, BEST_VARIANCE, kendall_tau, mse_percent2
from nplib.predictor import Predictor
from nplib.studies.published import WITHIN_CELL, WITHIN_CELL_BY_ACCURACY
from nplib.training import TrainingConfig

NO_RULE, NEXT_RUN, MEAN_OF_GOOD, BEST = "the bare first run", "first good run", "mean of good runs", "best run"
FAILED = "failed"
# Noise of one run by a cell's accuracy is known from 94 cells. What 19,772 more cells show, whose best of three and
# whose first run are known (validation and test), lies between this part of it and all of it.
LEAST_NOISE = 0.85


# How runs of a cell differ


def within_cell_sd(runs: np.ndarray) -> np.ndarray:
    """Standard deviation between the runs of each cell, shape (N,), of accuracies, shape (N, R)."""
    return runs.std(axis=1, ddof=1)


def pooled(deviations: np.ndarray) -> float:
    """Root of the mean variance."""
    return float(np.sqrt((deviations**2).mean()))


def run_noise(benchmark: Benchmark, budget: int = 108) -> dict[str, float]:
    """Numbers of the noise between three runs, by name; in points, but for the correlation and the share.

    Cells of which a run failed count for the share of failed runs alone: they are few, and would drown all others.

    Raises:
        nplib.benchmark.MissingMetric: If a run is missing.
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
    """Numbers of a whole table, of the mean of the three runs of each cell; all fractions."""
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


# Whose the error is


def groups_of_cells(accuracies: np.ndarray, edges: Sequence[float]) -> dict[str, np.ndarray]:
    """Every cell in one group: those that failed, the others by their accuracy (fractions, shape (N,)).

    >>> {name: cells.tolist() for name, cells in groups_of_cells(np.array([0.1, 0.7, 0.9]), [0.8]).items()}
    {'failed': [True, False, False], 'below 80 %': [False, True, False], '80 % and above': [False, False, True]}
    """
    bounds = [FAILED_BELOW, *edges]
    groups = {FAILED: accuracies < FAILED_BELOW, f"below {100 * edges[0]:g} %": _between(accuracies, *bounds[:2])}
    for low, high in pairwise(edges):
        groups[f"{100 * low:g} to {100 * high:g} %"] = _between(accuracies, low, high)
    return groups | {f"{100 * edges[-1]:g} % and above": accuracies >= edges[-1]}


def _between(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return (values >= low) & (values < high)


def errors_by_group(true: np.ndarray, predicted: np.ndarray, groups: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Split the squared error of M predictors among groups of cells.

    Args:
        true, predicted (array, shape (N,), (M, N)): Accuracies, fractions.
        groups (mapping of str to array, shape (N,), bool): Every cell in one of them.

    Returns:
        DataFrame: A row a group and predictor: ``group``, ``seed`` (place of the predictor), ``of_cells`` and
            ``of_error`` (shares of cells and of the squared error), ``mse_percent2`` (of these cells, points²; NaN if
            there is none).

    Raises:
        UserError: If a cell is in no group, or in two.
    """
    memberships = np.sum(list(groups.values()), axis=0)
    if (memberships != 1).any():
        cell = np.flatnonzero(memberships != 1)[0]
        raise UserError(
            f"cell {cell} is in {memberships[cell]} of the groups; every cell must be in one, so that they sum"
        )
    squared = (100 * (predicted - true)) ** 2
    rows = [
        (name, seed, cells.mean(), row[cells].sum() / row.sum(), row[cells].mean() if cells.any() else np.nan)
        for name, cells in groups.items()
        for seed, row in enumerate(squared)
    ]
    return pd.DataFrame(rows, columns=["group", "seed", "of_cells", "of_error", "mse_percent2"])


# What a perfect predictor would miss, from three runs of each cell


def perfect_squared_errors(runs: np.ndarray) -> np.ndarray:
    """Squared error of a perfect predictor against the first of three runs of each cell, points², shape (N,).

    It is (r0 - r1)(r0 - r2). Given the first run, the others differ from what the predictor knows by noise of their
    own, so its expectation is the squared error, and this stays so for cells chosen by their first run. Single values
    are rough, and can be negative: take means. Over cells not chosen by any run the mean estimates the variance within
    a cell.

    >>> perfect_squared_errors(np.array([[0.90, 0.92, 0.93]])).round(6).tolist()
    [6.0]
    """
    first, second, third = 100 * np.asarray(runs, dtype=np.float64).T
    return (first - second) * (first - third)


@dataclass(frozen=True)
class RankCeiling:
    """Kendall tau with the first run: of another run (the mean of both others), and of a perfect predictor."""

    run: float
    perfect: float


def rank_ceiling(runs: np.ndarray) -> RankCeiling:
    """How well the first of three runs can be ranked at all, shape (N, 3) with two cells at least.

    For what cannot be measured, ranks are taken as those of normal variables, for which tau is 2/pi times the arcsine
    of the correlation; correlations are corrected for noise as by Spearman (1904): that of the first run with the truth
    is its correlation with another run, divided by the square root of that between the other two. This holds for cells
    chosen by their first run too.
    """
    first, second, third = np.asarray(runs).T
    to_first = (kendall_tau(first, second) + kendall_tau(first, third)) / 2
    correlation, others = (np.sin(np.pi / 2 * tau) for tau in (to_first, kendall_tau(second, third)))
    if others <= 0:  # nothing of a run comes again
        return RankCeiling(to_first, float("nan"))
    return RankCeiling(to_first, float(2 / np.pi * np.arcsin(min(correlation / np.sqrt(others), 1.0))))


# The same from one label of each cell, and the noise that other runs have


def plausible_truth(
    labels: np.ndarray, *, best_of_three: bool = False, noise: float = 1.0, seed: int = 0
) -> np.ndarray:
    """Accuracies that cells may have of their own, given one label each: a draw from their posterior, shape (N,).

    Labels are the truth and normal noise, whose size by accuracy 94 real cells tell. The distribution of the truth is
    found from that of the labels (Richardson-Lucy, 60 steps, bins of .05 points). Labels below 80 % are few and are
    left as they are; one that equals the fallback is of a failed cell and tells nothing. What a perfect predictor
    would miss and how it would rank is how these draws and the labels differ, on whichever cells.

    Args:
        labels (array, shape (N,)): Fractions: one run, or the best of three.
        noise (float): In parts of what the 94 cells have.
    """
    random = np.random.default_rng(seed)
    edges = np.linspace(0.8, 0.96, 321)
    middles, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    deviations = noise * np.interp(middles, *WITHIN_CELL_BY_ACCURACY)
    shift, scale = (BEST_MEAN * deviations, BEST_VARIANCE**0.5 * deviations) if best_of_three else (0.0, deviations)
    kernel = np.exp(-(((middles[:, None] - middles - shift) / scale) ** 2) / 2)  # of labels (down), given the truth
    kernel /= kernel.sum(axis=0)
    known = _between(labels, edges[0], edges[-1]) & (labels != FALLBACK_ACCURACY)
    places = np.digitize(labels[known], edges) - 1
    seen = np.bincount(places, minlength=len(middles)) / len(places)
    truth = np.full(len(middles), 1 / len(middles))
    for _ in range(60):
        truth *= kernel.T @ (seen / np.maximum(kernel @ truth, 1e-300))
    steps = np.cumsum(kernel * truth, axis=1)
    steps /= steps[:, -1:]
    drawn = np.empty(len(places), dtype=np.int64)
    for place in np.flatnonzero(seen):
        here = places == place
        drawn[here] = np.searchsorted(steps[place], random.random(here.sum()))
    accuracies = np.array(labels, dtype=np.float64)
    accuracies[known] = edges[drawn] + width * random.random(len(drawn))
    failed = labels == FALLBACK_ACCURACY
    accuracies[failed] = random.choice(accuracies[known], failed.sum())
    return accuracies


def simulated_best_of_three(test: np.ndarray, truth: np.ndarray, noise: float = 1.0, seed: int = 0) -> np.ndarray:
    """Best of three validation runs of cells whose first run had this test accuracy, if the truth is as given.

    Noise as in :func:`plausible_truth`; validation and test noise of the same run are correlated as in 54 real cells.
    """
    deviations = noise * np.interp(truth, *WITHIN_CELL_BY_ACCURACY)
    runs = deviations * np.random.default_rng(seed).standard_normal((3, len(truth)))
    same = WITHIN_CELL["correlation of validation and test between runs of a cell"]
    runs[0] = same * (test - truth) + (1 - same**2) ** 0.5 * runs[0]
    return truth + WITHIN_CELL["validation minus test accuracy (points)"] / 100 + runs.max(axis=0)


def paired_labels(test: np.ndarray, best: np.ndarray, places: np.ndarray) -> pd.DataFrame:
    """How two labels of the same cells agree, and how they would if noise were as that of 94 real cells.

    Args:
        test (array, shape (N,)): Test accuracy of the first run of all cells, fractions.
        best (array, shape (n,)): Best of three validation accuracies of some.
        places (array, shape (n,), int): Where these are among all.

    Returns:
        DataFrame: Rows ``measured`` and ``expected`` with all and with the least of that noise; columns
            ``kendall_tau``, and mean and standard deviation of best less test (points). Of cells that have both labels
            above 80 %.
    """
    pairs = {"measured": best}
    for noise in (1.0, LEAST_NOISE):
        truth = plausible_truth(test, noise=noise)[places]
        pairs[f"expected, {noise:.0%} of the noise"] = simulated_best_of_three(test[places], truth, noise)
    rows = {}
    for name, values in pairs.items():
        sound = (best > 0.8) & (values > 0.8) & (test[places] > 0.8)
        apart = 100 * (values - test[places])[sound]
        rows[name] = {
            "kendall_tau": kendall_tau(values[sound], test[places][sound]),
            "mean_points": apart.mean(),
            "sd_points": apart.std(),
        }
    return pd.DataFrame(rows).T


@dataclass(frozen=True)
class Ceiling:
    """What a perfect predictor would reach against labels: with all of the noise of 94 real cells, and with the least.

    Attributes:
        mse_percent2, kendall_tau (tuple of float): The worse number first.
    """

    mse_percent2: tuple[float, float]
    kendall_tau: tuple[float, float]


def label_ceilings(
    labels: np.ndarray, cells: Mapping[str, np.ndarray], *, best_of_three: bool = False
) -> dict[str, Ceiling]:
    """What a perfect predictor would reach against one label a cell, on some sets of them.

    Args:
        labels (array, shape (N,)): Of all cells, fractions, as :meth:`~nplib.benchmark.Benchmark.accuracy_labels` gives
            them.
        cells (mapping of str to array): Indices or a mask each.
        best_of_three (bool): Whether labels are the best of three runs, as those of the sample are.
    """
    truths = [plausible_truth(labels, best_of_three=best_of_three, noise=noise) for noise in (1.0, LEAST_NOISE)]
    return {
        name: Ceiling(
            *(
                tuple(measure(labels[chosen], truth[chosen]) for truth in truths)
                for measure in (mse_percent2, kendall_tau)
            )
        )
        for name, chosen in cells.items()
    }


# What labels teach


def label_rules(benchmark: Benchmark, budget: int = 108) -> dict[str, np.ndarray]:
    """Labels (fractions, shape (N,)) of the benchmark's own metric, by the name of the rule that makes them.

    The bare first run and the reference's rule; where all three runs are known, also the mean of those that did not
    fail and the best, with the reference's fallback where all failed.
    """
    metric = benchmark.label_metric
    rules = {
        NO_RULE: benchmark.values(metric, budget),
        NEXT_RUN: benchmark.accuracy_labels(metric, budget),
    }
    if benchmark.has(metric, budget, run=None):
        runs = benchmark.values(metric, budget, run=None)
        good = runs >= FAILED_BELOW
        any_good = good.any(axis=1)
        mean_of_good = (runs * good).sum(axis=1) / np.maximum(good.sum(axis=1), 1)
        rules |= {
            MEAN_OF_GOOD: np.where(any_good, mean_of_good, FALLBACK_ACCURACY),
            BEST: np.where(any_good, runs.max(axis=1), FALLBACK_ACCURACY),
        }
    return rules


@dataclass(frozen=True, eq=False)
class Lesson:
    """What one predictor learns: cells by their indices, shape (n,), labels of these (fractions), and its seed."""

    cells: np.ndarray
    labels: np.ndarray
    seed: int


def fit_lessons(
    cells: Cells,
    lessons: Mapping[str, Sequence[Lesson]],
    config: TrainingConfig,
    *,
    device: str = "cpu",
    progress: bool = False,
) -> dict[str, list[Predictor]]:
    """Train a predictor on each lesson, by kind; all as one batch, and equal lessons once: those share one object.

    Predictors of the same seed have the same initial weights, order and dropout, so that those which learned different
    labels of the same cells differ by the labels alone.
    """
    keys = {
        kind: [(lesson.seed, lesson.cells.tobytes(), lesson.labels.tobytes()) for lesson in some]
        for kind, some in lessons.items()
    }
    different = {key: lesson for kind, some in lessons.items() for key, lesson in zip(keys[kind], some, strict=True)}
    # A cell of each lesson is a cell of its own, for its labels may differ.
    sizes = [len(lesson.cells) for lesson in different.values()]
    fit = config.fit(
        cells[np.concatenate([lesson.cells for lesson in different.values()])],
        np.concatenate([lesson.labels for lesson in different.values()]),
        [lesson.seed for lesson in different.values()],
        training_cells=np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1]),
        device=device,
        progress=progress,
    )
    of_key = dict(zip(different, fit.predictors, strict=True))
    return {kind: [of_key[key] for key in some] for kind, some in keys.items()}
