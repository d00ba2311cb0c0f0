"""One thread of work a core, each running torch's operations alone.

Torch would rather share every single operation among its threads. Operations of a small predictor are too short for
that: threads mostly wait for each other, and wait for long when anything else runs on the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from nplib.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_on_cores(function: Callable[[Item], Result], items: Iterable[Item], device: torch.device) -> list[Result]:
    """Apply a function to every item, results in order: as many at a time as torch has threads, one by one on a GPU."""
    threads = torch.get_num_threads()
    if device.type != "cpu":
        return [function(item) for item in items]
    torch.set_num_threads(1)
    try:
        # A new thread starts with torch's own number of threads.
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(function, items))
    finally:
        torch.set_num_threads(threads)


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name; ``auto`` takes CUDA, else Apple's MPS, else the CPU.

    Raises
    ------
    UserError
        If there is no such device here.
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
