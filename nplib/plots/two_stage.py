"""Pictures of a classifier's decisions, and of one stage beside two; drawn as those of :mod:`nplib.plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nplib.plots.style import BLUE, GREY, ORANGE, PALETTE, Figure, columns, finish, legend_above, show_ceiling


def accepted_and_rejected(
    true: np.ndarray,
    accepted: np.ndarray,
    above: float,
    zoom: tuple[float, float] = (0.88, 0.95),
    metric: str = "accuracy",
) -> Figure:
    """How the accuracies of accepted and rejected cells are spread, on a logarithmic scale and at the upper end.

    Args:
        true (array, shape (N,)): Fractions.
        accepted: Array, shape (N,), bool.
        above (float): The threshold that the classifier learned, a fraction.
        zoom ((low, high)): The upper end, fractions.
        metric (str): Which accuracy it is.
    """
    figure, axes = columns(2, width=4.6)
    low, high = (100 * end for end in zoom)
    for panel, bins in ((axes[0], np.linspace(0, 100, 101)), (axes[1], np.linspace(low, high, 71))):
        for chosen, colour, label in ((accepted, BLUE, "accepted"), (~accepted, ORANGE, "rejected")):
            panel.hist(100 * true[chosen], bins, color=colour, alpha=0.55, label=label)
        panel.axvline(100 * above, color="0.3", linestyle="--", linewidth=1.2)
    axes[0].set(xlabel=f"true {metric} (%)", ylabel="cells", yscale="log")
    axes[1].set(xlabel=f"true {metric} (%), upper end", ylabel="cells", xlim=(low, high))
    legend_above(figure, axes[0])
    return finish(figure)


def confusion(counts: np.ndarray, deviations: np.ndarray) -> Figure:
    """A confusion matrix: how many cells of each kind are decided in which way.

    Args:
        counts, deviations (array, shape (2, 2)): Mean and standard deviation over seeds; rows are truly passing and
            not, columns accepted and rejected.
    """
    figure, axes = columns(1, width=4.4, height=3.4)
    shares = counts / counts.sum()
    axes[0].imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(2, 2):
        spread = f"\n± {deviations[row, column]:,.0f}" if np.isfinite(deviations[row, column]) else ""
        text = f"{counts[row, column]:,.0f}{spread}\n{100 * shares[row, column]:.1f} %"
        ink = "white" if shares[row, column] > 0.6 else "black"
        axes[0].text(column, row, text, ha="center", va="center", size=10, color=ink)
    axes[0].set(xticks=[0, 1], xticklabels=["accepted", "rejected"], yticks=[0, 1], yticklabels=["passes", "does not"])
    axes[0].spines[:].set_visible(False)
    axes[0].tick_params(length=0)
    return finish(figure)


def precision_and_recall(
    curves: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]],
    marks: Sequence[tuple[float, float]],
    base_rate: float,
) -> Figure:
    """Precision at every recall, a line a seed; dots mark the threshold used.

    Args:
        curves (mapping of names to sequences of (precision, recall)): A pair of arrays a seed.
        base_rate (float): Precision of accepting all.
    """
    figure, axes = columns(1, width=5.4, height=4.0)
    for colour, (name, of_seeds) in zip(PALETTE, curves.items(), strict=False):
        for number, (precision, recall) in enumerate(of_seeds):
            # A curve of half a million steps looks the same with fewer.
            shown = np.unique(np.searchsorted(recall, np.linspace(0.005, 1, 400)).clip(max=len(recall) - 1))
            axes[0].plot(
                recall[shown],
                precision[shown],
                color=colour,
                linewidth=1,
                alpha=0.6,
                label=None if number else name,
            )
    axes[0].plot(*np.array(marks).T[::-1], "o", color="black", markersize=4, label="threshold used")
    axes[0].axhline(base_rate, color=GREY, linestyle=":", linewidth=1.2, label="all accepted")
    axes[0].set(xlabel="recall", ylabel="precision", xlim=(0, 1.01))
    axes[0].legend(fontsize=9, loc="lower left")
    return finish(figure)


def calibration(curves: Sequence[tuple[np.ndarray, np.ndarray]], probabilities: np.ndarray) -> Figure:
    """Share that passes against the probability promised, a line a seed, and how often which is promised.

    Args:
        curves (sequence of (promised, seen)): A pair of arrays a seed.
        probabilities (array): Of all seeds.
    """
    figure, axes = columns(2, width=4.2, height=3.6)
    axes[0].plot([0, 1], [0, 1], color=GREY, linewidth=1)
    for promised, seen in curves:
        axes[0].plot(promised, seen, "o-", color=BLUE, markersize=3, linewidth=1, alpha=0.6)
    axes[0].set(xlabel="probability promised", ylabel="share that passes", xlim=(0, 1), ylim=(0, 1))
    values = probabilities.ravel()
    axes[1].hist(values, np.linspace(0, 1, 51), color=BLUE, weights=np.full(len(values), 1 / len(values)))
    axes[1].set(xlabel="probability promised", ylabel="share of cells", xlim=(0, 1))
    return finish(figure)


def wanted_and_kept(wanted: Sequence[float], kept: Sequence[Sequence[float]]) -> Figure:
    """Recall on all cells against the recall wanted of held-out folds, a dot a seed; on the line it is as wanted.

    Args:
        wanted: Sequence of float, length W.
        kept (sequence of sequences, length W): A value a seed.
    """
    figure, axes = columns(1, width=4.4, height=3.8)
    low = 100 * min(min(wanted), *(min(values) for values in kept)) - 2
    axes[0].plot([low, 101], [low, 101], color=GREY, linewidth=1)
    for value, of_seeds in zip(wanted, kept, strict=True):
        places = 100 * value + np.linspace(-0.35, 0.35, len(of_seeds))
        axes[0].plot(places, 100 * np.array(of_seeds), "o", color=BLUE, markersize=4, alpha=0.7)
        axes[0].plot(100 * value, 100 * np.mean(of_seeds), "_", color=ORANGE, markersize=18, markeredgewidth=2.5)
    axes[0].set(xlabel="recall wanted (%)", ylabel="recall on all cells (%)", xlim=(low, 101), ylim=(low, 101))
    return finish(figure)


def by_training_cells(
    sizes: Sequence[int],
    panels: Mapping[str, Mapping[str, Sequence[Sequence[float]]]],
    ceilings: Mapping[str, tuple[float, float]],
) -> Figure:
    """Figures over the number of training cells: dots are seeds, lines join their means.

    Args:
        sizes: Sequence of int, length S.
        panels (mapping of labels to mappings of names to sequences, length S): Of each size a value a seed.
        ceilings (mapping of labels of some panels to (low, high)): What a perfect predictor would reach.
    """
    figure, axes = columns(len(panels), width=4.2, height=3.6)
    for panel, (what, lines) in zip(axes, panels.items(), strict=True):
        if what in ceilings:
            show_ceiling(panel, ceilings[what])
        for colour, (number, (name, values)) in zip(PALETTE, enumerate(lines.items()), strict=False):
            shift = 1 + 0.04 * (number - (len(lines) - 1) / 2)  # so that dots do not hide each other
            for size, of_seeds in zip(sizes, values, strict=True):
                panel.plot([size * shift] * len(of_seeds), of_seeds, ".", color=colour, alpha=0.5, markersize=5)
            means = [np.mean(of_seeds) for of_seeds in values]
            panel.plot(np.array(sizes) * shift, means, "-", color=colour, linewidth=1.5, label=name)
        panel.set(xlabel="training cells", ylabel=what, xscale="log", xticks=sizes)
        panel.set_xticklabels([str(size) for size in sizes], fontsize=9)
        panel.minorticks_off()
    legend_above(figure, axes[0])
    return finish(figure)
