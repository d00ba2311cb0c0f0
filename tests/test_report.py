"""What notebooks say is checked as they claim, and their results come back."""

import pytest

from nplib.report import Checks, ResultsMissing, finding, load_results, save_results


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


def test_results_come_back(tmp_path):
    folder = tmp_path / "results"
    save_results(folder, "04_train", {"seeds": [0, 1], "mse": 2.25})
    assert load_results(folder, "04_train") == {"seeds": [0, 1], "mse": 2.25}
    save_results(folder, "04_train", {"seeds": []})
    assert load_results(folder, "04_train") == {"seeds": []}
    with pytest.raises(ResultsMissing, match="run notebook 01_convert first"):
        load_results(folder, "01_convert")
