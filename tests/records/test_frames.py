"""The frames of a file are read to the letter, and a file that is cut, damaged or something else is told so."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
from record_files import complete_records, header, needed, reading_failure, write_rows

from nplib.errors import UserError
from nplib.records import (
    masked_crc32c,
    read_frames,
    read_records,
)


@pytest.fixture(scope="session")
def three(space, tmp_path_factory) -> tuple[Path, list[int]]:
    """A file of three records, and where their frames start."""
    path = tmp_path_factory.mktemp("records") / "three.tfrecord"
    offsets = write_rows(path, complete_records(space, [3], budgets=(108,)))
    return path, offsets


def test_checksum_is_the_published_one():
    # Check value of CRC-32C (Castagnoli), and the mask of TensorFlow's format.
    crc = 0xE3069283
    assert masked_crc32c(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


@pytest.mark.parametrize("length", range(20))
def test_checksum_of_any_length_equals_the_definition(length):
    data = np.random.default_rng(length).integers(0, 256, length).astype(np.uint8).tobytes()
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    assert masked_crc32c(data) == ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) % 2**32


def test_lengths_are_little_endian(three):
    source, offsets = three
    data = source.read_bytes()
    assert struct.unpack("<Q", data[:8])[0] == offsets[1] - 16


def test_file_written_by_tensorflow_is_read(tmp_path):
    tensorflow = needed("tensorflow")
    rows = [b"[1, 2]", b"", b"x" * 100_000]
    with tensorflow.io.TFRecordWriter(str(tmp_path / "theirs.tfrecord")) as writer:
        for row in rows:
            writer.write(row)
    assert [data for _, data in read_frames(tmp_path / "theirs.tfrecord")] == rows


@pytest.mark.parametrize(
    "content",
    [
        b"# NASBench\n\nThis is a text.\n",
        gzip.compress(b"records" * 100),
        b"<!DOCTYPE html><html><head><title>404 Not Found</title></head></html>",
        bytes(64),
    ],
    ids=["text", "gzip", "html", "zeros"],
)
def test_not_a_tfrecord(tmp_path, content):
    path = tmp_path / "other.tfrecord"
    path.write_bytes(content)
    error = reading_failure(path)
    assert (error.record, error.offset) == (0, 0)
    assert "is not a tfrecord file" in error.problem and repr(content[:12]) in error.problem


def test_hdf5_is_not_a_tfrecord(tmp_path):
    path = tmp_path / "nasbench.hdf5"
    with h5py.File(path, "w") as file:
        file["hash"] = np.zeros(3)
    assert "is not a tfrecord file" in reading_failure(path).problem


def test_empty_file(tmp_path):
    path = tmp_path / "empty.tfrecord"
    path.touch()
    error = reading_failure(path)
    assert (error.record, error.offset) == (0, 0)
    assert "empty" in error.problem


def test_no_such_file(tmp_path):
    with pytest.raises(UserError, match=r"missing\.tfrecord does not exist; name a tfrecord file"):
        list(read_records(tmp_path / "missing.tfrecord"))
    with pytest.raises(UserError, match="is not a regular file"):
        list(read_records(tmp_path))


def test_truncated_anywhere(three, tmp_path):
    source, offsets = three
    whole = source.read_bytes()
    path = tmp_path / "cut.tfrecord"
    ends = [*offsets[1:], len(whole)]
    for size in range(1, len(whole)):
        path.write_bytes(whole[:size])
        if size in ends:
            assert len(list(read_records(path))) == ends.index(size) + 1
            continue
        error = reading_failure(path)
        number = sum(end <= size for end in ends)
        assert (error.record, error.offset) == (number, offsets[number])
        inside = size - offsets[number]
        left = ends[number] - size
        if inside < 12:
            part = "length" if inside < 8 else "checksum of the length"
        else:
            part = "data" if left > 4 else "checksum of the data"
        assert f"the file ends in the {part} of this record" in error.problem


def test_flipped_bit_anywhere(three, tmp_path):
    source, offsets = three
    whole = source.read_bytes()
    path = tmp_path / "flipped.tfrecord"
    for position in range(len(whole)):
        for bit in range(8):
            if (position + bit) % 5:  # a fifth of all, every byte and every bit among them
                continue
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            error = reading_failure(path)
            number = sum(offset <= position for offset in offsets) - 1
            assert (error.record, error.offset) == (number, offsets[number])
            assert "checksum" in error.problem
            if position < 12:
                assert "is not a tfrecord file" in error.problem


@pytest.mark.parametrize("length", [2**63 + 5, 2**64 - 1, 2**40])
def test_absurd_length_with_a_right_checksum_takes_no_memory(three, tmp_path, length):
    path = tmp_path / "absurd.tfrecord"
    path.write_bytes(three[0].read_bytes() + header(length) + b"{}")
    tracemalloc.start()
    error = reading_failure(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert error.record == 3
    assert f"the file ends in the data of this record, after 2 of {length} bytes" in error.problem
    assert peak < 2**20
