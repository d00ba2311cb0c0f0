"""Cross-validation trains on what it says, judges by what it held out, and looks at no other label."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nplib.errors import UserError
from nplib.metrics import kendall_tau, mse_percent2
from nplib.predictor import PredictorConfig
from nplib.studies.cross_validation import (
    BadSplit,
    CrossValidation,
    agreement,
    cross_validate,
    cross_validate_draws,
    k_folds,
    random_splits,
)
from nplib.training import TrainingConfig

CONFIG = TrainingConfig(epochs=4, learning_rate=1e-3, predictor=PredictorConfig(hidden=16, layers=2, head=8))


@pytest.fixture(scope="module")
def data(space):
    """120 cells and made-up accuracies that depend on them."""
    rows = np.arange(5_000, 420_000, 3_400)[:120]
    graphs = space.cells[rows]
    noise = np.random.default_rng(0).normal(0, 0.003, len(rows))
    return graphs, 0.88 + 0.01 * (space.operations[rows] == 0).sum(axis=1) + noise


CELLS = np.random.default_rng(1).permutation(120)[:43]


@given(n=st.integers(2, 60), folds=st.integers(2, 60), repeats=st.integers(1, 3), seed=st.integers(0, 9))
def test_folds_hold_out_every_cell_once_a_repeat(n, folds, repeats, seed):
    if n < folds:
        with pytest.raises(BadSplit, match=f"{n} cells cannot be dealt into {folds} folds"):
            k_folds(n, folds, repeats, seed)
        return
    splits = k_folds(n, folds, repeats, seed)
    assert len(splits) == folds * repeats
    for start in range(0, len(splits), folds):
        held_out = [part for _, part in splits[start : start + folds]]
        assert sorted(np.concatenate(held_out)) == list(range(n))
        assert max(map(len, held_out)) - min(map(len, held_out)) <= 1
    for training, part in splits:
        assert sorted(np.concatenate([training, part])) == list(range(n))


def test_repeats_deal_anew_and_a_seed_deals_the_same():
    first, again, other = (k_folds(40, 4, 2, seed) for seed in (0, 0, 1))
    held_out = [part.tolist() for _, part in first]
    assert held_out == [part.tolist() for _, part in again]
    assert held_out != [part.tolist() for _, part in other]
    assert held_out[:4] != held_out[4:]


def test_random_splits_hold_out_the_share_asked_for():
    splits = random_splits(172, 0.1, 10)
    assert [len(part) for _, part in splits] == [17] * 10
    for training, part in splits:
        assert sorted(np.concatenate([training, part])) == list(range(172))
    assert len({tuple(part) for _, part in splits}) == 10
    assert [part.tolist() for _, part in splits] == [part.tolist() for _, part in random_splits(172, 0.1, 10)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: k_folds(4, 5), "4 cells cannot be dealt into 5 folds; give more cells, or ask for fewer folds"),
        (lambda: k_folds(10, 1), "folds is 1"),
        (lambda: k_folds(10, 5, 0), "repeats is 0"),
        (lambda: random_splits(10, 0.1, 0), "count is 0"),
        (lambda: random_splits(10, 1.0), "share is 1.0; it must be between 0 and 1"),
        (lambda: random_splits(10, 0.04), "to hold out a share of 0.04 of 10 cells is to hold out 0"),
        (lambda: random_splits(3, 0.9), "is to hold out 3"),
    ],
)
def test_impossible_splits_are_refused(make, message):
    with pytest.raises(BadSplit, match=message):
        make()


def test_equals_training_each_fold_by_hand(data):
    graphs, labels = data
    splits = k_folds(43, 3, 2)
    validation = cross_validate(graphs, labels, CELLS, splits, CONFIG, seed=7)
    for number, (training, held_out) in enumerate(splits):
        (alone,) = CONFIG.fit(graphs, labels, [7 + number], training_cells=CELLS[training]).predictors
        expected = alone.predict(graphs[CELLS[held_out]])
        np.testing.assert_allclose(validation.predicted[number], expected, atol=1e-6)
        np.testing.assert_array_equal(validation.true[number], labels[CELLS[held_out]])


def test_draws_together_are_draws_one_by_one(data):
    graphs, labels = data
    draws = np.stack([np.random.default_rng(draw).permutation(120)[:31] for draw in range(3)])
    splits = random_splits(31, 0.2, 3)
    together = cross_validate_draws(graphs, labels, draws, splits, CONFIG, seeds=[5, 0, 20])
    for cells, seed, validation in zip(draws, (5, 0, 20), together, strict=True):
        alone = cross_validate(graphs, labels, cells, splits, CONFIG, seed)
        np.testing.assert_allclose(np.stack(validation.predicted), np.stack(alone.predicted), atol=1e-6)
        np.testing.assert_array_equal(validation.labels, labels[cells])


def test_no_label_but_those_of_the_cells_is_looked_at(data):
    graphs, labels = data
    known = np.full(len(labels), np.nan)
    known[CELLS] = labels[CELLS]
    splits = k_folds(43, 4)
    hidden, open_ = (cross_validate(graphs, values, CELLS, splits, CONFIG) for values in (known, labels))
    assert hidden.report() == open_.report()


def made(labels: list[float], splits: list, predicted: list) -> CrossValidation:
    as_arrays = [tuple(map(np.array, split)) for split in splits]
    return CrossValidation(CONFIG, np.array(labels), as_arrays, [np.array(values) for values in predicted])


def test_figures_are_those_of_the_cells_held_out():
    labels = [0.90, 0.91, 0.92, 0.93]
    said = made(labels, [([2, 3], [0, 1]), ([0, 1], [2, 3])], [[0.91, 0.92], [0.95, 0.93]])
    assert said.values("mse_percent2") == pytest.approx([1.0, 4.5])
    assert said.values("kendall_tau") == pytest.approx([1.0, -1.0])
    assert said.estimate("mse_percent2").mean == pytest.approx(2.75)
    assert said.pooled("mse_percent2") == pytest.approx(2.75)
    assert said.pooled("kendall_tau") == pytest.approx(kendall_tau(labels, [0.91, 0.92, 0.95, 0.93]))
    assert said.pooled("mse_percent2", above=0.91) == pytest.approx(4.5)
    assert said.pooled("kendall_tau", above=0.91) == -1.0
    sd = 3.5 / math.sqrt(2)
    assert said.standard_error("mse_percent2", corrected=False) == pytest.approx(sd / math.sqrt(2))
    # As many held out as trained on.
    assert said.standard_error("mse_percent2") == pytest.approx(sd * math.sqrt(1 / 2 + 1))


def test_splits_of_unequal_size_are_pooled_by_cell_and_averaged_by_split():
    said = made([0.90, 0.91, 0.92], [([2], [0, 1]), ([0, 1], [2])], [[0.90, 0.91], [0.95]])
    assert said.estimate("mse_percent2").mean == pytest.approx(4.5)
    assert said.pooled("mse_percent2") == pytest.approx(3.0)


def test_a_report_is_json_and_says_what_it_does_not_know(data):
    graphs, labels = data
    many, one = (
        json.loads(json.dumps(cross_validate(graphs, labels, CELLS, splits, CONFIG).report(), allow_nan=False))
        for splits in (k_folds(43, 3), random_splits(43, 0.2, 1))
    )
    assert (many["cells"], many["splits"], len(many["kendall_tau"]["by_split"])) == (43, 3, 3)
    assert one["mse_percent2"]["sd"] is None and one["mse_percent2"]["standard_error"] is None


def test_ranks_that_are_undefined_are_an_error_and_errors_are_not():
    equal = made([0.9, 0.9, 0.91, 0.92], [([2, 3], [0, 1]), ([0, 1], [2, 3])], [[0.91, 0.92], [0.91, 0.91]])
    with pytest.raises(UserError, match=r"of split 0 \(2\) are all labelled 0.900000, so Kendall's tau is undefined"):
        equal.values("kendall_tau")
    assert equal.values("mse_percent2") == pytest.approx([2.5, 0.5])
    flat = made([0.9, 0.91], [([], [0, 1])], [[0.9, 0.9]])
    with pytest.raises(UserError, match=r"are all predicted 0.9"):
        flat.pooled("kendall_tau")
    single = made([0.9, 0.91], [([1], [0]), ([0], [1])], [[0.92], [0.93]])
    with pytest.raises(UserError, match="of split 0 are 1, and ranks need 2"):
        single.values("kendall_tau")
    assert single.pooled("kendall_tau") == 1.0
    with pytest.raises(UserError, match="one split alone"):
        flat.standard_error("mse_percent2")
    with pytest.raises(UserError, match="no figure is called 'r2'"):
        flat.values("r2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"splits": []}, "no splits"),
        ({"splits": k_folds(44, 4)}, "does not fit 43 labelled cells.*make splits for 43"),
        ({"splits": [(np.arange(30), np.arange(29, 43))]}, r"split 0 \(30 to train on, 14 held out\) does not fit"),
        ({"splits": [(np.arange(30), np.array([], dtype=int))]}, "does not fit"),
        ({"splits": random_splits(43, 0.8, 2)}, "split 0 trains on 9 of 43 cells, but a batch holds 10"),
        ({"labelled": np.append(CELLS[:-1], CELLS[0])}, f"names cell {CELLS[0]} more than once"),
        ({"labelled": CELLS + 100}, "there are 120 cells"),
        ({"labelled": CELLS.astype(float)}, "type float64"),
        ({"labels": np.full(120, np.nan)}, "is nan"),
    ],
    ids=["none", "of others", "overlap", "nothing held out", "batch", "twice", "range", "type", "unknown"],
)
def test_what_does_not_fit_is_refused(data, change, message):
    graphs, labels = data
    arguments = {"labels": labels, "labelled": CELLS, "splits": k_folds(43, 4)} | change
    with pytest.raises(UserError, match=message):
        cross_validate(graphs, config=CONFIG, **arguments)


def test_every_draw_has_its_seed(data):
    graphs, labels = data
    with pytest.raises(UserError, match="1 seeds for 2 draws"):
        cross_validate_draws(graphs, labels, np.stack([CELLS, CELLS]), k_folds(43, 4), CONFIG, seeds=[0])


def test_agreement_is_what_its_numbers_say():
    truth = np.array([1.0, 2.0, 3.0, 4.0])
    found = agreement(np.array([1.5, 1.6, 3.5, 5.4]), np.array([0.3, 0.2, 0.3, 0.7]), truth)
    assert found.difference.mean == pytest.approx(0.5)
    assert found.covered == 0.5  # the first and the third
    assert found.correlation == pytest.approx(1.0)
    with pytest.raises(UserError, match="2 draws or more"):
        agreement([1.0], [0.1], [1.0])
    with pytest.raises(UserError, match="shapes"):
        agreement([1.0, 2.0], [0.1], [1.0, 2.0])


def test_agreement_covers_95_of_100_where_errors_are_normal():
    random = np.random.default_rng(0)
    truth, error = random.normal(size=4_000), random.uniform(0.5, 2, 4_000)
    found = agreement(random.normal(truth, error), error, truth)
    assert abs(found.covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4_000)
    assert abs(found.difference.mean) < 4 * found.difference.sd / math.sqrt(4_000)


def test_the_mean_over_splits_of_equal_size_is_the_mean_over_cells(data):
    graphs, labels = data
    validation = cross_validate(graphs, labels, CELLS[:40], k_folds(40, 4), CONFIG)
    everything = np.concatenate(validation.true), np.concatenate(validation.predicted)
    assert validation.estimate("mse_percent2").mean == pytest.approx(mse_percent2(*everything))
