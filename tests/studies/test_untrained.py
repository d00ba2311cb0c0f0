"""Signals of untrained networks: of the network that a cell stands for, and compared with what is known already."""

import numpy as np
import pytest
import torch

from nplib.cell import CONV1X1, CONV3X3, INPUT, MAXPOOL3X3, OUTPUT, Cell
from nplib.studies.untrained import (
    SIGNALS,
    UntrainedNetwork,
    signals_of_cells,
    untrained_signals,
    what_signals_add,
)


def make_cell(edges, *operations):
    matrix = np.zeros((len(operations) + 2, len(operations) + 2), dtype=int)
    for edge in edges:
        matrix[edge] = 1
    return Cell(matrix, [INPUT, *operations, OUTPUT])


DIAMOND = make_cell([(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)], CONV3X3, MAXPOOL3X3)
CHAIN = make_cell([(0, 1), (1, 2), (2, 3)], CONV3X3, CONV1X1)
BARE = make_cell([(0, 1)])


def convolutions(network):
    return sorted(tuple(m.weight.shape) for m in network.modules() if isinstance(m, torch.nn.Conv2d))


def test_the_network_is_built_as_nasbench_builds_it():
    """Branches share the cell's channels, each reads the input through a 1 x 1 convolution, ends stand side by side."""
    chain = [(8, 1, 3, 3)]  # stem
    for inputs, outputs in ((8, 8), (8, 16), (16, 32)):
        chain += [(outputs, inputs, 1, 1), (outputs, outputs, 3, 3), (outputs, outputs, 1, 1)]
    assert convolutions(UntrainedNetwork(CHAIN)) == sorted(chain)
    diamond = [(8, 1, 3, 3)]
    for inputs, outputs in ((8, 8), (8, 16), (16, 32)):
        half = outputs // 2
        diamond += [(half, inputs, 1, 1)] * 2 + [(half, half, 3, 3), (outputs, inputs, 1, 1)]
    assert convolutions(UntrainedNetwork(DIAMOND)) == sorted(diamond)
    images = torch.zeros(3, 1, 16, 16)
    assert all(UntrainedNetwork(cell)(images).shape == (3, 10) for cell in (CHAIN, DIAMOND, BARE))


def test_signals_are_what_they_are_called():
    network = UntrainedNetwork(CHAIN, 3)
    signals = dict(zip(SIGNALS, untrained_signals(CHAIN, 3), strict=True))
    for parameter in network.parameters():
        torch.nn.Parameter.requires_grad_(parameter, parameter.dim() > 1)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.abs_()
    out = network.eval()(torch.ones(1, 1, 16, 16)).sum()
    out.backward()
    flow = sum((p.grad * p).sum().item() for p in network.parameters() if p.dim() > 1)
    assert signals["synflow"] == pytest.approx(np.log(flow), rel=1e-5)
    # What flows through a net without biases is linear in the weights of each layer: ten layers, ten times the output.
    layers = sum(isinstance(m, torch.nn.Conv2d | torch.nn.Linear) for m in network.modules())
    assert flow == pytest.approx(layers * out.item(), rel=1e-4)
    assert signals["NTK, condition"] >= 0 and np.isfinite(list(signals.values())).all()


def test_signals_depend_on_cell_and_seed_alone(space):
    cells = space.cells[np.array([5, 200_000, 400_000])]
    torch.manual_seed(1)
    first = signals_of_cells(cells)
    torch.manual_seed(2)
    np.testing.assert_array_equal(first, signals_of_cells(cells))
    np.testing.assert_array_equal(first[1:2], signals_of_cells(cells[1:2]))
    np.testing.assert_allclose(first[1], untrained_signals(cells.cell(1)), rtol=1e-4)  # other threads, other rounding
    assert (first != signals_of_cells(cells, seed=1)).all()


def test_what_is_new_is_seen_and_what_is_known_is_not():
    random = np.random.default_rng(0)
    features = random.normal(size=(400, 3))
    hidden = random.normal(size=400)
    labels = 0.9 + 0.01 * (features[:, 0] + hidden)
    signals = np.stack([hidden, features[:, 0], random.normal(size=400)], axis=1)
    names = ("new", "known", "noise")
    added = what_signals_add(signals, features, labels, 0.9 + 0.01 * features[:, 0], names)
    left, chance = added.iloc[:, 2], added["± by chance"]
    assert left["new"] > 0.5 and (abs(left[["known", "noise"]]) < 3 * chance[["known", "noise"]]).all()
    assert added["explained by features"]["known"] > 0.8 and added["explained by features"]["noise"] < 0.1
    assert added["tau with labels"]["new"] > 0.3
