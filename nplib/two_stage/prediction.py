"""What two stages say of cells, and how good it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from nplib.errors import UserError
from nplib.metrics import kendall_tau, mse_percent2
from nplib.two_stage.classification import average_precision, classification_figures, passing


@dataclass(frozen=True, eq=False)
class TwoStagePrediction:
    """What both stages say of N cells, M times: once a seed."""

    logits: np.ndarray  # (M, N), of the classifier; above 0 a cell is more likely to pass than not
    regressed: np.ndarray  # (M, N), fractions: what the regressor says of every cell, accepted or not
    decision: float  # cells are accepted from this probability on
    rejected_accuracy: np.ndarray  # (M,), fractions: what is said of rejected cells

    @cached_property
    def probabilities(self) -> np.ndarray:
        """That a cell passes, shape (M, N)."""
        return probabilities_of(self.logits)

    @cached_property
    def accepted(self) -> np.ndarray:
        """Which cells reach the second stage, shape (M, N), bool."""
        return self.probabilities >= self.decision

    @cached_property
    def accuracies(self) -> np.ndarray:
        """Predicted accuracies, the regressor's, and one value for all that are rejected; fractions, shape (M, N)."""
        return np.where(self.accepted, self.regressed, self.rejected_accuracy[:, None])

    @cached_property
    def scores(self) -> np.ndarray:
        """To rank by, shape (M, N), the accepted by the regressor, all rejected below them by their probability.

        Only the order means anything, and only within a seed and among these cells.
        """
        lowest = np.where(self.accepted, self.regressed, np.inf).min(axis=1, initial=1.0, keepdims=True)
        # Logits in place of probabilities, which cannot tell the hopeless from the impossible.
        short = self.logits - np.where(self.accepted, -np.inf, self.logits).max(axis=1, keepdims=True)
        return np.where(self.accepted, self.regressed, lowest - 1 + short)

    def at(self, decision: float) -> TwoStagePrediction:
        """The same with another threshold."""
        return replace(self, decision=check_decision(decision))

    def on(self, cells: np.ndarray) -> TwoStagePrediction:
        """Some of the cells, by position or mask."""
        return replace(self, logits=self.logits[:, cells], regressed=self.regressed[:, cells])

    def first(self, count: int) -> TwoStagePrediction:
        """Of the first so many seeds."""
        fields = {name: getattr(self, name)[:count] for name in ("logits", "regressed", "rejected_accuracy")}
        return replace(self, **fields)

    def figures(self, true: np.ndarray, above: float = 0.91) -> dict[str, list[float]]:
        """Figures of both stages by name, a value a seed, from accuracies (fractions), shape (N,).

        These are those of :func:`~nplib.two_stage.classification.classification_figures`, which raises, ``accepted``
        (how many) and ``average_precision``; ``mse_percent2`` and ``kendall_tau`` of both stages together, on all
        cells; and :func:`regressor_figures` of the second stage alone. A cell passes ``above`` a fraction.
        """
        passes = passing(true, above)
        judged = [classification_figures(passes, accepted) for accepted in self.accepted]
        figures = {name: [values[name] for values in judged] for name in judged[0]}
        figures["accepted"] = self.accepted.sum(axis=1).tolist()
        figures["average_precision"] = [average_precision(passes, row) for row in self.logits]
        figures["mse_percent2"] = [mse_percent2(true, row) for row in self.accuracies]
        figures["kendall_tau"] = [kendall_tau(true, row) for row in self.scores]
        return figures | regressor_figures(true, self.regressed, self.accepted, above)


def regressor_figures(
    true: np.ndarray, regressed: np.ndarray, accepted: np.ndarray, above: float = 0.91
) -> dict[str, list[float]]:
    """Figures of predictors on the cells that a classifier accepts and on those that truly pass, a value a seed.

    These are ``mse_percent2_accepted``, ``kendall_tau_accepted``, ``mse_percent2_passing`` and ``kendall_tau_passing``;
    a pair is left out where a seed has fewer than two such cells. Parameters are as of
    :meth:`TwoStagePrediction.figures`; ``regressed`` may be of one stage alone.
    """
    figures = {}
    for name, parts in (("accepted", accepted), ("passing", np.broadcast_to(passing(true, above), accepted.shape))):
        if parts.sum(axis=1).min() < 2:
            continue
        pairs = [(true[part], row[part]) for part, row in zip(parts, regressed, strict=True)]
        figures[f"mse_percent2_{name}"] = [mse_percent2(*pair) for pair in pairs]
        figures[f"kendall_tau_{name}"] = [kendall_tau(*pair) for pair in pairs]
    return figures


def check_decision(decision: float) -> float:
    """A threshold, once it is a probability that decides anything."""
    if not 0 < decision < 1:
        raise UserError(f"the decision threshold is {decision}; it is a probability, above 0 and below 1")
    return float(decision)


def probabilities_of(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits, of any shape."""
    return torch.sigmoid(torch.from_numpy(logits)).numpy()
