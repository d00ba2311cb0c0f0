"""Neural Predictor for Neural Architecture Search, reproduced on NASBench-101.

Importing the package loads nothing heavy: names are fetched from the modules that own them when they are first used.

>>> from nplib import Cell
>>> Cell([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", "conv3x3-bn-relu", "output"]).num_edges
2
"""

from __future__ import annotations

from nplib._lazy import face

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "load": "sources",
        "Cell": "cell",
        "Cells": "cell",
        "Graphs": "predictor",
        "Predictor": "predictor",
        "TrainingConfig": "training",
        "fit_predictors": "training",
        "make_splits": "splits",
    },
)
