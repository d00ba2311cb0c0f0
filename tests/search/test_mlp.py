"""The plain network reads a cell as its bits and learns from them."""

import numpy as np
from search_world import benchmark_fixture, trainings_fixture  # noqa: F401 - fixtures

from nplib.cell import Cell, Cells
from nplib.metrics import kendall_tau
from nplib.search.mlp import MLPConfig, flat_encoding


def test_a_cell_is_its_edges_and_its_operations():
    cell = Cell([[0, 1, 1], [0, 0, 1], [0, 0, 0]], ["input", "conv1x1-bn-relu", "output"])
    (row,) = flat_encoding(Cells.of([cell]))
    assert row.shape == (56,) and row[:21].sum() == 3 and row[[0, 1, 6]].all()  # edges 0-1, 0-2, 1-2
    operations = row[21:].reshape(7, 5)  # output, input, 3x3, 1x1, pooling
    assert np.argwhere(operations).tolist() == [[0, 1], [1, 3], [2, 0]]


def test_different_cells_are_told_apart(benchmark):
    assert len(np.unique(flat_encoding(benchmark.cells), axis=0)) == len(benchmark)


def test_it_learns_and_depends_on_its_seed_alone(benchmark):
    labels, rows = benchmark.accuracy_labels(), np.random.default_rng(0).permutation(len(benchmark))
    config = MLPConfig(epochs=50)
    fit = config.fit(benchmark.cells, labels, [3, 4], training_cells=rows[:200])
    predicted = fit.predict(benchmark.cells)
    assert predicted.shape == (2, len(benchmark)) and not np.array_equal(*predicted)
    alone = config.fit(benchmark.cells[rows[:200]], labels[rows[:200]], [4]).predict(benchmark.cells, batch_size=100)
    np.testing.assert_allclose(alone[0], predicted[1], atol=1e-6)
    for row in predicted:
        assert kendall_tau(labels[rows[200:]], row[rows[200:]]) > 0.4
