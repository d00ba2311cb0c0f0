"""What :mod:`~nplib.records.official` runs in a process of its own: the official reader, and its results as arrays.

A script that needs nothing of ``nplib``. Started as ``official_child.py SOURCE TARGET``, it writes an ``.npz``.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

# How the official library calls what it gives of a run.
POINTS = ("halfway", "final")
METRICS = ("training_time", "train_accuracy", "validation_accuracy", "test_accuracy")


def use_tensorflow1() -> None:
    """Let ``import tensorflow`` give the names of TensorFlow 1, all of which are in ``tensorflow.compat.v1``."""
    sys.modules["tensorflow"] = importlib.import_module("tensorflow.compat.v1")


def import_api() -> ModuleType:
    """``nasbench.api``, with an empty module for the one that trains networks if that cannot be imported.

    It may want TensorFlow's estimators, which new versions have nowhere. Reading needs none of it.
    """
    name = "nasbench.lib.evaluate"
    try:
        importlib.import_module(name)
    except (ImportError, AttributeError):
        sys.modules[name] = ModuleType(name)
    return importlib.import_module("nasbench.api")


def arrays_of(fixed: dict, computed: dict) -> dict[str, np.ndarray]:
    """The official statistics of N cells and R runs as arrays, in their order.

    ``hash``, ``operations`` (with commas between) and ``trainable_parameters``, shape (N,); ``adjacency``, shape
    (N, V, V), padded with zeros, and ``num_vertices``, shape (N,); ``place``, shape (R, 3): cell, epochs and run;
    ``figures``, shape (R, 2, 4), float64: halfway and end, time, train, validation and test accuracy.
    """
    matrices = [cell["module_adjacency"] for cell in fixed.values()]
    sizes = np.array([len(matrix) for matrix in matrices], dtype=np.int64)
    adjacency = np.zeros((len(matrices), *2 * (sizes.max(initial=0),)), dtype=np.int8)
    for padded, matrix in zip(adjacency, matrices, strict=True):
        padded[: len(matrix), : len(matrix)] = matrix
    runs = [
        (cell, epochs, run, figures)
        for cell, name in enumerate(fixed)
        for epochs, repeats in computed[name].items()
        for run, figures in enumerate(repeats)
    ]
    figures = [[[run[f"{point}_{metric}"] for metric in METRICS] for point in POINTS] for *_, run in runs]
    return {
        "hash": np.array(list(fixed), dtype="U"),
        "num_vertices": sizes,
        "trainable_parameters": np.array([cell["trainable_parameters"] for cell in fixed.values()], dtype=np.int64),
        "adjacency": adjacency,
        "operations": np.array([",".join(cell["module_operations"]) for cell in fixed.values()], dtype="U"),
        "place": np.array([place for *place, _ in runs], dtype=np.int64).reshape(-1, 3),
        "figures": np.array(figures, dtype=np.float64).reshape(-1, len(POINTS), len(METRICS)),
    }


def main(source: str, target: str) -> None:
    """Read a file of records with the official library and write what it gives."""
    use_tensorflow1()
    nasbench = import_api().NASBench(source)
    with Path(target).open("wb") as file:
        np.savez(file, **arrays_of(nasbench.fixed_statistics, nasbench.computed_statistics))


if __name__ == "__main__":
    main(*sys.argv[1:])
