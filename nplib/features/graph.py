"""What the graph of a cell says, compiled: counts, paths, edges, channels, skips, depth, pairs and costs.

Every ``_write_`` function takes one cell (its number of vertices, adjacency, shape (7, 7), and operation codes, shape
(7,)), writes one group of features into ``row``, shape (F,), zeros before, from place ``at`` on, and returns the next
place. Their names, in the same order, and their formulas stand in :mod:`nplib.features.catalogue`.

What is kept of compiled functions goes by the files of this folder: they call none from elsewhere.
"""

from __future__ import annotations

import numpy as np

from nplib._compiled import compiled
from nplib.cell import (
    CONV1X1,
    CONV3X3,
    MAX_VERTICES,
    MAXPOOL3X3,
    MODULES_PER_STACK,
    NUM_CLASSES,
    NUM_STACKS,
    OPERATION_CODES,
    STEM_CHANNELS,
)

CONV3X3_CODE = OPERATION_CODES[CONV3X3]
CONV1X1_CODE = OPERATION_CODES[CONV1X1]
MAXPOOL_CODE = OPERATION_CODES[MAXPOOL3X3]
NUM_OPERATIONS = 3
# In tables of edges, the codes of the operations and then these.
INPUT_KIND = OUTPUT_KIND = NUM_OPERATIONS

# What can be counted along a path: by kind, whether conv3x3, conv1x1 and maxpool are. The kinds are conv3x3, conv1x1,
# maxpool, any convolution, any vertex, whatever widens the field of view.
COUNTED = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 1, 1], [1, 0, 1]])
ANY_VERTEX = 4

IMAGE_PIXELS = 32 * 32
IMAGE_CHANNELS = 3
# Added to the weights of a cell, as a fraction of those of a 1x1 convolution on all channels. The fewest that a cell
# has, .25, hardly notice.
CHANNEL_COST_FLOOR = 0.02


@compiled
def count_feeders(size, edges):
    """Interior vertices that feed the output."""
    feeders = 0
    for v in range(1, size - 1):
        feeders += edges[v, size - 1]
    return feeders


@compiled
def _write_counts(size, edges, operations, row, at):
    count = 0
    for u in range(size):
        for v in range(u + 1, size):
            count += edges[u, v]
    row[at] = size
    row[at + 1] = count
    for v in range(1, size - 1):
        row[at + 2 + operations[v]] += 1
    return at + 5


@compiled
def _write_extreme_paths(size, edges, operations, row, at):
    """For each kind, the most and the fewest vertices of that kind on a path from input to output; edges for any."""
    last = size - 1
    most = np.zeros(MAX_VERTICES)
    fewest = np.zeros(MAX_VERTICES)
    for kind in range(len(COUNTED)):
        for v in range(1, size):
            most[v] = 0
            fewest[v] = MAX_VERTICES
            for u in range(v):
                if edges[u, v]:
                    most[v] = max(most[v], most[u])
                    fewest[v] = min(fewest[v], fewest[u])
            if v < last:
                most[v] += COUNTED[kind, operations[v]]
                fewest[v] += COUNTED[kind, operations[v]]
        # A path has one edge more than interior vertices.
        row[at] = most[last] + (kind == ANY_VERTEX)
        row[at + 1] = fewest[last] + (kind == ANY_VERTEX)
        at += 2
    return at


@compiled
def _count_paths(size, edges):
    """Paths from the input to every vertex, and from it to the output, shape (7,) each."""
    last = size - 1
    from_input = np.zeros(MAX_VERTICES)
    to_output = np.zeros(MAX_VERTICES)
    from_input[0] = to_output[last] = 1
    for v in range(1, size):
        for u in range(v):
            from_input[v] += edges[u, v] * from_input[u]
    for u in range(last - 1, -1, -1):
        for v in range(u + 1, size):
            to_output[u] += edges[u, v] * to_output[v]
    return from_input, to_output


@compiled
def _write_path_counts(size, operations, from_input, to_output, row, at):
    """Number of paths; by operation, the vertices on all of them and the largest share of them through one vertex."""
    paths = to_output[0]
    row[at] = paths
    row[at + 1] = np.log(paths)
    for v in range(1, size - 1):
        through = from_input[v] * to_output[v]
        if through == paths:
            row[at + 2 + operations[v]] += 1
        share = at + 5 + operations[v]
        row[share] = max(row[share], through / paths)
    return at + 8


@compiled
def _smallest_cut(size, edges):
    """Fewest interior vertices whose removal leaves no path from input to output but the direct edge."""
    last = size - 1
    fewest = size
    for removed in range(0, 1 << last, 2):  # a bit for each vertex; never the input
        count = 0
        reached = 1
        for v in range(1, size):
            if (removed >> v) & 1:
                count += 1
                continue
            for u in range(v):
                if edges[u, v] and (reached >> u) & 1 and v - u < last:
                    reached |= 1 << v
        if not (reached >> last) & 1:
            fewest = min(fewest, count)
    return fewest


@compiled
def _write_capacity(size, edges, row, at):
    """Largest flow from input to output, when a vertex lets its channels through (as fractions of the output's)."""
    feeders = count_feeders(size, edges)
    # All interior vertices have as many channels, so the smallest cut is that of the fewest vertices.
    row[at] = edges[0, size - 1]
    if feeders > 0:
        row[at] += _smallest_cut(size, edges) / feeders
    return at + 1


@compiled
def _write_edges(size, edges, operations, row, at):
    """Edges by what they leave (an operation or the input) and what they enter (an operation or the output)."""
    last = size - 1
    for u in range(last):
        for v in range(u + 1, size):
            if edges[u, v]:
                left = operations[u] if u > 0 else INPUT_KIND
                entered = operations[v] if v < last else OUTPUT_KIND
                row[at + 4 * left + entered] += 1
    return at + 16


@compiled
def _write_degrees(size, edges, row, at):
    for v in range(size):
        out_degree = 0
        in_degree = 0
        for u in range(size):
            out_degree += edges[v, u]
            in_degree += edges[u, v]
        row[at] = max(row[at], out_degree)
        row[at + 1] = max(row[at + 1], in_degree)
        if v == 0:
            row[at + 2] = out_degree
        if v == size - 1:
            row[at + 3] = in_degree
    return at + 4


@compiled
def _write_channels(size, edges, operations, row, at):
    """Channels as fractions of those of the output.

    Vertices that feed the output share its channels, and any other takes the largest count that it feeds: up to the
    remainder of the division, all interior vertices have the same.
    """
    last = size - 1
    feeders = count_feeders(size, edges)
    width = 1 / feeders if feeders else 1.0
    projected = 1.0 * edges[0, last]
    for v in range(1, last):
        row[at + operations[v]] += width
        row[at + NUM_OPERATIONS + operations[v]] += width * width
        projected += edges[0, v] * width
    row[at + 6] = width
    row[at + 7] = projected
    squares = row[at + NUM_OPERATIONS : at + 2 * NUM_OPERATIONS]
    cost = 9 * squares[CONV3X3_CODE] + squares[CONV1X1_CODE] + projected
    row[at + 8] = np.log(cost + CHANNEL_COST_FLOOR)
    return at + 9


@compiled
def _longest_distances(size, edges):
    """Edges on the longest path between any two vertices, shape (7, 7); 0 where there is none."""
    distance = np.zeros((MAX_VERTICES, MAX_VERTICES))
    for v in range(1, size):
        for u in range(v):
            distance[u, v] = edges[u, v]
            for w in range(u + 1, v):
                if edges[w, v] and distance[u, w] > 0:
                    distance[u, v] = max(distance[u, v], distance[u, w] + 1)
    return distance


@compiled
def _write_skips(size, edges, operations, distance, row, at):
    """Skip edges, which have a longer path beside them: how many, over what, how far, from and to where."""
    last = size - 1
    for u in range(last):
        for v in range(u + 1, size):
            if edges[u, v] and distance[u, v] > 1:
                over_conv3x3 = over_conv = 0
                for w in range(u + 1, v):
                    if distance[u, w] > 0 and distance[w, v] > 0:
                        over_conv3x3 = max(over_conv3x3, operations[w] == CONV3X3_CODE)
                        over_conv = max(over_conv, operations[w] != MAXPOOL_CODE)
                row[at] += 1
                row[at + 1] += over_conv3x3
                row[at + 2] += over_conv
                row[at + 3] += distance[u, v] - 1
                row[at + 4] += u == 0
                row[at + 5] += v == last
    return at + 6


@compiled
def _write_depths(size, operations, distance, row, at):
    """By operation, the mean distance from the input and to the output; the most vertices at one depth."""
    last = size - 1
    count = np.zeros(NUM_OPERATIONS)
    width = np.zeros(MAX_VERTICES)
    for v in range(1, last):
        count[operations[v]] += 1
        row[at + operations[v]] += distance[0, v]
        row[at + NUM_OPERATIONS + operations[v]] += distance[v, last]
        width[int(distance[0, v])] += 1
    for operation in range(NUM_OPERATIONS):
        if count[operation] > 0:
            row[at + operation] /= count[operation]
            row[at + NUM_OPERATIONS + operation] /= count[operation]
    for depth in range(MAX_VERTICES):
        row[at + 6] = max(row[at + 6], width[depth])
    return at + 7


@compiled
def _write_pairs(size, operations, distance, row, at):
    """Pairs of interior vertices by their operations: one before the other, then side by side."""
    for u in range(1, size - 1):
        for v in range(u + 1, size - 1):
            if distance[u, v] > 0:
                row[at + 3 * operations[u] + operations[v]] += 1
            else:
                low = min(operations[u], operations[v])
                high = max(operations[u], operations[v])
                # The upper triangle of a 3 x 3 table, row by row.
                row[at + 9 + low * (5 - low) // 2 + high] += 1
    return at + 15


@compiled
def _channels(size, edges, outputs, channels):
    """Channels of the interior vertices of a module with so many outputs (:func:`nplib.cell.vertex_channels`)."""
    last = size - 1
    feeders = count_feeders(size, edges)
    served = 0
    for v in range(1, last):
        if edges[v, last]:
            channels[v] = outputs // feeders + (served < outputs % feeders)
            served += 1
    for u in range(last - 1, 0, -1):
        if not edges[u, last]:
            channels[u] = 0
            for v in range(u + 1, last):
                if edges[u, v]:
                    channels[u] = max(channels[u], channels[v])


@compiled
def _write_costs(size, edges, operations, row, at):
    """Logarithms of the trainable parameters and of the multiplications for one image, of the whole network."""
    last = size - 1
    channels = np.zeros(MAX_VERTICES, dtype=np.int64)
    pixels = IMAGE_PIXELS
    inputs = STEM_CHANNELS
    parameters = 9 * IMAGE_CHANNELS * STEM_CHANNELS + 2 * STEM_CHANNELS
    multiplications = pixels * 9 * IMAGE_CHANNELS * STEM_CHANNELS
    for stack in range(NUM_STACKS):
        outputs = STEM_CHANNELS * 2**stack
        _channels(size, edges, outputs, channels)
        for _ in range(MODULES_PER_STACK):
            weights = edges[0, last] * inputs * outputs
            normalised = edges[0, last] * outputs
            for v in range(1, last):
                weights += edges[0, v] * inputs * channels[v]
                normalised += edges[0, v] * channels[v]
                if operations[v] != MAXPOOL_CODE:
                    kernel = 9 if operations[v] == CONV3X3_CODE else 1
                    weights += kernel * channels[v] * channels[v]
                    normalised += channels[v]
            parameters += weights + 2 * normalised
            multiplications += pixels * weights
            inputs = outputs
        pixels //= 4
    row[at] = np.log(parameters + inputs * NUM_CLASSES + NUM_CLASSES)
    row[at + 1] = np.log(multiplications)
    return at + 2


@compiled
def write_graph_features(num_vertices, adjacency, operations, features, first):
    """Write features of cells into ``features``, shape (N, F), zeros before, from column ``first``; return the next."""
    at = first
    for i in range(len(num_vertices)):
        size, edges, codes, row = num_vertices[i], adjacency[i], operations[i], features[i]
        at = _write_counts(size, edges, codes, row, first)
        at = _write_extreme_paths(size, edges, codes, row, at)
        from_input, to_output = _count_paths(size, edges)
        at = _write_path_counts(size, codes, from_input, to_output, row, at)
        at = _write_capacity(size, edges, row, at)
        at = _write_edges(size, edges, codes, row, at)
        at = _write_degrees(size, edges, row, at)
        at = _write_channels(size, edges, codes, row, at)
        distance = _longest_distances(size, edges)
        at = _write_skips(size, edges, codes, distance, row, at)
        at = _write_depths(size, codes, distance, row, at)
        at = _write_pairs(size, codes, distance, row, at)
        at = _write_costs(size, edges, codes, row, at)
    return at
