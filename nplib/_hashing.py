"""Module hashes of many cells at once, compiled.

:attr:`nplib.cell.Cell.module_hash` says what the hash is; this says it for hundreds of thousands of cells in seconds.
Cells of one matrix hash messages of the same lengths, so sixteen of them go through each step of MD5 (RFC 1321)
together, one to a lane of the processor's vectors.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from nplib._compiled import compiled

LANES = 16
# The longest message is str() of seven quoted vertex hashes, 252 characters; MD5 adds 9 bytes and fills a block.
MESSAGE_BYTES = 320

_QUARTERS = np.array([[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]], dtype=np.uint32)
SHIFTS = np.tile(_QUARTERS[:, None], (1, 4, 1)).ravel()  # (64,)
SINES = np.array([int(abs(math.sin(i + 1)) * 2**32) for i in range(64)], dtype=np.uint32)
WORDS = np.concatenate([(step * np.arange(16) + start) % 16 for step, start in ((1, 0), (5, 1), (3, 5), (7, 0))])
START = np.array([0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476], dtype=np.uint32)
HEX_DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


@compiled
def _copy(source, target, at):
    """A loop, since numba compiles the errors of an assignment to a slice for seconds."""
    for k in range(len(source)):
        target[at + k] = source[k]


@compiled
def _md5(messages, length, words, before, state):
    """MD5 of messages[:, :length], one a lane, into state, shape (4, LANES); the other arrays are work space."""
    blocks = (length + 8) // 64 + 1
    messages[:, length] = 0x80
    messages[:, length + 1 : blocks * 64] = 0
    messages[:, blocks * 64 - 8] = (length * 8) & 0xFF
    messages[:, blocks * 64 - 7] = (length * 8) >> 8
    a, b, c, d = state[0], state[1], state[2], state[3]
    for i in range(4):
        state[i] = START[i]
    for block in range(blocks):
        for lane in range(LANES):
            text = messages[lane, block * 64 : block * 64 + 64].view(np.uint32)
            for i in range(16):
                words[i, lane] = text[i]
        for i in range(4):
            _copy(state[i], before[i], 0)
        for i in range(64):
            word = words[WORDS[i]]
            sine, left = SINES[i], SHIFTS[i]
            right = np.uint32(32) - left
            quarter = i // 16
            for lane in range(LANES):
                x, y, z = b[lane], c[lane], d[lane]
                if quarter == 0:
                    f = z ^ (x & (y ^ z))
                elif quarter == 1:
                    f = y ^ (z & (x ^ y))
                elif quarter == 2:
                    f = x ^ y ^ z
                else:
                    f = y ^ (x | ~z)
                f = np.uint32(f + a[lane] + sine + word[lane])
                a[lane] = z
                d[lane] = y
                c[lane] = x
                b[lane] = x + np.uint32((f << left) | (f >> right))
        for i in range(4):
            for lane in range(LANES):
                state[i, lane] += before[i, lane]


@compiled
def _write_hex(state, lane, text):
    for word in range(4):
        value = state[word, lane]
        for octet in range(4):
            text[8 * word + 2 * octet] = HEX_DIGITS[(value >> np.uint32(8 * octet + 4)) & 15]
            text[8 * word + 2 * octet + 1] = HEX_DIGITS[(value >> np.uint32(8 * octet)) & 15]


@compiled
def _sort(order, size, texts):
    """Sort order[:size], rows of texts, by the text they point to (insertion sort: seven items at most)."""
    for i in range(1, size):
        item = order[i]
        j = i - 1
        while j >= 0:
            k = 0
            while k < 31 and texts[order[j], k] == texts[item, k]:
                k += 1
            if texts[order[j], k] <= texts[item, k]:
                break
            order[j + 1] = order[j]
            j -= 1
        order[j + 1] = item


@compiled
def _write_sorted(message, at, neighbours, size, texts, order):
    """The sorted hashes of some vertices and a bar."""
    _copy(neighbours[:size], order, 0)
    _sort(order, size, texts)
    for i in range(size):
        _copy(texts[order[i]], message, at)
        at += 32
    message[at] = 124
    return at + 1


@compiled
def _write_degrees(message, out_degree, in_degree, code):
    """The text of ``str((out_degree, in_degree, code))``: every number has one digit."""
    message[0] = 40
    message[1] = 48 + out_degree
    message[2] = 44
    message[3] = 32
    message[4] = 48 + in_degree
    message[5] = 44
    message[6] = 32
    at = 7
    if code < 0:
        message[at] = 45
        at += 1
    message[at] = 48 + abs(code)
    message[at + 1] = 41
    return at + 2


@compiled
def _write_list(message, size, texts, order):
    """The text of ``str(sorted(hashes))``."""
    for v in range(size):
        order[v] = v
    _sort(order, size, texts)
    at = 0
    for i in range(size):
        message[at] = 91 if i == 0 else 32
        message[at + 1] = 39
        _copy(texts[order[i]], message, at + 2)
        message[at + 34] = 39
        message[at + 35] = 93 if i == size - 1 else 44
        at += 36
    return at


@compiled
def write_module_digests(num_vertices, adjacency, matrix, operations, digests):
    messages = np.zeros((LANES, MESSAGE_BYTES), dtype=np.uint8)
    words = np.zeros((16, LANES), dtype=np.uint32)
    state = np.zeros((4, LANES), dtype=np.uint32)
    before = np.zeros((4, LANES), dtype=np.uint32)
    texts = np.zeros((LANES, 7, 32), dtype=np.uint8)
    mixed = np.zeros((LANES, 7, 32), dtype=np.uint8)
    sources = np.zeros((7, 7), dtype=np.int64)
    targets = np.zeros((7, 7), dtype=np.int64)
    order = np.zeros(7, dtype=np.int64)
    in_degree = np.zeros(7, dtype=np.int64)
    out_degree = np.zeros(7, dtype=np.int64)
    start = 0
    while start < len(matrix):
        stop = start + 1
        while stop < len(matrix) and stop < start + LANES and matrix[stop] == matrix[start]:
            stop += 1
        size = num_vertices[start]
        edges = adjacency[matrix[start]]
        in_degree[:] = 0
        out_degree[:] = 0
        for u in range(size):
            for v in range(size):
                if edges[u, v]:
                    targets[u, out_degree[u]] = v
                    sources[v, in_degree[v]] = u
                    out_degree[u] += 1
                    in_degree[v] += 1
        for v in range(size):
            # All lanes must have one length: input and output have a sign, interior vertices none.
            for lane in range(stop - start):
                length = _write_degrees(messages[lane], out_degree[v], in_degree[v], operations[start + lane, v])
            _md5(messages, length, words, before, state)
            for lane in range(stop - start):
                _write_hex(state, lane, texts[lane, v])
        for _ in range(size):
            for v in range(size):
                for lane in range(stop - start):
                    at = _write_sorted(messages[lane], 0, sources[v], in_degree[v], texts[lane], order)
                    at = _write_sorted(messages[lane], at, targets[v], out_degree[v], texts[lane], order)
                    _copy(texts[lane, v], messages[lane], at)
                    length = at + 32
                _md5(messages, length, words, before, state)
                for lane in range(stop - start):
                    _write_hex(state, lane, mixed[lane, v])
            texts, mixed = mixed, texts
        for lane in range(stop - start):
            length = _write_list(messages[lane], size, texts[lane], order)
        _md5(messages, length, words, before, state)
        for lane in range(stop - start):
            for word in range(4):
                digests[start + lane, word] = state[word, lane]
        start = stop


@compiled
def _scatter(x):
    """Scatter 64 bits (the finaliser of SplitMix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@compiled
def write_isomorphism_keys(num_vertices, adjacency, matrix, operations, keys):
    hashes = np.zeros(7, dtype=np.uint64)
    scattered = np.zeros(7, dtype=np.uint64)
    for row in range(len(matrix)):
        size = num_vertices[row]
        edges = adjacency[matrix[row]]
        for v in range(size):
            degrees = 0
            for u in range(size):
                degrees += edges[v, u] + 8 * edges[u, v]
            hashes[v] = _scatter(np.uint64(1 + degrees + 64 * (operations[row, v] + 2)))
        for _ in range(size):
            for v in range(size):
                scattered[v] = _scatter(hashes[v])
            for v in range(size):
                before = np.uint64(1)
                after = np.uint64(2)
                for u in range(size):
                    before += np.uint64(edges[u, v]) * scattered[u]
                    after += np.uint64(edges[v, u]) * scattered[u]
                hashes[v] = _scatter(_scatter(before) + np.uint64(3) * _scatter(after) + hashes[v])
        total = np.uint64(size)
        for v in range(size):
            total += _scatter(hashes[v])
        keys[row] = total


def _in_slices(function: Callable, num_vertices, adjacency, matrix, operations, result) -> np.ndarray:
    """Run a compiled function over slices of the rows, one thread a core."""
    workers = os.cpu_count() or 1
    bounds = np.linspace(0, len(matrix), 4 * workers + 1).astype(int)
    slices = [slice(start, stop) for start, stop in pairwise(bounds)]
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda s: function(num_vertices[s], adjacency, matrix[s], operations[s], result[s]), slices))
    return result


def module_digests(
    num_vertices: np.ndarray, adjacency: np.ndarray, matrix: np.ndarray, operations: np.ndarray
) -> np.ndarray:
    """Module hash of every cell, as 16 bytes.

    Args:
        num_vertices: Array, shape (N,), int8.
        adjacency (array, shape (M, 7, 7), int8): Pruned matrices, zero-padded.
        matrix (array, shape (N,)): Which of them each cell has. Fastest where equal ones are neighbours.
        operations (array, shape (N, 7), int8): Operation codes.

    Returns:
        array, shape (N, 16), uint8: The digests whose hexadecimal is :attr:`nplib.cell.Cell.module_hash`.
    """
    digests = np.zeros((len(matrix), 4), dtype=np.uint32)
    _in_slices(write_module_digests, num_vertices, adjacency, matrix, operations, digests)
    return digests.astype("<u4").view(np.uint8)


def isomorphism_keys(
    num_vertices: np.ndarray, adjacency: np.ndarray, matrix: np.ndarray, operations: np.ndarray
) -> np.ndarray:
    """A 64-bit key of every cell, equal where the module hashes are equal, and far cheaper.

    Takes what :func:`module_digests` takes; returns an array of shape (N,), uint64. Keys are no names: they may
    change between versions.
    """
    keys = np.zeros(len(matrix), dtype=np.uint64)
    return _in_slices(write_isomorphism_keys, num_vertices, adjacency, matrix, operations, keys)
