"""One run: a real test accuracy of every cell of NASBench-101, that of run 0 after 108 epochs, as a plain array."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from nplib._files import expand
from nplib.benchmark import REAL, Benchmark, empty_metrics, metric_position
from nplib.errors import UserError
from nplib.metrics import kendall_tau
from nplib.sources.download import RemoteFile
from nplib.space import Space, load_space

ONE_RUN = RemoteFile(
    "nasbench_test_run0_108.npy",
    "https://raw.githubusercontent.com/Tongzhou0101/ObfuNAS/c8d9c7153f098f97fde65e007594fd87202f298d/data/test.npy",
    "b4fef45e66f986cbbdd1dd182a0456438a7e34e3124c2929300c87c0ef25fcc5",
    3.4,
    3_389_120,
)
LABELS = (
    "one run a cell: test accuracy of run 0 after 108 epochs; no validation or train accuracy, no other run or budget, "
    "no time"
)
# Test accuracies of run 0 that are public elsewhere, in images of 9,984: four cells of NASLib's test file
# tests/assets/nb101_dummy.pkl (automl/NASLib, Apache-2.0), and the best single run of NASBench-101, .94661.
KNOWN_IMAGES = {
    "00005c142e6f48ac74fdcf73e3439874": 9197,
    "00019e2cbab0bc93ca1a7816a099b2bd": 8925,
    "ba0a27cafe7d648aa57f7d5dd64c0b48": 9451,
    "ff91e10b9512cbe4efeec6bd926941a1": 9205,
    "ff992687b76347aea846ff16c709bb2e": 9404,
}
IMAGES = 9984
# Kendall's tau of trainable parameters and accuracy is .30 in the table, .296 to .310 in each twentieth of its rows; it
# is 0 where rows are of other cells.
PARTS, TAU, LEAST_TAU = 20, 0.30, 0.27


class BadOneRun(UserError):
    """A file is not that table, or is damaged: the message names the row and what was found."""


def read_one_run(path: str | os.PathLike) -> Benchmark:
    """The one run of every cell, joined to the graphs in ascending order of the module hash, as the official file has.

    Args:
        path (path): A .npy file: shape (423624,), float32 or float64, fractions. They are taken as test accuracies at
            the end of run 0 at 108 epochs; everything else is unknown (NaN).

    Raises:
        BadOneRun: If it is no such array, holds what is no accuracy, or its rows cannot be those cells in that order.
    """
    path = expand(path)
    space = load_space()
    accuracy = _read_array(path, len(space))
    order = np.argsort(space.hashes)
    sha256 = ONE_RUN.digest_of(path)
    if sha256 != ONE_RUN.sha256:
        _check_order(path, accuracy, space, order)
    metrics = empty_metrics(len(space))
    metrics[(slice(None), *metric_position("test_accuracy"))] = accuracy
    about = {"source": "one-run", "labels": LABELS, "kind": REAL, "sha256": sha256, "path": path}
    return Benchmark.from_space(space, order, metrics, **about)


def _read_array(path: Path, length: int) -> np.ndarray:
    wanted = f"the table is an array of {length:,} float64"
    again = "get it again (nplib data --download one-run)"
    try:
        # Mapped, so that a header that promises too much is noticed before memory is asked for.
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise BadOneRun(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # numpy hands on whatever its parser of Python literals ends in
        raise BadOneRun(
            f"{path} cannot be read as an array of numbers ({error}); {wanted}, and pickled objects are never read: "
            f"it may be another file, or cut short; {again}"
        ) from error
    if array.shape != (length,) or array.dtype.kind != "f" or array.dtype.itemsize < 4:
        raise BadOneRun(f"{path} holds {array.dtype} of shape {array.shape}; {wanted}, one of each cell")
    behind = path.stat().st_size - array.offset - array.nbytes
    if behind:
        raise BadOneRun(f"{path} goes on for {behind:,} bytes behind its array; it is damaged: {again}")
    accuracy = np.array(array, dtype=np.float64)
    bad = np.flatnonzero(~((accuracy >= 0) & (accuracy <= 1)))
    if len(bad):
        percent = "; are they in percent?" if len(bad) > length // 2 and np.nanmax(accuracy) <= 100 else ""
        raise BadOneRun(
            f"{path}: row {bad[0]:,} is {accuracy[bad[0]]}; accuracies are fractions, from 0 to 1 "
            f"({len(bad):,} of {length:,} are not{percent})"
        )
    return accuracy


def _check_order(path: Path, accuracy: np.ndarray, space: Space, order: np.ndarray) -> None:
    """That rows are cells in ascending order of their hashes: by what is known of a few, and over all of them."""
    mend = "rows must be run 0's test accuracies in ascending order of the module hash"
    rows = np.searchsorted(space.hashes, list(map(str.encode, KNOWN_IMAGES)), sorter=order)
    for row, (name, images) in zip(rows, KNOWN_IMAGES.items(), strict=True):
        if abs(accuracy[row] - images / IMAGES) > 1e-5:
            raise BadOneRun(
                f"{path}: row {row:,} is {accuracy[row]:.5f}, and NASBench-101 gives {images / IMAGES:.5f} to cell "
                f"{name}; {mend}"
            )
    parameters = space.trainable_parameters[order]
    for part in np.array_split(np.arange(len(order)), PARTS):
        tau = kendall_tau(parameters[part], accuracy[part])
        if not tau >= LEAST_TAU:
            raise BadOneRun(
                f"{path}: from row {part[0]:,} to {part[-1]:,} accuracies and trainable parameters have tau {tau:.2f}, "
                f"and those of NASBench-101 {TAU:.2f}; {mend}"
            )
