"""Figures of noise are what a plain count over the runs gives."""

import json
import statistics

import numpy as np
import pytest

from nplib.benchmark import Benchmark, MissingMetric
from nplib.convert import convert_tfrecord
from nplib.sources import load
from nplib.studies import published
from nplib.studies.noise import run_noise, table_figures


@pytest.fixture(scope="module")
def runs(shared):
    """The real runs of 54 cells as plain lists, by metric."""
    cells = json.loads((shared / "nasbench101" / "only108_sample.json").read_text()).values()
    return {
        metric: [[run[f"final_{metric}"] for run in cell["108"]] for cell in cells]
        for metric in ("validation_accuracy", "test_accuracy")
    }


@pytest.fixture(scope="module")
def benchmark(shared, tmp_path_factory):
    target = tmp_path_factory.mktemp("noise") / "only108.hdf5"
    convert_tfrecord(shared / "nasbench101" / "only108_sample.tfrecord", target)
    return Benchmark.open(target)


def test_spread_between_runs(benchmark, runs):
    noise = run_noise(benchmark)
    deviations = [100 * statistics.stdev(cell) for cell in runs["validation_accuracy"]]
    assert noise["its median"] == pytest.approx(statistics.median(deviations))
    pooled = statistics.mean(deviation**2 for deviation in deviations) ** 0.5
    assert noise["standard deviation within a cell, validation (points)"] == pytest.approx(pooled)
    difference = np.mean(runs["validation_accuracy"]) - np.mean(runs["test_accuracy"])
    assert noise["validation minus test accuracy (points)"] == pytest.approx(100 * difference)


def test_known_figures_of_real_runs_come_out(benchmark):
    noise = run_noise(benchmark)
    for name, expected in published.WITHIN_CELL.items():
        assert noise[name] == pytest.approx(expected, abs=0.02), name


def test_a_cell_with_a_failed_run_counts_as_such_and_for_nothing_else(benchmark):
    metrics = benchmark.metrics.copy()
    metrics[0, 3, 1, :, 2:] = 0.1
    names = ("hashes", "num_vertices", "trainable_parameters", "adjacency", "operations")
    spoilt = run_noise(Benchmark(*(getattr(benchmark, name) for name in names), metrics))
    others = run_noise(Benchmark(*(getattr(benchmark, name)[1:] for name in names), metrics[1:]))
    assert spoilt.pop("runs that failed (below 20 %)") == pytest.approx(1 / (3 * len(benchmark)))
    assert others.pop("runs that failed (below 20 %)") == 0
    assert spoilt == pytest.approx(others)


def test_figures_of_a_table_are_of_means_over_runs(benchmark, runs):
    figures = table_figures(benchmark, "test_accuracy")
    means = [statistics.mean(cell) for cell in runs["test_accuracy"]]
    assert figures["mean"] == pytest.approx(statistics.mean(means))
    assert figures["standard deviation"] == pytest.approx(statistics.pstdev(means))
    assert figures["best single run"] == pytest.approx(max(map(max, runs["test_accuracy"])))
    assert set(figures) == set(published.KNOWN_FIGURES["test_accuracy"])


def test_one_run_is_not_enough(sample_path):
    with pytest.raises(MissingMetric, match="one of the three runs"):
        run_noise(load(sample_path))
