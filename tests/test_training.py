"""Training does what its few lines promise, whatever trains beside it, and says what is wrong."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from nplib.errors import UserError
from nplib.metrics import kendall_tau, mse_percent2
from nplib.predictor import Graphs, Predictor, PredictorConfig
from nplib.training import TrainingConfig, TrainingFailed, _Dropout, choose_device, fit_predictors

SMALL = PredictorConfig(hidden=16, layers=2, head=8)
LOGIT = replace(SMALL, label_mean=0.0, label_std=1.0)


@pytest.fixture(scope="module")
def cells(space):
    """60 cells and made-up accuracies that depend on them."""
    rows = np.arange(5_000, 420_000, 7_000)[:60]
    graphs = space.cells[rows]
    return graphs, 0.88 + 0.02 * (space.operations[rows] == 0).sum(axis=1)


def plain_training(graphs, accuracies, seed, config):
    """The training loop as one would write it, without dropout: autograd, and torch's own schedule."""
    scale = config.predictor
    targets = torch.tensor((accuracies - scale.label_mean) / scale.label_std, dtype=torch.float32)
    graphs = Graphs.of(graphs)
    loss = {"mse": functional.mse_loss, "cross_entropy": functional.binary_cross_entropy_with_logits}[config.loss]
    predictor = Predictor(config.predictor, seed)
    optimizer = torch.optim.Adam(predictor.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs)
    order = np.random.default_rng([seed, 0])
    for _ in range(config.epochs):
        shuffled = order.permutation(len(graphs))
        for start in range(0, len(graphs) - config.batch_size + 1, config.batch_size):
            batch = torch.tensor(shuffled[start : start + config.batch_size])
            optimizer.zero_grad()
            loss(predictor(graphs[batch]), targets[batch]).backward()
            optimizer.step()
        schedule.step()
    return predictor


def test_equals_a_plain_training_loop(cells):
    graphs, accuracies = cells
    config = TrainingConfig(epochs=8, learning_rate=1e-2, batch_size=7, predictor=PredictorConfig(hidden=16, dropout=0))
    fit = fit_predictors(graphs, accuracies, [4, 9], config)
    for seed, predictions in zip(fit.seeds, fit.predict(graphs), strict=True):
        expected = plain_training(graphs, accuracies, seed, config).predict(graphs)
        np.testing.assert_allclose(predictions, expected, atol=2e-5)
    assert np.ptp(expected) > 0.01, "the loop must have learned something for the comparison to mean anything"


def test_the_same_seed_gives_the_same_numbers(cells):
    graphs, accuracies = cells
    config = TrainingConfig(epochs=5, predictor=SMALL)
    first, second = (fit_predictors(graphs, accuracies, [0, 1], config) for _ in range(2))
    assert np.array_equal(first.predict(graphs), second.predict(graphs))
    assert np.array_equal(first.training_loss, second.training_loss)
    assert not np.array_equal(*first.predict(graphs)), "seeds must differ"


def test_a_predictor_does_not_depend_on_its_companions(cells):
    graphs, accuracies = cells
    config = TrainingConfig(epochs=10, learning_rate=1e-3, predictor=SMALL)
    alone = fit_predictors(graphs, accuracies, [3], config).predict(graphs)[0]
    crowd = fit_predictors(graphs, accuracies, list(range(12)), config)  # more than one group
    np.testing.assert_allclose(crowd.predict(graphs)[3], alone, atol=1e-5)
    assert crowd.training_loss.shape == (12, 10)


def test_each_seed_can_have_its_own_cells(cells):
    graphs, accuracies = cells
    config = TrainingConfig(epochs=6, predictor=SMALL)
    sets = np.stack([np.arange(30), np.arange(30, 60)])
    fit = fit_predictors(graphs, accuracies, [5, 5], config, training_cells=sets)
    for row, predictions in zip(sets, fit.predict(graphs), strict=True):
        alone = fit_predictors(graphs, accuracies, [5], config, training_cells=row).predict(graphs)[0]
        np.testing.assert_allclose(predictions, alone, atol=1e-5)


def test_seeds_can_have_different_numbers_of_cells(cells):
    graphs, accuracies = cells
    config = TrainingConfig(epochs=4, learning_rate=1e-3, predictor=SMALL)
    sets = [np.arange(25), np.arange(20, 57), np.arange(24), np.arange(60), np.arange(30, 59)]
    seeds = [5, 6, 5, 2, 9]
    fit = fit_predictors(graphs, accuracies, seeds, config, training_cells=sets)
    assert fit.seeds == (5, 6, 5, 2, 9)
    assert fit.training_loss.shape == (5, 4)
    predicted = fit.predict(graphs)
    for m, (seed, row) in enumerate(zip(seeds, sets, strict=True)):
        alone = fit_predictors(graphs, accuracies, [seed], config, training_cells=row)
        np.testing.assert_allclose(predicted[m], alone.predict(graphs)[0], atol=1e-5)
        np.testing.assert_allclose(fit.training_loss[m], alone.training_loss[0], rtol=1e-4)


def test_rows_of_one_length_train_alike_as_matrix_and_as_list(cells):
    graphs, accuracies = cells
    config = TrainingConfig(epochs=3, predictor=SMALL)
    matrix = np.random.default_rng(0).permuted(np.tile(np.arange(60), (7, 1)), axis=1)[:, :31]
    fits = [
        fit_predictors(graphs, accuracies, range(7), config, training_cells=rows) for rows in (matrix, list(matrix))
    ]
    assert np.array_equal(fits[0].predict(graphs), fits[1].predict(graphs))
    assert np.array_equal(fits[0].training_loss, fits[1].training_loss)


@pytest.mark.parametrize(
    ("squashed", "loss"), [(True, "mse"), (False, "cross_entropy")], ids=["squashed", "classifier"]
)
def test_other_outputs_and_losses_equal_a_plain_training_loop(cells, squashed, loss):
    graphs, accuracies = cells
    predictor = PredictorConfig(hidden=16, dropout=0, squashed=squashed)
    labels = accuracies
    if loss == "cross_entropy":
        predictor, labels = replace(predictor, label_mean=0.0, label_std=1.0), (accuracies > 0.91).astype(float)
    config = TrainingConfig(epochs=8, learning_rate=1e-2, batch_size=7, predictor=predictor, loss=loss)
    fit = fit_predictors(graphs, labels, [4, 9], config)
    for seed, predictions in zip(fit.seeds, fit.predict(graphs), strict=True):
        expected = plain_training(graphs, labels, seed, config).predict(graphs)
        np.testing.assert_allclose(predictions, expected, atol=1e-3 * np.ptp(expected))
    assert (fit.training_loss[:, -1] < fit.training_loss[:, 0] / 2).all(), "the loop must have learned something"


def test_the_training_loss_of_a_classifier_is_its_cross_entropy(cells):
    graphs, accuracies = cells
    labels = (accuracies > 0.91).astype(float)
    still = TrainingConfig(1, 0.0, batch_size=60, predictor=replace(LOGIT, dropout=0.0), loss="cross_entropy")
    fit = fit_predictors(graphs, labels, [3], still)
    (probabilities,) = 1 / (1 + np.exp(-fit.predict(graphs)))
    entropy = -np.log(np.where(labels == 1, probabilities, 1 - probabilities)).mean()
    assert fit.training_loss[0, 0] == pytest.approx(entropy, rel=1e-5)


def test_a_ranking_loss_learns_to_rank(cells):
    graphs, accuracies = cells
    config = TrainingConfig(epochs=30, learning_rate=3e-3, predictor=PredictorConfig(hidden=16), loss="ranking")
    fit = fit_predictors(graphs, accuracies, [0, 1], config)
    for predicted in fit.predict(graphs):
        assert kendall_tau(accuracies, predicted) > 0.6
    assert (fit.training_loss[:, -1] < fit.training_loss[:, 0] / 2).all()


def test_accuracies_that_are_not_trained_on_need_not_be_known(cells):
    graphs, accuracies = cells
    unknown = np.where(np.arange(60) < 40, accuracies, np.nan)
    fit = fit_predictors(graphs, unknown, [0], TrainingConfig(epochs=2, predictor=SMALL), training_cells=np.arange(40))
    assert np.isfinite(fit.predict(graphs)).all()


def test_dropout_drops_the_share_it_should_and_keeps_the_mean():
    dropout = _Dropout((0, 7), TrainingConfig(predictor=PredictorConfig(dropout=0.1)))
    masks = dropout.draw(15, torch.device("cpu"))
    assert len(masks) == 15
    for drawn, scale in (([m.hidden[1][1] for m in masks], 0.5), ([m.head[0] for m in masks], 1.0)):
        values = torch.stack(drawn) / scale
        count = values.numel()
        dropped = (values == 0).double().mean().item()
        assert abs(dropped - 0.1) < 5 * math.sqrt(0.1 * 0.9 / count)
        assert values.max().item() == pytest.approx(1 / 0.9, rel=1e-4)
    assert not torch.equal(masks[0].hidden[0], masks[1].hidden[0])
    first = masks[0].hidden[0].clone()
    alone = _Dropout((7,), TrainingConfig()).draw(15, torch.device("cpu"))[0].hidden[0]
    assert torch.equal(first[1], alone[0]) and not torch.equal(first[0], alone[0])
    assert not torch.equal(dropout.draw(15, torch.device("cpu"))[0].hidden[0], first)


def test_the_callback_sees_the_fit_grow(cells):
    graphs, accuracies = cells
    seen = []
    fit_predictors(
        graphs,
        accuracies,
        [0, 1],
        TrainingConfig(epochs=7, predictor=SMALL),
        after_epochs=3,
        callback=lambda epochs, fit: seen.append((epochs, fit.training_loss.shape, fit.predict(graphs).shape)),
    )
    assert seen == [(3, (2, 3), (2, 60)), (6, (2, 6), (2, 60)), (7, (2, 7), (2, 60))]


def test_too_few_cells_are_refused(cells):
    graphs, accuracies = cells
    with pytest.raises(TrainingFailed, match=r"8 cells to train on, but a batch holds 10.*batch_size of at most 8"):
        fit_predictors(graphs, accuracies, [0], training_cells=np.arange(8))


def test_unknown_accuracies_are_refused(cells):
    graphs, accuracies = cells
    accuracies = accuracies.copy()
    accuracies[17] = np.nan
    with pytest.raises(TrainingFailed, match="accuracy of cell 17 is nan"):
        fit_predictors(graphs, accuracies, [0])


def test_a_diverging_training_is_stopped(cells):
    graphs, accuracies = cells
    config = TrainingConfig(epochs=50, learning_rate=1e12, predictor=SMALL)
    with pytest.raises(TrainingFailed, match=r"seed 2 .*epoch \d+: training diverged. Lower the learning rate"):
        fit_predictors(graphs, accuracies, [2], config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": []}, "no seeds"),
        ({"seeds": [-1]}, "seeds are"),
        ({"seeds": [0], "training_cells": np.arange(50, 70)}, "there are 60 cells"),
        ({"seeds": [0], "training_cells": np.zeros((2, 20), dtype=int)}, "for 1 seeds"),
        ({"seeds": [0, 1], "training_cells": [np.arange(20), np.arange(12), np.arange(30)]}, "3 rows .* for 2 seeds"),
        ({"seeds": [0, 1], "training_cells": [np.arange(20), np.arange(8)]}, "8 cells to train on"),
        ({"seeds": [0, 1], "training_cells": [np.arange(20), np.arange(61)]}, "there are 60 cells"),
        (
            {"seeds": [0], "config": TrainingConfig(predictor=LOGIT, loss="cross_entropy")},
            "labels 0 and 1, and that of cell 0 is",
        ),
        ({"seeds": [0], "accuracies": np.zeros(3)}, "give one for each"),
        ({"seeds": [0], "device": "abacus"}, "device 'abacus' cannot be used"),
    ],
    ids=[
        *("no seed", "negative seed", "cells out of range", "rows", "ragged rows", "short row", "long row"),
        *("no labels of classes", "accuracies", "device"),
    ],
)
def test_bad_arguments_are_refused(cells, options, message):
    graphs, accuracies = cells
    with pytest.raises(UserError, match=message):
        fit_predictors(graphs, **({"accuracies": accuracies} | options))


@pytest.mark.parametrize(
    "change",
    [
        *({"epochs": 0}, {"batch_size": 0}, {"learning_rate": math.nan}, {"loss": "hinge"}, {"loss": "cross_entropy"}),
        {"loss": "ranking", "batch_size": 1},
    ],
    ids=str,
)
def test_impossible_configurations_are_refused(change):
    with pytest.raises(UserError, match=change.get("loss", next(iter(change)))):
        TrainingConfig(**change)


def test_auto_takes_a_device_that_works():
    assert torch.zeros(2, device=choose_device("auto")).sum().item() == 0


def test_mse_on_real_cells_is_within_the_spread_of_the_reference(shared, sample_path, space):
    listing = json.loads(sample_path.read_text())
    rows = space.find_hashes(np.array(listing["key"], dtype="S32"))
    graphs = space.cells[rows]
    accuracies = np.array(listing["108_final_validation_accuracy"])
    accuracies = np.where(accuracies < 0.2, 0.908192, accuracies)
    with np.load(shared / "golden" / "splits_20k.npz") as splits:
        training_cells = splits["172"]
    runs = json.loads((shared / "golden" / "reference_results.json").read_text())["runs"]
    reference = next(run["mse_percent2"] for run in runs if run["setting"] == "172 -> all")
    predictions = fit_predictors(graphs, accuracies, range(5), training_cells=training_cells).predict(graphs)
    mean = np.mean([mse_percent2(accuracies, predicted) for predicted in predictions])
    assert min(reference) <= mean <= max(reference)
