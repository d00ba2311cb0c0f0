"""What a benchmark file holds: names, shapes, types and axes of its datasets, and the checks that they are sound."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from nplib.cell import INPUT, INTERIOR_OPERATIONS, MAX_EDGES, MAX_VERTICES, OPERATION_CODES, OUTPUT, Cells
from nplib.errors import UserError
from nplib.space import SPACE_SIZE, load_space

BUDGETS = (4, 12, 36, 108)
RUNS = 3
POINTS = ("halfway", "end")
METRICS = ("training_time", "train_accuracy", "validation_accuracy", "test_accuracy")
UNITS = ("s", "fraction", "fraction", "fraction")

SCHEMA_VERSION = 1
SEAL = b"\nSHA-256 of what stands before: "
METRICS_SHAPE = (len(BUDGETS), RUNS, len(POINTS), len(METRICS))
# Datasets of the file: shape of one cell's part, and type.
LAYOUT = {
    "hash": ((), np.dtype("S32")),
    "num_vertices": ((), np.dtype("int8")),
    "trainable_parameters": ((), np.dtype("int32")),
    "adjacency": ((MAX_VERTICES, MAX_VERTICES), np.dtype("int8")),
    "operations": ((MAX_VERTICES,), np.dtype("int8")),
    "metrics": (METRICS_SHAPE, np.dtype("float32")),
}
# Most that an adjacency may hold, and least and most that operations may, by the number of vertices.
EDGES_OF_SIZE = np.zeros((MAX_VERTICES + 1, MAX_VERTICES, MAX_VERTICES), dtype=np.uint8)
CODES_OF_SIZE = np.zeros((2, MAX_VERTICES + 1, MAX_VERTICES), dtype=np.int8)
for _size in range(2, MAX_VERTICES + 1):
    EDGES_OF_SIZE[_size, :_size, :_size] = np.triu(np.ones((_size, _size)), 1)
    CODES_OF_SIZE[:, _size, 0] = OPERATION_CODES[INPUT]
    CODES_OF_SIZE[1, _size, 1 : _size - 1] = len(INTERIOR_OPERATIONS) - 1
    CODES_OF_SIZE[:, _size, _size - 1] = OPERATION_CODES[OUTPUT]
# Kinds of type that a dataset may be stored as, by the kind it is read as.
KINDS = {"S": "SUO", "i": "iu", "f": "f"}
AXES = (
    "cell",
    f"budget: {', '.join(map(str, BUDGETS))} epochs",
    f"run: {', '.join(map(str, range(RUNS)))}",
    f"point: {', '.join(POINTS)}",
    f"metric: {', '.join(METRICS)}",
)


# Attributes in which a file says something of itself, and what a Benchmark calls them.
ATTRIBUTES = {"source": "source", "labels": "labels", "kind": "kind", "source_sha256": "sha256"}
# Longest text of a dataset of hashes: 32 characters of four bytes.
HASH_BYTES = 128


class BadBenchmark(UserError):
    """A file or a set of arrays is no benchmark: the message names the dataset, what was found and what to do."""


def empty_metrics(num_cells: int) -> np.ndarray:
    """Metrics of which nothing is known yet: NaN, shape (N, 4, 3, 2, 4), float32."""
    return np.full((num_cells, *METRICS_SHAPE), np.nan, dtype=np.float32)


def metric_position(
    metric: str, budget: int = 108, run: int | None = 0, at: str = "end"
) -> tuple[int, int | slice, int, int]:
    """Where a figure stands in the last four axes of the metrics; ``run=None`` means all runs.

    Raises:
        UserError: If there is no such metric, budget, run or point; the message lists those there are.

    >>> metric_position("test_accuracy", budget=36, run=2)
    (2, 2, 1, 3)
    """
    if metric not in METRICS:
        raise UserError(f"no metric is called {metric!r}; there are {', '.join(METRICS)}")
    if budget not in BUDGETS:
        raise UserError(f"no budget of {budget!r} epochs; there are {', '.join(map(str, BUDGETS))}")
    if at not in POINTS:
        raise UserError(f"nothing was measured at {at!r}; there are {', '.join(POINTS)}")
    if run is not None and run not in range(RUNS):
        raise UserError(f"no run {run!r}; there are {', '.join(map(str, range(RUNS)))}, and None for all of them")
    return BUDGETS.index(budget), slice(None) if run is None else int(run), POINTS.index(at), METRICS.index(metric)


def attribute(name: str) -> str:
    """Name of the :class:`~nplib.benchmark.Benchmark` attribute that holds a dataset."""
    return "hashes" if name == "hash" else name


def check_layout(datasets: Mapping[str, h5py.Dataset | np.ndarray], place: str) -> None:
    """Hold names, shapes and kinds of type against ``LAYOUT``, before anything is read.

    Raises:
        BadBenchmark: Which names the place, the dataset and what it should be.
    """
    missing = [name for name in LAYOUT if name not in datasets]
    if missing:
        there = ", ".join(sorted(datasets)) or "nothing"
        raise BadBenchmark(
            f"{place}: dataset {', '.join(missing)} is missing; it holds {there}. A benchmark has {', '.join(LAYOUT)}: "
            "make one with nplib convert"
        )
    groups = [name for name in LAYOUT if not hasattr(datasets[name], "shape")]
    if groups:
        raise BadBenchmark(f"{place}: {', '.join(groups)} is no dataset; make the file anew with nplib convert")
    num_cells = datasets["hash"].shape[0] if datasets["hash"].shape else 0
    if not 0 < num_cells <= SPACE_SIZE:
        raise BadBenchmark(
            f"{place}: dataset hash has shape {datasets['hash'].shape}; it needs (N,), N cells, at most {SPACE_SIZE:,}"
        )
    for name, (shape, dtype) in LAYOUT.items():
        found = datasets[name]
        if found.shape != (num_cells, *shape):
            raise BadBenchmark(
                f"{place}: dataset {name} has shape {found.shape}; for {num_cells:,} cells it must be "
                f"{(num_cells, *shape)}"
            )
        if found.dtype.kind not in KINDS[dtype.kind] or found.dtype.itemsize > HASH_BYTES:
            raise BadBenchmark(f"{place}: dataset {name} is of type {found.dtype}; it must be {dtype}")


def cast(name: str, array: np.ndarray, place: str) -> np.ndarray:
    """A dataset as exactly the type it should have, where no value is changed by it beyond float rounding.

    Raises:
        BadBenchmark: If a number does not fit the type, or a hash is no text or longer than 32 characters.
    """
    dtype = LAYOUT[name][1]
    if array.dtype == dtype:
        return np.ascontiguousarray(array)
    if name == "hash":
        try:
            texts = np.array(array.tolist(), dtype="S")
        except (UnicodeEncodeError, TypeError, ValueError) as error:
            raise BadBenchmark(f"{place}: dataset hash holds what is no ASCII text ({error})") from error
        if texts.dtype.itemsize > dtype.itemsize:
            raise BadBenchmark(f"{place}: dataset hash holds {max(texts, key=len)!r}; a module hash has 32 characters")
        return texts.astype(dtype)
    if dtype.kind == "i":
        limits = np.iinfo(dtype)
        if array.min() < limits.min or array.max() > limits.max:
            raise BadBenchmark(
                f"{place}: dataset {name} holds numbers from {array.min()} to {array.max()}; they must fit {dtype}"
            )
    return np.ascontiguousarray(array, dtype=dtype)


def check_hashes(hashes: np.ndarray, place: str) -> None:
    """That hashes, shape (N,), S32, are 32 hexadecimal digits each, all different."""
    digits = np.zeros(256, dtype=bool)
    digits[list(b"0123456789abcdef")] = True
    good = digits[hashes.view(np.uint8)]
    if not good.all():
        row = int(np.flatnonzero(~good)[0]) // 32
        raise BadBenchmark(
            f"{place}: hash {row} is {hashes[row].decode(errors='replace')!r}; "
            "a module hash is 32 hexadecimal digits in lower case"
        )
    names = hashes.tolist()
    if len(set(names)) < len(names):
        name = next(name for name, count in Counter(names).items() if count > 1)
        rows = np.flatnonzero(hashes == name)
        raise BadBenchmark(
            f"{place}: cells {', '.join(map(str, rows))} have one hash, {name.decode()}; each needs its own"
        )


def check_graphs(arrays: Mapping[str, np.ndarray], place: str) -> None:
    """That vertices, adjacency and operations make labelled graphs: forward edges, known codes, zeros behind."""
    num_vertices, adjacency, operations = arrays["num_vertices"], arrays["adjacency"], arrays["operations"]
    if num_vertices.min() < 2 or num_vertices.max() > MAX_VERTICES:
        row = int(np.flatnonzero((num_vertices < 2) | (num_vertices > MAX_VERTICES))[0])
        raise BadBenchmark(
            f"{place}: num_vertices of cell {row} is {num_vertices[row]}; cells have 2 to {MAX_VERTICES}"
        )
    wrong = adjacency.view(np.uint8) > EDGES_OF_SIZE[num_vertices]
    if wrong.any():
        row, u, v = np.argwhere(wrong)[0]
        raise BadBenchmark(
            f"{place}: adjacency of cell {row}, which has {num_vertices[row]} vertices, is {adjacency[row, u, v]} "
            f"at ({u}, {v}); edges are 0 or 1, go forward and join vertices that there are"
        )
    lowest, highest = CODES_OF_SIZE
    wrong = (operations < lowest[num_vertices]) | (operations > highest[num_vertices])
    if wrong.any():
        row = int(np.flatnonzero(wrong.any(axis=1))[0])
        raise BadBenchmark(
            f"{place}: operations of cell {row}, which has {num_vertices[row]} vertices, are "
            f"{operations[row].tolist()}; they must be -1 (input), 0, 1 or 2 in between, -2 (output), and 0 behind"
        )


def check_figures(arrays: Mapping[str, np.ndarray], place: str) -> None:
    """That parameter counts are not negative, times neither, and accuracies fractions; NaN is what is unknown."""
    parameters, metrics = arrays["trainable_parameters"], arrays["metrics"]
    if parameters.min() < 0:
        row = int(parameters.argmin())
        raise BadBenchmark(f"{place}: trainable_parameters of cell {row} is {parameters[row]}; it cannot be negative")
    flat = metrics.reshape(len(metrics), -1)
    least = np.fmin.reduce(flat, axis=0).reshape(METRICS_SHAPE)
    most = np.fmax.reduce(flat, axis=0).reshape(METRICS_SHAPE)
    limit = np.array([np.finfo(np.float32).max, 1, 1, 1], dtype=np.float32)
    bad = (least < 0) | (most > limit)
    if bad.any():
        b, r, p, m = (int(i) for i in np.argwhere(bad)[0])
        column = metrics[:, b, r, p, m]
        row = int(np.flatnonzero((column < 0) | (column > limit[m]))[0])
        needed = "times are seconds, from 0" if m == 0 else "accuracies are fractions, from 0 to 1"
        raise BadBenchmark(
            f"{place}: {METRICS[m]} of cell {row} ({BUDGETS[b]} epochs, run {r}, {POINTS[p]}) is {column[row]}; "
            f"{needed}, and NaN where unknown"
        )


def check_names(arrays: Mapping[str, np.ndarray], place: str) -> None:
    """That every graph is a cell of NASBench-101, whole and pruned, and has the module hash that stands beside it."""
    num_vertices, adjacency, operations = arrays["num_vertices"], arrays["adjacency"], arrays["operations"]
    space = load_space()
    found = space.find_cells(Cells(num_vertices, adjacency, operations))
    wrong = (found < 0) | (space.num_vertices[found] != num_vertices)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise BadBenchmark(
            f"{place}: cell {row}, of hash {arrays['hash'][row].decode()}, is none of NASBench-101: every vertex must "
            f"be on a path from input to output, and there are at most {MAX_EDGES} edges, not {adjacency[row].sum()}"
        )
    wrong = space.hashes[found] != arrays["hash"]
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise BadBenchmark(
            f"{place}: cell {row} has the hash {arrays['hash'][row].decode()}, and that of its graph is "
            f"{space.hashes[found[row]].decode()}; get the file again, or convert it again from the tfrecord"
        )


def digest_of(arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> str:
    """SHA-256 of what a file holds, whatever way it is stored: its arrays, and what it says of itself."""
    digest = hashlib.sha256(json.dumps(dict(about), sort_keys=True).encode())
    for name, (_, dtype) in LAYOUT.items():
        array = np.ascontiguousarray(arrays[name], dtype=dtype.newbyteorder("<"))
        digest.update(f"{name} {array.shape}".encode())
        digest.update(array.data.cast("B") if array.dtype.kind != "S" else array.view(np.uint8).data)
    return digest.hexdigest()


def open_datasets(file: h5py.File, place: str) -> dict[str, h5py.Dataset | h5py.Group]:
    """What a file itself holds of the layout; nothing that leads out of it, or around in it, is followed."""
    found = {}
    for name in file:
        link = file.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise BadBenchmark(f"{place}: {name} is a link to elsewhere, which is not followed; store the data itself")
        if name not in LAYOUT:
            continue
        found[name] = file[name]
        if isinstance(found[name], h5py.Dataset) and (found[name].is_virtual or found[name].external):
            raise BadBenchmark(
                f"{place}: dataset {name} is virtual or lies in another file, which is not followed; store the data "
                "itself"
            )
    return found


def sealed(image: memoryview) -> bytes:
    """What stands behind an HDF5 file, where HDF5 does not look: its SHA-256, to be checked before HDF5 reads it."""
    return SEAL + hashlib.sha256(image).digest()


def check_seal(path: Path) -> bool:
    """Whether a file has a seal; the reference's own has none, and HDF5 drops that of one which it edits.

    It is looked at before HDF5 sees anything: what is damaged may send that round for ever, or crash it.

    Raises:
        BadBenchmark:
    """
    length = len(SEAL) + hashlib.sha256().digest_size
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - length))
        end = file.read()
        if (place := end.find(SEAL)) < 0:
            return False
        file.seek(0)
        digest, left = hashlib.sha256(), size - len(end) + place
        while left > 0 and (part := file.read(min(left, 2**20))):
            digest.update(part)
            left -= len(part)
    if digest.digest() != end[place + len(SEAL) :]:
        raise BadBenchmark(
            f"{path} is not as it was written: it does not have the SHA-256 that stands at its end. It is damaged, or "
            "something changed it; convert it again (nplib convert), or fetch it again"
        )
    return True


def read_attributes(file: h5py.File, path: Path) -> dict[str, str]:
    """What our files say of themselves; nothing where a file says nothing."""
    version = file.attrs.get("schema_version", SCHEMA_VERSION)
    if not np.issubdtype(np.asarray(version).dtype, np.integer) or np.ndim(version) or version < 1:
        raise BadBenchmark(f"{path}: attribute schema_version is {version!r}; it must be a whole number from 1")
    if version > SCHEMA_VERSION:
        raise BadBenchmark(
            f"{path} is of layout {version}, and this nplib reads up to {SCHEMA_VERSION}; "
            "update nplib, or convert again"
        )
    about = {}
    for name, field in {**ATTRIBUTES, "digest": "digest"}.items():
        value = file.attrs.get(name)
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if value is not None:
            about[field] = str(value)
    # What a file says of itself ends where a damaged entry is.
    link = file.get("metrics", getlink=True)
    ours = "schema_version" in file.attrs or (isinstance(link, h5py.HardLink) and "units" in file["metrics"].attrs)
    if ours and not {"source", "labels", "sha256"} <= set(about):
        raise BadBenchmark(
            f"{path} does not say all that it must of where it is from; it is damaged, so convert it again "
            "(nplib convert), or fetch it again"
        )
    return about
