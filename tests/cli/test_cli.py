"""The command line, run as a user runs it."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import fail, flags, nplib, run, succeed
from tiny_book import write_book

from nplib import __version__
from nplib.errors import UserError

COMMANDS = ("convert", "data", "split", "cells", "train", "predict", "validate", "search", "book")
FAST = ["--epochs", "2", "--gcn-hidden", "8"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shared) -> Path:
    """A folder with 120 cells in it, converted by the command, and splits of them."""
    folder = tmp_path_factory.mktemp("cli")
    said = succeed("convert", shared / "golden" / "full_tiny.tfrecord", "tiny.hdf5", cwd=folder)
    assert re.match(
        r"tiny\.hdf5: 120 cells from 1,440 records \(full_tiny\.tfrecord\), \d+\.\d s, [\d,]+ records/s\n", said
    )
    random = np.random.default_rng(0).permutation(120)
    np.savez(folder / "own.npz", few=random[:40], rest=random[30:])
    return folder


def test_help_tells_of_every_command_and_loads_nothing_heavy():
    listed = succeed("--help")
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b +\S", listed), command
        told = succeed(command, "-h")
        assert re.search(rf"Usage: nplib {command}\b", told), command
        assert "bool" not in told
    program = "import sys, nplib.cli.app; print([name for name in sys.argv[1:] if name in sys.modules])"
    heavy = ["numpy", "torch", "numba", "h5py", "scipy", "matplotlib", "papermill", "requests", "pandas"]
    loaded = subprocess.run([sys.executable, "-c", program, *heavy], capture_output=True, text=True, check=True)
    assert loaded.stdout == "[]\n"


def test_the_best_cells_are_shown_without_torch(folder):
    program = "import sys, atexit, nplib.cli; atexit.register(lambda: print('torch' in sys.modules)); nplib.cli.main()"
    command = [sys.executable, "-c", program, "cells", "--data", "tiny.hdf5", "--top", "1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"


def test_version():
    assert succeed("--version") == f"{__version__}\n"


def test_convert_equals_the_official_reader(folder, shared):
    with h5py.File(folder / "tiny.hdf5") as ours, h5py.File(shared / "golden" / "full_tiny.hdf5") as golden:
        assert set(ours) == set(golden)
        for name in golden:
            np.testing.assert_array_equal(ours[name][()], golden[name][()])


def test_errors_are_one_message_and_an_exit_code(folder, shared):
    source = shared / "golden" / "full_tiny.tfrecord"
    assert fail("convert", source, "tiny.hdf5", cwd=folder).startswith("error: tiny.hdf5 exists; ")
    assert succeed("convert", source, "tiny.hdf5", "--overwrite", "--quiet", cwd=folder) == ""
    assert fail("convert", "nowhere.tfrecord", "new.hdf5", cwd=folder).startswith("error: ")
    assert "not of the form name=value" in " ".join(fail("book", "-p", "epochs", code=2, cwd=folder).split())
    fail("convert", code=2)
    fail("nothing", code=2)
    fail("train", "--epochs", "0", code=2)
    debugged = nplib("--debug", "convert", "nowhere.tfrecord", "new.hdf5", cwd=folder)
    assert debugged.returncode == 1
    assert "Traceback" in debugged.stderr


def test_split_shows_names_and_sizes(folder, tmp_path):
    said = succeed("split", "--data", folder / "tiny.hdf5", "--output", tmp_path / "train.npz")
    assert f"{tmp_path / 'train.npz'}: splits of 120 cells" in said
    assert re.search(r"^  86 +86 cells$", said, re.MULTILINE)
    assert re.search(r"^  all +120 cells$", said, re.MULTILINE)
    with np.load(tmp_path / "train.npz") as splits:
        assert len(splits["86"]) == 86
    assert "exists; choose another name" in fail("split", "--data", folder / "tiny.hdf5", "-o", tmp_path / "train.npz")


def test_data_says_what_is_here_and_what_auto_takes(tmp_path, monkeypatch, sample_path):
    monkeypatch.setenv("NPLIB_DATA", str(tmp_path))
    monkeypatch.setenv("NPLIB_SAMPLE", str(sample_path))
    said = succeed("data")
    assert re.search(r"^full +missing ", said, re.MULTILINE)
    assert re.search("^surrogate +ready +ships with nplib$", said, re.MULTILINE)
    assert re.search(rf"^sample +ready +{re.escape(str(sample_path))}$", said, re.MULTILINE)
    assert said.endswith("auto takes surrogate\n")
    (tmp_path / "nasbench.hdf5").touch()
    assert succeed("data").endswith("auto takes full\n")


def test_train_writes_everything_it_is_asked_for(folder, tmp_path):
    files = ["--json", "figures.json", "--save", "weights.safetensors", "--visualize", "--picture", "scatter.png"]
    splits = ["--split-file", folder / "own.npz", "--train_split", "few", "--eval_split", "rest"]
    said = succeed(
        *("train", "--data", folder / "tiny.hdf5", *splits, *FAST, "--seed", 3, "--seeds", 2),
        *("--train_print_freq", 1, "--eval_print_freq", 2, *files),
        cwd=tmp_path,
    )
    assert "training on few (40 cells), evaluating on rest (90 cells), 2 seeds, " in said
    assert "epoch 1 of 2: training MSE" in said
    assert "epoch 2 of 2: evaluation MSE" in said
    assert "10 of the 90 cells evaluated were trained on" in said

    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["seeds"] == [3, 4]
    assert (figures["training_cells"], figures["evaluation_cells"], figures["evaluation_cells_unseen"]) == (40, 90, 80)
    assert figures["config"]["predictor"]["hidden"] == 8
    for name in ("mse_percent2", "kendall_tau", "mse_percent2_unseen", "kendall_tau_unseen"):
        assert figures["mean"][name] == pytest.approx(np.mean(figures[name]))
        assert figures["sd"][name] == pytest.approx(np.std(figures[name], ddof=1))
    assert re.search(rf"^3 +{figures['mse_percent2'][0]:.3f} ", said, re.MULTILINE)
    assert (tmp_path / "scatter.png").read_bytes().startswith(b"\x89PNG")

    from nplib.benchmark import Benchmark
    from nplib.metrics import mse_percent2
    from nplib.predictor import load_predictor

    benchmark = Benchmark.open(folder / "tiny.hdf5")
    with np.load(folder / "own.npz") as splits:
        rest = splits["rest"]
    predicted = load_predictor(tmp_path / "weights-4.safetensors").predict(benchmark.cells)
    error = mse_percent2(benchmark.accuracy_labels()[rest], predicted[rest])
    assert error == pytest.approx(figures["mse_percent2"][1], rel=1e-5)


def test_train_has_its_figures_alone_on_the_standard_output_if_asked(folder):
    done = nplib("train", "--data", "tiny.hdf5", "--train-split", "86", *FAST, "--json", "-", cwd=folder)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["evaluation_cells_unseen"] == 120 - 86
    assert figures["sd"]["mse_percent2"] is None
    assert "Kendall tau" in done.stderr


def test_train_tells_that_figures_are_of_the_surrogate(small_surrogate, tmp_path):
    small_surrogate.save(tmp_path / "some.hdf5")
    run = ["train", "--data", "some.hdf5", *FAST, "--json", "figures.json"]
    said = succeed(*run, cwd=tmp_path)
    kind = small_surrogate.kind
    assert f"data: surrogate, 1,000 cells; {small_surrogate.labels}\n" in said
    assert f"Figures on the surrogate, {kind}:\n" in said
    data = json.loads((tmp_path / "figures.json").read_text())["data"]
    assert (data["source"], data["labels"]) == ("surrogate", small_surrogate.labels)


def test_train_in_two_stages_tells_of_both(folder, tmp_path):
    files = ["--json", "figures.json", "--save", "weights.safetensors", "--visualize", "--picture", "scatter.png"]
    splits = ["--split-file", folder / "own.npz", "--train-split", "few", "--eval-split", "rest", "--above", 0.6]
    run = ["train", "--two-stage", "--data", folder / "tiny.hdf5", *splits, *FAST, "--seeds", 2, "--lr", 0.01]
    said = succeed(*run, "--recall", 0.9, *files, cwd=tmp_path)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert f"cells are accepted from a probability of {figures['decision']:.4f} on: so 90 % of the passing" in said
    assert "5 held-out folds of the 40 training cells" in said
    for words in ("first stage, of 90 cells of which", "both stages, all cells", "second stage alone, trained on the"):
        assert words in said

    from nplib.benchmark import Benchmark
    from nplib.predictor import load_predictor
    from nplib.two_stage.classification import classification_figures, passing

    benchmark = Benchmark.open(folder / "tiny.hdf5")
    with np.load(folder / "own.npz") as stored:
        few, rest = stored["few"], stored["rest"]
    passes = passing(benchmark.accuracy_labels(), 0.6)
    assert figures["second_stage_cells"] == [passes[few].sum()] * 2
    logits = load_predictor(tmp_path / "weights-1-classifier.safetensors").predict(benchmark.cells)
    accepted = 1 / (1 + np.exp(-logits[rest])) >= figures["decision"]
    for name, value in classification_figures(passes[rest], accepted).items():
        assert figures[name][1] == pytest.approx(value)
        assert figures["mean"][name] == pytest.approx(np.mean(figures[name]))
    assert {"mse_percent2", "kendall_tau_unseen", "mse_percent2_accepted", "kendall_tau_passing"} <= set(figures)
    assert figures["config"]["classifier"]["learning_rate"] == 2e-4
    assert figures["config"]["regressor"]["learning_rate"] == 0.01
    assert sorted(path.name for path in tmp_path.glob("weights*")) == [
        *(f"weights-{seed}-{stage}.safetensors" for seed in (0, 1) for stage in ("classifier", "regressor")),
    ]
    assert (tmp_path / "scatter.png").read_bytes().startswith(b"\x89PNG")
    assert "weights-0-classifier.safetensors exists" in fail(*run, "--save", "weights.safetensors", cwd=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decision": 0.5, "recall": 0.9}, "leave out one of them"),
        ({"decision": 1.0}, "the decision threshold is 1.0"),
        ({"recall": 0.0}, "recall is 0.0"),
        ({"eval_print_freq": 10}, "--eval-print-freq: two stages tell their figures at the end"),
        ({"above": 60.0}, "above is 60.0; it is an accuracy as a fraction"),
        ({"above": 0.99}, "none of the 86 training cells of seed 0 are above 99 %"),
        ({"save": "weights.pt"}, "give it that ending"),
    ],
)
def test_two_stages_are_refused_before_they_train(folder, monkeypatch, options, message):
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match=re.escape(message)):
        run("train", "--two-stage", *flags(**{"data": "tiny.hdf5", "train_split": "86"} | options))


def test_options_of_two_stages_are_refused_without_them(folder):
    for option in (["--recall", 0.9], ["--second-stage", "accepted"], ["--above", 0.8], ["--decision", 0.3]):
        assert f"{option[0]}: it is for --two-stage" in fail("train", "--data", "tiny.hdf5", *option, cwd=folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_split": "172"}, "split '172' draws 172 cells, and the benchmark has 120"),
        ({"train_split": "171"}, "no split is called '171'; there are 172, 334, "),
        ({"split_file": "own.npz"}, "own.npz has no split '172'; it has few, rest"),
        ({"save": "weights.pt"}, "give it that ending"),
        ({"picture": "scatter.jpg"}, "its ending must be one of .png, .svg, .pdf"),
        ({"json": "own.npz"}, "own.npz exists"),
        ({"device": "abacus"}, "device 'abacus' cannot be used here"),
        ({"train_split": "86", "train_batch_size": 100}, "a batch holds 100"),
        ({"data": "nowhere.hdf5"}, "nowhere.hdf5 does not exist"),
    ],
)
def test_train_refuses_before_it_trains(folder, monkeypatch, options, message):
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match=re.escape(message)):
        run("train", *flags(**{"data": "tiny.hdf5"} | options))


def test_interrupting_is_a_short_line_and_an_exit_code(folder):
    command = [sys.executable, "-m", "nplib.cli", "train", "--data", "tiny.hdf5", "--train-split", "86"]
    command += ["--epochs", "1000000", "--train-print-freq", "1"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("epoch"):
            break
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.rstrip().endswith("interrupted")
    assert "Traceback" not in errors


def test_book_shows_a_line_for_each_notebook(tmp_path):
    book = write_book(tmp_path / "book")
    run = ["book", "--no-html", "--project", book]
    first = nplib(*run, "--only", "02_second", "-p", "epochs=4")
    assert first.returncode == 0, first.stderr
    assert re.fullmatch(r"02_second +begins\n02_second +done +\d+\.\d s  new\n", first.stderr)
    again = nplib(*run, "--only", "02_second", "-p", "epochs=4")
    assert re.fullmatch(r"02_second +unchanged\n", again.stderr)
    assert "no notebook has a parameter epoch" in fail(*run, "-p", "epoch=5")
    assert "-p" in fail(*run, "-p", "epochs=5", "-p", "epochs=6", code=2)
    assert "no book here" in fail("book", cwd=tmp_path)
