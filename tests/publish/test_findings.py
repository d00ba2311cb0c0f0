"""The front page tells of real, whole builds: this one's, or what was recorded of one, and says which."""

import json
from pathlib import Path

import pytest

from nplib.errors import UserError
from nplib.publish.findings import KEPT, NOTEBOOKS, RECORDED, findings, numbers, of_build, record
from nplib.publish.results import ResultsMissing


@pytest.fixture
def project(tmp_path):
    for name in ("_toc.yml", "_config.yml"):
        (tmp_path / name).touch()
    (tmp_path / "book").mkdir()
    (tmp_path / "results").mkdir()

    def ran(source: str, quick: bool) -> None:
        for name in NOTEBOOKS:
            results = {key: [0.123456789] for key in KEPT[name]} | {"source": source, "quick": quick, "more": 1}
            (tmp_path / "results" / f"{name}.json").write_text(json.dumps(results))

    return tmp_path, ran


def test_a_whole_real_build_speaks_for_itself(project):
    folder, ran = project
    ran("one-run", False)
    found = findings(folder / "results", folder)
    assert (found["source"], found["recorded"], found["quick"]) == ("one-run", "", False)
    assert "more" not in found["results"]["04_train"]


@pytest.mark.parametrize(("source", "quick"), [("surrogate", False), ("one-run", True)])
def test_any_other_build_shows_what_was_recorded_with_its_date(project, source, quick):
    folder, ran = project
    ran("one-run", False)
    path = record(folder / "results", folder)
    recorded = json.loads(path.read_text())
    assert recorded["results"]["04_train"]["settings"] == [0.123457] and len(recorded["recorded"]) == 10
    ran(source, quick)
    assert findings(folder / "results", folder) == recorded
    path.unlink()
    assert findings(folder / "results", folder)["source"] == source
    with pytest.raises(UserError, match="only a whole one of real data is recorded"):
        record(folder / "results", folder)


def test_results_of_different_data_are_not_put_together(project):
    folder, ran = project
    ran("one-run", False)
    path = folder / "results" / "08_search.json"
    path.write_text(path.read_text().replace("one-run", "surrogate"))
    with pytest.raises(ResultsMissing, match="08_search"):
        of_build(folder / "results")


def test_without_any_results_it_is_said_what_to_run(project):
    folder, _ = project
    with pytest.raises(ResultsMissing, match="nplib book"):
        findings(folder / "results", folder)


def test_the_readme_says_what_is_recorded():
    project = Path(__file__).parents[2]
    recorded = json.loads((project / "book" / RECORDED).read_text(encoding="utf8"))
    assert (recorded["source"], recorded["quick"]) == ("one-run", False)
    said = " ".join((project / "README.md").read_text(encoding="utf8").split())
    for name, text in numbers(recorded).items():
        if name != "of_what":
            assert text.rstrip(".") in said, name
    assert recorded["results"]["08_search"]["judged_by"] in said
