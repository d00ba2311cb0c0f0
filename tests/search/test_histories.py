"""What searches trained is recorded as it was, and compared by what was found."""

import json

import numpy as np
import pytest
from search_world import (  # noqa: F401 - fixtures among them
    SEEDS,
    benchmark_fixture,
    made_up,
    trainings_fixture,
)

from nplib.search import oracle, random_search
from nplib.search.histories import BadSearch, Factor, factor_at, factor_table, factor_to_reach, queries_to_reach, tidy


def test_histories_are_what_a_loop_finds():
    random = np.random.default_rng(0)
    validation = random.integers(880, 940, (6, 40)) / 1000  # with ties
    test, seconds = random.uniform(0.85, 0.94, (6, 40)), random.uniform(500, 4000, (6, 40))
    history = made_up(validation, test, seconds)
    grid = np.array([0.0, 400, 9_000, 30_000, 1e6])
    for s in range(6):
        best, place, spent = -1.0, -1, 0.0
        ended = []
        for q in range(40):
            spent += seconds[s, q]
            if validation[s, q] > best:
                best, place = validation[s, q], q
            ended.append((spent, test[s, place], best))
            assert history.best_seen[s, q] == best and history.place[s, q] == place
            assert history.best_test[s, q] == test[s, place]
            assert history.elapsed[s, q] == pytest.approx(spent, rel=1e-12)
        assert history.best_cell[s] == history.cells[s, place]
        for by, which in (("test", 1), ("seen", 2)):
            for time, found in zip(grid, history.at_seconds(grid, by)[s], strict=True):
                done = [row[which] for row in ended if row[0] <= time]
                assert found == done[-1] if done else np.isnan(found)


def test_among_the_top_no_random_cell_is_kept():
    history = made_up([[0.95, 0.90, 0.91, 0.93, 0.92]], [[0.9, 0.8, 0.81, 0.83, 0.82]], first=2)
    top = history.among_top()
    assert history.place.tolist() == [[0] * 5] and top.place.tolist() == [[-1, -1, 2, 3, 3]]
    assert history.best_cell == [0] and top.best_cell == [3] and top.to(3).best_cell == [2]
    np.testing.assert_array_equal(top.best_seen, [[np.nan, np.nan, 0.91, 0.93, 0.93]])
    np.testing.assert_array_equal(top.best_test, [[np.nan, np.nan, 0.81, 0.83, 0.83]])


def test_time_is_up_when_the_training_ends_and_not_before():
    history = made_up([[0.9, 0.91]], [[0.8, 0.82]], [[10, 10]])
    assert history.at_seconds(np.array([9.9, 10, 19.9, 20])).tolist()[0][1:] == [0.8, 0.8, 0.82]


def test_only_as_many_queries_as_there_were(trainings):
    history = random_search(trainings, 20, SEEDS)
    assert history.to(7).queries == 7 and history.to(20).queries == 20
    for queries in (0, 21):
        with pytest.raises(BadSearch, match=f"{queries} queries are asked for, of searches that made 20"):
            history.to(queries)


# How many times as many


def test_queries_to_reach_counts_from_one():
    curve = np.array([0.1, 0.5, 0.5, 0.9])
    assert [queries_to_reach(curve, level) for level in (0.1, 0.3, 0.5, 0.9, 0.91)] == [1, 2, 2, 4, np.inf]


def test_the_factor_of_known_curves():
    ours = made_up([[0.5, 0.9, 0.9]] * 6, [[0.5, 0.8, 0.8]] * 6)
    slow = np.concatenate([np.full(9, 0.6), np.full(6, 0.8)])
    other = made_up([np.linspace(0.5, 0.95, 15)] * 5, [slow] * 5)
    factor = factor_at(ours, other, 2)
    assert (factor.needed, factor.factor, factor.low, factor.high, factor.most) == (10, 5, 5, 5, 15)
    assert factor.level == pytest.approx(0.8)
    by_validation = factor_at(ours, other, 2, by="seen")
    assert by_validation.needed == int(np.argmax(np.linspace(0.5, 0.95, 15) >= 0.9)) + 1


def test_a_search_that_does_not_get_there_needs_infinitely_many():
    ours = made_up([[0.9]] * 5, [[0.9]] * 5)
    never = made_up(np.tile(np.linspace(0.5, 0.9, 10), (6, 1)), np.full((6, 10), 0.7))
    factor = factor_at(ours, never, 1)
    assert factor.factor == factor.low == factor.high == np.inf and factor.limit == 10
    assert factor.text() == "> 10.0 (all of the interval)"
    asked_by_rival = factor_to_reach(never, ours, 1)
    assert asked_by_rival.factor == asked_by_rival.high == 0 and asked_by_rival.text() == "< 0.1 (all of the interval)"
    # Half of its searches are there at once and half never: together, it depends on which are drawn.
    half = made_up(np.tile(np.linspace(0.5, 0.9, 10), (6, 1)), [[0.8] * 10] * 3 + [[0.95] * 10] * 3)
    factor = factor_at(ours, half, 1)
    assert (factor.needed, factor.low, factor.high) == (np.inf, 1, np.inf)
    assert factor.text() == "> 10.0 (1.0 or more)"
    assert factor_to_reach(half, ours, 1).text() == "< 0.1 (1.0 or less)"


def test_both_questions_of_the_same_curves():
    """A search that is where its rival is after 12 trainings after 3 of its own: 4 times, either way."""
    search = made_up([[0.5, 0.6, 0.8, 0.9]] * 5, [[0.5, 0.6, 0.8, 0.9]] * 5)
    rival = made_up([[0.5] * 11 + [0.8]] * 7, [[0.5] * 11 + [0.8]] * 7)
    asked, papers = factor_at(search, rival, 3), factor_to_reach(search, rival, 12)
    assert (asked.given, asked.needed, papers.given, papers.needed) == (3, 12, 12, 3)
    for factor in (asked, papers):
        assert (factor.factor, factor.low, factor.high) == (4, 4, 4) and factor.text() == "4.0 (4.0 to 4.0)"


def test_tables_have_what_histories_and_factors_say(trainings):
    slow, fast = random_search(trainings, 60, range(6)), oracle(trainings, 40, range(6))
    frame = tidy({"slow": slow, "fast": fast}, [10, 60])
    assert len(frame) == 6 * 3 and set(frame[frame.search == "fast"].trainings) == {10}
    for row in frame.itertuples():
        history = {"slow": slow, "fast": fast}[row.search]
        assert row.seen == history.best_seen[row.seed, row.trainings - 1]
        assert row.test == history.best_test[row.seed, row.trainings - 1]
    factors = factor_table({"fast": fast}, slow, queries=10, reach=60, resamples=50)
    assert list(factors.index) == ["fast"] and factors.shape == (1, 4)
    reached = factor_to_reach(fast, slow, 60, by="seen", resamples=50)
    assert factors.loc["fast", "rival's 60, as seen"] == reached.text()
    assert factors.loc["fast", "own 10, by mean test"] == factor_at(fast, slow, 10, resamples=50).text()
    assert (
        reached.trainings == f"{reached.needed:.0f}"
        and factor_at(fast, slow, 10, by="seen").trainings == "more than 60"
    )


def test_a_search_is_not_there_before_it_proposes():
    """By the mean test accuracy of random cells it might be, by chance."""
    lucky = made_up([[0.9, 0.91, 0.92, 0.93]] * 5, [[0.95, 0.7, 0.8, 0.9]] * 5, first=2)
    rival = made_up([[0.9]] * 5, [[0.8]] * 5)
    assert factor_to_reach(lucky, rival, 1).needed == 3


def test_a_factor_is_kept_as_the_trainings_that_are_needed():
    factor = Factor(0.94, 5_000, 300.0, 250.0, np.inf, 500, by_rival=True)
    kept = {"level": 0.94, "given": 5_000, "needed": 300, "interval": [250, None], "most": 500}
    assert json.loads(json.dumps(factor.as_json())) == kept
    nowhere = Factor(0.94, 5_000, np.inf, np.nan, np.nan, 500, by_rival=True).as_json()
    assert (nowhere["needed"], nowhere["interval"]) == (None, [None, None])


def test_few_searches_have_no_interval():
    few, many = made_up([[0.5, 0.9]] * 4, [[0.5, 0.8]] * 4), made_up([[0.5, 0.9]] * 9, [[0.5, 0.8]] * 9)
    for ours, other in ((few, many), (many, few)):
        factor = factor_at(ours, other, 2)
        assert np.isnan(factor.low) and np.isnan(factor.high)
        assert factor.text() == "1.0 (no interval)"


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    """Curves that rise by a tenth of a point a training, with noise of half a point: the true factor is 2."""
    random, within = np.random.default_rng(0), 0
    for _ in range(60):
        ours = 0.9 + 0.002 * np.arange(20) + random.normal(0, 0.005, (20, 1))
        other = 0.9 + 0.001 * np.arange(60) + random.normal(0, 0.005, (20, 1))
        factor = factor_at(made_up(ours, ours), made_up(other, other), 11, resamples=200)
        within += factor.needed_low <= 21 <= factor.needed_high
    assert within >= 50


def test_a_search_is_as_efficient_as_itself_and_less_than_a_faster_one(trainings):
    slow, fast = random_search(trainings, 200, range(40)), oracle(trainings, 200, range(40))
    same = factor_at(slow, slow, 100, by="seen", resamples=300)
    assert same.factor <= 1 and same.low <= 1 <= same.high
    better = factor_at(fast, slow, 10, by="seen", resamples=300)
    assert better.low > 1 and better.low <= better.factor <= better.high
    again = factor_at(fast, slow, 10, by="seen", resamples=300)
    assert again == better


def test_equal_means_are_equal_however_many_searches_they_are_of():
    """Sums in another order differ in the last digit, and that is no difference between searches."""
    random = np.random.default_rng(0)
    for _ in range(100):
        validation = random.uniform(0.9, 0.95, (int(random.integers(2, 60)), 30))
        history = made_up(validation, validation)
        assert factor_at(history, history, 20, resamples=1).factor <= 1
        top = random.uniform(0.9, 0.95)
        ours, other = made_up([[top] * 5] * 10, [[top] * 5] * 10), made_up([[top] * 5] * 97, [[top] * 5] * 97)
        factor = factor_at(ours, other, 5, resamples=20)
        assert (factor.needed, factor.low, factor.high) == (1, 0.2, 0.2)
