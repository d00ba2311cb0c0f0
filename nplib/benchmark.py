"""Every result of a benchmark in memory: cells, and what was measured when each was trained.

The file is HDF5 in the layout that the reference reads and writes (:mod:`nplib._layout`): six plain datasets.
Attributes say more where the file is ours; a file without them opens as well. Accuracies are fractions, times are
seconds.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from nplib import _layout
from nplib._files import expand, replacing
from nplib._layout import BUDGETS, LAYOUT, METRICS, POINTS, RUNS, BadBenchmark, attribute, metric_position
from nplib._layout import empty_metrics as empty_metrics
from nplib.cell import Cell, Cells
from nplib.errors import UserError
from nplib.space import Space

if TYPE_CHECKING:
    import pandas

# The label rule: a run below the first has failed; a cell whose runs all failed counts as the second.
FAILED_BELOW = 0.2
FALLBACK_ACCURACY = 0.908192
SURROGATE = "surrogate"  # the source of results that a model made and nobody measured
REAL = "real results of NASBench-101"  # the kind of all others


class MissingMetric(UserError):
    """Something is asked for that the benchmark does not hold for every cell."""


class UnknownCell(UserError, KeyError):
    """A cell is asked for that the benchmark does not hold."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would quote it


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Cells and their results, checked when made and read-only after.

    Args:
        hashes (array, shape (N,), S32): Module hashes, all different.
        trainable_parameters (array, shape (N,), int32): 0 where unknown.
        num_vertices, adjacency, operations (array): See :class:`nplib.cell.Cells`.
        metrics (array, shape (N, 4, 3, 2, 4), float32): By cell, budget (4, 12, 36, 108 epochs), run, halfway and end,
            and training time (s), train, validation and test accuracy (fractions); NaN where unknown.
        source (str): Where the results are from: ``"full"``, ``"only108"``, ``"one-run"``, ``"surrogate"``,
            ``"sample"``, ``"file"``.
        labels (str): One sentence: what is known of which runs.
        kind (str): What kind of results these are, in a few words that fit into a line; by default ``labels``.
        sha256 (str): Of the file that they were made from; empty where unknown.
        path (Path or None): The file that they were read from.

    Raises:
        BadBenchmark: If arrays have other shapes or types than these, or hold what cannot be.
    """

    hashes: np.ndarray
    num_vertices: np.ndarray
    trainable_parameters: np.ndarray
    adjacency: np.ndarray
    operations: np.ndarray
    metrics: np.ndarray
    source: str = "file"
    labels: str = "the file does not say what kind of results these are"
    sha256: str = ""
    path: Path | None = None
    kind: str = ""

    def __post_init__(self) -> None:
        if not self.kind:
            object.__setattr__(self, "kind", self.labels)
        place = "benchmark" if self.path is None else str(self.path)
        arrays = {name: np.asarray(getattr(self, attribute(name))) for name in LAYOUT}
        _layout.check_layout(arrays, place)
        arrays = {name: _layout.cast(name, array, place) for name, array in arrays.items()}
        _layout.check_hashes(arrays["hash"], place)
        _layout.check_graphs(arrays, place)
        _layout.check_figures(arrays, place)
        for name, array in arrays.items():
            array = array.view()  # so that an array of the caller's stays writable
            array.setflags(write=False)
            object.__setattr__(self, attribute(name), array)

    @classmethod
    def from_cells(cls, cells: Sequence[Cell], metrics: np.ndarray, **about) -> Benchmark:
        """Cells, pruned on the way, and their metrics; ``about`` is any of source, labels, kind, sha256, path."""
        cells = [cell.pruned() for cell in cells]
        padded = Cells.of(cells)
        hashes = np.array([cell.module_hash for cell in cells], dtype="S32")
        parameters = np.array([cell.trainable_parameters for cell in cells], dtype=np.int32)
        return cls(hashes, padded.num_vertices, parameters, padded.adjacency, padded.operations, metrics, **about)

    @classmethod
    def from_space(cls, space: Space, indices: np.ndarray, metrics: np.ndarray, **about) -> Benchmark:
        """Cells of the space by their indices, and their metrics; ``about`` as for :meth:`from_cells`."""
        names = ("hashes", "num_vertices", "trainable_parameters", "adjacency", "operations")
        return cls(*(getattr(space, name)[indices] for name in names), metrics, **about)

    @classmethod
    def open(cls, path: str | os.PathLike) -> Benchmark:
        """Read a benchmark file, ours or the reference's own.

        Raises:
            BadBenchmark: If it is not there, is no HDF5, is of a newer layout, or holds what cannot be; if it states a
                digest that its arrays do not have; if it states none, as the reference's own, and a graph is not of its
                hash.
        """
        path = expand(path)
        if not path.is_file():
            found = "is a folder" if path.is_dir() else "does not exist"
            raise BadBenchmark(f"{path} {found}; name the HDF5 file of a benchmark (nplib convert makes one)")
        try:
            sealed = _layout.check_seal(path)
            # No lock: some shared file systems have none, and what we write is complete before it has its name.
            with h5py.File(path, "r", locking=False) as file:
                about = _layout.read_attributes(file, path)
                datasets = _layout.open_datasets(file, str(path))
                _layout.check_layout(datasets, str(path))
                arrays = {attribute(name): dataset[()] for name, dataset in datasets.items()}
        except UserError:
            raise
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
            raise BadBenchmark(
                f"{path} cannot be read as HDF5 ({error}); it may be another kind of file, or cut short: "
                "convert it again from the tfrecord (nplib convert), or fetch it again"
            ) from error
        stated = about.pop("digest", None)
        benchmark = cls(**arrays, **about, path=path)
        arrays = {name: getattr(benchmark, attribute(name)) for name in LAYOUT}
        if not sealed and (stated is None or stated != _layout.digest_of(arrays, about)):
            _layout.check_names(arrays, str(path))
            if stated is not None:
                raise BadBenchmark(
                    f"{path} is not as it was written: its arrays do not have the digest that it states. It is "
                    "damaged, or something changed it; convert it again (nplib convert), or fetch it again"
                )
        return benchmark

    def save(self, target: str | os.PathLike, overwrite: bool = False) -> None:
        """Write the benchmark as HDF5, whole or not at all; UserError if it cannot be, or may not replace a file."""
        image = self._image()
        seal = _layout.sealed(image)
        with replacing(target, overwrite, image.nbytes + len(seal)) as partial, open(partial, "wb") as file:
            file.write(image)
            file.write(seal)

    def _image(self) -> memoryview:
        """The HDF5 file, made in memory: HDF5 itself crashes the interpreter when a disk is full."""
        image = io.BytesIO()
        with h5py.File(image, "w") as file:
            arrays = {name: getattr(self, attribute(name)) for name in LAYOUT}
            about = {field: getattr(self, field) for field in _layout.ATTRIBUTES.values()}
            for name, (_, dtype) in LAYOUT.items():
                file.create_dataset(name, data=arrays[name], dtype=dtype)
            file.attrs["schema_version"] = _layout.SCHEMA_VERSION
            file.attrs.update({name: about[field] for name, field in _layout.ATTRIBUTES.items()})
            file.attrs["digest"] = _layout.digest_of(arrays, about)
            file["metrics"].attrs["axes"] = _layout.AXES
            file["metrics"].attrs["units"] = _layout.UNITS
        return image.getbuffer()

    def __len__(self) -> int:
        return len(self.hashes)

    def __repr__(self) -> str:
        return f"Benchmark({len(self):,} cells, source {self.source!r}: {self.labels})"

    @cached_property
    def cells(self) -> Cells:
        """All cells as one value."""
        return Cells(self.num_vertices, self.adjacency, self.operations)

    def cell(self, index: int) -> Cell:
        """The cell at an index, as an object."""
        return self.cells.cell(index)

    @cached_property
    def _index_of_hash(self) -> dict[bytes, int]:
        return {name: index for index, name in enumerate(self.hashes.tolist())}

    def index(self, key: str | bytes | Cell) -> int:
        """Index of a cell, given as its module hash or any labelling of it, pruned or not; UnknownCell if not held."""
        return int(self.indices([key.module_hash if isinstance(key, Cell) else key])[0])

    def indices(self, hashes: Iterable[str | bytes]) -> np.ndarray:
        """Indices, shape (M,), int64, of module hashes; UnknownCell if one is not held."""
        names = hashes.tolist() if isinstance(hashes, np.ndarray) else list(hashes)
        names = [name.encode() if isinstance(name, str) else name for name in names]
        found = np.array([self._index_of_hash.get(name, -1) for name in names], dtype=np.int64)
        if (found < 0).any():
            unknown = np.flatnonzero(found < 0)
            first = names[unknown[0]].decode(errors="replace")
            raise UnknownCell(
                f"{_where(self)} holds no cell of module hash {first!r} ({len(unknown):,} unknown of {len(names):,} "
                f"asked for); it has {len(self):,} cells"
            )
        return found

    def values(
        self, metric: str = "validation_accuracy", budget: int = 108, run: int | None = 0, at: str = "end"
    ) -> np.ndarray:
        """What was measured, of every cell: fractions, or seconds for the training time.

        Args:
            metric (str): One of ``METRICS``.
            budget (int): Epochs trained for, one of ``BUDGETS``.
            run (int or None): 0, 1, 2, or None for all three.
            at (str): ``"end"`` of the training, or ``"halfway"``.

        Returns:
            array, shape (N,) or, for all runs, (N, 3), float64

        Raises:
            MissingMetric: If a cell lacks it: the message says how many do, and what there is.
        """
        position = metric_position(metric, budget, run, at)
        values = self.metrics[(slice(None), *position)].astype(np.float64)
        missing = int(np.isnan(values).reshape(len(self), -1).any(axis=1).sum())
        if missing:
            which = "one of the three runs" if run is None else f"run {run}"
            raise MissingMetric(
                f"{_where(self)} lacks {metric} after {budget} epochs, {which}, at {at}, "
                f"for {missing:,} of its {len(self):,} cells; for all cells it has {self._held()}"
            )
        return values

    @cached_property
    def _cells_known(self) -> tuple[np.ndarray, np.ndarray]:
        """How many cells have each figure, shape (4, 3, 2, 4), and how many have it of any run, (4, 2, 4)."""
        known = ~np.isnan(self.metrics)
        of_any_run = known[:, :, 0] | known[:, :, 1] | known[:, :, 2]  # .any(axis=2) takes five times as long
        return np.count_nonzero(known, axis=0), np.count_nonzero(of_any_run, axis=0)

    def runs(self, metric: str = "validation_accuracy", budget: int = 108, at: str = "end") -> tuple[int, ...]:
        """The runs of which every cell has this figure."""
        counts = self._cells_known[0][metric_position(metric, budget, None, at)]
        return tuple(np.flatnonzero(counts == len(self)).tolist())

    def has(self, metric: str, budget: int = 108, run: int | None = 0, at: str = "end") -> bool:
        """Whether :meth:`values` of the same arguments can be given."""
        counts = self._cells_known[0][metric_position(metric, budget, run, at)]
        return bool(np.all(counts == len(self)))

    def available(self) -> pandas.DataFrame:
        """What the benchmark has: a row for every budget (epochs), point (``at``) and metric.

        ``runs`` is a tuple of those that every cell has, ``cells`` how many have at least one run.
        """
        import pandas

        rows = [
            (budget, at, metric, self.runs(metric, budget, at), int(self._cells_known[1][b, p, m]))
            for b, budget in enumerate(BUDGETS)
            for p, at in enumerate(POINTS)
            for m, metric in enumerate(METRICS)
        ]
        return pandas.DataFrame(rows, columns=["budget", "at", "metric", "runs", "cells"])

    def _held(self) -> str:
        """What every cell has, in words."""
        budgets: dict[str, list[int]] = {}
        for metric in METRICS:
            for at in POINTS:
                for budget in BUDGETS:
                    if runs := self.runs(metric, budget, at):
                        what = f"{metric} at {at} of run {', '.join(map(str, runs))}"
                        budgets.setdefault(what, []).append(budget)
        return "; ".join(f"{what} ({', '.join(map(str, b))} epochs)" for what, b in budgets.items()) or "nothing"

    @property
    def label_metric(self) -> str:
        """What labels are by default, ``validation_accuracy`` where every cell has it, otherwise ``test_accuracy``."""
        return self._label_metric(108, 0)

    def _label_metric(self, budget: int, run: int) -> str:
        if self.has("validation_accuracy", budget, run) or not self.has("test_accuracy", budget, run):
            return "validation_accuracy"
        return "test_accuracy"

    def accuracy_labels(
        self,
        metric: str | None = None,
        budget: int = 108,
        run: int = 0,
        failed_below: float = FAILED_BELOW,
        fallback: float = FALLBACK_ACCURACY,
    ) -> np.ndarray:
        """One accuracy a cell to learn from or to hold a prediction against, as the reference takes it.

        That of the given run; where this run failed, that of the first run which did not; where all failed, the
        fallback. Runs that are unknown are passed over.

        Args:
            metric (str, optional): One of the accuracies; whether a run failed is judged by this same figure. By
                default the validation accuracy where every cell has it at this budget and run, otherwise the test
                accuracy.
            failed_below, fallback (float): Fractions; a run of less accuracy than the first has failed. 0: no run has.

        Returns:
            array, shape (N,), float64: Fractions.

        Raises:
            MissingMetric: If a cell lacks the given run.
        """
        if metric == "training_time":
            raise UserError(f"labels are accuracies, not {metric!r}; there are {', '.join(METRICS[1:])}")
        for name, value in (("failed_below", failed_below), ("fallback", fallback)):
            if not 0 <= value <= 1:
                raise UserError(f"{name} is {value!r}; it is an accuracy as a fraction, from 0 to 1")
        if run is None:
            raise UserError(f"labels are of one run; choose among {', '.join(map(str, range(RUNS)))}")
        metric = metric or self._label_metric(budget, run)
        labels = self.values(metric, budget, run)
        # Compared as stored, in single precision, like the reference does.
        runs = self.metrics[(slice(None), *metric_position(metric, budget, None))]
        failed = np.flatnonzero(runs[:, run] < np.float32(failed_below))
        good = runs[failed] >= np.float32(failed_below)  # (F, 3); false where unknown
        first = good.argmax(axis=1)
        labels[failed] = np.where(good.any(axis=1), runs[failed, first].astype(np.float64), fallback)
        return labels


def _where(benchmark: Benchmark) -> str:
    return f"the benchmark ({benchmark.source}, {benchmark.path or 'in memory'})"
