"""Predictors held against each other: the same random draws of labelled cells, judged by the same unseen others."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import torch

from nplib._fits import trained_anew
from nplib.cell import Cells
from nplib.features import NAMES, features_of
from nplib.features.columns import columns_of
from nplib.gp import GPConfig
from nplib.gp.predictor import GPPredictor
from nplib.gp.process import GaussianProcess, most_probable
from nplib.gp.targets import target_values
from nplib.metrics import kendall_tau, mse_percent2, precision_at
from nplib.splits import drawn_cells
from nplib.training import Config


@dataclass(frozen=True)
class Draws:
    """Random draws of labelled cells (:func:`nplib.splits.drawn_cells`) and the unseen cells that judge them."""

    orders: np.ndarray  # (D, N): all cells in a random order each, of which the first n are labelled
    judged: list[np.ndarray]  # of each draw, cells that no number of labels reaches

    @classmethod
    def of(cls, cells: int, draws: int, most_labels: int, most_judged: int = 20_000) -> Draws:
        """So many draws of so many cells."""
        orders = np.stack(drawn_cells(cells, cells, draws))
        return cls(orders, [order[most_labels:][:most_judged] for order in orders])

    def led_by(self, designs: Sequence[np.ndarray]) -> Draws:
        """The same draws, where the cells of a design each are labelled first; none of them is a judge then."""
        pairs = list(zip(designs, self.orders, self.judged, strict=False))
        orders = np.stack([np.concatenate([first, order[~np.isin(order, first)]]) for first, order, _ in pairs])
        return Draws(orders, [judged[~np.isin(judged, first)] for first, _, judged in pairs])

    def labelled(self, count: int, draws: int) -> list[np.ndarray]:
        """The first ``count`` cells of the first ``draws`` draws."""
        return [order[:count] for order in self.orders[:draws]]


@dataclass(frozen=True)
class Trees:
    """Extremely randomised trees of all features, on ranks of the labels (scikit-learn), to stand beside the others."""

    trees: int = 300

    def fit(
        self, cells: Cells, accuracies: np.ndarray, seeds: Sequence[int], *, training_cells: Sequence[np.ndarray]
    ) -> RanksOnly:
        """Fit a forest a seed."""
        from sklearn.ensemble import ExtraTreesRegressor

        forests = []
        for seed, rows in zip(seeds, training_cells, strict=True):
            forest = ExtraTreesRegressor(self.trees, max_features=0.5, random_state=seed)
            forest.fit(features_of(cells[rows]), pd.Series(accuracies[rows]).rank())
            forests.append(_Ranking(lambda cells, forest=forest: forest.predict(features_of(cells))))
        return RanksOnly(forests)


@dataclass(frozen=True)
class WithCheap:
    """The chosen Gaussian process with labels of two prices: a draw's first cells are trained fully, others less.

    A Gaussian process of the cheap labels' ranks says what it expects of every cell, and that of the full labels reads
    it as one column more, with as much weight at first as all others have together. Source: Perdikaris et al.,
    "Nonlinear information fusion algorithms for data-efficient multi-fidelity modelling", 2017.
    """

    cheap: np.ndarray  # (N,), fractions, of the same cells as the labels: what a shorter training gives
    full: int  # how many cells are trained fully; only their labels are looked at

    def fit(
        self, cells: Cells, accuracies: np.ndarray, seeds: Sequence[int], *, training_cells: Sequence[np.ndarray]
    ) -> RanksOnly:
        """Fit both a seed."""
        config = GPConfig()
        ranking = replace(config, targets=("rank_normal",))
        cheap = ranking.fit(cells, self.cheap, seeds, training_cells=[row[self.full :] for row in training_cells])
        fitted = []
        for low, row in zip(cheap.predictors, training_cells, strict=True):
            some, members = cells[row[: self.full]], []
            expected = low.mean_score(some)
            targets = target_values(config.targets[0], accuracies[row[: self.full]])
            for names in config.feature_sets:
                X = _with_column(some, names, expected)
                found = most_probable(X, targets, config.priors, config.iterations)
                members.append((names, GaussianProcess(found, X, targets)))
            fitted.append(_Ranking(partial(_mean_of_members, members=members, low=low)))
        return RanksOnly(fitted)


def _with_column(cells: Cells, names: Sequence[str], expected: np.ndarray) -> np.ndarray:
    """Columns by name, and what a predictor of cheap labels expects, in float64."""
    return np.column_stack([columns_of(cells, names).astype(np.float64), expected * len(names) ** 0.5])


def _mean_of_members(
    cells: Cells, members: Sequence[tuple[Sequence[str], GaussianProcess]], low: GPPredictor
) -> np.ndarray:
    expected = low.mean_score(cells)
    rows = [(member, torch.from_numpy(_with_column(cells, names, expected))) for names, member in members]
    means = [member.predict(X.float())[0] for member, X in rows]
    return torch.stack(means).mean(dim=0).double().numpy()


@dataclass(frozen=True)
class RanksOnly:
    """Fitted predictors whose values only rank, one a seed."""

    predictors: list[_Ranking]


@dataclass(frozen=True)
class _Ranking:
    predict: Callable[[Cells], np.ndarray]


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
    name: str,
    config: Config | Trees | WithCheap,
    cells: Cells,
    labels: np.ndarray,
    drawn: Draws,
    count: int,
    draws: int,
) -> pd.DataFrame:
    """Fit one predictor a draw of ``count`` labels (fractions), and measure what it says of unseen cells.

    Returns:
        DataFrame: A row a draw: predictor (its name), labels, draw, each of ``MEASURES``, seconds (of a fit, which is
            always made, and a prediction; features that the cells have already are not counted).
    """
    start = time.perf_counter()
    with trained_anew():
        fit = config.fit(cells, labels, range(draws), training_cells=drawn.labelled(count, draws))
    predicted = [p.predict(cells[rows]) for p, rows in zip(fit.predictors, drawn.judged, strict=False)]
    seconds = (time.perf_counter() - start) / draws
    rows = [
        {"predictor": name, "labels": count, "draw": draw}
        | {what: measure(labels[drawn.judged[draw]], values) for what, measure in MEASURES.items()}
        | {"seconds": seconds}
        for draw, values in enumerate(predicted)
    ]
    return pd.DataFrame(rows)


def choices_undone() -> Mapping[str, GPConfig]:
    """What lies between the chosen Gaussian process and the plain one: one choice after the other is undone."""
    chosen, plain = GPConfig(), GPConfig.plain()
    return {
        "scale from the labels": replace(chosen, targets=plain.targets),
        "and generic priors": replace(chosen, targets=plain.targets, priors=plain.priors),
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
