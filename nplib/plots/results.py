"""Figures of results: accuracies, their noise, splits, and ours beside published ones."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from nplib.plots.style import (
    BLUE,
    BUDGET_COLOURS,
    GREY,
    ORANGE,
    PALETTE,
    RED,
    columns,
    finish,
    legend_above,
)


def accuracy_by_budget(accuracies: Mapping[int, np.ndarray], what: str = "validation accuracy") -> Figure:
    """How accuracies are spread after each budget.

    Args:
        accuracies (mapping of epochs to array, shape (N,)): Fractions.
        what (str): Label of the axis.
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

    Args:
        runs (array, shape (N, 3)): Accuracies (fractions).
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


def measured_beside_published(
    frame: pd.DataFrame, value: str, what: str, ceilings: Mapping[str, tuple[float, float]] | None = None
) -> Figure:
    """What was measured here and elsewhere, a row a setting: means, and one standard deviation where there are seeds.

    Args:
        frame (DataFrame): A row a seed or a published number: ``setting``, ``code`` (whose it is) and the value.
        value, what (str): Column of the value, and label of the axis.
        ceilings (mapping of settings to (low, high), optional): What a perfect predictor would reach.
    """
    settings, codes = list(dict.fromkeys(frame["setting"])), list(dict.fromkeys(frame["code"]))
    figure, (axes,) = columns(1, width=7.2, height=0.6 * len(settings) + 1.2)
    for row, (low, high) in enumerate(ceilings[name] for name in settings if ceilings):
        label = "a perfect predictor" if row == 0 else None
        axes.fill_betweenx([row - 0.45, row + 0.45], low, high, color=GREY, alpha=0.4, linewidth=0, label=label)
    sns.pointplot(
        frame, x=value, y="setting", hue="code", order=settings, hue_order=codes, errorbar="sd", linestyle="none",
        dodge=0.5 * (len(codes) > 1), markers=list("osD^v")[: len(codes)], palette=PALETTE[: len(codes)],
        err_kws={"linewidth": 1.5}, ax=axes,
    )  # fmt: skip
    axes.set(xlabel=what, ylabel="")
    axes.set_yticks(axes.get_yticks(), [name.replace(", ", ",\n", 1) for name in settings])
    axes.xaxis.grid(True, color="0.9")
    legend_above(figure, axes, most_columns=2)
    return finish(figure)


def deviations(names: Sequence[str], shares: Sequence[float], groups: Sequence[str]) -> Figure:
    """Differences from what is wanted, in parts of what is allowed: a dot a figure, a row a group of them.

    Those that are not allowed are named.

    Args:
        names: Sequence of str, length S.
        shares (sequence of float, length S): Between -1 and 1 where the difference is allowed.
        groups: Sequence of str, length S.
    """
    kinds = list(dict.fromkeys(groups))
    figure, axes = columns(1, width=6.6, height=0.42 * len(kinds) + 0.9)
    axes[0].axvspan(-1, 1, color="0.94")
    axes[0].axvline(0, color=GREY, linewidth=1)
    for row, kind in enumerate(kinds):
        own = [place for place, group in enumerate(groups) if group == kind]
        heights = row + (np.linspace(-0.3, 0.3, len(own)) if len(own) > 1 else np.zeros(1))
        axes[0].scatter([shares[place] for place in own], heights, color=BLUE, alpha=0.7, s=24, zorder=3)
        for place, height in zip(own, heights, strict=True):
            if abs(shares[place]) > 1:
                end = "right" if shares[place] > 0 else "left"
                axes[0].annotate(f"{names[place]} ", (shares[place], height), fontsize=8, ha=end, va="center")
    axes[0].set(xlabel="difference / allowed", yticks=range(len(kinds)), ylim=(len(kinds) - 0.4, -0.6))
    axes[0].set_yticklabels([textwrap.fill(kind, 20) for kind in kinds], fontsize=9)
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
