"""Published figures are the ones that were published."""

import json

from nplib.studies import published


def test_figures_of_the_reference_code_equal_its_output(shared):
    runs = json.loads((shared / "golden" / "reference_results.json").read_text())["runs"]
    theirs = {
        run["setting"].replace("->", "→"): (tuple(run["mse_percent2"]), tuple(run["kendall_tau"])) for run in runs
    }
    ours = {setting.name.replace("0.0002", "2e-4"): values for setting, values in published.REFERENCE_ON_SAMPLE.items()}
    assert ours == theirs


def test_every_published_figure_is_of_a_setting_of_the_table():
    assert {*published.PAPER_MSE, *published.REFERENCE_MSE, *published.REFERENCE_ON_SAMPLE} <= set(published.SETTINGS)


def test_figures_of_the_reference_readme_equal_its_table(shared):
    readme = (shared / "reference" / "neuralpredictor_pytorch_readme.txt").read_text()
    for setting, mse in published.REFERENCE_MSE.items():
        assert f"{setting.train} {setting.evaluate} {published.PAPER_MSE.get(setting, 'NA')} {mse:.2f}" in readme or (
            setting == published.ABOVE_91_LONGER and "91-172 denoise-91 NA 0.56 epochs = 600, lr = 2e-4" in readme
        )
