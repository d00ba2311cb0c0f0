"""nplib.sources.one_run: a real result of every cell, each at its own cell, or an error that names what was found."""

import json
import logging
import math

import numpy as np
import pytest

from nplib import sources
from nplib.benchmark import FALLBACK_ACCURACY, MissingMetric
from nplib.sources.one_run import IMAGES, KNOWN_IMAGES, ONE_RUN, BadOneRun, read_one_run
from nplib.sources.sample import read_sample
from nplib.splits import make_splits, split_indices


@pytest.fixture(scope="module")
def path(shared):
    return shared / "nasbench101" / "test_run0_108.npy"


@pytest.fixture(scope="module")
def table(path):
    return np.load(path)


@pytest.fixture(scope="module")
def benchmark(path):
    return read_one_run(path)


def test_every_cell_has_the_test_accuracy_of_its_run_0(benchmark, shared, table):
    known = json.loads((shared / "nasbench101" / "only108_sample.json").read_text())
    first = [runs["108"][0]["final_test_accuracy"] for runs in known.values()]
    assert len(known) == 54
    assert benchmark.values("test_accuracy")[benchmark.indices(list(known))] == pytest.approx(first, abs=1e-7)
    np.testing.assert_allclose(benchmark.values("test_accuracy"), table, rtol=0, atol=1e-7)
    assert len(benchmark) == 423_624 and np.count_nonzero(~np.isnan(benchmark.metrics)) == len(benchmark)


def test_rows_are_in_the_order_of_the_official_file(benchmark, space):
    assert (benchmark.hashes[1:] > benchmark.hashes[:-1]).all()
    for row in (0, 17, 423_623):
        assert benchmark.cell(row).module_hash == benchmark.hashes[row].decode()
        assert benchmark.cell(row).trainable_parameters == benchmark.trainable_parameters[row]


def test_it_has_the_published_figures_of_the_table(benchmark):
    accuracy = benchmark.values("test_accuracy")
    assert accuracy.mean() == pytest.approx(0.89680, abs=5e-6)  # mean of all three runs
    assert accuracy.max() == pytest.approx(0.94661, abs=1e-5)  # the best single run
    assert (accuracy < 0.2).mean() == pytest.approx(0.0063, abs=5e-5)
    assert (accuracy < 0.8).mean() == pytest.approx(0.012, abs=1e-3)


def test_its_rows_are_of_the_cells_whose_other_results_are_known(benchmark, sample_path):
    sample = read_sample(sample_path)
    rows, best = benchmark.indices(sample.hashes), sample.values("validation_accuracy")
    here, beside = (benchmark.values("test_accuracy")[chosen] for chosen in (rows, rows - 1))
    sound = (here > 0.2) & (beside > 0.2)
    assert np.corrcoef(best[sound], here[sound])[0, 1] == pytest.approx(0.96, abs=0.005)
    assert abs(np.corrcoef(best[sound], beside[sound])[0, 1]) < 0.03


def test_it_says_what_it_is(benchmark, path, caplog):
    assert (benchmark.source, benchmark.kind, benchmark.path) == ("one-run", "real results of NASBench-101", path)
    assert benchmark.sha256 == ONE_RUN.sha256 and path.stat().st_size == ONE_RUN.size
    for words in ("one run", "test accuracy of run 0 after 108 epochs", "no validation", "no time"):
        assert words in benchmark.labels
    read_one_run(path)
    assert caplog.records == []
    with pytest.raises(MissingMetric, match="for all cells it has test_accuracy at end of run 0"):
        benchmark.values("validation_accuracy")


def test_labels_are_test_accuracies_and_failed_cells_get_the_fallback(benchmark):
    accuracy = benchmark.values("test_accuracy")
    failed = accuracy < np.float32(0.2)
    assert benchmark.label_metric == "test_accuracy"
    np.testing.assert_array_equal(benchmark.accuracy_labels(), np.where(failed, FALLBACK_ACCURACY, accuracy))
    assert failed.sum() == 2673


def test_splits_go_by_the_same_labels(benchmark):
    splits = make_splits(benchmark)
    accuracy = benchmark.values("test_accuracy")
    np.testing.assert_array_equal(splits["denoise-91"], np.flatnonzero(accuracy > 0.91))
    np.testing.assert_array_equal(split_indices(benchmark, "91-172"), splits["91-172"])
    counts = {"denoise-91": 183_813, "denoise-80": 418_296, "91-172": 90, "91-334": 153, "91-860": 352, "91-43": 14}
    assert {name: len(splits[name]) for name in counts} == counts  # as the page about data has them
    assert set(splits["91-172"]) == {row for row in splits["172"] if accuracy[row] > 0.91}


def test_known_cells_are_held_against_it(benchmark):
    rows = benchmark.indices(list(KNOWN_IMAGES))
    assert benchmark.values("test_accuracy")[rows] * IMAGES == pytest.approx(list(KNOWN_IMAGES.values()), abs=0.01)
    assert rows[2] == benchmark.values("test_accuracy").argmax()


def test_another_type_of_number_is_read_and_said_to_be_another_file(table, tmp_path, caplog, benchmark):
    np.save(tmp_path / "single.npy", table.astype(np.float32))
    again = sources.load(tmp_path / "single.npy")
    np.testing.assert_array_equal(again.metrics, benchmark.metrics)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert again.sha256 in caplog.text and ONE_RUN.sha256 in caplog.text


def shifted_block(table):
    """Rows between the known cells, which alone would not show it."""
    return np.concatenate([table[:50_000], np.roll(table[50_000:150_000], 1), table[150_000:]])


def with_value(table, row, value):
    changed = table.copy()
    changed[row] = value
    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: np.roll(t, 1), r"row 0 is .*, and NASBench-101 gives 0\.92117 to cell 00005c"),
        (lambda t: t[::-1], "row 0 is .* ascending order of the module hash"),
        (lambda t: with_value(t, 9, 0.5), "row 9 is 0.50000, and NASBench-101 gives"),
        (shifted_block, r"from row 42,3\d\d to 63,\d+ accuracies and trainable parameters have tau"),
        (lambda t: with_value(t, 7, 1.5), r"row 7 is 1\.5; accuracies are fractions.*\(1 of 423,624"),
        (lambda t: with_value(t, 7, -0.1), r"row 7 is -0\.1"),
        (lambda t: with_value(t, 7, math.nan), "row 7 is nan"),
        (lambda t: with_value(t, 7, math.inf), "row 7 is inf"),
        (lambda t: t * 100, "are they in percent"),
        (lambda t: t[:-1], r"of shape \(423623,\)"),
        (lambda t: t[:20_001], r"of shape \(20001,\)"),
        (lambda t: t[:, None], r"of shape \(423624, 1\)"),
        (lambda t: np.rint(t * 9984).astype(int), "holds int64"),
        (lambda t: t.astype(np.float16), "holds float16"),
        (lambda t: t.astype(complex), "holds complex128"),
        (lambda t: t.astype("S8"), r"holds \|S8"),
        (lambda t: np.array([{"a": 1}]), "pickled objects are never read"),
        (lambda t: np.zeros(3, dtype=[("hash", "S32"), ("accuracy", "f8")]), r"holds \[\('hash'"),
    ],
)
def test_what_cannot_be_the_table_is_told(table, tmp_path, change, message):
    file = tmp_path / "bad.npy"
    np.save(file, change(table))
    with pytest.raises(BadOneRun, match=message) as caught:
        read_one_run(file)
    assert str(file) in str(caught.value)


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as an array"),
        (b"PK\x03\x04" + bytes(100), "it may be another file"),
        (b"\x93NUMPY", "cannot be read as an array"),
        (b"\x93NUMPY\x09\x00\x10\x00", "cannot be read as an array"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (423624,), }\n"), "cut short"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (10**18,), }\n"), "cannot be read as an array"),
        (header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({10**18},), }}\n"), "cannot be read as an"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (-3,), }\n"), "cannot be read as|of shape"),
        (header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n") + b"cos\nsystem\n", "pickled"),
        (header("(" * 5000), "cannot be read as an array"),
        (header("__import__('os').getcwd()\n"), "cannot be read as an array"),
    ],
)
def test_what_is_no_array_is_told(tmp_path, content, message):
    file = tmp_path / "bad.npy"
    file.write_bytes(content)
    with pytest.raises(BadOneRun, match=message) as caught:
        read_one_run(file)
    assert str(file) in str(caught.value)


def test_an_array_that_is_cut_or_goes_on_is_told(path, tmp_path):
    content = path.read_bytes()
    for changed, message in ((content[:-1], "cut short"), (content + b"x", "1 bytes behind")):
        (tmp_path / "bad.npy").write_bytes(changed)
        with pytest.raises(BadOneRun, match=message):
            read_one_run(tmp_path / "bad.npy")


def test_a_folder_is_told(tmp_path):
    with pytest.raises(BadOneRun, match="cannot be read: Is a directory"):
        read_one_run(tmp_path)
