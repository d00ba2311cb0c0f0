"""The frames of a TFRecord file: a chain of byte strings, each with its length and two checksums.

A frame is::

    uint64 length | uint32 masked CRC32C of these 8 bytes | data | uint32 masked CRC32C of the data

all little-endian, where masked means rotated right by 15 bits and increased by 0xa282ead8. Source: TensorFlow's
description of the format. :mod:`nplib.records` says what NASBench-101 keeps in the data.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nplib._files import expand
from nplib.errors import UserError

HEADER = struct.Struct("<QI")  # length of the data, checksum of the length
FOOTER = struct.Struct("<I")  # checksum of the data


class BadRecord(UserError):
    """A record, or what should be one, cannot be used.

    Its path, record (counted from 0) and offset (bytes, of its frame) are None where data came from no file.
    """

    def __init__(
        self,
        problem: str,
        path: str | os.PathLike | None = None,
        record: int | None = None,
        offset: int | None = None,
    ) -> None:
        place = "" if path is None else f"{path}: record {record} (counted from 0), at byte {offset}: "
        super().__init__(place + problem)
        self.problem = problem
        self.path = None if path is None else Path(path)
        self.record = record
        self.offset = offset

    def at(self, path: str | os.PathLike, record: int, offset: int) -> BadRecord:
        """The same problem with its place."""
        return BadRecord(self.problem, path, record, offset)


def masked_crc32c(data: bytes) -> int:
    """Checksum of TFRecord files: CRC32C (Castagnoli), rotated right by 15 bits, plus 0xa282ead8."""
    from nplib.records import decoding  # compiled: not loaded by whoever only decodes single rows

    return int(decoding.masked_crc32c(np.frombuffer(bytearray(data), dtype=np.uint8), 0, len(data)))


def read_frame(file: BinaryIO, path: str | os.PathLike, record: int, offset: int, size: int) -> bytes | None:
    """The data of the frame that starts at ``offset``, both checksums checked; None at the end of the file.

    A length that goes beyond the size of the file, in bytes, is never believed.

    Raises:
        BadRecord: If the file is cut off here, or a checksum does not fit; it names path, record and offset.
    """

    def bad(problem: str) -> BadRecord:
        return BadRecord(problem, path, record, offset)

    def check_whole(part: str, found: int, wanted: int) -> None:
        if found < wanted:
            raise bad(
                f"the file ends in the {part} of this record, after {found} of {wanted} bytes; it was cut off, so get "
                "it again, whole"
            )

    def check_sum(part: str, data: bytes, stored: int) -> None:
        if (computed := masked_crc32c(data)) != stored:
            raise bad(
                f"the checksum of its {part} is {computed:#010x} and the file says {stored:#010x}; the file is damaged "
                "here, so get it again"
            )

    header = file.read(HEADER.size)
    if not header:
        return None
    check_whole("length", len(header), 8)
    check_whole("checksum of the length", len(header) - 8, 4)
    length, stored = HEADER.unpack(header)
    if record == 0 and masked_crc32c(header[:8]) != stored:
        raise bad(
            f"this is not a tfrecord file; its first bytes are {header!r}, where a length and its checksum should be. "
            "Name a file such as nasbench_full.tfrecord (not packed, and not an HDF5 made from it), or get it again if "
            "its start is damaged"
        )
    check_sum(f"length {length}", header[:8], stored)
    check_whole("data", size - offset - HEADER.size, length)
    data, footer = file.read(length), file.read(FOOTER.size)
    check_whole("data", len(data), length)
    check_whole("checksum of the data", len(footer), FOOTER.size)
    check_sum(f"{length} bytes of data", data, *FOOTER.unpack(footer))
    return data


def open_records(path: str | os.PathLike) -> tuple[BinaryIO, int]:
    """Open a file of records: the file and its size in bytes.

    Raises:
        UserError: If there is no such file, or it cannot be read.
        BadRecord: If it is empty.
    """
    path = expand(path)
    if not path.exists():
        raise UserError(f"{path} does not exist; name a tfrecord file such as nasbench_full.tfrecord")
    if not path.is_file():
        raise UserError(f"{path} is not a regular file; name a tfrecord file such as nasbench_full.tfrecord")
    try:
        file = open(path, "rb")  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        file.close()
        raise BadRecord("the file is empty; get it again", path, 0, 0)
    return file, size


def read_frames(path: str | os.PathLike) -> Iterator[tuple[int, bytes]]:
    """Byte offset and data of every frame of a file, both checksums checked.

    Raises:
        BadRecord: If the file is empty, is no tfrecord, is cut off or damaged; see
            :func:`~nplib.records.frames.read_frame`.
    """
    file, size = open_records(path)
    with file:
        record = offset = 0
        while (data := read_frame(file, path, record, offset, size)) is not None:
            yield offset, data
            offset += HEADER.size + len(data) + FOOTER.size
            record += 1


def encode_frame(data: bytes) -> bytes:
    """A TFRecord frame around the data."""
    length = struct.pack("<Q", len(data))
    return length + FOOTER.pack(masked_crc32c(length)) + data + FOOTER.pack(masked_crc32c(data))
