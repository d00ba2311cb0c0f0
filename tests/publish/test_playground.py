"""The page on which a reader draws a cell says what Python says, to one in 100,000, after real clicks and keys."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from nplib.benchmark import Benchmark, empty_metrics
from nplib.cell import Cell, Cells
from nplib.predictor import Predictor, PredictorConfig
from nplib.publish.playground import NAME, write_playground

PROJECT = Path(__file__).parents[2]
PAGE = """<!doctype html><html lang="en"><title>Draw a cell</title><link rel="stylesheet" href="book.css">
<main><section id="draw-a-cell"><h1>Draw a cell</h1><div id="cell-drawing-board"></div></section></main>
<script src="draw_a_cell_data.js"></script><script src="draw_a_cell.js"></script></html>"""
DIAMOND = Cell(
    [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]],
    ["input", "conv3x3-bn-relu", "maxpool3x3", "output"],
)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(PredictorConfig(), 3).eval()


@pytest.fixture(scope="module")
def measured(space) -> Benchmark:
    """The small cells, each with an accuracy of its own."""
    rows = np.arange(2532)
    metrics = empty_metrics(len(rows))
    metrics[:, 3, 0, 1, 2] = np.linspace(0.1, 0.95, len(rows))
    return Benchmark.from_space(space, rows, metrics, source="made", labels="made for a test")


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory, predictor, measured):
    """The page in a browser, opened from a folder."""
    folder = tmp_path_factory.mktemp("page")
    for name in ("draw_a_cell.js", "book.css"):
        shutil.copy(PROJECT / "book" / "_static" / name, folder)
    predicted = predictor.predict(measured.cells)
    write_playground(folder, predictor, predicted, measured, {"a diamond": DIAMOND})
    shutil.copy(folder / "_static" / NAME, folder)
    (folder / "page.html").write_text(PAGE)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    errors = []
    page.on("pageerror", lambda error: errors.append(error))
    page.goto((folder / "page.html").as_uri())
    assert page.locator("h1").text_content() == "Draw a cell"  # its section has the title as its name
    yield page
    page.close()
    assert not errors


def set_cell(page, cell: Cell) -> None:
    """Click arrows and choose operations until the table shows the cell, its output in the last place."""
    places = [*range(cell.num_vertices - 1), 6]
    wanted = np.zeros((7, 7), dtype=int)
    wanted[np.ix_(places, places)] = cell.matrix
    for u in range(6):
        for v in range(u + 1, 7):
            button = page.locator(f"#arrow-{u}-{v}")
            if (button.get_attribute("aria-pressed") == "true") != bool(wanted[u, v]):
                button.click()
    for vertex, code in zip(places[1:-1], cell.codes[1:-1], strict=True):
        page.locator(f"#operation-{vertex}").select_option(str(code))


def answer(page) -> dict[str, tuple[str, str | None]]:
    """By term what the page says, and the value behind it."""
    terms = page.locator("#cell-answer dt").all_text_contents()
    details = page.locator("#cell-answer dd")
    return {
        term: (details.nth(i).text_content(), details.nth(i).get_attribute("data-value"))
        for i, term in enumerate(terms)
    }


def test_any_cell_has_the_hash_parameters_and_prediction_of_python(page, space, predictor):
    drawn = np.random.default_rng(0).permutation(len(space))[:6]
    for cell in [space.cell(int(index)) for index in (0, 5, 50, *drawn)]:
        set_cell(page, cell)
        said = answer(page)
        assert said["Hash"][1] == cell.module_hash
        assert int(said["Parameters"][1]) == cell.trainable_parameters
        assert float(said["Predicted accuracy"][1]) == pytest.approx(predictor.predict(Cells.of([cell]))[0], abs=1e-5)


def test_the_measured_run_is_shown_where_there_is_one(page, space, measured):
    for index in (0, 1, 700, 2531):
        set_cell(page, space.cell(index))
        value = answer(page)["Measured validation accuracy, one run"][1]
        assert float(value) == pytest.approx(measured.values()[index], abs=1e-5)
    set_cell(page, space.cell(400_000))
    assert answer(page)["Measured validation accuracy, one run"][0] == "not in this build's data"


def test_what_is_no_cell_is_said_to_be_none(page):
    set_cell(page, Cell([[0, 1], [0, 0]], ["input", "output"]))
    page.locator("#arrow-0-6").click()
    assert answer(page)["Valid"][0] == "no: the output cannot be reached from the input"
    for u, v in [(u, u + 1) for u in range(6)] + [(0, v) for v in range(2, 6)]:
        page.locator(f"#arrow-{u}-{v}").click()
    assert answer(page)["Valid"][0] == "no: 10 arrows, and NASBench-101 allows 9"


def test_it_can_be_used_with_keys_alone(page):
    page.locator("button.example").first.focus()
    page.keyboard.press("Enter")
    assert answer(page)["Hash"][1] == DIAMOND.module_hash
    page.locator("#arrow-0-6").focus()
    page.keyboard.press("Space")
    matrix = DIAMOND.matrix.copy()
    matrix[0, 3] = 1
    assert answer(page)["Hash"][1] == Cell(matrix, DIAMOND.operations).module_hash


def test_md5_is_that_of_the_standard(page):
    import hashlib

    for text in ("", "abc", "x" * 55, "y" * 56, "z" * 64, "1|2|3" * 50):
        assert page.evaluate("text => nplib.md5(text)", text) == hashlib.md5(text.encode()).hexdigest()


def test_nothing_of_the_page_offends_a_screen_reader(page):
    from axe_playwright_python.sync_playwright import Axe

    found = [v for v in Axe().run(page).response["violations"] if v["impact"] in ("critical", "serious")]
    assert not found, [(v["id"], [node["html"] for node in v["nodes"]][:3]) for v in found]


def test_results_of_a_surrogate_are_not_shown_as_measured(tmp_path, predictor, small_surrogate):
    write_playground(tmp_path, predictor, np.array([0.9, 0.91]), small_surrogate, {})
    assert '"measured": null' in (tmp_path / "_static" / NAME).read_text()
