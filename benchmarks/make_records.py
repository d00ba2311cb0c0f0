"""Write a tfrecord file in the layout of the official NASBench-101 files, of any size, with made-up metrics.

Cells, hashes and parameter counts are real; times and accuracies are drawn at random, so the file serves to measure
and to test, and tells nothing about NASBench-101. The official full file has 423,624 cells x 4 budgets x 3 runs =
5,083,488 records, which is the default here: 2.1 GB.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator

import numba
import numpy as np
from tqdm import tqdm

from nplib._files import replacing
from nplib._layout import BUDGETS, RUNS
from nplib.errors import UserError
from nplib.records.decoding import BASE64, CODES, FIRST_NAME, LAST_NAME, NAME_BYTES, NAMES, masked_crc32c
from nplib.space import SPACE_SIZE, Space, load_space

CHUNK_RECORDS = 20_000
LONGEST_FRAME = 512
USUAL_FRAME = 411
ACCURACY_STEPS = 9984  # an accuracy of one run is a multiple of 1/9984

ALPHABET = np.array([np.flatnonzero(value == BASE64)[0] for value in range(64)], dtype=np.uint8)


@numba.njit(cache=True)
def _put(out, at, text):
    out[at : at + len(text)] = text
    return at + len(text)


@numba.njit(cache=True)
def _put_integer(out, at, value):
    digits = 1
    while value >= 10**digits:
        digits += 1
    for k in range(digits):
        out[at + k] = 48 + value // 10 ** (digits - 1 - k) % 10
    return at + digits


@numba.njit(cache=True)
def _put_little_endian(out, at, value, size):
    for k in range(size):
        out[at + k] = (value >> np.uint64(8 * k)) & np.uint64(255)
    return at + size


@numba.njit(cache=True)
def _put_varint(out, at, value):
    while value >= 128:
        out[at] = value & 127 | 128
        value >>= 7
        at += 1
    out[at] = value
    return at + 1


@numba.njit(cache=True)
def _put_message(out, evaluations, parameters, total_time):
    """``ModelMetrics`` of one record: its size. ``evaluations`` is (3, 5), bits of doubles."""
    at = 0
    for e in range(3):
        out[at] = 0x0A
        out[at + 1] = 45
        at += 2
        for k in range(5):
            out[at] = (k + 1) << 3 | 1
            at = _put_little_endian(out, at + 1, evaluations[e, k], 8)
    out[at] = 0x10
    at = _put_varint(out, at + 1, parameters)
    out[at] = 0x19
    return _put_little_endian(out, at + 1, total_time, 8)


@numba.njit(cache=True)
def _put_base64(out, at, message, size, wrapped):
    for k in range(0, size, 3):
        left = size - k
        a = message[k]
        b = message[k + 1] if left > 1 else 0
        c = message[k + 2] if left > 2 else 0
        out[at] = ALPHABET[a >> 2]
        out[at + 1] = ALPHABET[(a & 3) << 4 | b >> 4]
        out[at + 2] = ALPHABET[(b & 15) << 2 | c >> 6] if left > 1 else 61
        out[at + 3] = ALPHABET[c & 63] if left > 2 else 61
        at += 4
        # 76 characters, 19 groups, make a line.
        if wrapped and (left <= 3 or (k // 3 + 1) % 19 == 0):
            out[at] = 92
            out[at + 1] = 110
            at += 2
    return at


@numba.njit(cache=True)
def _put_frames(
    out, cell, epochs, evaluations, total_time, hashes, vertices, adjacency, operations, parameters, wrapped
):
    """Frames of many records: the bytes they take in ``out``."""
    message = np.zeros(256, dtype=np.uint8)
    at = 0
    for i in range(len(cell)):
        c = cell[i]
        frame = at
        at += 12
        out[at] = 91
        out[at + 1] = 34
        at = _put(out, at + 2, hashes[c])
        out[at] = 34
        out[at + 1] = 44
        out[at + 2] = 32
        at = _put_integer(out, at + 3, epochs[i])
        out[at] = 44
        out[at + 1] = 32
        out[at + 2] = 34
        at += 3
        for x in range(vertices[c]):
            for y in range(vertices[c]):
                out[at] = 48 + adjacency[c, x, y]
                at += 1
        out[at] = 34
        out[at + 1] = 44
        out[at + 2] = 32
        at = _put(out, at + 3, FIRST_NAME)
        for v in range(1, vertices[c] - 1):
            out[at] = 44
            at += 1
            for kind in range(3):
                if CODES[kind] == operations[c, v]:
                    at = _put(out, at, NAMES[kind, : NAME_BYTES[kind]])
        at = _put(out, at, LAST_NAME)
        out[at] = 44
        out[at + 1] = 32
        out[at + 2] = 34
        size = _put_message(message, evaluations[i], parameters[c], total_time[i])
        at = _put_base64(out, at + 3, message, size, wrapped)
        out[at] = 34
        out[at + 1] = 93
        at += 2
        length = at - frame - 12
        _put_little_endian(out, frame, np.uint64(length), 8)
        _put_little_endian(out, frame + 8, np.uint64(masked_crc32c(out, frame, frame + 8)), 4)
        at = _put_little_endian(out, at, np.uint64(masked_crc32c(out, frame + 12, at)), 4)
    return at


def made_up_evaluations(rng: np.random.Generator, epochs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Three evaluations a record, shape (N, 3, 5), and total times, shape (N,).

    All but the total time are float32 stored as float64, as in the official files.
    """
    evaluations = np.zeros((len(epochs), 3, 5), dtype=np.float32)
    evaluations[..., 0] = epochs[:, None] * np.array([0, 0.5, 1])
    seconds = epochs * rng.uniform(5, 30, len(epochs))
    evaluations[..., 1] = seconds[:, None] * np.array([0, 0.5, 1])
    steps = rng.integers(ACCURACY_STEPS // 10, ACCURACY_STEPS + 1, (len(epochs), 3, 3))
    evaluations[..., 2:] = steps / ACCURACY_STEPS
    return evaluations.astype(np.float64), seconds * rng.uniform(1.1, 1.3, len(epochs))


def chunks(
    space: Space, num_cells: int, budgets: tuple[int, ...], shuffle: bool, seed: int, wrapped: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """The file in pieces: number of records and their frames as bytes, uint8."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(space))[:num_cells] if num_cells < len(space) else np.arange(len(space))
    chosen = chosen[np.argsort(space.hashes[chosen])]
    per_cell = len(budgets) * RUNS
    total = num_cells * per_cell
    order = rng.permutation(total) if shuffle else None
    hashes = space.hashes.view(np.uint8).reshape(-1, 32)
    out = np.empty(CHUNK_RECORDS * LONGEST_FRAME, dtype=np.uint8)
    for start in range(0, total, CHUNK_RECORDS):
        stop = min(start + CHUNK_RECORDS, total)
        record = np.arange(start, stop) if order is None else order[start:stop]
        epochs = np.array(budgets)[record % per_cell // RUNS]
        evaluations, total_time = made_up_evaluations(rng, epochs)
        size = _put_frames(
            out,
            chosen[record // per_cell],
            epochs,
            evaluations.view(np.uint64),
            total_time.view(np.uint64),
            hashes,
            space.num_vertices,
            space.adjacency,
            space.operations,
            space.trainable_parameters,
            wrapped,
        )
        yield stop - start, out[:size]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("target", help="file to write")
    parser.add_argument("--cells", type=int, default=SPACE_SIZE, help="cells, drawn at random from the space")
    parser.add_argument("--only108", action="store_true", help="108 epochs only, as nasbench_only108.tfrecord")
    parser.add_argument("--shuffle", action="store_true", help="records in random order, rather than cell by cell")
    parser.add_argument("--unwrapped", action="store_true", help="base64 in one line; the official files break it")
    parser.add_argument("--seed", type=int, default=0, help="of the cells, their metrics and their order")
    parser.add_argument("--overwrite", action="store_true", help="replace the target if it exists")
    arguments = parser.parse_args()
    if not 1 <= arguments.cells <= SPACE_SIZE:
        parser.error(f"--cells {arguments.cells}: there are 1 to {SPACE_SIZE:,}")
    budgets = BUDGETS[-1:] if arguments.only108 else BUDGETS
    total = arguments.cells * len(budgets) * RUNS
    try:
        with (
            replacing(arguments.target, arguments.overwrite) as partial,
            open(partial, "wb") as file,
            tqdm(total=total, unit=" records", unit_scale=True) as bar,
        ):
            free = shutil.disk_usage(partial.parent).free
            if free < total * USUAL_FRAME:
                raise UserError(f"{total * USUAL_FRAME / 1e6:,.0f} MB are needed and {free / 1e6:,.0f} MB are free")
            pieces = chunks(
                load_space(), arguments.cells, budgets, arguments.shuffle, arguments.seed, not arguments.unwrapped
            )
            for count, frames in pieces:
                file.write(frames)
                bar.update(count)
    except (UserError, OSError) as error:
        sys.exit(f"make_records: {error}")


if __name__ == "__main__":
    main()
