"""Settings are chosen by what cross-validation says of them, and by nothing else."""

import itertools

import numpy as np
import pytest

from nplib.errors import UserError
from nplib.predictor import PredictorConfig
from nplib.studies.cross_validation import CrossValidation, cross_validate, k_folds
from nplib.studies.model_choice import Choice, choose_configs, config_grid
from nplib.training import TrainingConfig

BASE = TrainingConfig(epochs=4, predictor=PredictorConfig(hidden=16, layers=2, head=8))
CELLS = np.random.default_rng(1).permutation(100)[:40]


@pytest.fixture(scope="module")
def data(space):
    """100 cells and made-up accuracies, far from where an untrained predictor puts them."""
    rows = np.arange(5_000, 405_000, 4_000)
    graphs = space.cells[rows]
    return graphs, 0.82 + 0.01 * (space.operations[rows] == 0).sum(axis=1)


def test_a_grid_is_every_combination():
    grid = config_grid(BASE, hidden=[8, 16], learning_rate=[1e-4, 1e-3], epochs=[5], dropout=[0, 0.1])
    found = [(c.predictor.hidden, c.learning_rate, c.epochs, c.predictor.dropout) for c in grid]
    assert found == list(itertools.product([8, 16], [1e-4, 1e-3], [5], [0, 0.1]))
    assert {(c.predictor.layers, c.predictor.head, c.batch_size) for c in grid} == {(2, 8, 10)}
    assert config_grid(BASE) == [BASE]
    assert len({config.in_words for config in grid}) == len(grid)
    with pytest.raises(UserError, match=r"dropout is 1\.5"):
        config_grid(BASE, dropout=[1.5])


def test_a_setting_that_learns_is_chosen_over_one_that_cannot(data):
    graphs, labels = data
    configs = config_grid(BASE, learning_rate=[0.0, 3e-3], epochs=[30])
    (choice,) = choose_configs(graphs, labels, CELLS[None], configs, k_folds(40, 4), seeds=[3])
    assert choice.index == 1 and choice.config == configs[1]
    for config, validation in zip(configs, choice.validations, strict=True):
        assert validation.report() == cross_validate(graphs, labels, CELLS, k_folds(40, 4), config, 3).report()


def test_no_label_but_those_of_the_cells_is_looked_at(data):
    graphs, labels = data
    known = np.full(len(labels), np.nan)
    known[CELLS] = labels[CELLS]
    configs = config_grid(BASE, learning_rate=[1e-4, 1e-3])
    for by in ("mse_percent2", "kendall_tau"):
        hidden, open_ = (
            choose_configs(graphs, values, CELLS[None], configs, k_folds(40, 4), by)[0] for values in (known, labels)
        )
        assert hidden.index == open_.index
        assert [v.report() for v in hidden.validations] == [v.report() for v in open_.validations]


def test_the_least_error_or_the_largest_correlation_is_best_and_the_first_of_equal_ones():
    labels, splits = np.array([0.90, 0.91]), [(np.array([], dtype=int), np.arange(2))]

    def said(*predicted: float) -> CrossValidation:
        return CrossValidation(BASE, labels, splits, [np.array(predicted)])

    near, ranked, also_ranked = said(0.906, 0.905), said(0.80, 0.81), said(0.80, 0.82)
    assert Choice([ranked, near, also_ranked]).best is near
    assert Choice([near, ranked, also_ranked], by="kendall_tau").best is ranked
    assert Choice([near, near]).index == 0


def test_each_draw_has_its_own_choice(data):
    graphs, labels = data
    draws = np.stack([CELLS, CELLS[::-1], np.arange(40)])
    configs = config_grid(BASE, hidden=[8, 16])
    for cells, seed, choice in zip(
        draws,
        (0, 4, 8),
        choose_configs(graphs, labels, draws, configs, k_folds(40, 4), seeds=[0, 4, 8]),
        strict=True,
    ):
        (alone,) = choose_configs(graphs, labels, cells[None], configs, k_folds(40, 4), seeds=[seed])
        means, expected = ([v.estimate("mse_percent2").mean for v in chosen.validations] for chosen in (choice, alone))
        assert means == pytest.approx(expected, rel=1e-4)


def test_there_must_be_something_to_choose_from_and_by(data):
    graphs, labels = data
    with pytest.raises(UserError, match="no configurations to choose from"):
        choose_configs(graphs, labels, CELLS[None], [], k_folds(40, 4))
    with pytest.raises(UserError, match="no figure is called 'r2'; choose by mse_percent2 or kendall_tau"):
        choose_configs(graphs, labels, CELLS[None], [BASE], k_folds(40, 4), by="r2")
