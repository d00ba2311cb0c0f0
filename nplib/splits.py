"""Which cells a predictor learns from and which it is held against: index arrays into a benchmark, by name.

Names and random numbers are the reference's: ``172``, ``334`` and ``860`` come from one stream, further sizes after
them; ``denoise-91`` and ``denoise-80`` leave out cells at or below 91 % and 80 %; ``91-172`` is what both have.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from nplib._files import BadArrays, expand, read_arrays, write_arrays
from nplib.benchmark import Benchmark
from nplib.errors import UserError

logger = logging.getLogger(__name__)

SIZES = (172, 334, 860)
EXTRA_SIZES = (43, 86, 129, 344)
# Cells of a denoised split have a label above this: validation accuracy, or test accuracy where only that is known.
THRESHOLDS = {"denoise-91": 0.91, "denoise-80": 0.8}
NAMES = (
    *(str(n) for n in SIZES),
    *(f"91-{n}" for n in SIZES),
    *THRESHOLDS,
    *(str(n) for n in EXTRA_SIZES),
    *(f"91-{n}" for n in EXTRA_SIZES),
    "all",
)


# No file of splits is larger: every cell in each of a hundred.
MOST_BYTES = 100 * 8 * 423_624


class BadSplits(UserError):
    """A file of splits cannot be used, or holds no split of that name or for this benchmark."""


def make_splits(benchmark: Benchmark) -> dict[str, np.ndarray]:
    """Every split that the benchmark is large enough for.

    Random sizes above the number of cells are left out, with a line in the log, and so are their ``91-`` splits.

    Returns:
        dict of str to array, int64: In the order of ``NAMES``. Random splits are in the order drawn, all others
            ascending.

    Raises:
        nplib.benchmark.MissingMetric: If a cell lacks run 0 of its accuracy after 108 epochs.
    """
    if left_out := _too_large(benchmark):
        logger.warning("no splits of %s: there are %d cells", ", ".join(left_out), len(benchmark))
    names = [name for name in NAMES if name.removeprefix("91-") not in left_out]
    return {name: split_indices(benchmark, name) for name in names}


def split_indices(benchmark: Benchmark, name: str) -> np.ndarray:
    """The cells of one split, int64, as :func:`make_splits` has them.

    Raises:
        BadSplits: If there is no split of that name, or it is to have more cells than the benchmark.
        nplib.benchmark.MissingMetric: If the split goes by accuracy and a cell lacks run 0 of it after 108 epochs.
    """
    if name not in NAMES:
        raise BadSplits(f"no split is called {name!r}; there are {', '.join(NAMES)}")
    if name == "all":
        return np.arange(len(benchmark), dtype=np.int64)
    if name in THRESHOLDS:
        return _above(benchmark, THRESHOLDS[name])
    size = name.removeprefix("91-")
    if size in (too_large := _too_large(benchmark)):
        fitting = [name for name in NAMES if name.removeprefix("91-") not in too_large]
        raise BadSplits(
            f"split {name!r} draws {size} cells, and the benchmark has {len(benchmark)}; "
            f"it is large enough for {', '.join(fitting)}"
        )
    drawn = _draw(len(benchmark))[size].copy()
    return drawn if name == size else np.intersect1d(drawn, _above(benchmark, THRESHOLDS["denoise-91"]))


def _too_large(benchmark: Benchmark) -> list[str]:
    return [str(size) for size in (*SIZES, *EXTRA_SIZES) if size > len(benchmark)]


@cache
def _draw(num_cells: int) -> dict[str, np.ndarray]:
    """The random splits by size. All permutations are drawn: one is the same whichever others there are."""
    random = np.random.RandomState(0)
    return {str(size): random.permutation(num_cells)[:size].astype(np.int64) for size in (*SIZES, *EXTRA_SIZES)}


def drawn_cells(num_cells: int, count: int, draws: int) -> list[np.ndarray]:
    """So many labelled cells, drawn several times: the same on every page, so that pages can be compared draw by draw.

    Draw s begins ``RandomState(s).permutation(num_cells)``; so published predictors are compared. The first draw of 172
    is the reference's split of that name, and fewer cells are the beginning of more.

    Returns:
        list of array, shape (count,), int64: Indices, an array a draw.

    >>> few, more = drawn_cells(1000, 3, 2), drawn_cells(1000, 5, 2)
    >>> [np.array_equal(a, b[:3]) for a, b in zip(few, more)]
    [True, True]
    """
    return [np.random.RandomState(s).permutation(num_cells)[:count].astype(np.int64) for s in range(draws)]


def passing(labels: np.ndarray, above: float = 0.91) -> np.ndarray:
    """Whether an accuracy lies above a threshold, of the shape of the labels; unknown ones (NaN) do not.

    Both are fractions and are compared in single precision, as accuracies are stored and as the reference compares.

    >>> passing(np.float32([0.91, 0.92, np.nan])).tolist()
    [False, True, False]
    """
    return np.asarray(labels).astype(np.float32) > np.float32(above)


def _above(benchmark: Benchmark, threshold: float) -> np.ndarray:
    """Cells whose run 0 was measured above a threshold; a run that failed counts as it is."""
    return np.flatnonzero(passing(benchmark.values(benchmark.label_metric, budget=108, run=0), threshold))


def pick_split(splits: Mapping[str, np.ndarray], name: str, place: str = "the file") -> np.ndarray:
    """One of several splits, or BadSplits that lists those there are; ``place`` says where they are from."""
    if name not in splits:
        raise BadSplits(f"{place} has no split {name!r}; it has {', '.join(splits)}")
    return splits[name]


def save_splits(target: str | os.PathLike, splits: Mapping[str, np.ndarray], overwrite: bool = False) -> None:
    """Write splits as an .npz file that the reference's code reads too; raises what saving a benchmark raises."""
    arrays = {name: np.asarray(indices, dtype=np.int64) for name, indices in splits.items()}
    write_arrays(target, arrays, overwrite)


def load_splits(path: str | os.PathLike, num_cells: int) -> dict[str, np.ndarray]:
    """Read a file of splits, ours or the reference's, for a benchmark of so many cells.

    Names are taken as they are, so that a file may hold splits of your own. ``all`` is there even if the file lacks it.
    BadSplits if it is no such file, or a split is no list of different cells of the benchmark.
    """
    path = expand(path)
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise BadSplits(f"{path} {found}; name a file of splits (nplib split makes one)")
    try:
        splits = read_arrays(path, MOST_BYTES)
    except BadArrays as error:
        raise BadSplits(f"{error}; make it anew with nplib split") from error
    for name, indices in splits.items():
        _check_split(indices, num_cells, f"{path}: split {name!r}")
    if "all" in splits and len(splits["all"]) != num_cells:
        raise BadSplits(
            f"{path}: split 'all' has {len(splits['all']):,} cells, and the benchmark {num_cells:,}; it was made for "
            "another benchmark: make it anew with nplib split"
        )
    splits = {name: indices.astype(np.int64) for name, indices in splits.items()}
    return splits | {"all": np.arange(num_cells, dtype=np.int64)}


def _check_split(indices: np.ndarray, num_cells: int, place: str) -> None:
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise BadSplits(
            f"{place} is of shape {indices.shape} and type {indices.dtype}; it must be a list of whole numbers"
        )
    outside = indices[(indices < 0) | (indices >= num_cells)]
    if len(outside):
        raise BadSplits(
            f"{place} names cell {outside[0]}, and the benchmark has cells 0 to {num_cells - 1}; it was made for "
            "another benchmark: make it anew with nplib split"
        )
    cells, counts = np.unique(indices, return_counts=True)
    if len(cells) < len(indices):
        raise BadSplits(
            f"{place} names cell {cells[counts > 1][0]} more than once; it must name each cell once at most"
        )


def training_rows(
    num_cells: int,
    accuracies: np.ndarray,
    seeds: Sequence[int],
    training_cells: np.ndarray | Sequence[np.ndarray] | None,
) -> list[np.ndarray]:
    """What :func:`nplib.training.fit_predictors` trains on: indices, int64, an array a seed.

    UserError if there are no seeds, not one accuracy a cell, not one row a seed, or an index is out of range.
    """
    if not len(seeds):
        raise UserError("no seeds: nothing would be fitted; give at least one")
    if any(int(seed) != seed or seed < 0 for seed in seeds):
        raise UserError(f"seeds are {list(seeds)}; they must be whole numbers, 0 or more")
    if np.shape(accuracies) != (num_cells,):
        raise UserError(f"accuracies have shape {np.shape(accuracies)} for {num_cells} cells; give one for each")
    if training_cells is None:
        training_cells = np.arange(num_cells)
    if not len(training_cells) or np.ndim(training_cells[0]) == 0:
        rows = [np.asarray(training_cells)] * len(seeds)
    else:
        rows = [np.asarray(row) for row in training_cells]
    if len(rows) != len(seeds) or any(row.ndim != 1 for row in rows):
        shapes = ", ".join(sorted({str(row.shape) for row in rows}))
        raise UserError(
            f"training_cells have {len(rows)} rows of shape {shapes} for {len(seeds)} seeds; give (n,) or one row "
            "a seed"
        )
    for number, row in enumerate(rows):
        if row.dtype == bool and len(row) == num_cells:
            row = rows[number] = np.flatnonzero(row)
        if len(row) and row.dtype.kind not in "iu":
            raise UserError(
                f"training_cells are {len(row)} of type {row.dtype}; give indices, whole numbers, or a mask of all "
                f"{num_cells} cells"
            )
        if len(row) and (row.min() < 0 or row.max() >= num_cells):
            raise UserError(f"training_cells run from {row.min()} to {row.max()}; there are {num_cells} cells")
    return [row.astype(np.int64) for row in rows]
