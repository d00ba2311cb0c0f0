"""How figures look, and whose data they say they show.

A figure of surrogate data says so in its lower right corner, wherever it may be copied to. Whose data figures show is
said once, by :func:`use_style`, and by :func:`showing` for those of other data.
"""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib
import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nplib.benchmark import SURROGATE, Benchmark
from nplib.cell import CONV1X1, CONV3X3, INPUT, MAXPOOL3X3, OUTPUT
from nplib.errors import UserError

PALETTE = sns.color_palette("colorblind")
BLUE, ORANGE, GREEN, RED = PALETTE[0], PALETTE[1], PALETTE[2], PALETTE[3]
GREY = "0.55"
OPERATION_COLOURS = {INPUT: "0.85", OUTPUT: "0.85", CONV3X3: PALETTE[0], CONV1X1: PALETTE[9], MAXPOOL3X3: PALETTE[1]}
OPERATION_LABELS = {INPUT: "in", OUTPUT: "out", CONV3X3: "3×3", CONV1X1: "1×1", MAXPOOL3X3: "pool"}
BUDGET_COLOURS = sns.color_palette("flare", 4)
SURROGATE_MARK = "surrogate data, not measurements"
POINTS_SHOWN = 25_000  # more hide one another, and take seconds

# A text of 8 points has 9 pixels and more where a screen's 350 pixels show so many inches.
PHONE_WIDTH = 4.2
PHONE_PICTURE = "application/x-phone-png"  # what a notebook keeps beside the picture; the pages' builder looks for it
ABOVE = "outside upper center"  # where a legend of all panels stands
LONG_LABEL = 20  # characters; with a longer one a phone's legend has one column

_source_shown: str | None = None  # None: nobody has said yet


class DataNotNamed(UserError):
    """A figure is drawn and nobody has said whose data it shows."""


def use_style(data: Benchmark | str) -> None:
    """Set whose data figures show, and their look: white, so that they stay readable on a dark page too.

    The look starts from matplotlib's defaults, whatever the user's own settings are; in a notebook figures are shown in
    the page, whatever backend is set.

    Args:
        data (Benchmark or str): The benchmark, or its source where only results of it are at hand.
    """
    global _source_shown
    _source_shown = _source_of(data)
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(shell, "kernel"):
        shell.enable_matplotlib("inline")
        shell.display_formatter.mimebundle_formatter.for_type(Figure, _phone_bundle)
    matplotlib.rcdefaults()
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


def shows_surrogate() -> bool:
    if _source_shown is None:
        raise DataNotNamed("whose data does this figure show? Say so first: plots.use_style(benchmark)")
    return _source_shown == SURROGATE


def columns(count: int, width: float = 3.6, height: float = 3.2, **options) -> tuple[Figure, list[Axes]]:
    figure, axes = plt.subplots(1, count, figsize=(width * count, height), squeeze=False, **options)
    return figure, list(axes[0])


def finish(figure: Figure) -> Figure:
    """Mark a figure if it shows surrogate data, and close it; all functions here that return one have done so.

    Raises:
        DataNotNamed: If it has not been said whose data it shows.
    """
    if shows_surrogate():
        # The layout keeps room below everything else for a label of the whole figure, as it would not for other text.
        figure.supxlabel(SURROGATE_MARK, x=0.995, ha="right", fontsize=8, fontstyle="italic", color=GREY)
    # A notebook would show the figure twice: once as the cell's value, once as an open one.
    plt.close(figure)
    return figure


def show_ceiling(axes: Axes, band: tuple[float, float], across: bool = False) -> None:
    """Draw as a band, along the axes or across, what a perfect predictor would reach against labels with noise."""
    draw = axes.axvspan if across else axes.axhspan
    draw(*band, color=GREY, alpha=0.3, linewidth=0, label="a perfect predictor")


def legend_above(figure: Figure, *panels: Axes, most_columns: int = 4) -> None:
    """Put what the legends of panels say above all of them, where it hides nothing."""
    handles, labels = [], []
    for axes in panels:
        for kept, more in zip((handles, labels), axes.get_legend_handles_labels(), strict=True):
            kept += more
        if axes.get_legend() is not None:
            axes.get_legend().remove()
    figure.legend(handles, labels, loc=ABOVE, ncols=min(most_columns, len(labels)), fontsize=9)


@contextmanager
def stacked(figure: Figure) -> Iterator[None]:
    """Inside, a figure's panels are below one another, each as wide as a phone and as high as it was."""
    size = figure.get_size_inches().copy()
    panels = [(axes, axes.get_subplotspec()) for axes in figure.axes if axes.get_subplotspec() is not None]
    heights = {}
    for _, spec in panels:
        ratios = spec.get_gridspec().get_height_ratios()
        heights[spec.rowspan.start, spec.colspan.start] = size[1] * ratios[spec.rowspan.start] / sum(ratios)
    places = sorted(heights)
    grid = figure.add_gridspec(len(places), 1, height_ratios=[heights[place] for place in places])
    legends, narrower = list(figure.legends), []
    try:
        for axes, spec in panels:
            axes.set_subplotspec(grid[places.index((spec.rowspan.start, spec.colspan.start))])
        for legend in legends:  # above all panels, in as many columns as a phone has room for
            labels = [text.get_text() for text in legend.get_texts()]
            ncols = 1 if max(map(len, labels), default=0) > LONG_LABEL else 2
            narrower.append(figure.legend(legend.legend_handles, labels, loc=ABOVE, ncols=ncols, fontsize=9))
            legend.set_visible(False)
            legend.set_in_layout(False)
        figure.set_size_inches(PHONE_WIDTH, sum(heights.values()))
        yield
    finally:
        figure.set_size_inches(size)
        for axes, spec in panels:
            axes.set_subplotspec(spec)
        for legend in narrower:
            legend.remove()
        for legend in legends:
            legend.set_visible(True)
            legend.set_in_layout(True)


def _phone_bundle(figure: Figure, include: object = None, exclude: object = None) -> tuple[dict[str, str], dict]:
    """What a notebook is to keep beside the picture of a figure: one for phones, where it is too wide for them."""
    panels = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    if figure.get_figwidth() <= PHONE_WIDTH or not panels:
        return {}, {}
    image = io.BytesIO()
    with stacked(figure):
        figure.savefig(image, format="png")
    return {PHONE_PICTURE: base64.b64encode(image.getvalue()).decode()}, {}
