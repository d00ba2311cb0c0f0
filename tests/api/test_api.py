"""nplib.api as users of nasbench.api use it: their example, their exceptions, the same figures."""

from __future__ import annotations

import copy
import json
import os
import pickle
import random
import shutil
import subprocess
import sys

import numpy as np
import pandas
import pytest
from graph_strategies import INCEPTION_MATRIX, INCEPTION_OPS

from nplib import api
from nplib.benchmark import Benchmark, UnknownCell
from nplib.cell import Cell
from nplib.errors import UserError
from nplib.records import read_records

INPUT, OUTPUT = "input", "output"
CONV3X3, CONV1X1, MAXPOOL3X3 = OPS = ["conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"]
FIGURES = [
    f"{prefix}_{metric}"
    for prefix in ("halfway", "final")
    for metric in ("training_time", "train_accuracy", "validation_accuracy", "test_accuracy")
]


@pytest.fixture(scope="module")
def everything(surrogate) -> api.NASBench:
    """All cells."""
    return api.NASBench(surrogate)


@pytest.fixture
def tiny(shared) -> api.NASBench:
    """120 cells, all four budgets."""
    return api.NASBench(shared / "golden" / "full_tiny.hdf5", seed=0)


@pytest.fixture
def sample(sample_path) -> api.NASBench:
    """Of each run 0 alone, and of that the validation accuracy at the end; the training time at 108 epochs."""
    return api.NASBench(sample_path, seed=0)


def spec_of(nasbench: api.NASBench, module_hash: str) -> api.ModelSpec:
    fixed = nasbench.fixed_statistics[module_hash]
    return api.ModelSpec(fixed["module_adjacency"], fixed["module_operations"])


def plain(statistics: tuple) -> tuple:
    """Statistics with lists for arrays, to compare."""
    fixed, computed = statistics
    return fixed | {"module_adjacency": fixed["module_adjacency"].tolist()}, computed


def chain(*interior: str, first: str = INPUT, last: str = OUTPUT) -> api.ModelSpec:
    return api.ModelSpec(np.eye(len(interior) + 2, k=1, dtype=int), [first, *interior, last])


# The official flow


def test_the_official_example_runs(everything):
    spec = api.ModelSpec(matrix=INCEPTION_MATRIX, ops=INCEPTION_OPS)
    data = everything.query(spec)
    assert list(data) == [
        "module_adjacency",
        "module_operations",
        "trainable_parameters",
        "training_time",
        "train_accuracy",
        "validation_accuracy",
        "test_accuracy",
    ]
    adjacency = data["module_adjacency"]
    assert (type(adjacency), adjacency.dtype, adjacency.shape) == (np.ndarray, np.dtype("int8"), (7, 7))
    assert [type(op) for op in data["module_operations"]] == [str] * 7
    assert sorted(data["module_operations"]) == sorted(INCEPTION_OPS)
    assert type(data["trainable_parameters"]) is int
    assert data["trainable_parameters"] == Cell(INCEPTION_MATRIX, INCEPTION_OPS).trainable_parameters
    assert all(type(data[name]) is float for name in data if name.endswith(("time", "accuracy")))
    _, computed = everything.get_metrics_from_spec(spec)
    figures = [data[name.removeprefix("final_")] for name in FIGURES[4:]]
    assert figures in [[run[name] for name in FIGURES[4:]] for run in computed[108]]


def test_all_hashes_can_be_walked(everything, space):
    hashes = everything.hash_iterator()
    assert len(hashes) == len(everything.fixed_statistics) == len(space)
    assert sorted(hashes) == sorted(name.decode() for name in space.hashes.tolist())
    for module_hash in random.Random(0).sample(list(hashes), 100):
        assert module_hash in hashes and module_hash in everything.computed_statistics
        fixed, computed = everything.get_metrics_from_hash(module_hash)
        spec = api.ModelSpec(fixed["module_adjacency"], fixed["module_operations"])
        assert spec.hash_spec(everything.config["available_ops"]) == module_hash
        assert [*computed] == [4, 12, 36, 108]
        assert all(len(runs) == 3 and [*run] == FIGURES for runs in computed.values() for run in runs)


# The same figures


def test_a_tfrecord_gives_what_its_conversion_gives(shared, tiny, tmp_path):
    path = tmp_path / "full_tiny.tfrecord"
    shutil.copy(shared / "golden" / path.name, path)
    nasbench = api.NASBench(str(path))
    converted = path.with_suffix(".hdf5")
    written = converted.stat().st_mtime_ns
    again = api.NASBench(path)
    assert converted.stat().st_mtime_ns == written
    assert nasbench.valid_epochs == again.valid_epochs == tiny.valid_epochs == {4, 12, 36, 108}
    assert [*nasbench.hash_iterator()] == [*again.hash_iterator()] == [*tiny.hash_iterator()]
    for name in tiny.hash_iterator():
        expected = plain(tiny.get_metrics_from_hash(name))
        assert plain(nasbench.get_metrics_from_hash(name)) == plain(again.get_metrics_from_hash(name)) == expected


def test_statistics_are_those_of_the_records_in_their_order(shared, tiny):
    fixed, computed = {}, {}
    for record in read_records(shared / "golden" / "full_tiny.tfrecord"):
        size = record.num_vertices
        matrix = np.array([int(digit) for digit in record.adjacency]).reshape(size, size)
        fixed.setdefault(record.module_hash, (matrix.tolist(), record.operations.split(",")))
        runs = computed.setdefault(record.module_hash, {}).setdefault(record.epochs, [])
        points = [
            (end.training_time, end.train_accuracy, end.validation_accuracy, end.test_accuracy)
            for end in record.evaluations[1:]
        ]
        runs.append(dict(zip(FIGURES, np.float32(points).ravel().tolist(), strict=True)))
    assert [*tiny.hash_iterator()] == [*fixed]
    for name, (matrix, operations) in fixed.items():
        known = tiny.fixed_statistics[name]
        assert (known["module_adjacency"].tolist(), known["module_operations"]) == (matrix, operations)
        assert tiny.computed_statistics[name] == computed[name]


def test_real_records_give_the_real_figures(shared):
    truth = json.loads((shared / "nasbench101" / "only108_sample.json").read_text())
    nasbench = api.NASBench(shared / "nasbench101" / "only108_sample.tfrecord")
    assert nasbench.valid_epochs == {108}
    assert set(nasbench.hash_iterator()) == set(truth)
    for expected in truth.values():
        spec = api.ModelSpec(np.array(expected["module_adjacency"]), expected["module_operations"])
        fixed, computed = plain(nasbench.get_metrics_from_spec(spec))
        assert fixed == {key: expected[key] for key in fixed} and len(fixed) == 3
        assert computed == {108: expected["108"]}
        for stop_halfway, names in ((True, FIGURES[:4]), (False, FIGURES[4:])):
            data = nasbench.query(spec, stop_halfway=stop_halfway)
            figures = [data[name.partition("_")[2]] for name in names]
            assert figures in [[run[name] for name in names] for run in expected["108"]]
    for epochs in (4, 12, 36):
        with pytest.raises(api.OutOfDomainError, match=rf"no budget of {epochs} epochs; .* has 108$"):
            nasbench.query(spec, epochs=epochs)


# Which run, and what it costs


@pytest.mark.parametrize("seed", [0, 7, "text", 0.5])
def test_runs_follow_the_official_choice(tiny, seed):
    specs = {name: spec_of(tiny, name) for name in tiny.hash_iterator()}
    nasbench = api.NASBench(tiny.benchmark, seed=seed)
    expected = random.Random(seed)
    for name, spec in specs.items():
        data = nasbench.query(spec, epochs=36)
        run = tiny.computed_statistics[name][36][expected.randint(0, 2)]
        assert [data[key.removeprefix("final_")] for key in FIGURES[4:]] == [run[key] for key in FIGURES[4:]]


def test_runs_are_drawn_from_the_random_of_the_program_as_in_the_official_library(tiny):
    """So that a search with a seed, which draws from it too, repeats what it once gave."""
    (name, *_) = tiny.hash_iterator()
    spec, runs = spec_of(tiny, name), tiny.computed_statistics[name][108]
    nasbench = api.NASBench(tiny.benchmark, seed=np.int64(3))
    expected = random.Random(3)
    for _ in range(50):
        assert random.random() == expected.random()
        assert nasbench.query(spec)["test_accuracy"] == runs[expected.randint(0, 2)]["final_test_accuracy"]
    nasbench.config["num_repeats"] = 1
    assert {nasbench.query(spec)["test_accuracy"] for _ in range(20)} == {runs[0]["final_test_accuracy"]}


def test_counters_add_what_was_trained_and_nothing_else(tiny):
    assert tiny.get_budget_counters() == (0.0, 0)
    (name, *_) = tiny.hash_iterator()
    spec = spec_of(tiny, name)
    seconds, epochs = 0.0, 0
    for budget, halfway in [(4, False), (108, True), (36, True), (12, False), (108, False)]:
        seconds += tiny.query(spec, epochs=budget, stop_halfway=halfway)["training_time"]
        epochs += budget // 2 if halfway else budget
        assert tiny.get_budget_counters() == (tiny.training_time_spent, tiny.total_epochs_spent) == (seconds, epochs)
    assert epochs == 4 + 54 + 18 + 12 + 108
    tiny.is_valid(spec)
    tiny.get_metrics_from_spec(spec)
    with pytest.raises(api.OutOfDomainError):
        tiny.query(spec, epochs=108 // 2)
    assert tiny.get_budget_counters() == (seconds, epochs)
    tiny.reset_budget_counters()
    assert tiny.get_budget_counters() == (0.0, 0)


def test_what_is_returned_is_the_callers_and_changes_no_statistics(tiny):
    (name, *_) = tiny.hash_iterator()
    before = copy.deepcopy(plain(tiny.get_metrics_from_hash(name)))
    for _ in range(2):  # before and after the statistics themselves were looked at
        data = tiny.query(spec_of(tiny, name))
        fixed, computed = tiny.get_metrics_from_hash(name)
        for mine in (data, fixed):
            mine["module_adjacency"][:] = 1
            mine["module_operations"].clear()
        computed[108][0].clear()
        assert plain(tiny.get_metrics_from_hash(name)) == before
        assert tiny.computed_statistics[name] == before[1]


# Statistics, which are dicts in the official library


def official(nasbench: api.NASBench) -> tuple[dict, dict]:
    """The dicts that the official library would have."""
    pairs = {name: nasbench.get_metrics_from_hash(name) for name in nasbench.hash_iterator()}
    return {name: fixed for name, (fixed, _) in pairs.items()}, {
        name: computed for name, (_, computed) in pairs.items()
    }


def test_changes_to_statistics_are_kept_and_reach_what_is_asked_for(tiny):
    (name, second, *_) = tiny.hash_iterator()
    spec, size = spec_of(tiny, name), len(tiny.fixed_statistics[name]["module_operations"])
    fixed = tiny.fixed_statistics[name]
    fixed["module_operations"].insert(1, "x")  # in place
    fixed["module_adjacency"] = np.pad(fixed["module_adjacency"], (0, 1))  # padded, as several programs do
    for figures in tiny.computed_statistics[name][36]:
        figures["final_test_accuracy"] = 0.5
    for value in tiny.fixed_statistics.values():
        value["seen"] = True
    for asked, _ in (tiny.get_metrics_from_hash(name), tiny.get_metrics_from_spec(spec)):
        assert asked["module_operations"][1] == "x" and asked["module_adjacency"].shape == (size + 1, size + 1)
        assert asked["seen"]
    assert tiny.fixed_statistics[name] is fixed and tiny.fixed_statistics.get(name) is fixed
    data = tiny.query(spec, epochs=36)
    assert data["test_accuracy"] == 0.5 and data["module_operations"][1] == "x"
    tiny.computed_statistics[name] = tiny.computed_statistics[second]
    assert tiny.get_metrics_from_hash(name)[1] == tiny.get_metrics_from_hash(second)[1]
    del tiny.computed_statistics[name]
    with pytest.raises(KeyError):
        tiny.query(spec)
    assert api.NASBench(tiny.benchmark).fixed_statistics[name]["module_operations"][1] != "x"


def test_statistics_become_what_official_dicts_would(tiny):
    _, computed = official(tiny)
    for make in (
        dict,
        copy.copy,
        copy.deepcopy,
        lambda s: {**s},
        lambda s: s | {},
        lambda s: {} | s,
        lambda s: s.copy(),
    ):
        assert make(api.NASBench(tiny.benchmark).computed_statistics) == computed
    statistics = api.NASBench(tiny.benchmark).computed_statistics
    assert isinstance(statistics, dict) and statistics == computed and (statistics != computed) is False
    assert json.loads(json.dumps(statistics)) == json.loads(json.dumps(computed))
    assert json.dumps(statistics, indent=1) == json.dumps(computed, indent=1)
    assert pickle.loads(pickle.dumps(statistics)) == computed
    assert list(statistics.items()) == list(computed.items()) and list(statistics.values()) == list(computed.values())
    assert list(statistics) == list(computed) and list(reversed(statistics)) == list(reversed(computed))
    frames = [pandas.DataFrame.from_dict(table, orient="index") for table in (statistics, computed)]
    assert frames[0].shape == (len(computed), 4)
    pandas.testing.assert_frame_equal(*frames)
    pandas.testing.assert_frame_equal(pandas.DataFrame(statistics), pandas.DataFrame(computed))


def test_statistics_change_as_dicts_do(tiny):
    _, computed = official(tiny)
    statistics = tiny.computed_statistics
    (name, second, third, *_) = computed
    assert statistics.pop(name) == computed.pop(name) and statistics.pop(name, None) is None
    assert statistics.popitem() == computed.popitem() and statistics.setdefault(third) == computed[third]
    assert statistics.setdefault("new", {}) == {} == statistics.pop("new")
    statistics.update({second: {}})
    assert statistics[second] == {} and statistics != computed and name not in statistics
    assert len(statistics) == len(computed) and statistics == computed | {second: {}}
    shallow, deep = statistics.copy(), copy.deepcopy(statistics)
    statistics[third][108].clear()
    assert shallow[third][108] == [] and deep[third] == computed[third]
    statistics.clear()
    assert not statistics and json.dumps(statistics) == "{}"
    with pytest.raises(KeyError):
        statistics.popitem()


def test_asking_by_hash_takes_no_memory(tiny):
    for name in tiny.hash_iterator():
        tiny.get_metrics_from_hash(name)
    assert not tiny.fixed_statistics._made and not tiny.computed_statistics._made


def test_a_path_may_be_bytes(shared):
    path = shared / "golden" / "full_tiny.hdf5"
    assert len(api.NASBench(os.fsencode(path)).hash_iterator()) == 120


# Outside of the domain


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (api.ModelSpec(np.zeros((3, 3), int), [INPUT, CONV3X3, OUTPUT]), "the input does not reach the output"),
        (chain(*[CONV3X3] * 6), "8 vertices after pruning; the domain goes up to 7"),
        (api.ModelSpec(np.triu(np.ones((5, 5), int), 1), chain(*OPS).ops), "10 edges after pruning; .* goes up to 9"),
        (chain(CONV3X3, first=CONV3X3), "the first operation is 'conv3x3-bn-relu'; it must be 'input'"),
        (chain(CONV3X3, last=INPUT), "the last operation is 'input'; it must be 'output'"),
        (chain("conv5x5-bn-relu"), "no operation 'conv5x5-bn-relu'; there are conv3x3-bn-relu, conv1x1-bn-relu, max"),
    ],
    ids=["disconnected", "vertices", "edges", "first", "last", "operation"],
)
def test_a_cell_outside_of_the_domain_is_refused(tiny, spec, message):
    assert not tiny.is_valid(spec)
    for ask in (tiny.query, tiny.get_metrics_from_spec):
        with pytest.raises(api.OutOfDomainError, match=message):
            ask(spec)
    state = random.getstate()
    with pytest.raises(api.OutOfDomainError):
        tiny.query(spec)
    assert random.getstate() == state
    assert tiny.get_budget_counters() == (0.0, 0)


def test_only_what_pruning_leaves_counts(everything):
    """A vertex off all paths may have any operation, and there may be any number of them."""
    matrix = np.zeros((9, 9), int)
    matrix[0, 4] = matrix[4, 8] = matrix[0, 1] = matrix[2, 8] = 1
    spec = api.ModelSpec(matrix, [INPUT, "unheard of", "unheard of", CONV3X3, CONV1X1, *OPS, OUTPUT])
    assert (spec.matrix.tolist(), spec.ops) == (np.eye(3, k=1, dtype=int).tolist(), [INPUT, CONV1X1, OUTPUT])
    assert everything.query(spec)["module_operations"] == [INPUT, CONV1X1, OUTPUT]


def test_the_domain_follows_the_settings(tiny):
    spec = chain(CONV3X3, CONV3X3)
    assert tiny.is_valid(spec)
    tiny.config["module_vertices"] = 3
    assert not tiny.is_valid(spec)
    assert tiny.config["available_ops"] == OPS
    assert (tiny.config["max_edges"], tiny.config["num_repeats"]) == (9, 3)
    assert api.NASBench(tiny.benchmark).config["module_vertices"] == 7


# What a benchmark lacks


def test_an_unknown_figure_is_an_error_that_says_where_and_never_nan(sample):
    spec = spec_of(sample, next(iter(sample.hash_iterator())))
    assert sample.valid_epochs == {4, 12, 36, 108}
    for epochs, halfway in [(108, False), (108, True), (4, False)]:
        for _ in range(5):
            message = rf"run \d of cell [0-9a-f]{{32}} at {epochs} epochs lacks .*test_accuracy at .*best of three runs"
            with pytest.raises(api.UnknownFigure, match=message) as caught:
                sample.query(spec, epochs=epochs, stop_halfway=halfway)
            assert str(caught.value).startswith(str(sample.benchmark.path))
            assert isinstance(caught.value, UserError)
    assert sample.get_budget_counters() == (0.0, 0)


def test_statistics_hold_what_is_known_and_name_what_is_not(sample, sample_path):
    table = json.loads(sample_path.read_text())
    for row in (0, 1, 20_000):
        _, computed = sample.get_metrics_from_hash(table["key"][row])
        for epochs in (4, 12, 36, 108):
            first, *others = computed[epochs]
            accuracy = np.float32(table[f"{epochs}_final_validation_accuracy"][row]).item()
            seconds = {"final_training_time": np.float32(table["final_training_time"][row]).item()}
            assert first == {"final_validation_accuracy": accuracy} | (seconds if epochs == 108 else {})
            assert others == [{}, {}]
        for run, name in ((0, "final_test_accuracy"), (0, "halfway_validation_accuracy"), (1, FIGURES[-2])):
            with pytest.raises(
                api.UnknownFigure, match=rf"run {run} of cell {table['key'][row]} at 108 .*lacks {name}"
            ):
                computed[108][run][name]
            assert copy.deepcopy(computed)[108][run].get(name) is None
        with pytest.raises(KeyError, match=r"^'final_taste'$"):
            computed[108][0]["final_taste"]


def test_a_run_that_lacks_one_figure_is_refused_and_the_others_are_given(tiny):
    metrics = tiny.benchmark.metrics.copy()
    metrics[0, 3, 1, 1, 3] = np.nan  # the test accuracy of run 1 at the end
    arrays = {name: getattr(tiny.benchmark, name) for name in ("hashes", "num_vertices", "trainable_parameters")}
    arrays |= {name: getattr(tiny.benchmark, name) for name in ("adjacency", "operations")}
    nasbench = api.NASBench(Benchmark(**arrays, metrics=metrics), seed=0)
    name = next(iter(nasbench.hash_iterator()))
    spec, expected = spec_of(nasbench, name), random.Random(0)
    outcomes = set()
    for _ in range(20):
        run = expected.randint(0, 2)
        outcomes.add(run)
        if run == 1:
            with pytest.raises(api.UnknownFigure, match=r"run 1 of cell .* lacks test_accuracy at end"):
                nasbench.query(spec)
        else:
            assert nasbench.query(spec)["test_accuracy"] == metrics[0, 3, run, 1, 3]
    assert outcomes == {0, 1, 2}
    known = nasbench.computed_statistics[name]
    assert set(FIGURES) - set(known[108][1]) == {"final_test_accuracy"}
    assert known[36] == tiny.computed_statistics[name][36]


def test_a_cell_that_is_not_there_is_a_key_error_and_valid_all_the_same(tiny, everything):
    missing = next(name for name in everything.hash_iterator() if name not in tiny.fixed_statistics)
    spec = spec_of(everything, missing)
    assert tiny.is_valid(spec)
    for ask, what in ((tiny.query, spec), (tiny.get_metrics_from_spec, spec), (tiny.get_metrics_from_hash, missing)):
        with pytest.raises(KeyError, match=rf"holds no cell of module hash '{missing}'") as caught:
            ask(what)
        assert isinstance(caught.value, UnknownCell)
    for key in (None, 3, b"0" * 32, "é"):
        assert key not in tiny.fixed_statistics
        with pytest.raises(KeyError):
            tiny.computed_statistics[key]


def test_training_is_out_of_scope(tiny, tmp_path):
    with pytest.raises(NotImplementedError, match="out of the scope of nplib") as caught:
        tiny.evaluate(chain(CONV3X3), tmp_path)
    assert isinstance(caught.value, UserError)


def test_a_file_that_is_not_there_is_named(tmp_path):
    for name in ("nasbench.hdf5", "nasbench_full.tfrecord"):
        with pytest.raises(UserError, match=f"{name} does not exist"):
            api.NASBench(tmp_path / name)


def test_results_of_a_model_are_said_to_be_that(small_surrogate, tiny, caplog):
    caplog.set_level("WARNING", logger="nplib")
    api.NASBench(tiny.benchmark)
    assert not caplog.records
    api.NASBench(small_surrogate)
    assert "not measurements" in caplog.text


def test_nothing_heavy_is_imported():
    heavy = ("torch", "numba", "tensorflow", "scipy", "pandas", "matplotlib", "requests", "absl", "nasbench")
    code = f"import sys; from nplib import api; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
