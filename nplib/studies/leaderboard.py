"""Predictors held against each other: the same random draws of labelled cells, judged by the same unseen others."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nplib.cell import Cells
from nplib.features import NAMES, features_of
from nplib.gp import GPConfig
from nplib.metrics import kendall_tau, mse_percent2, precision_at
from nplib.training import Config


@dataclass(frozen=True)
class Draws:
    """Random draws of labelled cells and the unseen cells that judge them: ``RandomState(s).permutation``, s from 0."""

    orders: np.ndarray  # (D, N): all cells in a random order each, of which the first n are labelled
    judged: list[np.ndarray]  # of each draw, cells that no number of labels reaches

    @classmethod
    def of(cls, cells: int, draws: int, most_labels: int, most_judged: int = 20_000) -> Draws:
        """So many draws of so many cells."""
        orders = np.stack([np.random.RandomState(s).permutation(cells) for s in range(draws)])
        return cls(orders, [order[most_labels:][:most_judged] for order in orders])

    def labelled(self, count: int, draws: int) -> list[np.ndarray]:
        """The first ``count`` cells of the first ``draws`` draws."""
        return [order[:count] for order in self.orders[:draws]]


@dataclass(frozen=True)
class Trees:
    """Extremely randomised trees of all features, on ranks of the labels (scikit-learn), to stand beside the others."""

    trees: int = 300

    def fit(
        self, cells: Cells, accuracies: np.ndarray, seeds: Sequence[int], *, training_cells: Sequence[np.ndarray]
    ) -> TreesFit:
        """Fit a forest a seed; predictions only rank."""
        from sklearn.ensemble import ExtraTreesRegressor

        forests = []
        for seed, rows in zip(seeds, training_cells, strict=True):
            forest = ExtraTreesRegressor(self.trees, max_features=0.5, random_state=seed)
            forests.append(_Forest(forest.fit(features_of(cells[rows]), pd.Series(accuracies[rows]).rank())))
        return TreesFit(forests)


@dataclass(frozen=True)
class TreesFit:
    """Forests, one a seed."""

    predictors: list[_Forest]


@dataclass(frozen=True)
class _Forest:
    forest: object

    def predict(self, cells: Cells) -> np.ndarray:
        return self.forest.predict(features_of(cells))


def place_of_best(true: np.ndarray, predicted: np.ndarray, k: int = 20) -> int:
    """Among the k cells predicted best, the true place (from 1) of the best."""
    best = np.argsort(-predicted, kind="stable")[:k]
    return int((true > true[best].max()).sum()) + 1


MEASURES = {
    "tau": kendall_tau,
    "precision at 100": lambda true, predicted: precision_at(true, predicted, 100),
    "place of the best of 20": place_of_best,
    "MSE": mse_percent2,
}


def judge(
    name: str, config: Config | Trees, cells: Cells, labels: np.ndarray, drawn: Draws, count: int, draws: int
) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Fit one predictor a draw of ``count`` labels (fractions), and measure what it says of unseen cells.

    Returns:
        frame (DataFrame): A row a draw: predictor (its name), labels, draw, each of ``MEASURES``, seconds (of a fit and
            a prediction).
        predicted (list of array): Of the judged cells, a draw each.
    """
    start = time.perf_counter()
    fit = config.fit(cells, labels, range(draws), training_cells=drawn.labelled(count, draws))
    predicted = [p.predict(cells[rows]) for p, rows in zip(fit.predictors, drawn.judged, strict=False)]
    seconds = (time.perf_counter() - start) / draws
    rows = [
        {"predictor": name, "labels": count, "draw": draw}
        | {what: measure(labels[drawn.judged[draw]], values) for what, measure in MEASURES.items()}
        | {"seconds": seconds}
        for draw, values in enumerate(predicted)
    ]
    return pd.DataFrame(rows), predicted


def choices_undone() -> Mapping[str, GPConfig]:
    """The chosen Gaussian process, and what is left when one choice after the other is undone, to the plain one."""
    chosen, plain = GPConfig(), GPConfig.plain()
    return {
        "chosen": chosen,
        "scale from the labels": replace(chosen, targets=plain.targets),
        "and generic priors": replace(chosen, targets=plain.targets, priors=plain.priors),
        "and all columns: plain": plain,
    }


def variants() -> Mapping[str, GPConfig]:
    """Other Gaussian processes that were tried, with one thing changed."""
    chosen = GPConfig()
    return {
        "the first of both members alone": replace(chosen, members=1, feature_sets=chosen.feature_sets[:1]),
        "one process on all features": replace(chosen, members=1, feature_sets=(NAMES,)),
        "ranks as a normal distribution's": replace(chosen, targets=("rank_normal",)),
        "plain, ranks as a normal distribution's": replace(GPConfig.plain(), targets=("rank_normal",)),
        "plain, half of the columns each": replace(GPConfig.plain(), column_share=0.5),
    }
