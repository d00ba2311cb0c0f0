"""What every module of pictures promises, for its tests to check; each gives its own functions, called once."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType

import matplotlib
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from nplib import plots

LEAST_POINTS = 8
Drawn = Mapping[str, Callable[[], Figure]]


@pytest.fixture(autouse=True)
def real_data_and_no_window() -> Iterator[None]:
    plt.switch_backend("agg")
    with matplotlib.rc_context(), plots.showing("sample"):
        plots.use_style("sample")
        yield


def every_function_is_tried(module: ModuleType, drawn: Drawn) -> bool:
    functions = inspect.getmembers(module, inspect.isfunction)
    own = {name for name, function in functions if function.__module__ == module.__name__ and name[0] != "_"}
    return own == set(drawn)


def is_closed_and_marked_on_the_surrogate_alone(draw: Callable[[], Figure]) -> bool:
    before = plt.get_fignums()
    marked = {}
    for source in ("surrogate", "full"):
        with plots.showing(source):
            texts = draw().findobj(Text)
        # What pages show on a phone rests on it.
        assert min(text.get_fontsize() for text in texts if text.get_text()) >= LEAST_POINTS
        marked[source] = plots.style.SURROGATE_MARK in [text.get_text() for text in texts]
    assert fits_a_phone(draw)
    return plt.get_fignums() == before and marked == {"surrogate": True, "full": False}


def fits_a_phone(draw: Callable[[], Figure]) -> bool:
    """Panels below one another show every text whole, and are beside one another again afterwards."""
    figure = draw()
    before = figure.get_size_inches().tolist(), [axes.get_subplotspec() for axes in figure.axes]
    with plots.style.stacked(figure):
        figure.draw_without_rendering()
        edges = figure.bbox
        for part in (*figure.axes, *(legend for legend in figure.legends if legend.get_visible())):
            box = part.get_tightbbox()
            assert edges.x0 - 2 <= box.x0 and box.x1 <= edges.x1 + 2, (part, box.x0, box.x1, edges.x1)
        assert edges.width == pytest.approx(plots.style.PHONE_WIDTH * figure.dpi)
    return before == (figure.get_size_inches().tolist(), [axes.get_subplotspec() for axes in figure.axes])
