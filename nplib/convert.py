"""Convert an official tfrecord file of NASBench-101 to the HDF5 that everything here reads.

The file streams through in blocks. One thread finds frames and puts results in place, in order; others decode blocks
(:mod:`nplib.records.decoding`). Rows of an unusual layout, and everything that is wrong, go to :mod:`nplib.records`.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import shutil
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from nplib._files import check_target, expand
from nplib._layout import BUDGETS, LAYOUT, RUNS
from nplib.benchmark import REAL, Benchmark
from nplib.cell import MAX_VERTICES, OPERATION_CODES
from nplib.errors import UserError, printable
from nplib.records.assembly import Assembly, budget_problem
from nplib.records.decoding import DAMAGED, DECODED, FRAME_BYTES, UNKNOWN_PARAMETERS, Rows, decode_rows, scan_frames
from nplib.records.frames import HEADER, BadRecord, open_records, read_frame
from nplib.records.official_files import OFFICIAL_FILES
from nplib.records.record import EVALUATION_FIELDS, Record, decode_record
from nplib.space import SPACE_SIZE, load_space

logger = logging.getLogger(__name__)

SOURCES = {file.sha256: which for which, file in OFFICIAL_FILES.items()}

BLOCK_BYTES = 4 * 2**20
LOOK_AHEAD = 6  # blocks that are read before the first of them is put in place
# No official record takes more; it tells how many there are at least, and so how much room they need.
RECORD_BYTES = 450


@dataclass(frozen=True)
class Conversion:
    """What was converted."""

    source: Path
    target: Path
    cells: int
    records: int
    budgets: tuple[int, ...]  # those that occur; metrics at the others are NaN
    source_name: str  # "full" or "only108" if it is that official file by its SHA-256, otherwise the name of the file
    sha256: str  # of the source
    size: int  # of the source, bytes
    seconds: float

    @property
    def records_per_second(self) -> float:
        return self.records / self.seconds


def convert_tfrecord(
    source: str | os.PathLike,
    target: str | os.PathLike,
    *,
    overwrite: bool = False,
    verify_hashes: bool = True,
    progress: bool = False,
) -> Conversion:
    """Convert a file of records to HDF5.

    A cell's row is the order of its first appearance, a run's place the order of its appearance within cell and
    budget. The target appears whole, when all is done, or not at all.

    Args:
        overwrite, progress (bool): Whether the target may exist, and whether to show a bar on stderr.
        verify_hashes (bool): Whether every graph must have the module hash that the file gives it, and be a cell of the
            space.

    Raises:
        BadRecord: If the source is no tfrecord, is empty, cut off or damaged; if a row is not of the format, a graph
            not of its hash, or a budget none of the four; if a cell has fewer or more than three runs at a budget that
            occurs.
        TargetExists: If the target exists and ``overwrite`` is false.
        UserError: If there is no such source, or no room for the target.
    """
    started = time.perf_counter()
    source = expand(source)
    target = check_target(target, overwrite)
    file, size = open_records(source)
    with file:
        if target.exists() and target.samefile(source):
            raise UserError(f"{target} is the file to convert; name another target")
        _check_room(source, size, target)
        assembly, sha256 = _assemble(file, source, size, verify_hashes, progress)
    kind = REAL if sha256 in SOURCES else ""
    # A name that is no UTF-8 has no place in an HDF5.
    shown = Path(os.fsencode(source).decode("utf8", "replace"))
    source_name = SOURCES.get(sha256, shown.name)
    budgets = assembly.budgets
    about = {"source": source_name, "labels": _labels(budgets), "kind": kind, "sha256": sha256}
    benchmark = Benchmark(**assembly.arrays(), **about)
    if sha256 not in SOURCES:
        logger.warning(
            "%s is none of the official files, which hold %s cells: it has %s cells and SHA-256 %s. It is another one, "
            "or one of those that was changed, or cut between two cells",
            shown,
            f"{SPACE_SIZE:,}",
            f"{len(benchmark):,}",
            sha256,
        )
    unknown = int((benchmark.trainable_parameters == UNKNOWN_PARAMETERS).sum())
    if unknown:
        logger.warning("%s does not give the trainable parameters of %d cells; they are 0", shown, unknown)
    benchmark.save(target, overwrite)
    return Conversion(
        source=source,
        target=target,
        cells=len(benchmark),
        records=assembly.num_records,
        budgets=budgets,
        source_name=source_name,
        sha256=sha256,
        size=size,
        seconds=time.perf_counter() - started,
    )


def _labels(budgets: tuple[int, ...]) -> str:
    words = [str(budget) for budget in budgets]
    if len(words) == 1:
        return f"three runs at {words[0]} epochs"
    return f"three runs at each of {', '.join(words[:-1])} and {words[-1]} epochs"


def _check_room(source: Path, size: int, target: Path) -> None:
    """Raise if the target will surely not fit, before any work is done for it."""
    cell_bytes = sum(math.prod(shape) * dtype.itemsize for shape, dtype in LAYOUT.values())
    needed = size // RECORD_BYTES // (len(BUDGETS) * RUNS) * cell_bytes
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise UserError(
            f"{target.parent} has {free / 1e6:,.1f} MB free and the HDF5 of {source} needs {needed / 1e6:,.1f} MB at "
            "least; make room, or name a target on another disk"
        )


@dataclass
class _Block:
    """A piece of the file: the frames that lie whole in it, after what the block before left over."""

    data: np.ndarray  # uint8
    starts: np.ndarray  # (frames + 1,) int64: where in data each frame starts, and the last one ends
    offset: int  # where in the file data starts
    first_record: int
    fresh: memoryview  # what was read for this block
    sound: bool  # whether the frame after the last of these can be right

    @property
    def num_records(self) -> int:
        return len(self.starts) - 1


def _blocks(file: BinaryIO, path: Path, size: int) -> Iterator[_Block]:
    """The file in pieces; the last one is not sound if anything but the end of the file follows its frames."""
    rest = np.empty(0, dtype=np.uint8)
    offset = record = read = 0  # where the rest starts, the number of its first record, bytes read
    wanted = BLOCK_BYTES
    while True:
        data = np.empty(len(rest) + min(wanted, size - read), dtype=np.uint8)
        data[: len(rest)] = rest
        fresh = memoryview(data)[len(rest) :]
        try:
            got = file.readinto(fresh)
        except OSError as error:
            raise UserError(f"{path} cannot be read beyond byte {read}: {error.strerror}") from error
        read += got
        data = data[: len(rest) + got]
        starts = np.empty(len(data) // FRAME_BYTES + 2, dtype=np.int64)
        count, sound = scan_frames(data, len(data), starts)
        starts = starts[: count + 1]
        rest = data[starts[-1] :]
        ended = read == size or got < len(fresh)
        wanted = BLOCK_BYTES
        if ended:
            sound = sound and not len(rest) and read == size
        elif sound and len(rest) >= HEADER.size:
            # The frame that goes on behind may be larger than a block, but not than the file.
            length, _ = HEADER.unpack(rest[: HEADER.size])
            sound = offset + int(starts[-1]) + FRAME_BYTES + length <= size
            wanted = max(wanted, length + FRAME_BYTES - len(rest))
        yield _Block(data, starts, offset, record, fresh[:got], sound)
        if ended or not sound:
            return
        offset += int(starts[-1])
        record += count


def _assemble(file: BinaryIO, path: Path, size: int, verify_hashes: bool, progress: bool) -> tuple[Assembly, str]:
    """Read the whole file: its records in place, and its SHA-256."""
    digest = hashlib.sha256()
    pending: deque[tuple[_Block, Future, Future]] = deque()
    pool = ThreadPoolExecutor(os.cpu_count())
    hasher = ThreadPoolExecutor(1)  # one thread, for the order of the blocks
    bar = tqdm(total=size, unit="B", unit_scale=True, desc=printable(path.name), disable=not progress)
    try:
        assembly = Assembly(path, (lambda: loading.result()) if verify_hashes else None)
        loading: Future | None = None

        def take() -> None:
            block, decoding, hashing = pending.popleft()
            rows, good, error = decoding.result()
            assembly.add(rows, block.offset + block.starts[:good])
            if error is not None:
                raise error
            hashing.result()
            bar.update(len(block.fresh))

        for block in _blocks(file, path, size):
            if verify_hashes and loading is None and block.num_records:
                loading = pool.submit(load_space)  # beside the first blocks
            pending.append((block, pool.submit(_decode, block, path, size), hasher.submit(digest.update, block.fresh)))
            if len(pending) > LOOK_AHEAD:
                take()
        while pending:
            take()
    finally:
        bar.close()
        for executor in (pool, hasher):
            executor.shutdown(cancel_futures=True)
    return assembly, digest.hexdigest()


def _decode(block: _Block, path: Path, size: int) -> tuple[Rows, int, UserError | None]:
    """Decode a block: its rows, how many of them are good, and what is wrong with the next one."""
    rows = Rows.empty(block.num_records)
    decode_rows(block.data, block.starts, rows)

    def place(i: int) -> tuple[Path, int, int]:
        return path, block.first_record + i, block.offset + int(block.starts[i])

    for i in np.flatnonzero(rows.state != DECODED):
        if rows.state[i] == DAMAGED:
            return rows, int(i), _what_is_wrong(*place(i), size)
        data = block.data[block.starts[i] + HEADER.size : block.starts[i + 1] - 4].tobytes()
        try:
            _fill(rows, i, decode_record(data))
        except BadRecord as error:
            return rows, int(i), error.at(*place(i))
    return rows, block.num_records, None if block.sound else _what_is_wrong(*place(block.num_records), size)


def _what_is_wrong(path: Path, record: int, offset: int, size: int) -> UserError:
    """The error of a frame that is known to be bad, in the words of the reader that words them all."""
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            read_frame(file, path, record, offset, size)
    except BadRecord as error:
        return error
    except OSError as error:
        return UserError(f"{path} cannot be read again at byte {offset}: {error.strerror}")
    return UserError(f"{path} changed while it was read; convert it again when nothing writes to it")


def _fill(rows: Rows, i: int, record: Record) -> None:
    """Put a record that was decoded on its own among the others."""
    size = record.num_vertices
    if size > MAX_VERTICES:
        raise BadRecord(f"the graph of cell {record.module_hash} has {size} vertices; there is room for {MAX_VERTICES}")
    if record.epochs not in BUDGETS:
        # The number may be beyond the type of the array.
        raise BadRecord(budget_problem(record.module_hash, record.epochs))
    names = record.operations.split(",")
    rows.hashes[i] = np.frombuffer(record.module_hash.encode(), dtype=np.uint8)
    rows.epochs[i] = record.epochs
    rows.vertices[i] = size
    rows.bits[i] = sum(
        int(record.adjacency[x * size + y]) << x + y * (y - 1) // 2 for y in range(size) for x in range(y)
    )
    rows.opcodes[i] = sum(OPERATION_CODES[name] * 3**k for k, name in enumerate(names[1:-1]))
    rows.parameters[i] = UNKNOWN_PARAMETERS if record.trainable_parameters is None else record.trainable_parameters
    rows.metrics[i] = np.nan
    for point, evaluation in enumerate(record.evaluations[1:]):
        with np.errstate(over="ignore"):
            rows.metrics[i, point] = [getattr(evaluation, name) for name in EVALUATION_FIELDS[1:]]
