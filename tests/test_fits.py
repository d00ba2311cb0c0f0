"""Trainings that are kept: the same bits as without, for just the same trainings, and nothing lost with a folder."""

import logging
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from nplib import _fits, training
from nplib._files import FITS, forget_oldest
from nplib.predictor import PredictorConfig
from nplib.studies.leaderboard import Draws, judge
from nplib.training import TrainingConfig, fit_predictors

SMALL = TrainingConfig(epochs=3, learning_rate=1e-3, predictor=PredictorConfig(hidden=16, layers=2, head=8))


@pytest.fixture(scope="module")
def data(space):
    rows = np.arange(5_000, 420_000, 7_000)[:40]
    return space.cells[rows], 0.88 + 0.02 * (space.operations[rows] == 0).sum(axis=1)


@pytest.fixture
def trained(tmp_path, monkeypatch) -> list[int]:
    """The folder is named, and this lists the seeds that were trained."""
    monkeypatch.setenv(FITS, str(tmp_path / "fits"))
    seeds: list[int] = []
    train = training._train

    def counted(cells, targets, rows, own, *rest, **options):
        seeds.extend(own)
        return train(cells, targets, rows, own, *rest, **options)

    monkeypatch.setattr(training, "_train", counted)
    return seeds


def bits(fit) -> list[bytes]:
    weights = [tensor for predictor in fit.predictors for tensor in predictor.state_dict().values()]
    return [fit.training_loss.tobytes(), *(tensor.numpy().tobytes() for tensor in weights)]


def test_a_training_is_done_once_and_gives_the_same_bits(data, trained, monkeypatch):
    first = fit_predictors(*data, [0, 1], SMALL)
    again = fit_predictors(*data, [2, 1, 0], SMALL)
    assert trained == [0, 1, 2] and again.seeds == (2, 1, 0)
    monkeypatch.delenv(FITS)
    assert bits(again) == bits(fit_predictors(*data, [2, 1, 0], SMALL))
    assert bits(again)[1:] != bits(first)[1:]
    np.testing.assert_array_equal(again.predict(data[0])[[2, 1]], first.predict(data[0]))


def test_whatever_decides_a_training_tells_it_from_others(data, trained):
    cells, accuracies = data
    order = np.random.default_rng(0).permutation(len(cells))
    fit_predictors(cells, accuracies, [0], SMALL)
    others = [
        lambda: fit_predictors(cells, accuracies + 1e-7, [0], SMALL),
        lambda: fit_predictors(cells, accuracies, [0], SMALL, training_cells=order),
        lambda: fit_predictors(cells[order], accuracies, [0], SMALL),
        lambda: fit_predictors(cells, accuracies, [0], replace(SMALL, epochs=4)),
        lambda: fit_predictors(cells, accuracies, [0], replace(SMALL, loss="ranking")),
        lambda: fit_predictors(cells, accuracies, [0], replace(SMALL, predictor=PredictorConfig(hidden=8))),
    ]
    for number, other in enumerate(others, start=2):
        other()
        assert len(trained) == number
    # The same cells with the same labels, wherever they stand.
    fit_predictors(cells[order], accuracies[order], [0], SMALL, training_cells=np.argsort(order))
    assert len(trained) == number


@pytest.mark.parametrize("what", ["_stamp", "version"])
def test_other_code_or_libraries_train_anew(data, trained, monkeypatch, what):
    fit_predictors(*data, [0], SMALL)
    if what == "version":
        monkeypatch.setattr(torch, "__version__", "9.9")
        monkeypatch.setattr(_fits, "_stamp", _fits._stamp.__wrapped__)
    else:
        monkeypatch.setattr(_fits, "_stamp", lambda: ["other code"])
    fit_predictors(*data, [0], SMALL)
    assert trained == [0, 0]


def test_who_looks_on_sees_every_training(data, trained):
    fit_predictors(*data, [0], SMALL)
    seen = []
    fit = fit_predictors(*data, [0], SMALL, after_epochs=1, callback=lambda done, fit: seen.append(done))
    assert seen == [1, 2, 3] and trained == [0, 0]
    assert fit_predictors(*data, [0], SMALL, watched=data[0][:5]).watched.shape == (1, 5)
    assert bits(fit) == bits(fit_predictors(*data, [0], SMALL)) and trained == [0, 0, 0]


def test_who_takes_the_time_of_a_training_has_one(small_surrogate, trained):
    data, drawn = (small_surrogate.cells, small_surrogate.accuracy_labels()), Draws.of(len(small_surrogate), 1, 20)
    for times in (1, 2):
        judge("network", SMALL, *data, drawn, 20, 1)
        assert trained == [0] * times
    fit_predictors(*data, [0], SMALL, training_cells=drawn.labelled(20, 1))  # and keeps it for others
    assert trained == [0, 0]


def test_what_is_damaged_is_trained_anew(data, trained, tmp_path, caplog):
    fit = fit_predictors(*data, [0], SMALL)
    (kept,) = (tmp_path / "fits").iterdir()
    whole = kept.read_bytes()
    for number, harmed in enumerate((b"", whole[:-5], whole[:-5] + b"\0\0\0\0\1"), start=2):
        kept.write_bytes(harmed)
        with caplog.at_level(logging.WARNING):
            assert bits(fit_predictors(*data, [0], SMALL)) == bits(fit)
        assert len(trained) == number and f"{kept} cannot be used" in caplog.text
        assert kept.read_bytes() == whole


def test_where_nothing_can_be_kept_all_is_trained(data, trained, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv(FITS, str(tmp_path / "file" / "fits"))
    for _ in range(2):
        fit_predictors(*data, [0], SMALL)
    assert trained == [0, 0] and "a training cannot be kept" in caplog.text


def test_a_folder_keeps_what_was_used_last(tmp_path):
    for number in range(5):
        (tmp_path / str(number)).write_bytes(bytes(100))
        os.utime(tmp_path / str(number), (number, number))
    os.utime(tmp_path / "0", (9, 9))
    forget_oldest(tmp_path, 250)
    assert sorted(os.listdir(tmp_path)) == ["0", "4"]
