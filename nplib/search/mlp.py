"""A plain network in place of the graph network: what the paper holds it against, as far as that can be stated.

It reads a cell as 21 bits, the edges above the diagonal of its matrix, and 7 x 5 of its vertices' operations, in the
order in which the cell is stored; the paper does not say enough to rebuild its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nplib.cell import MAX_VERTICES, Cells
from nplib.predictor import PredictorConfig
from nplib.splits import training_rows

if TYPE_CHECKING:
    from sklearn.neural_network import MLPRegressor

CELLS_AT_A_TIME = 50_000


@dataclass(frozen=True)
class MLPConfig:
    """A plain network of rectified linear units, trained by Adam on squared errors as the graph network is."""

    hidden: tuple[int, ...] = (128, 128)
    epochs: int = 300
    learning_rate: float = 1e-3  # constant
    weight_decay: float = 1e-3
    batch_size: int = 10

    def fit(
        self,
        cells: Cells,
        accuracies: np.ndarray,
        seeds: Sequence[int],
        *,
        training_cells: np.ndarray | Sequence[np.ndarray] | None = None,
        **_,
    ) -> MLPFit:
        """Fit one network a seed; parameters as of :func:`nplib.training.fit_predictors`, on the CPU alone."""
        from sklearn.exceptions import ConvergenceWarning  # slow to load
        from sklearn.neural_network import MLPRegressor

        scale = PredictorConfig()
        rows = training_rows(len(cells), accuracies, seeds, training_cells)
        settings = {
            "hidden_layer_sizes": self.hidden,
            "alpha": self.weight_decay,
            "batch_size": self.batch_size,
            "learning_rate_init": self.learning_rate,
            "max_iter": self.epochs,
            "n_iter_no_change": self.epochs,  # all of them, as the graph network
        }
        networks = []
        for seed, row in zip(seeds, rows, strict=True):
            network = MLPRegressor(**settings, random_state=int(seed))
            standardized = (np.asarray(accuracies)[row] - scale.label_mean) / scale.label_std
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # it ends when its epochs are over
                networks.append(network.fit(flat_encoding(cells[row]), standardized))
        return MLPFit(networks, tuple(seeds))


@dataclass(frozen=True, eq=False)
class MLPFit:
    """Trained networks, one a seed."""

    predictors: list[MLPRegressor]
    seeds: tuple[int, ...]

    def predict(self, cells: Cells, batch_size: int = CELLS_AT_A_TIME) -> np.ndarray:
        """Predicted accuracies (fractions), shape (M, N), float64."""
        scale = PredictorConfig()
        parts = [
            [network.predict(encoded) for network in self.predictors]
            for start in range(0, len(cells), batch_size)
            for encoded in (flat_encoding(cells[start : start + batch_size]),)
        ]
        return np.concatenate(parts, axis=1) * scale.label_std + scale.label_mean


def flat_encoding(cells: Cells) -> np.ndarray:
    """Edges and one-hot operations of cells in a row, shape (N, 21 + 35), float32; 0 for vertices that they lack."""
    edges = cells.adjacency[:, *np.triu_indices(MAX_VERTICES, 1)]
    there = np.arange(MAX_VERTICES) < cells.num_vertices[:, None]
    operations = (cells.operations[:, :, None] == np.arange(-2, 3)) & there[:, :, None]
    return np.concatenate([edges, operations.reshape(len(cells), -1)], axis=1, dtype=np.float32)
