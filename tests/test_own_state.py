"""Results depend on arguments alone: not on torch's random numbers, types, modes, threads, or how a process began."""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

import nplib
from nplib.errors import UserError
from nplib.gp import GPConfig
from nplib.predictor import Predictor, PredictorConfig
from nplib.training import TrainingConfig, TrainingFailed, fit_predictors

NETWORK = TrainingConfig(epochs=2, predictor=PredictorConfig(hidden=8, layers=2, head=8))
GP = GPConfig(iterations=3)
TRAINING = np.arange(0, 80, 2)


@pytest.fixture
def data(space):
    """80 cells, which nothing is known of yet, and accuracies that depend on them."""
    cells = space.cells[np.arange(5_000, 420_000, 5_000)[:80]]
    return space.cells_of(space.hashes[space.find_cells(cells)]), 0.88 + 0.01 * (cells.operations == 0).sum(axis=1)


@contextmanager
def default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def other_numbers():
    torch.manual_seed(7)
    torch.rand(11)
    yield


SETTINGS = {
    "double precision": default_dtype,
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "automatic casts": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "other random numbers": other_numbers,
    "another device": lambda: torch.device("meta"),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("config", [NETWORK, GP], ids=["network", "Gaussian process"])
def test_settings_of_the_caller_change_nothing(space, data, config, name):
    cells, accuracies = data
    expected = config.fit(cells, accuracies, [3, 4], training_cells=TRAINING).predict(cells)
    again = space.cells[space.find_cells(cells)]  # of which nothing is kept
    with SETTINGS[name]():
        found = config.fit(again, accuracies, [3, 4], training_cells=TRAINING).predict(again)
    np.testing.assert_array_equal(found, expected)


def test_random_numbers_of_the_caller_go_on_as_if_nothing_had_been(data):
    torch.manual_seed(0)
    expected = torch.rand(5)
    torch.manual_seed(0)
    Predictor(PredictorConfig(), 3)
    Predictor()
    NETWORK.fit(*data, [0])
    assert torch.equal(torch.rand(5), expected)


@pytest.mark.parametrize("seed", [0, 3, 2**40])
def test_weights_are_those_that_torch_draws_after_its_seed(seed):
    config = PredictorConfig(hidden=20, layers=2, head=6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        expected = [nn.init.xavier_uniform_(torch.empty(rows, 20)) for rows in (5, 5, 20, 20)]
        expected += [nn.Linear(20, 6, bias=False).weight, nn.Linear(6, 1, bias=False).weight]
    for ours, theirs in zip(Predictor(config, seed).parameters(), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_a_seed_gives_the_same_in_several_threads(data):
    cells, accuracies = data

    def work() -> np.ndarray:
        seeded = Predictor(NETWORK.predictor, 5).fc1.weight.detach().numpy().ravel()
        fitted = NETWORK.fit(cells, accuracies, [0, 1, 2], training_cells=TRAINING).predict(cells).ravel()
        return np.concatenate([seeded, fitted])

    expected, before = work(), torch.get_num_threads()
    found = []
    threads = [threading.Thread(target=lambda: [found.append(work()) for _ in range(8)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 32 and all(np.array_equal(values, expected) for values in found)
    assert torch.get_num_threads() == before


FORKING = """
import multiprocessing, sys, threading, time
import numpy as np
from nplib.space import load_space
from nplib.errors import UserError
from nplib.training import TrainingConfig

cells = load_space().cells[np.arange(5_000, 420_000, 5_000)]
labels = 0.88 + 0.01 * (cells.operations == 0).sum(axis=1)

def work(seed):
    try:
        return float(TrainingConfig(epochs=1).fit(cells, labels, [seed]).predict(cells).sum())
    except UserError as error:
        return str(error)

def forked():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map_async(work, [0, 1]).get(60)

alone = [work(seed) for seed in (0, 1)]
assert np.allclose(forked(), alone, rtol=1e-6), "after torch was used"
started, done = threading.Event(), threading.Event()

def callback(epochs, fit):
    started.set()
    done.wait(90)

fit = {"after_epochs": 1, "callback": callback}
thread = threading.Thread(target=lambda: TrainingConfig(epochs=1).fit(cells, labels, [0], **fit))
thread.start()
started.wait()
print(forked()[0])
done.set()
thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_works_or_says_at_once_how_to_start_it():
    environment = {**os.environ, "OMP_NUM_THREADS": "4"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "forked while its parent was computing" in done.stdout and 'get_context("spawn")' in done.stdout


# Arguments


@pytest.mark.parametrize("config", [NETWORK, GP], ids=["network", "Gaussian process"])
def test_training_cells_can_be_a_mask_and_are_no_fractions(data, config):
    cells, accuracies = data
    mask = np.isin(np.arange(80), TRAINING)
    expected = config.fit(cells, accuracies, [0, 1], training_cells=TRAINING).predict(cells)
    for masks in (mask, np.stack([mask, mask]), [mask, TRAINING]):
        found = config.fit(cells, accuracies, [0, 1], training_cells=masks).predict(cells)
        np.testing.assert_array_equal(found, expected)
    for wrong in (mask[:40], TRAINING.astype(float), TRAINING.astype(str)):
        with pytest.raises(UserError, match="give indices, whole numbers, or a mask of all 80 cells"):
            config.fit(cells, accuracies, [0], training_cells=wrong)


@pytest.mark.parametrize("wrong", [91.5, -0.1])
def test_accuracies_are_fractions(data, wrong):
    cells, accuracies = data
    accuracies = accuracies.copy()
    accuracies[4] = wrong
    with pytest.raises(TrainingFailed, match=rf"accuracy of cell 4 is {wrong} \(1 such cells\); give fractions"):
        fit_predictors(cells, accuracies, [0], NETWORK)


@pytest.mark.parametrize("size", [0, -5])
def test_so_many_cells_at_a_time_are_one_or_more(data, size):
    for config in (NETWORK, GP):
        fit = config.fit(*data, [0])
        with pytest.raises(UserError, match=f"batch_size is {size}; it must be 1 or more"):
            fit.predict(data[0], size)


# The front door


def test_the_names_that_most_need_are_at_the_front_door():
    for name in ("load", "Cell", "Cells", "Graphs", "Predictor", "TrainingConfig", "fit_predictors", "make_splits"):
        assert name in dir(nplib) and getattr(nplib, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'beauty'"):
        _ = nplib.beauty
