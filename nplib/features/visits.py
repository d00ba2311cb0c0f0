"""What the signal at the output owes to which vertices, compiled: how often a walk visits them, pooled or not.

The walk is that of the features ``flow_``: backward from the output, from what reads to what is read in proportion to
the energy of its tensor, until it is at the input. As in :mod:`nplib.features.graph`, every ``_write_`` function
writes one group of features of one cell into ``row`` from place ``at`` on and returns the next place; names and
formulas stand in :mod:`nplib.features.catalogue`. All interior vertices have the same ``width``, as a fraction of the
output's channels.
"""

from __future__ import annotations

import numpy as np

from nplib._compiled import compiled
from nplib.cell import MAX_VERTICES
from nplib.features.graph import CONV1X1_CODE, CONV3X3_CODE, MAXPOOL_CODE

# Added before logarithms, so that they exist where a cell has no 3x3 convolution: to sums over its vertices of a width,
# and of a squared width.
WIDTH_FLOOR = 0.05
SQUARED_WIDTH_FLOOR = 0.02
# The gradient's energy at a pool, times this, is added to 1 before the logarithm: a quarter counts as much.
GRADIENT_SCALE = 4.0


@compiled
def _count_feeders(size, edges):
    """Interior vertices that feed the output."""
    feeders = 0
    for v in range(1, size - 1):
        feeders += edges[v, size - 1]
    return feeders


@compiled
def _follow(size, edges, energy, share, visits):
    """Set the chance of a step from v to u, ``share[u, v]``, shape (7, 7), and of a visit to v, ``visits[v]``, (7,)."""
    last = size - 1
    feeders = _count_feeders(size, edges)
    visits[:] = 0
    visits[last] = 1
    for v in range(last, 0, -1):
        total = 0.0
        for u in range(v):
            share[u, v] = edges[u, v] * energy[u]
            if v == last and u > 0:
                share[u, v] /= feeders
            total += share[u, v]
        for u in range(v):
            share[u, v] /= total
            visits[u] += visits[v] * share[u, v]


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
    row[at + 2 : at + 4] = 0
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
def write_visit_features(
    num_vertices, adjacency, operations, vertex_energy, vertex_gradient, log_gradient_input, features, first
):
    """Write the features of many cells into ``features``, shape (N, F), from column ``first`` on; return the next.

    ``vertex_energy`` and ``vertex_gradient``, shape (N, 7), are what
    :func:`nplib.features.energy.write_energy_features` sets, and ``log_gradient_input``,
    shape (N,), is a feature of the same name.
    """
    at = first
    share = np.zeros((MAX_VERTICES, MAX_VERTICES))
    visits = np.zeros(MAX_VERTICES)
    for i in range(len(num_vertices)):
        size, codes, row = num_vertices[i], operations[i], features[i]
        _follow(size, adjacency[i], vertex_energy[i], share, visits)
        width = 1 / max(_count_feeders(size, adjacency[i]), 1)
        at = _write_gradients(size, codes, width, vertex_gradient[i], log_gradient_input[i], row, first)
        at = _write_visits(size, codes, width, visits, row, at)
        at = _write_spatial(size, codes, share, row, at)
        at = _write_last_pools(size, codes, share, row, at)
        at = _write_unpooled(size, codes, width, share, visits, row, at)
    return at
