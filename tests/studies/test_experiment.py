"""An experiment reports what its predictors did, on the cells it says."""

import numpy as np
import pytest

from nplib.benchmark import Benchmark, empty_metrics
from nplib.errors import UserError
from nplib.metrics import kendall_tau, mse_percent2
from nplib.predictor import PredictorConfig
from nplib.studies.experiment import run_experiment
from nplib.training import TrainingConfig

CONFIG = TrainingConfig(epochs=4, learning_rate=1e-3, predictor=PredictorConfig(hidden=16, layers=2, head=8))


@pytest.fixture(scope="module")
def benchmark(space):
    """Two hundred cells, their accuracies made up from the operations."""
    rows = np.arange(10_000, 410_000, 2_000)
    metrics = empty_metrics(len(rows))
    metrics[:, 3, 0, 1, 2] = 0.85 + 0.02 * (space.operations[rows] == 0).sum(axis=1)
    return Benchmark.from_space(space, rows, metrics)


@pytest.fixture(scope="module")
def outcome(benchmark):
    return run_experiment(benchmark, np.arange(40), np.arange(200), [0, 1], CONFIG, device="cpu")


def test_figures_are_those_of_the_predictions(benchmark, outcome):
    labels = benchmark.accuracy_labels()
    assert outcome.predicted.shape == (2, 200) and outcome.unseen.sum() == 160
    figures = outcome.figures()
    assert figures["mse_percent2"] == [mse_percent2(labels, row) for row in outcome.predicted]
    assert figures["kendall_tau_unseen"] == [kendall_tau(labels[40:], row[40:]) for row in outcome.predicted]
    report = outcome.report()
    assert report["mean"]["mse_percent2"] == pytest.approx(np.mean(figures["mse_percent2"]))
    assert report["sd"]["mse_percent2"] == pytest.approx(np.std(figures["mse_percent2"], ddof=1))


def test_fewer_cells_give_what_an_evaluation_on_them_gives(benchmark, outcome):
    cells = np.array([150, 3, 70])
    fewer = outcome.on(cells)
    again = run_experiment(benchmark, np.arange(40), np.sort(cells), [0, 1], CONFIG, device="cpu")
    np.testing.assert_array_equal(fewer.cells, again.cells)
    np.testing.assert_array_equal(fewer.unseen, again.unseen)
    np.testing.assert_allclose(fewer.predicted, again.predicted, rtol=1e-6)
    with pytest.raises(UserError, match="only 3 of 4 cells were evaluated"):
        fewer.on(np.array([150, 3, 70, 4]))


def test_an_empty_evaluation_is_refused(benchmark):
    with pytest.raises(UserError, match="the evaluation has 1 cells"):
        run_experiment(benchmark, np.arange(40), np.arange(1), [0], CONFIG, device="cpu")
