"""Pictures of whose an error is, of what noise leaves to be known, and of failing; drawn as in :mod:`nplib.plots`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns

from nplib.plots.style import BLUE, GREY, ORANGE, PALETTE, Axes, Figure, columns, finish, legend_above


def error_by_group(frame: pd.DataFrame) -> Figure:
    """How cells and their squared error are shared among groups.

    Args:
        frame (DataFrame): A row a group, kind of share and predictor: ``group``, ``of`` (cells, or an error by its
            name) and ``share``, a fraction. Bars are means over predictors, lines one standard deviation.
    """
    groups, kinds = frame["group"].unique(), frame["of"].unique()
    figure, (axes,) = columns(1, width=7.0, height=0.45 * len(groups) + 1.2)
    colours = dict(zip(kinds, ["0.7", *PALETTE], strict=False))
    percent = frame.assign(share=100 * frame["share"])
    sns.barplot(
        percent, y="group", x="share", hue="of", errorbar="sd", palette=colours, err_kws={"linewidth": 1}, ax=axes
    )
    axes.set(xlabel="share (%)", ylabel="label of the cell")
    axes.legend(fontsize=9)
    return finish(figure)


def residuals(true: np.ndarray, predicted: np.ndarray, knots: Sequence[float], noise: Sequence[float]) -> Figure:
    """What predictors miss by, by the label of the cell, and how far a single run lies from its cell.

    Args:
        true, predicted (array, shape (N,), (M, N)): Labels and predictions, fractions.
        knots, noise (sequence of float): Standard deviation of a run by accuracy, fractions; joined by lines.
    """
    figure, (axes,) = columns(1, width=6.0, height=3.8)
    edges = np.unique(np.quantile(true[true >= knots[0]], np.linspace(0, 1, 25)))
    middles = (edges[1:] + edges[:-1]) / 2
    place = np.digitize(true, edges[1:-1])
    apart = 100 * (predicted - true)
    inside = [apart[:, (place == part) & (true >= knots[0])] for part in range(len(middles))]
    band = 100 * np.interp(middles, knots, noise)
    axes.fill_between(100 * middles, -band, band, color=GREY, alpha=0.4, linewidth=0, label="noise of one run, ± sd")
    axes.errorbar(100 * middles, [part.mean() for part in inside], [part.std() for part in inside], fmt="o",
                  color=BLUE, markersize=4, elinewidth=1, label="predicted less label, mean ± sd")  # fmt: skip
    axes.axhline(0, color=GREY, linewidth=1)
    axes.set(xlabel="label of the cell (%)", ylabel="points")
    axes.legend(fontsize=9)
    return finish(figure)


def rank_ceilings(frame: pd.DataFrame, ceilings: Mapping[str, tuple[float, float]]) -> Figure:
    """Kendall tau that predictors reach on some sets of cells, below what noise of the labels allows.

    Args:
        frame (DataFrame): A row a predictor and set: ``cells`` (the set), ``predictor`` (its kind) and ``kendall_tau``.
        ceilings: Mapping of sets to (low, high).
    """
    kinds = frame["predictor"].nunique()
    figure, (axes,) = columns(1, width=6.0, height=3.8)
    sns.pointplot(
        frame, x="cells", y="kendall_tau", hue="predictor", order=list(ceilings), errorbar="sd", linestyle="none",
        dodge=0.25 * (kinds > 1), palette=PALETTE[:kinds], err_kws={"linewidth": 1.5}, ax=axes,
    )  # fmt: skip
    for place, (low, high) in enumerate(ceilings.values()):
        axes.fill_between([place - 0.4, place + 0.4], low, high, color=GREY, alpha=0.5, linewidth=0,
                          label="a perfect predictor" if place == 0 else None)  # fmt: skip
    axes.set(xlabel="", ylabel="Kendall τ with the labels", ylim=(0, 1))
    legend_above(figure, axes)
    return finish(figure)


def rule_matrix(frame: pd.DataFrame, value: str, style: str = ".2f") -> Figure:
    """Predictors by what they learned (down) and what they are held against (across): mean and standard deviation.

    Args:
        frame (DataFrame): A row a predictor and comparison: ``learned from``, ``held against`` and the value.
        value (str): Its column.
        style (str): How numbers are written.
    """
    grouped = frame.groupby(["learned from", "held against"], sort=False)[value]
    means, spreads = (table.unstack(sort=False) for table in (grouped.mean(), grouped.std()))
    texts = means.map(f"{{:{style}}}".format)
    if not spreads.isna().to_numpy().all():
        texts += "\n± " + spreads.map(f"{{:{style}}}".format)
    figure, (axes,) = columns(1, width=1.3 * means.shape[1] + 2.2, height=0.7 * len(means) + 1.0)
    sns.heatmap(np.log(means), annot=texts, fmt="", cmap="viridis", cbar=False, ax=axes, annot_kws={"size": 10})
    axes.tick_params(length=0, labelsize=10)
    axes.set_yticklabels(axes.get_yticklabels(), rotation=0)
    axes.set_xticklabels([textwrap.fill(name.get_text(), 9) for name in axes.get_xticklabels()])
    return finish(figure)


def what_sets_apart(
    names: Sequence[str],
    differences: np.ndarray,
    by_chance: float,
    shares: tuple[np.ndarray, np.ndarray, np.ndarray],
    overall: float,
) -> Figure:
    """Features by which some cells differ from the rest, and how many cells are among them by the first of these.

    Args:
        names: Sequence of str, length K.
        differences (array, shape (K,)): In standard deviations of the rest.
        by_chance (float): Differences up to this size are nothing to speak of.
        shares (tuple of arrays): Values of the first feature, share of cells with about this value that are among them,
            how many these are: as :func:`nplib.studies.failures.shares_by_value` gives them.
        overall (float): That share of all cells.
    """
    figure, axes = columns(2, width=4.4, height=0.3 * len(names) + 1.4)
    rows = np.arange(len(names))[::-1]
    axes[0].axvspan(-by_chance, by_chance, color="0.92", label="by chance")
    axes[0].barh(rows, differences, 0.6, color=BLUE)
    axes[0].axvline(0, color=GREY, linewidth=1)
    axes[0].set(xlabel="difference (sd)", yticks=rows)
    axes[0].set_yticklabels(names, size=9)
    _draw_shares(axes[1], *shares)
    axes[1].axhline(100 * overall, color=ORANGE, linestyle="--", linewidth=1.2, label="all cells")
    axes[1].set(xlabel=names[0], ylabel="cells that failed (%)")
    legend_above(figure, *axes)
    return finish(figure)


def _draw_shares(axes: Axes, values: np.ndarray, shares: np.ndarray, counts: np.ndarray) -> None:
    """Shares with one standard error of a count; of a count of zero there is none."""
    errors = 100 * shares / np.sqrt(np.maximum(counts, 1))
    axes.errorbar(values, 100 * shares, np.where(counts > 0, errors, 0), fmt="o-", color=BLUE, markersize=5)
