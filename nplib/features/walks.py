"""Random walks backward through a cell, compiled: what the signal at the output has met on its way.

A walk starts at the output and goes from a vertex to one of those that it reads, until it is at the input. That of the
features ``flow_`` goes to what is read in proportion to the energy of its tensor; the last groups are of it alone. All
interior vertices have the same ``width``, as a fraction of the output's channels.

As in :mod:`nplib.features.graph`, every ``_write_`` function writes one group of features of one cell into ``row`` from
place ``at`` on and returns the next place; names and formulas stand in :mod:`nplib.features.catalogue`.
"""

from __future__ import annotations

import numpy as np

from nplib._compiled import compiled
from nplib.cell import MAX_VERTICES
from nplib.features.graph import (
    CONV1X1_CODE,
    CONV3X3_CODE,
    COUNTED,
    INPUT_KIND,
    MAXPOOL_CODE,
    NUM_OPERATIONS,
    OUTPUT_KIND,
    count_feeders,
)

# The first of the kinds that can be counted: conv3x3, conv1x1, maxpool, any convolution, any vertex.
WALK_KINDS = 5
# Added before logarithms, so that they exist where a cell has no 3x3 convolution: to sums over its vertices of a width,
# and of a squared width.
WIDTH_FLOOR = 0.05
SQUARED_WIDTH_FLOOR = 0.02
# The gradient's energy at a pool, times this, is added to 1 before the logarithm: a quarter counts as much.
GRADIENT_SCALE = 4.0


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
    feeders = count_feeders(size, edges)
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
    # One by one: to unpack an array is compiled into far more.
    conv3x3, conv1x1, maxpool = chances[0, last], chances[1, last], chances[2, last]
    conv, vertices = chances[3, last], chances[4, last]
    row[at], row[at + 4] = _mean_and_sd(conv3x3)
    row[at + 1] = _mean_and_sd(conv1x1)[0]
    row[at + 2], row[at + 5] = _mean_and_sd(maxpool)
    row[at + 6] = _mean_and_sd(conv)[1]
    row[at + 3], row[at + 7] = _mean_and_sd(vertices)
    for count in range(3):
        row[at + 8 + count] = conv3x3[count]
        row[at + 13 + count] = conv[count]
    row[at + 11] = maxpool[0]
    row[at + 12] = maxpool[1]
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
def _set_visits(size, share, visits):
    """Set the chance that a walk visits v, ``visits[v]``, shape (7,)."""
    visits[:] = 0
    visits[size - 1] = 1
    for v in range(size - 1, 0, -1):
        for u in range(v):
            visits[u] += visits[v] * share[u, v]


@compiled
def _write_flow(size, edges, operations, share, visits, row, at):
    """Mean number of steps of a walk by what they lie between, and visits to vertices, by operation."""
    last = size - 1
    steps = np.zeros((NUM_OPERATIONS + 1, NUM_OPERATIONS + 1))  # (from, to), in the direction of the edge
    for v in range(last, 0, -1):
        for u in range(v):
            start = operations[u] if u > 0 else INPUT_KIND
            steps[start, operations[v] if v < last else OUTPUT_KIND] += visits[v] * share[u, v]
    for start in range(NUM_OPERATIONS + 1):
        for end in range(NUM_OPERATIONS + 1):
            # What a convolution or the input brings to the output is among the shares of its energy.
            if end != OUTPUT_KIND or start == MAXPOOL_CODE:
                row[at] = steps[start, end]
                at += 1
    feeders = count_feeders(size, edges)
    for v in range(1, last):
        row[at + operations[v]] += visits[v] / feeders
        place = at + NUM_OPERATIONS + operations[v]
        row[place] = max(row[place], visits[v])
    return at + 6


@compiled
def _write_gradients(size, operations, width, gradient, log_gradient_input, row, at):
    """Gradient that reaches 3x3 convolutions by their width, that of the input squared, and what reaches pools."""
    conv3x3 = 0.0
    pools = 0.0
    for v in range(1, size - 1):
        if operations[v] == CONV3X3_CODE:
            conv3x3 += width * gradient[v]
        elif operations[v] == MAXPOOL_CODE:
            pools += np.log1p(GRADIENT_SCALE * gradient[v])
    row[at] = np.log(WIDTH_FLOOR + conv3x3)
    row[at + 1] = log_gradient_input**2
    row[at + 2] = pools
    return at + 3


@compiled
def _write_visits(size, operations, width, visits, row, at):
    """Visits to 3x3 convolutions by their width, to how many in effect; visits to pools by the root of width."""
    total = 0.0
    squares = 0.0
    pools = 0.0
    for v in range(1, size - 1):
        if operations[v] == CONV3X3_CODE:
            total += visits[v]
            squares += visits[v] ** 2
        elif operations[v] == MAXPOOL_CODE:
            pools += np.sqrt(width * visits[v])
    row[at] = np.log(WIDTH_FLOOR + width * total)
    row[at + 1] = np.log(SQUARED_WIDTH_FLOOR + width**2 * total)
    row[at + 2] = pools
    row[at + 3] = total**2 / squares if squares > 0 else 0.0
    return at + 4


@compiled
def _write_spatial(size, operations, share, row, at):
    """Standard deviation of the number of operations that widen the field of view, and the chance of none."""
    last = size - 1
    chances = np.zeros((MAX_VERTICES, MAX_VERTICES))  # (vertex, count on the way from the input)
    chances[0, 0] = 1
    for v in range(1, size):
        step = 1 if v < last and operations[v] != CONV1X1_CODE else 0
        for u in range(v):
            if share[u, v] > 0:
                for count in range(u + 1):
                    chances[v, count + step] += share[u, v] * chances[u, count]
    mean = 0.0
    for count in range(MAX_VERTICES):
        mean += count * chances[last, count]
    variance = 0.0
    for count in range(MAX_VERTICES):
        variance += (count - mean) ** 2 * chances[last, count]
    row[at] = np.sqrt(variance)
    row[at + 1] = chances[last, 0]
    return at + 2


@compiled
def _pools_after(size, operations, share, narrowest):
    """Mean number of pools that the walk meets before it meets a convolution with a kernel that counts.

    That is any convolution with ``narrowest`` the code of 1x1, and only 3x3 with that of 3x3.
    """
    last = size - 1
    reached = np.zeros(MAX_VERTICES)  # without having met one
    reached[last] = 1
    pools = 0.0
    for v in range(last, 0, -1):
        if v < last and operations[v] == MAXPOOL_CODE:
            pools += reached[v]
        elif v < last and (operations[v] == CONV3X3_CODE or operations[v] == narrowest):
            continue
        for u in range(v):
            reached[u] += reached[v] * share[u, v]
    return pools


@compiled
def _write_last_pools(size, operations, share, row, at):
    """Pools that nothing comes after: since the last convolution or 3x3, two in a row, one that pools the input."""
    last = size - 1
    row[at] = _pools_after(size, operations, share, CONV1X1_CODE)
    row[at + 1] = _pools_after(size, operations, share, CONV3X3_CODE)
    for v in range(1, last):
        if operations[v] == MAXPOOL_CODE:
            for u in range(1, v):
                if operations[u] == MAXPOOL_CODE:
                    row[at + 2] += share[v, last] * share[u, v]
            row[at + 3] += share[v, last] * share[0, v]
    return at + 4


@compiled
def _write_unpooled(size, operations, width, share, visits, row, at):
    """Chance that 3x3 convolutions have seen the signal and no pool; visits to them with what they read unpooled."""
    last = size - 1
    # Chances that the rest of a walk from v, and v itself, meets no pool, without and with a 3x3 convolution.
    without = np.zeros(MAX_VERTICES)
    with_conv3x3 = np.zeros(MAX_VERTICES)
    without[0] = 1
    not_since = 0.0
    never = 0.0
    for v in range(1, size):
        if v < last and operations[v] == MAXPOOL_CODE:
            continue
        unpooled = 0.0
        for u in range(v):
            without[v] += share[u, v] * without[u]
            with_conv3x3[v] += share[u, v] * with_conv3x3[u]
            if u == 0 or operations[u] != MAXPOOL_CODE:
                unpooled += share[u, v]
        if v < last and operations[v] == CONV3X3_CODE:
            with_conv3x3[v] += without[v]
            without[v] = 0
            never += visits[v] * with_conv3x3[v]
            not_since += visits[v] * unpooled
    row[at] = with_conv3x3[last]
    row[at + 1] = not_since
    row[at + 2] = np.log(WIDTH_FLOOR + width * not_since)
    row[at + 3] = never
    return at + 4


@compiled
def write_walk_features(
    num_vertices, adjacency, operations, vertex_energy, vertex_gradient, log_gradient_input, features, first
):
    """Write features of cells into ``features``, shape (N, F), zeros before, from column ``first``; return the next.

    ``vertex_energy`` and ``vertex_gradient``, shape (N, 7), are what
    :func:`nplib.features.energy.write_energy_features` sets, and ``log_gradient_input``, shape (N,), is a feature of
    the same name.
    """
    at = first
    share = np.zeros((MAX_VERTICES, MAX_VERTICES))
    visits = np.zeros(MAX_VERTICES)
    for i in range(len(num_vertices)):
        size, edges, codes, row = num_vertices[i], adjacency[i], operations[i], features[i]
        variance = _variances(size, edges, codes)
        output_variance = _read_shares(size, edges, variance, share)
        at = _write_variances(size, variance, output_variance, row, first)
        at = _write_mixtures(size, edges, codes, share, row, at)
        _read_shares(size, edges, vertex_energy[i], share)
        _set_visits(size, share, visits)
        at = _write_flow(size, edges, codes, share, visits, row, at)
        width = 1 / max(count_feeders(size, edges), 1)
        at = _write_gradients(size, codes, width, vertex_gradient[i], log_gradient_input[i], row, at)
        at = _write_visits(size, codes, width, visits, row, at)
        at = _write_spatial(size, codes, share, row, at)
        at = _write_last_pools(size, codes, share, row, at)
        at = _write_unpooled(size, codes, width, share, visits, row, at)
    return at
