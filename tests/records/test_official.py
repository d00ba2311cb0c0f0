"""The official library beside ours: what it reads, how the two are compared, and what is said where it cannot run."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np
import pytest
from record_files import complete_records, with_end, write_rows

from nplib._layout import BUDGETS
from nplib.benchmark import METRICS, Benchmark
from nplib.convert import convert_tfrecord
from nplib.errors import UserError
from nplib.records import official, official_child
from nplib.records.frames import BadRecord
from nplib.records.official import OfficialFailed, OfficialMissing, compare, read_official, what_is_missing

# Modules that a package of a few lines is made of, in place of the official one: it reads with TensorFlow 1's names
# and gives 0.0 for what is absent, as that does; and its training module cannot be imported.
READER = """
    import math
    import tensorflow as tf
    from nasbench.lib import evaluate
    from nplib.records import decode_record

    METRICS = ("training_time", "train_accuracy", "validation_accuracy", "test_accuracy")

    class NASBench:
        def __init__(self, path):
            self.fixed_statistics, self.computed_statistics = {}, {}
            for data in tf.python_io.tf_record_iterator(path):
                record = decode_record(data)
                size, name = record.num_vertices, record.module_hash
                rows = [[int(c) for c in record.adjacency[k * size : (k + 1) * size]] for k in range(size)]
                fixed = {
                    "module_adjacency": rows,
                    "module_operations": record.operations.split(","),
                    "trainable_parameters": record.trainable_parameters,
                }
                self.fixed_statistics.setdefault(name, fixed)
                figures = {}
                for point, evaluation in (("halfway", record.evaluations[1]), ("final", record.evaluations[2])):
                    for metric in METRICS:
                        value = getattr(evaluation, metric)
                        figures[f"{point}_{metric}"] = 0.0 if math.isnan(value) else value
                computed = self.computed_statistics.setdefault(name, {})
                computed.setdefault(record.epochs, []).append(figures)
"""
EVALUATE = "import tensorflow as tf\nclass Hook(tf.contrib.Hook): pass\n"


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, modules: dict[str, str]) -> None:
    """Put modules where this process and those that it starts find them first."""
    for name, text in modules.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(folder)
    paths = [str(folder), str(Path(official.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))


def install_libraries(folder: Path, monkeypatch: pytest.MonkeyPatch, api: str) -> None:
    """Packages of the two names: an empty one, and one with this reader."""
    names = ("tensorflow/__init__.py", "tensorflow/compat/__init__.py", "tensorflow/compat/v1.py")
    nasbench = {"nasbench/__init__.py": "", "nasbench/lib/__init__.py": "", "nasbench/lib/evaluate.py": ""}
    install(folder, monkeypatch, dict.fromkeys(names, "") | nasbench | {"nasbench/api.py": api})


@pytest.fixture
def tensorflow() -> None:
    """TensorFlow is optional for users, but not where the project is tested. It is not imported here."""
    if not official._is_installed("tensorflow") and os.environ.get("CI") != "true":
        pytest.skip("TensorFlow is not installed")


@pytest.fixture(params=["a reader of a few lines", "the official library"])
def library(request, tensorflow, tmp_path, monkeypatch):
    """TensorFlow with a reader that is written for TensorFlow 1."""
    if request.param == "the official library":
        missing = what_is_missing()
        if missing:
            pytest.skip(missing)
    else:
        modules = {"__init__.py": "", "api.py": READER, "lib/__init__.py": "", "lib/evaluate.py": EVALUATE}
        modules = {f"nasbench/{name}": text for name, text in modules.items()}
        install(tmp_path / "packages", monkeypatch, modules)


@pytest.fixture
def tfrecord(space, tmp_path) -> Path:
    """Three cells at all budgets, shuffled."""
    path = tmp_path / "some.tfrecord"
    write_rows(path, complete_records(space, [0, 5, 400_000]))
    return path


def converted(path: Path) -> Benchmark:
    target = path.parent / f"{path.stem}.hdf5"
    convert_tfrecord(path, target)
    return Benchmark.open(target)


# The library itself


@pytest.mark.parametrize("name", ["golden/full_tiny.tfrecord", "nasbench101/only108_sample.tfrecord"])
def test_both_readers_give_the_same_bits_in_the_same_order(library, shared, tmp_path, name):
    source = tmp_path / Path(name).name
    source.write_bytes((shared / name).read_bytes())
    modules, environment = set(sys.modules), dict(os.environ)
    theirs = read_official(source)
    new = {module.partition(".")[0] for module in set(sys.modules) - modules}
    assert not new & {"nasbench", "tensorflow", "google", "absl"} and dict(os.environ) == environment
    ours = converted(source)
    table = compare(ours, theirs)
    assert (table["equal"] == table["compared"]).all() and not table[["absent", "different"]].any(axis=None)
    assert table.loc["hashes", "compared"] == len(theirs) == len(ours)
    assert ours.metrics.tobytes() == theirs.metrics.tobytes()
    assert ours.adjacency.tobytes() == theirs.adjacency.tobytes()


def test_what_a_record_lacks_is_absent_and_not_called_equal(library, space, tmp_path):
    rows = [with_end(record, test_accuracy=math.nan) for record in complete_records(space, [0, 7], budgets=(36,))]
    path = tmp_path / "lacking.tfrecord"
    write_rows(path, rows)
    table = compare(converted(path), read_official(path))
    assert table.loc["test_accuracy"].to_dict() == {"compared": 12, "equal": 6, "absent": 6, "different": 0}
    others = table.drop(index="test_accuracy")
    assert (others["equal"] == others["compared"]).all()


def test_a_record_that_the_library_cannot_take_is_named_by_its_own_words(library, space, tmp_path):
    rows = [replace(record, evaluations=record.evaluations[:1]) for record in complete_records(space, [0])]
    path = tmp_path / "short.tfrecord"
    write_rows(path, rows)
    with pytest.raises(OfficialFailed, match=r"short\.tfrecord: .* IndexError: .* fewer than three evaluations"):
        read_official(path)


def test_the_names_of_tensorflow_1_are_at_the_top_and_read_real_records(tensorflow, tfrecord):
    code = """
        import json, sys
        from nplib.records.official_child import use_tensorflow1
        use_tensorflow1()
        import tensorflow as tf
        import tensorflow.compat.v1 as v1
        assert tf.train.SessionRunHook and tf.train.CheckpointSaverListener and tf.train.NanLossDuringTrainingError
        assert v1.python_io.tf_record_iterator is tf.python_io.tf_record_iterator
        print(json.dumps([json.loads(row)[:2] for row in tf.python_io.tf_record_iterator(sys.argv[1])]))
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tfrecord)]
    read = json.loads(subprocess.check_output(command, env=os.environ | official.CHILD_ENVIRONMENT, text=True))
    assert len(read) == 3 * len(BUDGETS) * 3
    ours = converted(tfrecord)
    assert list(dict.fromkeys(name.encode() for name, _ in read)) == ours.hashes.tolist()


# Comparing


def altered(benchmark: Benchmark, rows: slice | list = slice(None), **arrays) -> Benchmark:
    names = ("hashes", "num_vertices", "trainable_parameters", "adjacency", "operations", "metrics")
    return Benchmark(*(arrays.get(name, getattr(benchmark, name))[rows] for name in names))


def test_a_benchmark_equals_itself_and_unknown_figures_are_not_counted(small_surrogate):
    metrics = small_surrogate.metrics.copy()
    metrics[:, 0] = np.nan
    table = compare(*2 * [altered(small_surrogate, metrics=metrics)])
    assert (table["equal"] == table["compared"]).all() and not table[["absent", "different"]].any(axis=None)
    known = int((~np.isnan(metrics[..., 0])).sum())
    assert list(table.index[-4:]) == list(METRICS) and table.loc["training_time", "compared"] == known


def test_each_kind_of_difference_is_counted_where_it_is(small_surrogate):
    ours = altered(small_surrogate, slice(10))
    metrics, parameters = ours.metrics.copy(), ours.trainable_parameters.copy()
    metrics[0, 3, 0, 1, 2] = np.nextafter(metrics[0, 3, 0, 1, 2], np.float32(0))  # the last bit
    metrics[1, 3, 0, 1, 2] = np.nan
    parameters[4] += 1
    table = compare(ours, altered(ours, metrics=metrics, trainable_parameters=parameters))
    assert table["different"].to_dict() == dict.fromkeys(table.index, 0) | {
        "trainable_parameters": 1,
        "validation_accuracy": 2,
    }


def test_other_orders_differ(small_surrogate):
    ours = altered(small_surrogate, slice(10))
    cells = compare(ours, altered(ours, [1, 0, *range(2, 10)]))
    assert cells.loc["hashes", "different"] == 2
    runs = compare(ours, altered(ours, metrics=ours.metrics[:, :, [1, 0, 2]]))
    assert runs.loc["hashes", "different"] == 0 and runs.loc["training_time", "different"] > 0


def test_cells_that_one_lacks_are_different(small_surrogate):
    ours = altered(small_surrogate, slice(10))
    for pair in ((ours, altered(ours, slice(8))), (altered(ours, slice(8)), ours)):
        table = compare(*pair)
        assert table.loc["hashes"].to_dict() == {"compared": 10, "equal": 8, "absent": 0, "different": 2}
        known = int((~np.isnan(ours.metrics[8:, ..., 1])).sum())
        assert table.loc["train_accuracy", "different"] == known


def test_only_zero_stands_for_an_absent_field(small_surrogate):
    ours = altered(small_surrogate, slice(10))
    unknown, zero, other = (ours.metrics.copy() for _ in range(3))
    for metrics, value in ((unknown, np.nan), (zero, 0.0), (other, 0.5)):
        metrics[2, 1, 1, 0, 3] = value
    lacking = altered(ours, metrics=unknown)
    rows = [compare(lacking, altered(ours, metrics=metrics)).loc["test_accuracy"] for metrics in (zero, other)]
    assert [(row["absent"], row["different"]) for row in rows] == [(1, 0), (0, 1)]


# What is said where it cannot run


@pytest.fixture
def packages(tmp_path, monkeypatch) -> Path:
    """The only folder that packages are looked for in, with none yet."""
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setattr(sys, "meta_path", [PathFinder])
    monkeypatch.setattr(sys, "path", [str(tmp_path / "packages")])
    return tmp_path / "packages"


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ((), "TensorFlow and the official package nasbench are not installed (`pip"),
        (("tensorflow",), "the official package nasbench is not installed (`pip"),
        (("nasbench",), "TensorFlow is not installed (`pip"),
        (("tensorflow", "nasbench"), ""),
    ],
)
def test_what_is_missing_is_said_with_how_to_get_it(packages, there, said):
    for name in there:
        (packages / name).mkdir(parents=True)
        (packages / name / "__init__.py").touch()
    missing = what_is_missing()
    assert missing.startswith(said) and bool(missing) == bool(said)
    for name, (_, command) in official.PACKAGES.items():
        assert (command in missing) == (name not in there)
    if missing:
        with pytest.raises(OfficialMissing) as caught:
            read_official("some.tfrecord")
        assert "some.tfrecord" in str(caught.value) and missing in str(caught.value)


def test_a_folder_that_is_no_package_does_not_count(packages):
    for name in official.PACKAGES:
        (packages / name / "somewhere").mkdir(parents=True)
    assert what_is_missing().startswith("TensorFlow and the official package nasbench are not installed")


@pytest.mark.parametrize(
    ("api", "said"),
    [
        ("raise ImportError('no such estimator')", "ImportError: no such estimator"),
        ("import sys\nsys.exit(3)", "it said nothing"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "signal 9 ended it, for want of memory perhaps"),
    ],
)
def test_a_library_that_fails_is_told_by_its_last_words(tfrecord, tmp_path, monkeypatch, api, said):
    install_libraries(tmp_path / "packages", monkeypatch, api)
    with pytest.raises(OfficialFailed) as caught:
        read_official(tfrecord)
    assert str(caught.value).startswith(f"{tfrecord}: ") and said in str(caught.value)
    assert "nplib convert needs neither" in str(caught.value)


GIVEN = """
    class NASBench:
        def __init__(self, path):
            self.fixed_statistics = {{"0" * 32: {fixed}}}
            names = [f"{{p}}_{{m}}" for p in ("halfway", "final") for m in {metrics}]
            self.computed_statistics = {{"0" * 32: {{{epochs}: [dict.fromkeys(names, 0.5)] * {runs}}}}}
"""


@pytest.mark.parametrize(
    ("size", "operation", "epochs", "runs", "said"),
    [
        (8, "maxpool3x3", 108, 3, "8 vertices; a benchmark has room for 7"),
        (3, "maxpool5x5", 108, 3, "has operations input,maxpool5x5,output; there are"),
        (3, "maxpool3x3", 50, 3, "has run 0 .* at 50 epochs"),
        (3, "maxpool3x3", 36, 4, "has run 3 .* at 36 epochs"),
    ],
)
def test_what_has_no_place_is_named(tfrecord, tmp_path, monkeypatch, size, operation, epochs, runs, said):
    matrix = np.eye(size, k=1, dtype=int).tolist()
    names = ["input", *[operation] * (size - 2), "output"]
    fixed = {"module_adjacency": matrix, "module_operations": names, "trainable_parameters": 5}
    api = GIVEN.format(fixed=fixed, metrics=METRICS, epochs=epochs, runs=runs)
    install_libraries(tmp_path / "packages", monkeypatch, api)
    with pytest.raises(OfficialFailed, match=said):
        read_official(tfrecord)


def test_a_run_that_the_library_lacks_is_unknown(tfrecord, tmp_path, monkeypatch):
    fixed = {"module_adjacency": [[0, 1], [0, 0]], "module_operations": ["input", "output"], "trainable_parameters": 5}
    api = GIVEN.format(fixed=fixed, metrics=METRICS, epochs=12, runs=2)
    install_libraries(tmp_path / "packages", monkeypatch, api)
    benchmark = read_official(tfrecord)
    known = ~np.isnan(benchmark.metrics)
    assert known.sum() == 2 * 8 and known[0, BUDGETS.index(12), :2].all()
    assert benchmark.num_vertices.tolist() == [2] and benchmark.trainable_parameters.tolist() == [5]


def test_a_source_that_is_none_is_told_before_anything_is_run(tmp_path, monkeypatch):
    install_libraries(tmp_path / "packages", monkeypatch, "raise SystemExit('run')")
    with pytest.raises(UserError, match=r"nothing\.tfrecord does not exist"):
        read_official(tmp_path / "nothing.tfrecord")
    (tmp_path / "empty.tfrecord").touch()
    with pytest.raises(BadRecord, match="empty"):
        read_official(tmp_path / "empty.tfrecord")


def test_its_names_are_those_of_the_layout():
    assert official_child.METRICS == METRICS
