"""The report: what is kept of the sample is what the sample has, and every figure is as near as was asked for."""

import math

import numpy as np
import pytest
from typer.testing import CliRunner

from nplib.benchmark import BUDGETS
from nplib.cli.app import app
from nplib.sources.sample import read_sample
from nplib.sources.surrogate import read_model
from nplib.studies.surrogate_report import (
    Line,
    compare,
    mean_model_table,
    measure_held_out,
    measure_predictor,
    measure_sample,
    near,
    sample_cells,
    table,
)


@pytest.fixture(scope="module")
def model():
    return read_model()


@pytest.fixture(scope="module")
def lines(surrogate, model) -> list[Line]:
    return compare(surrogate, model, measure_predictor(surrogate, model, draws=3))


def test_every_figure_is_as_near_as_was_asked_for(lines):
    asked = [line for line in lines if line.verdict]
    assert len(asked) >= 45
    assert [line for line in asked if line.verdict == "no"] == []


def test_the_report_has_every_known_figure_and_shows_it(lines):
    groups = {line.group for line in lines}
    assert groups >= {"mean model", "validation accuracy", "test accuracy", "runs of a cell", "failures", "budgets"}
    assert groups >= {"best of three", "training time (s)", "predictor, 172 cells"}
    shown = table(lines)
    assert len(shown) == len(lines)
    assert not (shown["surrogate"] == "").any()


def test_a_line_is_met_within_what_is_allowed_and_not_beyond():
    assert near("g", "f", 1.05, 1.0, "s", by=0.1).verdict == "yes"
    assert near("g", "f", 1.15, 1.0, "s", by=0.1).verdict == "no"
    assert near("g", "f", 0.81, 1.0, "s", times=1.25).verdict == "yes"
    assert near("g", "f", 0.79, 1.0, "s", times=1.25).verdict == "no"
    stated = near("g", "f", 5.0, 1.0, "s")
    assert stated.verdict == "" and math.isnan(stated.low)
    assert near("g", "f", 1.05, 1.0, "s", by=0.1).share_of_allowed == pytest.approx(0.5)


def test_a_surrogate_that_is_off_is_told(surrogate, model, lines):
    from nplib.benchmark import Benchmark

    metrics = np.array(surrogate.metrics)
    metrics[:, 3, :, :, 2] *= 0.99
    spoilt = Benchmark(
        surrogate.hashes,
        surrogate.num_vertices,
        surrogate.trainable_parameters,
        surrogate.adjacency,
        surrogate.operations,
        metrics,
    )
    predictor = {"kendall_tau": [0.1], "mse_percent2": [9.0]}
    missed = {line.figure for line in compare(spoilt, model, predictor) if line.verdict == "no"}
    assert missed >= {"mean", "median", "quantile 0.5"}
    assert any(name.startswith("Kendall tau") for name in missed)


# Against the sample itself


@pytest.fixture(scope="module")
def sample(sample_path):
    return read_sample(sample_path)


def test_its_cells_are_found_without_it(surrogate, model, sample):
    rows = sample_cells(surrogate, model.description["real"]["last_hash"])
    assert np.array_equal(surrogate.hashes[rows], np.sort(sample.hashes))


def test_what_is_kept_of_the_sample_is_what_it_has(model, sample):
    kept, now = model.description["real"], measure_sample(sample, draws=1)
    assert model.description["sample_sha256"] == sample.sha256
    assert kept["cells"] == now["cells"] and kept["last_hash"] == now["last_hash"]
    assert kept["seconds"] == pytest.approx(now["seconds"])
    assert np.allclose(kept["rank_correlations"], now["rank_correlations"], atol=1e-12)
    for budget in BUDGETS:
        assert kept["quantiles"][str(budget)] == pytest.approx(now["quantiles"][str(budget)])
    # Another machine adds in another order, and training amplifies it.
    assert kept["predictor"]["kendall_tau"][0] == pytest.approx(now["predictor"]["kendall_tau"][0], abs=0.01)


def test_held_out_tau_is_that_of_the_shipped_expectations(model, sample, space):
    found = measure_held_out(model.expected, space.find_hashes(sample.hashes), sample)
    assert found == pytest.approx(model.description["held_out"], abs=1e-12)
    assert found["108"] >= 0.87


def test_the_table_of_the_mean_model_has_every_budget(surrogate, model):
    assert list(mean_model_table(surrogate, model).index) == [f"{budget} epochs" for budget in BUDGETS]


def test_the_command_tells_how_many_are_met(surrogate):
    result = CliRunner().invoke(app, ["surrogate", "report", "--draws", "1"])
    assert result.exit_code == 0, result.output
    assert "figures are as near as asked for" in result.stdout
