"""The report: what is kept of the sample is what the sample has, and every figure is as near as was asked for."""

import math

import numpy as np
import pytest
from typer.testing import CliRunner

from nplib.benchmark import BUDGETS, Benchmark, metric_position
from nplib.cli.app import app
from nplib.sources.one_run import read_one_run
from nplib.sources.sample import read_sample
from nplib.sources.surrogate import read_model
from nplib.space import load_space
from nplib.studies.surrogate_fit import latent_run
from nplib.studies.surrogate_report import (
    NOT_HERE,
    Line,
    compare,
    find_one_run,
    mean_model_table,
    measure_held_out,
    measure_pairs,
    measure_predictor,
    measure_run,
    measure_sample,
    near,
    sample_cells,
    table,
)


@pytest.fixture(scope="module")
def model():
    return read_model()


@pytest.fixture(scope="module")
def one_run(shared) -> Benchmark:
    return read_one_run(shared / "nasbench101" / "test_run0_108.npy")


@pytest.fixture(scope="module")
def lines(surrogate, model, one_run) -> list[Line]:
    return compare(surrogate, model, measure_predictor(surrogate, model, draws=3), one_run)


def test_every_figure_is_as_near_as_was_asked_for(lines):
    asked = [line for line in lines if line.verdict]
    assert len(asked) >= 75
    assert [line for line in asked if line.verdict == "no"] == []


def test_the_report_has_every_known_figure_and_shows_it(lines):
    groups = {line.group for line in lines}
    assert groups >= {"mean model", "validation accuracy", "test accuracy", "runs of a cell", "failures", "budgets"}
    assert groups >= {"best of three", "training time (s)", "predictor, 172 cells", "the top", "run 0, test"}
    assert "half of the cells, held out" in groups
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


def test_without_the_one_run_its_ranks_are_not_compared_and_a_line_says_so(surrogate, model, tmp_path, monkeypatch):
    monkeypatch.setenv("NPLIB_OFFLINE", "1")
    monkeypatch.setenv("NPLIB_CACHE", str(tmp_path))
    monkeypatch.setenv("NPLIB_DATA", str(tmp_path))
    monkeypatch.delenv("NPLIB_ONE_RUN", raising=False)
    assert find_one_run() is None
    lines = compare(surrogate, model, {"kendall_tau": [0.6], "mse_percent2": [2.0]})
    assert [line.source for line in lines if line.verdict == "" and "real run 0" in line.figure] == [NOT_HERE]
    assert NOT_HERE in set(table(lines)["real figure of"])


def test_a_surrogate_that_is_off_is_told(surrogate, model):
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


def test_a_surrogate_that_copied_the_runs_is_told(surrogate, model, one_run):
    """Run 0 may rank like the real one as far as another run does, and no further."""
    metrics = np.array(surrogate.metrics)
    runs = one_run.values("test_accuracy")[one_run.indices(surrogate.hashes)]
    metrics[(slice(None), *metric_position("test_accuracy"))] = runs
    copied = Benchmark.from_space(load_space(), np.arange(len(surrogate)), metrics)
    lines = compare(copied, model, {"kendall_tau": [0.6], "mse_percent2": [2.0]}, one_run)
    assert [line.verdict for line in lines if "real run 0" in line.figure] == ["no"]


# Against the real results themselves


@pytest.fixture(scope="module")
def sample(sample_path):
    return read_sample(sample_path)


def test_its_cells_are_found_without_it(surrogate, model, sample):
    rows = sample_cells(surrogate, model.description["real"]["last_hash"])
    assert np.array_equal(surrogate.hashes[rows], np.sort(sample.hashes))


def test_what_is_kept_of_real_results_is_what_they_have(model, sample, one_run):
    rows = one_run.indices(sample.hashes)
    kept, now = model.description["real"], measure_sample(sample, draws=1)
    assert model.description["sample_sha256"] == sample.sha256
    assert model.description["one_run_sha256"] == one_run.sha256
    assert kept["pairs"] == pytest.approx(measure_pairs(sample.values(), one_run.values("test_accuracy")[rows]))
    assert kept["run"] == measure_run(one_run.values("test_accuracy"))
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


def test_expectations_are_no_measurements(model, surrogate, space, one_run):
    """They are as far from the real run as noise makes one, and hardly nearer to it than to one that is drawn."""
    real = latent_run(one_run.values("test_accuracy")[one_run.indices(space.hashes)])
    drawn = latent_run(surrogate.values("test_accuracy"))
    known = ~np.isnan(real) & ~np.isnan(drawn)
    expected = model.expected[108][known]
    off, drawn_off = real[known] - expected, drawn[known] - expected
    assert off.std() > 0.85 * drawn_off.std() > 0.2
    # Where a run is higher than expected, it is so by as much as a drawn one, over the whole distribution.
    shares = [0.01, 0.1, 0.25, 0.75, 0.9, 0.99]
    assert np.quantile(off, shares) == pytest.approx(np.quantile(drawn_off, shares), rel=0.2)
    # Within a step of the table lie no more of them than chance puts there.
    step = model.description["steps"]["expected_108"]
    assert (np.abs(off) < step / 2).mean() < 1.3 * (np.abs(drawn_off) < step / 2).mean()


def test_the_table_of_the_mean_model_has_every_budget(surrogate, model):
    assert list(mean_model_table(surrogate, model).index) == [f"{budget} epochs" for budget in BUDGETS]


def test_the_command_tells_how_many_are_met(surrogate):
    result = CliRunner().invoke(app, ["surrogate", "report", "--draws", "1"])
    assert result.exit_code == 0, result.output
    assert "figures are as near as asked for" in result.stdout
