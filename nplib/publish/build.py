"""The whole book from its notebooks: each is run by papermill in the order of ``_toc.yml``, unless nothing changed.

A notebook is run again when its cells, its parameters, the package, the data, the versions of what it computes with,
or the results that it gathers differ from those that its executed copy was made from. Everything made lies in
``_build``: ``executed`` copies, each with a ``.json`` that says what it was made from; ``results`` of the notebooks;
``partial``, a copy that is being made or whose notebook failed; ``source`` and ``html``, the pages.
"""

from __future__ import annotations

import os
import site
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import nplib
from nplib._files import sha256_of
from nplib.benchmark import SURROGATE
from nplib.errors import UserError
from nplib.publish.fingerprint import Stamp, files_in, inputs_of
from nplib.publish.pages import QUICK_BANNER, assemble, build_html, data_banner, data_warning, find_project, toc_pages
from nplib.publish.parameters import Notebook, find_notebooks, select_notebooks, values_of


class NotebookFailed(UserError):
    """A cell of a notebook ended in an error; the message says which, and where the executed part is."""


@dataclass(frozen=True)
class Step:
    """How far the work is, for whoever watches it.

    Parameters
    ----------
    name : str
        A notebook's name, or ``"pages"``.
    state : str
        ``"running"``, ``"unchanged"``, ``"done"`` or ``"failed"``.
    seconds : float
        Since the step began.
    cell, cells : int
        Number of the cell that runs, counted from 1, and of all in the notebook; 0 if it has none.
    reason : str
        Why the notebook runs.
    """

    name: str
    state: str
    seconds: float = 0.0
    cell: int = 0
    cells: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Data:
    """The data of one run: what notebooks are given, what pages say of it, and what tells it from other data."""

    argument: str = ""
    banner: str = ""  # plain text, for every page
    warning: str = ""  # Markdown, for pages made by notebooks
    identity: Mapping[str, object] = field(default_factory=dict)
    records: Mapping[str, object] = field(default_factory=dict)  # as identity, of the file of records


def _unwatched(step: Step) -> None:
    """Watch nothing."""


def build_book(
    project: str | os.PathLike | None = None,
    *,
    data: str = "auto",
    quick: bool = False,
    parameters: Mapping[str, str] | None = None,
    only: Sequence[str] = (),
    force: bool = False,
    html: bool = True,
    watch: Callable[[Step], None] = _unwatched,
    progress: bool = False,
) -> Path | None:
    """Run the notebooks whose inputs changed, in order, then build and check the pages.

    Parameters
    ----------
    project : path, optional
        The book's folder; by default the current one or the nearest above that has a ``_toc.yml``.
    data : str
        What :func:`nplib.sources.load` takes; all notebooks are given the same.
    quick : bool
        Let the notebooks do with fewer seeds and repeats. Every page says so.
    parameters : mapping, optional
        Text of a value by parameter name, for every notebook that has the name.
    only : sequence of str
        Names of the notebooks to run; then no pages are built, since they would mix runs.
    force : bool
        Run notebooks whose inputs did not change, too.
    html : bool
        Build the pages.
    watch : callable
        Called with a :class:`Step` at every change.
    progress : bool
        Show the download of data on stderr.

    Returns
    -------
    Path or None
        The page to open first; None if no pages were asked for.

    Raises
    ------
    BadParameter, BadNotebook, BadTableOfContents
        Before anything is run.
    NotebookFailed, PagesFailed
    """
    from filelock import FileLock, Timeout

    project = find_project() if project is None else find_project(project)
    notebooks = select_notebooks(find_notebooks(project), only)
    values = values_of(notebooks, parameters or {})
    build = project / "_build"
    build.mkdir(exist_ok=True)
    try:
        with FileLock(build / ".lock", timeout=0):
            needs_data = any("data" in notebook.parameters for notebook in notebooks)
            used = find_data(project, data, progress=progress) if needs_data else Data()
            run_notebooks(project, notebooks, values, used, quick=quick, force=force, watch=watch)
            if only or not html:
                return None
            banners = [text for text in (QUICK_BANNER if quick else "", used.banner) if text]
            return _build_pages(project, banners, used.warning, watch)
    except Timeout:
        raise UserError(f"another build is at work in {build}; wait for it to end") from None


def run_notebooks(
    project: Path,
    notebooks: Sequence[Notebook],
    values: Mapping[PurePosixPath, Mapping[str, object]],
    data: Data,
    *,
    quick: bool = False,
    force: bool = False,
    watch: Callable[[Step], None] = _unwatched,
) -> None:
    """Bring the executed copies of notebooks up to date, one after the other; see :func:`run_notebook`.

    Parameters
    ----------
    project : Path
        The book's folder.
    notebooks : sequence of Notebook
        In the order in which they are to run.
    values : mapping
        By page: what :func:`nplib.publish.parameters.values_of` made of the values given.
    data : Data
        What all of them are given as their data.
    quick, force, watch
        See :func:`build_book`.

    Raises
    ------
    NotebookFailed
        If a cell ends in an error; the notebooks after it are not run.
    """
    for notebook in notebooks:
        own = _own_parameters(project, notebook, data, quick)
        run_notebook(project, notebook, own | dict(values[notebook.page]), data, force=force, watch=watch)


def find_data(project: Path, data: str = "auto", *, progress: bool = False) -> Data:
    """Get or find the data once, before anything runs, so that every notebook and every page means the same.

    Raises what :func:`nplib.sources.load` raises.
    """
    from nplib import sources

    folder = data_folder(project)
    if data == "auto":
        data = sources.choose(folder, progress=progress)
    benchmark = sources.load(data, folder=folder, progress=progress)
    argument = str(Path(data).resolve()) if Path(data).is_file() else data
    identity: dict[str, object] = {
        "source": benchmark.source,
        "labels": benchmark.labels,
        "cells": len(benchmark),
        "sha256": benchmark.sha256,
    }
    # The surrogate's file may be made anew at any time, and is the same; its SHA-256 is that of what it is made from.
    if benchmark.path is not None and data != SURROGATE:
        identity |= _state_of(benchmark.path)
    records = sources.find_records(folder=folder)
    warning = data_warning(benchmark, toc_pages(project))
    return Data(argument, data_banner(benchmark), warning, identity, _state_of(records) if records else {})


def _state_of(path: Path) -> dict[str, object]:
    status = path.stat()
    return {"path": str(path.resolve()), "bytes": status.st_size, "changed": status.st_mtime_ns}


def data_folder(project: Path) -> Path:
    """Where data are: ``NPLIB_DATA``, or ``data`` of the project."""
    return Path(os.environ.get("NPLIB_DATA") or project / "data").resolve()


def _own_parameters(project: Path, notebook: Notebook, data: Data, quick: bool) -> dict[str, object]:
    own = {
        "data": _seen_from(notebook.path.parent, data.argument, project),
        "quick": quick,
        "results_folder": _seen_from(notebook.path.parent, str(project / "_build" / "results"), project),
    }
    return {name: value for name, value in own.items() if name in notebook.parameters}


def _seen_from(folder: Path, path: str, project: Path) -> str:
    # The published page shows the parameters, and should not tell where the project lies.
    if Path(path).is_relative_to(project):
        return Path(os.path.relpath(path, folder)).as_posix()
    return path


def run_notebook(
    project: Path,
    notebook: Notebook,
    parameters: Mapping[str, object],
    data: Data,
    *,
    force: bool = False,
    watch: Callable[[Step], None] = _unwatched,
) -> Path:
    """Bring the executed copy of one notebook up to date.

    Parameters
    ----------
    project : Path
        The book's folder.
    notebook : Notebook
        What to run; it runs in its own folder, with the Python that runs this.
    parameters : mapping
        Value by name, of the types that the notebook declares.
    data : Data
        What the notebook is given as its data, if it has the parameter.
    force : bool
        Run it though nothing changed.
    watch : callable
        Called with a :class:`Step` at every change.

    Returns
    -------
    Path
        The executed copy.

    Raises
    ------
    NotebookFailed
        If a cell ends in an error. A copy from before is left as it was.
    """
    build = project / "_build"
    executed, partial = build / "executed" / notebook.page, build / "partial" / notebook.page
    stamp = executed.with_suffix(".json")
    results = build / "results"
    for folder in (executed.parent, partial.parent, results):
        folder.mkdir(parents=True, exist_ok=True)
    previous = Stamp.read(stamp)
    own_results = previous.results if previous else {}
    inputs = inputs_of(notebook, parameters, data.identity, results, own_results)
    if "tfrecord" in notebook.parameters:
        inputs["records"] = dict(data.records)
    if force or previous is None:
        reason = "asked for" if force else "new"
    else:
        reason = previous.difference(inputs, executed, results)
    if not reason:
        watch(Step(notebook.name, "unchanged"))
        return executed
    # Results of the run before must not be taken for this one's, should the notebook now write others.
    for name in own_results:
        (results / name).unlink(missing_ok=True)
    before = files_in(results)
    start = time.perf_counter()
    _execute(project, notebook, parameters, partial, reason, watch)
    seconds = time.perf_counter() - start
    written = sorted(name for name, state in files_in(results).items() if before.get(name) != state)
    _forget_places(partial, notebook)
    os.replace(partial, executed)
    digests = {name: sha256_of(results / name) for name in written}
    Stamp(inputs, sha256_of(executed), digests, round(seconds, 1)).write(stamp)
    watch(Step(notebook.name, "done", seconds, reason=reason))
    return executed


def _execute(
    project: Path,
    notebook: Notebook,
    parameters: Mapping[str, object],
    target: Path,
    reason: str,
    watch: Callable[[Step], None],
) -> None:
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    start = time.perf_counter()
    number, first_line, injected = 0, "", 0

    def on_cell_start(cell: Mapping, cell_index: int) -> None:
        nonlocal number, first_line, injected
        # Papermill puts a cell with the given values in; a reader of the notebook does not count it.
        injected += "injected-parameters" in cell["metadata"].get("tags", ())
        number = cell_index + 1 - injected
        first_line = next((line.strip() for line in cell["source"].splitlines() if line.strip()), "")
        seconds = time.perf_counter() - start
        watch(Step(notebook.name, "running", seconds, number, len(notebook.cells), reason))

    watch(Step(notebook.name, "running", 0.0, 0, len(notebook.cells), reason))
    try:
        papermill.execute_notebook(
            notebook.path,
            target,
            dict(parameters),
            kernel_name="python3",
            kernel_manager_class=_kernel_manager(environment(project)),
            on_cell_start=on_cell_start,
            shutdown_kernel="immediate",  # all cells have run; waiting for it takes seconds
            cwd=notebook.path.parent,
            progress_bar=False,
        )
    except (PapermillExecutionError, DeadKernelError) as error:
        watch(Step(notebook.name, "failed", time.perf_counter() - start, number, len(notebook.cells)))
        dead = isinstance(error, DeadKernelError)
        what = "the kernel died; was there enough memory?" if dead else f"{error.ename}: {error.evalue}"
        raise NotebookFailed(
            f"{notebook.page}, cell {number} of {len(notebook.cells)}, which begins with\n    {first_line}\n"
            f"{what}\nWhat ran until then is in {target}"
        ) from error


def environment(project: Path) -> dict[str, str]:
    """Environment variables that a kernel, or the build of the pages, needs beside those that are set.

    It runs elsewhere than this process: paths are absolute, and ``nplib`` is the one that runs this.
    """
    # TensorFlow, where a notebook compares with it, would talk between the lines of progress.
    added = {"NPLIB_DATA": str(data_folder(project)), "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    for name in ("NPLIB_SAMPLE", "NPLIB_TFRECORD", "NPLIB_CACHE"):
        if os.environ.get(name):
            added[name] = str(Path(os.environ[name]).resolve())
    package = str(Path(nplib.__file__).resolve().parents[1])
    if package not in (*site.getsitepackages(), site.getusersitepackages()):
        added["PYTHONPATH"] = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return added


def _kernel_manager(added: Mapping[str, str]) -> type:
    """A kernel manager whose every kernel is this very Python, whatever kernels are installed for the user."""
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

    # Level 50 is that of critical errors: the kernel's other messages would end up between the lines of progress.
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--IPKernelApp.log_level=50"]

    class ThisPython(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            return KernelSpec(argv=command, env=dict(added), display_name="Python 3", language="python")

    class KernelOfThisPython(AsyncKernelManager):
        def __init__(self, **options: object) -> None:
            super().__init__(kernel_spec_manager=ThisPython(), **options)

    return KernelOfThisPython


def _forget_places(path: Path, notebook: Notebook) -> None:
    """Take out of an executed copy, which is published, where on this machine it was made."""
    import nbformat

    content = nbformat.read(path, as_version=4)
    content.metadata.papermill.update(input_path=str(notebook.page), output_path=str(notebook.page))
    nbformat.write(content, path)


def _build_pages(project: Path, banners: Sequence[str], warning: str, watch: Callable[[Step], None]) -> Path:
    start = time.perf_counter()
    watch(Step("pages", "running"))
    build = project / "_build"
    try:
        assemble(project, build / "executed", build / "source", banners, warning)
        index = build_html(build / "source", project, os.environ | environment(project))
    except UserError:
        watch(Step("pages", "failed", time.perf_counter() - start))
        raise
    watch(Step("pages", "done", time.perf_counter() - start))
    return index
