"""Results outlive whatever happens to words: a reader who leaves, a full disk, a terminal of few letters, a signal."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas
import pytest
from commands import fail, flags, nplib, report_of, run, succeed
from safetensors.numpy import save_file

from nplib.benchmark import METRICS, Benchmark, empty_metrics
from nplib.errors import UserError
from nplib.search.cell_table import HASH, cell_frame, read_cells

FAST = ["--epochs", 1, "--hidden", 8, "--train-split", "86"]
COMMAND = [sys.executable, "-m", "nplib.cli"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, space) -> Path:
    """A folder with results of 120 cells, made up; their description would steer a terminal."""
    folder = tmp_path_factory.mktemp("output")
    rows = np.arange(10_000, 410_000, 3_300)[:120]
    random = np.random.default_rng(0)
    metrics = empty_metrics(len(rows))
    metrics[:, 3, :, 1, 2] = 0.89 + 0.02 * (space.operations[rows] == 0).sum(axis=1)[:, None]
    metrics[:, 3, :, 1, 2] += random.normal(0, 0.002, (120, 3))
    metrics[:60, 3, :2, 1, 3] = metrics[:60, 3, :2, 1, 2] - 0.01
    metrics[:, 3, 0, 1, 0] = random.uniform(500, 3_000, 120)
    labels = "made up \x1b[2J\x1b]0;owned\x07 \u202e of ±"
    Benchmark.from_space(space, rows, metrics, labels=labels).save(folder / "made.hdf5")
    run("train", "--data", folder / "made.hdf5", *FAST, "--save", folder / "gcn.safetensors")
    run(
        "train",
        "--data",
        folder / "made.hdf5",
        "--train-split",
        "86",
        "--predictor",
        "gp",
        "--save",
        folder / "gp.safetensors",
    )
    return folder


# Words fail


@pytest.mark.parametrize("way", ["reader leaves", "disk is full", "closed", "few letters", "no bar"])
def test_weights_and_figures_are_written_whatever_happens_to_words(folder, tmp_path, way):
    save, report = tmp_path / "w.safetensors", tmp_path / "r.json"
    words = " ".join(
        map(str, [*COMMAND, "train", "--data", folder / "made.hdf5", *FAST, "--save", save, "--json", report])
    )
    ways = {
        "reader leaves": "{ %s; echo $? > code; } | head -1",
        "disk is full": "%s > /dev/full; echo $? > code",
        "closed": "%s >&-; echo $? > code",
        "few letters": "PYTHONIOENCODING=ascii %s; echo $? > code",
        "no bar": "%s 2>&- | cat; echo 0 > code; %s --overwrite 2> /dev/full",
    }
    done = subprocess.run(ways[way].replace("%s", words), shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert save.stat().st_size > 1000 and json.loads(report.read_text())["seeds"] == [0]
    assert (tmp_path / "code").read_text().strip() == ("1" if way == "disk is full" else "0")
    if way == "disk is full":
        assert "error: not all could be printed: No space left on device" in done.stderr
    if way == "few letters":
        assert "MSE, points2" in done.stdout


def test_help_can_be_read_on_a_terminal_of_few_letters():
    few = os.environ | {"PYTHONIOENCODING": "ascii"}
    assert "Kendall tau" in subprocess.run([*COMMAND, "train", "-h"], env=few, capture_output=True, text=True).stdout


def test_what_steers_a_terminal_is_written_out(folder):
    for command in (["cells"], ["train", *FAST]):
        said = succeed(*command, "--data", "made.hdf5", cwd=folder)
        assert r"made up \x1b[2J\x1b]0;owned\x07 \u202e of ±" in said
        assert not set(said) & {"\x1b", "\x07", "\u202e"}


def test_targets_are_tried_before_the_work(folder, tmp_path):
    for option, name in (("--save", "w.safetensors"), ("--json", "r.json"), ("--picture", "p.png")):
        told = fail("train", "--data", "made.hdf5", *FAST, option, tmp_path / "nowhere" / name, cwd=folder)
        assert "nowhere is no folder" in told and "data:" not in told


def test_a_file_that_fails_keeps_no_other_from_being_written(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nplib.plots.predicted_against_true", full)
    files = ["--save", tmp_path / "w.safetensors", "--picture", tmp_path / "p.png", "--json", tmp_path / "r.json"]
    with pytest.raises(UserError, match=r"p\.png cannot be written.*No space left on device"):
        run("train", "--data", "made.hdf5", *FAST, *files)
    assert (tmp_path / "w.safetensors").is_file() and (tmp_path / "r.json").is_file()


# Signals and mistakes


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_time_is_a_short_line(folder, number):
    program = "import sys, nplib.cli; print('begun', flush=True); nplib.cli.main()"
    options = ["train", "--data", "made.hdf5", "--train-split", "86", "--epochs", "1000000"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-c", program, *options]
    times = [0.1, 0.4, 1, 2, 6]  # imports of the command line, of torch; opening; training
    processes = [subprocess.Popen(command, cwd=folder, text=True, **pipes) for _ in times]
    try:
        assert [process.stdout.readline() for process in processes] == ["begun\n"] * len(times)
        begun = time.monotonic()
        for process, seconds in zip(processes, times, strict=True):
            time.sleep(max(0, begun + seconds - time.monotonic()))
            process.send_signal(number)
        errors = [process.communicate(timeout=60)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()  # nothing is left behind by a test that fails
    assert [process.returncode for process in processes] == [128 + number] * len(times), errors
    assert "Traceback" not in "".join(errors)
    end = "interrupted" if number == signal.SIGINT else "ended as asked to"
    assert [error.rstrip()[-len(end) :] for error in errors] == [end] * len(times)


def test_an_interruption_that_something_swallows_comes_again():
    """As a library does that catches whatever goes wrong while it is imported."""
    program = """
import signal, sys, time, types
import nplib.cli
app = types.ModuleType("nplib.cli.app")
def work(prog_name):
    try:
        signal.raise_signal(signal.SIGTERM)
    except BaseException:
        pass
    time.sleep(30)
app.app = work
sys.modules["nplib.cli.app"] = app
nplib.cli.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=25)
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stderr.strip() == "ended as asked to"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--train-split", "171"], "no split is called '171'"),
        (["--data", "nowhere.hdf5"], "nowhere.hdf5 does not exist"),
        (["--data", "fuller"], "'fuller' is neither a source"),
        (["--device", "abacus"], "device 'abacus' cannot be used here"),
        pytest.param(
            *(["--device", "cuda"], "device 'cuda' cannot be used here"),
            marks=pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="it can"),
        ),
    ],
)
@pytest.mark.parametrize("command", ["train", "validate"])
def test_what_names_alone_tell_is_told_before_the_slow_libraries_are_there(folder, command, options, told):
    """Which take seconds; how fast that is, a busy machine cannot say."""
    program = "import sys, atexit, nplib.cli; atexit.register(lambda: print('torch' in sys.modules)); nplib.cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", program, command, *options], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 1 and told in done.stderr
    assert done.stdout == "False\n"


# Weights have a reader


@pytest.mark.parametrize("kind", ["gcn", "gp"])
def test_predict_ranks_all_cells_by_what_the_weights_say(folder, space, kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    target = tmp_path / "best.csv"
    run("predict", f"{kind}.safetensors", "--top", 5, "--output", target, "--picture", tmp_path / "best.png")
    from nplib.gp import load_gp
    from nplib.predictor import load_predictor

    predictor = {"gcn": load_predictor, "gp": load_gp}[kind](folder / f"{kind}.safetensors")
    predicted = predictor.predict(space.cells)
    best = np.argsort(-predicted, kind="stable")[:5]
    table = pandas.read_csv(target, dtype={"adjacency": str})
    assert table[HASH].tolist() == [space.hashes[cell].decode() for cell in best]
    np.testing.assert_allclose(table["predicted_accuracy"], predicted[best])
    if kind == "gp":
        low, high = predictor.accuracy_interval(space.cells[best])
        np.testing.assert_allclose(table[["low", "high"]], np.stack([low, high], axis=1))
    assert ("low" in table) == (kind == "gp")
    said = capsys.readouterr().out
    assert "423,624 cells" in said and f"{100 * predicted[best[0]]:.2f}" in said
    assert (tmp_path / "best.png").read_bytes().startswith(b"\x89PNG")


def test_predict_reads_what_names_cells_in_any_way(folder, space, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = np.array([70_001, 5, 300_000])
    frame = cell_frame(space, rows)
    graphs = [
        {"matrix": space.cell(row).matrix.tolist(), "operations": list(space.cell(row).operations)} for row in rows
    ]
    frame.to_csv("graphs.csv", columns=["operations", "adjacency"], index=False)
    frame.to_csv("both.csv", index=False)
    Path("hashes.json").write_text(json.dumps(frame[HASH].str.upper().tolist()))
    Path("graphs.json").write_text(json.dumps(graphs))
    for name in ("graphs.csv", "both.csv", "hashes.json", "graphs.json"):
        assert read_cells(name, space)[0].tolist() == rows.tolist()
        report = report_of("predict", folder / "gcn.safetensors", "--cells", name)
        assert {cell[HASH] for cell in report["cells"]} == set(frame[HASH])
        accuracies = [cell["predicted_accuracy"] for cell in report["cells"]]
        assert accuracies == sorted(accuracies, reverse=True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{}", "is no list of hashes"),
        ("a.json", "[1]", "is no list of hashes"),
        ("a.json", "[", "is no JSON in UTF-8"),
        ("a.json", '["00"]', "a.json, entry 1: no cell of NASBench-101 has module_hash '00'"),
        ("a.json", '[{"module_hash": "a", "module_hash": "b"}]', "names 'module_hash' twice"),
        ("a.json", '[{"matrix": [[0, 1], [0, 0]], "ops": ["input"]}]', "entry 1: its adjacency matrix and operations"),
        ("a.csv", 'operations,adjacency\n"input,output",0120\n', "a.csv, line 2: its adjacency matrix and operations"),
        ("a.csv", "operations\ninput\n", "it needs module_hash, or adjacency and operations"),
        ("a.csv", "place,module_hash\n,\n", "holds no cell"),
        ("a.csv", "module_hash\nHASH\nHASH\n", "stands in line 2 already"),
        (
            "a.csv",
            'module_hash,operations,adjacency\nHASH,"input,output",0100\n',
            "a.csv, line 2: the graph is that of ",
        ),
    ],
)
def test_files_that_name_no_cells_are_refused(folder, space, tmp_path, monkeypatch, name, content, message):
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(content.replace("HASH", space.hashes[70_001].decode()))
    with pytest.raises(UserError, match=re.escape(message)):
        run("predict", folder / "gcn.safetensors", "--cells", name)


def test_predict_says_what_is_wrong_with_weights(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text.safetensors").write_text("weights")
    save_file({"a": np.zeros(1)}, "bare.safetensors")
    run(
        *(
            "train",
            "--two-stage",
            "--data",
            folder / "made.hdf5",
            *FAST,
            "--above",
            0.93,
            "--decision",
            0.1,
            "--save",
            "two.safetensors",
        ),
    )
    for name, message in (
        ("nowhere.safetensors", "nowhere.safetensors: cannot be read as safetensors"),
        ("text.safetensors", "text.safetensors: cannot be read as safetensors"),
        ("bare.safetensors", "bare.safetensors does not say which predictor it is of"),
        ("two-classifier.safetensors", "is of a classifier, the first of two stages"),
    ):
        with pytest.raises(UserError, match=re.escape(message)):
            run("predict", name)
    run("predict", "two-regressor.safetensors", "--top", 1)


# The best cells


@pytest.mark.parametrize(
    ("by", "metric", "sign"),
    [
        (None, "validation_accuracy", -1),
        ("test", "test_accuracy", -1),
        ("time", "training_time", 1),
        ("parameters", "trainable_parameters", 1),
    ],
)
def test_cells_are_the_best_by_the_mean_of_known_runs(folder, monkeypatch, by, metric, sign):
    monkeypatch.chdir(folder)
    benchmark = Benchmark.open("made.hdf5")
    if metric == "trainable_parameters":
        values = benchmark.trainable_parameters.astype(float)
    else:
        with np.errstate(invalid="ignore"), warnings.catch_warnings(action="ignore"):
            values = np.nanmean(benchmark.metrics[:, 3, :, 1, METRICS.index(metric)].astype(float), axis=1)
    best = np.argsort(sign * values, kind="stable")[:4]  # unknown ones last
    report = report_of("cells", "--data", "made.hdf5", *flags(by=by), "--top", 4)
    assert [cell[HASH] for cell in report["cells"]] == [benchmark.hashes[cell].decode() for cell in best]
    assert [cell[metric] for cell in report["cells"]] == pytest.approx(values[best])


def test_cells_are_shown_by_their_hashes(folder, tmp_path):
    benchmark = Benchmark.open(folder / "made.hdf5")
    name = benchmark.hashes[7].decode()
    said = succeed(
        *("cells", name.upper(), "--data", "made.hdf5", "-o", tmp_path / "c.csv", "--picture", tmp_path / "c.svg"),
        cwd=folder,
    )
    edges = " ".join(f"{u}->{v}" for u, v in benchmark.cell(7).edges)
    assert f"  {name}\n" in said and f"  edges: {edges}\n" in said
    assert pandas.read_csv(tmp_path / "c.csv")[HASH].tolist() == [name]
    assert "<svg" in (tmp_path / "c.svg").read_text()[:1000]
    assert "holds no cell of module hash 'ab'" in fail("cells", "ab", "--data", "made.hdf5", cwd=folder)
    told = fail("cells", "--by", "train", "--data", "made.hdf5", cwd=folder)
    assert "have no train_accuracy after 108 epochs; they have " in told and "validation_accuracy" in told


def test_splits_go_where_the_data_are(folder, tmp_path):
    (tmp_path / "results").mkdir()
    said = succeed("split", "--data", folder / "made.hdf5", cwd=tmp_path, NPLIB_DATA=str(tmp_path / "results"))
    assert "splits of 120 cells" in said
    assert (tmp_path / "results" / "train.npz").is_file()


def test_weights_of_a_training_that_cannot_be_judged_are_kept(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    two = ["train", "--two-stage", "--data", "made.hdf5", *FAST, "--above", 0.93, "--decision", 0.999]
    with pytest.raises(UserError, match="accept"):
        run(*two, "--save", tmp_path / "two.safetensors")
    assert {path.name for path in tmp_path.iterdir()} == {"two-classifier.safetensors", "two-regressor.safetensors"}


def test_warnings_do_not_steer_a_terminal(tmp_path, shared):
    """A file may bear any name, and a warning that names it goes to the terminal."""
    source = tmp_path / "odd \x1b[2J\u202e.tfrecord"
    shutil.copy(shared / "nasbench101" / "only108_sample.tfrecord", source)
    done = nplib("convert", source, tmp_path / "out.hdf5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert r"odd \x1b[2J\u202e.tfrecord is none of the official files" in done.stderr
    assert not {"\x1b", "\u202e"} & set(done.stderr + done.stdout)
