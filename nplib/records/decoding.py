"""The compiled fast path of :mod:`nplib.convert`: checksums, frames and rows of the official files, into arrays.

:mod:`nplib.records` says what the format is and reads all of it. This reads the layouts that the official files have,
a hundred times faster, and is sure of what it takes: any row that departs from them is left for the other. So there
is one place that decides what an odd row means and one that words the errors, and it is not here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nplib._compiled import compiled
from nplib.cell import CONV1X1, CONV3X3, INPUT, MAX_VERTICES, MAXPOOL3X3, OPERATION_CODES, OUTPUT

# What became of a row.
DECODED = 0
ODD = 1  # not of the layout known here; the general decoder says what it is
DAMAGED = 2  # the checksum of the data does not fit

UNKNOWN_PARAMETERS = 0  # as in :class:`nplib.benchmark.Benchmark`

HEADER_BYTES = 12  # length and its checksum
FRAME_BYTES = 16  # and the checksum of the data

# More than any official row needs (155); a longer message is odd.
MESSAGE_BYTES = 1024

_POLYNOMIAL = 0x82F63B78  # Castagnoli, bits reversed
_MASK_DELTA = 0xA282EAD8
_INTERIOR = (CONV3X3, CONV1X1, MAXPOOL3X3)


def _crc_tables() -> np.ndarray:
    """Remainders of a byte that 0..7 zero bytes follow, shape (8, 256): eight bytes go through in one step."""
    one = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        one = (one >> 1) ^ np.where(one & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    tables = [one]
    for _ in range(7):
        tables.append((tables[-1] >> 8) ^ one[tables[-1] & 255])
    return np.stack(tables)


def _base64_values() -> np.ndarray:
    """Six bits of every base64 character, 64 for ``=``, 255 for what is none; shape (256,)."""
    values = np.full(256, 255, dtype=np.uint8)
    values[list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")] = np.arange(65)
    return values


def _text(text: str, width: int) -> np.ndarray:
    return np.frombuffer(text.encode().ljust(width, b"\0"), dtype=np.uint8)


CRC = _crc_tables()
BASE64 = _base64_values()
NAMES = np.stack([_text(name, 16) for name in _INTERIOR])
NAME_BYTES = np.array([len(name) for name in _INTERIOR])
CODES = np.array([OPERATION_CODES[name] for name in _INTERIOR])
ROW_START = _text('["', 2)
FIRST_NAME = _text(f'"{INPUT}', 6)
LAST_NAME = _text(f',{OUTPUT}"', 8)
SEPARATOR = _text('"', 1)
ROW_END = _text('"]', 2)


class Rows(NamedTuple):
    """Decoded records of one block of a file, N of them.

    ``bits`` and ``opcodes`` write a graph as :mod:`nplib.space` does. Metrics are [halfway/end,
    time/train/validation/test], NaN where absent; parameters are ``UNKNOWN_PARAMETERS`` where absent.
    """

    hashes: np.ndarray  # (N, 32) uint8
    epochs: np.ndarray  # (N,) int32
    vertices: np.ndarray  # (N,) int8
    bits: np.ndarray  # (N,) int32
    opcodes: np.ndarray  # (N,) int32
    parameters: np.ndarray  # (N,) int32
    metrics: np.ndarray  # (N, 2, 4) float32
    state: np.ndarray  # (N,) uint8: DECODED, ODD or DAMAGED

    @classmethod
    def empty(cls, count: int) -> Rows:
        """Room for ``count`` records."""
        shapes = ((32,), (), (), (), (), (), (2, 4), ())
        types = ("u1", "i4", "i1", "i4", "i4", "i4", "f4", "u1")
        return cls(*(np.empty((count, *shape), dtype=kind) for shape, kind in zip(shapes, types, strict=True)))


@compiled
def masked_crc32c(data, start, stop):
    """Masked CRC32C of ``data[start:stop]``, uint8, as TFRecord files store it."""
    crc = np.uint32(0xFFFFFFFF)
    at = start
    while at + 8 <= stop:
        first = np.uint32(data[at]) | np.uint32(data[at + 1]) << np.uint32(8)
        first |= np.uint32(data[at + 2]) << np.uint32(16) | np.uint32(data[at + 3]) << np.uint32(24)
        first ^= crc
        crc = CRC[7, first & 255] ^ CRC[6, (first >> 8) & 255] ^ CRC[5, (first >> 16) & 255] ^ CRC[4, first >> 24]
        crc ^= CRC[3, data[at + 4]] ^ CRC[2, data[at + 5]] ^ CRC[1, data[at + 6]] ^ CRC[0, data[at + 7]]
        at += 8
    while at < stop:
        crc = CRC[0, (crc ^ data[at]) & 255] ^ (crc >> np.uint32(8))
        at += 1
    crc = np.uint32(crc ^ np.uint32(0xFFFFFFFF))
    return np.uint32(np.uint32(crc >> np.uint32(15) | crc << np.uint32(17)) + np.uint32(_MASK_DELTA))


@compiled
def _stored(data, at, size):
    """The number of ``size`` bytes, little-endian."""
    value = np.uint64(0)
    for k in range(size):
        value |= np.uint64(data[at + k]) << np.uint64(8 * k)
    return value


@compiled
def scan_frames(data, size, starts):
    """Find the frames that lie whole in ``data[:size]``; data checksums are left to :func:`decode_rows`.

    ``starts``, int64, with room for ``size // 16 + 1``, receives where every frame starts, and after the last one where
    it ends. Returns how many there are, and whether the length after them is sound: false if it does not fit its
    checksum, true if the next frame only goes on beyond ``size``.
    """
    count = 0
    at = 0
    sound = True
    starts[0] = 0
    while at + HEADER_BYTES <= size:
        if masked_crc32c(data, at, at + 8) != _stored(data, at + 8, 4):
            sound = False
            break
        length = np.int64(_stored(data, at, 8))
        # A length of 2^63 or more looks negative; no file holds that.
        if length < 0 or length > size - at - FRAME_BYTES:
            break
        at += FRAME_BYTES + length
        count += 1
        starts[count] = at
    return count, sound


@compiled
def _after(data, at, stop, text):
    """Where to go on after ``text`` at ``at``; -1 if something else is there, or if ``at`` is -1 already."""
    if at < 0 or at + len(text) > stop:
        return -1
    for k in range(len(text)):
        if data[at + k] != text[k]:
            return -1
    return at + len(text)


@compiled
def _after_comma(data, at, stop):
    """Where to go on after a comma between fields and at most one space."""
    if at < 0 or at + 1 >= stop or data[at] != 44:
        return -1
    return at + 2 if data[at + 1] == 32 else at + 1


@compiled
def _read_hash(data, at, stop, hashes, i):
    if at < 0 or at + 32 > stop:
        return -1
    for k in range(32):
        character = data[at + k]
        if not (48 <= character <= 57 or 97 <= character <= 102):
            return -1
        hashes[i, k] = character
    return at + 32


@compiled
def _read_integer(data, at, stop):
    """A positive integer of at most nine digits: (value, where to go on)."""
    if at < 0 or at >= stop or data[at] == 48:
        return 0, -1
    value = 0
    start = at
    while at < stop and 48 <= data[at] <= 57:
        value = value * 10 + data[at] - 48
        at += 1
    if at == start or at > start + 9:
        return 0, -1
    return value, at


@compiled
def _read_adjacency(data, at, stop):
    """An upper-triangular matrix in quotes: (vertices, edge bits, where to go on)."""
    if at < 0 or at >= stop or data[at] != 34:
        return 0, 0, -1
    at += 1
    size = 2
    while size <= MAX_VERTICES and (at + size * size >= stop or data[at + size * size] != 34):
        size += 1
    if size > MAX_VERTICES:
        return 0, 0, -1
    bits = 0
    for x in range(size):
        for y in range(size):
            character = data[at]
            if character == 49 and y > x:
                bits |= 1 << (x + y * (y - 1) // 2)
            elif character != 48:
                return 0, 0, -1
            at += 1
    return size, bits, at + 1


@compiled
def _read_operations(data, at, stop, size):
    """``size`` names in quotes: (opcode, where to go on)."""
    at = _after(data, at, stop, FIRST_NAME)
    opcode = 0
    weight = 1
    for _ in range(size - 2):
        if at < 0 or at >= stop or data[at] != 44:
            return 0, -1
        kind = 2
        while kind > 0 and _after(data, at + 1, stop, NAMES[kind, : NAME_BYTES[kind]]) < 0:
            kind -= 1
        at = _after(data, at + 1, stop, NAMES[kind, : NAME_BYTES[kind]])
        opcode += weight * CODES[kind]
        weight *= 3
    return opcode, _after(data, at, stop, LAST_NAME)


@compiled
def _read_base64(data, at, stop, message):
    r"""Base64 up to the next quote: (bytes written to ``message``, where to go on, at the quote).

    The official files break it with ``\n`` after every 76 characters.
    """
    size = 0
    ended = False
    while at >= 0 and at + 1 < stop:
        if data[at] == 34:
            return size, at
        if data[at] == 92:
            if data[at + 1] != 110:
                break
            at += 2
            continue
        if ended or at + 4 > stop or size + 3 > MESSAGE_BYTES:
            break
        a, b, c, d = BASE64[data[at]], BASE64[data[at + 1]], BASE64[data[at + 2]], BASE64[data[at + 3]]
        if (a | b) >= 64:
            break
        if (c | d) < 64:
            used = 3
        elif c < 64 and d == 64 and c & 3 == 0:
            used = 2
            d = 0
        elif c == 64 and d == 64 and b & 15 == 0:
            used = 1
            c = d = 0
        else:
            break
        ended = used < 3
        three = np.uint32(a) << 18 | np.uint32(b) << 12 | np.uint32(c) << 6 | np.uint32(d)
        message[size] = three >> 16
        message[size + 1] = (three >> 8) & 255
        message[size + 2] = three & 255
        size += used
        at += 4
    return 0, -1


@compiled
def _read_varint(message, at, stop):
    """A number below 2^35: (value, where to go on)."""
    value = 0
    for k in range(5):
        if at + k >= stop:
            return 0, -1
        value |= (np.int64(message[at + k]) & 127) << (7 * k)
        if message[at + k] < 128:
            return value, at + k + 1
    return 0, -1


@compiled
def _next_field(message, at, stop):
    """One field of a protobuf message: (number, wire type, value or length, its first byte, where to go on)."""
    tag, at = _read_varint(message, at, stop)
    number, wire = tag >> 3, tag & 7
    if at < 0 or number == 0 or tag > 0xFFFFFFFF:
        return 0, 0, 0, 0, -1
    value = 0
    end = -1
    if wire == 0:
        value, end = _read_varint(message, at, stop)
    elif wire == 1:
        end = at + 8
    elif wire == 2:
        value, at = _read_varint(message, at, stop)
        end = at + value if at >= 0 else -1
    elif wire == 5:
        end = at + 4
    if end > stop:
        end = -1
    return number, wire, value, at, end


@compiled
def _read_metrics(message, size, metrics, i):
    """The message of one record, with metrics into ``metrics[i]``: (parameters, whether all went well)."""
    metrics[i] = np.nan
    parameters = np.int64(UNKNOWN_PARAMETERS)
    evaluations = 0
    at = 0
    while at < size:
        number, wire, value, start, at = _next_field(message, at, size)
        if at < 0:
            return parameters, False
        if number == 2 and wire == 0:
            if value > 0x7FFFFFFF:
                return parameters, False
            parameters = value
        elif number == 1 and wire == 2:
            if evaluations == 3:
                return parameters, False
            inner = start
            while inner < at:
                field, kind, _, first, inner = _next_field(message, inner, at)
                if inner < 0:
                    return parameters, False
                if kind == 1 and 2 <= field <= 5 and evaluations > 0:
                    metrics[i, evaluations - 1, field - 2] = np.uint64(_stored(message, first, 8)).view(np.float64)
            evaluations += 1
    return parameters, True


@compiled
def _decode_row(data, at, stop, rows, i, message):
    at = _after(data, at, stop, ROW_START)
    at = _read_hash(data, at, stop, rows.hashes, i)
    at = _after_comma(data, _after(data, at, stop, SEPARATOR), stop)
    rows.epochs[i], at = _read_integer(data, at, stop)
    rows.vertices[i], rows.bits[i], at = _read_adjacency(data, _after_comma(data, at, stop), stop)
    rows.opcodes[i], at = _read_operations(data, _after_comma(data, at, stop), stop, rows.vertices[i])
    at = _after(data, _after_comma(data, at, stop), stop, SEPARATOR)
    size, at = _read_base64(data, at, stop, message)
    if _after(data, at, stop, ROW_END) != stop:
        return False
    rows.parameters[i], sure = _read_metrics(message, size, rows.metrics, i)
    return sure


@compiled
def decode_rows(data, starts, rows):
    """Check and decode the frames of ``data`` that begin at ``starts[:-1]``, into ``rows``, and set their state."""
    message = np.empty(MESSAGE_BYTES, dtype=np.uint8)
    for i in range(len(starts) - 1):
        start = starts[i] + HEADER_BYTES
        stop = starts[i + 1] - 4
        if masked_crc32c(data, start, stop) != _stored(data, stop, 4):
            rows.state[i] = DAMAGED
        elif _decode_row(data, start, stop, rows, i, message):
            rows.state[i] = DECODED
        else:
            rows.state[i] = ODD
