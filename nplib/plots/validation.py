"""Pictures of estimates beside the truth, and of what settings are worth; drawn as those of :mod:`nplib.plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nplib.metrics import NORMAL_95
from nplib.plots.style import BLUE, GREY, ORANGE, PALETTE, Figure, columns, finish, legend_above, show_ceiling

_TICKS = [digit * 10.0**power for power in range(-4, 4) for digit in (1, 2, 5)]  # of a logarithmic axis


def estimates_against_truth(
    panels: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, str]], logarithmic: Sequence[int] = ()
) -> Figure:
    """Estimates of several draws against the truth about them, with 1.96 standard errors; on the line they are right.

    Args:
        panels (sequence of (truths, estimates, standard errors, title)): Arrays of shape (D,).
        logarithmic (sequence of int): Numbers of the panels with logarithmic axes.
    """
    figure, axes = columns(len(panels), width=3.9, height=3.9)
    for number, (panel, (truths, estimates, errors, title)) in enumerate(zip(axes, panels, strict=True)):
        missed = np.abs(estimates - truths) > NORMAL_95 * errors
        for chosen, colour, label in ((~missed, BLUE, "interval holds the truth"), (missed, ORANGE, "it does not")):
            panel.errorbar(
                truths[chosen],
                estimates[chosen],
                NORMAL_95 * errors[chosen],
                fmt="o",
                color=colour,
                markersize=4,
                elinewidth=0.8,
                alpha=0.85,
                label=label,
            )
        values = np.concatenate([truths, estimates])
        if number in logarithmic:
            low, high = 0.8 * values.min(), 1.25 * values.max()
            panel.set(xscale="log", yscale="log")
            ticks = [tick for tick in _TICKS if low <= tick <= high]
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
                axis.set_ticks([], minor=True)
        else:
            margin = 0.15 * np.ptp(values)
            low, high = values.min() - margin, values.max() + margin
        panel.plot([low, high], [low, high], color=GREY, linewidth=1)
        panel.set(xlim=(low, high), ylim=(low, high), xlabel="truth: on other cells", ylabel="estimate")
        panel.set_title(title)
        panel.set_aspect("equal")
    legend_above(figure, axes[0], most_columns=2)
    return finish(figure)


def concentration(errors: Mapping[str, np.ndarray]) -> Figure:
    """Which share of the squared error the worst cells carry.

    Args:
        errors (mapping of names to arrays, shape (N,)): Squared errors of cells.
    """
    figure, axes = columns(1, width=5.8, height=3.6)
    for colour, (name, values) in zip(PALETTE, errors.items(), strict=False):
        worst_first = np.sort(values)[::-1]
        cells = (np.arange(len(values)) + 1) / len(values)
        axes[0].plot(100 * cells, 100 * worst_first.cumsum() / values.sum(), color=colour, linewidth=1.5, label=name)
    axes[0].set(xscale="log", xlabel="worst cells (%)", ylabel="their share of the squared error (%)", ylim=(0, 100))
    axes[0].legend(fontsize=9)
    return finish(figure)


def strategies(values: Mapping[str, np.ndarray], what: str, band: tuple[float, float]) -> Figure:
    """A figure of several strategies on the same draws: a dot a draw, in its own height, and a line at the mean.

    Args:
        values: Mapping of names to arrays, shape (D,).
        what (str): Label of the axis.
        band ((low, high)): What a perfect predictor would reach.
    """
    figure, axes = columns(1, width=7.2, height=0.55 * len(values) + 1.3)
    show_ceiling(axes[0], band, across=True)
    rows = np.arange(len(values))[::-1]
    for row, of_draws in zip(rows, values.values(), strict=True):
        heights = row + np.linspace(-0.25, 0.25, len(of_draws))
        axes[0].plot(of_draws, heights, "o", color=BLUE, markersize=5, alpha=0.7)
        axes[0].vlines(np.mean(of_draws), row - 0.38, row + 0.38, color=ORANGE, linewidth=2)
    axes[0].set(xlabel=what, yticks=rows, yticklabels=list(values), ylim=(-0.6, len(values) - 0.4))
    legend_above(figure, axes[0])
    return finish(figure)
