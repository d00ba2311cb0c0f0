"""Work in other processes: some of this machine, by joblib's loky, or those of a Dask cluster.

Small work is not worth their start and stays here, in threads. Whoever does a task, its numbers are the same: a task
runs on one thread, and what it depends on travels with it.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import numpy as np
from tqdm import tqdm

from nplib._devices import CPU, is_forked, map_on_cores, num_cores, one_thread_each, tiny_is_zero
from nplib._files import SHARE
from nplib.errors import UserError

if TYPE_CHECKING:
    from distributed import Client

Item = TypeVar("Item")
Result = TypeVar("Result")
Tell = Callable[[int], object]

SCHEDULER = "NPLIB_SCHEDULER"  # the variable that names a cluster's scheduler
SECONDS_TO_ANSWER, SECONDS_FOR_WORKERS = 5.0, 60.0
# So many seconds of work on one core are worth starting processes for, and handing over to those that run.
WORTH_STARTING, WORTH_SENDING = 8.0, 0.5
IDLE_SECONDS = 300  # after which a process that has nothing to do ends
RETRIES = 3  # of work whose process was killed
TOLD_EVERY = 0.2  # seconds


class NoWorkers(UserError):
    """The processes that should work cannot be reached, do not fit, or were killed again and again."""


class _Local:
    warm_until = 0.0  # processes of this machine run until then, at least


def count_workers(seconds: float) -> int:
    """How many tasks at a time some work would run as, given how long it would take on one core."""
    if os.environ.get(SCHEDULER) and seconds >= WORTH_SENDING:
        return max(1, sum(_client(os.environ[SCHEDULER]).nthreads().values()))
    return _processes(seconds) or num_cores()


def _processes(seconds: float) -> int:
    """How many processes of this machine some work is worth; 0: threads of this one."""
    import joblib

    worth = WORTH_SENDING if time.monotonic() < _Local.warm_until else WORTH_STARTING
    count = min(num_cores(), joblib.cpu_count())  # the second goes by LOKY_MAX_CPU_COUNT, too
    return count if count > 1 and seconds >= worth and not is_forked() else 0


def map_in_workers(
    function: Callable[..., Result],
    items: Sequence[Item],
    seconds: float,
    tell: Tell = lambda count: None,
    shared: Sequence[object] = (),
) -> list[Result]:
    """Apply a function to every item in other processes; results in order.

    Args:
        function (callable): Of an item, something to call with how much is done, and what is shared. Like items and
            results it must be such as can be pickled.
        seconds (float): How long all would take on one core, about.
        tell (callable): Is told here, by any thread, how much was done since it was told last.
        shared (sequence): What all items need: to a process of this machine its arrays go once, by a file that it maps,
            and once to each worker of a cluster.

    Raises:
        NoWorkers: If a cluster is named that cannot be reached or has other versions, or work was killed too often.
    """
    address = os.environ.get(SCHEDULER) if seconds >= WORTH_SENDING and len(items) > 1 else None
    processes = 0 if address or len(items) < 2 else _processes(seconds)
    if not (address or processes):
        return map_on_cores(lambda item: function(item, tell, *shared), items, CPU)
    results: dict[int, Result] = {}
    with _counts(len(items), tell) as (file, counts):
        for _ in range(RETRIES + 1):
            left = [number for number in range(len(items)) if number not in results]
            try:
                for number, told, result in _run(address, processes, function, items, left, file, shared):
                    results[number], counts[number] = result, told
                return [results[number] for number in range(len(items))]
            except _lost() as error:
                what = f"a worker process was lost ({type(error).__name__}); was there enough memory?"
                tqdm.write(f"{what} Its work is done again", file=sys.stderr)
    raise NoWorkers(f"{what} So it went {RETRIES + 1} times: ask for less at once, or set LOKY_MAX_CPU_COUNT=1")


def _lost() -> tuple[type[Exception], ...]:
    """What is raised where a process that had work is there no more."""
    from concurrent.futures import CancelledError
    from concurrent.futures.process import BrokenProcessPool

    distributed = sys.modules.get("distributed")
    return (BrokenProcessPool, CancelledError, *([distributed.KilledWorker] if distributed else []))


def _run(
    address: str | None,
    processes: int,
    function: Callable[..., Result],
    items: Sequence[Item],
    numbers: Sequence[int],
    file: Path,
    shared: Sequence[object],
) -> Iterator[tuple[int, int, Result]]:
    """The results of some items as they come: number, what was told, result."""
    if address:
        from distributed import as_completed

        client, task = _client(address), _task_of_equals()
        here = client.scatter(list(shared), broadcast=True, hash=False) if shared else []
        futures = [client.submit(task, function, items[n], n, file, *here, pure=False) for n in numbers]
        try:
            for _, result in as_completed(futures, loop=client.loop, with_results=True):
                if isinstance(result, str):
                    raise _others(*result.split(" has ", 1))
                yield result
        finally:
            client.cancel(futures)
        return
    import joblib

    _Local.warm_until = 0.0  # whatever goes wrong ends them
    starting = {
        "initializer": _begin,
        "initargs": (os.getpid(),),
        "idle_worker_timeout": IDLE_SECONDS,
        "inner_max_num_threads": 1,
    }
    with joblib.parallel_config("loky", n_jobs=processes, **starting):
        parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1)
        yield from parallel(joblib.delayed(_task)(function, items[n], n, file, *shared) for n in numbers)
    _Local.warm_until = time.monotonic() + IDLE_SECONDS / 2


def _begin(parent: int) -> None:
    """In a new process of this machine: leave Ctrl-C to the one that started it, and end with that."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.pop(SHARE, None)  # what is shared out is cores for such processes

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _task(
    function: Callable[..., Result], item: Item, number: int, file: Path, *shared: object
) -> tuple[int, int, Result]:
    """One item, in the process that works; a process of the same machine writes how much is done into a file."""
    counts = np.memmap(file, np.int64, "r+") if file.is_file() else np.zeros(number + 1, dtype=np.int64)
    counts[number] = 0

    def tell(count: int) -> None:
        counts[number] += count

    with one_thread_each(), tiny_is_zero():
        result = function(item, tell, *shared)
    return number, int(counts[number]), result


@contextmanager
def _counts(tasks: int, tell: Tell) -> Iterator[tuple[Path, np.ndarray]]:
    """A file of how much each task has done, watched by a thread that tells of it."""
    with tempfile.TemporaryDirectory(prefix="nplib-") as folder:
        file = Path(folder) / "done"
        counts = np.memmap(file, np.int64, "w+", shape=(tasks,))
        ended, told = threading.Event(), 0

        def watch() -> None:
            nonlocal told
            while True:
                last = ended.wait(TOLD_EVERY)
                more = int(counts.sum()) - told
                if more > 0:  # what is done again was told
                    told += more
                    tell(more)
                if last:
                    return

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield file, counts
        finally:
            ended.set()
            thread.join()


# A cluster


def check_scheduler(address: str) -> None:
    """Refuse the address of a scheduler where nobody listens, within seconds, and before anything large is imported.

    Raises:
        NoWorkers:
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not (parts.scheme and host and port):
        raise NoWorkers(f"the scheduler's address is {address!r}; give one as dask scheduler tells it: tcp://host:8786")
    try:
        socket.create_connection((host, port), timeout=SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise NoWorkers(
            f"nobody listens at the scheduler's address {address} ({error.strerror or error}): start one there (dask "
            f"scheduler), or leave out --scheduler and {SCHEDULER}"
        ) from None


@cache
def _client(address: str) -> Client:
    """A connection to a cluster whose workers have what this process has."""
    check_scheduler(address)
    try:
        from distributed import Client
    except ImportError:
        remedy = "pip install 'distributed>=2024.8', as pyproject.toml's extra \"cluster\" has it"
        raise NoWorkers(f"a scheduler is named ({address}), and Dask is not installed: {remedy}") from None
    try:
        client = Client(address, timeout=SECONDS_TO_ANSWER, set_as_default=False)
        client.wait_for_workers(1, timeout=SECONDS_FOR_WORKERS)
    except (OSError, TimeoutError) as error:
        raise NoWorkers(f"the scheduler at {address} has no workers ({error}); start some: dask worker") from None
    versions = _versions_here()
    ours = versions()
    for worker, found in client.run(versions, on_error="return").items():
        if found != ours and not isinstance(found, OSError):  # else just lost; tasks check it too
            client.close()
            raise _others(worker, found)
    return client


def _others(worker: str, found: object) -> NoWorkers:
    ours = _versions_here()()
    return NoWorkers(
        f"the worker at {worker} has {found}, and this process {ours}: numbers would differ, so install the same on "
        "all machines"
    )


def _task_of_equals() -> Callable[..., tuple[int, int, object] | str]:
    """:func:`_task`, unless the worker has other versions, of which it then tells: one may have joined just now."""
    versions = _versions_here()
    ours = versions()

    def task(*parts: object) -> tuple[int, int, object] | str:
        from distributed import get_worker

        found = versions()
        if found != ours:
            return f"{get_worker().address} has {found}"
        from nplib._workers import _task

        return _task(*parts)

    return task


def _versions_here() -> Callable[[], str]:
    """What tells the versions in its process; a function within one, which travels whole to where nplib is another."""

    def versions() -> str:
        import hashlib
        import importlib
        from pathlib import Path

        found = {}
        for name in ("nplib", "torch", "numpy"):
            try:
                found[name] = importlib.import_module(name)
            except ImportError:
                return f"no {name}"
        code = hashlib.sha256()
        for path in sorted(Path(found["nplib"].__file__).parent.glob("*.py")):
            code.update(path.read_bytes())
        of_each = ", ".join(f"{name} {module.__version__}" for name, module in found.items())
        return f"{of_each}, code {code.hexdigest()[:8]}"

    return versions
