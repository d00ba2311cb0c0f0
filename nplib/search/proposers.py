"""Proposers: what to train next, given what was trained. Each fits a predictor a search, all searches as one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from scipy.special import ndtr

from nplib.cell import Cells
from nplib.errors import UserError
from nplib.gp.predictor import GPConfig, GPPredictor
from nplib.search.mlp import MLPConfig
from nplib.training import Config, paper_config
from nplib.two_stage.stages import TwoStageConfig

PREDICTORS = ("gcn", "two-stage", "gp", "gp-plain", "mlp")
ACQUISITIONS = ("mean", "improvement", "bound", "thompson")
# Cells that Thompson sampling chooses among, the best by upper bounds: joint draws of all would not fit in memory.
THOMPSON_CELLS = 2_000


class Proposer(Protocol):
    """Fits a predictor to each of S searches and says what each should train next."""

    def __call__(
        self,
        cells: Sequence[np.ndarray],
        accuracies: Sequence[np.ndarray],
        trained: Sequence[np.ndarray],
        count: int,
        seeds: Sequence[int],
    ) -> list[np.ndarray]:
        """Propose.

        Args:
            cells (sequence of array, length S): What each search may learn from, indices.
            accuracies (sequence of array, length S): Of these cells, as the search met them; fractions.
            trained (sequence of array, length S): What is not to be proposed: trained, whether it failed or not.
            count (int): How many to propose.
            seeds: Sequence of int, length S.

        Returns:
            list of array, length S: ``count`` cells each, best first.
        """
        ...


def best_untrained(scores: np.ndarray, trained: np.ndarray, count: int) -> np.ndarray:
    """The cells with the highest scores, shape (N,), among those not trained; best first, of equal ones the first."""
    open_scores = scores.copy()
    open_scores[trained] = -np.inf
    if count < len(scores):  # all that may be among them, in order; sorting every cell would take longer
        least = np.partition(open_scores, -count)[-count]
        among = np.flatnonzero(open_scores >= least)
    else:
        among = np.arange(len(scores))
    return among[np.argsort(-open_scores[among], kind="stable")][:count]


def best_predicted(
    everything: Cells,
    config: Config | TwoStageConfig | MLPConfig,
    acquisition: str = "mean",
    *,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> Proposer:
    """The cells that a predictor ranks highest, by its mean or by what an acquisition rule makes of its doubt.

    Args:
        everything (Cells): All cells of the benchmark.
        config (TrainingConfig, TwoStageConfig, GPConfig or MLPConfig): The predictor; two stages rank what the first
            accepts above all else.
        acquisition (str): ``"mean"``: what it predicts, the paper's rule. Of a predictor that says how sure it is also
            ``"improvement"``: the expected improvement over the largest mean of a trained cell. ``"bound"``: mean plus
            one standard deviation. ``"thompson"``: the best cell of each of so many joint draws from the posterior.
            Source: Shahriari et al., "Taking the human out of the loop", 2016.
        device, progress: As for :func:`nplib.training.fit_predictors`.

    Raises:
        UserError: If there is no such rule, or this predictor has only a mean.
    """
    if acquisition not in ACQUISITIONS:
        raise UserError(f"no acquisition rule is called {acquisition!r}; there are {', '.join(ACQUISITIONS)}")

    def propose(
        cells: Sequence[np.ndarray],
        accuracies: Sequence[np.ndarray],
        trained: Sequence[np.ndarray],
        count: int,
        seeds: Sequence[int],
    ) -> list[np.ndarray]:
        # Side by side, since each search has met other accuracies of the same cell.
        rows = np.split(np.arange(sum(map(len, cells))), np.cumsum([len(row) for row in cells])[:-1])
        known, labels = everything[np.concatenate(cells)], np.concatenate(accuracies)
        fit = config.fit(known, labels, seeds, training_cells=rows, device=device, progress=progress)
        if acquisition == "mean":
            scores = getattr(fit, "scores", fit.predict)(everything)  # two stages rank what they reject too
            return [best_untrained(row, known, count) for row, known in zip(scores, trained, strict=True)]
        if not hasattr(fit.predictors[0], "posterior"):
            raise UserError(
                f"acquisition is {acquisition!r}, but this predictor does not say how sure it is; take mean"
            )
        return [
            _by_doubt(predictor, everything, row, count, acquisition, seed)
            for predictor, row, seed in zip(fit.predictors, trained, seeds, strict=True)
        ]

    return propose


def _by_doubt(
    predictor: GPPredictor, everything: Cells, trained: np.ndarray, count: int, acquisition: str, seed: int
) -> np.ndarray:
    """The best cells by what an acquisition rule makes of the posterior."""
    mean, sd = predictor.posterior(everything)
    if acquisition == "thompson":
        among = best_untrained(mean + 2 * sd, trained, min(max(THOMPSON_CELLS, count), len(mean) - len(trained)))
        chosen: list[int] = []
        for draw in predictor.sample(everything[among], count, np.random.default_rng([seed, 4])):
            draw[chosen] = -np.inf  # where a draw's best is taken, its next best
            chosen.append(int(draw.argmax()))
        return among[chosen]
    if acquisition == "bound":
        return best_untrained(mean + sd, trained, count)
    ahead = mean - mean[trained].max()
    ratio = ahead / sd
    improvement = ahead * ndtr(ratio) + sd * np.exp(-(ratio**2) / 2) / np.sqrt(2 * np.pi)
    return best_untrained(improvement, trained, count)


def make_proposer(name: str, everything: Cells, labels: int, **options) -> Proposer:
    """A proposer by the name of its predictor, with its usual settings for a number of labelled cells.

    Args:
        name (str): ``"gcn"``, ``"two-stage"``, ``"gp"``, ``"gp-plain"`` (nothing in it was chosen by other labels) or
            ``"mlp"``.
        everything (Cells): All cells of the benchmark.
        labels (int): How many cells it learns from at first.
        options: Of :func:`~nplib.search.proposers.best_predicted`.

    Raises:
        UserError: If there is no such predictor.
    """
    if name not in PREDICTORS:
        raise UserError(f"no predictor is called {name!r}; there are {', '.join(PREDICTORS)}")
    network = paper_config(labels)
    configs = {
        "gcn": network,
        "two-stage": TwoStageConfig.of(network),
        **{kind: GPConfig.named(kind) for kind in ("gp", "gp-plain")},
        "mlp": MLPConfig(),
    }
    return best_predicted(everything, configs[name], **options)
