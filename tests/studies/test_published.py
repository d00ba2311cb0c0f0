"""Published figures are the ones that were published."""

import json

import numpy as np
import pytest

from nplib.sources import load
from nplib.splits import make_splits
from nplib.studies import published
from nplib.studies.experiment import run_experiment
from nplib.training import TrainingConfig


def test_figures_of_the_reference_code_equal_its_output(shared):
    runs = json.loads((shared / "golden" / "reference_results.json").read_text())["runs"]
    ours = published.reference_runs("sample").set_index("setting").groupby(level=0, sort=False)
    assert {run["setting"].replace("->", "→").replace("2e-4", "0.0002") for run in runs} == set(ours.groups)
    for run in runs:
        recorded = ours.get_group(run["setting"].replace("->", "→").replace("2e-4", "0.0002"))
        assert recorded.mse_percent2.tolist() == run["mse_percent2"]
        assert recorded.kendall_tau.tolist() == run["kendall_tau"]


def test_figures_of_the_reference_code_on_one_run_equal_its_output(shared):
    output = json.loads((shared / "golden" / "reference_on_one_run.json").read_text())
    kinds = {"one-run": output, "validation guessed": output["proxy_validation"]}
    versions = {published.REFERENCE_CODE: "newest", published.BEFORE_ZERO_GRAD: "before_zero_grad"}
    for source, kind in kinds.items():
        recorded = published.reference_runs(source).set_index(["code", "setting", "seed"]).sort_index()
        for code, version in versions.items():
            for setting in published.SETTINGS:
                theirs = kind[version].get(setting.name.replace("→", "->").replace("0.0002", "2e-4"))
                if theirs is None:
                    assert setting.name not in recorded.loc[code].index
                    continue
                ours = recorded.loc[code, setting.name]
                for name in ("mse_percent2", "kendall_tau"):
                    assert ours[name].tolist() == pytest.approx(theirs[name], abs=5.1e-5)


def test_our_training_lands_where_the_reference_code_does_on_real_labels_of_every_cell(shared):
    setting = published.ABOVE_91
    benchmark = load(shared / "nasbench101" / "test_run0_108.npy")
    splits = make_splits(benchmark)
    cells = splits[setting.evaluate][::3]
    outcome = run_experiment(benchmark, splits[setting.train], cells, range(5), TrainingConfig())
    theirs = published.reference_runs("one-run").query("code == @published.REFERENCE_CODE and setting == @setting.name")
    for name in ("mse_percent2", "kendall_tau"):
        assert theirs[name].min() <= np.mean(outcome.figures()[name]) <= theirs[name].max()


def test_every_published_figure_is_of_a_setting_of_the_table():
    assert {*published.PAPER_MSE, *published.REFERENCE_MSE} <= set(published.SETTINGS)
    names = {setting.name for setting in published.SETTINGS}
    assert set(published.reference_runs("sample").setting) == names == set(published.reference_runs("one-run").setting)


def test_figures_of_the_reference_readme_equal_its_table(shared):
    readme = (shared / "reference" / "neuralpredictor_pytorch_readme.txt").read_text()
    for setting, mse in published.REFERENCE_MSE.items():
        assert f"{setting.train} {setting.evaluate} {published.PAPER_MSE.get(setting, 'NA')} {mse:.2f}" in readme or (
            setting == published.ABOVE_91_LONGER and "91-172 denoise-91 NA 0.56 epochs = 600, lr = 2e-4" in readme
        )
