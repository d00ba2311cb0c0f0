"""The official format is read and written to the letter, and every way in which it can be broken is named."""

import base64
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_files import complete_records, model_metrics, needed, reading_failure, records, write_rows

from nplib._files import TargetExists
from nplib.records import (
    BadRecord,
    Evaluation,
    Record,
    decode_record,
    encode_record,
    read_frames,
    read_records,
    wire,
    write_records,
)
from nplib.records.frames import encode_frame

ROW = [
    "0123456789abcdef0123456789abcdef",
    36,
    "010001000",
    "input,conv1x1-bn-relu,output",
    base64.b64encode(wire.varint_field(2, 2_694_282)).decode(),
]


def same(one: Record, other: Record) -> bool:
    """Equal, with NaN equal to NaN."""
    return repr(one) == repr(other)


def bad_row(path: Path, row: bytes) -> str:
    """What is said about a file whose second record is this, once the place is found right."""
    good = json.dumps(ROW).encode()
    offsets = write_rows(path, [good, row, good])
    error = reading_failure(path)
    assert (error.record, error.offset) == (1, offsets[1])
    return error.problem


# The format


@pytest.mark.parametrize(
    ("name", "count"), [("golden/full_tiny.tfrecord", 1440), ("nasbench101/only108_sample.tfrecord", 162)]
)
def test_official_frames_decode_and_encode_to_the_same_bytes(shared, name, count):
    frames = list(read_frames(shared / name))
    assert len(frames) == count
    assert (
        b"".join(encode_frame(encode_record(decode_record(data))) for _, data in frames) == (shared / name).read_bytes()
    )
    assert [offset for offset, _ in frames[:2]] == [0, len(frames[0][1]) + 16]


def test_sample_of_real_records_equals_its_json(shared):
    truth = json.loads((shared / "nasbench101" / "only108_sample.json").read_text())
    seen = {name: 0 for name in truth}
    for record in read_records(shared / "nasbench101" / "only108_sample.tfrecord"):
        cell = truth[record.module_hash]
        assert record.matrix.tolist() == cell["module_adjacency"]
        assert record.operations.split(",") == cell["module_operations"]
        assert record.trainable_parameters == cell["trainable_parameters"]
        run = cell[str(record.epochs)][seen[record.module_hash]]
        seen[record.module_hash] += 1
        start, halfway, end = record.evaluations
        for point, name in ((halfway, "halfway"), (end, "final")):
            for metric in ("training_time", "train_accuracy", "validation_accuracy", "test_accuracy"):
                assert getattr(point, metric) == run[f"{name}_{metric}"]
        assert (start.current_epoch, halfway.current_epoch, end.current_epoch) == (0, 54, 108)
        # The source of this sample had neither; nothing may stand in for them.
        assert math.isnan(start.validation_accuracy) and math.isnan(record.total_time)
    assert set(seen.values()) == {3}


def test_hash_of_the_real_cells_is_their_graph(shared):
    for record in read_records(shared / "nasbench101" / "only108_sample.tfrecord"):
        assert record.cell.module_hash == record.module_hash
        assert record.cell.trainable_parameters == record.trainable_parameters


@settings(deadline=None)
@given(records(), st.booleans())
def test_what_is_written_is_read(record, wrapped):
    assert same(decode_record(encode_record(record, wrapped=wrapped)), record)


def test_broken_base64_lines_are_those_of_the_official_files(space):
    record = complete_records(space, [5], budgets=(4,))[0]
    metrics = json.loads(encode_record(record, wrapped=True))[4]
    plain = json.loads(encode_record(record))[4]
    assert metrics == base64.encodebytes(base64.b64decode(plain)).decode()
    assert metrics.count("\n") == 3


@settings(deadline=None)
@given(records())
def test_metrics_are_what_protobuf_makes_of_them(record):
    message = model_metrics()()
    if record.trainable_parameters is not None:
        message.trainable_parameters = record.trainable_parameters
    if not math.isnan(record.total_time):
        message.total_time = record.total_time
    for evaluation in record.evaluations:
        data = message.evaluation_data.add()
        for name, value in vars(evaluation).items():
            if not math.isnan(value):
                setattr(data, name, value)
    row = json.loads(encode_record(record))
    assert base64.b64decode(row[4]) == message.SerializeToString()


def test_absent_is_unknown_and_unknown_is_skipped():
    message = b"".join(
        [
            wire.message_field(9, b"a later field"),
            wire.message_field(1, wire.double_field(1, 0.0) + wire.double_field(40, 7.0)),
            wire.message_field(1, wire.double_field(4, 0.25) + wire.message_field(6, b"/tmp/model.ckpt-1")),
            wire.varint_field(12, 2**63),
            bytes([14 << 3 | wire.FIXED32, 1, 2, 3, 4]),
            bytes([15 << 3 | wire.GROUP_START]) + wire.varint_field(2, 99) + bytes([15 << 3 | wire.GROUP_END]),
            # Known numbers in a form that is not theirs, which protobuf counts among the unknown.
            wire.double_field(2, 3.0),
            wire.varint_field(3, 3),
        ]
    )
    record = decode_record(json.dumps([*ROW[:4], base64.b64encode(message).decode()]).encode())
    nan = math.nan
    assert same(record, Record(*ROW[:4], (Evaluation(0.0, nan, nan, nan, nan), Evaluation(nan, nan, nan, 0.25, nan))))
    theirs = model_metrics().FromString(message)
    assert not theirs.HasField("trainable_parameters") and not theirs.HasField("total_time")
    assert theirs.evaluation_data[1].validation_accuracy == 0.25


def test_of_a_field_that_is_there_twice_the_last_counts():
    message = wire.varint_field(2, 5) + wire.varint_field(2, 6)
    assert model_metrics().FromString(message).trainable_parameters == 6
    assert decode_record(json.dumps([*ROW[:4], base64.b64encode(message).decode()]).encode()).trainable_parameters == 6


def test_record_knows_its_graph():
    record = decode_record(json.dumps(ROW).encode())
    assert record.num_vertices == 3
    assert record.matrix.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert record.matrix.dtype == np.int8
    assert record.cell.operations == ("input", "conv1x1-bn-relu", "output")


# Writing


def test_written_file_is_read_by_tensorflow(space, tmp_path):
    tensorflow = needed("tensorflow")
    written = complete_records(space, [0, 17, 4321], budgets=(4, 108))
    assert write_records(tmp_path / "made.tfrecord", written) == 18
    rows = [data.numpy() for data in tensorflow.data.TFRecordDataset(str(tmp_path / "made.tfrecord"))]
    assert rows == [encode_record(record) for record in written]


def test_file_is_not_written_over_another_unless_asked(space, tmp_path):
    path = tmp_path / "made.tfrecord"
    first, second, _ = complete_records(space, [1], budgets=(36,))
    write_records(path, [first])
    with pytest.raises(TargetExists, match="exists"):
        write_records(path, [second])
    assert same(next(read_records(path)), first)
    write_records(path, [second], overwrite=True)
    assert same(next(read_records(path)), second)


def test_file_appears_only_when_all_records_are_there(space, tmp_path):
    def interrupted():
        yield from complete_records(space, [1], budgets=(36,))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_records(tmp_path / "made.tfrecord", interrupted())
    assert list(tmp_path.iterdir()) == []


# Rows that are broken


@pytest.mark.parametrize(
    "row", [b"", b"no json", b'["a", 4', b"\xff\xfe[]", b"[" * 100_000, json.dumps(ROW).encode() + b"x"]
)
def test_row_is_not_json(tmp_path, row):
    assert "the row is not JSON" in bad_row(tmp_path / "bad.tfrecord", row)


@pytest.mark.parametrize(
    ("row", "found"),
    [(ROW[:4], "an array of 4"), ([*ROW, 0], "an array of 6"), ({"hash": 1}, "a dict"), ("text", "a str"), ([], "0")],
)
def test_row_has_other_fields(tmp_path, row, found):
    problem = bad_row(tmp_path / "bad.tfrecord", json.dumps(row).encode())
    assert found in problem and "not an array of 5: module hash, epochs, adjacency, operations, metrics" in problem


@pytest.mark.parametrize("field", range(5))
@pytest.mark.parametrize("value", [None, 1.5, True, [1], "text", 7])
def test_field_of_another_type(tmp_path, field, value):
    if type(value) is type(ROW[field]):
        value = [value]
    row = [*ROW[:field], value, *ROW[field + 1 :]]
    problem = bad_row(tmp_path / "bad.tfrecord", json.dumps(row).encode())
    name = ("module hash", "epochs", "adjacency", "operations", "metrics")[field]
    assert problem.startswith(f"the {name} in the row is {value!r}, which is no ")


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        (0, "abc", "is not 32 hexadecimal digits"),
        (0, "g" * 32, "is not 32 hexadecimal digits"),
        (0, ROW[0].upper(), "is not 32 hexadecimal digits"),
        (1, 0, "epochs are 0"),
        (1, -4, "epochs are -4"),
        (2, "0100010000", "has 10 characters, which are not V\\*V"),
        (2, "", "has 0 characters"),
        (2, "0", "has 1 characters"),
        (2, "010002000", "other characters than 0 and 1"),
        (2, "010001010", "edge from vertex 2 does not go forward"),
        (2, "110001000", "edge from vertex 0 does not go forward"),
        (3, "input,output", "2 operations for 3 vertices"),
        (3, "input,conv5x5-bn-relu,output", "vertex 1 has the unknown operation 'conv5x5-bn-relu'; known are conv3x3"),
        (3, "output,conv1x1-bn-relu,input", "from 'output' to 'input', not from input to output"),
        (3, "input,input,output", "vertex 1 has the unknown operation 'input'"),
        (4, "EK", "are not base64"),
        (4, "EK=A", "are not base64"),
        (4, "*&^%", "are not base64"),
        (4, "EIq4pAE===", "are not base64"),
        (4, "\N{GREEK SMALL LETTER ALPHA}AAA", "are not base64"),
    ],
)
def test_field_with_an_impossible_value(tmp_path, field, value, problem):
    row = [*ROW[:field], value, *ROW[field + 1 :]]
    with pytest.raises(BadRecord, match=problem) as caught:
        decode_record(json.dumps(row).encode())
    assert bad_row(tmp_path / "bad.tfrecord", json.dumps(row).encode()) == caught.value.problem


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (b"\x10", "the number at byte 1 of 1 does not end"),
        (b"\x10" + b"\xff" * 11, "the number at byte 1 of 12 does not end"),
        (b"\x19\x00\x00", "field 3 is to hold 8 bytes and 2 are left"),
        (b"\x75\x00", "field 14 is to hold 4 bytes and 1 are left"),
        (b"\x0a\x05\x09", "field 1 is to hold 5 bytes and 1 are left"),
        (b"\x0a\x02\x09\x00", "field 1 is to hold 8 bytes and 1 are left"),
        (b"\x4a\xff\xff\xff\xff\x7f", "are left"),
        (b"\x00\x01", "names no field"),
        (b"\x80\x80\x80\x80\x80\x01\x01", "names no field"),
        (b"\x16", "field 2 has wire type 6"),
        (b"\x17", "field 2 has wire type 7"),
        (b"\x7c", "field 15 has wire type 4"),
        (b"\x7b\x10\x01", "group 15 does not end"),
        (b"\x7b" * 200, "field 15 has wire type 3"),
    ],
)
def test_metrics_are_no_protobuf_message(tmp_path, message, problem):
    decode_error = needed("google.protobuf.message").DecodeError
    with pytest.raises(decode_error):
        model_metrics().FromString(message)
    row = json.dumps([*ROW[:4], base64.b64encode(message).decode()]).encode()
    found = bad_row(tmp_path / "bad.tfrecord", row)
    assert found.startswith("the metrics are no protobuf message: ") and problem in found


def test_more_evaluations_than_have_a_meaning(tmp_path):
    message = wire.message_field(1, wire.double_field(1, 4.0)) * 4
    row = json.dumps([*ROW[:4], base64.b64encode(message).decode()]).encode()
    assert "hold 4 evaluations; known are 3: start, halfway and end" in bad_row(tmp_path / "bad.tfrecord", row)


def test_negative_parameter_count(tmp_path):
    message = model_metrics()(trainable_parameters=-3).SerializeToString()
    assert message == wire.varint_field(2, -3)
    row = json.dumps([*ROW[:4], base64.b64encode(message).decode()]).encode()
    assert "count -3 trainable parameters" in bad_row(tmp_path / "bad.tfrecord", row)


def test_error_of_data_without_a_file_has_no_place():
    with pytest.raises(BadRecord) as caught:
        decode_record(b"nothing")
    assert (caught.value.path, caught.value.record, caught.value.offset) == (None, None, None)
    assert str(caught.value).startswith("the row is not JSON")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoder_in_another_way(data):
    for row in (data, json.dumps([*ROW[:4], base64.b64encode(data).decode()]).encode()):
        try:
            record = decode_record(row)
        except BadRecord:
            continue
        assert same(decode_record(encode_record(record)), record)
