"""The whole book from its notebooks: doit decides which run, papermill runs several at a time, Jupyter Book the rest.

A notebook runs again when something that decides it (:mod:`nplib.publish.inputs`) differs from its last run. All that
is made lies in ``_build``: ``executed`` copies; ``results`` of the notebooks; ``partial``, what is being made or
failed; ``cores``, how many each notebook may use now; ``fits``, trainings (:mod:`nplib._fits`); ``tasks.json``,
doit's memory; ``source`` and ``html``, the pages.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import joblib
import psutil
from doit.control import TaskControl
from doit.dependency import DatabaseException, Dependency, JsonDB
from doit.reporter import ZeroReporter
from doit.runner import MThreadRunner
from doit.task import Task

from nplib._files import expand, forget_oldest, sha256_of, write_json
from nplib.benchmark import SURROGATE
from nplib.errors import UserError
from nplib.publish.inputs import inputs_of, state_of
from nplib.publish.kernels import Kernels, NotebookFailed, Step, environment, make_publishable
from nplib.publish.notebooks import Notebook, find_notebooks, values_of
from nplib.publish.pages import QUICK_BANNER, assemble, build_html, data_banner, data_warning
from nplib.publish.project import data_folder, find_project, toc_pages

MEMORY_OF_ONE = 3e9  # bytes that a notebook may need at its peak
BYTES_OF_FITS = 2 * 10**9  # what is left of kept trainings when a book is built


@dataclass(frozen=True)
class Data:
    """The data of one run: what notebooks are given, what pages say of it, and what tells it from other data."""

    argument: str = ""
    banner: str = ""  # plain text, for every page
    warning: str = ""  # Markdown, for pages made by notebooks
    identity: Mapping[str, object] = field(default_factory=dict)


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
    jobs: int | None = None,
    html: bool = True,
    watch: Callable[[Step], None] = _unwatched,
    progress: bool = False,
) -> Path | None:
    """Run the notebooks whose inputs changed, several at a time, then build the pages.

    Args:
        project (path, optional): The book's folder; by default the current one or the nearest above that has a
            ``_toc.yml``.
        data (str): What :func:`~nplib.sources.door.load` takes; all notebooks are given the same.
        quick (bool): Let the notebooks do with fewer seeds and repeats. Every page says so.
        parameters (mapping, optional): Text of a value by parameter name, for every notebook that has the name. Every
            page says so.
        only (sequence of str): Names of the notebooks to run; then no pages are built, since they would mix runs.
        force (bool): Run notebooks whose inputs did not change, too, and train all that they ask for.
        jobs (int, optional): Notebooks at a time, which share the cores; by default as many as cores and free memory
            allow.
        html (bool): Build the pages.
        watch (callable): Called with a :class:`~nplib.publish.kernels.Step` at every change, by one thread at a time.
        progress (bool): Show the download of data on stderr.

    Returns:
        Path or None: The page to open first; None if no pages were asked for.

    Raises:
        BadParameter, BadNotebook, BadTableOfContents: Before anything is run.
        NotebookFailed, PagesFailed: When the other notebooks have ended.
    """
    from filelock import FileLock, Timeout

    project = find_project() if project is None else find_project(project)
    notebooks = find_notebooks(project, only)
    values = values_of(notebooks, parameters or {})
    build = project / "_build"
    build.mkdir(exist_ok=True)
    try:
        with FileLock(build / ".lock", timeout=0):
            needs_data = any("data" in notebook.parameters for notebook in notebooks)
            used = find_data(project, data, progress=progress) if needs_data else Data()
            run = _Run(project, used, quick, values, force, watch)
            run.run(notebooks, jobs or jobs_here(len(notebooks)))
            if only or not html:
                return None
            given = ", ".join(f"{name} = {text}" for name, text in (parameters or {}).items())
            banners = [QUICK_BANNER if quick else "", used.banner, f"Built with {given}." if given else ""]
            return run.make_pages([banner for banner in banners if banner])
    except Timeout:
        raise UserError(f"another build is at work in {build}; wait for it to end") from None


def jobs_here(notebooks: int) -> int:
    """How many notebooks to run at a time: one a core, as far as they and free memory reach."""
    return max(1, min(notebooks, joblib.cpu_count(), int(psutil.virtual_memory().available // MEMORY_OF_ONE)))


def find_data(project: Path, data: str = "auto", *, progress: bool = False) -> Data:
    """Get or find the data once, before anything runs, so that every notebook and every page means the same.

    Raises what :func:`~nplib.sources.door.load` raises.
    """
    from nplib import sources

    folder = data_folder(project)
    if data == "auto":
        data = sources.choose(folder, progress=progress, say=lambda line: print(line, file=sys.stderr))
    benchmark = sources.load(data, folder=folder, progress=progress)
    argument = str(expand(data).resolve()) if expand(data).is_file() else data
    identity: dict[str, object] = {
        "source": benchmark.source,
        "labels": benchmark.labels,
        "cells": len(benchmark),
        "sha256": benchmark.sha256,
        # What notebooks set beside it, where it is here.
        "others": {path.name: state_of(path) for path in sorted(folder.glob("*")) if path.is_file()},
    }
    # The surrogate's file may be made anew at any time, and is the same; its SHA-256 is that of what it is made from.
    if benchmark.path is not None and data != SURROGATE:
        identity |= state_of(benchmark.path)
    return Data(argument, data_banner(benchmark), data_warning(benchmark, toc_pages(project)), identity)


class _Record(JsonDB):
    """What doit writes down of tasks, whole or not at all."""

    def dump(self) -> None:
        write_json(self.name, self._db, overwrite=True)


class _Memory(Dependency):
    """What doit knows of the last run of each task that ended well; one that fails now changes nothing in that."""

    @classmethod
    def open(cls, path: Path) -> _Memory:
        try:
            return cls(_Record, str(path))
        except DatabaseException:  # damaged, which only means that all is run
            path.unlink()
            return cls(_Record, str(path))

    def remove_success(self, task: Task) -> None:
        pass


class _Reporter(ZeroReporter):
    """Tells of tasks that do not run, and keeps what is done, whatever may happen to the next."""

    def __init__(self, watch: Callable[[Step], None], memory: _Memory) -> None:
        self.watch, self.memory = watch, memory

    def add_success(self, task: Task) -> None:
        self.memory.backend.dump()

    def skip_uptodate(self, task: Task) -> None:
        self.watch(Step(task.doc, "unchanged"))

    def add_failure(self, task: Task, fail_info: object) -> None:
        if not task.executed:
            self.watch(Step(task.doc, "left out", reason="a notebook that it gathers results from failed"))


@dataclass
class _Run:
    """One build: what its notebooks are given, where it puts them, and what is known of earlier ones."""

    project: Path
    data: Data
    quick: bool
    values: Mapping[PurePosixPath, Mapping[str, object]]
    force: bool
    watcher: Callable[[Step], None]

    def __post_init__(self) -> None:
        self.build = self.project / "_build"
        self.results = self.build / "results"
        self.memory = _Memory.open(self.build / "tasks.json")
        self.reasons: dict[str, str] = {}
        self.failures: list[Exception] = []
        self.at_work = 0
        self.lock = threading.Lock()

    def watch(self, step: Step) -> None:
        with self.lock, suppress(OSError):  # a terminal that is gone ends no work
            self.watcher(step)

    def run(self, notebooks: Sequence[Notebook], jobs: int) -> None:
        """Bring executed copies up to date, the longest first, and those that gather results after all others."""
        # Kernels that begin at once would each try to make it.
        (self.build / "ipython" / "profile_default").mkdir(parents=True, exist_ok=True)
        share, fits = str(self.build / "cores"), "" if self.force else str(self.build / "fits")
        kernels = Kernels(environment(self.project, max(1, joblib.cpu_count() // jobs), share, fits))
        order = sorted(notebooks, key=lambda notebook: (notebook.gathers, -self.seconds(notebook)))
        makers = [str(notebook.page) for notebook in order if not notebook.gathers]
        tasks = [
            Task(
                str(notebook.page),
                [(self.run_one, [notebook, kernels])],
                uptodate=[(self.is_unchanged, [notebook])],
                task_dep=makers if notebook.gathers else [],
                doc=notebook.name,
                io={"capture": False},  # which would be that of all threads
            )
            for notebook in order
        ]
        control = TaskControl(tasks)
        control.process([task.name for task in tasks])
        reporter = _Reporter(self.watch, self.memory)
        try:
            runner = MThreadRunner(self.memory, reporter, True, self.force, num_process=jobs)
            code = runner.run_all(control.task_dispatcher())
        except BaseException:
            self.watcher = _unwatched  # what ends now was ended
            raise
        finally:
            kernels.end()
            forget_oldest(self.build / "fits", BYTES_OF_FITS)
        for error in self.failures:
            if not isinstance(error, NotebookFailed):
                raise error
        if code:
            raise NotebookFailed("\n\n".join(str(error) for error in self.failures))

    def share_cores(self, more: int) -> None:
        """Tell notebooks, of which so many more run now, how many cores each may use: the last one has all of them."""
        with self.lock:
            self.at_work += more
            given = os.environ.get("OMP_NUM_THREADS", "")
            cores = max(1, joblib.cpu_count() // max(1, self.at_work))
            (self.build / "cores").write_text(str(min(cores, int(given)) if given.isdecimal() else cores))

    def seconds(self, notebook: Notebook) -> float:
        """How long a notebook took the last time, or is said to take."""
        return self.memory.get_values(str(notebook.page)).get("seconds", 60 * notebook.minutes)

    def parameters(self, notebook: Notebook) -> dict[str, object]:
        folder = self.results if notebook.gathers else self.staged(notebook)
        own = {"data": self.data.argument, "quick": self.quick, "results_folder": str(folder)}
        return {name: own[name] for name in own if name in notebook.parameters} | dict(self.values[notebook.page])

    def staged(self, notebook: Notebook) -> Path:
        """Where a notebook leaves its results until it has ended well."""
        return self.build / "partial" / notebook.page.with_suffix("")

    def is_unchanged(self, task: Task, values: Mapping, notebook: Notebook) -> bool:
        """Whether a run would give the same again; if not, why is kept for whoever watches."""
        inputs = inputs_of(notebook, self.parameters(notebook), self.data.identity)
        if notebook.gathers:
            inputs["results"] = _digests(self.results)
        before = values.get("inputs", {})
        changed = [name for name in sorted({*before, *inputs}) if before.get(name) != inputs.get(name)]
        changed += [name for name, digest in values.get("made", {}).items() if _digest(self.build / name) != digest]
        more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
        told = f"{', '.join(changed[:4])}{more} changed" if before else "new"
        reason = "asked for" if self.force else told
        self.reasons[task.name] = reason
        task.value_savers.append(lambda: {"inputs": inputs})
        return bool(before and not changed)

    def run_one(self, notebook: Notebook, kernels: Kernels) -> dict[str, object] | bool:
        """Run a notebook; its copy and its results replace those of the run before only if it ends well."""
        start = time.perf_counter()
        executed, partial = self.build / "executed" / notebook.page, self.build / "partial" / notebook.page
        staged = self.staged(notebook)
        reason = self.reasons[str(notebook.page)]
        step = Step(notebook.name, "running", cells=len(notebook.content.cells), reason=reason)
        self.watch(step)

        def watch(cell: int) -> None:
            nonlocal step
            step = replace(step, cell=cell, seconds=time.perf_counter() - start)
            self.watch(step)

        self.share_cores(1)
        try:
            shutil.rmtree(staged, ignore_errors=True)
            for folder in (staged, executed.parent, self.results):
                folder.mkdir(parents=True, exist_ok=True)
            kernels.run(notebook, self.parameters(notebook), partial, watch)
            make_publishable(partial, notebook, self.places())
            for name in self.memory.get_values(str(notebook.page)).get("made", ()):
                (self.build / name).unlink(missing_ok=True)
            os.replace(partial, executed)
            made = {f"executed/{notebook.page}": _digest(executed)}
            for name, digest in _digests(staged).items():
                (self.results / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(staged / name, self.results / name)
                made[f"results/{name}"] = digest
            shutil.rmtree(staged)
        except Exception as error:  # told at once, and raised when the other notebooks have ended
            self.failures.append(error)
            what = getattr(error, "what", f"{type(error).__name__}: {error}")
            self.watch(replace(step, state="failed", seconds=time.perf_counter() - start, reason=what))
            return False
        finally:
            self.share_cores(-1)
        seconds = time.perf_counter() - start
        self.watch(replace(step, state="done", seconds=seconds))
        return {"made": made, "seconds": round(seconds, 1)}

    def places(self) -> dict[str, str]:
        """What a published page says in place of folders and files of this machine."""
        named = [self.data.argument, *(value for name, value in os.environ.items() if name.startswith("NPLIB_"))]
        paths = [Path(name).expanduser() for name in filter(None, named)]
        paths = [data_folder(self.project), *(path for path in paths if path.exists())]
        found = {place: path.name for path in paths for place in (path.absolute(), path.resolve())}
        found = {Path.home(): "~", self.project: "."} | found
        return {str(place): name for place, name in found.items() if name and place.name}

    def make_pages(self, banners: Sequence[str]) -> Path:
        start = time.perf_counter()
        self.watch(Step("pages", "running"))
        try:
            assemble(self.project, self.build / "executed", self.build / "source", banners, self.data.warning)
            index = build_html(self.build / "source", self.project, os.environ | environment(self.project))
        except UserError:
            self.watch(Step("pages", "failed", time.perf_counter() - start))
            raise
        self.watch(Step("pages", "done", time.perf_counter() - start))
        return index


def _digest(path: Path) -> str:
    return sha256_of(path) if path.is_file() else ""


def _digests(folder: Path) -> dict[str, str]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}
