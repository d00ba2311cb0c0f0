"""Every experiment and every command runs with either predictor: a configuration fits itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import report_of, run

from nplib.benchmark import Benchmark, empty_metrics
from nplib.cell import Cells
from nplib.errors import UserError
from nplib.gp import GPConfig, GPFit, fit_gps
from nplib.gp.files import load_gp
from nplib.metrics import kendall_tau
from nplib.predictor import PredictorConfig
from nplib.studies.cross_validation import BadSplit, cross_validate, k_folds
from nplib.studies.experiment import run_experiment
from nplib.training import Fit, TrainingConfig, fit_predictors
from nplib.two_stage import TwoStageConfig, fit_two_stage, held_out_probabilities
from nplib.two_stage.classification import average_precision, passing

GP = GPConfig()
NETWORK = TrainingConfig(epochs=2, predictor=PredictorConfig(hidden=8, head=8))
LABELLED = np.arange(0, 120, 2)


@pytest.fixture(scope="module")
def benchmark(space) -> Benchmark:
    """120 cells whose accuracies, about 91 %, are made up of what they hold."""
    rows = np.arange(10_000, 410_000, 3_300)[:120]
    random = np.random.default_rng(0)
    metrics = empty_metrics(len(rows))
    metrics[:, 3, 0, 1, 2] = 0.88 + 0.012 * (space.operations[rows] == 0).sum(axis=1) + random.normal(0, 0.002, 120)
    return Benchmark.from_space(space, rows, metrics)


@pytest.fixture(scope="module")
def graphs(benchmark) -> Cells:
    return benchmark.cells


@pytest.fixture
def here(benchmark, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    benchmark.save("made.hdf5")
    np.savez("own.npz", few=LABELLED, all=np.arange(120))
    return tmp_path


def test_the_configuration_says_what_is_fitted(benchmark, graphs):
    labels = benchmark.accuracy_labels()
    for config, fit, kind in ((GP, fit_gps, GPFit), (NETWORK, fit_predictors, Fit)):
        found = config.fit(graphs, labels, [0, 1], training_cells=LABELLED)
        assert isinstance(found, kind) and found.seeds == (0, 1)
        expected = fit(graphs, labels, [0, 1], config, training_cells=LABELLED)
        assert np.array_equal(found.predict(graphs), expected.predict(graphs))
        assert found.first(1).seeds == (0,)
    assert (GP.least_cells[0], NETWORK.least_cells[0]) == (3, 10)


def test_a_gaussian_process_has_no_epochs(benchmark, graphs):
    with pytest.raises(UserError, match="no epochs to look at"):
        GP.fit(graphs, benchmark.accuracy_labels(), [0], after_epochs=1)


def test_an_experiment_runs_with_either(benchmark):
    outcomes = {config: run_experiment(benchmark, LABELLED, np.arange(120), [0], config) for config in (GP, NETWORK)}
    reports = {config: outcome.report() for config, outcome in outcomes.items()}
    assert "training_mse_percent2" in reports[NETWORK] and "training_mse_percent2" not in reports[GP]
    assert outcomes[GP].figures()["kendall_tau_unseen"][0] > 0.5
    assert set(outcomes[GP].figures()) == set(outcomes[NETWORK].figures())


def test_cross_validation_runs_with_either_and_needs_what_each_needs(benchmark, graphs):
    labels = benchmark.accuracy_labels()
    splits = k_folds(6, 3)
    assert cross_validate(graphs, labels, LABELLED[:6], splits, GP).values("mse_percent2").shape == (3,)
    with pytest.raises(BadSplit, match="a batch holds 10"):
        cross_validate(graphs, labels, LABELLED[:6], splits, NETWORK)
    with pytest.raises(BadSplit, match="a Gaussian process needs 3"):
        cross_validate(graphs, labels, LABELLED[:3], k_folds(3, 3), GP)


def test_two_stages_run_with_gaussian_processes(benchmark, graphs):
    labels = benchmark.accuracy_labels()
    config = TwoStageConfig(above=0.9, classifier=GP.as_classifier(), regressor=GP)
    fit = fit_two_stage(graphs, labels, [0], config, training_cells=LABELLED)
    others = np.setdiff1d(np.arange(120), LABELLED)
    prediction = fit.apply(graphs[others])
    assert average_precision(passing(labels[others], 0.9), prediction.logits[0]) > 0.85
    assert kendall_tau(labels[others], prediction.scores[0]) > 0.5
    known = np.full(120, np.nan)
    known[LABELLED] = labels[LABELLED]
    held_out = held_out_probabilities(graphs, known, [0], config, training_cells=LABELLED, folds=4)
    assert average_precision(passing(labels[LABELLED], 0.9), held_out[0]) > 0.85


def test_a_gaussian_process_and_a_network_can_share_two_stages(benchmark, graphs):
    regressor = replace(NETWORK, batch_size=5)
    config = TwoStageConfig(above=0.9, classifier=GP, regressor=regressor)
    fit = fit_two_stage(graphs, benchmark.accuracy_labels(), [0, 1], config, training_cells=LABELLED)
    assert fit.predict(graphs).shape == (2, 120)


OPTIONS = ["--data", "made.hdf5", "--split-file", "own.npz", "--train-split", "few"]


def test_train_has_gaussian_processes_and_saves_them(here, benchmark, graphs, capsys):
    train = ["train", *OPTIONS, "--predictor", "gp"]
    figures = report_of(*train, "--seeds", 2, "--save", "gp.safetensors")
    assert "the same with every seed" in capsys.readouterr().out
    assert figures["kendall_tau"][0] == figures["kendall_tau"][1] > 0.5
    assert figures["config"]["feature_sets"] == [list(names) for names in GP.feature_sets]
    predicted = load_gp("gp-1.safetensors").predict(graphs)
    assert kendall_tau(benchmark.accuracy_labels(), predicted) == pytest.approx(figures["kendall_tau"][1])
    with pytest.raises(UserError, match="--lr, --eval-print-freq: a Gaussian process has no such setting"):
        run(*train, "--lr", 1e-3, "--eval-print-freq", 5)


def test_train_has_two_stages_of_gaussian_processes(here):
    train = ["train", *OPTIONS, "--predictor", "gp", "--two-stage", "--save", "gp.safetensors"]
    figures = report_of(*train, "--recall", 0.9, "--above", 0.9)
    assert figures["average_precision"][0] > 0.85 and figures["kendall_tau"][0] > 0.5
    assert load_gp("gp-classifier.safetensors").config == load_gp("gp-regressor.safetensors").config == GP


def test_validate_chooses_among_both(here, capsys):
    validate = ["validate", *OPTIONS, "--epochs", 2]
    report = report_of(*validate, "--predictor", "both", "--check")
    assert "chosen by tau over 5 folds: Gaussian process" in capsys.readouterr().out
    assert set(report["check"]) == {"width 144, lr 0.0001, 2 epochs, dropout 0.1", "Gaussian process"}
    with pytest.raises(UserError, match="--epochs: a Gaussian process has no such setting"):
        run(*validate, "--predictor", "gp")
