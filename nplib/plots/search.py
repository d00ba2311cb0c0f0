"""Pictures of searches: what they find against what they spend; drawn as those of :mod:`nplib.plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np

from nplib.cell import Cell
from nplib.plots.cells import draw_cell
from nplib.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALETTE,
    POINTS_SHOWN,
    Axes,
    Figure,
    columns,
    finish,
    legend_above,
)
from nplib.search.histories import Factor, Histories
from nplib.search.trainings import Trainings

_QUERIES = [digit * 10**power for power in range(6) for digit in (1, 2, 5)]  # ticks of a logarithmic axis


def _curve(axes: Axes, x: np.ndarray, values: np.ndarray, colour: object, name: str) -> None:
    """The mean over searches, and a band of the middle 80 % of them."""
    low, high = np.nanquantile(values, (0.1, 0.9), axis=0)
    axes.plot(x, 100 * values.mean(axis=0), color=colour, linewidth=1.6, label=f"{name} ({len(values)})")
    axes.fill_between(x, 100 * low, 100 * high, color=colour, alpha=0.15, linewidth=0)


def accuracy_by_queries(
    searches: Mapping[str, Histories],
    from_query: int,
    to_query: int,
    factors: Mapping[str, Factor] | None = None,
    low: float | None = None,
    labels: tuple[str, str] = ("accuracy seen (%)", "mean test accuracy (%)"),
) -> Figure:
    """Accuracy of the cell kept against the number of trainings: as the search saw it and, where known, by mean test.

    Args:
        searches (mapping of names to Histories): The number of searches is written beside the name. A search that
            begins with random cells is drawn from the last of them on.
        from_query, to_query (int): Of the logarithmic axis.
        factors (mapping of "seen" or "test" to Factor, optional): Drawn in that panel: an arrow between the numbers of
            trainings after which both are as good.
        low (float, optional): Where the axes of accuracy start, a fraction.
        labels (tuple of str): Of both axes of accuracy.
    """
    with_test = not any(np.isnan(history.test).any() for history in searches.values())
    figure, axes = columns(2 if with_test else 1, width=4.7, height=3.9)
    ticks = [tick for tick in _QUERIES if from_query <= tick <= to_query]
    for panel, by, label in zip(axes, ("seen", "test"), labels, strict=False):
        for colour, (name, history) in zip(PALETTE, searches.items(), strict=False):
            kept = slice(max(from_query, history.first) - 1, min(to_query, history.queries))
            _curve(panel, np.arange(history.queries)[kept] + 1, getattr(history, f"best_{by}")[:, kept], colour, name)
        panel.set(xscale="log", xlabel="trainings", ylabel=label, xlim=(from_query, to_query))
        panel.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        panel.set_xticks([], minor=True)
        if low is not None:
            panel.set_ylim(bottom=100 * low)
        if by in (factors or {}):
            _arrow(panel, factors[by])
    legend_above(figure, axes[0])
    return finish(figure)


def found(searches: Mapping[str, Histories], cells: Sequence[Cell], titles: Sequence[str], what: str) -> Figure:
    """What a search found: accuracy seen of the cell kept against trainings, and the cells that it kept and proposed.

    Args:
        searches (mapping of names to Histories): Of as many trainings each.
        cells, titles: At most six.
        what (str): Which accuracy it is.
    """
    figure = plt.figure(figsize=(9.0, 6.8))
    places = figure.subplot_mosaic([["curve"] * 3, [0, 1, 2], [3, 4, 5]], height_ratios=(2.2, 1, 1))
    curve = places["curve"]
    for colour, (name, history) in zip(PALETTE, searches.items(), strict=False):
        kept = slice(max(history.first, 1) - 1, history.queries)
        _curve(curve, np.arange(history.queries)[kept] + 1, history.best_seen[:, kept], colour, name)
    curve.set(xlabel="trainings", ylabel=f"{what} of the cell kept (%)")
    curve.legend(fontsize=9)
    for place in range(6):
        places[place].axis("off")
    for place, (cell, title) in enumerate(zip(cells, titles, strict=True)):
        draw_cell(cell, places[place], title)
    return finish(figure)


def _arrow(axes: Axes, factor: Factor) -> None:
    """From the one number of trainings to the other, at the level that both reach, with the factor above it."""
    ends = sorted((factor.given, min(factor.needed, factor.most)))
    axes.annotate("", *[(end, 100 * factor.level) for end in ends], arrowprops={"arrowstyle": "<->", "color": "0.2"})
    text = f"{factor.factor:.0f} times" if np.isfinite(factor.needed) else f"limit {factor.limit:.0f} times"
    at = (np.sqrt(ends[0] * ends[1]), 100 * factor.level)
    axes.annotate(text, at, (0, 4), textcoords="offset points", ha="center", fontsize=9)


def accuracy_by_time(
    searches: Mapping[str, Histories], seconds: np.ndarray, low: float | None = None, by: str = "test"
) -> Figure:
    """Accuracy of the cell kept against training time, one training after another.

    Args:
        searches: Mapping of names to Histories.
        seconds (array, shape (G,)): Ascending; a search is drawn as far as all its repeats go.
        low (float, optional): Where the axis of accuracy starts, a fraction.
        by (str): ``"test"`` accuracy or as ``"seen"``.
    """
    figure, axes = columns(1, width=6.4, height=3.9)
    for colour, (name, history) in zip(PALETTE, searches.items(), strict=False):
        grid = seconds[(seconds >= history.elapsed[:, 0].max()) & (seconds <= history.elapsed[:, -1].min())]
        _curve(axes[0], grid / 3600, history.at_seconds(grid, by), colour, name)
    axes[0].set(
        xscale="log",
        xlabel="training time (hours)",
        ylabel=f"accuracy of the cell kept, {'mean test' if by == 'test' else 'as seen'} (%)",
    )
    if low is not None:
        axes[0].set_ylim(bottom=100 * low)
    legend_above(figure, axes[0])
    return finish(figure)


def seen_against_test(
    trainings: Trainings, chosen: Mapping[str, np.ndarray], zooms: tuple[tuple[float, float], ...]
) -> Figure:
    """Accuracy that searches choose by and mean test accuracy of every cell, with some marked.

    Args:
        chosen (mapping of names to arrays of indices): Cells to mark, in colours of their own.
        zooms (tuple of (low, high)): Ranges of the axes of the panels, fractions.
    """
    figure, axes = columns(len(zooms), width=4.7, height=4.4)
    shown = np.random.default_rng(0).permutation(len(trainings))[:POINTS_SHOWN]
    colours = (ORANGE, GREEN, PALETTE[3], PALETTE[4])
    x, y = 100 * trainings.mean_seen, 100 * trainings.test
    metric, runs = trainings.metric.replace("_", " "), trainings.seen.shape[1]
    for panel, (low, high) in zip(axes, zooms, strict=True):
        panel.plot(x[shown], y[shown], ".", color=BLUE, markersize=2, alpha=0.2, rasterized=True)
        panel.plot([100 * low, 100 * high], [100 * low, 100 * high], color=GREY, linewidth=1)
        for marker, colour, (name, cells) in zip("*DoX", colours, chosen.items(), strict=False):
            label = {"label": name} if panel is axes[0] else {}
            panel.plot(
                x[cells], y[cells], marker, color=colour, markersize=9, markeredgecolor="0.2", linestyle="", **label
            )
        panel.set(xlim=(100 * low, 100 * high), ylim=(100 * low, 100 * high))
        panel.set(xlabel=f"{metric}, {'one run' if runs == 1 else f'mean of {runs} runs'} (%)")
        panel.set(ylabel=f"{trainings.judge} (%)")
    legend_above(figure, axes[0])
    return finish(figure)
