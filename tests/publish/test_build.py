"""The notebooks of a book: run in order, only when something changed, and never half taken for whole."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath

import matplotlib
import nbformat
import pytest
from filelock import FileLock
from tiny_book import PROJECT, SAVES_RESULTS, wait_for, write_book, write_notebook

from nplib._files import sha256_of
from nplib.errors import UserError
from nplib.publish.build import build_book, find_data
from nplib.publish.inputs import code_digests
from nplib.publish.kernels import NotebookFailed, Step
from nplib.publish.notebooks import BadNotebook, find_notebooks, read_notebook
from nplib.publish.parameters import BadParameter
from nplib.publish.project import BadTableOfContents, find_project, toc_pages


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
    assert list(states(book, jobs=1)) == ["01_first", "02_second", "results"]
    assert last_output(book, "book/results") == "{'first.txt': 'one', 'second.txt': '3 False'}"
    assert set(states(book).values()) == {"unchanged"}

    # A parameter reaches the notebook that knows it, and through its results the page that gathers them.
    ended = run(book, parameters={"epochs": "5"}, quick=True)
    assert {name: (step.state, step.reason) for name, step in ended.items()} == {
        "01_first": ("unchanged", ""),
        "02_second": ("done", "parameters changed"),
        "results": ("done", "results changed"),
    }
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
    assert {name: (step.state, step.reason) for name, step in ended.items()} == {
        "01_first": ("done", "cells changed"),
        "02_second": ("unchanged", ""),
        "results": ("done", "results changed"),
    }
    # What the notebook wrote before, and does no more, is gone.
    assert last_output(book, "book/results") == "{'other.txt': 'two', 'second.txt': '5 True'}"


def test_only_some_are_run_and_force_runs_them_again(book):
    assert states(book, only=["02_second"]) == {"02_second": "done"}
    assert states(book, only=["02_second"], force=True) == {"02_second": "done"}
    with pytest.raises(BadParameter, match=r"no notebook 03_third; there are results, 01_first, 02_second"):
        run(book, only=["03_third"])


def test_lost_results_and_changed_copies_are_made_again(book):
    only = ["02_second"]
    run(book, only=only)
    (book / "_build" / "results" / "second.txt").write_text("else")
    assert run(book, only=only)["02_second"].reason == "results/second.txt changed"
    assert (book / "_build" / "results" / "second.txt").read_text() == "3 False"
    executed = book / "_build" / "executed" / "notebooks" / "02_second.ipynb"
    executed.write_text(executed.read_text() + "\n")
    assert run(book, only=only)["02_second"].reason == "executed/notebooks/02_second.ipynb changed"


def test_unknown_names_and_unfit_values_are_refused_before_anything_runs(book):
    with pytest.raises(BadParameter, match=r"no notebook has a parameter epoch; nothing was run") as refused:
        run(book, parameters={"epoch": "5"})
    assert "02_second: epochs: int = 3" in str(refused.value)
    assert "01_first: none" in str(refused.value)
    with pytest.raises(BadParameter, match=r"epochs is 'many', which is no int"):
        run(book, parameters={"epochs": "many"})
    with pytest.raises(BadParameter, match=r"quick cannot be given with -p; use --quick"):
        run(book, parameters={"quick": "true"})
    assert not (book / "_build" / "executed").exists()


def test_a_failing_cell_is_told_at_once_and_the_others_end(book):
    run(book, only=["01_first"])
    results, executed = book / "_build" / "results", book / "_build" / "executed" / "notebooks"
    finished = (executed / "01_first.ipynb").read_bytes()
    edit_cell(book, "notebooks/01_first", -1, "Path(results_folder, 'first.txt').write_text('half')\n1 / 0")
    edit_cell(book, "notebooks/02_second", -1, "import time\ntime.sleep(5)")
    steps = []
    with pytest.raises(NotebookFailed) as failed:
        build_book(book, html=False, watch=steps.append, jobs=2)
    partial = book / "_build" / "partial" / "notebooks" / "01_first.ipynb"
    message = str(failed.value)
    # Four cells as stored: title, parameters, import, and the one that fails; the injected one does not count.
    assert "notebooks/01_first.ipynb, cell 4 of 4, which begins with\n    Path(" in message
    assert "ZeroDivisionError: division by zero" in message
    assert str(partial) in message
    ended = [(step.name, step.state, step.reason) for step in steps if step.state != "running"]
    assert ended == [
        ("01_first", "failed", "ZeroDivisionError: division by zero"),
        ("02_second", "done", "new"),
        ("results", "left out", "a notebook that it gathers results from failed"),
    ]
    assert any(
        output.output_type == "error"
        for cell in nbformat.read(partial, as_version=4).cells
        for output in cell.get("outputs", [])
    )
    # The copy and the results of the run before are left as they were, and are good again once the cells are.
    assert (executed / "01_first.ipynb").read_bytes() == finished
    assert (results / "first.txt").read_text() == "one"
    edit_cell(book, "notebooks/01_first", -1, "Path(results_folder, 'first.txt').write_text('one')")
    assert states(book, only=["01_first"]) == {"01_first": "unchanged"}


def test_a_kernel_that_does_not_start_is_reported_with_its_last_words(book, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "zmq.py").write_text("raise SystemExit('this is not the zmq you look for')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "mine"))
    start = time.monotonic()
    with pytest.raises(NotebookFailed, match=r"the kernel did not start: .* Its last words: this is not the zmq"):
        run(book, only=["01_first"])
    assert time.monotonic() - start < 30


def test_what_a_dying_kernel_says_is_told(book):
    cell = "import os, sys\nos.write(2, b'no memory left\\n')\nos._exit(1)"
    edit_cell(book, "notebooks/01_first", -1, cell)
    with pytest.raises(
        NotebookFailed, match=r"the kernel died; was there enough memory\? Its last words: no memory left"
    ):
        run(book, only=["01_first"])


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
    told = "[sys.executable, os.getcwd(), nplib.__file__, os.environ['NPLIB_DATA']]"
    cell = f"import json, nplib, os, sys\nPath(results_folder, 'told').write_text(json.dumps({told}))"
    edit_cell(book, "notebooks/01_first", -1, cell)
    run(book, only=["01_first"])
    import nplib

    expected = [sys.executable, str(book / "notebooks"), nplib.__file__, str(tmp_path / "somewhere" / "else")]
    assert json.loads((book / "_build" / "results" / "told").read_text()) == expected


DRAWS = """
import matplotlib.pyplot as plt
from nplib import plots
plt.plot([1, 2])
plt.show()
plots.use_style("full")
plt.rcParams["image.interpolation"]
"""


@pytest.fixture
def users_own(tmp_path, monkeypatch) -> None:
    """Settings of a user who draws elsewhere: a backend without a screen, a style, a profile of IPython."""
    (tmp_path / "matplotlibrc").write_text("image.interpolation: bicubic\n")
    profile = tmp_path / "ipython" / "profile_default"
    (profile / "startup").mkdir(parents=True)
    (profile / "startup" / "first.py").write_text("raise SystemExit('of another project')")
    (profile / "ipython_config.py").write_text("c.InlineBackend.figure_formats = {'svg'}")
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path / "matplotlibrc"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


@pytest.mark.parametrize("backend", ["Agg", "TkAgg"])
def test_figures_are_those_of_the_book_whatever_the_user_has_set(book, users_own, monkeypatch, backend):
    monkeypatch.setenv("MPLBACKEND", backend)
    edit_cell(book, "notebooks/01_first", -1, DRAWS)
    run(book, only=["01_first"])
    executed = nbformat.read(book / "_build" / "executed" / "notebooks" / "01_first.ipynb", as_version=4)
    figure, style = (output.data for output in executed.cells[-1].outputs)
    assert set(figure) == {"image/png", "text/plain"}
    assert style["text/plain"] == repr(matplotlib.rcParamsDefault["image.interpolation"])


def test_notebooks_share_trainings_unless_all_is_forced(book):
    edit_cell(book, "notebooks/01_first", -1, "import os\nos.environ['NPLIB_FITS'][-11:]")
    for force, folder in ((False, "'_build/fits'"), (True, "''")):
        run(book, only=["01_first"], force=force)
        assert last_output(book, "notebooks/01_first") == folder


def test_an_executed_copy_does_not_tell_where_it_was_made(book):
    run(book, only=["02_second"])
    assert str(book) not in (book / "_build" / "executed" / "notebooks" / "02_second.ipynb").read_text()


def test_the_data_are_an_input(book, shared):
    write_notebook(book / "notebooks" / "01_first.ipynb", ["data"], parameters="data: str = 'auto'")
    data = book / "tiny.hdf5"
    data.write_bytes((shared / "golden" / "full_tiny.hdf5").read_bytes())
    assert states(book, data=str(data), only=["01_first"]) == {"01_first": "done"}
    assert last_output(book, "notebooks/01_first") == "'tiny.hdf5'"  # where it lies is nobody's business
    assert states(book, data=str(data), only=["01_first"]) == {"01_first": "unchanged"}
    os.utime(data, (1, 1))
    assert run(book, data=str(data), only=["01_first"])["01_first"].reason == "data changed"


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
        "others": {},
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


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Two wings of which one uses the other, a third alone, and a table beside code."""
    files = {
        "__init__.py": "",
        "low.py": "",
        "alone/__init__.py": "",
        "wing/__init__.py": "from pack.wing.part import x",
        "wing/part.py": "x = 1",
        "wing/table.bin": "1",
        "upper/__init__.py": "",
        "upper/late.py": "def f():\n    from pack.wing import x\n    import pack.low",
    }
    for name, text in files.items():
        (tmp_path / "pack" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pack" / name).write_text(text)
    return tmp_path / "pack"


def test_code_reaches_what_it_imports_directly_or_through_others(package):
    def reached(code: str) -> set[str]:
        return set(code_digests(code, package)) - {"pack.__init__"}

    assert reached("import numpy") == set()
    assert reached("import pack.low as low") == {"pack.low"}
    assert reached("from pack import wing, low") == {"pack.wing", "pack.low"}
    # Imports inside functions count too.
    assert reached("from pack.upper.late import f") == {"pack.upper", "pack.wing", "pack.low"}
    # A name that a package finds when it is asked for it may be anywhere in it.
    assert reached("from pack.upper import found_when_asked_for") == {"pack.upper", "pack.wing", "pack.low"}
    assert reached("from pack.wing import x") == {"pack.wing"}
    everything = {"pack.low", "pack.alone", "pack.wing", "pack.upper"}
    assert reached("%timeit import pack") == everything
    assert reached("from pack import found_when_asked_for") == everything


@pytest.mark.parametrize("name", ["wing/part.py", "wing/__init__.py", "wing/table.bin"])
def test_a_change_in_a_wing_changes_what_reaches_it_and_nothing_else(package, name):
    before = [code_digests(code, package) for code in ("import pack.upper.late", "import pack.alone")]
    (package / name).write_text("y = 2")
    after = [code_digests(code, package) for code in ("import pack.upper.late", "import pack.alone")]
    assert {wing for wing in before[0] if before[0][wing] != after[0][wing]} == {"pack.wing"}
    assert before[1] == after[1]


@pytest.mark.parametrize(
    ("name", "reaches", "never"),
    [
        ("03_split", "splits benchmark plots sources", "cli api gp two_stage"),
        ("08_search", "search gp two_stage training features", "cli api"),
    ],
)
def test_of_nplib_a_page_depends_on_what_it_uses_and_not_on_the_command_line_or_the_interface(name, reaches, never):
    code = (PROJECT / "notebooks" / f"{name}.ipynb").read_text()
    cells = [cell for cell in json.loads(code)["cells"] if cell["cell_type"] == "code"]
    reached = code_digests("\n".join("".join(cell["source"]) for cell in cells))
    assert {f"nplib.{wing}" for wing in reaches.split()} <= set(reached)
    assert not {f"nplib.{wing}" for wing in never.split()} & set(reached)


def test_environment_and_versions_are_inputs(book, monkeypatch, tmp_path):
    run(book, only=["01_first"])
    (tmp_path / "sample.json").write_text("{}")
    monkeypatch.setenv("NPLIB_SAMPLE", str(tmp_path / "sample.json"))
    assert run(book, only=["01_first"])["01_first"].reason == "environment changed"
    (tmp_path / "sample.json").write_text("{ }")
    assert run(book, only=["01_first"])["01_first"].reason == "environment changed"
    monkeypatch.setattr("nplib.publish.inputs.platform.python_version", lambda: "3.99.0")
    assert run(book, only=["01_first"])["01_first"].reason == "versions changed"


def test_a_damaged_memory_of_tasks_only_means_that_all_run(book):
    only = ["01_first"]
    run(book, only=only)
    (book / "_build" / "tasks.json").write_text("{")
    assert states(book, only=only) == {"01_first": "done"}
    assert states(book, only=only) == {"01_first": "unchanged"}


MEETING = """
import time
from pathlib import Path
Path(results_folder).parents[1].joinpath("{here}").touch()
end = time.monotonic() + 60
while not Path(results_folder).parents[1].joinpath("{there}").exists():
    assert time.monotonic() < end, "the other did not come"
    time.sleep(0.05)
"""


def test_notebooks_run_side_by_side_and_share_the_cores(book):
    shares = "import os\nfrom nplib._devices import num_cores\n[int(os.environ['OMP_NUM_THREADS']), num_cores()]"
    for name, here, there in (("01_first", "a", "b"), ("02_second", "b", "a")):
        write_notebook(
            book / "notebooks" / f"{name}.ipynb",
            [MEETING.format(here=here, there=there), shares],
            parameters="results_folder: str = ''",
        )
    assert set(states(book, jobs=2).values()) == {"done"}
    import joblib

    for name in ("01_first", "02_second"):
        cores = eval(last_output(book, f"notebooks/{name}"))
        assert max(cores) <= max(1, joblib.cpu_count() // 2)
    # One that is left alone has all, as far as the user allows.
    edit_cell(book, "notebooks/01_first", -2, "")
    run(book, only=["01_first"])
    allowed = os.environ.get("OMP_NUM_THREADS", joblib.cpu_count())
    assert eval(last_output(book, "notebooks/01_first"))[1] == min(joblib.cpu_count(), int(allowed))


def test_the_longest_notebooks_begin_first(book):
    for name, minutes in (("01_first", 1), ("02_second", 2)):
        path = book / "notebooks" / f"{name}.ipynb"
        content = nbformat.read(path, as_version=4)
        content.metadata["nplib"] = {"minutes": minutes}
        nbformat.write(content, path)
    # As they declare at first, then as they took.
    options = {"jobs": 1, "only": ["01_first", "02_second"]}
    assert list(states(book, **options)) == ["02_second", "01_first"]
    memory = book / "_build" / "tasks.json"
    known = json.loads(memory.read_text())
    known["notebooks/01_first.ipynb"]["_values_:"]["seconds"] += 100
    memory.write_text(json.dumps(known))
    assert list(states(book, force=True, **options)) == ["01_first", "02_second"]


def test_pages_do_not_tell_where_data_outside_the_project_lie(book, shared, tmp_path, monkeypatch):
    data = tmp_path / "private" / 'my "own".hdf5'
    data.parent.mkdir()
    data.write_bytes((shared / "golden" / "full_tiny.hdf5").read_bytes())
    monkeypatch.setenv("NPLIB_TFRECORD", str(data))
    shown = "import os\nprint(data, os.environ['NPLIB_TFRECORD'], os.path.expanduser('~/x'), os.getcwd())\n[data]"
    write_notebook(book / "notebooks" / "01_first.ipynb", [shown], parameters="data: str = 'auto'")
    run(book, data=str(data), only=["01_first"])
    page = (book / "_build" / "executed" / "notebooks" / "01_first.ipynb").read_text()
    assert str(tmp_path) not in page and str(Path.home()) not in page
    content = nbformat.reads(page, as_version=4)
    assert content.cells[-1].outputs[0].text == 'my "own".hdf5 my "own".hdf5 ~/x ./notebooks\n'
    # Papermill's cell of what was given is not on the page beside the one that it replaces.
    (injected,) = [cell for cell in content.cells if "injected-parameters" in cell.metadata.get("tags", ())]
    assert "remove-cell" in injected.metadata.tags and injected.metadata.jupyter.source_hidden


def test_results_of_a_plain_run_go_to_the_project_from_any_folder(book, tmp_path):
    write_notebook(book / "notebooks" / "01_first.ipynb", [SAVES_RESULTS], parameters="results_folder: str = ''")
    kept = book / "_build" / "results" / "01_first.json"
    for folder in (book, book / "notebooks"):
        notebook = os.path.relpath(book / "notebooks" / "01_first.ipynb", folder)
        command = [sys.executable, "-m", "papermill", notebook, str(tmp_path / "out.ipynb")]
        subprocess.run(command, check=True, capture_output=True, cwd=folder)
        assert json.loads(kept.read_text())["a"] == 1
        kept.unlink()


def test_a_terminal_that_is_gone_ends_no_work(book):
    def watch(step: Step) -> None:
        raise BrokenPipeError

    build_book(book, html=False, watch=watch)
    assert (book / "_build" / "results" / "second.txt").exists()


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


def test_plain_papermill_runs_a_notebook(book):
    notebook, target = book / "notebooks" / "02_second.ipynb", book / "out.ipynb"
    command = [sys.executable, "-m", "papermill", str(notebook), str(target), "-p", "epochs", "7"]
    subprocess.run([*command, "-p", "results_folder", str(book)], check=True, capture_output=True)
    assert (book / "second.txt").read_text() == "7 False"
    assert nbformat.read(target, as_version=4).cells[-1].outputs


def test_parameters_without_a_type_are_refused(book):
    write_notebook(book / "notebooks" / "01_first.ipynb", ["1"], parameters="epochs = 3")
    with pytest.raises(BadNotebook, match=r"01_first\.ipynb: the parameter epochs has no type; write epochs: int = 3"):
        find_notebooks(book)


@pytest.mark.parametrize("text", ["{}", "", "[1]", '{"nbformat": 4}', '{"nbformat": 4, "cells": [{}]}', "\0"])
def test_what_is_no_notebook_is_refused_in_one_line(book, text):
    (book / "notebooks" / "01_first.ipynb").write_text(text)
    with pytest.raises(BadNotebook, match=r"01_first\.ipynb is no notebook") as refused:
        read_notebook(book, PurePosixPath("notebooks/01_first.ipynb"))
    assert "\n" not in str(refused.value)


def saved_by_another_editor(path: Path, kind: str) -> None:
    content = json.loads(path.read_text())
    if kind == "no language":
        content["metadata"] = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    elif kind == "no metadata":
        content["metadata"] = {}
    elif kind == "no metadata of cells":
        for cell in content["cells"]:
            if not cell["metadata"]:
                del cell["metadata"]
    elif kind == "format 3":
        content = json.loads(nbformat.writes(nbformat.convert(nbformat.reads(path.read_text(), 4), 3), version=3))
    elif kind == "format 4.4":
        content["nbformat_minor"] = 4
        for cell in content["cells"]:
            del cell["id"]
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("kind", ["no language", "no metadata", "no metadata of cells", "format 4.4"])
def test_what_other_editors_save_is_read(book, kind):
    page = PurePosixPath("notebooks/02_second.ipynb")
    before = read_notebook(book, page)
    saved_by_another_editor(book / page, kind)
    after = read_notebook(book, page)
    assert after.cells == before.cells and after.parameters == before.parameters


def test_what_old_editors_save_runs(book):
    saved_by_another_editor(book / "notebooks" / "02_second.ipynb", "format 3")
    path = book / "notebooks" / "02_second.ipynb"
    old = json.loads(path.read_text())
    # Format 3 knows no tags of cells; its metadata hold them all the same.
    assert old["nbformat"] == 3 and "worksheets" in old
    assert states(book, only=["02_second"], parameters={"epochs": "7"}) == {"02_second": "done"}
    assert (book / "_build" / "results" / "second.txt").read_text() == "7 False"


@pytest.mark.parametrize(
    ("toc", "message"),
    [
        (
            "format: jb-book\nroot: book/intro\nchapters:\n- file: notebooks/09_none\n",
            r"names notebooks/09_none, but there is neither",
        ),
        ("format: jb-book\nroot: book/intro\nchapters:\n- file: book/intro\n", r"used multiple times"),
        ("format: jb-book\n", r"'root' key not found"),
        ("root: [", r"flow node"),
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
