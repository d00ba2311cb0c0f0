"""Figures of the front page, from numbers that a build left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from nplib.plots.style import BLUE, GREY, ORANGE, columns, finish, legend_above, show_ceiling


def error_of_groups(shares: Mapping[str, Sequence[float]]) -> Figure:
    """Whose the squared error is: a bar a group of cells, mean and standard deviation over seeds.

    Args:
        shares (mapping of groups to sequences): Fractions of the squared error, a value a seed.
    """
    frame = pd.DataFrame([(group, 100 * v) for group, values in shares.items() for v in values], columns=["group", "%"])
    figure, axes = columns(1, width=6.6, height=0.3 * len(shares) + 1.0)
    sns.barplot(frame, y="group", x="%", errorbar="sd", color=BLUE, ax=axes[0])
    axes[0].set(xlabel="share of the squared error (%)", ylabel="")
    return finish(figure)


def stages(by_labels: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]], band: tuple[float, float]) -> Figure:
    """Tau of one stage and of two against the number of labels.

    Args:
        by_labels (mapping of numbers of labels to stages to figures to values): As notebook 05 leaves them.
        band ((low, high)): What a perfect predictor would reach.
    """
    rows = [
        (int(count), stage, value)
        for count, of_stages in by_labels.items()
        for stage, figures in of_stages.items()
        for value in figures["kendall_tau"]
    ]
    frame = pd.DataFrame(rows, columns=["labels", "stage", "tau"])
    figure, axes = columns(1, width=5.6, height=3.4)
    show_ceiling(axes[0], band)
    sns.pointplot(frame, x="labels", y="tau", hue="stage", errorbar="sd", dodge=0.2, palette=[BLUE, ORANGE], ax=axes[0])
    axes[0].set(xlabel="labelled cells", ylabel="Kendall's tau, all cells")
    legend_above(figure, axes[0])
    return finish(figure)


def searches(accuracies: Mapping[str, Mapping[str, Sequence[float]]], judged_by: str) -> Figure:
    """Test accuracy of the cell kept against the number of trainings, a line a search, with standard deviations.

    Args:
        accuracies (mapping of searches to numbers of trainings to values): Fractions, a value a search.
        judged_by (str): What says how good the cell kept is.
    """
    rows = [
        (name, int(total), 100 * value)
        for name, of in accuracies.items()
        for total, values in of.items()
        for value in values
    ]
    frame = pd.DataFrame(rows, columns=["search", "trainings", "accuracy"])
    figure, axes = columns(1, width=6.6, height=4.0)
    sns.lineplot(frame, x="trainings", y="accuracy", hue="search", style="search", markers=True, dashes=False,
                 errorbar="sd", err_style="bars", ax=axes[0])  # fmt: skip
    totals = sorted(frame["trainings"].unique())
    axes[0].set(xscale="log", xlabel="trainings", ylabel=f"{judged_by} (%)")
    axes[0].set_xticks(totals, [f"{total:,}" for total in totals])
    axes[0].set_xticks([], minor=True)
    axes[0].grid(axis="y", color=GREY, alpha=0.3)
    legend_above(figure, axes[0], most_columns=3)
    return finish(figure)
