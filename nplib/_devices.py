"""One thread of work a core, each running torch's operations alone, whatever else the caller has set.

Torch would rather share every single operation among its threads. Operations of a small predictor are too short for
that: threads mostly wait for each other, and wait for long when anything else runs on the machine.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import torch

from nplib._files import SHARE
from nplib.errors import UserError

CPU = torch.device("cpu")
Item = TypeVar("Item")
Result = TypeVar("Result")


class _Cores:
    """How many threads torch had before the first of those who are at work now set it to one."""

    lock = threading.Lock()
    users = 0
    threads = 0
    calls = 0  # that compute now
    forked = False  # this process was, from one that had loaded torch,
    lost = False  # while that was computing


def num_cores() -> int:
    """Cores for our own work: as the file of ``NPLIB_CORES`` says, else torch's threads when none of it is running."""
    if os.environ.get(SHARE):
        with suppress(OSError, ValueError):
            return max(1, int(Path(os.environ[SHARE]).read_text()))
    with _Cores.lock:
        return _Cores.threads if _Cores.users else torch.get_num_threads()


def is_forked() -> bool:
    """Whether this process was forked from one that may have had processes at work, which are not its own."""
    return _Cores.forked


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let torch's operations run on the thread that calls them."""
    with _Cores.lock:
        if not _Cores.users:
            _Cores.threads = torch.get_num_threads()
        _Cores.users += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _Cores.lock:
            _Cores.users -= 1
            torch.set_num_threads(1 if _Cores.users else _Cores.threads)


@contextmanager
def tiny_is_zero() -> Iterator[None]:
    """Let this thread take numbers below the least normal one (1.2e-38) for zero.

    Weight decay leaves some weights of a trained predictor there, and a processor takes a hundred times as long for
    each product with one: all cells would be predicted in twice the time.
    """
    was = (torch.full((1,), 1e-39, dtype=torch.float32, device="cpu") * 2).item() == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was)


def _begin_thread() -> None:
    """Of a thread of our own: a new one starts with torch's own number of threads."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # see tiny_is_zero; the thread ends with its work


def _after_fork() -> None:
    """Torch's threads do not live on in a forked process, and it would wait for them for ever: one thread does."""
    _Cores.forked, _Cores.lost = True, _Cores.lost or _Cores.calls > 0
    _Cores.lock, _Cores.users, _Cores.calls = threading.Lock(), 0, 0
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Compute as if the caller had neither torch's inference mode nor automatic casts on.

    Raises:
        UserError: In a process that was forked while its parent was in here: it would wait for what no longer runs.
    """
    if _Cores.lost:
        raise UserError(
            "this process was forked while its parent was computing in another thread, and would wait for that for "
            'ever; start processes by multiprocessing.get_context("spawn")'
        )
    with _Cores.lock:
        _Cores.calls += 1
    try:
        with torch.inference_mode(False), torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        with _Cores.lock:
            _Cores.calls -= 1


def map_on_cores(function: Callable[[Item], Result], items: Iterable[Item], device: torch.device) -> list[Result]:
    """Apply a function to every item, results in order: :func:`num_cores` at a time, one by one on a GPU.

    The threads compute as :func:`tiny_is_zero` says.
    """
    if device.type != "cpu":
        return [function(item) for item in items]
    with (
        one_thread_each(),
        ThreadPoolExecutor(num_cores(), initializer=_begin_thread) as pool,
    ):
        return list(pool.map(function, items))


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name; ``auto`` takes CUDA, else Apple's MPS, else the CPU.

    Raises:
        UserError: If there is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {name!r} cannot be used here: {str(error).splitlines()[0]}; try auto or cpu") from None
    return device
