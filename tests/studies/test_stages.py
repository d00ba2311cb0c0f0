"""One stage and two are compared on the same cells, and the numbers are those of their definitions."""

from dataclasses import replace

import numpy as np
import pytest

from nplib.metrics import kendall_tau, mse_percent2
from nplib.studies.stages import FIGURES, compare_stages, tidy_stages
from nplib.two_stage import TwoStagePrediction


@pytest.fixture
def compared():
    random = np.random.default_rng(0)
    true = random.uniform(0.85, 0.95, 50)
    alone = true + random.normal(0, 0.01, (2, 50))
    pair = TwoStagePrediction(random.normal(size=(2, 50)), alone + 0.001, 0.5, np.array([0.88, 0.89]))
    return true, alone, pair, compare_stages(true, alone, pair)


def test_the_numbers_of_one_stage_are_those_of_its_predictions(compared):
    true, alone, pair, by_stage = compared
    good = true > 0.91
    for m in range(2):
        assert by_stage["one stage"]["kendall_tau"][m] == kendall_tau(true, alone[m])
        assert by_stage["one stage"]["mse_percent2_passing"][m] == mse_percent2(true[good], alone[m][good])
    figures = pair.figures(true)
    assert by_stage["two stages"] == {name: figures[name] for name in by_stage["two stages"]}


def test_a_classifier_that_accepts_nothing_still_ranks(compared):
    true, alone, pair, _ = compared
    nothing = replace(pair, logits=pair.logits - 100)
    ranked = compare_stages(true, alone, nothing)["two stages"]
    assert ranked["kendall_tau"] == [kendall_tau(true, row) for row in pair.logits]
    assert "mse_percent2_accepted" not in ranked


def test_a_tidy_frame_has_every_value_once(compared):
    *_, by_stage = compared
    frame = tidy_stages({172: by_stage}, "cells")
    assert len(frame) == 2 * 2 * len(FIGURES)
    chosen = frame[(frame.stage == "two stages") & (frame.number == "tau, all cells")]
    assert chosen.value.tolist() == by_stage["two stages"]["kendall_tau"]
