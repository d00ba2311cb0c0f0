"""What searches trained, in order; which cell each keeps; and how many trainings one needs to get where another is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nplib.benchmark import MissingMetric
from nplib.errors import UserError

if TYPE_CHECKING:
    import pandas

# Means of equal accuracies differ by so little when they are of different numbers of searches.
ROUNDING = 1e-12
# A bootstrap over fewer searches says nothing about others.
LEAST_SEARCHES = 5


class BadSearch(UserError):
    """A search cannot be carried out as asked for; the message says what to change."""


@dataclass(frozen=True, eq=False)
class Histories:
    """What S searches trained, in order, Q queries each, and which cell each keeps.

    Attributes:
        seeds: Tuple of int, length S.
        cells (array, shape (S, Q), int64): Indices into the benchmark.
        seen (array, shape (S, Q)): What training gave, by which the search chose; fractions. See
            :class:`~nplib.search.trainings.Trainings`.
        test (array, shape (S, Q)): Mean test accuracy of each, which the search did not see; fractions, NaN where
            unknown.
        seconds (array, shape (S, Q)): Training time of each; NaN where unknown.
        first (int): How many of them were trained before anything was proposed; 0 of a search without a predictor.
        place (array, shape (S, Q), int64): Which query gave the cell that is kept after every query; -1 where none is
            kept yet. If not given, it is the best one seen so far, of equal ones the first.
    """

    seeds: tuple[int, ...]
    cells: np.ndarray
    seen: np.ndarray
    test: np.ndarray
    seconds: np.ndarray
    first: int = 0
    place: np.ndarray = field(default=None)  # type: ignore[assignment]  # filled in below

    def __post_init__(self) -> None:
        if self.place is None:
            object.__setattr__(self, "place", best_so_far(self.seen))

    @property
    def queries(self) -> int:
        """How many cells each search trained."""
        return self.cells.shape[1]

    @cached_property
    def best_seen(self) -> np.ndarray:
        """What training the cell kept gave, after every query, shape (S, Q); NaN where none is kept yet."""
        return self._of_kept(self.seen)

    @cached_property
    def best_test(self) -> np.ndarray:
        """Mean test accuracy of the cell kept, after every query, shape (S, Q)."""
        return self._of_kept(self.test)

    def _of_kept(self, values: np.ndarray) -> np.ndarray:
        return np.where(self.place < 0, np.nan, np.take_along_axis(values, np.maximum(self.place, 0), axis=1))

    @property
    def best_cell(self) -> np.ndarray:
        """The cell that each search ends with, shape (S,); -1 if it keeps none."""
        last = self.place[:, -1]
        return np.where(last < 0, -1, self.cells[np.arange(len(last)), last])

    @cached_property
    def elapsed(self) -> np.ndarray:
        """Training time spent so far, one cell after another; seconds, shape (S, Q)."""
        return np.cumsum(self.seconds, axis=1)

    def among_top(self) -> Histories:
        """The same searches, where only proposed cells may be kept: the best "among the top K" of the paper."""
        return replace(self, place=best_so_far(self.seen, self.first))

    def to(self, queries: int) -> Histories:
        """The first so many queries.

        Raises:
            BadSearch: If there were fewer.
        """
        if not 1 <= queries <= self.queries:
            raise BadSearch(f"{queries:,} queries are asked for, of searches that made {self.queries:,}")
        names = ("cells", "seen", "test", "seconds", "place")
        return replace(self, **{name: getattr(self, name)[:, :queries] for name in names})

    def of(self, searches: int) -> Histories:
        """The first so many searches."""
        names = ("seeds", "cells", "seen", "test", "seconds", "place")
        return replace(self, **{name: getattr(self, name)[:searches] for name in names})

    def at_seconds(self, grid: np.ndarray, by: str = "test") -> np.ndarray:
        """What is kept after so much training time, by ``"test"`` accuracy or as ``"seen"``, shape (S, G).

        NaN before the first training ends; past the end of a search, what it ended with.
        """
        place = np.stack([np.searchsorted(row, grid, side="right") for row in self.elapsed]) - 1
        kept = np.take_along_axis(getattr(self, f"best_{by}"), np.maximum(place, 0), axis=1)
        return np.where(place < 0, np.nan, kept)


def best_so_far(worth: np.ndarray, first: int = 0) -> np.ndarray:
    """Which query has been worth most so far, of those from a first one on, shape (S, Q); -1 before it."""
    worth = np.where(np.arange(worth.shape[1]) < first, -1, worth)  # below any accuracy
    rises = np.diff(np.maximum.accumulate(worth, axis=1), axis=1, prepend=-1) > 0
    return np.maximum.accumulate(np.where(rises, np.arange(worth.shape[1]), -1), axis=1)


@dataclass(frozen=True)
class Factor:
    """How many times as many trainings a rival needs to be as good as a search.

    Attributes:
        level (float): The mean accuracy (fraction) that both are to reach.
        given (int): Trainings after which one of them is there.
        needed (float): Trainings of the other, by its mean curve, once it has a predictor; infinite if it does not get
            there.
        needed_low, needed_high (float): 95 % interval of these, by bootstrap over searches of both; NaN of fewer than 5
            searches of either.
        most (int): Trainings that the other was given.
        by_rival (bool): Whether it is the rival that was given its trainings, and the search that needs some.
    """

    level: float
    given: int
    needed: float
    needed_low: float
    needed_high: float
    most: int
    by_rival: bool

    def _factor(self, needed: float) -> float:
        return self.given / needed if self.by_rival else needed / self.given

    @property
    def factor(self) -> float:
        """The rival's trainings by the search's; infinite or 0 if the level is not reached."""
        return self._factor(self.needed)

    @property
    def low(self) -> float:
        """Lower end of its 95 % interval; 0 where the search does not get there."""
        return self._factor(self.needed_high if self.by_rival else self.needed_low)

    @property
    def high(self) -> float:
        """Upper end of its 95 % interval; infinite where the rival does not get there."""
        return self._factor(self.needed_low if self.by_rival else self.needed_high)

    @property
    def limit(self) -> float:
        """What the factor is below (``by_rival``) or above where the level is not reached."""
        return self._factor(self.most)

    @property
    def trainings(self) -> str:
        """How many are needed, in words."""
        return f"more than {self.most:,}" if np.isinf(self.needed) else f"{self.needed:,.0f}"

    def as_json(self) -> dict[str, object]:
        """As JSON can hold it: ``interval`` is of ``needed``; None stands for what is not reached, or not known."""
        counts = (self.needed, self.needed_low, self.needed_high)
        needed, *interval = (int(count) if np.isfinite(count) else None for count in counts)
        return {"level": self.level, "given": self.given, "needed": needed, "interval": interval, "most": self.most}

    def text(self) -> str:
        """The factor and its interval in words, for a table; nothing is said of what was not reached but its limit.

        >>> Factor(0.94, 100, 500, 400, np.inf, 2_000, by_rival=False).text()
        '5.0 (4.0 or more)'
        """
        beyond = f"{'<' if self.by_rival else '>'} {self.limit:.1f}"
        value = beyond if np.isinf(self.needed) else f"{self.factor:.1f}"
        if np.isnan(self.needed_low):
            return f"{value} (no interval)"
        if np.isinf(self.needed_low):
            return f"{beyond} (all of the interval)"
        if np.isinf(self.needed_high):
            return f"{value} ({f'{self.high:.1f} or less' if self.by_rival else f'{self.low:.1f} or more'})"
        return f"{value} ({self.low:.1f} to {self.high:.1f})"


def factor_at(search: Histories, rival: Histories, queries: int, **options) -> Factor:
    """How many times as many trainings a rival needs to be where a search is after some.

    Args:
        queries (int): Of the search.
        options: ``by``: ``"test"`` (default) or ``"seen"``, accuracy of the cell kept. ``resamples`` (2,000), ``seed``
            (0) of the bootstrap: searches are drawn with replacement, those of both apart.

    Raises:
        MissingMetric: If test accuracies are unknown.
        BadSearch: If the search made fewer queries.
    """
    return Factor(*_needed(search.to(queries), rival, **options), by_rival=False)


def factor_to_reach(search: Histories, rival: Histories, queries: int, **options) -> Factor:
    """The paper's question: how many times fewer trainings a search needs to be where a rival is after some.

    Parameters and errors as of :func:`factor_at`, but that ``queries`` are the rival's.
    """
    return Factor(*_needed(rival.to(queries), search, **options), by_rival=True)


def factor_table(
    searches: Mapping[str, Histories], rival: Histories, *, queries: int, reach: int, **options
) -> pandas.DataFrame:
    """Both questions asked of several searches, by what they saw and by mean test, in words.

    Args:
        searches: Mapping of names to Histories.
        queries, reach (int): Trainings of the searches in :func:`factor_at`, and of the rival in
            :func:`factor_to_reach`.
        options: Of both.

    Returns:
        DataFrame: A row a search, four columns of texts.
    """
    import pandas

    rows = {}
    for name, search in searches.items():
        rows[name] = {}
        for by, judge in (("test", "by mean test"), ("seen", "as seen")):
            there = factor_to_reach(search, rival, reach, by=by, **options)
            rows[name][f"rival's {reach:,}, {judge}"] = there.text()
        for by, judge in (("test", "by mean test"), ("seen", "as seen")):
            rows[name][f"own {queries:,}, {judge}"] = factor_at(search, rival, queries, by=by, **options).text()
    return pandas.DataFrame(rows).T


def tidy(searches: Mapping[str, Histories], totals: Sequence[int]) -> pandas.DataFrame:
    """What searches keep after some numbers of trainings: a row a search and number, as far as it went.

    Returns:
        DataFrame: Columns ``search`` (its name), ``seed``, ``trainings``, and ``seen`` and ``test`` of the cell kept
            (fractions).
    """
    import pandas

    return pandas.concat(
        [
            pandas.DataFrame(
                {
                    "search": name,
                    "seed": history.seeds,
                    "trainings": total,
                    "seen": history.best_seen[:, total - 1],
                    "test": history.best_test[:, total - 1],
                }
            )
            for name, history in searches.items()
            for total in totals
            if total <= history.queries
        ],
        ignore_index=True,
    )


def _needed(
    there: Histories, other: Histories, by: str = "test", resamples: int = 2_000, seed: int = 0
) -> tuple[float, int, float, float, float, int]:
    """Level, queries, and how many the other needs for it, with an interval: the fields of :class:`Factor`."""
    ends, curves = getattr(there, f"best_{by}")[:, -1], getattr(other, f"best_{by}")
    if np.isnan(ends).any() or np.isnan(curves[:, -1]).any():
        raise MissingMetric(
            f"searches cannot be compared by {by} accuracy, which the benchmark does not have of every cell"
        )
    # Before its first proposal a search is a random one, whatever chance gives it; or it keeps nothing yet.
    curves = np.where(np.isnan(curves) | (np.arange(other.queries) < other.first), -1, curves)
    needed = queries_to_reach(curves.mean(axis=0), ends.mean())
    low, high = np.nan, np.nan
    if min(len(ends), len(curves)) >= LEAST_SEARCHES:
        random = np.random.default_rng(seed)
        found = [
            queries_to_reach(_resampling(random, len(curves)) @ curves, _resampling(random, len(ends)) @ ends)
            for _ in range(resamples)
        ]
        low, high = np.quantile(found, (0.025, 0.975), method="nearest")
    return float(ends.mean()), there.queries, needed, float(low), float(high), other.queries


def _resampling(random: np.random.Generator, count: int) -> np.ndarray:
    """Weights of searches in a mean over so many that are drawn with replacement."""
    return random.multinomial(count, np.full(count, 1 / count)) / count


def queries_to_reach(curve: Sequence[float] | np.ndarray, level: float) -> float:
    """How many queries a curve needs to reach a level, infinitely many if it never does.

    Args:
        curve (array, shape (Q,)): After 1, 2, ... queries.
    """
    reached = np.asarray(curve) >= level - ROUNDING
    return float(reached.argmax()) + 1 if reached.any() else np.inf
