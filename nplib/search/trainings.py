"""What training cells would give: the world that a search asks, one training a query.

Rules, the same for every search: a training costs one query and its time; it gives the accuracy of one random run, by
validation or, where nothing else is known, by test; a cell trained before, or an isomorph of one, costs nothing and
gives the same again; the mean test accuracy of a cell, by which searches are judged, no search sees. Source: Wen et
al., "Neural Predictor for Neural Architecture Search", 2019, section 4; Ying et al., "NAS-Bench-101", 2019, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nplib.benchmark import FAILED_BELOW, Benchmark
from nplib.search.histories import BadSearch, Histories


@dataclass(frozen=True, eq=False)
class Trainings:
    """Results of training each of N cells R times, as a search may meet them.

    Attributes:
        seen (array, shape (N, R)): Accuracies by run that a search chooses by, fractions.
        test (array, shape (N,)): Mean test accuracies that it is judged by, fractions; NaN where unknown.
        seconds (array, shape (N, R)): Training times by run; NaN where unknown.
        metric (str): What ``seen`` is: ``"validation_accuracy"`` or ``"test_accuracy"``.
        judge (str): What ``test`` is, in words.
    """

    benchmark: Benchmark
    seen: np.ndarray
    test: np.ndarray
    seconds: np.ndarray
    metric: str = "validation_accuracy"
    judge: str = "mean test accuracy"

    @classmethod
    def of(cls, benchmark: Benchmark, budget: int = 108, judge: Benchmark | None = None) -> Trainings:
        """Trainings of a number of epochs, of the runs that all cells of the benchmark have.

        Args:
            budget (int): Epochs.
            judge (Benchmark, optional): Whose mean test accuracies searches are judged by, over the runs that did not
                fail: which runs of another benchmark fail says nothing of these. Those of the benchmark itself, failed
                runs too, if not given.

        Raises:
            nplib.benchmark.MissingMetric: If cells lack accuracies of this budget, or the judge lacks test accuracies.
            nplib.benchmark.UnknownCell: If the judge lacks a cell.
        """
        only_test = benchmark.runs("test_accuracy", budget) and not benchmark.runs("validation_accuracy", budget)
        metric = "test_accuracy" if only_test else "validation_accuracy"
        runs = benchmark.runs(metric, budget) or (0,)
        seen = _by_run(benchmark, metric, budget, runs)
        seconds = _by_run(benchmark, "training_time", budget, runs, or_unknown=True)
        if judge is None:
            test = _by_run(benchmark, "test_accuracy", budget, runs, or_unknown=True).mean(axis=1)
            words = "the run that it chose by" if only_test and len(runs) == 1 else "mean test accuracy"
        else:
            of_judge = _by_run(judge, "test_accuracy", budget, judge.runs("test_accuracy", budget) or (0,))
            good = useful(of_judge)
            means = of_judge.mean(axis=1, where=good | ~good.any(axis=1, keepdims=True))
            test = means[judge.indices(benchmark.hashes)]
            words = f"mean test accuracy by the {judge.source}"
        return cls(benchmark, seen, test, seconds, metric, words)

    def __len__(self) -> int:
        return len(self.seen)

    @property
    def has_test(self) -> bool:
        """Whether test accuracies are known."""
        return not np.isnan(self.test[0])

    @property
    def has_seconds(self) -> bool:
        """Whether training times are known."""
        return not np.isnan(self.seconds[0, 0])

    @cached_property
    def mean_seen(self) -> np.ndarray:
        """What the oracle knows, the mean over runs; shape (N,), fractions."""
        return self.seen.mean(axis=1)

    def check_queries(self, queries: int, what: str = "queries") -> None:
        """Refuse a number of trainings that there cannot be.

        Raises:
            BadSearch:
        """
        if not 1 <= queries <= len(self):
            raise BadSearch(
                f"{what} is {queries:,}; it must be from 1 to the {len(self):,} cells that there are to train "
                f"({self.benchmark.source})"
            )

    def runs_met(self, seed: int) -> np.ndarray:
        """Which run of each cell the search of a seed meets, shape (N,), int64."""
        return np.random.default_rng([seed, 0]).integers(self.seen.shape[1], size=len(self))

    def met(self, seed: int) -> np.ndarray:
        """Accuracy of each cell as the search of a seed meets it, shape (N,), fractions."""
        return self.seen[np.arange(len(self)), self.runs_met(seed)]

    def history(self, cells: Sequence[np.ndarray], seeds: Sequence[int], first: int = 0) -> Histories:
        """The record of searches that trained these cells in this order, shape (S, Q), one search a seed."""
        trained = np.stack([np.asarray(row) for row in cells])
        runs = np.stack([self.runs_met(seed)[row] for seed, row in zip(seeds, trained, strict=True)])
        given = self.seen[trained, runs], self.test[trained], self.seconds[trained, runs]
        return Histories(tuple(seeds), trained, *given, first)


def _by_run(
    benchmark: Benchmark, metric: str, budget: int, runs: Sequence[int], or_unknown: bool = False
) -> np.ndarray:
    """A metric of every cell by run, shape (N, R); NaN, if that is allowed, where a cell lacks one."""
    if or_unknown and not set(runs) <= set(benchmark.runs(metric, budget)):
        return np.full((len(benchmark), len(runs)), np.nan)
    return np.stack([benchmark.values(metric, budget, run) for run in runs], axis=1)


def useful(accuracies: np.ndarray) -> np.ndarray:
    """Which trainings did not fail, and so can be learned from; of fractions, any shape."""
    return accuracies >= FAILED_BELOW
