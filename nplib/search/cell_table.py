"""Cells to train, and what their training gave, as CSV: what goes between a search and whoever trains for it."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from nplib._files import expand, replacing
from nplib.benchmark import Benchmark
from nplib.errors import UserError
from nplib.space import Space

HASH = "module_hash"
ACCURACY = "validation_accuracy"
COLUMNS = ("place", HASH, "operations", "adjacency", ACCURACY)


class BadCellTable(UserError):
    """A file of trained cells cannot be used; the message names the line and what was found."""


def write_cells(
    target: str | os.PathLike,
    cells: Benchmark | Space,
    indices: np.ndarray,
    accuracies: Iterable[float] | None = None,
    overwrite: bool = False,
) -> None:
    """Write cells as CSV, whole or not at all, a line a cell, in the order given.

    Columns are the place in that order, from 1, the module hash, operations (official names with commas between) and
    adjacency matrix (V * V digits, row by row) as in the official records, and the validation accuracy.

    Parameters
    ----------
    target : path
    cells : Benchmark or Space
    indices : array, shape (n,)
        Into these.
    accuracies : iterable of float, length n, optional
        Fractions; the column is left empty, to be filled in, if not given.
    overwrite : bool

    Raises
    ------
    nplib._files.TargetExists
        If the target exists and ``overwrite`` is false.
    """
    values = ["" for _ in indices] if accuracies is None else [repr(float(value)) for value in accuracies]
    with replacing(target, overwrite) as partial, open(partial, "w", newline="", encoding="utf8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for place, (index, value) in enumerate(zip(indices, values, strict=True), start=1):
            writer.writerow([place, cells.hashes[index].decode(), *cell_texts(cells, index), value])


def cell_texts(cells: Benchmark | Space, index: int) -> tuple[str, str]:
    """Operations and adjacency matrix of a cell, as texts of the official records."""
    cell = cells.cell(index)
    return ",".join(cell.operations), "".join(str(int(edge)) for edge in cell.matrix.ravel())


def read_labels(path: str | os.PathLike, space: Space) -> tuple[np.ndarray, np.ndarray]:
    """Cells that someone trained, and their validation accuracies, from CSV with these two columns among others.

    Parameters
    ----------
    path : path
        With a line of names, ``module_hash`` and ``validation_accuracy`` (fractions) among them.
    space : Space

    Returns
    -------
    cells : array, shape (n,), int64
        Indices into the space, in the order of the file.
    accuracies : array, shape (n,), float64
        Fractions.

    Raises
    ------
    BadCellTable
        If the file cannot be read, lacks a column, holds no cell, one that the space has not or one twice, or an
        accuracy is missing or no fraction.
    """
    path = expand(path)
    first_line: dict[int, int] = {}
    accuracies = []
    for line, name, text in _lines(path):
        try:
            cell = space.find_hash(name)
        except KeyError:
            raise BadCellTable(
                f"{path}, line {line}: no cell of NASBench-101 has {HASH} {name!r}; copy it from the file that --plan "
                "or --output wrote"
            ) from None
        if cell in first_line:
            raise BadCellTable(
                f"{path}, line {line}: cell {name} stands in line {first_line[cell]} already; a cell is trained once, "
                "so leave one of them out"
            )
        first_line[cell] = line
        accuracies.append(_fraction(f"{path}, line {line}: {ACCURACY}", text))
    if not accuracies:
        raise BadCellTable(f"{path} holds no cell below its line of names; there is nothing to learn from")
    return np.array(list(first_line), dtype=np.int64), np.array(accuracies)


def _lines(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line number, module hash and validation accuracy as they stand in the file; empty lines are passed over."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            names = [name.strip() for name in next(reader, [])]
            missing = [name for name in (HASH, ACCURACY) if name not in names]
            if missing:
                raise BadCellTable(
                    f"{path}, line 1: no column {' and no column '.join(missing)}; it names "
                    f"{', '.join(names) or 'none'}. Give a line of names first, with commas between them"
                )
            places = names.index(HASH), names.index(ACCURACY)
            for row in reader:
                if any(row):
                    name, text = (row[place].strip() if place < len(row) else "" for place in places)
                    yield reader.line_num, name, text
    except OSError as error:
        raise BadCellTable(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadCellTable(f"{path} is no CSV in UTF-8 ({error}); save it as such") from None


def _fraction(place: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
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
