"""Records written from a benchmark convert back to it."""

import numpy as np

from nplib.benchmark import Benchmark
from nplib.convert import convert_tfrecord
from nplib.records import write_records
from nplib.records.export import records_of


def test_the_way_back_gives_the_same_file(shared, tmp_path):
    benchmark = Benchmark.open(shared / "golden" / "full_tiny.hdf5")
    count = write_records(tmp_path / "again.tfrecord", records_of(benchmark))
    assert count == 120 * 4 * 3
    convert_tfrecord(tmp_path / "again.tfrecord", tmp_path / "again.hdf5")
    again = Benchmark.open(tmp_path / "again.hdf5")
    for name in ("hashes", "num_vertices", "trainable_parameters", "adjacency", "operations", "metrics"):
        assert getattr(again, name).tobytes() == getattr(benchmark, name).tobytes(), name


def test_what_is_unknown_is_absent(shared, tmp_path):
    benchmark = Benchmark.open(shared / "golden" / "full_tiny.hdf5")
    metrics = np.full_like(benchmark.metrics, np.nan)
    metrics[:, 3, 0, 1, 2] = benchmark.metrics[:, 3, 0, 1, 2]
    names = ("hashes", "num_vertices", "trainable_parameters", "adjacency", "operations")
    sparse = Benchmark(*(getattr(benchmark, name) for name in names), metrics)
    records = list(records_of(sparse, range(5)))
    assert [record.epochs for record in records] == [108] * 15
    assert np.isnan([record.evaluations[2].validation_accuracy for record in records]).sum() == 10
    write_records(tmp_path / "sparse.tfrecord", records)
    convert_tfrecord(tmp_path / "sparse.tfrecord", tmp_path / "sparse.hdf5")
    np.testing.assert_array_equal(Benchmark.open(tmp_path / "sparse.hdf5").metrics, metrics[:5])
