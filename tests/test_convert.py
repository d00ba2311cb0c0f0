"""Conversion keeps every figure, in its place, and leaves alone what it was not asked to replace."""

import base64
import json
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from record_files import (
    assert_same_files,
    complete_records,
    decoded,
    evaluation,
    make_records,
    model_metrics,
    needed,
    stored,
    with_end,
    write_rows,
)

from nplib import convert
from nplib._files import TargetExists, sha256_of
from nplib._layout import BUDGETS, METRICS
from nplib.benchmark import Benchmark
from nplib.cell import OPERATION_CODES
from nplib.convert import Conversion, convert_tfrecord
from nplib.errors import UserError
from nplib.records import BadRecord, Record, encode_record, read_records
from nplib.records.assembly import Assembly
from nplib.records.decoding import ODD, Rows, decode_rows, scan_frames
from nplib.records.frames import encode_frame


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


def test_source_is_named_after_the_official_file_or_the_file(made, tmp_path, monkeypatch):
    target = tmp_path / "out.hdf5"
    assert convert_tfrecord(made, target).source_name == "made.tfrecord"
    benchmark = Benchmark.open(target)
    assert (benchmark.source, benchmark.sha256) == ("made.tfrecord", sha256_of(made))
    assert benchmark.labels == "three runs at each of 4, 12, 36 and 108 epochs"
    monkeypatch.setitem(convert.SOURCES, sha256_of(made), "only108")
    assert convert_tfrecord(made, target, overwrite=True).source_name == "only108"


def test_what_is_no_official_file_is_converted_with_a_warning(shared, tmp_path, monkeypatch, caplog):
    path = shared / "faults" / "cut_at_cell.tfrecord"
    done = convert_tfrecord(path, tmp_path / "out.hdf5")
    (warning,) = (record.getMessage() for record in caplog.records)
    assert f"{path} is none of the official files, which hold 423,624 cells" in warning
    assert f"it has {done.cells} cells and SHA-256 {done.sha256}" in warning and done.cells == len(
        Benchmark.open(tmp_path / "out.hdf5")
    )
    caplog.clear()
    monkeypatch.setitem(convert.SOURCES, done.sha256, "only108")
    convert_tfrecord(path, tmp_path / "out.hdf5", overwrite=True)
    assert not caplog.records


def test_a_name_that_is_no_utf8_is_converted(made, tmp_path):
    source = tmp_path / os.fsdecode(b"caf\xe9.tfrecord")
    shutil.copy(made, source)
    target = tmp_path / os.fsdecode(b"caf\xe9.hdf5")
    assert convert_tfrecord(source, target).source_name == Benchmark.open(target).source == "caf\ufffd.tfrecord"


def test_progress_shows_rate_and_time_left(made, tmp_path, capfd):
    convert_tfrecord(made, tmp_path / "out.hdf5")
    assert capfd.readouterr().err == ""
    convert_tfrecord(made, tmp_path / "again.hdf5", progress=True)
    shown = capfd.readouterr().err
    assert "made.tfrecord: 100%" in shown and "B/s" in shown and "<00:00" in shown


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
    assert conversion.records_per_second == 6.0


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


def test_failed_conversion_leaves_an_existing_target(space, made, tmp_path):
    target = tmp_path / "out.hdf5"
    convert_tfrecord(made, target)
    before = sha256_of(target)
    write_rows(tmp_path / "bad.tfrecord", complete_records(space, [3], budgets=(108,))[:-1])
    with pytest.raises(BadRecord):
        convert_tfrecord(tmp_path / "bad.tfrecord", target, overwrite=True)
    assert sha256_of(target) == before
