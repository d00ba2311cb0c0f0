"""The picture of a signal in one cell says what the features of all cells say."""

import numpy as np
import pytest

from nplib.cell import CONV1X1, CONV3X3, Cell, InvalidCell
from nplib.features import NAMES, compute_features
from nplib.features.energy import GRADIENT_FLOOR, GRADIENT_GAIN
from nplib.features.signal import signal_of


@pytest.fixture(scope="module")
def features(space):
    rows = np.random.default_rng(0).integers(0, len(space), 400)
    rows[:7] = np.arange(7)  # the smallest cells too
    return rows, compute_features(space.cells[rows])


def test_energies_and_gradients_are_those_of_the_features(space, features):
    rows, values = features
    column = {name: values[:, NAMES.index(name)] for name in NAMES}
    for i, row in enumerate(rows):
        signal = signal_of(space.cell(row))
        assert np.log(signal.energy[-1]) == pytest.approx(column["log_output_energy"][i], abs=1e-12)
        assert np.log1p(signal.energy[1:-1].max(initial=0)) == pytest.approx(column["log_largest_energy"][i], abs=1e-12)
        of_input = np.log(signal.gradient[0] * GRADIENT_GAIN / signal.energy[-1])
        assert of_input == pytest.approx(column["log_gradient_input"][i], abs=1e-12)
        for name, short in ((CONV3X3, "conv3x3"), (CONV1X1, "conv1x1")):
            at_weights = np.log(signal.gradient[np.array(signal.cell.operations) == name].sum() + GRADIENT_FLOOR)
            assert at_weights == pytest.approx(column[f"log_gradient_{short}"][i], abs=1e-12)


def test_the_flow_into_a_vertex_is_divided_among_its_edges(space, features):
    for row in features[0]:
        cell = space.cell(row)
        flow = signal_of(cell).flow
        np.testing.assert_allclose(flow[:, 1:].sum(axis=0), 1)
        assert ((flow > 0) == (np.asarray(cell.matrix) == 1)).all()


def test_a_cell_that_leads_nowhere_is_refused():
    with pytest.raises(InvalidCell):
        signal_of(Cell(np.zeros((3, 3), dtype=int), ["input", CONV3X3, "output"]))
