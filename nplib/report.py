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

from nplib.benchmark import Benchmark
from nplib.errors import UserError
from nplib.files import replacing


class ResultsMissing(UserError):
    """Results of another notebook are asked for that it has not written yet."""


def data_note(benchmark: Benchmark) -> Markdown:
    """A line that names the data of a page."""
    return finding(f"> **Data of this page: {benchmark.source}**, {len(benchmark):,} cells; {benchmark.labels}.")


def finding(text: str) -> Markdown:
    """A finding, in words that the notebook computed. Percent signs are set off from their numbers, without a break."""
    return Markdown(re.sub(r"(\d) ?%", "\\1\N{NO-BREAK SPACE}%", " ".join(text.split())))


@dataclass
class Checks:
    """A table of what is seen beside what is expected."""

    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(self, what: str, seen: float, expected: float, within: float = 0.0, digits: int = 3) -> None:
        """Note whether a figure lies within so much of what is expected."""
        match = abs(seen - expected) <= within
        number = f"{{:,.{digits}f}}" if isinstance(expected, float) else "{:,}"
        allowed = number.format(expected) + (f" ± {number.format(within)}" if within else "")
        self.rows.append((what, number.format(seen), allowed, "yes" if match else "no"))

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
        return pd.DataFrame(dict(zip(("we see", "expected", "match"), columns, strict=True)), index=names)


def results_path(folder: str | os.PathLike = "") -> Path:
    """Where notebooks leave their results: the folder given, or ``_build/results`` of the project."""
    return Path(folder) if folder else Path("..") / "_build" / "results"


def save_results(folder: str | os.PathLike, name: str, results: Mapping[str, object]) -> None:
    """Write the results of one notebook as JSON."""
    path = results_path(folder)
    path.mkdir(parents=True, exist_ok=True)
    with replacing(path / f"{name}.json", overwrite=True) as partial:
        partial.write_text(json.dumps(results, indent=1))


def load_results(folder: str | os.PathLike, name: str) -> dict[str, object]:
    """Read the results of another notebook.

    Raises
    ------
    ResultsMissing
        If that has not run yet.
    """
    path = results_path(folder) / f"{name}.json"
    if not path.is_file():
        raise ResultsMissing(f"{path} is not there: run notebook {name} first, or all of them with `nplib book`")
    return json.loads(path.read_text())
