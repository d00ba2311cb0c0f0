"""nplib.splits: the reference's splits, ours beside them, and files of them."""

import json
import logging

import numpy as np
import pytest

from nplib._files import TargetExists
from nplib.benchmark import Benchmark, MissingMetric, empty_metrics, metric_position
from nplib.cell import Cell
from nplib.errors import UserError
from nplib.splits import (
    EXTRA_SIZES,
    NAMES,
    SIZES,
    BadSplits,
    drawn_cells,
    load_splits,
    make_splits,
    pick_split,
    save_splits,
    split_indices,
)

REFERENCE_NAMES = ("172", "334", "860", "91-172", "91-334", "91-860", "denoise-91", "denoise-80")


def benchmark_of(space, accuracy, indices=None):
    """Cells of the space whose run 0 was measured at the given accuracies."""
    metrics = empty_metrics(len(accuracy))
    metrics[(slice(None), *metric_position("validation_accuracy"))] = accuracy
    return Benchmark.from_space(space, np.arange(len(accuracy)) if indices is None else indices, metrics)


@pytest.fixture(scope="module")
def sample(sample_path, space):
    """The 20,001 cells in the order of their file, as the golden splits were made."""
    results = json.loads(sample_path.read_text())
    indices = space.find_hashes(np.array(results["key"], dtype="S32"))
    assert (indices >= 0).all()
    return benchmark_of(space, results["108_final_validation_accuracy"], indices)


@pytest.fixture(scope="module")
def golden_path(shared):
    return shared / "golden" / "splits_20k.npz"


@pytest.fixture(scope="module")
def tiny(space):
    return benchmark_of(space, np.linspace(0.75, 0.95, 54))


def test_the_reference_splits_come_out_to_the_index(sample, golden_path):
    splits = make_splits(sample)
    with np.load(golden_path) as golden:
        assert tuple(golden.files) == REFERENCE_NAMES
        assert tuple(splits)[: len(golden.files)] == tuple(golden.files)
        for name in golden.files:
            assert splits[name].dtype == golden[name].dtype == np.int64
            assert np.array_equal(splits[name], golden[name])


def test_further_sizes_continue_the_same_random_numbers(sample):
    splits = make_splits(sample)
    assert tuple(splits) == NAMES
    random = np.random.RandomState(0)
    for size in (172, 334, 860, 43, 86, 129, 344):
        assert np.array_equal(splits[str(size)], random.permutation(20_001)[:size])
        assert splits[f"91-{size}"].tolist() == sorted(set(splits[str(size)]) & set(splits["denoise-91"]))
    assert np.array_equal(splits["all"], np.arange(20_001))


def test_the_first_draw_is_the_split_and_others_are_those_of_published_predictors(sample):
    first, second = drawn_cells(len(sample), 172, 2)
    assert np.array_equal(first, split_indices(sample, "172")) and first.dtype == np.int64
    assert np.array_equal(second, np.random.RandomState(1).permutation(len(sample))[:172])
    assert np.array_equal(drawn_cells(len(sample), 43, 1)[0], first[:43])


def test_one_split_is_as_in_the_whole(sample):
    for name, indices in make_splits(sample).items():
        one = split_indices(sample, name)
        assert one.dtype == np.int64 and np.array_equal(one, indices)


def test_a_cell_at_the_threshold_is_left_out(space):
    edges = np.array([0.91, np.nextafter(np.float32(0.91), np.float32(1)), 0.8, 0.1, 0.95], dtype=np.float32)
    benchmark = benchmark_of(space, edges)
    assert split_indices(benchmark, "denoise-91").tolist() == [1, 4]
    assert split_indices(benchmark, "denoise-80").tolist() == [0, 1, 4]


def test_run_0_decides_even_if_it_failed(space):
    benchmark = benchmark_of(space, [0.1, 0.92])
    metrics = benchmark.metrics.copy()
    metrics[(slice(None), *metric_position("validation_accuracy", run=1))] = 0.93
    benchmark = Benchmark.from_space(space, np.arange(2), metrics)
    assert split_indices(benchmark, "denoise-91").tolist() == [1]


def test_a_small_benchmark_has_the_splits_that_fit(tiny, caplog):
    with caplog.at_level(logging.WARNING, logger="nplib.splits"):
        splits = make_splits(tiny)
    assert tuple(splits) == ("denoise-91", "denoise-80", "43", "91-43", "all")
    assert "172, 334, 860, 86, 129, 344: there are 54 cells" in caplog.text
    random = np.random.RandomState(0)
    orders = [random.permutation(54) for _ in (*SIZES, *EXTRA_SIZES)]
    assert np.array_equal(splits["43"], orders[3][:43])
    for name in ("172", "91-172"):
        with pytest.raises(BadSplits, match=r"draws 172 cells, and the benchmark has 54.*denoise-80, 43, 91-43, all"):
            split_indices(tiny, name)


def test_names_that_there_are_none_of(tiny):
    with pytest.raises(BadSplits, match=r"no split is called '173'; there are 172, 334, .*91-344, all"):
        split_indices(tiny, "173")


def test_what_goes_by_accuracy_needs_the_accuracy_and_nothing_else_does(space):
    benchmark = Benchmark.from_space(space, np.arange(200), empty_metrics(200))
    for name in ("denoise-91", "91-172"):
        with pytest.raises(MissingMetric, match="validation_accuracy"):
            split_indices(benchmark, name)
    with pytest.raises(MissingMetric):
        make_splits(benchmark)
    assert len(split_indices(benchmark, "172")) == 172
    assert len(split_indices(benchmark, "all")) == 200


def test_files_come_back_and_read_as_the_reference_reads_them(sample, tmp_path, golden_path):
    save_splits(tmp_path / "train.npz", make_splits(sample))
    again = load_splits(tmp_path / "train.npz", len(sample))
    assert tuple(again) == NAMES
    with np.load(tmp_path / "train.npz") as ours, np.load(golden_path) as golden:
        for name in REFERENCE_NAMES:
            assert ours[name].tobytes() == golden[name].tobytes()
            assert np.array_equal(again[name], golden[name])


def test_the_reference_file_is_taken(golden_path):
    splits = load_splits(golden_path, 20_001)
    assert tuple(splits) == (*REFERENCE_NAMES, "all")
    assert len(pick_split(splits, "91-172")) == 101
    assert len(pick_split(splits, "all")) == 20_001
    with pytest.raises(BadSplits, match=r"splits_20k\.npz has no split '43'; it has 172, 334, 860, .*denoise-80, all"):
        pick_split(splits, "43", str(golden_path))


def test_a_file_of_the_users_own_splits(tmp_path):
    save_splits(tmp_path / "own.npz", {"mine": np.array([4, 2], dtype=np.uint8), "none": np.zeros(0, dtype=int)})
    splits = load_splits(tmp_path / "own.npz", 5)
    assert splits["mine"].tolist() == [4, 2] and splits["mine"].dtype == np.int64
    assert splits["none"].shape == (0,)


@pytest.mark.parametrize(
    ("indices", "found"),
    [
        (np.array([0, 54]), "'mine' names cell 54, and the benchmark has cells 0 to 53"),
        (np.array([-1, 3]), "'mine' names cell -1"),
        (np.array([3, 7, 3]), "'mine' names cell 3 more than once"),
        (np.array([[3, 7]]), r"'mine' is of shape \(1, 2\) and type int64"),
        (np.array([0.0, 1.0]), r"'mine' is of shape \(2,\) and type float64"),
        (np.array([True, False]), "type bool"),
    ],
)
def test_bad_splits_are_refused_by_name(tmp_path, indices, found):
    np.savez(tmp_path / "bad.npz", good=np.arange(3), mine=indices)
    with pytest.raises(BadSplits, match=rf"bad\.npz: split {found}" if found[0] == "'" else found):
        load_splits(tmp_path / "bad.npz", 54)


def test_splits_of_another_benchmark_are_refused(tiny, tmp_path):
    save_splits(tmp_path / "train.npz", make_splits(tiny))
    for size, found in ((55, "54 cells, and the benchmark 55"), (53, "names cell 53")):
        with pytest.raises(BadSplits, match=rf"{found}.*nplib split"):
            load_splits(tmp_path / "train.npz", size)


def test_what_is_no_file_of_splits(tmp_path, tiny):
    with pytest.raises(BadSplits, match="does not exist"):
        load_splits(tmp_path / "none.npz", 54)
    with pytest.raises(BadSplits, match="is a folder"):
        load_splits(tmp_path, 54)
    np.save(tmp_path / "one.npy", np.arange(3))
    np.savez(tmp_path / "pickled.npz", mine=np.array([{}], dtype=object))
    save_splits(tmp_path / "whole.npz", make_splits(tiny))
    whole = (tmp_path / "whole.npz").read_bytes()
    for length in range(0, len(whole), 101):
        (tmp_path / "cut.npz").write_bytes(whole[:length])
        with pytest.raises(BadSplits, match=r"cut\.npz"):
            load_splits(tmp_path / "cut.npz", 54)
    for name in ("one.npy", "pickled.npz"):
        with pytest.raises(BadSplits, match=name):
            load_splits(tmp_path / name, 54)


def test_a_damaged_file_is_refused(tmp_path, tiny):
    path = tmp_path / "train.npz"
    save_splits(path, make_splits(tiny))
    content = bytearray(path.read_bytes())
    content[content.index(np.arange(54, dtype=np.int64).tobytes()) + 8] ^= 4
    path.write_bytes(content)
    with pytest.raises(BadSplits, match=r"train\.npz cannot be read as arrays"):
        load_splits(path, 54)


def test_a_file_is_not_overwritten_unasked(tmp_path):
    save_splits(tmp_path / "a.npz", {"mine": np.arange(2)})
    with pytest.raises(TargetExists):
        save_splits(tmp_path / "a.npz", {"mine": np.arange(3)})
    save_splits(tmp_path / "a.npz", {"mine": np.arange(3)}, overwrite=True)
    assert len(load_splits(tmp_path / "a.npz", 3)["mine"]) == 3
    with pytest.raises(UserError, match="is no folder"):
        save_splits(tmp_path / "none" / "a.npz", {})


def test_cells_of_a_split_are_those_of_the_benchmark(space, tiny):
    """An index of a split is an index of the benchmark, not of the space."""
    reversed_cells = benchmark_of(space, tiny.values()[::-1], np.arange(54)[::-1])
    best = {tiny.cell(index).module_hash for index in split_indices(tiny, "denoise-91")}
    assert best == {reversed_cells.cell(index).module_hash for index in split_indices(reversed_cells, "denoise-91")}
    assert isinstance(tiny.cell(0), Cell) and len(best) == 11
