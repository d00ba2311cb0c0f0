"""Predictors are held against each other on the same draws, and nothing that judges has been learned from."""

import numpy as np
import pytest

from nplib.gp import GPConfig
from nplib.metrics import kendall_tau
from nplib.studies.leaderboard import Draws, Trees, WithCheap, choices_undone, judge, place_of_best
from nplib.training import TrainingConfig

COUNT = 30


@pytest.fixture(scope="module")
def world(small_surrogate):
    return small_surrogate.cells, small_surrogate.accuracy_labels(), Draws.of(len(small_surrogate), 2, 50, 200)


def test_draws_are_the_rule_of_the_peers_and_judges_are_never_learned_from(world):
    *_, drawn = world
    assert np.array_equal(drawn.orders[1][:COUNT], np.random.RandomState(1).permutation(1000)[:COUNT])
    for order, judged in zip(drawn.orders, drawn.judged, strict=True):
        assert len(judged) == 200 and not set(order[:50]) & set(judged)


@pytest.mark.parametrize("config", [GPConfig(), TrainingConfig(epochs=3), Trees(20)], ids=lambda c: type(c).__name__)
def test_any_predictor_is_judged_by_the_same_cells(world, config):
    cells, labels, drawn = world
    frame = judge("it", config, cells, labels, drawn, COUNT, 2)
    assert frame[["predictor", "labels", "draw"]].to_numpy().tolist() == [["it", COUNT, 0], ["it", COUNT, 1]]
    fit = config.fit(cells, labels, range(2), training_cells=drawn.labelled(COUNT, 2))
    for draw, (rows, predictor) in enumerate(zip(drawn.judged, fit.predictors, strict=True)):
        assert frame.tau[draw] == kendall_tau(labels[rows], predictor.predict(cells[rows]))


def test_the_place_of_the_best_is_counted_from_one():
    true = np.array([0.9, 0.95, 0.92, 0.94])
    assert place_of_best(true, np.array([3.0, 0, 2, 1]), k=1) == 4
    assert place_of_best(true, np.array([3.0, 0, 2, 1]), k=3) == 2
    assert place_of_best(true, true, k=1) == 1


def test_choices_are_undone_one_at_a_time_down_to_the_plain_predictor():
    configs = [GPConfig(), *choices_undone().values(), GPConfig.plain()]
    assert len(set(configs)) == 4
    assert configs[1].priors == configs[0].priors and configs[1].targets == configs[-1].targets
    assert configs[2].priors == configs[-1].priors and configs[2].feature_sets == configs[0].feature_sets


def test_designs_are_labelled_first_and_judge_nothing(world):
    *_, drawn = world
    designs = [drawn.judged[0][:5], drawn.judged[1][7:12]]
    led = drawn.led_by(designs)
    for design, order, judged, before in zip(designs, led.orders, led.judged, drawn.orders, strict=True):
        assert order[:5].tolist() == design.tolist() and sorted(order) == sorted(before)
        assert len(judged) == 195 and not set(design) & set(judged)


def test_cheap_labels_help_where_they_say_what_full_ones_say(world):
    """Of a cheap label that is the full one, two hundred more are worth a lot; of noise, little is believed."""
    cells, labels, _ = world
    drawn = Draws.of(len(cells), 2, 300, 500)
    noise = np.random.default_rng(0).random(len(labels))
    alone = judge("alone", GPConfig(), cells, labels, drawn, COUNT, 2).tau
    told, misled = (judge("", WithCheap(c, COUNT), cells, labels, drawn, 230, 2).tau for c in (labels, noise))
    assert (told > alone + 0.02).all()
    assert (misled > alone - 0.1).all()


def test_cheap_labels_are_all_that_is_looked_at_of_the_other_cells(world):
    cells, labels, drawn = world
    hidden = np.full(len(labels), np.nan)
    for row in drawn.orders:
        hidden[row[:COUNT]] = labels[row[:COUNT]]
    config = WithCheap(labels, COUNT)
    both = [
        config.fit(cells, known, [0], training_cells=drawn.labelled(50, 1)).predictors[0].predict(cells[:50])
        for known in (labels, hidden)
    ]
    np.testing.assert_array_equal(*both)
