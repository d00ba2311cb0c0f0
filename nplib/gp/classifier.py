"""A Gaussian process as the first of two stages: how likely a cell is to be above a threshold, by its posterior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nplib.gp.predictor import GPFit, GPPredictor
from nplib.predictor import Graphs

# A chance is at least this far from 0 and 1, so that its logit is finite.
SUREST = 1e-12


@dataclass(frozen=True, eq=False)
class GPClassifier:
    """A fitted bag, asked whether cells are above a threshold (a fraction); it learned from accuracies, not classes."""

    predictor: GPPredictor
    above: float

    def predict(self, graphs: Graphs, batch_size: int = 16_384) -> np.ndarray:
        """Logits of the chance that a cell's label is above, shape (N,), as classifiers of other kinds give them."""
        chance = np.clip(self.predictor.chance_above(graphs, self.above, batch_size), SUREST, 1 - SUREST)
        return np.log(chance) - np.log1p(-chance)


@dataclass(frozen=True, eq=False)
class GPClassifierFit:
    """Classifiers of several seeds, with the methods of :class:`nplib.training.Fit`."""

    fit: GPFit
    above: float

    @property
    def seeds(self) -> tuple[int, ...]:
        """One a classifier."""
        return self.fit.seeds

    @property
    def predictors(self) -> list[GPClassifier]:
        """The classifiers."""
        return [GPClassifier(predictor, self.above) for predictor in self.fit.predictors]

    def predict(self, graphs: Graphs, batch_size: int = 16_384) -> np.ndarray:
        """Logits of every classifier, shape (M, N)."""
        return np.stack([classifier.predict(graphs, batch_size) for classifier in self.predictors])

    def first(self, count: int) -> GPClassifierFit:
        """Those of the first so many seeds."""
        return GPClassifierFit(self.fit.first(count), self.above)
