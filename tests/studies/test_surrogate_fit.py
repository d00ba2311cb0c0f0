"""Fitting: it gives files that can be used, and expectations that no cell's own result went into."""

import numpy as np
import pytest

from nplib._files import TargetExists
from nplib.benchmark import BUDGETS, Benchmark
from nplib.features.catalogue import NAMES, VISIT_FEATURES
from nplib.metrics import kendall_tau
from nplib.sources.sample import read_sample
from nplib.sources.surrogate import DESCRIPTION, TABLES, make_surrogate, read_model
from nplib.studies import surrogate_fit
from nplib.studies.surrogate_fit import FEATURES_LEARNT, fit_surrogate, latent


@pytest.fixture(scope="module")
def sample(sample_path) -> Benchmark:
    """A fifth of the real sample."""
    whole = read_sample(sample_path)
    kept = slice(0, len(whole), 5)
    names = ("hashes", "num_vertices", "trainable_parameters", "adjacency", "operations", "metrics")
    return Benchmark(*(getattr(whole, name)[kept] for name in names), source="sample", sha256=whole.sha256)


@pytest.fixture(scope="module")
def fitted(sample, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    told = []
    description = fit_surrogate(sample, folder, repeats=1, folds=2, trees=60, draws=1, watch=told.append)
    return folder, description, told


def test_what_is_fitted_can_be_read_and_made(fitted, sample, space):
    folder, description, told = fitted
    model = read_model(folder)
    assert model.description["sample_cells"] == len(sample) == description["sample_cells"]
    benchmark = make_surrogate(0, model)
    assert benchmark.source == "surrogate"
    rows = space.find_hashes(sample.hashes)
    best = benchmark.values(run=None).max(axis=1)
    assert np.median(best[rows]) == pytest.approx(np.median(sample.values()), abs=0.002)
    assert any("trees" in line for line in told) and any("noise" in line for line in told)


def test_trees_from_a_tenth_of_the_sample_rank_cells_they_have_not_seen(fitted, sample, space):
    model = read_model(fitted[0])
    rows = space.find_hashes(sample.hashes)
    assert kendall_tau(sample.values(), model.expected[108][rows]) > 0.8
    assert model.description["held_out"]["108"] == pytest.approx(
        kendall_tau(sample.values(), model.expected[108][rows])
    )


def test_no_cell_s_own_result_goes_into_its_expectation(sample, space):
    """Results that are mere noise cannot be expected: an expectation that knew them would rank them."""
    rows = space.find_hashes(sample.hashes)[:2000]
    rng = np.random.default_rng(0)
    accuracies = 0.5 + 0.4 * rng.random((len(rows), len(BUDGETS)))
    accuracies[rng.random(len(rows)) < 0.1, 2] = 0.1
    seconds = 1000 + 100 * rng.random(len(rows))
    columns = surrogate_fit.expect(space, rows, accuracies, seconds, 1, 2, 60, watch=lambda line: None)
    for b, budget in enumerate(BUDGETS):
        good = accuracies[:, b] > 0.12
        assert abs(kendall_tau(accuracies[good, b], columns[f"expected_{budget}"][rows[good]])) < 0.06


def test_trees_learn_from_the_features_that_the_shipped_files_were_fitted_on():
    """What the catalogue has had since stands behind them, or they could not be made again."""
    assert NAMES[FEATURES_LEARNT] == VISIT_FEATURES[0].name


def test_ranks_become_normal_quantiles():
    z = latent(np.array([0.3, 0.1, 0.2]))
    assert z.argsort().tolist() == [1, 2, 0] and z.mean() == pytest.approx(0) and z[2] == pytest.approx(0)


def test_nothing_is_overwritten_unasked_and_nothing_is_fitted_in_vain(sample, tmp_path):
    for name in (TABLES, DESCRIPTION):
        (tmp_path / name).write_text("kept")
        with pytest.raises(TargetExists):
            fit_surrogate(sample, tmp_path)
        assert (tmp_path / name).read_text() == "kept"
        (tmp_path / name).unlink()
