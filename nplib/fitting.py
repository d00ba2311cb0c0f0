"""One door to all predictors: the graph network and the Gaussian process are fitted by the same call.

The configuration says which: a :class:`~nplib.training.TrainingConfig` or a :class:`~nplib.gp.config.GPConfig`.
Experiments, cross-validation, two stages and searches fit through it, so that each runs with either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch

from nplib.errors import UserError
from nplib.gp.predictor import LEAST_LABELS, GPConfig, GPFit, fit_gps
from nplib.predictor import Graphs
from nplib.training import Fit, TrainingConfig, fit_predictors

Config: TypeAlias = TrainingConfig | GPConfig
AnyFit: TypeAlias = Fit | GPFit


def fit_models(
    graphs: Graphs,
    accuracies: np.ndarray,
    seeds: Sequence[int],
    config: Config,
    *,
    training_cells: np.ndarray | Sequence[np.ndarray] | None = None,
    device: str | torch.device = "cpu",
    after_epochs: int = 0,
    callback: Callable[[int, Fit], None] | None = None,
    progress: bool = False,
) -> AnyFit:
    """Fit one predictor a seed.

    Parameters
    ----------
    graphs, accuracies, seeds, training_cells, progress
        As for :func:`nplib.training.fit_predictors` and :func:`nplib.gp.fit_gps`.
    config : TrainingConfig or GPConfig
        What to fit.
    device : str or torch.device
        Of a graph network; a Gaussian process is fitted on the CPU.
    after_epochs, callback
        As for :func:`nplib.training.fit_predictors`; a Gaussian process has no epochs.

    Returns
    -------
    Fit or GPFit
        Both have ``predictors``, ``seeds``, ``predict`` and ``first``.

    Raises
    ------
    UserError
        If the fit cannot be carried out.
    """
    if isinstance(config, GPConfig):
        if after_epochs or callback:
            raise UserError("a Gaussian process has no epochs to look at: leave after_epochs and callback out")
        return fit_gps(graphs, accuracies, seeds, config, training_cells=training_cells, progress=progress)
    return fit_predictors(
        graphs,
        accuracies,
        seeds,
        config,
        training_cells=training_cells,
        device=device,
        after_epochs=after_epochs,
        callback=callback,
        progress=progress,
    )


def least_cells(config: Config) -> tuple[int, str]:
    """How many cells a predictor needs to be fitted at all, and why, in words."""
    if isinstance(config, GPConfig):
        return LEAST_LABELS, f"a Gaussian process needs {LEAST_LABELS}"
    return config.batch_size, f"a batch holds {config.batch_size}"
