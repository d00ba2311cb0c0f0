"""What a notebook says and leaves behind: its data, findings in words, checks against known figures, results."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from IPython.display import Markdown

from nplib._files import write_json
from nplib.benchmark import SURROGATE, Benchmark
from nplib.errors import UserError


class ResultsMissing(UserError):
    """Results of another notebook are asked for that it has not written yet, or has written of other data."""


def data_note(benchmark: Benchmark) -> Markdown:
    """A line that names the data of a page."""
    return finding(f"> **Data of this page: {benchmark.source}**, {len(benchmark):,} cells; {benchmark.labels}.")


def finding(text: str, source: str = "") -> Markdown:
    """A finding, in words that the notebook computed. Percent signs are set off from their numbers, without a break.

    Parameters
    ----------
    text : str
        Markdown.
    source : str
        Of the data that it was found in; a finding about the surrogate begins with saying so.
    """
    text = f"*On the surrogate:* {text}" if source == SURROGATE else text
    return Markdown(re.sub(r"(\d) ?%", "\\1\N{NO-BREAK SPACE}%", " ".join(text.split())))


def heading(text: str, source: str) -> str:
    """The heading of a column of figures; those of the surrogate say so.

    Examples
    --------
    >>> heading("MSE", "surrogate"), heading("MSE", "sample")
    ('MSE, on the surrogate', 'MSE')
    """
    return f"{text}, on the surrogate" if source == SURROGATE else text


@dataclass
class Checks:
    """A table of what is seen beside what is expected.

    Parameters
    ----------
    source : str
        Of the data, where known figures of NASBench-101 are expected of it. The surrogate is set beside them, with its
        difference, and is not held to match: it is a model.
    """

    source: str = ""
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(self, what: str, seen: float, expected: float, within: float = 0.0, digits: int = 3) -> None:
        """Note whether a figure lies within so much of what is expected."""
        style = f",.{digits}f" if isinstance(expected, float) else ","
        if self.source == SURROGATE:
            self.rows.append((what, format(seen, style), format(expected, style), format(seen - expected, f"+{style}")))
            return
        match = abs(seen - expected) <= within
        allowed = format(expected, style) + (f" ± {format(within, style)}" if within else "")
        self.rows.append((what, format(seen, style), allowed, "yes" if match else "no"))

    def add_range(self, what: str, seen: float, lowest: float, highest: float, digits: int = 3) -> None:
        """Note whether a figure lies in a range."""
        match = lowest <= seen <= highest
        self.rows.append(
            (what, f"{seen:.{digits}f}", f"{lowest:.{digits}f} to {highest:.{digits}f}", "yes" if match else "no")
        )

    @property
    def mismatches(self) -> int:
        return sum(match == "no" for *_, match in self.rows)

    def table(self) -> pd.DataFrame:
        """The table, to be shown."""
        names, *columns = zip(*self.rows, strict=True) if self.rows else ((), (), (), ())
        on_surrogate = self.source == SURROGATE
        heads = ("surrogate", "NASBench-101", "difference") if on_surrogate else ("we see", "expected", "match")
        return pd.DataFrame(dict(zip(heads, columns, strict=True)), index=names)


def results_path(folder: str | os.PathLike = "") -> Path:
    """Where notebooks leave their results: the folder given, or ``_build/results`` of the project."""
    return Path(folder) if folder else Path("..") / "_build" / "results"


def save_results(folder: str | os.PathLike, name: str, benchmark: Benchmark, results: Mapping[str, object]) -> None:
    """Write the results of one notebook as JSON, with the source and the labels of the data that they are of."""
    path = results_path(folder)
    path.mkdir(parents=True, exist_ok=True)
    about = {"source": benchmark.source, "labels": benchmark.labels}
    write_json(path / f"{name}.json", about | dict(results), overwrite=True)


def load_results(folder: str | os.PathLike, name: str, source: str | None = None) -> dict[str, object]:
    """Read the results of another notebook.

    Parameters
    ----------
    folder, name : path, str
        As for :func:`save_results`.
    source : str, optional
        Where the data must be from, so that results of different data are not set side by side as if of one.

    Raises
    ------
    ResultsMissing
        If that has not run yet, or with other data.
    """
    path = results_path(folder) / f"{name}.json"
    if not path.is_file():
        raise ResultsMissing(f"{path} is not there: run notebook {name} first, or all of them with `nplib book`")
    results = json.loads(path.read_text())
    if source is not None and results["source"] != source:
        raise ResultsMissing(
            f"{path} is of {results['source']}, and the others are of {source}: run notebook {name} with the same "
            "data, or all of them with `nplib book`"
        )
    return results
