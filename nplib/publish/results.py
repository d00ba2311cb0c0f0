"""Results that one notebook leaves for others, as JSON that says what data they are of."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import nplib
from nplib._files import expand, write_json
from nplib.benchmark import Benchmark
from nplib.errors import UserError
from nplib.publish.project import find_project


class ResultsMissing(UserError):
    """Results of another notebook are asked for that it has not written yet, or has written of other data."""


def about(benchmark: Benchmark) -> str:
    """Source, number of cells, and what kind of results, for a sentence that says once what a page rests on."""
    kind = "" if benchmark.labels.startswith(benchmark.kind) else f" ({benchmark.kind})"
    return f"{benchmark.source}, {len(benchmark):,} cells{kind}; {benchmark.labels}"


def results_path(folder: str | os.PathLike = "") -> Path | None:
    """Where notebooks leave their results: the folder given, else ``_build/results`` of the project.

    The project is the folder at work or one above, or the one that this package is installed from; None if there is no
    such, so that nothing is written into folders of others.
    """
    if folder:
        return expand(folder)
    for start in (Path.cwd(), Path(nplib.__file__).parent):
        with suppress(UserError):
            return find_project(start) / "_build" / "results"
    return None


def save_results(folder: str | os.PathLike, name: str, benchmark: Benchmark, results: Mapping[str, object]) -> None:
    """Write the results of one notebook as JSON, with the source and the labels of the data that they are of.

    Without a project to keep them in, or one that may be written to, a line says so and nothing is lost but the file.

    Raises:
        UserError: If the folder was named and cannot be written to.
    """
    path = results_path(folder)
    try:
        if path is None:
            raise OSError("no project here")
        path.mkdir(parents=True, exist_ok=True)
        of = {"source": benchmark.source, "labels": benchmark.labels, "about": about(benchmark)}
        write_json(path / f"{name}.json", of | dict(results), overwrite=True)
    except OSError as error:
        problem = f"results of {name} are not kept ({error}); name a folder for them: results_folder"
        if folder:
            raise UserError(problem) from error
        print(problem)


def load_results(folder: str | os.PathLike, name: str, source: str | None = None) -> dict[str, object]:
    """Read the results of another notebook.

    Args:
        folder, name (path, str): As for :func:`save_results`.
        source (str, optional): Where the data must be from, so that results of different data are not set side by side
            as if of one.

    Raises:
        ResultsMissing: If that has not run yet, or with other data.
    """
    path = (results_path(folder) or Path("_build", "results")) / f"{name}.json"
    advice = f"run notebook {name} with the same data, or all of them with `nplib book`"
    if not path.is_file():
        raise ResultsMissing(f"{path} is not there: {advice}")
    results = json.loads(path.read_text())
    if source is not None and results["source"] != source:
        raise ResultsMissing(f"{path} is of {results['source']}, and the others are of {source}: {advice}")
    return results
