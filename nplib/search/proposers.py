"""Proposers: what to train next, given what was trained. Each fits a predictor a search, all searches as one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from scipy.special import ndtr
from tqdm import tqdm

from nplib.cell import Cells
from nplib.errors import UserError
from nplib.gp.predictor import GPConfig, GPPredictor
from nplib.training import TrainingConfig, paper_config
from nplib.two_stage.stages import TwoStageConfig

PREDICTORS = ("gcn", "two-stage", "gp")
DEFAULT_GP = GPConfig()
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

        Parameters
        ----------
        cells : sequence of array, length S
            What each search may learn from, indices.
        accuracies : sequence of array, length S
            Of these cells, as the search met them; fractions.
        trained : sequence of array, length S
            What is not to be proposed: trained, whether it failed or not.
        count : int
            How many to propose.
        seeds : sequence of int, length S

        Returns
        -------
        list of array, length S
            ``count`` cells each, best first.
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


def _side_by_side(
    everything: Cells, cells: Sequence[np.ndarray], accuracies: Sequence[np.ndarray]
) -> tuple[Cells, np.ndarray, list[np.ndarray]]:
    """Cells of all searches one after the other, since each search has met other accuracies of the same cell."""
    rows = np.split(np.arange(sum(map(len, cells))), np.cumsum([len(row) for row in cells])[:-1])
    return everything[np.concatenate(cells)], np.concatenate(accuracies), rows


def best_predicted(everything: Cells, config: TrainingConfig, **options) -> Proposer:
    """The paper's: the cells that a predictor ranks highest.

    Parameters
    ----------
    everything : Cells
        All cells of the benchmark.
    config : TrainingConfig
    options
        ``device`` and ``progress`` of :func:`nplib.training.fit_predictors`.
    """

    def scores(cells: Sequence[np.ndarray], accuracies: Sequence[np.ndarray], seeds: Sequence[int]) -> np.ndarray:
        known, labels, rows = _side_by_side(everything, cells, accuracies)
        return config.fit(known, labels, seeds, training_cells=rows, **options).predict(everything)

    return _by_score(scores)


def best_accepted(everything: Cells, config: TwoStageConfig, **options) -> Proposer:
    """The paper's with two stages: the cells that the second ranks highest among those that the first accepts.

    Parameters
    ----------
    everything, options
        See :func:`best_predicted`.
    config : TwoStageConfig
    """

    def scores(cells: Sequence[np.ndarray], accuracies: Sequence[np.ndarray], seeds: Sequence[int]) -> np.ndarray:
        known, labels, rows = _side_by_side(everything, cells, accuracies)
        return config.fit(known, labels, seeds, training_cells=rows, **options).scores(everything)

    return _by_score(scores)


def _by_score(
    scores_of: Callable[[Sequence[np.ndarray], Sequence[np.ndarray], Sequence[int]], np.ndarray],
) -> Proposer:
    def propose(
        cells: Sequence[np.ndarray],
        accuracies: Sequence[np.ndarray],
        trained: Sequence[np.ndarray],
        count: int,
        seeds: Sequence[int],
    ) -> list[np.ndarray]:
        scores = scores_of(cells, accuracies, seeds)
        return [best_untrained(row, known, count) for row, known in zip(scores, trained, strict=True)]

    return propose


def best_by_gp(
    everything: Cells,
    config: GPConfig = DEFAULT_GP,
    acquisition: str = "mean",
    *,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> Proposer:
    """The cells that a Gaussian process ranks highest, by its mean or by what an acquisition rule makes of its doubt.

    Parameters
    ----------
    everything : Cells
        All cells of the benchmark.
    config : GPConfig
    acquisition : str
        ``"mean"``: the posterior mean, as the paper's rule would have it. ``"improvement"``: the expected improvement
        over the largest mean of a trained cell. ``"bound"``: mean plus one standard deviation. ``"thompson"``: the best
        cell of each of so many joint draws from the posterior. Source: Shahriari et al., "Taking the human out of the
        loop", 2016.
    device : str or torch.device
        As for :func:`nplib.gp.fit_gps`: all is done on the CPU.
    progress : bool
        Show a bar of searches on stderr.

    Raises
    ------
    UserError
        If there is no such rule.
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
        proposed = []
        searches = zip(cells, accuracies, trained, seeds, strict=True)
        for rows, met, known, seed in tqdm(searches, total=len(seeds), desc="searches", disable=not progress):
            labels = np.full(len(everything), np.nan)
            labels[rows] = met
            (predictor,) = config.fit(everything, labels, [seed], training_cells=rows, device=device).predictors
            if acquisition == "thompson":
                proposed.append(_thompson(predictor, everything, known, count, np.random.default_rng([seed, 4])))
            else:
                proposed.append(best_untrained(_acquired(predictor, everything, known, acquisition), known, count))
        return proposed

    return propose


def _acquired(predictor: GPPredictor, everything: Cells, trained: np.ndarray, acquisition: str) -> np.ndarray:
    """What an acquisition rule makes of every cell, shape (N,)."""
    if acquisition == "mean":
        return predictor.predict(everything)
    mean, sd = predictor.posterior(everything)
    if acquisition == "bound":
        return mean + sd
    ahead = mean - mean[trained].max()
    ratio = ahead / sd
    return ahead * ndtr(ratio) + sd * np.exp(-(ratio**2) / 2) / np.sqrt(2 * np.pi)


def _thompson(
    predictor: GPPredictor, everything: Cells, trained: np.ndarray, count: int, random: np.random.Generator
) -> np.ndarray:
    """The best cell of each of so many draws from the posterior; where a draw's is taken, its next best."""
    mean, sd = predictor.posterior(everything)
    among = best_untrained(mean + 2 * sd, trained, min(max(THOMPSON_CELLS, count), len(everything) - len(trained)))
    chosen: list[int] = []
    for draw in predictor.sample(everything[among], count, random):
        draw[chosen] = -np.inf
        chosen.append(int(draw.argmax()))
    return among[chosen]


def make_proposer(name: str, everything: Cells, labels: int, **options) -> Proposer:
    """A proposer by the name of its predictor, with its usual settings for a number of labelled cells.

    Parameters
    ----------
    name : str
        ``"gcn"``, ``"two-stage"`` or ``"gp"``.
    everything : Cells
        All cells of the benchmark.
    labels : int
        How many cells it learns from at first.
    options
        Of the one named.

    Raises
    ------
    UserError
        If there is no such predictor.
    """
    if name == "gcn":
        return best_predicted(everything, paper_config(labels), **options)
    if name == "two-stage":
        return best_accepted(everything, TwoStageConfig.of(paper_config(labels)), **options)
    if name == "gp":
        return best_by_gp(everything, **options)
    raise UserError(f"no predictor is called {name!r}; there are {', '.join(PREDICTORS)}")
