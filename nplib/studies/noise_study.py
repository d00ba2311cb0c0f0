"""Why an error is as large as it is: which cells make it, how much of it is noise of labels, what a label rule does.

Runs of a cell are taken as independent draws about an accuracy of its own, which a *perfect predictor* knows. What such
a predictor would still get wrong can be measured without it: from how runs of the same cell differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from nplib.benchmark import FAILED_BELOW, FALLBACK_ACCURACY, Benchmark
from nplib.errors import UserError
from nplib.metrics import kendall_tau
from nplib.predictor import Graphs, Predictor
from nplib.sources.surrogate import BEST_VARIANCE
from nplib.studies.noise import within_cell_sd
from nplib.studies.published import FAILED_BELOW_IN_TEXT
from nplib.training import TrainingConfig, fit_predictors

NO_RULE, NEXT_RUN, NEXT_RUN_15 = "no rule", "next run, 20 %", "next run, 15 %"
MEAN, MEDIAN, MEAN_OF_GOOD, BEST = "mean of runs", "median of runs", "mean of good runs", "best run"
ALL_FAILED, FIRST_FAILED, FAILED = "all runs failed", "run 0 failed, another did not", "failed"


def label_rules(benchmark: Benchmark, budget: int = 108) -> dict[str, np.ndarray]:
    """Validation accuracies as labels (fractions, shape (N,)), by the name of the rule that makes them.

    Mean and median are of all three runs as they are. Good runs are those that did not fail; where all failed, their
    mean and the best run are the reference's fallback, as its rule has it.

    Parameters
    ----------
    benchmark : Benchmark
        With run 0 of every cell. Only with all three runs there are rules of several.
    budget : int
        Epochs.
    """
    rules = {
        NO_RULE: benchmark.values(budget=budget),
        NEXT_RUN: benchmark.accuracy_labels(budget=budget),
        NEXT_RUN_15: benchmark.accuracy_labels(budget=budget, failed_below=FAILED_BELOW_IN_TEXT),
    }
    if benchmark.has("validation_accuracy", budget, run=None):
        runs = benchmark.values(budget=budget, run=None)
        good = runs >= FAILED_BELOW
        any_good = good.any(axis=1)
        mean_of_good = (runs * good).sum(axis=1) / np.maximum(good.sum(axis=1), 1)
        rules |= {
            MEAN: runs.mean(axis=1),
            MEDIAN: np.median(runs, axis=1),
            MEAN_OF_GOOD: np.where(any_good, mean_of_good, FALLBACK_ACCURACY),
            BEST: np.where(any_good, runs.max(axis=1), FALLBACK_ACCURACY),
        }
    return rules


def groups_of_cells(runs: np.ndarray, edges: Sequence[float]) -> dict[str, np.ndarray]:
    """Every cell in one group: those whose first run failed, the others by its accuracy.

    Parameters
    ----------
    runs : array, shape (N, R)
        Accuracies, fractions. With a single run nobody knows what another would give: all that failed are one group.
    edges : sequence of float
        Accuracies (fractions) at which groups end and begin, ascending.

    Returns
    -------
    dict of str to array, shape (N,), bool

    Examples
    --------
    >>> {name: cells.tolist() for name, cells in groups_of_cells(np.array([[0.1], [0.7], [0.9]]), [0.8]).items()}
    {'failed': [True, False, False], 'below 80 %': [False, True, False], '80 % and above': [False, False, True]}
    """
    failed = runs < FAILED_BELOW
    first, every = failed[:, 0], failed.all(axis=1)
    groups = {FAILED: first} if runs.shape[1] == 1 else {ALL_FAILED: every, FIRST_FAILED: first & ~every}
    groups[f"below {100 * edges[0]:g} %"] = ~first & (runs[:, 0] < edges[0])
    for low, high in pairwise(edges):
        groups[f"{100 * low:g} to {100 * high:g} %"] = ~first & (runs[:, 0] >= low) & (runs[:, 0] < high)
    groups[f"{100 * edges[-1]:g} % and above"] = ~first & (runs[:, 0] >= edges[-1])
    return groups


@dataclass(frozen=True, eq=False)
class GroupError:
    """The squared error of some of the cells, of M predictors.

    Attributes
    ----------
    of_cells : float
        Share of all cells.
    mse_percent2 : array, shape (M,)
        Mean over these cells, points²; NaN if there is none.
    of_error : array, shape (M,)
        Share of the squared error of all cells.
    """

    of_cells: float
    mse_percent2: np.ndarray
    of_error: np.ndarray


def errors_by_group(true: np.ndarray, predicted: np.ndarray, groups: Mapping[str, np.ndarray]) -> dict[str, GroupError]:
    """Split the squared error of predictors among groups of cells.

    Parameters
    ----------
    true : array, shape (N,)
    predicted : array, shape (M, N)
        Accuracies, fractions.
    groups : mapping of str to array, shape (N,), bool
        Every cell in one of them.

    Raises
    ------
    UserError
        If a cell is in none, or in two.
    """
    memberships = np.sum(list(groups.values()), axis=0)
    if (memberships != 1).any():
        cell = np.flatnonzero(memberships != 1)[0]
        raise UserError(
            f"cell {cell} is in {memberships[cell]} of the groups; every cell must be in one, so that they sum"
        )
    squared = (100 * (predicted - true)) ** 2
    sums = squared.sum(axis=1)
    errors = {}
    for name, cells in groups.items():
        within = squared[:, cells].sum(axis=1)
        mse = within / cells.sum() if cells.any() else np.full(len(predicted), np.nan)
        errors[name] = GroupError(float(cells.mean()), mse, within / sums)
    return errors


def perfect_squared_errors(runs: np.ndarray) -> np.ndarray:
    """Squared error of a perfect predictor against the first run of each cell, points², shape (N,).

    It is (r0 - r1)(r0 - r2). Given the first run, the others differ from what the predictor knows by noise of their
    own, so its expectation is the squared error, and this stays so for cells chosen by their first run. Single values
    are rough, and can be negative: take means. Over cells not chosen by any run the mean estimates the variance within
    a cell.

    Parameters
    ----------
    runs : array, shape (N, 3)
        Accuracies, fractions.

    Examples
    --------
    >>> perfect_squared_errors(np.array([[0.90, 0.92, 0.93]])).round(6).tolist()
    [6.0]
    """
    first, second, third = 100 * np.asarray(runs, dtype=np.float64).T
    return (first - second) * (first - third)


def label_floors(runs: np.ndarray) -> dict[str, float]:
    """MSE (points²) of a perfect predictor against one run, the mean and the best of three: what noise alone makes.

    By the name of the rule that makes such labels.

    Parameters
    ----------
    runs : array, shape (N, 3)
        Accuracies, fractions, of cells without a failed run that were not chosen by them otherwise. The best of three
        is taken as if noise within a cell were normal.
    """
    variance = float((100 * within_cell_sd(runs)) ** 2 @ np.full(len(runs), 1 / len(runs)))
    return {NEXT_RUN: variance, MEAN_OF_GOOD: variance / 3, BEST: BEST_VARIANCE * variance}


@dataclass(frozen=True)
class RankCeiling:
    """Kendall tau with the first run of the best that could predict it.

    Attributes
    ----------
    run : float
        Of another run: the mean of both others.
    mean_of_two : float
        Of the mean of the other two runs, which has half the noise.
    mean_of_two_expected : float
        The same as it follows from the correlations between single runs: how far those can be trusted for the next.
    perfect : float
        Of a perfect predictor, which has no noise. It follows from the same correlations; NaN, like the one before, if
        the other two runs are not correlated.
    """

    run: float
    mean_of_two: float
    mean_of_two_expected: float
    perfect: float


def rank_ceiling(runs: np.ndarray) -> RankCeiling:
    """How well the first run of cells can be ranked at all.

    For what cannot be measured, ranks are taken as those of normal variables, for which tau is 2/pi times the arcsine
    of the correlation; correlations are corrected for noise as by Spearman (1904): that of the first run with the truth
    is its correlation with another run, divided by the square root of that between the other two. This holds for cells
    chosen by their first run too.

    Parameters
    ----------
    runs : array, shape (N, 3)

    Raises
    ------
    UserError
        If there are fewer than two cells.
    """
    first, second, third = np.asarray(runs).T
    to_first = (kendall_tau(first, second) + kendall_tau(first, third)) / 2
    correlation, others = (np.sin(np.pi / 2 * tau) for tau in (to_first, kendall_tau(second, third)))

    def expected(reliability: float) -> float:
        """Tau of the first run with something of which this share of the variance is the cells' own."""
        return float(2 / np.pi * np.arcsin(min(correlation * np.sqrt(reliability / others), 1.0)))

    related = others > 0
    return RankCeiling(
        run=to_first,
        mean_of_two=kendall_tau(first, (second + third) / 2),
        mean_of_two_expected=expected(2 * others / (1 + others)) if related else float("nan"),
        perfect=expected(1.0) if related else float("nan"),
    )


@dataclass(frozen=True, eq=False)
class Lesson:
    """What one predictor learns.

    Attributes
    ----------
    cells : array, shape (n,), int
        Indices.
    labels : array, shape (n,)
        Of these cells, fractions.
    seed : int
    """

    cells: np.ndarray
    labels: np.ndarray
    seed: int


def fit_lessons(
    graphs: Graphs,
    lessons: Sequence[Lesson],
    config: TrainingConfig,
    *,
    device: str = "cpu",
    progress: bool = False,
) -> list[Predictor]:
    """Train a predictor on each lesson, all as one batch, and equal lessons once.

    Predictors of the same seed have the same initial weights, order and dropout, so that those which learned different
    labels of the same cells differ by the labels alone.

    Parameters
    ----------
    graphs : Graphs
        All cells.
    lessons : sequence of Lesson
    config, device, progress
        As for :func:`nplib.training.fit_predictors`.

    Returns
    -------
    list of Predictor
        One a lesson. Those of equal lessons are the same object.
    """
    keys = [(lesson.seed, lesson.cells.tobytes(), lesson.labels.tobytes()) for lesson in lessons]
    different = dict(zip(keys, lessons, strict=True))
    # A cell of each lesson is a cell of its own, for its labels may differ.
    sizes = [len(lesson.cells) for lesson in different.values()]
    fit = fit_predictors(
        graphs[torch.as_tensor(np.concatenate([lesson.cells for lesson in different.values()]))],
        np.concatenate([lesson.labels for lesson in different.values()]),
        [lesson.seed for lesson in different.values()],
        config,
        training_cells=np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1]),
        device=device,
        progress=progress,
    )
    of_key = dict(zip(different, fit.predictors, strict=True))
    return [of_key[key] for key in keys]
