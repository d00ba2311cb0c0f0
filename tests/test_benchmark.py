"""nplib.benchmark: files, look-up, values, labels, and what is missing."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from nplib._files import TargetExists
from nplib.benchmark import (
    BUDGETS,
    METRICS,
    POINTS,
    Benchmark,
    MissingMetric,
    UnknownCell,
    empty_metrics,
    metric_position,
)
from nplib.cell import Cell
from nplib.errors import UserError

CHAIN = Cell([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", "conv3x3-bn-relu", "output"])
POOL = Cell([[0, 1, 1], [0, 0, 1], [0, 0, 0]], ["input", "maxpool3x3", "output"])
DIRECT = Cell([[0, 1], [0, 0]], ["input", "output"])
PADDED = Cell(np.triu(np.ones((3, 3)), 1) * [[0, 0, 1], [0, 0, 1], [0, 0, 0]], ["input", "maxpool3x3", "output"])
CELLS = (CHAIN, POOL, DIRECT)


def metrics_of(runs, metric="validation_accuracy", budget=108, at="end"):
    """Metrics of which only the given figure is known, by cell and run."""
    metrics = empty_metrics(len(runs))
    metrics[(slice(None), *metric_position(metric, budget, None, at))] = runs
    return metrics


@pytest.fixture
def benchmark() -> Benchmark:
    """Three cells with everything known."""
    metrics = np.random.default_rng(0).random((3, 4, 3, 2, 4), dtype=np.float32)
    return Benchmark.from_cells(CELLS, metrics, source="sample", labels="made up", sha256="ab" * 32)


@pytest.fixture
def file(benchmark, tmp_path) -> Path:
    path = tmp_path / "three.hdf5"
    benchmark.save(path)
    return path


def test_the_reference_file_opens_and_is_saved_bit_for_bit(shared, tmp_path):
    golden = shared / "golden" / "full_tiny.hdf5"
    benchmark = Benchmark.open(golden)
    assert (len(benchmark), benchmark.source, benchmark.sha256, benchmark.path) == (120, "file", "", golden)
    benchmark.save(tmp_path / "again.hdf5")
    with h5py.File(golden) as theirs, h5py.File(tmp_path / "again.hdf5") as ours:
        assert sorted(ours) == sorted(theirs)
        for name, dataset in theirs.items():
            assert (ours[name].dtype, ours[name].shape) == (dataset.dtype, dataset.shape)
            assert ours[name][()].tobytes() == dataset[()].tobytes()
            assert ours[name].chunks is None and ours[name].compression is None


def test_the_reference_file_holds_the_cells_that_its_hashes_name(shared, space):
    benchmark = Benchmark.open(shared / "golden" / "full_tiny.hdf5")
    found = space.find_cells(benchmark.cells)
    assert (space.hashes[found] == benchmark.hashes).all()
    assert benchmark.cell(7).module_hash.encode() == benchmark.hashes[7]


def test_what_is_saved_comes_back(benchmark, file):
    again = Benchmark.open(file)
    for name in ("hashes", "num_vertices", "trainable_parameters", "adjacency", "operations", "metrics"):
        assert np.array_equal(getattr(again, name), getattr(benchmark, name))
    assert (again.source, again.labels, again.sha256, again.path) == ("sample", "made up", "ab" * 32, file)


def test_the_file_says_what_its_axes_and_units_are(file):
    with h5py.File(file) as stored:
        assert stored.attrs["schema_version"] == 1
        axes, units = stored["metrics"].attrs["axes"], stored["metrics"].attrs["units"]
        assert len(axes) == stored["metrics"].ndim
        assert list(axes) == [
            "cell",
            "budget: 4, 12, 36, 108 epochs",
            "run: 0, 1, 2",
            "point: halfway, end",
            "metric: training_time, train_accuracy, validation_accuracy, test_accuracy",
        ]
        assert list(units) == ["s", "fraction", "fraction", "fraction"]


def test_equal_benchmarks_make_equal_files(benchmark, file, tmp_path):
    benchmark.save(tmp_path / "other.hdf5")
    assert (tmp_path / "other.hdf5").read_bytes() == file.read_bytes()


def test_arrays_cannot_be_written_to_but_the_callers_can():
    metrics = metrics_of([[0.9, 0.8, 0.7]])
    benchmark = Benchmark.from_cells([CHAIN], metrics)
    for name in ("hashes", "num_vertices", "trainable_parameters", "adjacency", "operations", "metrics"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(benchmark, name)[0] = 0
    metrics[:] = 0


def test_from_space_takes_the_cells_named(space):
    benchmark = Benchmark.from_space(space, np.array([17, 3]), empty_metrics(2), source="sample")
    assert [benchmark.cell(row).module_hash for row in (0, 1)] == [
        space.cell(17).module_hash,
        space.cell(3).module_hash,
    ]
    assert benchmark.trainable_parameters.tolist() == space.trainable_parameters[[17, 3]].tolist()


def test_look_up_by_hash_and_by_any_labelling(benchmark):
    assert [benchmark.index(cell) for cell in CELLS] == [0, 1, 2]
    assert benchmark.index(POOL.module_hash) == benchmark.index(POOL.module_hash.encode()) == 1
    assert benchmark.index(PADDED) == 2  # its pooling hangs in the air
    assert benchmark.indices(benchmark.hashes[::-1]).tolist() == [2, 1, 0]
    assert benchmark.indices(benchmark.hashes.astype(str)).dtype == np.int64
    assert benchmark.indices([]).shape == (0,)
    assert benchmark.cell(1) == POOL


def test_an_unknown_cell_is_named(benchmark):
    with pytest.raises(UnknownCell, match=r"'feed'.*1 unknown of 2 asked for.*3 cells"):
        benchmark.indices([POOL.module_hash, "feed"])
    with pytest.raises(KeyError) as caught:
        benchmark.index("feed")
    assert isinstance(caught.value, UserError) and not str(caught.value).startswith('"')


def test_values_stand_where_the_layout_says(benchmark):
    for m, metric in enumerate(METRICS):
        for b, budget in enumerate(BUDGETS):
            for p, at in enumerate(POINTS):
                values = benchmark.values(metric, budget, None, at)
                assert values.dtype == np.float64 and values.shape == (3, 3)
                assert np.array_equal(values, benchmark.metrics[:, b, :, p, m])
                for run in range(3):
                    assert np.array_equal(benchmark.values(metric, budget, run, at), values[:, run])


@pytest.mark.parametrize(
    ("arguments", "listed"),
    [
        ({"metric": "accuracy"}, "training_time, train_accuracy, validation_accuracy, test_accuracy"),
        ({"metric": "test_accuracy", "budget": 100}, "4, 12, 36, 108"),
        ({"metric": "test_accuracy", "run": 3}, "0, 1, 2, and None"),
        ({"metric": "test_accuracy", "at": "start"}, "halfway, end"),
    ],
)
def test_what_there_cannot_be_is_answered_by_what_there_is(benchmark, arguments, listed):
    for method in (benchmark.values, benchmark.has):
        with pytest.raises(UserError, match=listed):
            method(**arguments)


def test_what_is_missing_is_an_error_that_says_what_there_is():
    metrics = metrics_of([[0.9, np.nan, 0.8], [0.9, 0.7, 0.8], [0.9, np.nan, 0.8]])
    metrics[(slice(None), *metric_position("training_time", 4))] = 20
    metrics[(slice(None), *metric_position("training_time", 12))] = 60
    benchmark = Benchmark.from_cells(CELLS, metrics, source="sample")
    with pytest.raises(MissingMetric) as caught:
        benchmark.values(run=1)
    for part in (
        "sample",
        "lacks validation_accuracy after 108 epochs, run 1, at end, for 2 of its 3 cells",
        "validation_accuracy at end of run 0, 2 (108 epochs)",
        "training_time at end of run 0 (4, 12 epochs)",
    ):
        assert part in str(caught.value)
    with pytest.raises(MissingMetric, match="one of the three runs, at end, for 2 of its 3 cells"):
        benchmark.values(run=None)
    with pytest.raises(MissingMetric, match="for 3 of its 3 cells"):
        benchmark.values("test_accuracy")
    with pytest.raises(MissingMetric, match="for all cells it has nothing"):
        Benchmark.from_cells(CELLS, empty_metrics(3)).values()


def test_available_agrees_with_values():
    metrics = metrics_of([[0.9, np.nan, 0.8], [0.9, 0.7, 0.8], [0.9, np.nan, np.nan]])
    metrics[(0, *metric_position("test_accuracy", 36, 1))] = 0.5
    benchmark = Benchmark.from_cells(CELLS, metrics)
    assert benchmark.runs() == (0,) and benchmark.runs("test_accuracy", 36) == ()
    assert benchmark.has("validation_accuracy") and not benchmark.has("validation_accuracy", run=None)
    table = benchmark.available().set_index(["metric", "budget", "at"])
    assert len(table) == 32
    assert table.loc[("validation_accuracy", 108, "end")].tolist() == [(0,), 3]
    assert table.loc[("test_accuracy", 36, "end")].tolist() == [(), 1]
    assert table["cells"].sum() == 4


def test_labels_are_those_of_the_first_run_that_did_not_fail():
    nan = np.nan
    runs = [[0.9, 0.8, 0.7], [0.1, 0.1, 0.7], [0.1, 0.8, 0.7], [0.1, 0.1, 0.1], [0.1, nan, 0.7], [0.1, nan, nan]]
    cells = [*CELLS, *(chain_of(operation, 4) for operation in ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"))]
    benchmark = Benchmark.from_cells(cells, metrics_of(runs))
    assert benchmark.accuracy_labels() == pytest.approx([0.9, 0.7, 0.8, 0.908192, 0.7, 0.908192], abs=1e-7)
    assert benchmark.accuracy_labels(fallback=0.5)[3] == 0.5
    assert benchmark.accuracy_labels(failed_below=0.0)[3] == pytest.approx(0.1)
    assert benchmark.accuracy_labels(failed_below=0.85)[:3] == pytest.approx([0.9, 0.908192, 0.908192])
    with pytest.raises(MissingMetric, match="run 1, at end, for 2 of its 6 cells"):
        benchmark.accuracy_labels(run=1)


def chain_of(operation, length):
    return Cell(np.eye(length, k=1), ["input", *[operation] * (length - 2), "output"])


def test_labels_of_a_later_run_still_try_the_runs_from_the_first():
    benchmark = Benchmark.from_cells([CHAIN, POOL], metrics_of([[0.6, 0.7, 0.1], [0.1, 0.7, 0.1]]))
    assert benchmark.accuracy_labels(run=2) == pytest.approx([0.6, 0.7])


def test_test_labels_judge_failure_by_test_accuracy():
    metrics = metrics_of([[0.9, 0.8, 0.7]])
    metrics[(slice(None), *metric_position("test_accuracy", 108, None))] = [[0.1, 0.6, 0.5]]
    benchmark = Benchmark.from_cells([CHAIN], metrics)
    assert benchmark.accuracy_labels("test_accuracy") == pytest.approx([0.6])
    assert benchmark.label_metric == "validation_accuracy"
    assert benchmark.accuracy_labels() == pytest.approx([0.9])


def test_labels_are_test_accuracies_where_a_cell_lacks_a_validation_accuracy():
    metrics = metrics_of([[0.9, 0.8, 0.7], [np.nan, 0.8, 0.7]])
    metrics[(slice(None), *metric_position("test_accuracy"))] = [0.6, 0.1]
    benchmark = Benchmark.from_cells([CHAIN, POOL], metrics)
    assert benchmark.label_metric == "test_accuracy"
    assert benchmark.accuracy_labels() == pytest.approx([0.6, 0.908192])
    assert benchmark.accuracy_labels(run=1) == pytest.approx([0.8, 0.8])  # of this run all have it
    with pytest.raises(MissingMetric, match="lacks validation_accuracy after 36 epochs"):
        benchmark.accuracy_labels(budget=36)


def test_a_value_at_the_limit_has_not_failed():
    benchmark = Benchmark.from_cells([CHAIN], metrics_of([[0.2, 0.8, 0.7]]))
    assert benchmark.accuracy_labels(failed_below=0.2) == pytest.approx([0.2])
    later = Benchmark.from_cells([CHAIN], metrics_of([[0.8, 0.2, 0.7]]))
    assert later.accuracy_labels(run=1, failed_below=0.2) == pytest.approx([0.2])


def test_labels_agree_with_the_rule_spelt_out_cell_by_cell(shared):
    benchmark = Benchmark.open(shared / "golden" / "full_tiny.hdf5")
    for run in range(3):
        for limit in (0.2, 0.5):
            expected = []
            for values in benchmark.values(run=None):
                good = [value for value in (values[run], *values) if value >= np.float32(limit)]
                expected.append(good[0] if good else 0.908192)
            assert benchmark.accuracy_labels(run=run, failed_below=limit).tolist() == expected


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"metric": "training_time"}, "labels are accuracies"),
        ({"metric": "loss"}, "no metric is called 'loss'"),
        ({"failed_below": 20}, "failed_below is 20"),
        ({"fallback": float("nan")}, "fallback is nan"),
        ({"run": None}, "labels are of one run"),
        ({"run": 5}, "no run 5"),
    ],
)
def test_bad_label_arguments(benchmark, arguments, found):
    with pytest.raises(UserError, match=found):
        benchmark.accuracy_labels(**arguments)


def test_a_file_is_not_overwritten_unasked(benchmark, file):
    with pytest.raises(TargetExists):
        benchmark.save(file)
    Benchmark.from_cells([CHAIN], empty_metrics(1)).save(file, overwrite=True)
    assert len(Benchmark.open(file)) == 1
    assert [path.name for path in file.parent.iterdir()] == [file.name]


FULL_DISK = """
import resource, sys
import numpy as np
from nplib.benchmark import Benchmark, empty_metrics
from nplib.errors import UserError
benchmark = Benchmark.open(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    benchmark.save(sys.argv[2])
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize("room", [0, 1000, 3000, 20_000, 40_000, 61_000])
def test_no_room_on_disk_is_an_error_and_leaves_nothing(shared, tmp_path, room):
    """A limit on the size of a file fails writes as a full disk does, wherever HDF5 makes them."""
    pytest.importorskip("resource", reason="limits on file size are a thing of Unix")
    golden = shared / "golden" / "full_tiny.hdf5"
    target = tmp_path / "target.hdf5"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, golden, target, str(room)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert f"{target} cannot be written" in done.stdout and "0.1 MB of free disk" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_cannot_be_written_to(benchmark, tmp_path):
    with pytest.raises(UserError, match="is no folder"):
        benchmark.save(tmp_path / "none" / "b.hdf5")
