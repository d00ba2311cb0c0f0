"""What every module of pictures promises, for its tests to check; each gives its own functions, called once."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType

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
    with plots.showing("sample"):
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
    return plt.get_fignums() == before and marked == {"surrogate": True, "full": False}
