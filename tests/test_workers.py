"""Work goes to other processes: the same numbers by however many, and none is lost with a process that is killed."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import joblib
import numpy as np
import psutil
import pytest
import torch
from commands import flags, report_of
from joblib.externals.loky import get_reusable_executor

import nplib
from nplib import _devices, _workers, training
from nplib._files import SHARE
from nplib._workers import NoWorkers, check_scheduler, map_in_workers
from nplib.errors import UserError
from nplib.predictor import PredictorConfig
from nplib.training import TrainingConfig, TrainingFailed, fit_predictors

SMALL = TrainingConfig(epochs=4, learning_rate=1e-3, predictor=PredictorConfig(hidden=16, layers=2, head=8))


@pytest.fixture
def two_processes(monkeypatch):
    """All work is worth two processes, on whatever machine."""
    monkeypatch.setattr(_workers, "WORTH_STARTING", 0.0)
    monkeypatch.setattr(_workers, "WORTH_SENDING", 0.0)
    monkeypatch.setattr(_workers, "num_cores", lambda: 2)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)


@pytest.fixture(scope="module")
def data(space):
    rows = np.arange(5_000, 420_000, 7_000)[:60]
    return space.cells[rows], 0.88 + 0.02 * (space.operations[rows] == 0).sum(axis=1)


def bits(fit):
    """All that training gave: weights and losses of every predictor."""
    return [torch.cat([p.detach().flatten() for p in of.parameters()]).numpy() for of in fit.predictors], (
        fit.training_loss
    )


def assert_same(one, other):
    for ours, theirs in zip(bits(one), bits(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def square(number, tell):
    tell(number)
    return number**2, os.getpid()


def test_results_come_in_order_from_other_processes_and_progress_is_told(two_processes):
    told = []
    found = map_in_workers(square, [3, 1, 2], 100.0, told.append)
    assert [value for value, _ in found] == [9, 1, 4]
    assert os.getpid() not in {process for _, process in found}
    assert sum(told) == 6


def cores_there(number, tell):
    return _devices.num_cores()


def test_a_file_may_share_out_the_cores_and_a_worker_has_one(monkeypatch, tmp_path):
    monkeypatch.setenv(SHARE, str(tmp_path / "cores"))
    (tmp_path / "cores").write_text("3")
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    get_reusable_executor().shutdown(kill_workers=True)  # so that new ones begin, with this environment
    assert _devices.num_cores() == 3
    assert map_in_workers(cores_there, [1, 2, 3], 100.0) == [1, 1, 1]
    (tmp_path / "cores").write_text("1")
    assert map_in_workers(square, [2], 100.0) == [(4, os.getpid())]
    (tmp_path / "cores").write_text("")  # just being written
    monkeypatch.delenv(SHARE)
    threads = _devices.num_cores()
    monkeypatch.setenv(SHARE, str(tmp_path / "cores"))
    assert _devices.num_cores() == threads


def test_small_work_stays_here():
    told = []
    assert map_in_workers(square, [2, 3], 0.01, told.append) == [(4, os.getpid()), (9, os.getpid())]
    assert sorted(told) == [2, 3]


@pytest.mark.parametrize(
    "config", [SMALL, replace(SMALL, predictor=PredictorConfig(hidden=144))], ids=["small", "wide"]
)
def test_numbers_do_not_depend_on_how_many_train_together_or_where(data, two_processes, monkeypatch, config):
    sets = [np.arange(25), np.arange(20, 57), np.arange(24), np.arange(60), np.arange(30, 59)]
    watched = data[0][::7]

    def fit():
        options = {"training_cells": sets, "after_epochs": 3, "watched": watched}
        return fit_predictors(*data, range(5), config, **options)

    by_two = fit()
    for workers in (1, 5):
        monkeypatch.setattr(_workers, "num_cores", lambda workers=workers: workers)
        other = fit()
        assert_same(by_two, other)
        np.testing.assert_array_equal(by_two.watched, other.watched)
    monkeypatch.setattr(training, "STACK_SIZE", 1)
    assert_same(by_two, fit())
    assert by_two.first(2).watched.shape == (2, 9)


def test_a_callback_sees_what_workers_watch(data, two_processes):
    cells, accuracies = data
    seen = []
    options = {"after_epochs": 2, "callback": lambda done, fit: seen.append((done, fit)), "watched": cells[:7]}
    last = fit_predictors(cells, accuracies, [0, 1, 2], SMALL, **options)
    assert [done for done, _ in seen] == [2, 4]
    for _, fit in [*seen, (4, last)]:
        np.testing.assert_array_equal(fit.watched, fit.predict(cells[:7]))
    assert not np.array_equal(seen[0][1].watched, last.watched)


def test_what_goes_wrong_in_a_worker_is_told_as_here(data, two_processes):
    with pytest.raises(TrainingFailed, match=r"seed [23] .*training diverged. Lower the learning rate"):
        fit_predictors(*data, [2, 3], replace(SMALL, epochs=50, learning_rate=1e12))


def test_work_of_a_killed_process_is_done_again(two_processes, tmp_path, capsys):
    def once_killed(number, tell):
        mark = tmp_path / str(number)
        if number == 2 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    assert map_in_workers(once_killed, range(5), 100.0) == [0, 1, 2, 3, 4]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "was there enough memory?" in lines[0]


def test_work_that_kills_every_process_ends(two_processes, monkeypatch):
    monkeypatch.setattr(_workers, "RETRIES", 1)
    with pytest.raises(NoWorkers, match="2 times: ask for less at once"):
        map_in_workers(lambda number, tell: os.kill(os.getpid(), signal.SIGKILL), range(2), 100.0)


INTERRUPTED = """
import sys, time
from nplib import _workers
_workers.WORTH_STARTING = 0.0
_workers.num_cores = lambda: 2
_workers._processes = lambda seconds: 2

def work(number, tell):
    print("working", flush=True)
    time.sleep(300)

_workers.map_in_workers(work, range(2), 100.0)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_workers_end_with_who_started_them(number):
    command = [sys.executable, "-c", INTERRUPTED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "working\n"
        workers = psutil.Process(process.pid).children(recursive=True)
        assert len(workers) >= 2
        process.send_signal(number)
        process.stdout.close()
        process.stderr.close()
        process.wait(60)
        _, alive = psutil.wait_procs(workers, timeout=30)
        assert not alive


# A cluster


@pytest.fixture(scope="module")
def cluster():
    """Two processes on this machine, as any other cluster's."""
    from distributed import LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
    with LocalCluster(processes=True, **options) as cluster:
        yield cluster
        _workers._client.cache_clear()


@pytest.fixture
def scheduler(cluster, monkeypatch):
    monkeypatch.setenv("NPLIB_SCHEDULER", cluster.scheduler_address)
    monkeypatch.setattr(_workers, "WORTH_SENDING", 0.0)
    return cluster


def test_a_cluster_gives_the_same_numbers(data, scheduler, monkeypatch):
    options = {"watched": data[0][:9]}
    theirs = fit_predictors(*data, range(4), SMALL, **options)
    monkeypatch.delenv("NPLIB_SCHEDULER")
    ours = fit_predictors(*data, range(4), SMALL, **options)
    assert_same(theirs, ours)
    np.testing.assert_array_equal(theirs.watched, ours.watched)


def test_a_command_works_on_a_cluster(cluster, small_surrogate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_surrogate.save("some.hdf5")
    monkeypatch.setenv("NPLIB_SCHEDULER", "")  # what the command sets goes with the test
    options = flags(data="some.hdf5", train_split=43, eval_split="denoise-80", seeds=6, epochs=100, device="cpu")
    here = report_of("train", *options)
    before = cluster.scheduler.transition_counter
    there = report_of("train", *options, "--scheduler", cluster.scheduler_address)
    assert cluster.scheduler.transition_counter > before, "the cluster did nothing"
    assert there["mean"] == here["mean"]


def test_a_cluster_does_the_work_of_a_lost_worker_again(scheduler, tmp_path):
    def work(number, tell, shared):
        mark = tmp_path / str(number)
        if number == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number + int(shared.sum()), os.getpid()

    found = map_in_workers(work, range(6), 100.0, shared=[np.ones(1000)])
    assert [value for value, _ in found] == [1000 + number for number in range(6)]
    assert os.getpid() not in {process for _, process in found}


def test_what_goes_wrong_on_a_cluster_is_told_as_here(data, scheduler):
    with pytest.raises(TrainingFailed, match=r"seed [23] .*training diverged. Lower the learning rate"):
        fit_predictors(*data, [2, 3], replace(SMALL, epochs=50, learning_rate=1e12))


def test_work_that_kills_every_worker_of_a_cluster_ends(scheduler, monkeypatch):
    monkeypatch.setattr(_workers, "RETRIES", 0)
    with pytest.raises(NoWorkers, match=r"a worker process was lost \(KilledWorker\)"):
        map_in_workers(lambda number, tell: os.kill(os.getpid(), signal.SIGKILL), range(2), 100.0)


def test_a_worker_with_another_version_is_refused(cluster, scheduler, monkeypatch):
    _workers._client.cache_clear()
    monkeypatch.setattr(nplib, "__version__", "9.9")
    with pytest.raises(NoWorkers, match=r"has nplib 0\.1\.0.*this process nplib 9\.9.*install the same"):
        map_in_workers(square, [1, 2], 100.0)
    _workers._client.cache_clear()


def test_a_worker_that_joins_later_with_another_version_is_refused(cluster, scheduler, monkeypatch):
    assert [value for value, _ in map_in_workers(square, [1, 2], 100.0)] == [1, 4]
    monkeypatch.setattr(nplib, "__version__", "9.9")  # as if those that the connection found were like us
    with pytest.raises(NoWorkers, match=r"the worker at tcp://\S+ has nplib 0\.1\.0.*this process nplib 9\.9"):
        map_in_workers(square, [1, 2], 100.0)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tcp://no-such-host.invalid:8786"])
def test_an_address_where_nobody_listens_is_refused_within_seconds(address, monkeypatch):
    monkeypatch.setenv("NPLIB_SCHEDULER", address)
    start = time.monotonic()
    with pytest.raises(NoWorkers, match=f"nobody listens at the scheduler's address {address}"):
        map_in_workers(square, [1, 2], 100.0)
    assert time.monotonic() - start < 6


@pytest.mark.parametrize("address", ["host", "host:8786", "tcp://host", "tcp://host:port", ""])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(UserError, match="give one as dask scheduler tells it: tcp://host:8786"):
        check_scheduler(address)
