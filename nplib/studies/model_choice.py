"""Choosing a predictor's settings by cross-validation, from the labelled cells alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nplib.cell import Cells
from nplib.errors import UserError
from nplib.studies.cross_validation import FIGURES, CrossValidation, Split, cross_validate_draws
from nplib.training import Config, TrainingConfig


def config_grid(
    base: TrainingConfig,
    *,
    hidden: Sequence[int] = (),
    learning_rate: Sequence[float] = (),
    epochs: Sequence[int] = (),
    dropout: Sequence[float] = (),
) -> list[TrainingConfig]:
    """Every combination of some settings; of those not given, the one of ``base``. The first vary slowest.

    >>> [config.in_words for config in config_grid(TrainingConfig(), hidden=[72, 144], dropout=[0])]
    ['width 72, lr 0.0001, 300 epochs, dropout 0', 'width 144, lr 0.0001, 300 epochs, dropout 0']
    """
    combinations = itertools.product(
        hidden or (base.predictor.hidden,),
        learning_rate or (base.learning_rate,),
        epochs or (base.epochs,),
        dropout or (base.predictor.dropout,),
    )
    return [
        replace(base, learning_rate=rate, epochs=count, predictor=replace(base.predictor, hidden=width, dropout=drop))
        for width, rate, count, drop in combinations
    ]


@dataclass(frozen=True, eq=False)
class Choice:
    """Configurations, cross-validated on the same cells and splits, and the one that did best."""

    validations: Sequence[CrossValidation]  # one a configuration
    by: str = "mse_percent2"  # the least of it, or the largest "kendall_tau", mean over splits

    @property
    def index(self) -> int:
        """Which configuration is chosen; of equal ones the first."""
        means = [validation.estimate(self.by).mean for validation in self.validations]
        return int(np.argmax(means) if self.by == "kendall_tau" else np.argmin(means))

    @property
    def best(self) -> CrossValidation:
        """Its cross-validation. Being the best of several, its figures are likely to flatter it."""
        return self.validations[self.index]

    @property
    def config(self) -> Config:
        """The configuration itself."""
        return self.best.config


def choose_configs(
    cells: Cells,
    labels: np.ndarray,
    draws: np.ndarray,
    configs: Sequence[Config],
    splits: Sequence[Split],
    by: str = "mse_percent2",
    seeds: Sequence[int] | None = None,
    **options,
) -> list[Choice]:
    """Choose a configuration on each of D draws of labelled cells by cross-validation; no other label is looked at.

    See :class:`Choice`, and :func:`nplib.studies.cross_validation.cross_validate_draws` for the other parameters.
    UserError if there is nothing to choose from, and as that does.
    """
    if not len(configs):
        raise UserError("no configurations to choose from; give at least one")
    if by not in FIGURES:
        raise UserError(f"no figure is called {by!r}; choose by {' or '.join(FIGURES)}")
    validated = [cross_validate_draws(cells, labels, draws, splits, config, seeds, **options) for config in configs]
    return [Choice(of_draw, by) for of_draw in zip(*validated, strict=True)]
