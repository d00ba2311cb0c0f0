"""The sample: real results of 20,001 cells of NASBench-101, as JSON with module hashes and no graphs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from nplib._files import expand
from nplib.benchmark import BUDGETS, REAL, Benchmark, empty_metrics, metric_position
from nplib.errors import UserError
from nplib.sources.download import RemoteFile
from nplib.space import load_space

SAMPLE = RemoteFile(
    "data-20k.json",
    "https://raw.githubusercontent.com/tiga1231/nasbench-vis/b85bd62ed10fdf6bc085dcaec8928ca918aa451f/static/data/"
    "data-20k.json",
    "7eaca9658aebf16443d3df5b38e61fe75d85787abc485cfc9a2088328443c3e9",
    2.9,
)
SAMPLE_LABELS = (
    "real results; validation accuracy at 108 epochs is the best of three runs, at 4, 12 and 36 epochs that of one "
    "run; training time is of one run at 108 epochs; no test or train accuracy, and nothing at halfway"
)
# Fields of the sample, beside its hashes and parameters, and the figure each one is.
SAMPLE_FIGURES = {f"{budget}_final_validation_accuracy": ("validation_accuracy", budget) for budget in BUDGETS}
SAMPLE_FIGURES["final_training_time"] = ("training_time", 108)
SAMPLE_FIELDS = ("key", "trainable_parameters", *SAMPLE_FIGURES)


class BadSample(UserError):
    """A file is not the sample, or is damaged: the message names the field, the place and what was found."""


def read_sample(path: str | os.PathLike) -> Benchmark:
    """Results of a file in the sample's format, joined to their graphs by module hash, in the order of the file.

    Args:
        path (path): JSON: an object of lists of one length, ``key`` (module hashes), ``trainable_parameters``,
            ``4_final_validation_accuracy`` and so for 12, 36, 108 (fractions), ``final_training_time`` (s). They are
            taken as those of run 0, at the end; everything else is unknown (NaN).

    Raises:
        BadSample: If the file is not of that format, has a cell that NASBench-101 has not, or gives one another size
            than the network built from it has.
    """
    path = expand(path)
    table = _read_lists(path)
    figures = {name: _numbers(path, name, table[name]) for name in (*SAMPLE_FIGURES, "trainable_parameters")}
    hashes = _hashes(path, table["key"])
    space = load_space()
    indices = space.find_hashes(hashes)
    unknown = np.flatnonzero(indices < 0)
    if len(unknown):
        raise BadSample(
            f"{path}: key {unknown[0]} is {hashes[unknown[0]].decode()!r}, and no cell of NASBench-101 has this module "
            f"hash ({len(unknown):,} of {len(hashes):,} are unknown); the file holds other cells, or is damaged"
        )
    sizes = space.trainable_parameters[indices]
    wrong = np.flatnonzero(figures["trainable_parameters"] != sizes)
    if len(wrong):
        raise BadSample(
            f"{path}: trainable_parameters {wrong[0]} is {table['trainable_parameters'][wrong[0]]}, and cell "
            f"{hashes[wrong[0]].decode()} has {sizes[wrong[0]]} ({len(wrong):,} of {len(hashes):,} differ); "
            "the lists do not belong together, or the file is damaged"
        )
    metrics = empty_metrics(len(hashes))
    for name, (metric, budget) in SAMPLE_FIGURES.items():
        metrics[(slice(None), *metric_position(metric, budget))] = figures[name]
    about = {"source": "sample", "labels": SAMPLE_LABELS, "kind": REAL, "sha256": SAMPLE.digest_of(path), "path": path}
    return Benchmark.from_space(space, indices, metrics, **about)


def _read_lists(path: Path) -> dict[str, list]:
    try:
        table = json.loads(path.read_bytes())
    except OSError as error:
        raise BadSample(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise BadSample(f"{path} is no JSON ({error}); it may be another file, or cut short: get it again") from error
    if not isinstance(table, dict):
        raise BadSample(f"{path} holds a {type(table).__name__}; the sample is an object of lists")
    for name in SAMPLE_FIELDS:
        if name not in table:
            raise BadSample(f"{path} lacks {name}; it holds {', '.join(table) or 'nothing'}")
        if not isinstance(table[name], list):
            raise BadSample(f"{path}: {name} is a {type(table[name]).__name__}; it must be a list, an entry a cell")
    lengths = {name: len(table[name]) for name in SAMPLE_FIELDS}
    if set(lengths.values()) != {lengths["key"] or 1}:
        found = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        raise BadSample(f"{path}: its lists must have one length, from 1 ({found}); it is damaged, get it again")
    return table


def _numbers(path: Path, name: str, values: list) -> np.ndarray:
    highest = 1 if name.endswith("accuracy") else 2**31 - 1
    for row, value in enumerate(values):
        if type(value) not in (int, float) or not 0 <= value <= highest:
            raise BadSample(f"{path}: {name} {row} is {value!r}; it must be a number from 0 to {highest:,}")
    return np.array(values, dtype=np.float64)


def _hashes(path: Path, keys: list) -> np.ndarray:
    first: dict[str, int] = {}
    for row, key in enumerate(keys):
        if not isinstance(key, str) or len(key) != 32 or not key.isascii():
            raise BadSample(f"{path}: key {row} is {key!r}; a module hash is 32 hexadecimal digits")
        if first.setdefault(key, row) != row:
            raise BadSample(f"{path}: keys {first[key]} and {row} are both {key}; a cell may occur only once")
    return np.array(keys, dtype="S32")
