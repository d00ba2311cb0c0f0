"""What a page says: numbers reach its sentences, tables are read as meant, verdicts need draws, results come back."""

import copy
import html
import re
from dataclasses import replace

import nbformat
import numpy as np
import pandas as pd
import pytest

from nplib.errors import UserError
from nplib.metrics import summarize
from nplib.publish.page import (
    Checks,
    about,
    data_note,
    interval,
    load_results,
    mean_sd,
    percent,
    plain,
    save_results,
    show,
    table,
    verdict,
)
from nplib.publish.pages import with_numbers
from nplib.publish.results import ResultsMissing, results_path

SENTENCE = "An error of {eval}`show.mse`, {eval}`show.poor` of all {eval}`show.cells` cells."
CODE = """
from nplib.publish.page import mean_sd, percent, show
show(mse=mean_sd([3.6, 3.7], ".2f", "points²"), poor=percent(0.0126), cells=423_624)
"""


@pytest.fixture(scope="module")
def executed():
    """A notebook with a sentence before the numbers that it names, run by a kernel."""
    from nbclient import NotebookClient

    cells = [nbformat.v4.new_markdown_cell(SENTENCE), nbformat.v4.new_code_cell(CODE)]
    cells[1].metadata["tags"] = ["remove-cell"]
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return NotebookClient(nbformat.v4.new_notebook(cells=cells, metadata=about)).execute()


def read(notebook, folder) -> str:
    """The text that a reader of the page sees, once the book's own parser has made HTML of it."""
    from docutils.core import publish_string
    from myst_nb.docutils_ import Parser

    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        cell.source = with_numbers(cell.source)

    settings = {"nb_execution_mode": "off", "nb_output_folder": str(folder), "report_level": 2, "halt_level": 2}
    page = publish_string(
        nbformat.writes(notebook), parser=Parser(), writer_name="html", settings_overrides=settings
    ).decode()
    shown = re.sub(r"(?s)<style.*?</style>|<[^>]*>", "", page[page.rindex("<body") :])
    return html.unescape(shown).strip()


def test_numbers_reach_the_sentences_of_the_page_and_leave_nothing_else_on_it(executed, tmp_path):
    sentence = "An error of 3.65 ± 0.07 points² (2 seeds), 1.3\N{NO-BREAK SPACE}% of all 423,624 cells."
    assert read(executed, tmp_path) == sentence


def test_jupyterlab_shows_what_was_handed_over(executed):
    (shown,) = [output for output in executed.cells[1].outputs if output.output_type == "execute_result"]
    assert "- `mse`: 3.65 ± 0.07 points² (2 seeds)" in shown.data["text/markdown"]


def test_a_number_is_handed_over_as_it_will_be_read():
    with pytest.raises(UserError, match=r"mse is 3\.6; say how it is written"):
        show(mse=3.6)


def test_what_is_not_known_is_a_dash():
    assert mean_sd([]) == percent([]) == percent(float("nan")) == interval(1.0, float("nan")) == "–"
    assert mean_sd(summarize([2.0])) == "2.00 (1 seed)"  # no spread of a single one


def test_a_verdict_needs_draws_and_an_interval_that_leaves_zero_out():
    random = np.random.default_rng(0)
    sides = ("A ranks better", "B ranks better")
    assert verdict([0.5] * 7, *sides).startswith("Too few draws to say (7; it takes 8)")
    assert verdict(random.normal(0.02, 0.01, 20), *sides).startswith("A ranks better (+0.0")
    assert verdict(random.normal(-0.02, 0.01, 20), *sides).startswith("B ranks better (-0.0")
    assert verdict(random.normal(0.0, 0.01, 20), *sides).startswith("No difference can be told (")
    # Of many sets of draws without a difference, about one in twenty is judged.
    judged = sum(not verdict(row, *sides).startswith("No") for row in random.normal(0, 1, (1000, 10)))
    assert 30 <= judged <= 70


def shown_rows(page) -> list[list[str]]:
    rows = page.data[page.data.index("<tbody>") :].split("<tr>")[1:]
    return [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in rows]


def test_tidy_frames_become_tables_of_mean_and_spread():
    tidy = pd.DataFrame({"labels": [172, 172, 43], "predictor": ["GCN", "GCN", "GP"], "tau": [0.6, 0.62, 0.7]})
    page = table(tidy, rows="labels", columns="predictor", value="tau", style=".3f", caption="Kendall τ.")
    assert shown_rows(page) == [["172", "0.610 ± 0.014 (2)", "–"], ["43", "–", "0.700 (1)"]]
    assert "Kendall τ. Mean ± standard deviation (number of seeds)." in page.data
    alike = table(tidy[:2], rows="labels", value="tau", caption="τ.", of="draws")
    assert shown_rows(alike) == [["172", "0.61 ± 0.01"]]
    assert "τ. Mean ± standard deviation over 2 draws." in alike.data


def test_sentences_in_a_table_break_and_begin_at_the_left():
    said = "No difference can be told (+0.13, 95 % interval)."
    page = table(pd.DataFrame({"value": [0.5], "ahead": [said]}, index=["a and b"])).data
    assert table(pd.DataFrame({"value": []}), caption="Nothing.") is None
    assert re.findall(r"td:nth-child\((\d)\)[^{]*{\s*text-align: left;\s*white-space: normal;", page) == ["3"]


def test_words_stand_left_and_numbers_right():
    frame = pd.DataFrame(
        {"example": ["edges_3x3", "–"], "of": ["8.0 (7 to 9)", "> 26"], "needed": ["more than 9", "29"]}
    )
    page = table(frame).data
    assert re.findall(r"td:nth-child\((\d)\)[^{]*{\s*text-align: left;", page) == ["2"]


def test_tables_escape_what_they_are_given():
    page = table(pd.DataFrame({"<b>x</b>": ["<script>1</script>", "80%"]}), caption="a <i>")
    assert "<script>" not in page.data and "<b>" not in page.data and "<i>" not in page.data
    assert "80\N{NO-BREAK SPACE}%" in page.data


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "[a](javascript:b)", "`x` {ref}`y` *z*", "<b>&lt;"])
def test_text_from_data_is_shown_as_it_is(text, small_surrogate, tmp_path):
    note = nbformat.v4.new_markdown_cell(data_note(replace(small_surrogate, labels=text, kind="")).data)
    assert read(nbformat.v4.new_notebook(cells=[note]), tmp_path).endswith(f"cells; {text}.")
    assert "\x1b" not in plain("\x1b[31mred")


def test_the_surrogate_stands_beside_known_figures_and_need_not_match_them():
    checks = Checks("surrogate")
    checks.add("mean", 0.2812, 0.279, within=0.0001)
    checks.add("cells", 423_624, 423_624)
    table = checks.table()
    assert table.columns.tolist() == ["surrogate", "NASBench-101", "difference"]
    assert table.loc["mean"].tolist() == ["0.281", "0.279", "+0.002"]
    assert table.loc["cells"].tolist() == ["423,624", "423,624", "+0"]


def test_what_is_found_on_the_surrogate_says_so(small_surrogate):
    assert "**Data:** surrogate" in data_note(small_surrogate).data
    assert "not measurements" in data_note(small_surrogate).data


def test_results_come_back_with_the_data_that_they_are_of(tmp_path, small_surrogate):
    folder = tmp_path / "results"
    of = {"source": "surrogate", "labels": small_surrogate.labels, "about": about(small_surrogate)}
    save_results(folder, "04_train", small_surrogate, {"seeds": [0, 1], "mse": 2.25})
    assert load_results(folder, "04_train") == of | {"seeds": [0, 1], "mse": 2.25}
    save_results(folder, "04_train", small_surrogate, {"seeds": []})
    assert load_results(folder, "04_train", source="surrogate") == of | {"seeds": []}
    with pytest.raises(ResultsMissing, match=r"04_train\.json is of surrogate, and the others are of sample"):
        load_results(folder, "04_train", source="sample")
    with pytest.raises(ResultsMissing, match=r"01_convert\.json is not there: run notebook 01_convert"):
        load_results(folder, "01_convert")


def test_results_go_to_the_project_from_any_folder_and_nowhere_else(tmp_path, monkeypatch, small_surrogate, capsys):
    import nplib

    for name in ("_toc.yml", "_config.yml"):
        (tmp_path / name).touch()
    (tmp_path / "notebooks").mkdir()
    for folder in (tmp_path, tmp_path / "notebooks"):
        monkeypatch.chdir(folder)
        assert results_path() == tmp_path / "_build" / "results"
    elsewhere = tmp_path.parent
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(nplib, "__file__", str(elsewhere / "nplib" / "__init__.py"))
    before = sorted(elsewhere.iterdir())
    save_results("", "04_train", small_surrogate, {})
    assert "results of 04_train are not kept (no project here)" in capsys.readouterr().out
    assert sorted(elsewhere.iterdir()) == before


def test_a_named_folder_that_cannot_be_written_to_is_an_error(tmp_path, small_surrogate):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="results of 04_train are not kept"):
        save_results(tmp_path / "file", "04_train", small_surrogate, {})
