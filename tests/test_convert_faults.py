"""A file that cannot be converted is named with its record, its byte and what is wrong, and nothing is left behind."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from record_files import (
    complete_records,
    header,
    record_of,
    stored,
    with_end,
    write_rows,
)
from record_files import conversion_failure as failure

from nplib import convert
from nplib.benchmark import Benchmark
from nplib.convert import convert_tfrecord
from nplib.records import BadRecord, Record, encode_record, read_records


def assert_same_failure(source: Path) -> BadRecord:
    """Conversion finds what reading record by record finds, in the same words."""
    with pytest.raises(BadRecord) as caught:
        list(read_records(source))
    error = failure(source)
    assert str(error) == str(caught.value)
    assert (error.record, error.offset) == (caught.value.record, caught.value.offset)
    return error


@pytest.mark.parametrize("content", [b"", b"no tfrecord at all", bytes(100), b"\x89HDF\r\n\x1a\n" + bytes(90)])
def test_empty_file_and_no_tfrecord(tmp_path, content):
    source = tmp_path / "source.tfrecord"
    source.write_bytes(content)
    error = assert_same_failure(source)
    assert (error.record, error.offset) == (0, 0)
    assert ("is not a tfrecord file" if content else "empty") in error.problem


def test_truncated_anywhere(space, tmp_path):
    source = tmp_path / "source.tfrecord"
    *_, last = write_rows(source, complete_records(space, [5], budgets=(108,)))
    whole = source.read_bytes()
    for size in range(last + 1, len(whole)):
        source.write_bytes(whole[:size])
        error = assert_same_failure(source)
        assert (error.record, error.offset) == (2, last)
        assert "the file ends in the" in error.problem


def test_truncated_between_records_is_a_missing_run(space, tmp_path):
    source = tmp_path / "source.tfrecord"
    *_, last = write_rows(source, complete_records(space, [5], budgets=(108,)))
    source.write_bytes(source.read_bytes()[:last])
    assert "has 2 of 3 runs at 108 epochs" in failure(source).problem


def test_flipped_bit_anywhere(space, tmp_path):
    source = tmp_path / "source.tfrecord"
    offsets = write_rows(source, complete_records(space, [5], budgets=(108,)))
    whole = source.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        source.write_bytes(damaged)
        error = assert_same_failure(source)
        number = sum(offset <= position for offset in offsets) - 1
        assert (error.record, error.offset) == (number, offsets[number])
        assert "checksum" in error.problem


@pytest.mark.parametrize("length", [2**63 + 5, 2**64 - 1, 2**40])
@pytest.mark.parametrize("block_bytes", [500, convert.BLOCK_BYTES])
def test_absurd_length_with_a_right_checksum(space, tmp_path, monkeypatch, length, block_bytes):
    monkeypatch.setattr(convert, "BLOCK_BYTES", block_bytes)
    source = tmp_path / "source.tfrecord"
    write_rows(source, complete_records(space, range(20), budgets=(108,)))
    sound = source.read_bytes()
    source.write_bytes(sound + header(length) + b"{}" * 1000)
    error = assert_same_failure(source)
    assert (error.record, error.offset) == (60, len(sound))
    assert f"after 2000 of {length} bytes" in error.problem


@pytest.mark.parametrize("block_bytes", [700, convert.BLOCK_BYTES])
@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b'["', b'{"', "the row is not JSON"),
        (b'"]', b'", 5]', "the row is an array of 6, not an array of 5"),
        (b", 108, ", b', "108", ', "the epochs in the row is '108'"),
        (b"input,", b"imput,", "not from input to output"),
        (b'"Ci0J', b'"Ci0J=', "are not base64"),
        (b'"Ci0J', b'"Cv0J', "are no protobuf message"),
    ],
)
def test_bad_row_far_into_the_file(space, tmp_path, monkeypatch, block_bytes, old, new, problem):
    monkeypatch.setattr(convert, "BLOCK_BYTES", block_bytes)
    rows = [encode_record(record) for record in complete_records(space, [3, 50, 4000], budgets=(108,))]
    assert rows[7].count(old) == 1
    rows[7] = rows[7].replace(old, new)
    offsets = write_rows(tmp_path / "source.tfrecord", rows)
    error = assert_same_failure(tmp_path / "source.tfrecord")
    assert (error.record, error.offset) == (7, offsets[7])
    assert problem in error.problem


def test_of_two_faults_the_first_in_the_file_is_named(space, tmp_path):
    written = complete_records(space, [3, 50, 4000], budgets=(108,))
    rows = [encode_record(record) for record in written]
    rows[4] = encode_record(replace(written[4], epochs=5))
    rows[6] = b"no JSON"
    write_rows(tmp_path / "source.tfrecord", rows)
    assert failure(tmp_path / "source.tfrecord").record == 4
    rows[2] = b"no JSON"
    write_rows(tmp_path / "source.tfrecord", rows)
    error = failure(tmp_path / "source.tfrecord")
    assert error.record == 2 and "is not JSON" in error.problem


@pytest.fixture
def nine(space) -> list[Record]:
    """Three runs of three cells at 108 epochs."""
    return complete_records(space, [3, 50, 4000], budgets=(108,))


def test_hash_that_does_not_match_its_graph(space, nine, tmp_path):
    source = tmp_path / "source.tfrecord"
    other = space.hashes[7].decode()
    wrong = nine[0].module_hash
    rows = [replace(record, module_hash=other) if record.module_hash == wrong else record for record in nine]
    offsets = write_rows(source, rows)
    error = failure(source)
    assert (error.record, error.offset) == (0, offsets[0])
    assert f"module hash {other} does not name its graph, which has {wrong}" in error.problem
    assert "--no-verify-hashes" in error.problem
    convert_tfrecord(source, tmp_path / "taken.hdf5", verify_hashes=False)
    assert stored(tmp_path / "taken.hdf5")["hash"][0].decode() == other


def test_flipped_hash_digit_late_in_the_file(space, tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "BLOCK_BYTES", 900)
    source = tmp_path / "source.tfrecord"
    written = sorted(complete_records(space, range(1000, 1040), budgets=(108,)), key=lambda record: record.module_hash)
    name = written[96].module_hash
    changed = name[:-1] + ("0" if name[-1] != "0" else "1")
    written[96:99] = [replace(record, module_hash=changed) for record in written[96:99]]
    offsets = write_rows(source, written)
    error = failure(source)
    assert (error.record, error.offset) == (96, offsets[96])
    assert f"module hash {changed} does not name its graph, which has {name}" in error.problem


def test_graph_that_is_no_cell(nine, tmp_path):
    source = tmp_path / "source.tfrecord"
    matrix = np.triu(np.ones((5, 5), dtype=int), 1)  # 10 edges
    operations = "input,maxpool3x3,maxpool3x3,maxpool3x3,output"
    rows = [
        replace(record, adjacency="".join(map(str, matrix.ravel())), operations=operations)
        if record.module_hash == nine[2].module_hash
        else record
        for record in nine
    ]
    offsets = write_rows(source, rows)
    error = failure(source)
    number = [record.module_hash for record in nine].index(nine[2].module_hash)
    assert (error.record, error.offset) == (number, offsets[number])
    assert f"the graph of {nine[2].module_hash} is no cell of NASBench-101" in error.problem
    convert_tfrecord(source, tmp_path / "taken.hdf5", verify_hashes=False)
    assert 10 in stored(tmp_path / "taken.hdf5")["adjacency"].sum(axis=(1, 2))


def test_graph_with_more_vertices_than_there_is_room_for(nine, tmp_path):
    source = tmp_path / "source.tfrecord"
    matrix = np.eye(8, k=1, dtype=int)
    operations = ",".join(["input", *["maxpool3x3"] * 6, "output"])
    nine[4] = replace(nine[4], adjacency="".join(map(str, matrix.ravel())), operations=operations)
    offsets = write_rows(source, nine)
    for verify_hashes in (True, False):
        error = failure(source, verify_hashes=verify_hashes)
        assert (error.record, error.offset) == (4, offsets[4])
        assert "has 8 vertices; there is room for 7" in error.problem


def test_hash_with_another_graph_than_before(space, nine, tmp_path):
    source = tmp_path / "source.tfrecord"
    name = nine[0].module_hash
    later = [i for i, record in enumerate(nine) if record.module_hash == name][1]
    other = record_of(space, 9, 108, np.random.default_rng(0))
    nine[later] = replace(nine[later], adjacency=other.adjacency, operations=other.operations)
    offsets = write_rows(source, nine)
    error = failure(source)
    assert (error.record, error.offset) == (later, offsets[later])
    assert f"the graph of {name} is not the one that this hash had in record 0, at byte 0" in error.problem
    convert_tfrecord(source, tmp_path / "taken.hdf5", verify_hashes=False)
    found = Benchmark.open(tmp_path / "taken.hdf5")
    assert found.cell(0) == nine[0].cell


def test_missing_run(nine, tmp_path):
    source = tmp_path / "source.tfrecord"
    gone = nine.pop()
    offsets = write_rows(source, nine)
    error = failure(source)
    first = [record.module_hash for record in nine].index(gone.module_hash)
    assert (error.record, error.offset) == (first, offsets[first])
    assert f"cell {gone.module_hash}, which first appears here, has 2 of 3 runs at 108 epochs" in error.problem
    assert "other cells" not in error.problem


def test_cell_without_any_run_at_a_budget_that_others_have(space, nine, tmp_path):
    source = tmp_path / "source.tfrecord"
    write_rows(source, nine + complete_records(space, [3, 50], budgets=(12,)))
    error = failure(source)
    name = space.hashes[4000].decode()
    assert f"cell {name}, which first appears here, has 0 of 3 runs at 12 epochs" in error.problem
    assert error.record == [record.module_hash for record in nine].index(name)


def test_missing_runs_of_many_cells_are_counted(space, nine, tmp_path):
    source = tmp_path / "source.tfrecord"
    write_rows(source, nine + complete_records(space, [70_000], budgets=(12,)))
    assert "has 0 of 3 runs at 12 epochs (and 3 other cells lack runs)" in failure(source).problem


def test_fourth_run(nine, tmp_path):
    source = tmp_path / "source.tfrecord"
    again = nine[1]
    offsets = write_rows(source, [*nine, again])
    first = [record.module_hash for record in nine].index(again.module_hash)
    for verify_hashes in (True, False):
        error = failure(source, verify_hashes=verify_hashes)
        assert (error.record, error.offset) == (9, offsets[9])
        assert f"run 4 of cell {again.module_hash} at 108 epochs; there must be 3" in error.problem
        assert f"first appears in record {first}, at byte {offsets[first]}" in error.problem


@pytest.mark.parametrize("epochs", [1, 5, 200, 2**31 + 4, 10**30])
def test_other_budget(nine, tmp_path, epochs):
    source = tmp_path / "source.tfrecord"
    nine[5] = replace(nine[5], epochs=epochs)
    offsets = write_rows(source, nine)
    error = failure(source)
    assert (error.record, error.offset) == (5, offsets[5])
    assert f"was trained for {epochs} epochs; the budgets of NASBench-101 are 4, 12, 36, 108" in error.problem


@pytest.mark.parametrize(
    ("metric", "value", "problem"),
    [
        ("validation_accuracy", 90.5, "is 90.5; accuracies are from 0 to 1"),
        ("test_accuracy", -0.25, "is -0.25; accuracies are from 0 to 1"),
        ("training_time", -1.0, "is -1.0; times are finite and not negative"),
        ("training_time", math.inf, "is inf; times are finite"),
    ],
)
def test_figure_that_cannot_be(nine, tmp_path, metric, value, problem):
    source = tmp_path / "source.tfrecord"
    nine[5] = with_end(nine[5], **{metric: value})
    offsets = write_rows(source, nine)
    error = failure(source)
    assert (error.record, error.offset) == (5, offsets[5])
    assert f"{metric} of cell {nine[5].module_hash} (108 epochs, end) {problem}" in error.problem
