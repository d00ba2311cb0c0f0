"""One notebook, run by papermill in a kernel that nothing of the user's own settings reaches."""

from __future__ import annotations

import json
import logging
import os
import re
import site
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat

import nplib
from nplib._files import FITS, SHARE
from nplib.errors import UserError
from nplib.publish.notebooks import Notebook
from nplib.publish.project import data_folder

# What papermill would say beside the error that it raises.
logging.getLogger("papermill").addHandler(logging.NullHandler())


class NotebookFailed(UserError):
    """A cell of a notebook ended in an error; the message says which, and where the executed part is."""

    what = ""  # the error alone, in a line


@dataclass(frozen=True)
class Step:
    """How far the work is, for whoever watches it."""

    name: str  # of a notebook, or "pages"
    state: str  # "running", "unchanged", "done", "failed", or "left out" since a notebook that it needs failed
    seconds: float = 0.0  # since it began
    cell: int = 0  # number of the one that runs, counted from 1
    cells: int = 0  # in all
    reason: str = ""  # why it runs, or failed


def environment(project: Path, cores: int | None = None, share: str = "", fits: str = "") -> dict[str, str]:
    """Environment variables that a kernel, or the build of the pages, needs beside those that are set.

    It runs elsewhere than this process: paths are absolute, and ``nplib`` is the one that runs this. Libraries in a
    kernel may use so many cores, and no more than the user allows, our own work as many as the file ``share`` says.
    Trainings are kept in the folder ``fits``, if any.
    """
    added = {
        "NPLIB_DATA": str(data_folder(project)),
        FITS: fits,
        SHARE: share,
        # TensorFlow, where a notebook compares with it, would talk between the lines of progress.
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        # Figures are those of the book, whatever backend, style or IPython profile the user has.
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MATPLOTLIBRC": os.devnull,
        "IPYTHONDIR": str(project / "_build" / "ipython"),
    }
    for name, value in os.environ.items():
        if name.startswith("NPLIB_") and name not in added and Path(value).expanduser().exists():
            added[name] = str(Path(value).expanduser().resolve())
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "PYTHON_CPU_COUNT") if cores else ():
        given = os.environ.get(name, "")
        added[name] = str(min(cores, int(given)) if given.isdecimal() else cores)
    package = str(Path(nplib.__file__).resolve().parents[1])
    if package not in (*site.getsitepackages(), site.getusersitepackages()):
        added["PYTHONPATH"] = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return added


class Kernels:
    """All kernels of a build; this very Python, whatever kernels are installed for the user."""

    def __init__(self, added: Mapping[str, str]) -> None:
        self.added = dict(added)
        self.running: list = []

    def manager(self, log: Path) -> type:
        """A class of kernel managers; what the process writes itself, its last words for instance, goes to a file."""
        from jupyter_client import AsyncKernelManager
        from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        kernels = self

        class ThisPython(KernelSpecManager):
            def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
                return KernelSpec(argv=command, env=kernels.added, display_name="Python 3", language="python")

        class KernelOfThisPython(AsyncKernelManager):
            def __init__(self, **options: object) -> None:
                super().__init__(kernel_spec_manager=ThisPython(), **options)

            async def start_kernel(self, **options: object) -> None:
                kernels.running.append(self)
                with open(log, "wb") as file:
                    await super().start_kernel(stdout=file, stderr=file, **options)

        return KernelOfThisPython

    def end(self) -> None:
        """End those that still run, and the processes that they started, at once."""
        for manager in self.running:
            process = getattr(manager.provisioner, "process", None)
            if process is not None and process.poll() is None:
                os.killpg(process.pid, 9)

    def run(
        self, notebook: Notebook, parameters: Mapping[str, object], target: Path, watch: Callable[[int], None]
    ) -> None:
        """Run a notebook in its own folder, into a file that grows with each cell, whose number ``watch`` is told."""
        import papermill
        from nbclient.exceptions import DeadKernelError
        from papermill.exceptions import PapermillExecutionError

        number, first_line, injected = 0, "", 0
        log = target.with_suffix(".log")

        def on_cell_start(cell: Mapping, cell_index: int) -> None:
            nonlocal number, first_line, injected
            # Papermill puts a cell with the given values in; a reader of the notebook does not count it.
            injected += "injected-parameters" in cell["metadata"].get("tags", ())
            number = cell_index + 1 - injected
            first_line = next((line.strip() for line in cell["source"].splitlines() if line.strip()), "")
            watch(number)

        nbformat.write(notebook.content, target)
        template = str(target).replace("{", "{{").replace("}", "}}")  # papermill fills in what stands in braces
        try:
            papermill.execute_notebook(
                template,
                template,
                dict(parameters),
                kernel_name="python3",
                kernel_manager_class=self.manager(log),
                on_cell_start=on_cell_start,
                shutdown_kernel="immediate",  # all cells have run; waiting for it takes seconds
                resources={"metadata": {"path": str(notebook.path.parent)}},  # `cwd` would be that of all threads
                progress_bar=False,
            )
        except PapermillExecutionError as error:
            what = f"{error.ename}: {error.evalue}"
        except DeadKernelError:
            what = f"the kernel died; was there enough memory?{_last_words(log)}"
        except (RuntimeError, OSError) as error:
            what = f"the kernel did not start: {error}{_last_words(log)}"
        else:
            log.unlink(missing_ok=True)
            return
        place = f", cell {number} of {len(notebook.cells)}, which begins with\n    {first_line}" if number else ""
        failed = NotebookFailed(f"{notebook.page}{place}\n{what}\nWhat ran until then is in {target}")
        failed.what = what.partition("\n")[0]
        raise failed


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf8", errors="replace").split("\n") if log.is_file() else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f" Its last words: {last}" if last else ""


def make_publishable(path: Path, notebook: Notebook, places: Mapping[str, str]) -> None:
    """Write what it is called in place of each absolute path in an executed copy; hide papermill's own cell."""
    content = nbformat.read(path, as_version=4)
    content.metadata.papermill.update(input_path=str(notebook.page), output_path=str(notebook.page))
    for cell in content.cells:
        if "injected-parameters" in cell.metadata.get("tags", ()):
            cell.metadata.tags.append("remove-cell")
            cell.metadata["jupyter"] = {"source_hidden": True}
    text = nbformat.writes(content)
    for place in sorted(places, key=len, reverse=True):
        found, instead = place, places[place]
        for _ in range(2):  # as JSON, and as a text in code that is JSON
            found, instead = (json.dumps(name, ensure_ascii=False)[1:-1] for name in (found, instead))
            text = re.sub(rf"(?<![\w/.:-]){re.escape(found)}(?![\w-])", lambda _, instead=instead: instead, text)
    path.write_text(text, encoding="utf8")
