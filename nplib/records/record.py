r"""Read and write the records of the official NASBench-101 files, one at a time, in plain sight.

A file is a chain of frames (:mod:`nplib.records.frames`). The data of a frame is one run of one cell, as a JSON array::

    [module_hash, epochs, adjacency, operations, metrics]

The adjacency matrix is V*V characters 0 or 1, row by row; operations are separated by commas; metrics are the base64
of a protobuf message ``ModelMetrics``, which the official files break with ``\n`` after every 76 characters. In the
message every field is optional and further ones may follow: what is absent is NaN (or None), what is unknown is
skipped. Source: ``api.py`` and ``model_metrics.proto`` of google-research/nasbench.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from nplib._files import replacing
from nplib.cell import INPUT, INTERIOR_OPERATIONS, OUTPUT, Cell
from nplib.records import wire
from nplib.records.frames import BadRecord, encode_frame, read_frames

LINE_LENGTH = 76  # of the base64 in the official files
NUM_EVALUATIONS = 3  # start, halfway, end

_FIELDS = ("module hash", "epochs", "adjacency", "operations", "metrics")
_HEX_DIGITS = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Evaluation:
    """What was measured at one point of a run, accuracies as fractions; NaN where the record does not say."""

    current_epoch: float = math.nan
    training_time: float = math.nan  # seconds since the start
    train_accuracy: float = math.nan
    validation_accuracy: float = math.nan
    test_accuracy: float = math.nan


# In the order of their field numbers, from 1.
EVALUATION_FIELDS = tuple(Evaluation.__dataclass_fields__)


@dataclass(frozen=True)
class Record:
    """One run of one cell."""

    module_hash: str  # 32 hexadecimal digits
    epochs: int  # the budget it was trained for
    adjacency: str  # V*V characters 0 or 1, row by row, upper-triangular
    operations: str  # V names, separated by commas
    evaluations: tuple[Evaluation, ...] = ()  # at the start, halfway and at the end; fewer if the record holds fewer
    trainable_parameters: int | None = None
    total_time: float = math.nan  # seconds of training and evaluation together

    @property
    def num_vertices(self) -> int:
        return math.isqrt(len(self.adjacency))

    @property
    def matrix(self) -> np.ndarray:
        """Adjacency matrix, shape (V, V), int8."""
        digits = np.frombuffer(self.adjacency.encode(), dtype=np.int8) - ord("0")
        return digits.reshape(self.num_vertices, self.num_vertices)

    @property
    def cell(self) -> Cell:
        return Cell(self.matrix, tuple(self.operations.split(",")))


def read_records(path: str | os.PathLike) -> Iterator[Record]:
    """Every record of a file, in its order.

    Raises:
        BadRecord: As :func:`nplib.records.frames.read_frames` and :func:`decode_record`, with the place.
    """
    for number, (offset, data) in enumerate(read_frames(path)):
        try:
            record = decode_record(data)
        except BadRecord as error:
            raise error.at(path, number, offset) from error
        yield record


def decode_record(data: bytes) -> Record:
    """The record that is written in the data of a frame.

    Raises:
        BadRecord: If the row is not JSON or has other fields, if the graph is none, if the metrics are not base64 or
            not a protobuf message. What a message lacks is NaN or None, and what it has beyond the known is skipped.
    """
    try:
        row = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"the row is not JSON ({error}); it starts with {data[:40]!r}") from error
    if not isinstance(row, list) or len(row) != len(_FIELDS):
        found = f"an array of {len(row)}" if isinstance(row, list) else f"a {type(row).__name__}"
        raise BadRecord(f"the row is {found}, not an array of {len(_FIELDS)}: {', '.join(_FIELDS)}")
    for name, value, kind in zip(_FIELDS, row, (str, int, str, str, str), strict=True):
        # A bool is an int to Python, but no number of epochs.
        if type(value) is not kind:
            raise BadRecord(f"the {name} in the row is {_short(value)}, which is no {kind.__name__}")
    module_hash, epochs, adjacency, operations, metrics = row
    if len(module_hash) != 32 or not _HEX_DIGITS.issuperset(module_hash):
        raise BadRecord(f"module hash {_short(module_hash)} is not 32 hexadecimal digits (in lower case)")
    if epochs <= 0:
        raise BadRecord(f"epochs are {epochs}; a budget is above 0")
    _check_graph(adjacency, operations)
    try:
        message = binascii.a2b_base64("".join(metrics.split()).encode("ascii"), strict_mode=True)
    except ValueError as error:
        raise BadRecord(f"the metrics are not base64 ({error}): {_short(metrics)}") from error
    try:
        return Record(module_hash, epochs, adjacency, operations, *_decode_metrics(message))
    except wire.MalformedMessage as error:
        raise BadRecord(f"the metrics are no protobuf message: {error}") from error


def encode_record(record: Record, *, wrapped: bool = False) -> bytes:
    r"""The data of a frame that holds the record; NaN and None are left out.

    ``wrapped`` breaks the base64 with ``\n`` after every 76 characters and at its end, as the official files do.
    """
    message = b"".join(wire.message_field(1, _encode_evaluation(evaluation)) for evaluation in record.evaluations)
    if record.trainable_parameters is not None:
        message += wire.varint_field(2, record.trainable_parameters)
    if not math.isnan(record.total_time):
        message += wire.double_field(3, record.total_time)
    encoded = base64.b64encode(message).decode()
    if wrapped:
        encoded = "".join(f"{encoded[k : k + LINE_LENGTH]}\n" for k in range(0, len(encoded), LINE_LENGTH))
    row = [record.module_hash, record.epochs, record.adjacency, record.operations, encoded]
    return json.dumps(row).encode()


def write_records(target: str | os.PathLike, records: Iterable[Record], overwrite: bool = False) -> int:
    """Write records to a file in the official format; returns their number.

    Raises:
        TargetExists: If there is a file and ``overwrite`` is false.
    """
    count = 0
    with replacing(target, overwrite) as partial, open(partial, "wb") as file:
        for record in records:
            file.write(encode_frame(encode_record(record)))
            count += 1
    return count


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]} ..."


def _check_graph(adjacency: str, operations: str) -> None:
    """Raise unless this is an upper-triangular matrix with an operation for every vertex."""
    size = math.isqrt(len(adjacency))
    if size * size != len(adjacency) or size < 2:
        raise BadRecord(
            f"the adjacency matrix has {len(adjacency)} characters, which are not V*V for any V of 2 or more vertices"
        )
    if adjacency.strip("01"):
        raise BadRecord(f"the adjacency matrix {_short(adjacency)} holds other characters than 0 and 1")
    for vertex in range(size):
        if "1" in adjacency[vertex * size : vertex * size + vertex + 1]:
            raise BadRecord(f"an edge from vertex {vertex} does not go forward; the matrix must be upper-triangular")
    names = operations.split(",")
    if len(names) != size:
        raise BadRecord(f"{len(names)} operations for {size} vertices: {_short(operations)}")
    if names[0] != INPUT or names[-1] != OUTPUT:
        raise BadRecord(f"operations run from {_short(names[0])} to {_short(names[-1])}, not from input to output")
    for vertex, name in enumerate(names[1:-1], start=1):
        if name not in INTERIOR_OPERATIONS:
            raise BadRecord(
                f"vertex {vertex} has the unknown operation {_short(name)}; known are {', '.join(INTERIOR_OPERATIONS)}"
            )


def _decode_metrics(message: bytes) -> tuple[tuple[Evaluation, ...], int | None, float]:
    """``ModelMetrics``: its evaluations, trainable parameters and total time."""
    evaluations = []
    parameters = None
    total_time = math.nan
    for number, kind, value in wire.fields(message):
        if (number, kind) == (1, wire.LENGTH):
            evaluations.append(_decode_evaluation(value))
        elif (number, kind) == (2, wire.VARINT):
            parameters = wire.read_int32(value)
        elif (number, kind) == (3, wire.FIXED64):
            total_time = wire.read_double(value)
    if len(evaluations) > NUM_EVALUATIONS:
        raise BadRecord(
            f"the metrics hold {len(evaluations)} evaluations; known are {NUM_EVALUATIONS}: start, halfway and end"
        )
    if parameters is not None and parameters < 0:
        raise BadRecord(f"the metrics count {parameters} trainable parameters")
    return tuple(evaluations), parameters, total_time


def _decode_evaluation(message: bytes) -> Evaluation:
    found = {
        EVALUATION_FIELDS[number - 1]: wire.read_double(value)
        for number, kind, value in wire.fields(message)
        if kind == wire.FIXED64 and number <= len(EVALUATION_FIELDS)
    }
    return Evaluation(**found)


def _encode_evaluation(evaluation: Evaluation) -> bytes:
    values = enumerate((getattr(evaluation, name) for name in EVALUATION_FIELDS), start=1)
    return b"".join(wire.double_field(number, value) for number, value in values if not math.isnan(value))
