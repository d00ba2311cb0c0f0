"""Pictures show what they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from nplib import plots


@pytest.fixture(autouse=True)
def no_window():
    plt.switch_backend("agg")


def test_a_drawing_has_every_vertex_and_edge(space):
    for index in (0, 3, 500, 100_000, 423_000):
        cell = space.cell(index)
        figure, axes = plt.subplots()
        plots.draw_cell(cell, axes, "title")
        texts = [text.get_text() for text in axes.texts]
        assert texts == [plots.OPERATION_LABELS[operation] for operation in cell.operations]
        assert len(axes.patches) == cell.num_edges
        plt.close(figure)


def test_vertices_do_not_lie_on_each_other(space):
    figure, axes = plt.subplots()
    plots.draw_cell(space.cell(50_000), axes)
    places = {tuple(np.round(text.get_position(), 3)) for text in axes.texts}
    assert len(places) == space.num_vertices[50_000]
    plt.close(figure)


def test_points_outside_a_zoom_are_counted_in_its_title():
    true, predicted = np.array([0.1, 0.85, 0.92, 0.93]), np.full(4, 0.9)
    figure = plots.predicted_against_true(true, predicted, np.array([1]))
    assert [axes.get_title() for axes in figure.axes] == ["1 of 4 cells outside", "2 of 4 cells outside"]


def test_learning_curves_show_mean_and_spread():
    figure = plots.learning_curves(np.array([1, 2]), {"seeds": np.array([[1.0, 2.0], [3.0, 4.0]])}, "error")
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [2, 3])


def test_a_notebook_is_not_shown_a_figure_twice():
    before = plt.get_fignums()
    plots.histogram_with_zoom(np.linspace(0.1, 0.95, 50), (0.8, 0.96), "accuracy", mark=0.91)
    plots.accuracy_by_budget({4: np.array([0.2, 0.3]), 108: np.array([0.9, 0.92])})
    plots.run_spread(np.random.default_rng(0).uniform(0.8, 0.95, (9, 3)))
    plots.pairs([(np.arange(3), np.arange(3), "x", "y")], diagonal=[0])
    plots.matrix(np.eye(2), ["a", "b"], "correlation")
    plots.cumulative({"all": np.array([0.9, 0.91]), "some": np.array([0.9])}, "accuracy", (0.8, 0.95))
    plots.draws(np.arange(5.0), 2.0, 3.0, "mean")
    plots.measured_beside_published(["a"], np.array([1.0]), np.array([0.1]), {"paper": [2.0]}, "error")
    assert plt.get_fignums() == before
