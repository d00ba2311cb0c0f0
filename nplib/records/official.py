"""The official ``nasbench`` package, where it is installed, to hold our reader of records against it.

It was written for TensorFlow 1 and an early protobuf. In a process of its own
(:mod:`~nplib.records.official_child`) it also runs beside TensorFlow 2 and a current protobuf, and nothing of it comes
into ours. Source: ``nasbench/api.py`` of google-research/nasbench.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nplib._files import expand
from nplib._layout import BUDGETS, LAYOUT, METRICS, RUNS, attribute, empty_metrics
from nplib.benchmark import Benchmark
from nplib.cell import MAX_VERTICES, OPERATION_CODES
from nplib.errors import UserError
from nplib.records import official_child
from nplib.records.frames import open_records

if TYPE_CHECKING:
    import pandas

__all__ = ["OfficialFailed", "OfficialMissing", "compare", "read_official", "what_is_missing"]

# How to get each package that the official reader needs. Without its dependencies nasbench does not fetch a second
# TensorFlow where the one for processors alone is installed.
PACKAGES = {
    "tensorflow": ("TensorFlow", '`pip install -e ".[tensorflow]"` in the folder of this project'),
    "nasbench": (
        "the official package nasbench",
        '`pip install --no-deps "nasbench @ git+https://github.com/google-research/nasbench"`',
    ),
}
# Its protobuf code was generated for a version that today only the implementation in Python accepts.
CHILD_ENVIRONMENT = {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python", "TF_CPP_MIN_LOG_LEVEL": "3"}


class OfficialMissing(UserError):
    """The official library is asked for and cannot be run here: the message says what is not installed."""


class OfficialFailed(UserError):
    """The official library was run and could not read a file, or gives what has no place in a benchmark."""


def what_is_missing() -> str:
    """What keeps the official reader from being run, in words, and how to get it; empty where nothing does."""
    missing = [about for name, about in PACKAGES.items() if not _is_installed(name)]
    if not missing:
        return ""
    names, commands = zip(*missing, strict=True)
    verb = "is" if len(missing) == 1 else "are"
    return f"{' and '.join(names)} {verb} not installed ({'; '.join(commands)})"


def _is_installed(name: str) -> bool:
    """Whether there is such a package; a mere folder of this name, such as a clone of the repository, is none."""
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None


def read_official(tfrecord: str | os.PathLike) -> Benchmark:
    """Everything that the official library reads from a file of records, in the layout of ours.

    Cells stand in the order of its dictionaries, runs in that of its lists; its doubles become single precision. It
    takes as long, and as much memory, as the library does: minutes and gigabytes for the full file. NaN is where the
    file has no such run, but **a field that a record lacks is 0.0**, because the library says so. Of trainable
    parameters it knows those of a cell's first record.

    Raises:
        OfficialMissing: If TensorFlow or the package is not installed.
        OfficialFailed: If the library fails, as on a record of fewer than three evaluations; the message has the last
            line of what it said. Also if a cell or a run has no place in the layout.
        UserError, nplib.records.frames.BadRecord: If there is no such file, or it is empty.
    """
    missing = what_is_missing()
    if missing:
        raise OfficialMissing(f"{tfrecord} cannot be read by the official library: {missing}")
    path = expand(tfrecord).absolute()
    file, _ = open_records(path)  # for its errors
    file.close()
    with tempfile.TemporaryDirectory() as folder:
        arrays = _run(path, Path(folder) / "official.npz")
    return _benchmark(path, arrays)


def _run(path: Path, target: Path) -> dict[str, np.ndarray]:
    """What the library reads, from a process of its own."""
    # -P: the folder of the script is this package, whose modules must not stand in for others.
    command = [sys.executable, "-P", official_child.__file__, str(path), str(target)]
    ended = subprocess.run(
        command, env=os.environ | CHILD_ENVIRONMENT, capture_output=True, text=True, errors="replace"
    )
    if ended.returncode:
        lines = ended.stderr.strip().splitlines()
        said = lines[-1].strip() if lines else "it said nothing"
        if ended.returncode < 0:
            said = f"signal {-ended.returncode} ended it, for want of memory perhaps; {said}"
        raise OfficialFailed(
            f"{path}: the official library cannot read it: {said}. If it reads other files, this one holds what it "
            "cannot take, a record of fewer than three evaluations for instance; if it reads none, install it and "
            "TensorFlow anew, or do without (nplib convert needs neither)"
        )
    with np.load(target, allow_pickle=False) as arrays:
        return dict(arrays)


def _benchmark(path: Path, arrays: Mapping[str, np.ndarray]) -> Benchmark:
    """The arrays of :func:`nplib.records.official_child.arrays_of` in the layout of a benchmark."""
    names, sizes = arrays["hash"], arrays["num_vertices"]
    adjacency = np.zeros((len(names), MAX_VERTICES, MAX_VERTICES), dtype=np.int8)
    operations = np.zeros((len(names), MAX_VERTICES), dtype=np.int8)
    size = arrays["adjacency"].shape[1]
    if size > MAX_VERTICES:
        raise OfficialFailed(
            f"{path}: cell {names[sizes.argmax()]} has {size} vertices; a benchmark has room for {MAX_VERTICES}"
        )
    adjacency[:, :size, :size] = arrays["adjacency"]
    for name, row, text in zip(names, operations, arrays["operations"], strict=True):
        codes = [OPERATION_CODES.get(operation) for operation in str(text).split(",")]
        if None in codes or len(codes) > MAX_VERTICES:
            raise OfficialFailed(
                f"{path}: cell {name} has operations {text}; there are {', '.join(OPERATION_CODES)}, one for each of "
                f"at most {MAX_VERTICES} vertices"
            )
        row[: len(codes)] = codes
    cells, epochs, runs = arrays["place"].T
    wrong = np.flatnonzero(~np.isin(epochs, BUDGETS) | (runs >= RUNS))
    if len(wrong):
        first = wrong[0]
        raise OfficialFailed(
            f"{path}: cell {names[cells[first]]} has run {runs[first]} (counted from 0) at {epochs[first]} epochs; "
            f"there is room for {RUNS} runs at each of {', '.join(map(str, BUDGETS))} epochs"
        )
    metrics = empty_metrics(len(names))
    with np.errstate(over="ignore"):  # what is too large is infinite, and an error of the benchmark
        metrics[cells, np.searchsorted(BUDGETS, epochs), runs] = arrays["figures"]
    return Benchmark(
        hashes=names.astype("S"),
        num_vertices=sizes,
        trainable_parameters=arrays["trainable_parameters"],
        adjacency=adjacency,
        operations=operations,
        metrics=metrics,
        source=path.name,
        labels="as the official library reads them",
    )


def compare(ours: Benchmark, official: Benchmark) -> pandas.DataFrame:
    """How many values of two benchmarks of one file, the second by :func:`read_official`, are the same to the last bit.

    Nothing is looked up: the same cells in another order, or runs in another order, differ.

    Returns:
        DataFrame: A row for each dataset, and for each metric; columns of counts. ``compared``: values that either
            knows. ``equal``: the same bits. ``absent``: NaN in ours and 0.0 in the official, which is what it gives for
            a field that the record lacks. ``different``: all others, those of cells that only one of the two has among
            them.
    """
    import pandas

    datasets = [attribute(name) for name in LAYOUT if name != "metrics"]
    rows = {name: _count(getattr(ours, name), getattr(official, name)) for name in datasets}
    for m, metric in enumerate(METRICS):
        rows[metric] = _count(ours.metrics[..., m], official.metrics[..., m])
    return pandas.DataFrame.from_dict(rows, orient="index", columns=["compared", "equal", "absent", "different"])


def _count(ours: np.ndarray, official: np.ndarray) -> tuple[int, int, int, int]:
    """Values of two arrays that are compared, equal, absent and different."""
    shared = min(len(ours), len(official))
    alone = np.concatenate([ours[shared:], official[shared:]])
    one, other = ours[:shared], official[:shared]
    if one.dtype.kind != "f":
        equal = int((one == other).sum())
        return one.size + alone.size, equal, 0, one.size - equal + alone.size
    known = ~np.isnan(one)
    equal = int((known & (one.view(np.uint32) == other.view(np.uint32))).sum())
    absent = int((~known & (other == 0)).sum())
    compared = int((known | ~np.isnan(other)).sum()) + int((~np.isnan(alone)).sum())
    return compared, equal, absent, compared - equal - absent
