"""The book's own notebooks, as they are stored: each says whose data it shows, and passes that on with its results."""

import ast
import json
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
PAGES = [*NOTEBOOKS, *sorted((PROJECT / "book").glob("*.ipynb"))]


def calls(path: Path, prefix: str) -> list[ast.Call]:
    """Calls in a notebook of what is written with this prefix, in the order of their places."""
    cells = json.loads(path.read_text(encoding="utf8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    found = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    found = [node for node in found if ast.unparse(node.func).startswith(prefix)]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_says_whose_data_its_figures_show_before_it_draws_one(path):
    drawing = calls(path, "plots.")
    if not drawing:
        pytest.skip("no figures")
    assert [ast.unparse(call.func) for call in drawing].count("plots.use_style") == 1
    assert ast.unparse(drawing[0].func) == "plots.use_style"
    # The data that were loaded, whatever they are: no source written down.
    (data,) = drawing[0].args
    assert isinstance(data, ast.Name)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_results_are_saved_with_the_data_that_figures_show(path):
    (shown,) = calls(path, "plots.use_style")[0].args
    for call in calls(path, "save_results"):
        assert ast.unparse(call.args[2]) == ast.unparse(shown)


def prose_lines(source: str) -> set[int]:
    """Lines of code that build sentences: strings with four words or more, f-strings too, and Markdown."""
    tree = ast.parse(source)
    docstrings = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and isinstance(node.body[0], ast.Expr)
    }
    found: set[int] = set()
    for node in ast.walk(tree):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        says = isinstance(node, ast.Call) and ast.unparse(node.func) in ("finding", "heading", "Markdown")
        if node not in docstrings and (says or sum(len(text.split()) for text in texts) >= 4):
            found |= set(range(node.lineno, node.end_lineno + 1))
    return found


def prose_share(path: Path) -> float:
    """Part of a notebook's lines of code, without empty ones and comments, that build sentences."""
    total = prose = 0
    for cell in json.loads(path.read_text(encoding="utf8"))["cells"]:
        if cell["cell_type"] == "code":
            lines = {
                number
                for number, line in enumerate("".join(cell["source"]).splitlines(), 1)
                if line.strip() and not line.strip().startswith("#")
            }
            total += len(lines)
            prose += len(lines & prose_lines("".join(cell["source"])))
    return prose / total


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_sentences_stand_in_markdown(path):
    assert prose_share(path) <= 0.2


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_what_the_book_hides_of_a_cell_jupyterlab_hides_too(path):
    for cell in json.loads(path.read_text(encoding="utf8"))["cells"]:
        if {"hide-input", "remove-input"} & set(cell["metadata"].get("tags", ())):
            assert cell["metadata"].get("jupyter", {}).get("source_hidden"), cell["id"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_declares_about_how_long_it_takes(path):
    assert json.loads(path.read_text(encoding="utf8"))["metadata"]["nplib"]["minutes"] > 0
