"""What notebooks say is checked as they claim, and their results come back."""

import pytest

from nplib.publish.page import Checks, ResultsMissing, data_note, finding, heading, load_results, save_results


def test_checks_tell_match_from_mismatch():
    checks = Checks()
    checks.add("cells", 423_624, 423_624)
    checks.add("mean", 0.2812, 0.279, within=0.002)
    checks.add_range("MSE", 2.25, 2.18, 2.27)
    checks.add_range("MSE", 2.28, 2.18, 2.27)
    table = checks.table()
    assert table["match"].tolist() == ["yes", "no", "yes", "no"]
    assert table["we see"].tolist() == ["423,624", "0.281", "2.250", "2.280"]
    assert table["expected"].tolist()[:2] == ["423,624", "0.279 ± 0.002"]
    assert checks.mismatches == 2
    assert Checks().table().empty


def test_findings_are_one_paragraph_with_percent_signs_set_off():
    assert finding("of 91.07%\n   and 80 %, not %d").data == "of 91.07\u00a0% and 80\u00a0%, not %d"


def test_the_surrogate_stands_beside_known_figures_and_need_not_match_them():
    checks = Checks("surrogate")
    checks.add("mean", 0.2812, 0.279, within=0.0001)
    checks.add("cells", 423_624, 423_624)
    table = checks.table()
    assert table.columns.tolist() == ["surrogate", "NASBench-101", "difference"]
    assert table.loc["mean"].tolist() == ["0.281", "0.279", "+0.002"]
    assert table.loc["cells"].tolist() == ["423,624", "423,624", "+0"]
    assert checks.mismatches == 0


def test_what_is_found_on_the_surrogate_says_so(small_surrogate):
    assert "**Data of this page: surrogate**" in data_note(small_surrogate).data
    assert "not measurements" in data_note(small_surrogate).data
    assert finding("half of them", "surrogate").data == "*On the surrogate:* half of them"
    assert finding("half of them", "sample").data == "half of them"
    assert [heading("MSE", source) for source in ("surrogate", "full")] == ["MSE, on the surrogate", "MSE"]


def test_results_come_back_with_the_data_that_they_are_of(tmp_path, small_surrogate):
    folder = tmp_path / "results"
    about = {"source": "surrogate", "labels": small_surrogate.labels}
    save_results(folder, "04_train", small_surrogate, {"seeds": [0, 1], "mse": 2.25})
    assert load_results(folder, "04_train") == about | {"seeds": [0, 1], "mse": 2.25}
    save_results(folder, "04_train", small_surrogate, {"seeds": []})
    assert load_results(folder, "04_train", source="surrogate") == about | {"seeds": []}
    with pytest.raises(ResultsMissing, match=r"04_train\.json is of surrogate, and the others are of sample"):
        load_results(folder, "04_train", source="sample")
    with pytest.raises(ResultsMissing, match="run notebook 01_convert first"):
        load_results(folder, "01_convert")
