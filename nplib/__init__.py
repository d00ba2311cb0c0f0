"""Neural Predictor for Neural Architecture Search, reproduced on NASBench-101.

Importing the package loads nothing heavy: names are fetched from the modules that own them when they are first used.

>>> from nplib import Cell
>>> Cell([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", "conv3x3-bn-relu", "output"]).num_edges
2
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

_OWNERS = {
    "load": "sources",
    "Cell": "cell",
    "Cells": "cell",
    "Graphs": "predictor",
    "Predictor": "predictor",
    "TrainingConfig": "training",
    "fit_predictors": "training",
    "make_splits": "splits",
}
__all__ = list(_OWNERS)


def __getattr__(name: str) -> object:
    if name not in _OWNERS:
        raise AttributeError(f"module 'nplib' has no attribute {name!r}")
    return getattr(import_module(f"nplib.{_OWNERS[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_OWNERS])
