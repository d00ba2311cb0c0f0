"""Which of the trained cells a search keeps: the best by its run, or by what a predictor and the run together say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nplib.errors import UserError
from nplib.gp.predictor import GPConfig
from nplib.search.histories import Histories
from nplib.search.trainings import Trainings, useful

KEEP, KEEP_BY = ("all", "top"), ("run", "posterior")
# Of a search without random cells to begin with: the population of evolution.
LEARNED_FIRST = 100
DEFAULT_GP = GPConfig()


def keeping(
    trainings: Trainings,
    history: Histories,
    keep: str = "all",
    keep_by: str = "run",
    config: GPConfig = DEFAULT_GP,
) -> Histories:
    """The same searches with another rule of what they keep.

    Args:
        history (Histories): Of any kind of search.
        keep (str): ``"all"``: the best of all trained. ``"top"``: the best among those proposed, as the paper's
            abstract has it; of a search without a predictor all are.
        keep_by (str): ``"run"``: by the one run that was seen. ``"posterior"``: by the posterior mean of a Gaussian
            process that has learned from every run seen until then, which takes back what was luck; failed trainings
            are never kept. Its hyper-parameters are fitted to the cells that the search began with, random ones, or the
            first hundred.
        config (GPConfig): Of that process, whatever proposed the cells.

    Raises:
        UserError: If there is no such rule.
        nplib.gp.process.GPFailed: If too few trainings succeeded for a posterior.
    """
    for name, value, known in (("keep", keep, KEEP), ("keep_by", keep_by, KEEP_BY)):
        if value not in known:
            raise UserError(f"{name} is {value!r}; there are {', '.join(known)}")
    if keep_by == "run":
        return history.among_top() if keep == "top" else replace(history, place=None)
    first = history.first if keep == "top" else 0
    places = [_by_posterior(trainings, history, search, first, config) for search in range(len(history.seeds))]
    return replace(history, place=np.stack(places))


def _by_posterior(trainings: Trainings, history: Histories, search: int, first: int, config: GPConfig) -> np.ndarray:
    """Which query of one search has the highest posterior mean after each, shape (Q,); -1 before there is any."""
    good = useful(history.seen[search])
    queries = np.flatnonzero(good)
    seen = history.seen[search, queries]
    cells = trainings.benchmark.cells[history.cells[search, queries]]
    begun = int(good[: history.first or LEARNED_FIRST].sum())
    (predictor,) = config.fit(cells, seen, [history.seeds[search]], training_cells=np.arange(begun)).predictors
    means = predictor.means_as_labels_come(cells, seen)  # (n, n)
    may_be_kept = np.tri(len(queries), dtype=bool) & (queries >= first)
    best = np.where(may_be_kept.any(axis=1), queries[np.where(may_be_kept, means, -np.inf).argmax(axis=1)], -1)
    learned = np.cumsum(good) - 1  # the last label that is known after each query
    return np.where(learned < 0, -1, best[learned])
