"""Cells as CSV or JSON: what goes between a search or a predictor and whoever trains the cells."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas

from nplib._files import expand, replacing
from nplib.benchmark import Benchmark
from nplib.cell import OPERATION_NAMES, Cell
from nplib.errors import UserError
from nplib.space import Space

HASH = "module_hash"
ACCURACY = "validation_accuracy"
COLUMNS = ("place", HASH, "operations", "adjacency", ACCURACY)
# What a file may call the graph of a cell, ours first, then the official names.
_MATRIX = ("adjacency", "matrix", "module_adjacency")
_OPERATIONS = ("operations", "ops", "module_operations")


class BadCellTable(UserError):
    """A file of cells cannot be used; the message names the line and what was found."""


def cell_frame(cells: Benchmark | Space, indices: np.ndarray) -> pandas.DataFrame:
    """Cells as a table, in the order given.

    Args:
        indices (array, shape (n,)): Into these.

    Returns:
        DataFrame: Columns are the place in that order, from 1, the module hash, operations (official names with commas
            between) and adjacency matrix (V * V digits, row by row) as in the official records.
    """
    indices = np.asarray(indices, dtype=np.int64)
    sizes = cells.num_vertices[indices]
    return pandas.DataFrame(
        {
            "place": np.arange(1, len(indices) + 1),
            HASH: cells.hashes[indices].astype(str),
            "operations": _texts(
                cells.operations[indices], sizes, lambda row, v: ",".join(OPERATION_NAMES[code] for code in row[:v])
            ),
            "adjacency": _texts(
                cells.adjacency[indices], sizes, lambda matrix, v: "".join(map(str, matrix[:v, :v].ravel()))
            ),
        }
    )


def _texts(arrays: np.ndarray, sizes: np.ndarray, text: Callable[[np.ndarray, int], str]) -> np.ndarray:
    """A text an array, each different one written once."""
    keys = np.column_stack([sizes, arrays.reshape(len(arrays), math.prod(arrays.shape[1:]))]).astype(np.int8)
    _, first, which = np.unique(keys.view(f"V{keys.shape[1]}").ravel(), return_index=True, return_inverse=True)
    texts = [text(arrays[row], int(sizes[row])) for row in first]
    return np.array(texts, dtype=object)[which]


def write_cells(
    target: str | os.PathLike,
    cells: Benchmark | Space,
    indices: np.ndarray,
    accuracies: Iterable[float] | None = None,
    overwrite: bool = False,
) -> None:
    """Write the table of :func:`cell_frame` and validation accuracies as CSV, whole or not at all.

    Args:
        indices (array, shape (n,)): Into these.
        accuracies (iterable of float, length n, optional): Fractions; the column is left empty, to be filled in, if not
            given.

    Raises:
        nplib._files.TargetExists: If the target exists and ``overwrite`` is false.
    """
    frame = cell_frame(cells, indices)
    frame[ACCURACY] = "" if accuracies is None else list(accuracies)
    write_frame(target, frame, overwrite)


def write_frame(target: str | os.PathLike, frame: pandas.DataFrame, overwrite: bool = False) -> None:
    """Write a table as CSV, or as JSON if the target is called so; whole or not at all."""
    with replacing(target, overwrite) as partial, open(partial, "w", newline="", encoding="utf8") as file:
        if Path(target).suffix == ".json":
            json.dump(frame.to_dict("records"), file, indent=1)
        else:
            frame.to_csv(file, index=False, lineterminator="\n")


def read_labels(path: str | os.PathLike, space: Space) -> tuple[np.ndarray, np.ndarray]:
    """Cells that someone trained, and their validation accuracies, from what :func:`read_cells` reads.

    Args:
        path (path): With ``validation_accuracy`` (fractions) beside each cell.

    Returns:
        cells (array, shape (n,), int64): Indices into the space, in the order of the file.
        accuracies (array, shape (n,), float64): Fractions.

    Raises:
        BadCellTable: As :func:`read_cells`; also if there is no cell, or an accuracy is missing or no fraction.
    """
    cells, frame = read_cells(path, space, [HASH, ACCURACY])
    if not len(cells):
        raise BadCellTable(f"{path} holds no cell below its line of names; there is nothing to learn from")
    accuracies = [_fraction(f"{where}: {ACCURACY}", text) for where, text in frame[ACCURACY].items()]
    return cells, np.array(accuracies)


def read_cells(
    path: str | os.PathLike, space: Space, needed: Iterable[str] = ()
) -> tuple[np.ndarray, pandas.DataFrame]:
    """Cells that a file names: by ``module_hash``, or by adjacency matrix and operations, or by both.

    Args:
        path (path): CSV with a line of names, or JSON (``.json``): a list of hashes, or of objects with these names.
        needed (iterable of str): Columns that there must be.

    Returns:
        cells (array, shape (n,), int64): Indices into the space, in the order of the file.
        frame (DataFrame): What the file says, as texts; rows are named by their places in it.

    Raises:
        BadCellTable: If the file cannot be read, lacks a column, holds a cell that the space has not or one twice, or a
            graph that is not that of the hash beside it.
    """
    path = expand(path)
    frame = _frame_of(path, needed)
    graphs = [next((name for name in names if name in frame), None) for names in (_MATRIX, _OPERATIONS)]
    if HASH not in frame and None in graphs:
        raise BadCellTable(
            f"{path} names {', '.join(map(str, frame)) or 'none'}; it needs {HASH}, or adjacency and operations"
        )
    where_of: dict[int, str] = {}
    for where, row in zip(frame.index, frame.to_dict("records"), strict=True):
        cell = _find(where, row, graphs, space)
        if cell in where_of:
            name = space.hashes[cell].decode()
            raise BadCellTable(
                f"{where}: cell {name} stands in {where_of[cell].removeprefix(f'{path}, ')} already; leave one of them "
                "out"
            )
        where_of[cell] = where
    return np.array(list(where_of), dtype=np.int64), frame


def _frame_of(path: Path, needed: Iterable[str]) -> pandas.DataFrame:
    """A file as a table of texts without blanks around them; rows without any are left out."""
    try:
        if path.suffix == ".json":
            rows = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
            if not isinstance(rows, list) or not all(isinstance(row, str | dict) for row in rows):
                raise BadCellTable(
                    f"{path} is no list of hashes, or of objects with {HASH} or adjacency and operations"
                )
            frame = pandas.DataFrame([{HASH: row} if isinstance(row, str) else row for row in rows], dtype=object)
            frame = frame.where(frame.notna(), "")
            frame.index = [f"{path}, entry {number}" for number in range(1, len(frame) + 1)]
            frame = frame.map(lambda value: value.strip() if isinstance(value, str) else value)
        else:
            frame = _frame_of_csv(path)
    except OSError as error:
        raise BadCellTable(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error, json.JSONDecodeError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "CSV"
        raise BadCellTable(f"{path} is no {kind} in UTF-8 ({error}); save it as such") from None
    if missing := [name for name in needed if name not in frame]:
        raise BadCellTable(
            f"{path}, line 1: no column {' and no column '.join(missing)}; it names "
            f"{', '.join(map(str, frame)) or 'none'}. Give a line of names first, with commas between them"
        )
    return frame[(frame.astype(str) != "").any(axis=1)] if len(frame.columns) else frame


def _frame_of_csv(path: Path) -> pandas.DataFrame:
    """Rows by their lines. Not by pandas, which renames a name that stands twice and drops what has no name."""
    rows = {}
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        names = [name.strip() for name in next(reader, [])]
        if twice := [name for name in names if name and names.count(name) > 1]:
            raise BadCellTable(f"{path}, line 1 names {twice[0]!r} twice; leave one of these columns out")
        for row in reader:
            texts = [text.strip() for text in row]
            if any(texts[len(names) :]):
                raise BadCellTable(
                    f"{path}, line {reader.line_num}: {len(texts)} texts for {len(names)} names; a comma within a text "
                    'needs quotes around it (","), and decimals a point (0.93)'
                )
            rows[f"{path}, line {reader.line_num}"] = texts[: len(names)] + [""] * (len(names) - len(texts))
    frame = pandas.DataFrame.from_dict(rows, orient="index", columns=names, dtype=str)
    return frame.loc[:, [bool(name) for name in names]]


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) < len(pairs):
        names = [name for name, _ in pairs]
        raise BadCellTable(f"an object names {max(names, key=names.count)!r} twice; leave one of them out")
    return dict(pairs)


def _find(where: str, row: dict[str, object], graphs: list[str | None], space: Space) -> int:
    """Index of the cell of a row."""
    name = str(row.get(HASH, "")).lower()
    found = -1
    if name or None in graphs:
        try:
            found = space.find_hash(name)
        except KeyError:
            raise BadCellTable(
                f"{where}: no cell of NASBench-101 has {HASH} {name!r}; copy it from a file that nplib wrote"
            ) from None
    matrix, operations = (row[column] if column else "" for column in graphs)
    if matrix == "" or operations == "":
        if found < 0:
            raise BadCellTable(f"{where}: neither a {HASH} nor both an adjacency matrix and operations")
        return found
    try:
        operations = operations.split(",") if isinstance(operations, str) else operations
        if isinstance(matrix, str):
            matrix = np.array([int(digit) for digit in matrix]).reshape(len(operations), len(operations))
        cell = space.find(Cell(matrix, [str(operation).strip() for operation in operations]))
    except (ValueError, TypeError) as error:
        raise BadCellTable(f"{where}: its adjacency matrix and operations are no cell: {error}") from None
    if found not in (-1, cell):
        raise BadCellTable(f"{where}: the graph is that of {space.hashes[cell].decode()}, not of {HASH} {name}")
    return cell


def _fraction(place: str, text: object) -> float:
    try:
        value = float(text)
    except (ValueError, TypeError):
        found = f"{text!r}, no number" if text else "empty"
        raise BadCellTable(
            f"{place} is {found}; give what the training gave as a fraction, such as 0.9312, or leave the line out"
        ) from None
    if not math.isfinite(value):
        raise BadCellTable(f"{place} is {text}; leave out what was not trained, and give a failed training as 0.1")
    if not 0 <= value <= 1:
        remedy = f": is it in percent? Then write {value / 100:.4f}" if 1 < value <= 100 else ""
        raise BadCellTable(f"{place} is {text}, and it must be a fraction, from 0 to 1{remedy}")
    return value
