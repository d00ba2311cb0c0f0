"""Pictures of cells, results and predictions. The only module that draws; every function returns its figure.

A figure of surrogate data says so in its lower right corner, wherever it may be copied to. Whose data figures show is
said once, by :func:`use_style`, and by :func:`showing` for those of other data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from nplib.benchmark import SURROGATE, Benchmark
from nplib.cell import CONV1X1, CONV3X3, INPUT, MAXPOOL3X3, OUTPUT, Cell
from nplib.cell_picture import lay_out
from nplib.errors import UserError

PALETTE = sns.color_palette("colorblind")
BLUE, ORANGE, GREEN, RED = PALETTE[0], PALETTE[1], PALETTE[2], PALETTE[3]
GREY = "0.55"
OPERATION_COLOURS = {INPUT: "0.85", OUTPUT: "0.85", CONV3X3: PALETTE[0], CONV1X1: PALETTE[9], MAXPOOL3X3: PALETTE[1]}
OPERATION_LABELS = {INPUT: "in", OUTPUT: "out", CONV3X3: "3×3", CONV1X1: "1×1", MAXPOOL3X3: "pool"}
BUDGET_COLOURS = sns.color_palette("flare", 4)
SURROGATE_MARK = "surrogate data, not measurements"
POINTS_SHOWN = 25_000  # more hide one another, and take seconds

_source_shown: str | None = None  # None: nobody has said yet


class DataNotNamed(UserError):
    """A figure is drawn and nobody has said whose data it shows."""


def use_style(data: Benchmark | str) -> None:
    """Set whose data figures show, and their look: white, so that they stay readable on a dark page too.

    Parameters
    ----------
    data : Benchmark or str
        The benchmark, or its source where only results of it are at hand.
    """
    global _source_shown
    _source_shown = _source_of(data)
    sns.set_theme(style="ticks", context="notebook", palette="colorblind")
    plt.rcParams.update(
        {
            "figure.facecolor": "white",
            "figure.dpi": 110,
            "savefig.facecolor": "white",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": "medium",
            "legend.frameon": False,
            "figure.constrained_layout.use": True,
        }
    )


@contextmanager
def showing(data: Benchmark | str) -> Iterator[None]:
    """Figures drawn inside show the data of this benchmark (or source), whatever those around show."""
    global _source_shown
    before, _source_shown = _source_shown, _source_of(data)
    try:
        yield
    finally:
        _source_shown = before


def _source_of(data: Benchmark | str) -> str:
    return data if isinstance(data, str) else data.source


def _shows_surrogate() -> bool:
    if _source_shown is None:
        raise DataNotNamed("whose data does this figure show? Say so first: plots.use_style(benchmark)")
    return _source_shown == SURROGATE


def columns(count: int, width: float = 3.6, height: float = 3.2, **options) -> tuple[Figure, list[Axes]]:
    figure, axes = plt.subplots(1, count, figsize=(width * count, height), squeeze=False, **options)
    return figure, list(axes[0])


def finish(figure: Figure) -> Figure:
    """Mark a figure if it shows surrogate data, and close it; all functions here that return one have done so.

    Raises
    ------
    DataNotNamed
        If it has not been said whose data it shows.
    """
    if _shows_surrogate():
        # The layout keeps room below everything else for a label of the whole figure, as it would not for other text.
        figure.supxlabel(SURROGATE_MARK, x=0.995, ha="right", fontsize=8, fontstyle="italic", color=GREY)
    # A notebook would show the figure twice: once as the cell's value, once as an open one.
    plt.close(figure)
    return figure


def legend_above(figure: Figure, axes: Axes) -> None:
    """Put the legend of one panel above all, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=9)


def draw_cell(
    cell: Cell, axes: Axes, title: str = "", weights: np.ndarray | None = None, notes: Sequence[str] = ()
) -> None:
    """Draw a cell from left to right: a disc for every vertex, coloured by its operation, and its edges.

    Edges are as thick as their weights, (V, V), from 0 to 1, if these are given; notes stand below the vertices.
    """
    picture = lay_out(cell)
    places = picture.places
    for (u, v), bend in zip(cell.edges, picture.bends, strict=True):
        arrow = FancyArrowPatch(
            places[u],
            places[v],
            arrowstyle="-|>",
            mutation_scale=11,
            shrinkA=11,
            shrinkB=11,
            color="0.35",
            linewidth=1.1 if weights is None else 0.3 + 3.2 * weights[u, v],
            connectionstyle=f"arc3,rad={bend}",
        )
        axes.add_patch(arrow)
    for place, operation in zip(places, cell.operations, strict=True):
        axes.plot(
            *place, "o", markersize=23, color=OPERATION_COLOURS[operation], markeredgecolor="0.3", markeredgewidth=0.8
        )
        ink = "white" if operation == CONV3X3 else "black"
        axes.text(*place, OPERATION_LABELS[operation], ha="center", va="center", size=8, color=ink)
    for place, note in zip(places, notes, strict=False):
        axes.annotate(note, place, (0, -13), textcoords="offset points", ha="center", va="top", size=8)
    axes.set(xlim=(-0.6, places[:, 0].max() + 0.6), ylim=(-picture.reach, picture.reach))
    axes.set_title(title, size=9)
    axes.axis("off")


def draw_cells(cells: Sequence[Cell], titles: Sequence[str] = (), columns: int = 3) -> Figure:
    """Several cells in a grid."""
    rows = -(-len(cells) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(3.0 * columns, 1.7 * rows), squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    titles = list(titles) or [""] * len(cells)
    for cell, title, axes in zip(cells, titles, grid.flat, strict=False):
        draw_cell(cell, axes, title)
    return finish(figure)


def accuracy_by_budget(accuracies: Mapping[int, np.ndarray], what: str = "validation accuracy") -> Figure:
    """How accuracies are spread after each budget.

    Parameters
    ----------
    accuracies : mapping of epochs to array, shape (N,)
        Fractions.
    what : str
        Label of the axis.
    """
    figure, axes = columns(2, width=4.6)
    for colour, (budget, values) in zip(BUDGET_COLOURS, accuracies.items(), strict=False):
        label = f"{budget} epochs"
        axes[0].hist(100 * values, np.linspace(0, 100, 101), histtype="step", color=colour, linewidth=1.5, label=label)
        axes[1].plot(100 * np.sort(values), (np.arange(len(values)) + 0.5) / len(values), color=colour, linewidth=1.5)
    axes[0].set(xlabel=f"{what} (%)", ylabel="cells", yscale="log")
    axes[1].set(xlabel=f"{what} (%)", ylabel="share of cells below")
    legend_above(figure, axes[0])
    return finish(figure)


def histogram_with_zoom(values: np.ndarray, zoom: tuple[float, float], what: str, mark: float | None = None) -> Figure:
    """One distribution of accuracies (fractions) on a logarithmic scale, and its upper end."""
    figure, axes = columns(2, width=4.6)
    axes[0].hist(100 * values, bins=np.linspace(0, 100, 101), color=BLUE)
    axes[0].set(xlabel=f"{what} (%)", ylabel="cells", yscale="log")
    inside = values[(values >= zoom[0]) & (values <= zoom[1])]
    axes[1].hist(100 * inside, bins=80, color=BLUE)
    axes[1].set(xlabel=f"{what} (%), upper end", ylabel="cells")
    for panel in axes:
        if mark is not None:
            panel.axvline(100 * mark, color=ORANGE, linestyle="--", linewidth=1.2)
    return finish(figure)


def run_spread(runs: np.ndarray) -> Figure:
    """Spread between the runs of a cell.

    Parameters
    ----------
    runs : array, shape (N, 3)
        Accuracies (fractions).
    """
    figure, axes = columns(2, width=4.6)
    order = np.argsort(runs.mean(axis=1))
    rank = np.arange(len(runs))
    axes[0].vlines(rank, 100 * runs[order].min(axis=1), 100 * runs[order].max(axis=1), color="0.7", linewidth=1)
    for run in range(runs.shape[1]):
        axes[0].plot(rank, 100 * runs[order, run], ".", color=PALETTE[run], label=f"run {run}")
    axes[0].set(xlabel="cell, by mean accuracy", ylabel="validation accuracy (%)")
    axes[0].legend(fontsize=9)
    spread = 100 * runs.std(axis=1, ddof=1)
    axes[1].hist(spread, bins=30, color=BLUE)
    axes[1].axvline(np.median(spread), color=ORANGE, linestyle="--", label=f"median {np.median(spread):.2f}")
    axes[1].axvline(
        np.sqrt((spread**2).mean()), color=RED, linestyle=":", label=f"pooled {np.sqrt((spread**2).mean()):.2f}"
    )
    axes[1].set(xlabel="standard deviation within a cell (points)", ylabel="cells")
    axes[1].legend(fontsize=9)
    return finish(figure)


def pairs(panels: Sequence[tuple[np.ndarray, np.ndarray, str, str]], diagonal: Collection[int] = ()) -> Figure:
    """Scatter pictures side by side, each (x, y, label of x, label of y); those numbered get the line y = x."""
    figure, axes = columns(len(panels), width=4.2, height=3.6)
    for number, (panel, (x, y, x_label, y_label)) in enumerate(zip(axes, panels, strict=True)):
        look = {"markersize": 3, "alpha": 0.25} if len(x) > 500 else {"markersize": 6, "alpha": 0.8}
        panel.plot(x, y, ".", color=BLUE, rasterized=True, **look)
        if number in diagonal:
            low, high = min(x.min(), y.min()), max(x.max(), y.max())
            panel.plot([low, high], [low, high], color=GREY, linewidth=1)
        panel.set(xlabel=x_label, ylabel=y_label)
    return finish(figure)


def matrix(values: np.ndarray, labels: Sequence[str], what: str) -> Figure:
    """A square matrix of numbers from 0 to 1, written into their squares."""
    figure, axes = columns(1, width=4.4, height=3.6)
    sns.heatmap(values, annot=True, fmt=".2f", vmin=0, vmax=1, cmap="viridis", square=True, ax=axes[0],
                xticklabels=labels, yticklabels=labels, cbar_kws={"label": what})  # fmt: skip
    return finish(figure)


def cumulative(samples: Mapping[str, np.ndarray], what: str, zoom: tuple[float, float]) -> Figure:
    """Cumulative distributions of accuracies (fractions) of several sets of cells, and what they differ by."""
    figure, axes = columns(2, width=4.6)
    grid = np.linspace(*zoom, 400)
    reference = None
    for colour, (name, values) in zip(PALETTE, samples.items(), strict=False):
        share = np.searchsorted(np.sort(values), grid, side="right") / len(values)
        axes[0].plot(100 * grid, share, color=colour, label=f"{name} ({len(values):,})", linewidth=1.5)
        if reference is None:
            reference = share
        axes[1].plot(100 * grid, share - reference, color=colour, linewidth=1.5)
    axes[0].set(xlabel=f"{what} (%)", ylabel="share of cells at or below")
    legend_above(figure, axes[0])
    axes[1].set(xlabel=f"{what} (%)", ylabel="difference to the first")
    return finish(figure)


def draws(values: np.ndarray, truth: float, mark: float, what: str) -> Figure:
    """A figure of many random draws: its distribution, the truth, and the draw that is used."""
    figure, axes = columns(1, width=5.4)
    axes[0].hist(values, bins=50, color=BLUE, alpha=0.8)
    axes[0].axvline(truth, color="black", linewidth=1.5, label="all cells")
    axes[0].axvline(mark, color=ORANGE, linestyle="--", linewidth=1.5, label="the draw used")
    axes[0].set(xlabel=what, ylabel="draws")
    axes[0].legend(fontsize=9)
    return finish(figure)


def learning_curves(epochs: np.ndarray, curves: Mapping[str, np.ndarray], what: str) -> Figure:
    """Figures over epochs: the mean over seeds, and a band of one standard deviation.

    Parameters
    ----------
    epochs : array, shape (E,)
    curves : mapping of names to arrays, shape (seeds, E)
    what : str
        Label of the axis.
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
    axes.set(xlabel="true validation accuracy (%)", ylabel="predicted (%)")
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

    Parameters
    ----------
    true, predicted : array, shape (N,)
        Fractions.
    trained : array of indices, optional
        Cells that the predictor was trained on, drawn apart.
    zooms : sequence of (low, high)
        Ranges of the axes, fractions; a true accuracy outside is not shown, and their number is written down.
    """
    figure, panels = columns(len(zooms), width=4.6, height=4.4)
    for axes, zoom in zip(panels, zooms, strict=True):
        draw_scatter(axes, true, predicted, trained, zoom)
    return finish(figure)


def measured_beside_published(
    names: Sequence[str],
    measured: np.ndarray,
    deviations: np.ndarray,
    published: Mapping[str, Sequence[float]],
    what: str,
) -> Figure:
    """Bars of measured figures with their spread, and published ones as marks.

    Parameters
    ----------
    names : sequence of str, length S
    measured, deviations : array, shape (S,)
        Mean and standard deviation over seeds.
    published : mapping of sources to sequences, length S
        NaN where a source has none.
    what : str
        Label of the axis.
    """
    figure, axes = columns(1, width=7.2, height=0.6 * len(names) + 1.2)
    rows = np.arange(len(names))[::-1]
    ours = "ours, on the surrogate" if _shows_surrogate() else "measured here"
    axes[0].barh(rows, measured, xerr=deviations, color=BLUE, height=0.5, alpha=0.85, label=ours)
    for marker, colour, (source, figures) in zip("D^sv", PALETTE[1:], published.items(), strict=False):
        axes[0].plot(figures, rows, marker, color=colour, markersize=7, label=source)
    axes[0].set(xlabel=what, yticks=rows, yticklabels=names)
    legend_above(figure, axes[0])
    return finish(figure)


def deviations(names: Sequence[str], shares: Sequence[float], groups: Sequence[str]) -> Figure:
    """Differences from what is wanted, in parts of what is allowed: a row a figure, coloured by group.

    Parameters
    ----------
    names : sequence of str, length S
    shares : sequence of float, length S
        Between -1 and 1 where the difference is allowed.
    groups : sequence of str, length S
    """
    figure, axes = columns(1, width=7.4, height=0.2 * len(names) + 0.8)
    rows = np.arange(len(names))[::-1]
    colours = dict(zip(dict.fromkeys(groups), PALETTE * 2, strict=False))
    axes[0].axvspan(-1, 1, color="0.94")
    axes[0].axvline(0, color=GREY, linewidth=1)
    axes[0].scatter(shares, rows, c=[colours[group] for group in groups], s=28, zorder=3)
    axes[0].set(xlabel="difference, in parts of what is allowed", yticks=rows, ylim=(-1, len(names)))
    axes[0].set_yticklabels(names, fontsize=8)
    reach = max(1.15, 1.1 * np.abs(shares).max())
    axes[0].set_xlim(-reach, reach)
    return finish(figure)


def quantile_differences(quantiles: np.ndarray, differences: np.ndarray, allowed: float) -> Figure:
    """Differences of accuracies (fractions) at some quantiles, in points, and the band that is allowed."""
    figure, axes = columns(1, width=6.4)
    places = np.log(quantiles / (1 - quantiles))
    axes[0].axhspan(-100 * allowed, 100 * allowed, color="0.94")
    axes[0].axhline(0, color=GREY, linewidth=1)
    axes[0].plot(places, 100 * differences, "o-", color=BLUE, markersize=5)
    axes[0].set(xlabel="quantile", ylabel="difference (points)", xticks=places)
    axes[0].set_xticklabels([f"{quantile:g}" for quantile in quantiles], fontsize=9)
    return finish(figure)
