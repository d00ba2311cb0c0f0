"""``nplib search`` searches by the rules of the library, and for one's own trainings looks at no benchmark at all."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from commands import fail, flags, nplib, report_of, run, succeed
from typer import BadParameter

from nplib.benchmark import Benchmark, empty_metrics
from nplib.cell import Cell
from nplib.cli.search import RIVAL_SEEDS
from nplib.errors import UserError
from nplib.search import draw_cells, evolution, predictor_search, random_search, variance_design
from nplib.search.cell_table import ACCURACY, COLUMNS, HASH, read_labels, write_cells
from nplib.search.proposers import make_proposer
from nplib.search.trainings import Trainings
from nplib.space import SPACE_SIZE


@pytest.fixture(scope="module")
def folder(tmp_path_factory, space) -> Path:
    """Two benchmarks of 120 cells, their accuracies made up, one without test accuracies; and own results of 30."""
    folder = tmp_path_factory.mktemp("search")
    rows = np.arange(10_000, 410_000, 3_300)[:120]
    random = np.random.default_rng(0)
    metrics = empty_metrics(len(rows))
    mean = 0.89 + 0.02 * (space.operations[rows] == 0).sum(axis=1)
    metrics[:, 3, 0, 1, 2] = mean + random.normal(0, 0.002, 120)
    Benchmark.from_space(space, rows, metrics).save(folder / "untested.hdf5")
    metrics[:, 3, 1:, 1, 2] = mean[:, None] + random.normal(0, 0.002, (120, 2))
    metrics[:, 3, :, 1, 3] = metrics[:, 3, :, 1, 2] - 0.01
    metrics[:, 3, :, 1, 0] = random.uniform(500, 3_000, (120, 3))
    Benchmark.from_space(space, rows, metrics).save(folder / "made.hdf5")
    write_cells(folder / "own.csv", space, rows[:30], metrics[:30, 3, 0, 1, 2])
    return folder


@pytest.fixture
def here(folder, monkeypatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def options(**changes) -> list[str]:
    usual = {"budget": 24, "predictor": "gcn", "data": "made.hdf5", "device": "cpu", "overwrite": True}
    return ["search", *flags(**usual | changes)]


def own(**changes) -> list[str]:
    return options(**{"data": None, "budget": 42, "labels": "own.csv"} | changes)


def table_of(path: str) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf8") as file:
        return list(csv.DictReader(file))


# In a benchmark


@pytest.mark.parametrize(
    ("predictor", "rounds", "seeds", "first"), [("gcn", 1, (3,), None), ("gcn", 4, (1, 2), 14), ("gp", 2, (0,), 10)]
)
def test_it_is_the_search_of_the_library(here, predictor, rounds, seeds, first):
    report = report_of(*options(predictor=predictor, rounds=rounds, seed=seeds[0], seeds=len(seeds), first=first))
    benchmark = Benchmark.open("made.hdf5")
    trainings = Trainings.of(benchmark)
    random = 12 if first is None else first
    propose = make_proposer(predictor, benchmark.cells, random)
    history = predictor_search(trainings, propose, random, 24 - random, seeds, rounds=rounds)
    assert (report["first"], report["best"], report["rounds"]) == (random, 24 - random, rounds)
    assert [search["seed"] for search in report["searches"]] == list(seeds)
    for s, search in enumerate(report["searches"]):
        cell = history.best_cell[s]
        means = trainings.seen.mean(axis=1)
        assert search["kept"]["module_hash"] == benchmark.hashes[cell].decode()
        assert search["validation_seen"] == history.seen[s].max()
        assert search["mean_test"] == pytest.approx(benchmark.values("test_accuracy", 108, None)[cell].mean())
        assert search["regret"] == pytest.approx(means.max() - means[cell])
        assert search["place"] == 1 + (means > means[cell]).sum()
        names = [benchmark.hashes[index].decode() for index in history.cells[s, random:]]
        assert [proposed["module_hash"] for proposed in search["proposed"]] == names
    rivals = {
        "random search": random_search(trainings, 24, range(RIVAL_SEEDS)),
        "regularised evolution": evolution(trainings, 24, range(RIVAL_SEEDS)),
    }
    assert list(report["others"]) == list(rivals)
    for name, rival in rivals.items():
        assert report["others"][name]["validation_seen"] == rival.best_seen[:, -1].tolist()
        assert report["others"][name]["mean_test"] == rival.best_test[:, -1].tolist()


def test_designs_plain_predictors_and_posteriors_are_those_of_the_library(here):
    chosen = {"predictor": "gp-plain", "design": "variance", "keep_by": "posterior", "rounds": 3, "first": 12}
    report = report_of(*options(**chosen))
    assert {name: report[name] for name in chosen} == chosen and report["device"] is None
    benchmark = Benchmark.open("made.hdf5")
    how = {"design": "variance", "keep_by": "posterior", "rounds": 3}
    plain = make_proposer("gp-plain", benchmark.cells, 12)
    history = predictor_search(Trainings.of(benchmark), plain, 12, 12, [0], **how)
    (search,) = report["searches"]
    assert search["kept"]["module_hash"] == benchmark.hashes[history.best_cell[0]].decode()
    names = [benchmark.hashes[index].decode() for index in history.cells[0, 12:]]
    assert [proposed["module_hash"] for proposed in search["proposed"]] == names


def test_a_plan_can_be_a_design(here, space):
    run("search", "--budget", "20", "--plan", "designed.csv", "--design", "variance", "--seed", "4")
    names = [row[HASH] for row in table_of("designed.csv")]
    assert names == [space.hashes[cell].decode() for cell in variance_design(space.cells, 10, 4)]


def test_labels_of_ones_own_are_read_by_a_predictor_that_no_others_chose(here):
    assert report_of(*own(predictor=None))["predictor"] == "gp-plain"
    assert report_of(*options(predictor=None))["predictor"] == "gp"


def test_it_names_the_cell_kept_and_how_it_stands(here, capsys):
    run(*options(output="proposed.csv", json="report.json"))
    said = capsys.readouterr().out
    (search,) = json.loads(Path("report.json").read_text())["searches"]
    assert "a budget of 24 trainings: 12 random cells, then the 12 best predicted (gcn, 1 round), seed 0, cpu\n" in said
    kept = search["kept"]
    assert re.search(rf"^kept, (first|proposed) cell \d+:\n  {kept['module_hash']}\n", said, re.MULTILINE)
    assert f"  operations: {', '.join(kept['operations'])}\n" in said
    edges = re.search(r"^  edges: (.*)$", said, re.MULTILINE)[1].split()
    size = len(kept["operations"])
    assert edges == [f"{i // size}->{i % size}" for i, digit in enumerate(kept["adjacency"]) if digit == "1"]
    assert f"  validation accuracy seen: {100 * search['validation_seen']:.2f} %; mean of 3 runs: " in said
    assert f"  mean test accuracy: {100 * search['mean_test']:.2f} %\n" in said
    assert f"  regret: {100 * search['regret']:.2f} points" in said and f"place {search['place']} of 120" in said
    for name, count in (("predictor search (gcn)", 1), ("random search", 20), ("regularised evolution", 20)):
        assert re.search(rf"^{re.escape(name)} +{count} +\d\d\.\d\d ± ", said, re.MULTILINE)
    assert "(the first 100 cells of evolution are random)" in said
    curve = said.split("after so many trainings:\n")[1].splitlines()
    assert curve[0].split() == [
        "trainings",
        "predictor",
        "search",
        "(gcn)",
        "random",
        "search",
        "regularised",
        "evolution",
    ]
    (last,) = (line.split() for line in curve if line.startswith("24 "))
    assert last[1] == f"{100 * search['validation_seen']:.2f}"
    listed = re.findall(r"^ +(\d+)  ([0-9a-f]{32})  (\d\d\.\d\d) %$", said, re.MULTILINE)
    expected = [
        (str(place), cell["module_hash"], f"{100 * cell['validation_seen']:.2f}")
        for place, cell in enumerate(search["proposed"], start=1)
    ]
    assert listed == expected[:10] and "... and 2 more\n" in said
    assert "surrogate" not in said


def test_several_seeds_are_a_row_each_and_their_mean(here, capsys):
    report = report_of(*options(seeds=3))
    said = capsys.readouterr().out
    for search in report["searches"]:
        row = rf"^{search['seed']} +{search['kept']['module_hash']} +{100 * search['validation_seen']:.2f} "
        assert re.search(row, said, re.MULTILINE)
    mean = np.mean([100 * search["mean_test"] for search in report["searches"]])
    sd = np.std([100 * search["mean_test"] for search in report["searches"]], ddof=1)
    assert re.search(rf"^mean ± sd .* {mean:.2f} ± {sd:.2f} ", said, re.MULTILINE)
    assert "proposed cells of seed 0, best predicted first" in said


def test_without_test_accuracies_it_says_so(here, capsys):
    report = report_of(*options(data="untested.hdf5"))
    said = capsys.readouterr().out
    assert "mean test accuracy: unknown in this benchmark" in said and "mean of" not in said.split("kept")[1]
    assert "mean test, %" not in said
    assert not report["data"]["has_test"] and "mean_test" not in report["searches"][0]


def test_it_tells_that_figures_are_of_the_surrogate(small_surrogate, tmp_path, capsys):
    small_surrogate.save(tmp_path / "some.hdf5")
    run(*options(data=tmp_path / "some.hdf5", budget=130, first=30, rounds=2))
    said = capsys.readouterr().out
    assert f"data: surrogate, 1,000 cells; {small_surrogate.labels}\n" in said
    assert f"Figures on the surrogate, {small_surrogate.kind}:\n" in said
    assert "cells of evolution are random" not in said


def test_proposed_cells_are_written_and_drawn(here):
    report = report_of(*options(output="proposed.csv", picture="cells.svg"))
    proposed = report["searches"][0]["proposed"]
    rows = table_of("proposed.csv")
    assert list(rows[0]) == list(COLUMNS) and len(rows) == 12
    for place, (row, cell) in enumerate(zip(rows, proposed, strict=True), start=1):
        assert (row["place"], row[HASH], float(row[ACCURACY])) == (
            str(place),
            cell["module_hash"],
            cell["validation_seen"],
        )
        operations = row["operations"].split(",")
        matrix = np.array(list(row["adjacency"]), dtype=int).reshape(len(operations), -1)
        assert Cell(matrix, operations).module_hash == row[HASH]
    assert "<svg" in Path("cells.svg").read_text()[:1000]


# For one's own trainings


def test_a_plan_is_the_random_cells_of_a_search_in_all_cells(here, surrogate, space):
    run(*options(data=None, budget=40, first=25, plan="plan.csv", seed=6))
    rows = table_of("plan.csv")
    names = [row[HASH].encode() for row in rows]
    assert [row[ACCURACY] for row in rows] == [""] * 25
    assert np.array_equal(surrogate.indices(names), draw_cells(len(surrogate), 25, 6))
    assert len(surrogate) == len(space) == SPACE_SIZE


def test_own_results_are_learned_from_and_no_others(here, space, monkeypatch, capsys):
    def load(*_, **__):
        raise AssertionError("looked up")

    monkeypatch.setattr("nplib.sources.load", load)
    report = report_of(*own(seed=5, output="next.csv", picture="next.png"))
    cells, accuracies = read_labels("own.csv", space)
    propose = make_proposer("gcn", space.cells, 30)
    (expected,) = propose([cells], [accuracies], [cells], 12, [5])
    names = [space.hashes[cell].decode() for cell in expected]
    assert [cell["module_hash"] for cell in report["proposed"]] == names
    assert [(row[HASH], row[ACCURACY]) for row in table_of("next.csv")] == [(name, "") for name in names]
    assert not set(names) & {row[HASH] for row in table_of("own.csv")}
    assert report["best"]["module_hash"] == space.hashes[cells[accuracies.argmax()]].decode()
    said = capsys.readouterr().out
    assert "to train next, best predicted first (12 cells):\n     1  " + names[0] in said
    assert Path("next.png").read_bytes().startswith(b"\x89PNG")


def test_failed_trainings_are_not_proposed_again_and_not_learned_from(here):
    rows = table_of("own.csv")
    for row in rows[:5]:
        row[ACCURACY] = "0.1"
    write_rows(Path("failed.csv"), rows)
    report = report_of(*own(labels="failed.csv"))
    assert (report["labelled_cells"], report["failed"], len(report["proposed"])) == (30, 5, 12)
    assert not {row[HASH] for row in rows} & {cell["module_hash"] for cell in report["proposed"]}
    write_rows(Path("fewer.csv"), rows[5:])
    fewer = report_of(*own(labels="fewer.csv"))["proposed"]
    known = {row[HASH] for row in rows}
    names = [cell["module_hash"] for cell in fewer if cell["module_hash"] not in known]
    assert [cell["module_hash"] for cell in report["proposed"]] == names[:12]


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    with open(path, "w", newline="", encoding="utf8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_labels_are_read_as_a_spreadsheet_writes_them(here, space):
    rows = table_of("own.csv")
    lines = ["accuracy, " + HASH + " ," + ACCURACY, *(f"x,{row[HASH].upper()}, {row[ACCURACY]} " for row in rows)]
    lines += [",,", " , ,  ", ""]
    Path("sheet.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    for read, expected in zip(read_labels("sheet.csv", space), read_labels("own.csv", space), strict=True):
        assert np.array_equal(read, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows: rows[3].update({HASH: "0" * 32}),
            f"line 5: no cell of NASBench-101 has module_hash '{'0' * 32}'",
        ),
        (lambda rows: rows[7].update(rows[2]), "stands in line 4 already"),
        (lambda rows: rows[4].update({ACCURACY: "92.31"}), "line 6: validation_accuracy is 92.31, and it must be a "),
        (lambda rows: rows[4].update({ACCURACY: "92.31"}), "is it in percent? Then write 0.9231"),
        (lambda rows: rows[4].update({ACCURACY: "-0.5"}), "line 6: validation_accuracy is -0.5, and it must be a frac"),
        (lambda rows: rows[0].update({ACCURACY: ""}), "line 2: validation_accuracy is empty; give"),
        (lambda rows: rows[0].update({ACCURACY: "nan"}), "line 2: validation_accuracy is nan; leave out"),
        (lambda rows: rows[0].update({ACCURACY: "0,93"}), "line 2: validation_accuracy is '0,93', no number"),
        (lambda rows: [row.pop(ACCURACY) for row in rows], "line 1: no column validation_accuracy; it names place"),
        (
            lambda rows: rows.__delitem__(slice(8, None)),
            "has 8 trainings that did not fail, and nothing can be learned",
        ),
        (lambda rows: [row.update({ACCURACY: "0.1"}) for row in rows[9:]], "has 9 trainings that did not fail"),
    ],
)
def test_wrong_labels_are_refused_with_their_line(here, change, message):
    rows = table_of("own.csv")
    change(rows)
    write_rows(Path("wrong.csv"), rows)
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        run(*own(labels="wrong.csv"))
    assert "wrong.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: no column module_hash and no column validation_accuracy; it names none"),
        (
            b"module_hash;validation_accuracy\n",
            "it names module_hash;validation_accuracy. Give a line of names first, wi",
        ),
        (b"module_hash,validation_accuracy\n\n", "holds no cell below its line of names"),
        (b"module_hash,validation_accuracy\n\xff\xfe", "is no CSV in UTF-8"),
        (b"module_hash,validation_accuracy,module_hash\n", "line 1 names 'module_hash' twice; leave one of these"),
        (b"module_hash,validation_accuracy\nab,0,93\n", "line 2: 3 texts for 2 names; a comma within a text needs"),
        (
            b'module_hash,note,validation_accuracy\n,,\nab,"a\nb",.9\n',
            "line 4: no cell of NASBench-101 has module_hash",
        ),
        (None, "absent.csv cannot be read: No such file"),
    ],
)
def test_files_that_are_no_labels_are_refused(here, content, message):
    name = "absent.csv" if content is None else "odd.csv"
    if content is not None:
        Path(name).write_bytes(content)
    with pytest.raises(UserError, match=re.escape(message)):
        run(*own(labels=name))


# What cannot be


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (options(budget=121), "--budget is 121; it must be from 1 to the 120 cells that there are to train (file)"),
        (options(first=24), "--first is 24 of a budget of 24; leave a training for a proposed cell"),
        (options(rounds=13), "--rounds is 13; 12 proposed cells can be trained in 1 to 12 rounds"),
        (
            options(budget=18),
            "--first is 9 of a budget of 18, and nothing can be learned from so few: a batch holds 10",
        ),
        (options(first=2, predictor="gp"), "a Gaussian process needs 3"),
        (options(device="abacus"), "device 'abacus' cannot be used here"),
        (options(picture="cells.txt"), "--picture names cells.txt"),
        (options(output="made.hdf5", overwrite=False), "made.hdf5 exists"),
        (options(output="x.csv", json="x.csv"), "two files to write have the same name"),
        (
            options(plan="plan.csv"),
            "--data: --plan looks at no benchmark and makes one step of one search; leave it out",
        ),
        (own(plan="plan.csv"), "--plan is for before your training, --labels for after it"),
        (own(first=10, rounds=2, seeds=2), "--first, --rounds, --seeds: --labels looks at no benchmark"),
        (
            own(data="made.hdf5", labels=None, plan="p.csv", output="o.csv", json="-"),
            "--data, --output, --json: --plan looks",
        ),
        (own(budget=30), "--budget is 30, and own.csv has 30 trained cells already"),
        (own(output="own.csv"), "own.csv would be read and written"),
    ],
)
def test_what_cannot_be_is_refused_before_it_trains(here, monkeypatch, chosen, message):
    def train(*_, **__):
        raise AssertionError("trained")

    for name in ("training.fit_predictors", "two_stage.stages.fit_two_stage", "gp.predictor.fit_gps"):
        monkeypatch.setattr(f"nplib.{name}", train)
    with pytest.raises(UserError, match=re.escape(message)):
        run(*chosen)


@pytest.mark.parametrize("wrong", [{"budget": 1}, {"budget": SPACE_SIZE + 1}, {"first": 0}, {"predictor": "forest"}])
def test_what_no_search_can_have_is_refused_by_its_option(wrong):
    with pytest.raises(BadParameter):
        run(*options(**wrong))


def test_two_stages_of_too_few_good_cells_say_what_to_change(here):
    with pytest.raises(
        UserError, match=r"of the 12 training cells of seed 0 .*more random cells \(--first\), or another"
    ):
        run(*options(predictor="two-stage"))


def test_the_command_line_hands_everything_on(folder):
    """With underscores too; and with the report alone on the standard output."""
    options = ["--data", "made.hdf5", "--budget", 40, "--first", 30, "--predictor", "two-stage", "--rounds", 2]
    options += ["--seed", 3, "--seeds", 2, "--device", "cpu"]
    done = nplib("search", *options, "--output", "handed.csv", "--picture", "handed.png", "--json", "-", cwd=folder)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {name: report[name] for name in ("budget", "predictor", "first", "best", "rounds", "device")} == {
        "budget": 40,
        "predictor": "two-stage",
        "first": 30,
        "best": 10,
        "rounds": 2,
        "device": "cpu",
    }
    assert [search["seed"] for search in report["searches"]] == [3, 4]
    assert "proposed cells of seed 3, by round, best predicted first" in done.stderr
    assert (folder / "handed.csv").is_file() and (folder / "handed.png").is_file()
    plan = ["search", "--budget", 9, "--predictor", "gp", "--plan", "handed.csv"]
    assert "handed.csv exists" in fail(*plan, cwd=folder)
    assert "handed.csv: 4 random cells to train" in succeed(*plan, "--overwrite", cwd=folder)
