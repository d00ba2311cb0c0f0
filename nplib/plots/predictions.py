"""Figures of what a predictor says of cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nplib.plots.style import (
    BLUE,
    ORANGE,
    PALETTE,
    POINTS_SHOWN,
    columns,
    finish,
)


def learning_curves(epochs: np.ndarray, curves: Mapping[str, np.ndarray], what: str) -> Figure:
    """Figures over epochs: the mean over seeds, and a band of one standard deviation.

    Args:
        epochs: Array, shape (E,).
        curves: Mapping of names to arrays, shape (seeds, E).
        what (str): Label of the axis.
    """
    figure, axes = columns(1, width=5.8, height=3.6)
    for colour, (name, values) in zip(PALETTE, curves.items(), strict=False):
        mean, deviation = values.mean(axis=0), values.std(axis=0, ddof=1) if len(values) > 1 else 0
        axes[0].plot(epochs, mean, color=colour, label=name, linewidth=1.5)
        axes[0].fill_between(epochs, mean - deviation, mean + deviation, color=colour, alpha=0.25, linewidth=0)
    axes[0].set(xlabel="epochs", ylabel=what)
    axes[0].legend(fontsize=9)
    return finish(figure)


def draw_scatter(
    axes: Axes, true: np.ndarray, predicted: np.ndarray, trained: np.ndarray | None, zoom: tuple[float, float]
) -> None:
    """Draw predicted against true accuracy of every cell (fractions); see :func:`predicted_against_true`."""
    low, high = zoom
    shown = np.random.default_rng(0).permutation(len(true))[:POINTS_SHOWN]
    axes.plot(100 * true[shown], 100 * predicted[shown], ".", color=BLUE, markersize=2, alpha=0.15, rasterized=True)
    if trained is not None:
        axes.plot(100 * true[trained], 100 * predicted[trained], ".", color=ORANGE, markersize=4, label="trained on")
        axes.legend(loc="upper left", fontsize=9, markerscale=2)
    axes.plot([100 * low, 100 * high], [100 * low, 100 * high], color="0.3", linewidth=1)
    outside = int(((true < low) | (true > high)).sum())
    axes.set(xlim=(100 * low, 100 * high), ylim=(100 * low, 100 * high))
    axes.set(xlabel="true accuracy (%)", ylabel="predicted (%)")
    drawn = f"; {POINTS_SHOWN:,} drawn" if len(true) > POINTS_SHOWN else ""
    axes.set_title(f"{outside:,} of {len(true):,} cells outside{drawn}", size=9)
    axes.set_aspect("equal")


def predicted_against_true(
    true: np.ndarray,
    predicted: np.ndarray,
    trained: np.ndarray | None = None,
    zooms: Sequence[tuple[float, float]] = ((0.8, 0.96), (0.9, 0.95)),
) -> Figure:
    """Predicted against true accuracy of every cell, in two zooms.

    Args:
        true, predicted (array, shape (N,)): Fractions.
        trained (array of indices, optional): Cells that the predictor was trained on, drawn apart.
        zooms (sequence of (low, high)): Ranges of the axes, fractions; a true accuracy outside is not shown, and their
            number is written down.
    """
    figure, panels = columns(len(zooms), width=4.6, height=4.4)
    for axes, zoom in zip(panels, zooms, strict=True):
        draw_scatter(axes, true, predicted, trained, zoom)
    return finish(figure)
