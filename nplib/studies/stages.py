"""One stage beside two, on the same draws of labelled cells and judged by the same others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from nplib.metrics import kendall_tau, mse_percent2
from nplib.two_stage import TwoStagePrediction
from nplib.two_stage.prediction import regressor_figures

# What is compared: names as in :meth:`nplib.two_stage.TwoStagePrediction.figures`, and as a reader knows them.
FIGURES = {
    "kendall_tau": "tau, all cells",
    "kendall_tau_passing": "tau, truly above 91 %",
    "mse_percent2": "MSE, all cells",
    "mse_percent2_passing": "MSE, truly above 91 %",
    "mse_percent2_accepted": "MSE, accepted cells",
}
Compared = dict[str, dict[str, list[float]]]  # by stage, by figure, a value a draw


def compare_stages(true: np.ndarray, alone: np.ndarray, pair: TwoStagePrediction) -> Compared:
    """Figures of one stage, which predicts ``alone``, (M, N), a row a draw, and of two, from the same draws.

    ``true`` are accuracies of the same cells, shape (N,); all are fractions.
    """
    # The second stage is judged alone, too; where a classifier accepts no cell, all are ranked by its logits.
    said = {"one stage": (alone, alone, alone), "two stages": (pair.accuracies, pair.scores, pair.regressed)}
    return {
        stage: {
            "mse_percent2": [mse_percent2(true, row) for row in accuracies],
            "kendall_tau": [kendall_tau(true, row) for row in scores],
        }
        | regressor_figures(true, regressed, pair.accepted)
        for stage, (accuracies, scores, regressed) in said.items()
    }


def tidy_stages(compared: Mapping[object, Compared], label: str = "variant") -> pd.DataFrame:
    """A row a draw, stage and number of several comparisons. Columns: ``label``, stage, number, draw, value."""
    rows = [
        (key, stage, shown, draw, value)
        for key, stages in compared.items()
        for stage, figures in stages.items()
        for name, shown in FIGURES.items()
        for draw, value in enumerate(figures.get(name, []))
    ]
    return pd.DataFrame(rows, columns=[label, "stage", "number", "draw", "value"])
