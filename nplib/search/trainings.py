"""What training cells would give: the world that a search asks, one training a query, and the record of what it asked.

Rules, the same for every search: a training costs one query and its time; its validation accuracy is that of one random
run; a cell trained before, or an isomorph of one, costs nothing and gives the same again; the test accuracy of a cell,
which no search sees, is the mean over its runs. Source: Wen et al., "Neural Predictor for Neural Architecture Search",
2019, section 4; Ying et al., "NAS-Bench-101", 2019, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nplib.benchmark import FAILED_BELOW, Benchmark, MissingMetric
from nplib.errors import UserError

# Means of equal accuracies differ by so little when they are of different numbers of searches.
ROUNDING = 1e-12


class BadSearch(UserError):
    """A search cannot be carried out as asked for; the message says what to change."""


@dataclass(frozen=True, eq=False)
class Trainings:
    """Results of training each of N cells R times, as a search may meet them.

    Attributes
    ----------
    benchmark : Benchmark
    validation : array, shape (N, R)
        Validation accuracies by run, fractions.
    test : array, shape (N,)
        Mean test accuracies over runs, fractions; NaN where the benchmark has none.
    seconds : array, shape (N, R)
        Training times by run; NaN where the benchmark has none.
    """

    benchmark: Benchmark
    validation: np.ndarray
    test: np.ndarray
    seconds: np.ndarray

    @classmethod
    def of(cls, benchmark: Benchmark, budget: int = 108) -> Trainings:
        """Trainings of a number of epochs, of the runs that all cells of the benchmark have.

        Raises
        ------
        MissingMetric
            If cells lack validation accuracies of this budget.
        """
        runs = benchmark.runs("validation_accuracy", budget)
        validation = np.stack([benchmark.values("validation_accuracy", budget, run) for run in runs or (0,)], axis=1)
        unknown = np.full(validation.shape, np.nan)
        test, seconds = (
            np.stack([benchmark.values(metric, budget, run) for run in runs], axis=1)
            if set(runs) <= set(benchmark.runs(metric, budget))
            else unknown
            for metric in ("test_accuracy", "training_time")
        )
        return cls(benchmark, validation, test.mean(axis=1), seconds)

    def __len__(self) -> int:
        return len(self.validation)

    @property
    def has_test(self) -> bool:
        """Whether test accuracies are known."""
        return not np.isnan(self.test[0])

    @property
    def has_seconds(self) -> bool:
        """Whether training times are known."""
        return not np.isnan(self.seconds[0, 0])

    @cached_property
    def mean_validation(self) -> np.ndarray:
        """Over runs, shape (N,), fractions: what the oracle knows."""
        return self.validation.mean(axis=1)

    def check_queries(self, queries: int, what: str = "queries") -> None:
        """Refuse a number of trainings that there cannot be.

        Raises
        ------
        BadSearch
        """
        if not 1 <= queries <= len(self):
            raise BadSearch(
                f"{what} is {queries:,}; it must be from 1 to the {len(self):,} cells that there are to train "
                f"({self.benchmark.source})"
            )

    def runs_met(self, seed: int) -> np.ndarray:
        """Which run of each cell the search of a seed meets, shape (N,), int64."""
        return np.random.default_rng([seed, 0]).integers(self.validation.shape[1], size=len(self))

    def met(self, seed: int) -> np.ndarray:
        """Validation accuracy of each cell as the search of a seed meets it, shape (N,), fractions."""
        return self.validation[np.arange(len(self)), self.runs_met(seed)]

    def history(self, cells: Sequence[np.ndarray], seeds: Sequence[int]) -> Histories:
        """The record of searches that trained these cells in this order, shape (S, Q), one search a seed."""
        trained = np.stack([np.asarray(row) for row in cells])
        runs = np.stack([self.runs_met(seed)[row] for seed, row in zip(seeds, trained, strict=True)])
        return Histories(
            tuple(seeds), trained, self.validation[trained, runs], self.test[trained], self.seconds[trained, runs]
        )


@dataclass(frozen=True, eq=False)
class Histories:
    """What S searches trained, in order, Q queries each.

    Attributes
    ----------
    seeds : tuple of int, length S
    cells : array, shape (S, Q), int64
        Indices into the benchmark, none twice in a row.
    validation : array, shape (S, Q)
        What the search saw, fractions.
    test : array, shape (S, Q)
        Mean test accuracy of each, which it did not see; fractions, NaN where unknown.
    seconds : array, shape (S, Q)
        Training time of each; NaN where unknown.
    """

    seeds: tuple[int, ...]
    cells: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    seconds: np.ndarray

    @property
    def queries(self) -> int:
        """How many cells each search trained."""
        return self.cells.shape[1]

    @cached_property
    def best_validation(self) -> np.ndarray:
        """The best validation accuracy seen so far, after every query, shape (S, Q)."""
        return np.maximum.accumulate(self.validation, axis=1)

    @cached_property
    def best_place(self) -> np.ndarray:
        """After every query, which query gave that, shape (S, Q); of equal ones the first."""
        place = np.arange(self.queries)
        rises = np.diff(self.best_validation, axis=1, prepend=-np.inf) > 0
        return np.maximum.accumulate(np.where(rises, place, 0), axis=1)

    @cached_property
    def best_test(self) -> np.ndarray:
        """Test accuracy of the cell kept, the one with the best validation accuracy so far, shape (S, Q)."""
        return np.take_along_axis(self.test, self.best_place, axis=1)

    @property
    def best_cell(self) -> np.ndarray:
        """The cell that each search ends with, shape (S,)."""
        return self.cells[np.arange(len(self.seeds)), self.best_place[:, -1]]

    @cached_property
    def elapsed(self) -> np.ndarray:
        """Training time spent so far, seconds, shape (S, Q): one cell after another."""
        return np.cumsum(self.seconds, axis=1)

    def to(self, queries: int) -> Histories:
        """The first so many queries.

        Raises
        ------
        BadSearch
            If there were fewer.
        """
        if not 1 <= queries <= self.queries:
            raise BadSearch(f"{queries:,} queries are asked for, of searches that made {self.queries:,}")
        fields = (getattr(self, name)[:, :queries] for name in ("cells", "validation", "test", "seconds"))
        return Histories(self.seeds, *fields)

    def at_seconds(self, grid: np.ndarray, by: str = "test") -> np.ndarray:
        """Test (or validation) accuracy of the cell kept after so much training time, shape (S, G).

        NaN before the first training ends; past the end of a search, what it ended with.
        """
        kept = self.best_test if by == "test" else self.best_validation
        place = np.stack([np.searchsorted(row, grid, side="right") for row in self.elapsed]) - 1
        return np.where(place < 0, np.nan, np.take_along_axis(kept, np.maximum(place, 0), axis=1))


def useful(validation: np.ndarray) -> np.ndarray:
    """Which trainings did not fail, and so can be learned from; of fractions, any shape."""
    return validation >= FAILED_BELOW


def queries_to_reach(curve: np.ndarray, level: float) -> int | None:
    """How many queries a curve needs to reach a level, None if it never does.

    Parameters
    ----------
    curve : array, shape (Q,)
        After 1, 2, ... queries.
    level : float
    """
    reached = np.flatnonzero(curve >= level - ROUNDING)
    return int(reached[0]) + 1 if len(reached) else None


@dataclass(frozen=True)
class Factor:
    """How many times as many queries another search needs to reach the same.

    Attributes
    ----------
    level : float
        What is to be reached: the mean accuracy (fraction) after ``queries``.
    queries : int
        Of the search that is held against the other.
    needed : int or None
        Of the other, by its mean curve; None if it does not get there.
    low, high : float
        95 % interval of ``needed / queries``, by bootstrap over searches of both; infinite where the other does not get
        there.
    most : int
        Queries that the other was given.
    """

    level: float
    queries: int
    needed: int | None
    low: float
    high: float
    most: int

    @property
    def factor(self) -> float:
        """``needed / queries``, infinite if it does not get there."""
        return np.inf if self.needed is None else self.needed / self.queries


def sample_efficiency(
    ours: Histories, other: Histories, queries: int, by: str = "test", resamples: int = 2_000, seed: int = 0
) -> Factor:
    """How many times as many queries another search needs for the mean accuracy that ours has.

    Parameters
    ----------
    ours, other : Histories
    queries : int
        Of ours.
    by : str
        ``"test"``: of the cell kept. ``"validation"``: the best that the search saw.
    resamples, seed : int
        Of the bootstrap: searches are drawn with replacement, ours and the other's apart.

    Raises
    ------
    MissingMetric
        If test accuracies are unknown.
    BadSearch
        If ours made fewer queries.
    """
    ends, others = (getattr(history, f"best_{by}") for history in (ours.to(queries), other))
    ends = ends[:, -1]
    if np.isnan(ends).any() or np.isnan(others).any():
        raise MissingMetric(
            f"searches cannot be compared by {by} accuracy, which the benchmark does not have of every cell"
        )
    random = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        level = ends[random.integers(len(ends), size=len(ends))].mean()
        weights = random.multinomial(len(other.seeds), np.full(len(other.seeds), 1 / len(other.seeds)))
        found.append(queries_to_reach(weights @ others / len(other.seeds), level))
    factors = np.array([np.inf if needed is None else needed / queries for needed in found])
    low, high = np.quantile(factors, (0.025, 0.975), method="nearest")
    needed = queries_to_reach(others.mean(axis=0), ends.mean())
    return Factor(float(ends.mean()), queries, needed, float(low), float(high), other.queries)
