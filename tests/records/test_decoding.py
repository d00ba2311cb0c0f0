"""The compiled decoder takes no row that the general one would read otherwise, and takes the usual ones."""

import base64
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_files import (
    complete_records,
    decoded,
    records,
)

from nplib._layout import METRICS
from nplib.records import Evaluation, Record, decode_record, encode_record
from nplib.records.decoding import DECODED, ODD, UNKNOWN_PARAMETERS, Rows
from nplib.space import edge_bits, opcodes

# Bytes that mean something in a protobuf message, as key, length or last byte of a number, and some that do not.
VALUES = [*range(1, 48, 2), 0, 8, 10, 16, 26, 45, 72, 123, 124, 125, 127, 128, 144, 255]


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
