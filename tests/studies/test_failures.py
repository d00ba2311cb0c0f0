"""Which cells fail, and what sets them apart, is what was put into made-up cells and found in real ones."""

import numpy as np
import pytest

from nplib.benchmark import FAILED_BELOW
from nplib.errors import UserError
from nplib.features import NAMES, compute_features
from nplib.sources import load
from nplib.studies.failures import compare_features, shares_by_value
from nplib.studies.published import ASKED_ABOUT


@pytest.fixture
def features():
    """Four features of 2,000 cells and of the 50 among them that were made to differ in the second."""
    random = np.random.default_rng(0)
    rest = random.normal(size=(2_000, 4))
    rest[:, 2] = rest[:, 1] + random.normal(0, 0.1, len(rest))  # says the same as the second
    rest[:, 3] = 7.0
    some = random.normal(size=(50, 4))
    some[:, 1] += 3
    some[:, 2], some[:, 3] = some[:, 1], 7.0
    return some, rest


def test_the_feature_that_differs_is_found_and_chance_is_told_from_it(features):
    apart = compare_features(*features)
    assert apart.distinct(3) == [1]
    assert apart.distinct(3, at_most=1.0) == [1, 2] or apart.distinct(3, at_most=1.0) == [2, 1]
    assert apart.differences[1] == pytest.approx(3, abs=0.6)
    assert abs(apart.differences[0]) < apart.by_chance < 1
    assert apart.differences[3] == 0 and not apart.correlations[3].any()


def test_random_cells_seldom_differ_by_more_than_chance(features):
    rest, random = features[1], np.random.default_rng(1)
    beyond = 0
    for _ in range(40):
        order = random.permutation(len(rest))
        beyond += bool(compare_features(rest[order[:50]], rest[order[50:]]).distinct(4))
    assert beyond <= 8


@pytest.mark.parametrize("sign", [1, -1])
def test_shares_by_value_count_every_cell_once(features, sign):
    some, rest = (kind[:, 1] * sign for kind in features)
    middles, shares, counts = shares_by_value(some, rest, stands_for=10)
    assert counts.sum() == len(some)
    assert np.all(np.diff(sign * middles) > 0)
    assert shares[0] < 0.001 < 0.1 < shares[-1]
    # Cells that differ from the rest in nothing are everywhere the same share.
    np.testing.assert_allclose(shares_by_value(rest, rest, stands_for=10)[1], 1 / 11)


@pytest.mark.parametrize("count", [0, 2_000])
def test_cells_that_nothing_can_be_said_of_are_refused(features, count):
    with pytest.raises(UserError, match=f"{count} cells are held against 2000"):
        compare_features(np.zeros((count, 4)), features[1])


def test_real_cells_that_always_fail_differ_by_their_signal(sample_path):
    sample = load(sample_path)
    failed = sample.values() < FAILED_BELOW  # the best of three
    assert failed[sample.indices(ASKED_ABOUT)].all()
    features = compute_features(sample.cells)
    apart = compare_features(features[failed], features[~failed])
    first, *_ = apart.distinct(5)
    assert NAMES[first] == "log_largest_energy" and apart.differences[first] > 4 * apart.by_chance
    # Found in these cells, it holds for others: those of which a shorter run failed.
    others = (sample.values(budget=36) < FAILED_BELOW) & ~failed
    again = compare_features(features[others], features[~others & ~failed])
    assert again.differences[first] > 2 * again.by_chance
