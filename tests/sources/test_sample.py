"""nplib.sources.sample: figures of the file, each with its graph, or an error that names the field and the place."""

import hashlib
import json
import logging
import time
from pathlib import Path

import numpy as np
import pytest
from small_sample import CHAIN, SMALL

from nplib._layout import LAYOUT
from nplib.sources.sample import SAMPLE, BadSample, read_sample


@pytest.fixture
def small(tmp_path) -> Path:
    path = tmp_path / "small.json"
    path.write_text(json.dumps(SMALL))
    return path


def test_the_sample_is_the_file_joined_to_its_graphs(sample_path, space):
    table = json.loads(sample_path.read_text())
    benchmark = read_sample(sample_path)
    assert len(benchmark) == 20_001
    assert benchmark.hashes.tolist() == [key.encode() for key in table["key"]]
    np.testing.assert_array_equal(benchmark.trainable_parameters, table["trainable_parameters"])
    for budget in (4, 12, 36, 108):
        np.testing.assert_array_equal(
            benchmark.values("validation_accuracy", budget), table[f"{budget}_final_validation_accuracy"]
        )
    np.testing.assert_array_equal(benchmark.values("training_time", 108), table["final_training_time"])
    assert np.count_nonzero(~np.isnan(benchmark.metrics)) == 5 * 20_001
    for index in (0, 7, 20_000):
        cell = benchmark.cell(index)
        assert cell.module_hash == table["key"][index]
        assert cell.trainable_parameters == table["trainable_parameters"][index]


def test_the_sample_says_what_it_is(sample_path, caplog):
    benchmark = read_sample(sample_path)
    assert benchmark.source == "sample"
    assert benchmark.sha256 == SAMPLE.sha256 == hashlib.sha256(sample_path.read_bytes()).hexdigest()
    assert benchmark.path == sample_path
    for words in ("best of three runs", "4, 12 and 36 epochs", "one run", "no test"):
        assert words in benchmark.labels
    assert caplog.records == []


def test_the_sample_is_joined_within_a_second(sample_path, space):
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        read_sample(sample_path)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 1


def test_another_file_of_the_format_is_used_and_said_to_be_another(small, caplog):
    benchmark = read_sample(small)
    assert benchmark.values("validation_accuracy", 36).tolist() == [0.75, 0.5]
    assert benchmark.values("training_time").tolist() == [1000.0, 500.5]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert benchmark.sha256 in caplog.text and SAMPLE.sha256 in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": None}, "lacks key; it holds trainable_parameters, 4_final"),
        ({"36_final_validation_accuracy": None}, "lacks 36_final_validation_accuracy"),
        ({"key": "abc"}, "key is a str; it must be a list"),
        ({"final_training_time": [1.0]}, r"must have one length, .*\(key 2, .*final_training_time 1\)"),
        ({name: [] for name in SMALL}, r"must have one length, from 1 \(key 0"),
        ({"key": [CHAIN.module_hash, "0" * 32]}, r"key 1 is '0{32}', and no cell .* \(1 of 2 are unknown\)"),
        ({"key": [CHAIN.module_hash, "short"]}, "key 1 is 'short'; a module hash is 32"),
        ({"key": [CHAIN.module_hash, "é" * 32]}, "key 1 is 'é+'; a module hash is 32"),
        ({"key": [CHAIN.module_hash, 12]}, "key 1 is 12; a module hash is 32"),
        ({"key": [CHAIN.module_hash] * 2}, f"keys 0 and 1 are both {CHAIN.module_hash}"),
        ({"trainable_parameters": [5, 6]}, r"trainable_parameters 0 is 5, and cell \w{32} has \d+ \(2 of 2 differ\)"),
        ({"108_final_validation_accuracy": [0.5, None]}, "108_final_validation_accuracy 1 is None; it must be a num"),
        ({"108_final_validation_accuracy": [0.5, "1"]}, "108_final_validation_accuracy 1 is '1'"),
        ({"108_final_validation_accuracy": [0.5, True]}, "108_final_validation_accuracy 1 is True"),
        ({"108_final_validation_accuracy": [93.2, 0.5]}, "108_final_validation_accuracy 0 is 93.2; .* from 0 to 1"),
        ({"4_final_validation_accuracy": [-0.1, 0.5]}, "4_final_validation_accuracy 0 is -0.1"),
        ({"4_final_validation_accuracy": [float("nan"), 0.5]}, "4_final_validation_accuracy 0 is nan"),
        ({"final_training_time": [float("inf"), 1]}, "final_training_time 0 is inf"),
        ({"trainable_parameters": [10**400, 1]}, "trainable_parameters 0 is 10+; it must be a number from 0"),
    ],
)
def test_a_bad_sample_is_told_with_field_and_place(tmp_path, change, message):
    table = {name: value for name, value in (SMALL | change).items() if value is not None}
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(table))
    with pytest.raises(BadSample, match=message) as caught:
        read_sample(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no JSON"),
        (json.dumps(SMALL).encode()[:-20], "is no JSON"),
        (b"\x89HDF\r\n\x1a\n\xff", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[1, 2]", "holds a list; the sample is an object of lists"),
        (b"{}", "lacks key; it holds nothing"),
    ],
)
def test_what_is_no_sample_at_all_is_told(tmp_path, content, message):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(BadSample, match=message) as caught:
        read_sample(path)
    assert str(path) in str(caught.value)


def test_the_sample_holds_every_dataset_in_its_type(small):
    benchmark = read_sample(small)
    for name, (shape, dtype) in LAYOUT.items():
        array = getattr(benchmark, "hashes" if name == "hash" else name)
        assert (array.shape, array.dtype) == ((2, *shape), dtype)
