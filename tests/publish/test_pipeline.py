"""The notebooks of a book: run in order, only when something changed, and never half taken for whole."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath

import nbformat
import pytest
from filelock import FileLock
from tiny_book import write_book, write_notebook

from nplib._files import sha256_of
from nplib.errors import UserError
from nplib.publish.build import NotebookFailed, Step, build_book, find_data
from nplib.publish.pages import BadTableOfContents, find_project, toc_pages
from nplib.publish.parameters import BadNotebook, BadParameter, Parameter, find_notebooks, read_notebook, read_value


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return write_book(tmp_path / "book of one")


def run(book: Path, **options) -> dict[str, Step]:
    """Run the notebooks only; how each step ended, in order."""
    steps: list[Step] = []
    build_book(book, html=False, watch=steps.append, **options)
    return {step.name: step for step in steps if step.state != "running"}


def states(book: Path, **options) -> dict[str, str]:
    return {name: step.state for name, step in run(book, **options).items()}


def last_output(book: Path, page: str) -> str:
    executed = nbformat.read(book / "_build" / "executed" / f"{page}.ipynb", as_version=4)
    return executed.cells[-1].outputs[0]["data"]["text/plain"]


def edit_cell(book: Path, page: str, number: int, source: str) -> None:
    path = book / f"{page}.ipynb"
    content = nbformat.read(path, as_version=4)
    content.cells[number].source = source
    nbformat.write(content, path)


def test_runs_in_order_and_only_what_changed(book):
    # The page that gathers results is listed first, and runs last all the same.
    assert list(states(book)) == ["01_first", "02_second", "results"]
    assert last_output(book, "book/results") == "{'first.txt': 'one', 'second.txt': '3 False'}"
    assert set(states(book).values()) == {"unchanged"}

    # A parameter reaches the notebook that knows it, and through its results the page that gathers them.
    ended = run(book, parameters={"epochs": "5"}, quick=True)
    assert [(step.state, step.reason) for step in ended.values()] == [
        ("unchanged", ""),
        ("done", "parameters changed"),
        ("done", "results changed"),
    ]
    assert last_output(book, "book/results") == "{'first.txt': 'one', 'second.txt': '5 True'}"

    # Outputs and metadata of the stored notebook are no input; its cells are.
    path = book / "notebooks" / "01_first.ipynb"
    content = nbformat.read(path, as_version=4)
    content.cells[-1].outputs = [nbformat.v4.new_output("stream", text="old")]
    content.metadata["author"] = "somebody"
    nbformat.write(content, path)
    options = {"parameters": {"epochs": "5"}, "quick": True}
    assert set(states(book, **options).values()) == {"unchanged"}
    edit_cell(book, "notebooks/01_first", -1, "Path(results_folder, 'other.txt').write_text('two')")
    ended = run(book, **options)
    assert [(step.state, step.reason) for step in ended.values()] == [
        ("done", "notebook changed"),
        ("unchanged", ""),
        ("done", "results changed"),
    ]
    # What the notebook wrote before, and does no more, is gone.
    assert last_output(book, "book/results") == "{'other.txt': 'two', 'second.txt': '5 True'}"


def test_only_some_are_run_and_force_runs_them_again(book):
    assert states(book, only=["02_second"]) == {"02_second": "done"}
    assert states(book, only=["02_second"], force=True) == {"02_second": "done"}
    with pytest.raises(BadParameter, match=r"no notebook 03_third; there are 01_first, 02_second, results"):
        run(book, only=["03_third"])


def test_lost_results_and_changed_copies_are_made_again(book):
    only = ["02_second"]
    run(book, only=only)
    (book / "_build" / "results" / "second.txt").write_text("else")
    assert run(book, only=only)["02_second"].reason == "result second.txt changed"
    assert (book / "_build" / "results" / "second.txt").read_text() == "3 False"
    executed = book / "_build" / "executed" / "notebooks" / "02_second.ipynb"
    executed.write_text(executed.read_text() + "\n")
    assert run(book, only=only)["02_second"].reason == "executed copy changed"


def test_unknown_names_and_unfit_values_are_refused_before_anything_runs(book):
    with pytest.raises(BadParameter, match=r"no notebook has a parameter epoch; nothing was run") as refused:
        run(book, parameters={"epoch": "5"})
    assert "02_second: epochs: int = 3" in str(refused.value)
    assert "01_first: none" in str(refused.value)
    with pytest.raises(BadParameter, match=r"02_second: epochs='many' is no int"):
        run(book, parameters={"epochs": "many"})
    with pytest.raises(BadParameter, match=r"quick cannot be given with -p; use --quick"):
        run(book, parameters={"quick": "true"})
    assert not (book / "_build" / "executed").exists()


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", " 7 ", 7),
        ("float", "1e-4", 1e-4),
        ("bool", "Yes", True),
        ("bool", "0", False),
        ("str", "91-172", "91-172"),
        ("list[int]", "1, 2,3", [1, 2, 3]),
        ("list[str]", "[172,all]", ["172", "all"]),
        ("list[float]", "", []),
        ("int | None", "none", None),
        ("int | None", "3", 3),
    ],
)
def test_values_get_the_type_that_the_notebook_declares(kind, text, value):
    read = read_value(Parameter("x", kind, "..."), text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(("kind", "text"), [("int", "1.5"), ("bool", "maybe"), ("list[int]", "1,b"), ("dict", "{}")])
def test_unfit_values_are_errors(kind, text):
    with pytest.raises(BadParameter, match="x"):
        read_value(Parameter("x", kind, "..."), text)


def test_a_failing_cell_is_reported_and_stops_the_rest(book):
    run(book, only=["01_first"])
    finished = (book / "_build" / "executed" / "notebooks" / "01_first.ipynb").read_bytes()
    edit_cell(book, "notebooks/01_first", -1, "\nnumber = 1\nnumber / 0")
    steps = []
    with pytest.raises(NotebookFailed) as failed:
        build_book(book, html=False, watch=steps.append)
    partial = book / "_build" / "partial" / "notebooks" / "01_first.ipynb"
    message = str(failed.value)
    # Four cells as stored: title, parameters, import, and the one that fails; the injected one does not count.
    assert "notebooks/01_first.ipynb, cell 4 of 4" in message
    assert "number = 1" in message
    assert "ZeroDivisionError: division by zero" in message
    assert str(partial) in message
    assert [step.state for step in steps if step.state != "running"] == ["failed"]
    assert any(
        output.output_type == "error"
        for cell in nbformat.read(partial, as_version=4).cells
        for output in cell.get("outputs", [])
    )
    # The finished copy of the run before is that of other cells: left as it was, and not taken for this run's.
    assert (book / "_build" / "executed" / "notebooks" / "01_first.ipynb").read_bytes() == finished
    edit_cell(book, "notebooks/01_first", -1, "Path(results_folder, 'first.txt').write_text('one')")
    assert states(book, only=["01_first"]) == {"01_first": "done"}
    assert not partial.exists()


def test_a_dying_kernel_is_reported(book):
    edit_cell(book, "notebooks/01_first", -1, "import os; os._exit(1)")
    with pytest.raises(NotebookFailed, match=r"cell 4 of 4.*\n.*os\._exit\(1\)\nthe kernel died"):
        run(book)
    assert not (book / "_build" / "executed" / "notebooks" / "01_first.ipynb").exists()


def test_notebooks_run_with_this_python_in_their_folder(book, tmp_path, monkeypatch):
    # A kernel of the same name that could not run anything, found before any other.
    decoy = tmp_path / "jupyter" / "kernels" / "python3"
    decoy.mkdir(parents=True)
    (decoy / "kernel.json").write_text(json.dumps({"argv": ["false"], "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("NPLIB_DATA", "somewhere/else")
    monkeypatch.chdir(tmp_path)
    cell = "import nplib, os, sys\n[sys.executable, os.getcwd(), nplib.__file__, os.environ['NPLIB_DATA']]"
    edit_cell(book, "notebooks/01_first", -1, cell)
    run(book, only=["01_first"])
    import nplib

    expected = [sys.executable, str(book / "notebooks"), nplib.__file__, str(tmp_path / "somewhere" / "else")]
    assert eval(last_output(book, "notebooks/01_first")) == expected


def test_an_executed_copy_does_not_tell_where_it_was_made(book):
    run(book, only=["02_second"])
    assert str(book) not in (book / "_build" / "executed" / "notebooks" / "02_second.ipynb").read_text()


def test_the_package_and_the_data_are_inputs(book, shared, monkeypatch):
    write_notebook(book / "notebooks" / "01_first.ipynb", ["data"], parameters="data: str = 'auto'")
    data = book / "tiny.hdf5"
    data.write_bytes((shared / "golden" / "full_tiny.hdf5").read_bytes())
    assert states(book, data=str(data), only=["01_first"]) == {"01_first": "done"}
    assert last_output(book, "notebooks/01_first") == "'../tiny.hdf5'"
    assert states(book, data=str(data), only=["01_first"]) == {"01_first": "unchanged"}
    os.utime(data, (1, 1))
    assert run(book, data=str(data), only=["01_first"])["01_first"].reason == "data changed"
    monkeypatch.setattr("nplib.publish.fingerprint.package_digest", lambda: "another")
    assert run(book, data=str(data), only=["01_first"])["01_first"].reason == "package changed"


def test_data_are_found_once_and_named_for_every_page(book, tmp_path, sample_path, monkeypatch):
    monkeypatch.setenv("NPLIB_DATA", str(tmp_path))
    monkeypatch.setenv("NPLIB_SAMPLE", str(sample_path))
    found = find_data(book, "sample")
    assert found.argument == "sample"
    assert found.banner == "Built from: sample, 20,001 cells (real results of NASBench-101)."
    assert found.warning == ""
    assert found.identity["sha256"] == sha256_of(sample_path)
    assert find_data(book).argument == "surrogate"


def test_a_surrogate_is_told_from_another_by_what_it_is_made_of(book, tmp_path, surrogate, monkeypatch):
    monkeypatch.setenv("NPLIB_DATA", str(tmp_path))
    found = find_data(book, "surrogate")
    kind = surrogate.kind
    assert found.banner == f"Built from: surrogate, 423,624 cells ({kind})."
    assert found.identity == {
        "source": "surrogate",
        "labels": surrogate.labels,
        "cells": 423_624,
        "sha256": surrogate.sha256,
    }


def test_pages_made_from_the_surrogate_warn(book, small_surrogate, tmp_path):
    small_surrogate.save(tmp_path / "some.hdf5")
    found = find_data(book, str(tmp_path / "some.hdf5"))
    assert found.identity["path"] == str(tmp_path / "some.hdf5")
    assert found.warning.startswith("**Surrogate data.** ")
    assert small_surrogate.kind in found.warning
    assert "{doc}" not in found.warning
    with open(book / "_toc.yml", "a") as toc:
        toc.write("- file: book/surrogate\n")
    (book / "book" / "surrogate.md").write_text("# Surrogate\n")
    assert "{doc}`/book/surrogate`" in find_data(book, str(tmp_path / "some.hdf5")).warning


def test_the_package_digest_sees_every_file(tmp_path, monkeypatch):
    from nplib.publish import fingerprint

    package = tmp_path / "package"
    (package / "deep").mkdir(parents=True)
    for name in ("__init__.py", "deep/table.bin"):
        (package / name).write_text("1")
    monkeypatch.setattr(fingerprint.nplib, "__file__", str(package / "__init__.py"))
    before = fingerprint.package_digest()
    assert fingerprint.package_digest() == before
    (package / "deep" / "table.bin").write_text("2")
    assert fingerprint.package_digest() != before


def test_a_second_build_at_the_same_time_is_refused(book):
    (book / "_build").mkdir()
    with FileLock(book / "_build" / ".lock"), pytest.raises(UserError, match="another build is at work"):
        run(book)


def test_interrupting_stops_the_kernel_too(book, tmp_path):
    note = tmp_path / "pid"
    cell = (
        f"import os, time\nfrom pathlib import Path\nPath({str(note)!r}).write_text(str(os.getpid()))\ntime.sleep(60)"
    )
    write_notebook(book / "notebooks" / "01_first.ipynb", [cell])
    command = [sys.executable, "-m", "nplib.cli", "book", "--project", str(book), "--no-html"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    wait_for(lambda: note.exists() and note.read_text(), "the cell to run")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.rstrip().endswith("interrupted")
    assert "Traceback" not in errors
    kernel = int(note.read_text())
    wait_for(lambda: not Path(f"/proc/{kernel}").exists(), "the kernel to end")
    assert not (book / "_build" / "executed" / "notebooks" / "01_first.ipynb").exists()


def wait_for(condition, what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.05)


def test_plain_papermill_runs_a_notebook(book):
    notebook, target = book / "notebooks" / "02_second.ipynb", book / "out.ipynb"
    command = [sys.executable, "-m", "papermill", str(notebook), str(target), "-p", "epochs", "7"]
    subprocess.run([*command, "-p", "results_folder", str(book)], check=True, capture_output=True)
    assert (book / "second.txt").read_text() == "7 False"
    assert nbformat.read(target, as_version=4).cells[-1].outputs


@pytest.mark.parametrize(
    "parameters", ["epochs = 3", "epochs: int", "import os", "epochs: int = ", "x: int = 1\nprint(x)"]
)
def test_parameters_cells_hold_typed_assignments_only(book, parameters):
    write_notebook(book / "notebooks" / "01_first.ipynb", ["1"], parameters=parameters)
    with pytest.raises(BadNotebook, match=r"01_first\.ipynb, cell 2: "):
        find_notebooks(book)


def test_what_is_no_notebook_is_refused(book):
    (book / "notebooks" / "01_first.ipynb").write_text("{}")
    with pytest.raises(BadNotebook, match=r"01_first\.ipynb is no notebook"):
        read_notebook(book, PurePosixPath("notebooks/01_first.ipynb"))


@pytest.mark.parametrize(
    ("toc", "message"),
    [
        ("root: book/intro\nchapters:\n- file: notebooks/09_none\n", r"names notebooks/09_none, but there is neither"),
        ("root: book/intro\nchapters:\n- file: book/intro\n", r"names book/intro twice"),
        ("format: jb-book\n", r"names no page"),
        ("root: [", r"is no readable YAML"),
    ],
)
def test_a_table_of_contents_must_name_what_is_there(book, toc, message):
    (book / "_toc.yml").write_text(toc)
    with pytest.raises(BadTableOfContents, match=message):
        toc_pages(book)


def test_the_project_is_found_from_a_folder_in_it(book, tmp_path):
    assert find_project(book / "notebooks") == book
    with pytest.raises(UserError, match="no book here"):
        find_project(tmp_path)
