"""``nplib validate`` estimates from the labelled cells alone, and looks at others only where it is asked to."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import flags, nplib, report_of, run
from typer import BadParameter

from nplib.benchmark import Benchmark, empty_metrics
from nplib.errors import UserError
from nplib.metrics import kendall_tau, mse_percent2
from nplib.predictor import PredictorConfig
from nplib.studies.cross_validation import cross_validate, k_folds, random_splits
from nplib.studies.model_choice import config_grid
from nplib.training import TrainingConfig, fit_predictors

FAST = {"hidden": "8,12", "epochs": "3", "train_split": "few"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, space) -> Path:
    """A folder with 120 cells in it, their accuracies made up, and a split of 40 of them."""
    folder = tmp_path_factory.mktemp("validate")
    rows = np.arange(10_000, 410_000, 3_300)[:120]
    random = np.random.default_rng(0)
    metrics = empty_metrics(len(rows))
    metrics[:, 3, 0, 1, 2] = 0.85 + 0.02 * (space.operations[rows] == 0).sum(axis=1) + random.normal(0, 0.002, 120)
    Benchmark.from_space(space, rows, metrics).save(folder / "made.hdf5")
    np.savez(folder / "own.npz", few=random.permutation(120)[:40], every=np.arange(120))
    return folder


@pytest.fixture
def here(folder, monkeypatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def options(**changes) -> list[str]:
    given = {"data": "made.hdf5", "split_file": "own.npz", "device": "cpu", "overwrite": True} | FAST
    return ["validate", *flags(**given | changes)]


def test_figures_are_those_of_the_library(here):
    report = report_of(*options(folds=4, repeats=2, splits=3, held_out=0.2, seed=5))
    benchmark = Benchmark.open("made.hdf5")
    graphs, labels = benchmark.cells, benchmark.accuracy_labels()
    with np.load("own.npz") as stored:
        cells = stored["few"]
    schemes = {"4 folds, dealt 2 times": k_folds(40, 4, 2, 5), "3 random splits": random_splits(40, 0.2, 3, 5)}
    assert list(report["cross_validation"]) == list(schemes)
    for name, splits in schemes.items():
        for config in config_grid(TrainingConfig(epochs=3), hidden=[8, 12]):
            expected = cross_validate(graphs, labels, cells, splits, config, 5).report()
            assert report["cross_validation"][name][config.in_words] == expected
    means = {s: r["kendall_tau"]["mean"] for s, r in report["cross_validation"]["4 folds, dealt 2 times"].items()}
    assert report["chosen"] == max(means, key=means.get)
    assert report["check"] is None and report["labelled_cells"] == 40


def test_other_labels_are_looked_at_only_to_check(here, capsys):
    benchmark = Benchmark.open("made.hdf5")
    with np.load("own.npz") as stored:
        cells = stored["few"]
    others = np.setdiff1d(np.arange(120), cells)
    metrics = benchmark.metrics.copy()
    metrics[others, 3, 0, 1, 2] = np.random.default_rng(1).uniform(0.3, 0.9, len(others))
    replace(benchmark, metrics=metrics, path=None).save("other.hdf5", overwrite=True)
    first, second = (report_of(*options(data=name, by="tau", check=True)) for name in ("made.hdf5", "other.hdf5"))
    assert first["cross_validation"] == second["cross_validation"] and first["chosen"] == second["chosen"]
    assert first["check"] != second["check"]
    assert "check: trained on all labelled cells, on all other cells, 3 seeds" in capsys.readouterr().out

    graphs, labels = benchmark.cells, benchmark.accuracy_labels()
    config = TrainingConfig(epochs=3, predictor=PredictorConfig(hidden=12))
    predicted = fit_predictors(graphs, labels, range(3), config, training_cells=cells).predict(graphs)[:, others]
    figures = first["check"][config.in_words]
    assert figures["mse_percent2"] == pytest.approx([mse_percent2(labels[others], row) for row in predicted])
    assert figures["kendall_tau"] == pytest.approx([kendall_tau(labels[others], row) for row in predicted])


def test_the_table_names_every_setting_and_the_one_chosen(here, capsys):
    run(*options(folds=4, check=True, check_seeds=2))
    said = capsys.readouterr().out
    assert "40 labelled cells (split few), 2 settings, cpu" in said
    assert "4 folds: each trained on 30 cells, 10 held out" in said
    rows = re.findall(r"^(width \d+, lr 0\.0001, 3 epochs, dropout 0\.1) +\d", said, re.MULTILINE)
    assert rows == 2 * [config.in_words for config in config_grid(TrainingConfig(epochs=3), hidden=[8, 12])]
    (chosen,) = re.findall("^chosen by tau over 4 folds: (.*)$", said, re.MULTILINE)
    assert re.search(rf"^{re.escape(chosen)} .*  chosen$", said, re.MULTILINE)
    assert "surrogate" not in said


@pytest.mark.parametrize(("predictor", "settings"), [("gp", 1), ("gp-plain", 1), ("both", 3)])
def test_gaussian_processes_are_settings_too(here, capsys, predictor, settings):
    network = {} if predictor == "both" else {"hidden": None, "epochs": None, "lr": None}
    report = report_of(*options(predictor=predictor, folds=2, repeats=None, splits=None, **network))
    names = list(report["cross_validation"]["2 folds"])
    process = "Gaussian process, plain" if predictor == "gp-plain" else "Gaussian process"
    assert len(names) == settings and names[-1] == process
    assert f"{settings} setting" in capsys.readouterr().out


def test_it_tells_that_figures_are_of_the_surrogate(small_surrogate, tmp_path, capsys):
    small_surrogate.save(tmp_path / "some.hdf5")
    run(*options(data=tmp_path / "some.hdf5", split_file=None, train_split="43"))
    said = capsys.readouterr().out
    assert f"data: surrogate, 1,000 cells; {small_surrogate.labels}\n" in said
    assert f"Figures on the surrogate, {small_surrogate.kind}:\n" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 41}, "40 cells cannot be dealt into 41 folds"),
        ({"folds": 0}, "neither folds nor random splits are asked for"),
        ({"splits": 2, "held_out": 1.5}, "share is 1.5; it must be between 0 and 1"),
        ({"splits": 2, "held_out": 0.9, "folds": 0}, "split 0 trains on 4 of 40 cells, but a batch holds 10"),
        ({"dropout": "1"}, "dropout is 1.0"),
        ({"train_split": "every", "check": True}, "--check needs other cells than the 120 labelled ones; there are 0"),
        ({"train_split": "172"}, "own.npz has no split '172'"),
        ({"json": "made.hdf5", "overwrite": False}, "made.hdf5 exists"),
        ({"json": "nowhere/figures.json"}, "nowhere is no folder"),
    ],
)
def test_what_cannot_be_is_refused_before_it_trains(here, monkeypatch, changes, message):
    def train(*_, **__):
        raise AssertionError("trained")

    monkeypatch.setattr("nplib.training.fit_predictors", train)
    with pytest.raises(UserError, match=re.escape(message)):
        run(*options(**changes))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"hidden": "72, wide"}, "'72, wide'; give whole numbers with commas between them"),
        ({"lr": ""}, "''; give numbers with commas"),
        ({"by": "loss"}, "'loss'"),
    ],
)
def test_what_is_no_list_of_numbers_is_refused_by_its_option(wrong, message):
    with pytest.raises(BadParameter, match=re.escape(message)):
        run(*options(**wrong))


def test_the_command_line_hands_everything_on(folder):
    """With the reference's spellings too; and with the figures alone on the standard output."""
    options = ["--data", "made.hdf5", "--split-file", "own.npz", "--train_split", "few", "--folds", 2, "--repeats", 2]
    options += ["--splits", 2, "--held_out", 0.25, "--gcn-hidden", 8, "--lr", "1e-3,1e-4", "--epochs", 2]
    options += ["--dropout", "0,0.2", "--wd", 0.01, "--train_batch_size", 9, "--by", "mse", "--seed", 3]
    done = nplib("validate", *options, "--check", "--check-seeds", 1, "--json", "-", cwd=folder)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    config = report["config"]
    assert (config["epochs"], config["weight_decay"], config["batch_size"], config["predictor"]["hidden"]) == (
        2,
        0.01,
        9,
        8,
    )
    assert list(report["cross_validation"]) == ["2 folds, dealt 2 times", "2 random splits"]
    settings = [
        f"width 8, lr {rate}, 2 epochs, dropout {drop}" for rate in ("0.001", "0.0001") for drop in ("0", "0.2")
    ]
    assert list(report["check"]) == list(report["cross_validation"]["2 random splits"]) == settings
    assert (report["chosen_by"], report["seed"], report["train_split"]) == ("mse_percent2", 3, "few")
    assert "chosen by mse over 2 folds, dealt 2 times: width 8" in done.stderr


def test_defaults_are_the_paper_s_settings(monkeypatch, here):
    """And the ranking decides, by which a search lives."""

    def choose(graphs, labels, draws, configs, splits, by, seeds, **options):
        raise UserError(f"{configs == [TrainingConfig()]} {by} {len(splits)}")

    monkeypatch.setattr("nplib.studies.model_choice.choose_configs", choose)
    with pytest.raises(UserError, match=r"^True kendall_tau 5$"):
        run("validate", "--data", "made.hdf5", "--split-file", "own.npz", "--train-split", "few")
