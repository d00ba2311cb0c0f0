"""Which cells to train first, before anything is known of them: random ones, or those that tell most of the others."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from nplib.cell import Cells
from nplib.errors import UserError
from nplib.features.columns import columns_of
from nplib.gp.predictor import GPConfig
from nplib.search.histories import BadSearch

DESIGNS = ("random", "variance")
DEFAULT_GP = GPConfig()
# A design chooses among so many random cells, and looks at its variance over so many of them.
POOL, JUDGED = 3_000, 1_500
NOISE = 0.15  # variance of a label's, in parts of the prior's: the middle of the process's own prior


def draw_cells(cells: int, count: int, seed: int) -> np.ndarray:
    """So many of the cells drawn at random, shape (count,); a larger draw of a seed begins with a smaller one."""
    return np.random.default_rng([seed, 1]).permutation(cells)[:count]


def first_cells(everything: Cells, count: int, seed: int, design: str = "random") -> np.ndarray:
    """The cells that a search begins with, indices, shape (count,), by the name of a design.

    Raises:
        UserError: If there is no such design.
    """
    if design not in DESIGNS:
        raise UserError(f"design is {design!r}; there are {', '.join(DESIGNS)}")
    return (
        variance_design(everything, count, seed) if design == "variance" else draw_cells(len(everything), count, seed)
    )


def variance_design(
    everything: Cells, count: int, seed: int, labelled: Sequence[int] = (), config: GPConfig = DEFAULT_GP
) -> np.ndarray:
    """Cells that, once labelled, leave a Gaussian process least unsure of the others; no label is looked at.

    Greedy: each next cell lowers the mean posterior variance over other cells most, under a Matérn 3/2 prior that takes
    all columns as equally relevant (integrated-variance design; Sacks et al., "Design and analysis of computer
    experiments", 1989).

    Args:
        seed (int): Of the random cells that it chooses among.
        labelled (sequence of int): Cells that have labels already: they count as known, and are not chosen.
        config (GPConfig): Whose columns it looks at.

    Returns:
        array, shape (count,), int64: Indices, in the order in which they were chosen; a larger design begins with a
            smaller one, if both fit into the pool.

    Raises:
        BadSearch: If there are not so many cells without a label, or one is labelled twice.
    """
    labelled = np.asarray(labelled, dtype=np.int64)
    if len(np.unique(labelled)) < len(labelled):
        raise BadSearch("a cell stands twice among those that are labelled; name each once")
    if not 1 <= count <= len(everything) - len(labelled):
        left = f"{len(everything) - len(labelled):,} without a label of {len(everything):,}"
        raise BadSearch(f"a design of {count:,} cells; it must be from 1 to the {left}")
    drawn = draw_cells(len(everything), len(everything), seed)
    pool = np.concatenate([labelled, drawn[~np.isin(drawn, labelled)][: max(POOL, count)]])
    columns = torch.from_numpy(columns_of(everything[pool], config.features).astype(np.float64))
    r = torch.cdist(columns, columns) * math.sqrt(3 / columns.shape[1])
    K = torch.exp(-r).mul_(r.add_(1))  # prior covariance, (P, P)
    judged = K[:, -JUDGED:]
    # Of the posterior: each cell's variance, the sum of its squared covariances with judged cells, and a factor U of
    # what the cells chosen so far explain, so that its covariance is K less U times its transpose.
    variance, squares = K.diagonal().clone(), judged.square().sum(dim=1)
    U = K.new_zeros(len(pool), len(labelled) + count)
    chosen: list[int] = []
    for k in range(U.shape[1]):
        gain = squares / (variance + NOISE)
        gain[chosen] = -1
        best = k if k < len(labelled) else int(gain.argmax())
        chosen.append(best)
        u = (K[:, best] - U @ U[best]).div_((variance[best] + NOISE).sqrt())
        of_judged = u[-JUDGED:]
        squares -= (
            2 * u * (judged @ of_judged - U @ (U[-JUDGED:].T @ of_judged)) - u.square() * of_judged.square().sum()
        )
        variance -= u.square()
        U[:, k] = u
    return pool[chosen[len(labelled) :]]
