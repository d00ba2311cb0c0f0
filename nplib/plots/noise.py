"""Pictures of whose an error is, of what noise leaves to be known, and of failing; drawn as in :mod:`nplib.plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nplib.metrics import MeanSd
from nplib.plots.style import BLUE, GREY, ORANGE, PALETTE, Axes, Figure, columns, finish, legend_above


def error_by_group(
    names: Sequence[str],
    of_cells: np.ndarray,
    of_error: Mapping[str, np.ndarray],
    parts: Mapping[str, np.ndarray] | None = None,
) -> Figure:
    """How cells and their squared error are shared among groups and, beside that, what the error is made of.

    Parameters
    ----------
    names : sequence of str, length G
    of_cells : array, shape (G,)
        Share of the cells, a fraction.
    of_error : mapping of names to arrays, shape (G,)
        Shares of the error, fractions.
    parts : mapping of names to arrays, shape (G,), optional
        Parts of the mean squared error, in points², which add up to it.
    """
    figure, axes = columns(2 if parts else 1, width=4.4 if parts else 7.0, height=0.4 * len(names) + 1.2, sharey=True)
    rows = np.arange(len(names))[::-1]
    height = 0.8 / (1 + len(of_error))
    bars = {"cells": of_cells} | dict(of_error)
    for number, (label, shares) in enumerate(bars.items()):
        colour = "0.7" if number == 0 else PALETTE[number - 1]
        axes[0].barh(rows + 0.4 - height * (number + 0.5), 100 * shares, height, color=colour, label=label)
    axes[0].set(xlabel="share (%)", yticks=rows, yticklabels=names)
    axes[0].legend(fontsize=9)
    left = np.zeros(len(names))
    for colour, (label, values) in zip((GREY, BLUE), (parts or {}).items(), strict=False):
        axes[1].barh(rows, values, 0.6, left=left, color=colour, label=label)
        left = left + values
    if parts:
        axes[1].set(xlabel="part of the mean squared error (points²)")
        axes[1].legend(fontsize=9)
    return finish(figure)


def rank_ceilings(
    panels: Sequence[tuple[str, Sequence[str], Mapping[str, np.ndarray]]],
    predictors: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> Figure:
    """Kendall tau that is possible, in panels side by side, and in the last what predictors reach.

    Parameters
    ----------
    panels : sequence of (label of the axis, names of its places, lines)
        Lines by name, of one value a place.
    predictors : mapping of names to (means, standard deviations)
        Of the places of the last panel.
    """
    figure, axes = columns(len(panels), width=4.0, height=3.6, sharey=True)
    for panel, (what, places, lines) in zip(axes, panels, strict=True):
        for colour, style, (name, values) in zip((GREY, GREY, "black"), (":", "--", "-"), lines.items(), strict=False):
            panel.plot(values, style, marker="o", color=colour, markersize=4, label=name)
        panel.set(xlabel=what, xticks=range(len(places)), xlim=(-0.3, len(places) - 0.7))
        panel.set_xticklabels(places)
    for colour, marker, (name, (means, deviations)) in zip(PALETTE, "osD", predictors.items(), strict=False):
        axes[-1].errorbar(range(len(means)), means, deviations, fmt=marker, color=colour, markersize=6, label=name)
    axes[0].set(ylabel="Kendall τ with one run")
    legend_above(figure, axes[-1])
    return finish(figure)


def rule_matrix(
    figures: np.ndarray,
    rows: Sequence[str],
    places: Sequence[str],
    style: str = ".2f",
    logarithmic: bool = False,
) -> Figure:
    """A figure of predictors by what they learned (down) and what they are held against (across), with its spread.

    Parameters
    ----------
    figures : array, shape (T, E, M)
        By what was learned, what it is held against, and seed.
    rows, places : sequence of str, length T, E
    style : str
        Format of a number.
    logarithmic : bool
        Whether colours go by the logarithm.
    """
    figure, axes = columns(1, width=1.05 * len(places) + 2.0, height=0.55 * len(rows) + 1.0)
    means = figures.mean(axis=2)
    spread = figures.std(axis=2, ddof=1) if figures.shape[2] > 1 else np.full(means.shape, np.nan)
    shades = np.log(means) if logarithmic else means
    axes[0].imshow(shades, cmap="viridis", aspect="auto")
    for row, place in np.ndindex(means.shape):
        number = MeanSd(means[row, place], spread[row, place], figures.shape[2])
        ink = "white" if shades[row, place] < (shades.min() + shades.max()) / 2 else "black"
        axes[0].text(place, row, f"{number:{style}}".replace(" ±", "\n±"), ha="center", va="center", size=10, color=ink)
    axes[0].set(xticks=range(len(places)), yticks=range(len(rows)), xlabel="held against", ylabel="learned from")
    axes[0].set_xticklabels([name.replace(", ", ",\n").replace(" of ", "\nof ") for name in places], size=10)
    axes[0].set_yticklabels([name.replace(", no", ",\nno") for name in rows], size=10)
    axes[0].spines[:].set_visible(False)
    axes[0].tick_params(length=0)
    return finish(figure)


def what_sets_apart(
    names: Sequence[str],
    differences: np.ndarray,
    by_chance: float,
    shares: tuple[np.ndarray, np.ndarray, np.ndarray],
    overall: float,
) -> Figure:
    """Features by which some cells differ from the rest, and how many cells are among them by the first of these.

    Parameters
    ----------
    names : sequence of str, length K
    differences : array, shape (K,)
        In standard deviations of the rest.
    by_chance : float
        Differences up to this size are nothing to speak of.
    shares : tuple of arrays
        Values of the first feature, share of cells with about this value that are among them, how many these are: as
        :func:`nplib.studies.failures.shares_by_value` gives them.
    overall : float
        That share of all cells.
    """
    figure, axes = columns(2, width=4.4, height=0.3 * len(names) + 1.4)
    rows = np.arange(len(names))[::-1]
    axes[0].axvspan(-by_chance, by_chance, color="0.92", label="by chance")
    axes[0].barh(rows, differences, 0.6, color=BLUE)
    axes[0].axvline(0, color=GREY, linewidth=1)
    axes[0].set(xlabel="difference (standard deviations)", yticks=rows)
    axes[0].set_yticklabels(names, size=9)
    axes[0].legend(fontsize=9, loc="lower right" if differences[-1] < 0 else "lower left")
    _draw_shares(axes[1], *shares)
    axes[1].axhline(100 * overall, color=ORANGE, linestyle="--", linewidth=1.2, label="all cells")
    axes[1].set(xlabel=names[0], ylabel="cells that always fail (%)")
    axes[1].legend(fontsize=9, loc="upper left")
    return finish(figure)


def _draw_shares(axes: Axes, values: np.ndarray, shares: np.ndarray, counts: np.ndarray) -> None:
    """Shares with one standard error of a count; of a count of zero there is none."""
    errors = 100 * shares / np.sqrt(np.maximum(counts, 1))
    axes.errorbar(values, 100 * shares, np.where(counts > 0, errors, 0), fmt="o-", color=BLUE, markersize=5)
