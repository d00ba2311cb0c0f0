"""Predictors are held against each other on the same draws, and nothing that judges has been learned from."""

import numpy as np
import pytest

from nplib.gp import GPConfig
from nplib.metrics import kendall_tau
from nplib.studies.leaderboard import Draws, Trees, choices_undone, judge, place_of_best
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
    frame, predicted = judge("it", config, cells, labels, drawn, COUNT, 2)
    assert frame[["predictor", "labels", "draw"]].to_numpy().tolist() == [["it", COUNT, 0], ["it", COUNT, 1]]
    for draw, said in enumerate(predicted):
        assert frame.tau[draw] == kendall_tau(labels[drawn.judged[draw]], said)


def test_the_place_of_the_best_is_counted_from_one():
    true = np.array([0.9, 0.95, 0.92, 0.94])
    assert place_of_best(true, np.array([3.0, 0, 2, 1]), k=1) == 4
    assert place_of_best(true, np.array([3.0, 0, 2, 1]), k=3) == 2
    assert place_of_best(true, true, k=1) == 1


def test_choices_are_undone_one_at_a_time_down_to_the_plain_predictor():
    configs = list(choices_undone().values())
    assert configs[0] == GPConfig() and configs[-1] == GPConfig.plain()
    assert configs[1].priors == configs[0].priors and configs[1].targets == configs[-1].targets
    assert configs[2].priors == configs[-1].priors and configs[2].feature_sets == configs[0].feature_sets
