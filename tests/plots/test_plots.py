"""Pictures show what they are given, and say when that is no measurement."""

import base64
import inspect
import io
import os
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from plot_promises import fits_a_phone

from nplib import plots
from nplib.cell import Cell


@pytest.fixture(autouse=True)
def real_data_and_no_window():
    plt.switch_backend("agg")
    with plots.showing("sample"):
        yield


def texts_of(figure: Figure) -> list[str]:
    """Every text that a figure shows."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


CHAIN = Cell([[0, 1, 1], [0, 0, 1], [0, 0, 0]], ["input", "conv3x3-bn-relu", "output"])

DRAWN = {
    "cell_in_network": lambda: plots.cell_in_network(CHAIN),
    "message_passing": lambda: plots.message_passing(CHAIN, 1),
    "draw_cells": lambda: plots.draw_cells([Cell([[0, 1], [0, 0]], ["input", "output"])], ["a cell"]),
    "histogram_with_zoom": lambda: plots.histogram_with_zoom(np.linspace(0.1, 0.95, 50), (0.8, 0.96), "x", mark=0.91),
    "accuracy_by_budget": lambda: plots.accuracy_by_budget({4: np.array([0.2, 0.3]), 108: np.array([0.9, 0.92])}),
    "run_spread": lambda: plots.run_spread(np.random.default_rng(0).uniform(0.8, 0.95, (9, 3))),
    "pairs": lambda: plots.pairs([(np.arange(3), np.arange(3), "x", "y")], diagonal=[0]),
    "matrix": lambda: plots.matrix(np.eye(2), ["a", "b"], "correlation"),
    "cumulative": lambda: plots.cumulative({"all": np.array([0.9, 0.91]), "some": np.array([0.9])}, "x", (0.8, 0.95)),
    "draws": lambda: plots.draws(np.arange(5.0), 2.0, 3.0, "mean"),
    "learning_curves": lambda: plots.learning_curves(np.array([1, 2]), {"seeds": np.ones((2, 2))}, "error"),
    "predicted_against_true": lambda: plots.predicted_against_true(np.array([0.9, 0.92]), np.full(2, 0.91)),
    "deviations": lambda: plots.deviations(["a", "b"], [0.5, -1.5], ["one", "two"]),
    "quantile_differences": lambda: plots.quantile_differences(np.array([0.1, 0.9]), np.array([0.001, 0.0]), 0.004),
    "measured_beside_published": lambda: plots.measured_beside_published(
        pd.DataFrame({"setting": ["a", "a"], "code": ["ours", "paper"], "mse": [1.0, 2.0]}),
        "mse",
        "error",
        {"a": (0.1, 0.2)},
    ),
}


def test_a_drawing_has_every_vertex_and_edge(space):
    for index in (0, 3, 500, 100_000, 423_000):
        cell = space.cell(index)
        figure, axes = plt.subplots()
        plots.draw_cell(cell, axes, "title")
        texts = [text.get_text() for text in axes.texts]
        assert texts == [plots.style.OPERATION_LABELS[operation] for operation in cell.operations]
        assert len(axes.patches) == cell.num_edges
        plt.close(figure)


def test_the_weights_of_a_step_are_those_of_the_predictor():
    """Rows of the two matrices by hand: the input reads itself, the convolution and the output a third each; ..."""
    along, against = plots.message_passing(CHAIN, 0).axes
    assert [text.get_text() for text in along.texts][3:] == ["0.33"] * 3
    # ... and against the arrows nothing feeds it.
    assert [text.get_text() for text in against.texts][3:] == ["1.00"]
    along, against = plots.message_passing(CHAIN, 1).axes
    assert [text.get_text() for text in along.texts][3:] == ["0.50"] * 2
    # Column of the normalised matrix: 1/3 and 1/2, so .4 and .6.
    assert [text.get_text() for text in against.texts][3:] == ["0.40", "0.60"]


def test_vertices_do_not_lie_on_each_other(space):
    figure, axes = plt.subplots()
    plots.draw_cell(space.cell(50_000), axes)
    places = {tuple(np.round(text.get_position(), 3)) for text in axes.texts}
    assert len(places) == space.num_vertices[50_000]
    plt.close(figure)


def test_only_what_is_not_allowed_is_named():
    figure = plots.deviations(["near", "far", "further"], [0.5, -1.5, 1.1], ["one", "two", "one"])
    assert [note.get_text().strip() for note in figure.axes[0].texts] == ["further", "far"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["one", "two"]


def test_the_network_of_a_cell_fits_a_phone():
    assert DRAWN["cell_in_network"]().get_figwidth() <= plots.style.PHONE_WIDTH


def test_points_outside_a_zoom_are_counted_in_its_title():
    true, predicted = np.array([0.1, 0.85, 0.92, 0.93]), np.full(4, 0.9)
    figure = plots.predicted_against_true(true, predicted, np.array([1]))
    assert [axes.get_title() for axes in figure.axes] == ["1 of 4 cells outside", "2 of 4 cells outside"]


def test_learning_curves_show_mean_and_spread():
    figure = plots.learning_curves(np.array([1, 2]), {"seeds": np.array([[1.0, 2.0], [3.0, 4.0]])}, "error")
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [2, 3])


def test_every_function_that_returns_a_figure_is_tried_here():
    public = {name: value for name, value in vars(plots).items() if inspect.isfunction(value) and name[0] != "_"}
    own = {name for name, function in public.items() if function.__module__.startswith("nplib.plots.")}
    returning = {name for name in own if inspect.signature(public[name]).return_annotation == "Figure"}
    assert returning - {"finish"} == set(DRAWN)


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_a_notebook_is_not_shown_a_figure_twice(draw):
    before = plt.get_fignums()
    draw()
    assert plt.get_fignums() == before


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_figures_of_surrogate_data_say_so_and_others_do_not(draw, small_surrogate):
    with plots.showing(small_surrogate):
        assert plots.style.SURROGATE_MARK in texts_of(draw())
        with plots.showing("full"):
            assert "surrogate" not in " ".join(texts_of(draw()))
        assert plots.style.SURROGATE_MARK in texts_of(draw())
    assert "surrogate" not in " ".join(texts_of(draw()))


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_a_phone_shows_panels_below_one_another(draw):
    plots.use_style("surrogate")
    assert fits_a_phone(draw)


def test_a_phone_s_legend_has_fewer_columns_and_the_figure_keeps_its_own():
    names = ["random search", "evolution", "one stage", "two stages", "Gaussian process"]
    figure, (axes, _) = plots.style.columns(2, width=4.7)
    for name in names:
        axes.plot([0, 1], label=name)
    plots.style.legend_above(figure, axes)
    plots.style.finish(figure)
    assert fits_a_phone(lambda: figure)
    (legend,) = figure.legends
    assert legend.get_visible() and legend.get_in_layout()


def test_a_notebook_keeps_a_second_picture_where_the_first_is_too_wide():
    plots.use_style("full")
    wide, narrow, bare = plt.figure(figsize=(9, 3)), plt.figure(figsize=(4, 3)), plt.figure(figsize=(9, 3))
    wide.subplots(1, 2)
    narrow.subplots()
    bare.add_axes((0, 0, 1, 1))  # nowhere in a grid
    kept, _ = plots.style._phone_bundle(wide)
    image = plt.imread(io.BytesIO(base64.b64decode(kept[plots.style.PHONE_PICTURE])))
    assert image.shape[:2] == (660, 462)  # two panels of three inches, at 110 dots an inch
    assert plots.style._phone_bundle(narrow) == plots.style._phone_bundle(bare) == ({}, {})
    plt.close("all")


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_the_mark_hides_nothing(draw):
    plots.use_style("surrogate")
    figure = draw()
    figure.draw_without_rendering()
    (mark,) = [text for text in figure.findobj(Text) if text.get_text() == plots.style.SURROGATE_MARK]
    box = mark.get_window_extent()
    assert figure.bbox.containsx(box.x0) and figure.bbox.containsx(box.x1) and figure.bbox.containsy(box.y0)
    for axes in figure.axes:
        assert axes.get_tightbbox().y0 >= box.y1


def test_a_style_is_that_of_the_data_shown(small_surrogate):
    plots.use_style(small_surrogate)
    assert plots.style.SURROGATE_MARK in texts_of(DRAWN["draws"]())
    plots.use_style("full")
    assert plots.style.SURROGATE_MARK not in texts_of(DRAWN["draws"]())
    with pytest.raises(TypeError):
        plots.use_style()


def test_a_style_starts_from_the_defaults_whatever_is_set():
    plots.use_style("full")
    before = dict(plt.rcParams)
    plt.rcParams.update({"image.cmap": "hot", "text.usetex": True, "lines.linewidth": 9, "savefig.dpi": 20})
    plots.use_style("full")
    assert dict(plt.rcParams) == before


def test_no_figure_is_drawn_before_it_is_said_whose_data_it_shows():
    program = "from nplib import plots; import numpy as np; plots.draws(np.arange(5.0), 2.0, 3.0, 'mean')"
    environment = os.environ | {"MPLBACKEND": "agg"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.returncode != 0
    assert "DataNotNamed: whose data does this figure show?" in done.stderr


def test_a_crowd_of_points_is_thinned_and_says_so():
    true = np.linspace(0.8, 0.95, plots.style.POINTS_SHOWN + 1000)
    figure = plots.predicted_against_true(true, true, np.array([1]))
    points, trained, _ = figure.axes[0].lines
    assert (len(points.get_xdata()), len(trained.get_xdata())) == (plots.style.POINTS_SHOWN, 1)
    assert figure.axes[0].get_title() == "0 of 26,000 cells outside; 25,000 drawn"
