"""What a notebook is given becomes what it declares, or is refused in a line, whoever runs it."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from tiny_book import PROJECT, write_notebook

from nplib.publish.parameters import BadParameter, Parameter, check_parameters, fit_value


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("int", " 7 ", 7),
        ("int", 7.0, 7),
        ("float", "1e-4", 1e-4),
        ("float", 3, 3.0),
        ("bool", "Yes", True),
        ("bool", "0", False),
        ("bool", 1, True),
        ("str", "91-172", "91-172"),
        ("list[int]", "1, 2,3", [1, 2, 3]),
        ("list[str]", "[172,all]", ["172", "all"]),
        ("list[float]", "", []),
        ("list[int]", ["1", 2.0], [1, 2]),
        ("dict", {"a": 1}, {"a": 1}),
    ],
)
def test_values_get_the_type_that_the_notebook_declares(kind, given, value):
    fitted = fit_value(Parameter("x", kind, "..."), given)
    assert fitted == value
    assert type(fitted) is type(value)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("int", "1.5"),
        ("int", 1.5),
        ("int", True),
        ("int", float("inf")),
        ("int", float("nan")),
        ("int", None),
        ("bool", "maybe"),
        ("bool", 2),
        ("str", None),
        ("str", 172),
        ("list[int]", "1,b"),
        ("list[int]", 3),
        ("dict", "{}"),
    ],
)
def test_unfit_values_are_errors_that_name_the_parameter(kind, given):
    with pytest.raises(BadParameter, match=r"^x is .*, which is no .* \(the notebook has x: .* = \.\.\.\)$"):
        fit_value(Parameter("x", kind, "..."), given)


DECLARED = "draws: int = 5000  # of cells\nquick: bool = False\ndata: str = 'auto'"


def notebook_globals(given: dict[str, object], **values: object) -> dict[str, object]:
    """Of a notebook in its third cell, after its own parameters and papermill's."""
    injected = "# Parameters\n" + "".join(f"{name} = {value!r}\n" for name, value in given.items())
    defaults = {"draws": 5000, "quick": False, "data": "auto"}
    return {"In": ["", DECLARED, injected, "check_parameters(globals())"], **defaults, **given, **values}


def test_a_notebook_gets_what_it_declares():
    namespace = notebook_globals({"quick": "no", "draws": "1200"})
    check_parameters(namespace)
    assert (namespace["quick"], namespace["draws"], namespace["data"]) == (False, 1200, "auto")
    check_parameters({"anything": 1})  # no notebook at all


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(BadParameter) as refused:
        check_parameters(notebook_globals({"dat": "sample", "draws": "many", "data": None}))
    message = str(refused.value)
    assert "there is no parameter dat; there are draws, quick, data" in message
    assert "draws is 'many', which is no int (the notebook has draws: int = 5000)" in message
    assert "data is None, which is no str" in message


def papermill(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    cells = ["from nplib.publish.parameters import check_parameters\ncheck_parameters(globals())", "[draws, quick]"]
    write_notebook(folder / "in.ipynb", cells, parameters=DECLARED)
    command = [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("-r", "quick", "no", "-r", "draws", "7"), "[7, False]"),
        (("-y", "quick: 'false'"), "[5000, False]"),
        ((), "[5000, False]"),
    ],
)
def test_papermill_may_give_texts(tmp_path, arguments, shown):
    done = papermill(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[-1].outputs[0]["data"]["text/plain"] == shown


def test_papermill_is_told_what_is_wrong_in_one_line(tmp_path):
    done = papermill(tmp_path, "-p", "dat", "sample")
    assert done.returncode != 0
    assert "BadParameter: there is no parameter dat; there are draws, quick, data" in done.stderr
    assert "Traceback" not in done.stderr.partition("Exception encountered at")[2]


@pytest.mark.parametrize("path", sorted(PROJECT.glob("*/*.ipynb")), ids=lambda path: path.stem)
def test_every_notebook_checks_what_it_is_given_in_its_first_cell(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert "parameters" in cells[0].metadata.tags
    assert "\ncheck_parameters(globals())" in cells[1].source
