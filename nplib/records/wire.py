"""The wire format of protobuf, without a schema: fields of a message as (number, wire type, value).

Source: the encoding page of the Protocol Buffers documentation.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, LENGTH, GROUP_START, GROUP_END, FIXED32 = range(6)
DEEPEST_GROUP = 100

_DOUBLE = struct.Struct("<d")
_FIXED_BYTES = {FIXED64: 8, FIXED32: 4}


class MalformedMessage(ValueError):
    """Bytes are no protobuf message; says what is wrong with them."""


def fields(message: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Number, wire type and value of every field: an int (below 2^64) for varints, bytes for the rest.

    Groups, long out of use, are left out with all they hold.

    Raises:
        MalformedMessage: If the message is cut off, or a field has no number or an unknown wire type.
    """
    groups: list[int] = []
    at = 0
    while at < len(message):
        key, at = read_varint(message, at)
        number, wire = key >> 3, key & 7
        if number == 0 or key >= 2**32:
            raise MalformedMessage(f"key {key} before byte {at} names no field")
        value: int | bytes = b""
        if wire == VARINT:
            value, at = read_varint(message, at)
        elif wire in (FIXED64, FIXED32, LENGTH):
            length = _FIXED_BYTES.get(wire)
            if length is None:
                length, at = read_varint(message, at)
            value = message[at : at + length]
            if len(value) < length:
                raise MalformedMessage(f"field {number} is to hold {length} bytes and {len(value)} are left")
            at += length
        elif wire == GROUP_START and len(groups) < DEEPEST_GROUP:
            groups.append(number)
            continue
        elif wire == GROUP_END and groups and groups[-1] == number:
            groups.pop()
            continue
        else:
            raise MalformedMessage(f"field {number} has wire type {wire}, which cannot be there")
        if not groups:
            yield number, wire, value
    if groups:
        raise MalformedMessage(f"group {groups[-1]} does not end")


def read_varint(message: bytes, at: int) -> tuple[int, int]:
    """A number written in 7 bits a byte, lowest first, and where to go on."""
    value = 0
    for k, byte in enumerate(message[at : at + 10]):
        value |= (byte & 127) << 7 * k
        if byte < 128:
            return value % 2**64, at + k + 1
    raise MalformedMessage(f"the number at byte {at} of {len(message)} does not end")


def read_double(value: bytes) -> float:
    return _DOUBLE.unpack(value)[0]


def read_int32(value: int) -> int:
    """The signed number that a varint field of type int32 holds: its low 32 bits."""
    return (value + 2**31) % 2**32 - 2**31


def varint_bytes(value: int) -> bytes:
    parts = bytearray()
    while value >= 128:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _key(number: int, wire: int) -> bytes:
    return varint_bytes(number << 3 | wire)


def varint_field(number: int, value: int) -> bytes:
    return _key(number, VARINT) + varint_bytes(value % 2**64)


def double_field(number: int, value: float) -> bytes:
    return _key(number, FIXED64) + _DOUBLE.pack(value)


def message_field(number: int, message: bytes) -> bytes:
    return _key(number, LENGTH) + varint_bytes(len(message)) + message
