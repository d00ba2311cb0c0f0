"""Random walks backward through a cell, compiled: what the signal at the output has met on its way.

A walk starts at the output and goes from a vertex to one of those that it reads, until it is at the input. As in
:mod:`nplib.features.graph`, every ``_write_`` function writes one group of features of one cell into ``row`` from place
``at`` on and returns the next place; names and formulas stand in :mod:`nplib.features.catalogue`.
"""

from __future__ import annotations

import numpy as np

from nplib._compiled import compiled
from nplib.cell import MAX_VERTICES
from nplib.features.graph import COUNTED, INPUT_KIND, MAXPOOL_CODE, NUM_OPERATIONS, OUTPUT_KIND

# The first of the kinds that can be counted: conv3x3, conv1x1, maxpool, any convolution, any vertex.
WALK_KINDS = 5


@compiled
def _count_feeders(size, edges):
    """Interior vertices that feed the output."""
    feeders = 0
    for v in range(1, size - 1):
        feeders += edges[v, size - 1]
    return feeders


@compiled
def _variances(size, edges, operations):
    """Variance of every vertex's tensor, shape (7,): of a pool the sum of what it reads, else 1 by batch-norm."""
    variance = np.ones(MAX_VERTICES)
    for v in range(1, size - 1):
        if operations[v] == MAXPOOL_CODE:
            variance[v] = 0
            for u in range(v):
                variance[v] += edges[u, v] * variance[u]
    return variance


@compiled
def _read_shares(size, edges, strength, share):
    """Set ``share[u, v]``, shape (7, 7), to the part of what v reads that is from u; return how much the output reads.

    Parts are as the strengths of the signals, shape (7,). The output's channels are divided among the interior
    vertices that feed it, and the cell's input is added to all of them.
    """
    last = size - 1
    feeders = _count_feeders(size, edges)
    total = 0.0
    for v in range(1, size):
        total = 0.0
        for u in range(v):
            share[u, v] = edges[u, v] * strength[u]
            if v == last and u > 0:
                share[u, v] /= feeders
            total += share[u, v]
        for u in range(v):
            share[u, v] /= total
    return total


@compiled
def _write_variances(size, variance, output_variance, row, at):
    largest = 0.0
    for v in range(1, size - 1):
        largest = max(largest, variance[v])
    row[at] = np.log1p(output_variance)
    row[at + 1] = np.log1p(largest)
    return at + 2


@compiled
def _mean_and_sd(chances):
    """Mean and standard deviation of a count with these chances of being 0, 1, ..."""
    mean = 0.0
    for count in range(len(chances)):
        mean += chances[count] * count
    variance = 0.0
    for count in range(len(chances)):
        variance += chances[count] * (count - mean) ** 2
    return mean, np.sqrt(variance)


@compiled
def _write_mixture(size, operations, share, row, at):
    """Counts on the path of a walk that goes from v to u with chance ``share[u, v]``."""
    last = size - 1
    chances = np.zeros((WALK_KINDS, MAX_VERTICES, MAX_VERTICES))  # (kind, vertex, count on the way from the input)
    for kind in range(WALK_KINDS):
        chances[kind, 0, 0] = 1
        for v in range(1, size):
            step = COUNTED[kind, operations[v]] if v < last else 0
            for u in range(v):
                if share[u, v] > 0:
                    for count in range(u + 1):
                        chances[kind, v, count + step] += share[u, v] * chances[kind, u, count]
    conv3x3, conv1x1, maxpool, conv, vertices = chances[:, last]
    row[at], row[at + 4] = _mean_and_sd(conv3x3)
    row[at + 1] = _mean_and_sd(conv1x1)[0]
    row[at + 2], row[at + 5] = _mean_and_sd(maxpool)
    row[at + 6] = _mean_and_sd(conv)[1]
    row[at + 3], row[at + 7] = _mean_and_sd(vertices)
    row[at + 8 : at + 11] = conv3x3[:3]
    row[at + 11 : at + 13] = maxpool[:2]
    row[at + 13 : at + 16] = conv[:3]
    return at + 16


@compiled
def _write_mixtures(size, edges, operations, variance_share, row, at):
    """Three walks: one that makes all paths alike, one along variance, one that takes all edges into a vertex alike."""
    paths = np.zeros(MAX_VERTICES)  # from the input
    paths[0] = 1
    path_share = np.zeros((MAX_VERTICES, MAX_VERTICES))
    edge_share = np.zeros((MAX_VERTICES, MAX_VERTICES))
    for v in range(1, size):
        in_degree = 0
        for u in range(v):
            paths[v] += edges[u, v] * paths[u]
            in_degree += edges[u, v]
        for u in range(v):
            path_share[u, v] = edges[u, v] * paths[u] / paths[v]
            edge_share[u, v] = edges[u, v] / in_degree
    at = _write_mixture(size, operations, path_share, row, at)
    at = _write_mixture(size, operations, variance_share, row, at)
    return _write_mixture(size, operations, edge_share, row, at)


@compiled
def _write_flow(size, edges, operations, share, row, at):
    """Mean number of steps of a walk by what they lie between, and visits to vertices, by operation."""
    last = size - 1
    steps = np.zeros((NUM_OPERATIONS + 1, NUM_OPERATIONS + 1))  # (from, to), in the direction of the edge
    visits = np.zeros(MAX_VERTICES)
    visits[last] = 1
    for v in range(last, 0, -1):
        for u in range(v):
            step = visits[v] * share[u, v]
            visits[u] += step
            steps[operations[u] if u > 0 else INPUT_KIND, operations[v] if v < last else OUTPUT_KIND] += step
    for start in range(NUM_OPERATIONS + 1):
        for end in range(NUM_OPERATIONS + 1):
            # What a convolution or the input brings to the output is among the shares of its energy.
            if end != OUTPUT_KIND or start == MAXPOOL_CODE:
                row[at] = steps[start, end]
                at += 1
    feeders = _count_feeders(size, edges)
    row[at : at + 6] = 0
    for v in range(1, last):
        row[at + operations[v]] += visits[v] / feeders
        place = at + NUM_OPERATIONS + operations[v]
        row[place] = max(row[place], visits[v])
    return at + 6


@compiled
def write_walk_features(num_vertices, adjacency, operations, vertex_energy, features, first):
    """Write the features of many cells into ``features``, shape (N, F), from column ``first`` on; return the next.

    ``vertex_energy``, shape (N, 7), is what :func:`nplib.features.energy.write_energy_features` sets.
    """
    at = first
    share = np.zeros((MAX_VERTICES, MAX_VERTICES))
    for i in range(len(num_vertices)):
        size, edges, codes, row = num_vertices[i], adjacency[i], operations[i], features[i]
        variance = _variances(size, edges, codes)
        output_variance = _read_shares(size, edges, variance, share)
        at = _write_variances(size, variance, output_variance, row, first)
        at = _write_mixtures(size, edges, codes, share, row, at)
        _read_shares(size, edges, vertex_energy[i], share)
        at = _write_flow(size, edges, codes, share, row, at)
    return at
