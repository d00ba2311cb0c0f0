"""Records and files of them for tests, and what other people's code makes of the same bytes."""

import importlib
import math
import os
import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest
from hypothesis import strategies as st

from nplib._layout import BUDGETS, LAYOUT, RUNS
from nplib.cell import INTERIOR_OPERATIONS
from nplib.convert import convert_tfrecord
from nplib.records import EVALUATION_FIELDS, BadRecord, Evaluation, Record, encode_record, masked_crc32c, read_records
from nplib.records.decoding import Rows, decode_rows, scan_frames
from nplib.records.frames import encode_frame
from nplib.space import Space

PROJECT = Path(__file__).parents[2]
NUM_STEPS = 9984


finite = st.floats(allow_nan=False)
evaluations = st.builds(Evaluation, *[finite | st.just(math.nan)] * 5)


@st.composite
def records(draw: st.DrawFn, max_vertices: int = 7) -> Record:
    """Any record of the format: any forward graph, connected or not, with any metrics present or absent."""
    size = draw(st.integers(2, max_vertices))
    matrix = np.zeros((size, size), dtype=int)
    matrix[np.triu_indices(size, 1)] = draw(
        st.lists(st.integers(0, 1), min_size=size * (size - 1) // 2, max_size=size * (size - 1) // 2)
    )
    interior = draw(st.lists(st.sampled_from(INTERIOR_OPERATIONS), min_size=size - 2, max_size=size - 2))
    return Record(
        module_hash=draw(st.text("0123456789abcdef", min_size=32, max_size=32)),
        epochs=draw(st.sampled_from([4, 12, 36, 108]) | st.integers(1, 10**12)),
        adjacency="".join(map(str, matrix.ravel())),
        operations=",".join(["input", *interior, "output"]),
        evaluations=tuple(draw(st.lists(evaluations, max_size=3))),
        trainable_parameters=draw(st.none() | st.integers(0, 2**31 - 1)),
        total_time=draw(finite | st.just(math.nan)),
    )


def needed(module: str) -> ModuleType:
    """A module that is optional for users, but not where the project is tested."""
    if os.environ.get("CI") == "true":
        return importlib.import_module(module)
    return pytest.importorskip(module)


def evaluation(rng: np.random.Generator, epoch: float) -> Evaluation:
    accuracies = rng.integers(1, NUM_STEPS, 3) / NUM_STEPS
    return Evaluation(float(epoch), float(epoch) * 17.25, *(float(np.float32(value)) for value in accuracies))


def record_of(space: Space, index: int, epochs: int, rng: np.random.Generator) -> Record:
    cell = space.cell(index)
    return Record(
        module_hash=cell.module_hash,
        epochs=epochs,
        adjacency="".join(str(edge) for edge in cell.matrix.ravel()),
        operations=",".join(cell.operations),
        evaluations=tuple(evaluation(rng, epochs * part) for part in (0, 0.5, 1)),
        trainable_parameters=cell.trainable_parameters,
        total_time=epochs * 20.5,
    )


def complete_records(space: Space, indices: Sequence[int], budgets: Sequence[int] = BUDGETS, seed: int = 0) -> list:
    """Three runs of every cell at every budget, shuffled."""
    rng = np.random.default_rng(seed)
    records = [record_of(space, i, epochs, rng) for i in indices for epochs in budgets for _ in range(RUNS)]
    return [records[k] for k in rng.permutation(len(records))]


def write_rows(path: Path, rows: Iterable[Record | bytes]) -> list[int]:
    """Write records, or the data of frames as it is; returns where each frame starts."""
    offsets = [0]
    with open(path, "wb") as file:
        for row in rows:
            frame = encode_frame(row if isinstance(row, bytes) else encode_record(row))
            file.write(frame)
            offsets.append(offsets[-1] + len(frame))
    return offsets[:-1]


def header(length: int) -> bytes:
    """A length as a frame starts, with the checksum that belongs to it."""
    octets = struct.pack("<Q", length)
    return octets + struct.pack("<I", masked_crc32c(octets))


def with_end(record: Record, **values: float) -> Record:
    """The record with other figures at its end."""
    return replace(record, evaluations=(*record.evaluations[:2], replace(record.evaluations[2], **values)))


@cache
def model_metrics() -> type:
    """The message class of ``ModelMetrics`` from Google's own protobuf library."""
    descriptor_pb2 = needed("google.protobuf.descriptor_pb2")
    descriptor_pool = needed("google.protobuf.descriptor_pool")
    message_factory = needed("google.protobuf.message_factory")
    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="model_metrics.proto", package="nasbench", syntax="proto2")
    evaluation_data = file.message_type.add(name="EvaluationData")
    for number, name in enumerate(EVALUATION_FIELDS, start=1):
        evaluation_data.field.add(name=name, number=number, type=kind.TYPE_DOUBLE, label=kind.LABEL_OPTIONAL)
    evaluation_data.field.add(name="checkpoint_path", number=6, type=kind.TYPE_STRING, label=kind.LABEL_OPTIONAL)
    message = file.message_type.add(name="ModelMetrics")
    message.field.add(
        name="evaluation_data",
        number=1,
        type=kind.TYPE_MESSAGE,
        type_name=".nasbench.EvaluationData",
        label=kind.LABEL_REPEATED,
    )
    message.field.add(name="trainable_parameters", number=2, type=kind.TYPE_INT32, label=kind.LABEL_OPTIONAL)
    message.field.add(name="total_time", number=3, type=kind.TYPE_DOUBLE, label=kind.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("nasbench.ModelMetrics"))


def stored(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file}


def assert_same_files(one: Path, other: Path) -> None:
    first, second = stored(one), stored(other)
    assert set(first) == set(second) == set(LAYOUT)
    for name, array in first.items():
        assert array.dtype == second[name].dtype and array.shape == second[name].shape
        assert array.tobytes() == second[name].tobytes(), name


def conversion_failure(source: Path, **options) -> BadRecord:
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


def make_records(target: Path, *options: str) -> Path:
    script = PROJECT / "benchmarks" / "make_records.py"
    subprocess.run([sys.executable, script, target, *options], check=True, capture_output=True)
    return target


def decoded(rows: list[bytes]) -> Rows:
    """What the compiled decoder makes of the data of some frames."""
    data = np.frombuffer(bytearray(b"".join(map(encode_frame, rows))), dtype=np.uint8)
    starts = np.empty(len(rows) + 2, dtype=np.int64)
    count, sound = scan_frames(data, len(data), starts)
    assert (count, sound, starts[count]) == (len(rows), True, len(data))
    result = Rows.empty(count)
    decode_rows(data, starts[: count + 1], result)
    return result


def reading_failure(path: Path) -> BadRecord:
    """The error of reading a file record by record, which must name its place."""
    with pytest.raises(BadRecord) as caught:
        list(read_records(path))
    error = caught.value
    assert error.path == path
    assert str(error).startswith(f"{path}: record {error.record} (counted from 0), at byte {error.offset}: ")
    return error
