"""How good a classifier is that accepts or rejects cells: figures at the true base rate, curves, and who survives."""

from __future__ import annotations

import math

import numpy as np

from nplib.errors import UserError
from nplib.splits import passing as passing


class NothingToJudge(UserError):
    """A figure is asked for that these cells do not have: none passes, or none is accepted."""


def classification_figures(passes: np.ndarray, accepted: np.ndarray) -> dict[str, float]:
    """Counts and shares of right and wrong decisions: what is true of each cell, and what was decided, (N,), bool.

    Returns:
        dict of str to float: ``base_rate`` (share that passes), ``accuracy`` (share decided rightly), ``precision``
            (share of the accepted that passes), ``recall`` (share of the passing that is accepted), and the counts
            ``true_positives``, ``false_positives``, ``false_negatives`` and ``true_negatives``.

    Raises:
        NothingToJudge: If no cell passes, or none is accepted: there is no recall then, or no precision.

    >>> figures = classification_figures([True, True, False, False], [True, False, True, False])
    >>> figures["precision"], figures["recall"], figures["false_negatives"]
    (0.5, 0.5, 1)
    """
    from sklearn.metrics import confusion_matrix  # slow to load

    passes, accepted = _both(passes, accepted)
    if not accepted.any():
        raise NothingToJudge(f"none of {len(accepted):,} cells is accepted; lower the decision threshold")
    (rejected, wrong), (missed, right) = confusion_matrix(passes, accepted, labels=[False, True]).tolist()
    return {
        "base_rate": (right + missed) / len(passes),
        "accuracy": (right + rejected) / len(passes),
        "precision": right / (right + wrong),
        "recall": right / (right + missed),
        "true_positives": right,
        "false_positives": wrong,
        "false_negatives": missed,
        "true_negatives": rejected,
    }


def precision_recall_curve(passes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision and recall at every threshold, from the highest.

    Args:
        passes, scores (array, shape (N,), bool and float): Scores are probabilities, logits, or predicted accuracies:
            cells at or above a threshold are accepted.

    Returns:
        precision, recall, thresholds : array, shape (T,): T different scores. Recall rises from the first to the last,
            where it is 1.

    Raises:
        NothingToJudge: If no cell passes.

    >>> precision, recall, _ = precision_recall_curve([True, False, True], [0.9, 0.8, 0.7])
    >>> precision.round(2).tolist(), recall.tolist()
    ([1.0, 0.5, 0.67], [0.5, 0.5, 1.0])
    """
    from sklearn import metrics

    # The last is of no threshold.
    precision, recall, thresholds = metrics.precision_recall_curve(*_both(passes, scores, float))
    return precision[-2::-1], recall[-2::-1], thresholds[::-1]


def average_precision(passes: np.ndarray, scores: np.ndarray) -> float:
    """Area below :func:`precision_recall_curve`, as steps; that of scores without knowledge is the base rate.

    >>> round(average_precision([True, False, True], [0.9, 0.8, 0.7]), 4)
    0.8333
    """
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(*_both(passes, scores, float)))


def calibration_curve(
    passes: np.ndarray, probabilities: np.ndarray, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What probabilities promise and what comes true, both of shape (N,), in bins of equal width, but for empty ones.

    Returns:
        promised, seen, counts : array, shape (up to bins,): Of each bin, lowest first: the mean probability, the share
            that passes, and the number of cells.

    >>> promised, seen, counts = calibration_curve([True, False, True], [0.92, 0.02, 0.94])
    >>> promised.round(2).tolist(), seen.tolist(), counts.tolist()
    ([0.02, 0.93], [0.0, 1.0], [1, 2])
    """
    passes, probabilities = _both(passes, probabilities, float, passing_needed=False)
    if bins < 1:
        raise UserError(f"bins is {bins}; it must be 1 or more")
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise UserError(f"probabilities run from {probabilities.min():g} to {probabilities.max():g}, not within 0 to 1")
    from sklearn import calibration

    seen, promised = calibration.calibration_curve(passes, probabilities, n_bins=bins)
    # It does not tell how many cells are in a bin; a probability on an edge belongs to the bin below.
    counts = np.bincount(np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], probabilities))
    return promised, seen, counts[counts > 0]


def check_recall(recall: float) -> None:
    """UserError if a share of the passing cells cannot be wanted; told before what it is chosen from is computed."""
    if not 0 < recall <= 1:
        raise UserError(f"recall is {recall}; it must be above 0 and at most 1, such as 0.95")


def choose_decision(probabilities: np.ndarray, passes: np.ndarray, recall: float) -> float:
    """The largest threshold that still accepts the wanted share of the passing cells.

    A cell that is rejected is lost for good, so the wanted recall comes first, and rejecting much second. Choose it on
    cells that the classifier was not trained on (:func:`~nplib.two_stage.stages.held_out_probabilities`).

    Args:
        probabilities (array, shape (..., n)): That each cell passes; several rows count together.
        passes: Array, shape (n,) or as the probabilities, bool.
        recall (float): Share of the passing cells to accept, above 0 and at most 1.

    Returns:
        float: One of the probabilities: cells at or above it are accepted.

    Raises:
        NothingToJudge: If no cell passes.

    >>> choose_decision(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, True]), recall=0.6)
    0.8
    """
    check_recall(recall)
    probabilities, passes = np.asarray(probabilities), np.asarray(passes, dtype=bool)
    passes, probabilities = _both(np.broadcast_to(passes, probabilities.shape).ravel(), probabilities.ravel(), float)
    best_first = np.sort(probabilities[passes])[::-1]
    # 0.7 * 10 is a little more than 7.
    return float(best_first[math.ceil(recall * len(best_first) - 1e-9) - 1])


def _both(
    passes: np.ndarray, others: np.ndarray, kind: type = bool, passing_needed: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Decisions, and what else is known of the same cells, once they can be compared."""
    passes, others = np.asarray(passes), np.asarray(others)
    for values in (passes, others) if kind is bool else (passes,):
        if values.dtype != bool:
            raise UserError(f"decisions are of type {values.dtype}; they must be true or false")
    if passes.ndim != 1 or passes.shape != others.shape:
        raise UserError(f"shapes {passes.shape} and {others.shape}; both must be (N,), one value for each cell")
    if kind is float and not np.isfinite(others).all():
        raise UserError(f"{int((~np.isfinite(others)).sum()):,} of {len(others):,} values are no finite numbers")
    if passing_needed and not passes.any():
        raise NothingToJudge(f"none of {len(passes):,} cells passes; judge on more cells, or lower the threshold")
    return passes, others
