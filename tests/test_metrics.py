"""nplib.metrics: each figure against its definition spelt out, ties, and input that cannot be used."""

import math
import statistics
import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nplib.errors import UserError
from nplib.metrics import kendall_tau, mse_percent2, precision_at, regret, spearman, summarize

# Few distinct values, so that ties are common.
pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=25)


def columns(rows):
    return (np.array(column) / 10 for column in zip(*rows, strict=True))


def sign(x):
    return int(x > 0) - int(x < 0)


@settings(deadline=None)  # the first call loads scipy
@given(pairs)
def test_kendall_tau_is_tau_b_by_its_definition(rows):
    true, predicted = columns(rows)
    agreement = untied_true = untied_predicted = 0
    for i in range(len(rows)):
        for j in range(i):
            a, b = sign(true[i] - true[j]), sign(predicted[i] - predicted[j])
            agreement += a * b
            untied_true += a != 0
            untied_predicted += b != 0
    tau = kendall_tau(true, predicted)
    if untied_true and untied_predicted:
        assert tau == pytest.approx(agreement / math.sqrt(untied_true * untied_predicted), abs=1e-12)
    else:
        assert math.isnan(tau)


@settings(deadline=None)
@given(pairs)
def test_spearman_is_the_correlation_of_mean_ranks(rows):
    true, predicted = columns(rows)
    ranks = [[sum(values < v) + (sum(values == v) + 1) / 2 for v in values] for values in (true, predicted)]
    if min(len(set(r)) for r in ranks) > 1:
        assert spearman(true, predicted) == pytest.approx(statistics.correlation(*ranks), abs=1e-9)
    else:
        assert math.isnan(spearman(true, predicted))


@given(pairs)
def test_errors_are_in_points(rows):
    true, predicted = columns(rows)
    squares = [(100 * t - 100 * p) ** 2 for t, p in zip(true, predicted, strict=True)]
    assert mse_percent2(true, predicted) == pytest.approx(sum(squares) / len(squares), abs=1e-9)


@given(pairs, st.data())
def test_precision_and_regret_by_their_definition_with_ties_to_the_first(rows, data):
    true, predicted = columns(rows)
    k = data.draw(st.integers(1, len(rows)))
    chosen = sorted(range(len(rows)), key=lambda i: (-predicted[i], i))[:k]
    best = sorted(range(len(rows)), key=lambda i: (-true[i], i))[:k]
    assert precision_at(true, predicted, k) == len(set(chosen) & set(best)) / k
    assert regret(true, predicted, k) == max(true) - max(true[i] for i in chosen)


def test_a_perfect_and_a_reversed_prediction():
    true = np.array([0.8, 0.9, 0.85, 0.94])
    assert kendall_tau(true, true) == spearman(true, true) == 1
    assert kendall_tau(true, -true) == pytest.approx(-1) and spearman(true, -true) == pytest.approx(-1)
    assert mse_percent2(true, true) == regret(true, true) == 0
    assert precision_at(true, -true, 2) == 0 and regret(true, -true) == pytest.approx(0.14)
    assert precision_at(true, -true, 4) == 1 and regret(true, -true, 4) == 0


def test_single_precision_is_computed_in_double():
    true = np.linspace(0.90, 0.91, 1000, dtype=np.float32)
    predicted = true + np.float32(1e-4)
    assert mse_percent2(true, predicted) == pytest.approx(
        float(np.mean((100 * (predicted.astype(float) - true.astype(float))) ** 2)), rel=1e-12
    )


def test_a_constant_prediction_ranks_nothing_and_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(kendall_tau([0.1, 0.2, 0.3], [0.5, 0.5, 0.5]))
        assert math.isnan(spearman([0.1, 0.2, 0.3], [0.5, 0.5, 0.5]))
    assert precision_at([0.3, 0.2, 0.1], [0.5, 0.5, 0.5], 2) == 1
    assert precision_at([0.1, 0.2, 0.3], [0.5, 0.5, 0.5], 1) == 0


def test_the_whole_space_is_ranked_in_about_a_second():
    random = np.random.default_rng(0)
    true = np.round(random.normal(0.9, 0.02, 423_624) * 9984) / 9984  # as many ties as real accuracies have
    start = time.perf_counter()
    tau = kendall_tau(true, true + random.normal(0, 0.01, len(true)))
    assert time.perf_counter() - start < 10  # 0.2 s on an idle machine
    assert 0.6 < tau < 0.8


BAD = [
    ([0.1, 0.2], [0.1], "2 true and 1 predicted values"),
    ([], [], "0 values are given|type"),
    ([[0.1, 0.2]], [[0.1, 0.2]], r"true values have shape \(1, 2\)"),
    (0.1, 0.2, r"true values have shape \(\)"),
    ([0.1, float("nan")], [0.1, 0.2], r"1 of 2 true values are no finite numbers, the first at 1 \(nan\)"),
    (
        [0.1, 0.2],
        [float("inf"), float("nan")],
        r"2 of 2 predicted values are no finite numbers, the first at 0 \(inf\)",
    ),
    (["a", "b"], [0.1, 0.2], "true values are of type <U1"),
    ([True, False], [0.1, 0.2], "true values are of type bool"),
]


@pytest.mark.parametrize(("true", "predicted", "found"), BAD)
@pytest.mark.parametrize(
    "figure",
    [mse_percent2, kendall_tau, spearman, regret, lambda t, p: precision_at(t, p, 1)],
    ids=["mse", "tau", "spearman", "regret", "precision"],
)
def test_input_that_cannot_be_used(figure, true, predicted, found):
    with pytest.raises(UserError, match=found):
        figure(true, predicted)


def test_one_value_has_an_error_but_no_rank():
    assert mse_percent2([0.9], [0.91]) == pytest.approx(1)
    for figure in (kendall_tau, spearman):
        with pytest.raises(UserError, match="at least 2 needed"):
            figure([0.9], [0.91])


@pytest.mark.parametrize("k", [0, 4, -1, 1.5, True, None])
def test_the_best_of_none_or_of_more_than_there_are(k):
    for figure in (precision_at, regret):
        with pytest.raises(UserError, match=r"of 3 values are asked for; choose a whole number from 1"):
            figure([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], k)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20))
def test_mean_and_sample_deviation(values):
    summary = summarize(values)
    assert summary.mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert summary.sd == pytest.approx(statistics.stdev(values), abs=1e-9)
    assert summary.count == len(values)


def test_how_a_mean_is_shown():
    summary = summarize(np.array([2.273307, 2.252162, 2.221692, 2.181856, 2.268291]))
    assert str(summary) == f"{summary}" == "2.24 ± 0.04"
    assert f"{summary:.4f}" == "2.2395 ± 0.0380"
    one = summarize([0.75])
    assert math.isnan(one.sd) and f"{one:.1%}" == "75.0% ± n/a"


@pytest.mark.parametrize("values", [[], [0.1, float("nan")], [[1.0, 2.0]]])
def test_what_has_no_mean(values):
    with pytest.raises(UserError):
        summarize(values)
