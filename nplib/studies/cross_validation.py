"""Cross-validation: how good a predictor is, told by the labelled cells alone.

They are split into a part to train on and a part held out, several times over; all predictors train as one batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nplib.cell import Cells
from nplib.errors import UserError
from nplib.metrics import NORMAL_95, MeanSd, kendall_tau, mse_percent2, spearman, summarize
from nplib.training import Config

# Positions among the labelled cells: those to train on, and those held out.
Split = tuple[np.ndarray, np.ndarray]

FIGURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "mse_percent2": mse_percent2,
    "kendall_tau": kendall_tau,
}


class BadSplit(UserError):
    """Labelled cells cannot be split as asked for, or splits do not fit them."""


def k_folds(n: int, folds: int = 5, repeats: int = 1, seed: int = 0) -> list[Split]:
    """Deal n cells into folds whose sizes differ by one at most; each is held out once. Each repeat deals them anew.

    Returns:
        list of (training, held out), length folds * repeats: Positions from 0 to n - 1, ascending, int64. The folds of
            a repeat follow each other.

    Raises:
        BadSplit: If there are fewer cells than folds, fewer than 2 folds, or no repeat.

    >>> splits = k_folds(5, folds=2)
    >>> [len(held_out) for _, held_out in splits], sorted(int(i) for _, held_out in splits for i in held_out)
    ([3, 2], [0, 1, 2, 3, 4])
    """
    if folds < 2:
        raise BadSplit(f"folds is {folds}; there must be at least 2, one to hold out and others to train on")
    if repeats < 1:
        raise BadSplit(f"repeats is {repeats}; it must be 1 or more")
    if n < folds:
        raise BadSplit(f"{n} cells cannot be dealt into {folds} folds; give more cells, or ask for fewer folds")
    from sklearn.model_selection import KFold  # slow to load

    random = np.random.default_rng(seed)
    dealt = [random.permutation(n) for _ in range(repeats)]
    return [_hold_out(order[held_out], n) for order in dealt for _, held_out in KFold(folds).split(order)]


def random_splits(n: int, share: float = 0.1, count: int = 10, seed: int = 0) -> list[Split]:
    """Hold out a random share of n cells, rounded, a number of times, drawn anew each time; see :func:`k_folds`.

    BadSplit if no cell would be held out or none be left to train on, or there is to be no split.
    """
    if count < 1:
        raise BadSplit(f"count is {count}; there must be at least 1 split")
    if not 0 < share < 1:
        raise BadSplit(f"share is {share}; it must be between 0 and 1, such as 0.1")
    size = round(share * n)
    if not 0 < size < n:
        raise BadSplit(f"to hold out a share of {share} of {n} cells is to hold out {size}; change the share")
    random = np.random.default_rng(seed)
    return [_hold_out(random.permutation(n)[:size], n) for _ in range(count)]


def _hold_out(held_out: np.ndarray, n: int) -> Split:
    return np.setdiff1d(np.arange(n), held_out), np.sort(held_out)


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """What predictors said of cells that they were not trained on."""

    config: Config
    labels: np.ndarray  # (N,), of the labelled cells, fractions
    splits: Sequence[Split]  # S of them
    predicted: Sequence[np.ndarray]  # one a split: accuracies of its held-out cells, fractions

    @property
    def true(self) -> list[np.ndarray]:
        """Labels of the held-out cells of each split, fractions."""
        return [self.labels[held_out] for _, held_out in self.splits]

    def values(self, figure: str) -> np.ndarray:
        """One figure of each split, ``"mse_percent2"`` or ``"kendall_tau"``, shape (S,).

        UserError, here and below, if there is no such figure, or if it is Kendall's tau and the held-out cells of a
        split are fewer than two, all have one label, or are all predicted alike.
        """
        pairs = enumerate(zip(self.true, self.predicted, strict=True))
        return np.array([_measure(figure, *pair, f"the held-out cells of split {number}") for number, pair in pairs])

    def estimate(self, figure: str) -> MeanSd:
        """Mean and standard deviation of a figure over the splits."""
        return summarize(self.values(figure))

    def pooled(self, figure: str, above: float = -math.inf) -> float:
        """A figure of the held-out cells of all splits together, or of those among them labelled above a fraction.

        A rank correlation compares outputs of different predictors then, which differ by more than those of one do.
        """
        true, predicted = np.concatenate(self.true), np.concatenate(self.predicted)
        place = "the held-out cells" if above == -math.inf else f"the held-out cells above {above}"
        return _measure(figure, true[true > above], predicted[true > above], place)

    def standard_error(self, figure: str, corrected: bool = True) -> float:
        """Standard error of the mean over splits; UserError if there is a single one.

        Splits share cells, so that their figures are not independent, and sd / √S is too small. The corrected error is
        sd · √(1/S + held out / trained on). Source: Nadeau and Bengio, "Inference for the generalization error", 2003.
        """
        if len(self.splits) < 2:
            raise UserError("one split alone has no spread to take a standard error from; use two or more")
        trained, held_out = (np.mean([len(split[part]) for split in self.splits]) for part in range(2))
        variance = 1 / len(self.splits) + (held_out / trained if corrected else 0)
        return self.estimate(figure).sd * math.sqrt(variance)

    def report(self) -> dict[str, object]:
        """Figures by split, pooled, mean and sd, and both standard errors, as JSON can hold them."""
        several = len(self.splits) > 1
        report: dict[str, object] = {"cells": len(self.labels), "splits": len(self.splits)}
        for name in FIGURES:
            estimate = self.estimate(name)
            report[name] = {
                "by_split": self.values(name).tolist(),
                "pooled": self.pooled(name),
                "mean": estimate.mean,
                "sd": estimate.sd if several else None,
                "standard_error": self.standard_error(name) if several else None,
                "standard_error_uncorrected": self.standard_error(name, corrected=False) if several else None,
            }
        return report


def _measure(figure: str, true: np.ndarray, predicted: np.ndarray, place: str) -> float:
    if figure not in FIGURES:
        raise UserError(f"no figure is called {figure!r}; there are {', '.join(FIGURES)}")
    if figure == "kendall_tau":
        if len(true) < 2:
            raise UserError(f"{place} are {len(true)}, and ranks need 2; hold out more, or use mse_percent2 alone")
        for name, values in (("labelled", true), ("predicted", predicted)):
            if np.ptp(values) == 0:
                raise UserError(
                    f"{place} ({len(true)}) are all {name} {values[0]:.6f}, so Kendall's tau is undefined; hold out "
                    "more cells, or use mse_percent2 alone"
                )
    return FIGURES[figure](true, predicted)


def cross_validate(
    cells: Cells,
    labels: np.ndarray,
    labelled: np.ndarray,
    splits: Sequence[Split],
    config: Config,
    seed: int = 0,
    **options,
) -> CrossValidation:
    """Train on a part of the labelled cells and predict the rest, for every split.

    BadSplit if splits do not fit the cells, or one trains on fewer than the predictor needs; UserError if cells are no
    list of different cells, or the training cannot be carried out.

    Args:
        cells, labels, options: As of :func:`nplib.training.fit_predictors`; labels of other than the labelled cells may
            be NaN.
        labelled (array of int, shape (N,)): Indices into ``cells``.
        splits (sequence of (training, held out)): From :func:`k_folds` or :func:`random_splits` of N cells, or your
            own.
        seed (int): Split s trains with seed + s.
    """
    return cross_validate_draws(cells, labels, np.asarray(labelled)[None], splits, config, [seed], **options)[0]


def cross_validate_draws(
    cells: Cells,
    labels: np.ndarray,
    draws: np.ndarray,
    splits: Sequence[Split],
    config: Config,
    seeds: Sequence[int] | None = None,
    **options,
) -> list[CrossValidation]:
    """Cross-validate on several draws of N labelled cells, all predictors in one batch.

    :func:`cross_validate` gives the same for each row of ``draws``, shape (D, N), and each of D seeds (0 if not given).
    """
    draws = np.asarray(draws)
    seeds = [0] * len(draws) if seeds is None else list(seeds)
    _check_draws(draws, seeds, len(cells))
    _check_splits(splits, draws.shape[1], *config.least_cells)
    fit = config.fit(
        cells,
        labels,
        [seed + number for seed in seeds for number in range(len(splits))],
        training_cells=[draw[training] for draw in draws for training, _ in splits],
        **options,
    )
    predictors = iter(fit.predictors)
    return [
        CrossValidation(
            config,
            np.asarray(labels)[draw],
            splits,
            [next(predictors).predict(cells[draw[held_out]]) for _, held_out in splits],
        )
        for draw in draws
    ]


def _check_draws(draws: np.ndarray, seeds: Sequence[int], num_cells: int) -> None:
    if draws.ndim != 2 or draws.size == 0 or draws.dtype.kind not in "iu":
        raise UserError(
            f"labelled cells have shape {draws.shape} and type {draws.dtype}; give indices, (N,) or (draws, N) of them"
        )
    if len(seeds) != len(draws):
        raise UserError(f"{len(seeds)} seeds for {len(draws)} draws; give one for each")
    if draws.min() < 0 or draws.max() >= num_cells:
        raise UserError(f"labelled cells run from {draws.min()} to {draws.max()}; there are {num_cells:,} cells")
    for number, cells in enumerate(draws):
        values, counts = np.unique(cells, return_counts=True)
        if len(values) < len(cells):
            raise UserError(
                f"draw {number} names cell {values[counts > 1][0]} more than once, so that it could be trained on and "
                "held out at a time; name each cell once"
            )


def _check_splits(splits: Sequence[Split], n: int, least: int, why: str) -> None:
    if not len(splits):
        raise BadSplit("no splits: nothing would be held out; make some with k_folds or random_splits")
    for number, (training, held_out) in enumerate(splits):
        used = np.concatenate([training, held_out])
        if not len(held_out) or used.min() < 0 or used.max() >= n or len(np.unique(used)) < len(used):
            raise BadSplit(
                f"split {number} ({len(training)} to train on, {len(held_out)} held out) does not fit {n} labelled "
                f"cells: it must hold out one or more, and name none twice and none beyond {n - 1}; make splits for {n}"
            )
        if len(training) < least:
            raise BadSplit(
                f"split {number} trains on {len(training)} of {n} cells, but {why}; hold out "
                f"fewer cells, or use a batch_size of at most {max(len(training), 1)}"
            )


@dataclass(frozen=True)
class Agreement:
    """How estimates of several draws agree with the truth about them."""

    estimate: MeanSd
    truth: MeanSd
    difference: MeanSd  # estimate minus truth; its mean is the bias
    covered: float  # share of draws whose truth lies within 1.96 standard errors of the estimate
    correlation: float  # Spearman's over draws: whether an estimate tells a good draw from a bad one


def agreement(estimates: np.ndarray, standard_errors: np.ndarray, truths: np.ndarray) -> Agreement:
    """Hold estimates against the truth, a value a draw, in one unit; UserError if not of one shape, (D,), D > 1."""
    estimates, standard_errors, truths = map(np.asarray, (estimates, standard_errors, truths))
    if not (estimates.ndim == 1 and estimates.shape == standard_errors.shape == truths.shape and len(truths) > 1):
        shapes = ", ".join(str(array.shape) for array in (estimates, standard_errors, truths))
        raise UserError(f"estimates, standard errors and truths have shapes {shapes}; give (D,) each, 2 draws or more")
    difference = summarize(estimates - truths)
    return Agreement(
        estimate=summarize(estimates),
        truth=summarize(truths),
        difference=difference,
        covered=float(np.mean(np.abs(estimates - truths) <= NORMAL_95 * standard_errors)),
        correlation=spearman(truths, estimates),
    )


def judge_draws(
    cells: Cells,
    labels: np.ndarray,
    draws: Sequence[np.ndarray],
    judged: np.ndarray,
    config: Config,
    seeds: Sequence[int],
    **options,
) -> tuple[pd.DataFrame, np.ndarray]:
    """The truth about several draws of labelled cells: a predictor that trains on all of each, judged by other cells.

    Parameters are as of :func:`cross_validate_draws`. Of J ``judged`` cells those are left out that a draw labelled.

    Returns:
        truths (DataFrame, a row a draw): A column for each of ``FIGURES``.
        predicted (array, shape (D, J)): Of all judged cells, fractions.
    """
    fit = config.fit(cells, labels, list(seeds), training_cells=list(draws), **options)
    predicted = fit.predict(cells[judged])
    unseen = [~np.isin(judged, draw) for draw in draws]
    rows = [
        {name: measure(labels[judged][others], row[others]) for name, measure in FIGURES.items()}
        for others, row in zip(unseen, predicted, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(FIGURES)), predicted


def held_against_truth(validations: Sequence[CrossValidation], truths: pd.DataFrame) -> pd.DataFrame:
    """Estimates of several draws beside the truth, a row a draw and figure.

    Columns: figure, draw, estimate, standard_error (corrected), truth, covered (by 1.96 standard errors).
    """
    rows = [
        {
            "figure": figure,
            "draw": draw,
            "estimate": validation.estimate(figure).mean,
            "standard_error": validation.standard_error(figure),
            "truth": truths[figure].iloc[draw],
        }
        for figure in FIGURES
        for draw, validation in enumerate(validations)
    ]
    frame = pd.DataFrame(rows)
    frame["covered"] = (frame["estimate"] - frame["truth"]).abs() <= NORMAL_95 * frame["standard_error"]
    return frame


def agreements(frame: pd.DataFrame, by: Sequence[str]) -> dict[tuple, Agreement]:
    """How estimates agree with the truth, for every group of rows of :func:`held_against_truth`."""
    return {
        key: agreement(*(group[name].to_numpy() for name in ("estimate", "standard_error", "truth")))
        for key, group in frame.groupby(list(by), sort=False)
    }
