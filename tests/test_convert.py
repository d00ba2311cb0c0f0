"""Conversion keeps every figure, in its place, and what cannot be converted is named and leaves nothing behind."""

import base64
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_files import (
    complete_records,
    evaluation,
    header,
    model_metrics,
    needed,
    record_of,
    records,
    with_end,
    write_rows,
)

from nplib import convert
from nplib.assembly import Assembly
from nplib.benchmark import Benchmark
from nplib.cell import OPERATION_CODES
from nplib.convert import Conversion, convert_tfrecord
from nplib.decoding import DECODED, ODD, UNKNOWN_PARAMETERS, Rows, decode_rows, scan_frames
from nplib.errors import UserError
from nplib.files import TargetExists, sha256_of
from nplib.frames import encode_frame
from nplib.layout import BUDGETS, LAYOUT, METRICS
from nplib.records import BadRecord, Evaluation, Record, decode_record, encode_record, read_records
from nplib.space import edge_bits, opcodes

PROJECT = Path(__file__).parents[1]
# Bytes that mean something in a protobuf message, as key, length or last byte of a number, and some that do not.
VALUES = [*range(1, 48, 2), 0, 8, 10, 16, 26, 45, 72, 123, 124, 125, 127, 128, 144, 255]


def stored(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file}


def assert_same_files(one: Path, other: Path) -> None:
    first, second = stored(one), stored(other)
    assert set(first) == set(second) == set(LAYOUT)
    for name, array in first.items():
        assert array.dtype == second[name].dtype and array.shape == second[name].shape
        assert array.tobytes() == second[name].tobytes(), name


def failure(source: Path, **options) -> BadRecord:
    """The error of a conversion, which must name the source and leave nothing behind."""
    folder = source.parent / "out"
    folder.mkdir(exist_ok=True)
    with pytest.raises(BadRecord) as caught:
        convert_tfrecord(source, folder / "benchmark.hdf5", **options)
    assert list(folder.iterdir()) == []
    error = caught.value
    assert error.path == source
    assert str(error).startswith(f"{source}: record {error.record} (counted from 0), at byte {error.offset}: ")
    return error


def metrics_by_hand(rows: list[Record]) -> tuple[dict[str, int], np.ndarray]:
    """Row of every hash, and metrics, by the rule alone: first appearance, order within cell and budget."""
    row_of = {name: row for row, name in enumerate(dict.fromkeys(record.module_hash for record in rows))}
    metrics = np.full((len(row_of), 4, 3, 2, 4), np.nan, dtype=np.float32)
    seen = {}
    for record in rows:
        place = record.module_hash, record.epochs
        run = seen[place] = seen.get(place, -1) + 1
        for point, at in enumerate(record.evaluations[1:]):
            values = [getattr(at, metric) for metric in METRICS]
            metrics[row_of[record.module_hash], BUDGETS.index(record.epochs), run, point] = values
    return row_of, metrics


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """A file from the generator of the benchmarks: 300 cells, shuffled, in the layout of the official files."""
    return make_records(tmp_path_factory.mktemp("made") / "made.tfrecord", "--cells", "300", "--shuffle")


def make_records(target: Path, *options: str) -> Path:
    script = PROJECT / "benchmarks" / "make_records.py"
    subprocess.run([sys.executable, script, target, *options], check=True, capture_output=True)
    return target


# What is converted


def test_golden_file_is_converted_bit_for_bit(shared, tmp_path):
    golden = shared / "golden"
    target = tmp_path / "tiny.hdf5"
    conversion = convert_tfrecord(golden / "full_tiny.tfrecord", target)
    assert_same_files(target, golden / "full_tiny.hdf5")
    assert (conversion.cells, conversion.records, conversion.budgets) == (120, 1440, (4, 12, 36, 108))
    assert conversion.sha256 == sha256_of(golden / "full_tiny.tfrecord")
    assert conversion.size == (golden / "full_tiny.tfrecord").stat().st_size
    assert conversion.records_per_second == pytest.approx(1440 / conversion.seconds)


def test_sample_of_real_records_equals_its_json(shared, tmp_path):
    truth = json.loads((shared / "nasbench101" / "only108_sample.json").read_text())
    target = tmp_path / "sample.hdf5"
    conversion = convert_tfrecord(shared / "nasbench101" / "only108_sample.tfrecord", target)
    assert conversion.budgets == (108,)
    benchmark = Benchmark.open(target)
    assert benchmark.hashes.tolist() == [name.encode() for name in truth]
    assert benchmark.labels == "three runs at 108 epochs"
    assert np.isnan(benchmark.metrics[:, :3]).all()
    for row, cell in enumerate(truth.values()):
        size = benchmark.num_vertices[row]
        assert benchmark.adjacency[row, :size, :size].tolist() == cell["module_adjacency"]
        assert benchmark.operations[row, :size].tolist() == [
            OPERATION_CODES[name] for name in cell["module_operations"]
        ]
        assert benchmark.trainable_parameters[row] == cell["trainable_parameters"]
        for run, figures in enumerate(cell["108"]):
            expected = [[figures[f"{point}_{metric}"] for metric in METRICS] for point in ("halfway", "final")]
            assert np.array_equal(benchmark.metrics[row, 3, run], np.array(expected, dtype=np.float32))


@pytest.mark.parametrize("wrapped", [False, True])
def test_converted_is_what_tensorflow_and_protobuf_read(space, tmp_path, wrapped):
    tensorflow = needed("tensorflow")
    source = tmp_path / "source.tfrecord"
    written = complete_records(space, [0, 5, 77, 2000, 70_000, 400_000], seed=int(wrapped))
    write_rows(source, [encode_record(record, wrapped=wrapped) for record in written])
    convert_tfrecord(source, tmp_path / "ours.hdf5")
    ours = stored(tmp_path / "ours.hdf5")
    runs = dict.fromkeys((name, budget) for name in range(6) for budget in BUDGETS)
    row_of: dict[bytes, int] = {}
    for data in tensorflow.data.TFRecordDataset(str(source)):
        module_hash, epochs, adjacency, operations, metrics = json.loads(data.numpy())
        message = model_metrics().FromString(base64.b64decode(metrics))
        row = row_of.setdefault(module_hash.encode(), len(row_of))
        run = 0 if runs[row, epochs] is None else runs[row, epochs] + 1
        runs[row, epochs] = run
        size = math.isqrt(len(adjacency))
        assert "".join(map(str, ours["adjacency"][row, :size, :size].ravel())) == adjacency
        assert [OPERATION_CODES[name] for name in operations.split(",")] == ours["operations"][row, :size].tolist()
        assert ours["trainable_parameters"][row] == message.trainable_parameters
        for point in (1, 2):
            theirs = [getattr(message.evaluation_data[point], metric) for metric in METRICS]
            place = row, BUDGETS.index(epochs), run, point - 1
            assert np.array_equal(ours["metrics"][place], np.array(theirs, dtype=np.float32))
    assert ours["hash"].tolist() == list(row_of)
    assert set(runs.values()) == {2}


@pytest.mark.parametrize("options", [(), ("--unwrapped",), ("--only108",), ("--shuffle",)])
def test_generated_file_is_converted_as_it_is_read_record_by_record(tmp_path, options):
    source = make_records(tmp_path / "made.tfrecord", "--cells", "40", *options)
    convert_tfrecord(source, tmp_path / "made.hdf5")
    row_of, metrics = metrics_by_hand(list(read_records(source)))
    found = stored(tmp_path / "made.hdf5")
    assert found["hash"].tolist() == [name.encode() for name in row_of]
    assert found["metrics"].tobytes() == metrics.tobytes()


@pytest.mark.parametrize("block_bytes", [50, 411, 5000, 100_000])
def test_blocks_of_any_size_give_the_same(made, tmp_path, monkeypatch, block_bytes):
    convert_tfrecord(made, tmp_path / "whole.hdf5")
    monkeypatch.setattr(convert, "BLOCK_BYTES", block_bytes)
    conversion = convert_tfrecord(made, tmp_path / "blocks.hdf5")
    assert conversion.sha256 == sha256_of(made)
    assert_same_files(tmp_path / "blocks.hdf5", tmp_path / "whole.hdf5")


def test_record_larger_than_a_block(space, tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "BLOCK_BYTES", 2000)
    written = complete_records(space, [8], budgets=(108,))
    rows = [encode_record(record) for record in written]
    rows[1] = rows[1].replace(b", 108, ", b", " + b" " * 50_000 + b"108, ")
    write_rows(tmp_path / "wide.tfrecord", rows)
    convert_tfrecord(tmp_path / "wide.tfrecord", tmp_path / "wide.hdf5")
    assert stored(tmp_path / "wide.hdf5")["metrics"].tobytes() == metrics_by_hand(written)[1].tobytes()


def test_missing_figures_are_nan_and_nothing_is_made_up(space, tmp_path, caplog):
    written = complete_records(space, [100, 200], budgets=(36,))
    bare = [
        replace(written[0], evaluations=(), total_time=math.nan),
        replace(written[1], evaluations=written[1].evaluations[:2]),
        with_end(written[2], test_accuracy=math.nan, training_time=math.nan),
    ]
    written = [replace(record, trainable_parameters=None) for record in [*bare, *written[3:]]]
    write_rows(tmp_path / "bare.tfrecord", written)
    convert_tfrecord(tmp_path / "bare.tfrecord", tmp_path / "bare.hdf5")
    found = stored(tmp_path / "bare.hdf5")
    assert found["metrics"].tobytes() == metrics_by_hand(written)[1].tobytes()
    assert np.isnan(found["metrics"][:, 1 + BUDGETS.index(36) :]).all()
    assert found["trainable_parameters"].tolist() == [0, 0]
    assert "does not give the trainable parameters of 2 cells" in caplog.text


def test_parameters_are_those_of_the_first_record_that_has_them(space, tmp_path):
    first, second, third = complete_records(space, [100], budgets=(36,))
    rows = [
        replace(first, trainable_parameters=None),
        replace(second, trainable_parameters=5),
        replace(third, trainable_parameters=6),
    ]
    write_rows(tmp_path / "source.tfrecord", rows)
    convert_tfrecord(tmp_path / "source.tfrecord", tmp_path / "out.hdf5")
    assert stored(tmp_path / "out.hdf5")["trainable_parameters"].tolist() == [5]


def test_source_is_named_after_the_official_file_or_the_file_or_as_asked(made, tmp_path, monkeypatch):
    target = tmp_path / "out.hdf5"
    assert convert_tfrecord(made, target).source_name == "made.tfrecord"
    benchmark = Benchmark.open(target)
    assert (benchmark.source, benchmark.sha256) == ("made.tfrecord", sha256_of(made))
    assert benchmark.labels == "three runs at each of 4, 12, 36 and 108 epochs"
    assert convert_tfrecord(made, target, overwrite=True, source_name="mine").source_name == "mine"
    assert Benchmark.open(target).source == "mine"
    monkeypatch.setitem(convert.OFFICIAL_FILES, sha256_of(made), "only108")
    assert convert_tfrecord(made, target, overwrite=True).source_name == "only108"


def test_progress_shows_rate_and_time_left(made, tmp_path, capfd):
    convert_tfrecord(made, tmp_path / "out.hdf5")
    assert capfd.readouterr().err == ""
    convert_tfrecord(made, tmp_path / "again.hdf5", progress=True)
    shown = capfd.readouterr().err
    assert "made.tfrecord: 100%" in shown and "B/s" in shown and "<00:00" in shown


# The compiled decoder against the general one


def decoded(rows: list[bytes]) -> Rows:
    data = np.frombuffer(bytearray(b"".join(map(encode_frame, rows))), dtype=np.uint8)
    starts = np.empty(len(rows) + 2, dtype=np.int64)
    count, sound = scan_frames(data, len(data), starts)
    assert (count, sound, starts[count]) == (len(rows), True, len(data))
    result = Rows.empty(count)
    decode_rows(data, starts[: count + 1], result)
    return result


def assert_row_is(rows: Rows, i: int, record: Record) -> None:
    size = record.num_vertices
    adjacency = np.zeros((1, 7, 7), dtype=np.int8)
    adjacency[0, :size, :size] = record.matrix
    operations = np.zeros((1, 7), dtype=np.int8)
    operations[0, :size] = record.cell.codes
    metrics = np.full((2, 4), np.nan, dtype=np.float32)
    for point, at in enumerate(record.evaluations[1:]):
        with np.errstate(over="ignore"):
            metrics[point] = [getattr(at, metric) for metric in METRICS]
    assert rows.hashes[i].tobytes().decode() == record.module_hash
    assert rows.epochs[i] == record.epochs
    assert rows.vertices[i] == size
    assert rows.bits[i] == edge_bits(adjacency)[0]
    assert rows.opcodes[i] == opcodes(np.array([size]), operations)[0]
    assert rows.parameters[i] == (record.trainable_parameters or UNKNOWN_PARAMETERS)
    assert np.array_equal(rows.metrics[i], metrics, equal_nan=True)


@settings(deadline=None)
@given(st.lists(st.tuples(records(), st.booleans()), min_size=1, max_size=5))
def test_layouts_of_the_official_files_need_no_general_decoder(drawn):
    rows = decoded([encode_record(record, wrapped=wrapped) for record, wrapped in drawn])
    for i, (record, _) in enumerate(drawn):
        if record.epochs < 10**9:
            assert rows.state[i] == DECODED
            assert_row_is(rows, i, record)
        else:
            assert rows.state[i] == ODD


def rearranged(draw: st.DrawFn, record: Record) -> bytes:
    """The row of a record as others might write it, or with something wrong in it."""
    row = json.loads(encode_record(record, wrapped=draw(st.booleans())))
    message = bytearray(base64.b64decode(row[4]))
    for _ in range(draw(st.integers(0, 2))):
        extra = draw(
            st.sampled_from([b"\x0a\x00", b"\x10\x05", b"\x4a\x01a", b"\x7d1234", b"\x50\x81\x01", b"\x7b\x7c"])
        )
        at = draw(st.integers(0, len(message)))
        message[at:at] = extra
    if draw(st.booleans()) and message:
        message[draw(st.integers(0, len(message) - 1))] = draw(st.integers(0, 255))
    encode = draw(st.sampled_from([base64.b64encode, base64.encodebytes]))
    row[4] = encode(message).decode()
    separators = draw(st.sampled_from([(", ", ": "), (",", ":"), (" , ", ":"), (",  ", ":")]))
    data = bytearray(json.dumps(row, separators=separators).encode())
    change = draw(st.sampled_from(["none", "none", "replace", "insert", "remove"]))
    at = draw(st.integers(0, len(data) - 1))
    if change == "replace":
        data[at] = draw(st.sampled_from(list(b'0123456789abcfA",=[]\\n/u x')))
    elif change == "insert":
        data[at:at] = draw(st.sampled_from([b" ", b"0", b"\\n", b"\\u0030", b'"', b",", b"=", b"\n", b"AAAA"]))
    elif change == "remove":
        del data[at]
    return bytes(data)


@settings(deadline=None, max_examples=400)
@given(st.data(), records())
def test_compiled_decoder_takes_no_row_that_the_general_one_reads_otherwise(data, record):
    row = rearranged(data.draw, record)
    rows = decoded([row])
    if rows.state[0] == DECODED:
        assert_row_is(rows, 0, decode_record(row))
    else:
        assert rows.state[0] == ODD


def assert_no_row_is_misread(rows: list[bytes]) -> None:
    found = decoded(rows)
    for i, row in enumerate(rows):
        if found.state[i] == DECODED:
            assert_row_is(found, i, decode_record(row))
        else:
            assert found.state[i] == ODD


@pytest.fixture(scope="module")
def typical(space) -> list[Record]:
    """Records of a small and of a large cell, whole and as the real sample has them; base64 that ends in each way."""
    small, large = (complete_records(space, [i], budgets=(36,))[0] for i in (1, 423_000))
    bare = (Evaluation(current_epoch=0.0), *small.evaluations[1:])
    return [small, replace(large, total_time=math.nan), replace(small, evaluations=bare, total_time=math.nan)]


def test_no_change_of_one_character_is_misread(typical):
    characters = [bytes([code]) for code in b'01289abfgAz+/=",\\[]{nu \n-xio' + bytes([0, 127, 200])]
    for record in typical:
        row = encode_record(record, wrapped=True)
        places = range(len(row))
        assert_no_row_is_misread([row[:at] + row[at + 1 :] for at in places])
        for character in characters:
            assert_no_row_is_misread([row[:at] + character + row[at + 1 :] for at in places])
            assert_no_row_is_misread([row[:at] + character + row[at:] for at in places])


def test_no_cut_row_is_misread(typical):
    for record in typical:
        row = encode_record(record)
        assert_no_row_is_misread(
            [row[:at] for at in range(len(row))] + [row + end for end in (b" ", b"\n", b"]", b"a")]
        )


@pytest.mark.parametrize("size", [46, 47, 48])
def test_base64_that_goes_on_after_its_end_is_not_misread(typical, size):
    row = json.loads(encode_record(typical[0]))
    message = base64.b64decode(row[4])[:size]
    once = base64.b64encode(message).decode()
    texts = [once, once * 2, once + "\n" + once, once + "A", once + "=", once + "\n\n", "\n" + once, once[:-1]]
    assert_no_row_is_misread([json.dumps([*row[:4], text]).encode() for text in texts])


def test_no_change_of_one_byte_of_the_metrics_is_misread(typical):
    for record in typical[1:]:
        row = json.loads(encode_record(record))
        message = base64.b64decode(row[4])
        changed = [message[:at] + bytes([value]) + message[at + 1 :] for at in range(len(message)) for value in VALUES]
        changed += [message[:at] for at in range(len(message))]
        changed += [message + extra for extra in (message[:47], message[:2] + message, b"\x10" + b"\xff" * 4 + b"\x0f")]
        assert_no_row_is_misread([json.dumps([*row[:4], base64.b64encode(part).decode()]).encode() for part in changed])


def test_rows_in_other_layouts_are_converted_alike(space, tmp_path):
    written = complete_records(space, [11, 300_000])
    write_rows(tmp_path / "plain.tfrecord", written)
    rows = [encode_record(record) for record in written]
    odd = [
        row.replace(b"input", b"\\u0069nput") if i % 3 == 0 else json.dumps(json.loads(row), indent=1).encode()
        for i, row in enumerate(rows)
    ]
    assert set(decoded(odd).state) == {ODD}
    write_rows(tmp_path / "odd.tfrecord", [rows[i] if i % 2 else odd[i] for i in range(len(rows))])
    convert_tfrecord(tmp_path / "plain.tfrecord", tmp_path / "plain.hdf5")
    convert_tfrecord(tmp_path / "odd.tfrecord", tmp_path / "odd.hdf5")
    assert_same_files(tmp_path / "odd.hdf5", tmp_path / "plain.hdf5")


# Files that are broken


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
def test_absurd_length_with_a_right_checksum(made, tmp_path, monkeypatch, length, block_bytes):
    monkeypatch.setattr(convert, "BLOCK_BYTES", block_bytes)
    source = tmp_path / "source.tfrecord"
    source.write_bytes(made.read_bytes() + header(length) + b"{}" * 1000)
    error = assert_same_failure(source)
    assert (error.record, error.offset) == (3600, made.stat().st_size)
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


# Records that do not fit together


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


# Targets


def test_target_that_exists_is_kept_unless_asked(made, tmp_path):
    target = tmp_path / "out.hdf5"
    target.write_text("mine")
    with pytest.raises(TargetExists, match="--overwrite"):
        convert_tfrecord(made, target)
    assert target.read_text() == "mine"
    convert_tfrecord(made, target, overwrite=True)
    assert len(Benchmark.open(target)) == 300


def test_target_that_exists_is_refused_before_the_source_is_read(tmp_path):
    (tmp_path / "out.hdf5").touch()
    with pytest.raises(TargetExists):
        convert_tfrecord(tmp_path / "missing.tfrecord", tmp_path / "out.hdf5")


def test_target_in_no_folder_or_a_folder_itself(made, tmp_path):
    with pytest.raises(UserError, match="is no folder"):
        convert_tfrecord(made, tmp_path / "nowhere" / "out.hdf5")
    with pytest.raises(UserError, match="is a folder"):
        convert_tfrecord(made, tmp_path)


def test_source_is_not_overwritten_by_itself(made, tmp_path):
    source = shutil.copy(made, tmp_path / "source.tfrecord")
    with pytest.raises(UserError, match="is the file to convert; name another target"):
        convert_tfrecord(source, source, overwrite=True)
    assert sha256_of(source) == sha256_of(made)


def test_failed_conversion_leaves_an_existing_target(nine, made, tmp_path):
    target = tmp_path / "out.hdf5"
    convert_tfrecord(made, target)
    before = sha256_of(target)
    write_rows(tmp_path / "bad.tfrecord", nine[:-1])
    with pytest.raises(BadRecord):
        convert_tfrecord(tmp_path / "bad.tfrecord", target, overwrite=True)
    assert sha256_of(target) == before


CONVERT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # even where tests run in the background
from nplib.convert import convert_tfrecord
from nplib.errors import UserError
try:
    convert_tfrecord(sys.argv[1], sys.argv[2], overwrite=True, progress=True)
except UserError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path}


def test_no_room_for_the_file(made, tmp_path):
    resource = pytest.importorskip("resource", reason="limits on the size of a file are a thing of Unix")
    target = tmp_path / "out.hdf5"
    target.write_text("what was there")
    limit = 50_000  # the HDF5 takes three times that

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    result = subprocess.run(
        [sys.executable, "-c", CONVERT, made, target],
        env=environment(),
        preexec_fn=limited,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert f"{target} cannot be written" in result.stderr and "MB of free disk" in result.stderr
    assert "Traceback" not in result.stderr
    assert target.read_text() == "what was there"
    assert os.listdir(tmp_path) == ["out.hdf5"]


def on_small_disk(folder: Path, size: str, source: Path) -> subprocess.CompletedProcess:
    """Convert into a file system of its own, of this size."""
    script = f"""
        folder=$1; shift
        mount -t tmpfs -o size={size} none "$folder" || exit
        echo mounted
        "$@"; code=$?
        ls -A "$folder"
        exit $code
    """
    command = [sys.executable, "-c", CONVERT, source, folder / "out.hdf5"]
    result = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", folder, *command],
        env=environment(),
        capture_output=True,
        text=True,
    )
    if "mounted" not in result.stdout:
        pytest.skip(f"no file system can be mounted here: {result.stderr.strip()}")
    return result


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare (Linux)")
def test_no_room_is_seen_before_the_work(made, tmp_path):
    result = on_small_disk(tmp_path, "64k", made)
    assert result.returncode == 1
    assert "MB free and the HDF5 of" in result.stderr and "make room" in result.stderr
    assert "made.tfrecord:   0%" not in result.stderr
    assert result.stdout.split() == ["mounted"]


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare (Linux)")
def test_disk_that_fills_up(made, tmp_path):
    # Room for the estimate, which is low on purpose, and not for the file.
    result = on_small_disk(tmp_path, "136k", made)
    assert result.returncode == 1
    assert "cannot be written" in result.stderr and "No space left on device" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout.split() == ["mounted"]


# Interruptions


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Iterator[tuple[Path, str]]:
    """A file that takes a while, and the SHA-256 of what is made of it."""
    folder = tmp_path_factory.mktemp("large")
    source = make_records(folder / "large.tfrecord", "--cells", "20000")
    convert_tfrecord(source, folder / "large.hdf5")
    yield source, sha256_of(folder / "large.hdf5")
    shutil.rmtree(folder)  # 100 MB, which pytest would keep


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_conversion_leaves_the_target_whole_or_absent(large, tmp_path, how, delay):
    source, whole = large
    target = tmp_path / "out.hdf5"
    process = subprocess.Popen(
        [sys.executable, "-c", CONVERT, source, target], env=environment(), stderr=subprocess.PIPE
    )
    process.stderr.read(1)  # the bar: conversion has begun
    time.sleep(delay)
    process.send_signal(how)
    process.communicate(timeout=60)
    if delay == 0:
        assert process.returncode != 0
        assert not target.exists()
    assert not target.exists() or sha256_of(target) == whole
    if how == signal.SIGINT:
        assert not list(tmp_path.glob(".*"))


def test_killed_while_the_target_is_written(large, tmp_path):
    source, whole = large
    target = tmp_path / "out.hdf5"
    target.write_text("what was there")
    process = subprocess.Popen(
        [sys.executable, "-c", CONVERT, source, target], env=environment(), stderr=subprocess.PIPE
    )
    while not list(tmp_path.glob(".*.partial")) and process.poll() is None:
        time.sleep(0.0005)
    process.kill()
    process.communicate(timeout=60)
    assert target.read_bytes() == b"what was there" or sha256_of(target) == whole
    # What is left over does not stand in the way.
    convert_tfrecord(source, target, overwrite=True)
    assert sha256_of(target) == whole


# Growth


def test_many_cells_without_verification_find_their_rows(tmp_path):
    rng = np.random.default_rng(0)
    names = [rng.bytes(16).hex() for _ in range(3000)]
    template = Record("0" * 32, 4, "0100", "input,output", tuple(evaluation(rng, 4) for _ in range(3)), 1, 1.0)
    written = [replace(template, module_hash=name) for name in names for _ in range(3)]
    written = [written[i] for i in rng.permutation(len(written))]
    data = np.frombuffer(bytearray(b"".join(encode_frame(encode_record(record)) for record in written)), dtype=np.uint8)
    starts = np.empty(len(written) + 1, dtype=np.int64)
    scan_frames(data, len(data), starts)
    assembly = Assembly(tmp_path / "many.tfrecord", None)
    for first in range(0, len(written), 700):
        part = starts[first : first + 701]
        rows = Rows.empty(len(part) - 1)
        decode_rows(data, part, rows)
        assembly.add(rows, part[:-1])
    assert assembly.arrays()["hashes"].tolist() == [
        name.encode() for name in dict.fromkeys(record.module_hash for record in written)
    ]


def test_conversion_says_how_fast_it_was():
    conversion = Conversion(Path("a"), Path("b"), 1, 12, BUDGETS, "a", "", 5_000_000, 2.0)
    assert (conversion.records_per_second, conversion.megabytes_per_second) == (6.0, 2.5)
