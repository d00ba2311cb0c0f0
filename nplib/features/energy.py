"""What a cell does to the energy of a signal and of its gradient, and to the correlation of two signals; compiled.

A tensor is a vector of coefficients over independent sources, so that tensors that share a source add up in it, and
its energy is the sum of their squares. Sources are the outputs of convolutions (place v for vertex v) and the
projections of the cell's input (place 7 + v for the one that vertex v reads). A convolution reads a mixture of sources
and starts a new one of energy 1, as batch-norm makes it; a pool passes on what it reads. *Readers* are convolutions
and the output: what mixes sources and ends their way.

As in :mod:`nplib.features.graph`, every ``_write_`` function writes one group of features of one cell into ``row`` from
place ``at`` on and returns the next place; names and formulas stand in :mod:`nplib.features.catalogue`.
"""

from __future__ import annotations

import numpy as np

from nplib._compiled import compiled
from nplib.cell import MAX_VERTICES
from nplib.features.graph import CONV1X1_CODE, CONV3X3_CODE, MAXPOOL_CODE, NUM_OPERATIONS, count_feeders

# Part of a feature map's variance that a 3x3 max-pool leaves. The largest of nine independent normal numbers has .36
# of the variance of one, but neighbours in a map are alike, and the pool has stride 1.
POOL_VARIANCE = 0.7
# Energy of the gradient that a convolution with batch-norm and ReLU passes back, relative to 1 / the energy it reads:
# half of the units are on, and the variance of a ReLU's output is 1/2 - 1/(2 pi): 1/2 over that is 1.467.
GRADIENT_GAIN = 1.467
# Added to the gradient's energy at an operation, so that the logarithm exists where a cell does not have it.
GRADIENT_FLOOR = 0.05
# Correlations below it count as this before the logarithm.
CORRELATION_FLOOR = 1e-12
STARTING_CORRELATIONS = np.array([0.5, 0.95])
# Cells in a row after which correlations are told; the whole network has nine.
CELLS_PASSED = np.array([1, 3, 9])

NUM_SOURCES = 2 * MAX_VERTICES


@compiled
def _trace_sources(size, edges, operations, read, carried):
    """Set the coefficients over the sources of what interior vertices read and carry, shape (2, 7, 14) each, from 0.

    The coefficients are in ``[0]``. In ``[1]`` they are multiplied by the number of pools since the source, in the
    mean where a source arrives by several ways.
    """
    kept = np.sqrt(POOL_VARIANCE)
    for v in range(1, size - 1):
        for u in range(1, v):
            if edges[u, v]:
                for source in range(NUM_SOURCES):
                    read[0, v, source] += carried[0, u, source]
                    read[1, v, source] += carried[1, u, source]
        if edges[0, v]:
            read[0, v, MAX_VERTICES + v] += 1
        if operations[v] == MAXPOOL_CODE:
            for source in range(NUM_SOURCES):
                carried[0, v, source] = kept * read[0, v, source]
                carried[1, v, source] = kept * (read[1, v, source] + read[0, v, source])
        else:
            carried[0, v, v] = 1


@compiled
def _energies(size, coefficients, energy):
    """Set the energy of every vertex, shape (7,), from coefficients over the sources, shape (7, 14); 1 of the input."""
    energy[0] = 1
    for v in range(1, size - 1):
        energy[v] = 0
        for source in range(NUM_SOURCES):
            energy[v] += coefficients[v, source] ** 2


@compiled
def _source_shares(size, edges, operations, read, carried, share, pools):
    """Set what readers read, and return the energy that the output does.

    ``share[v, source]``, shape (7, 14), is the part of the energy that v reads from a source, and ``pools[v]``, shape
    (7,), the mean number of pools that it has passed since; both are 0 of a pool, which is no reader. Tensors are
    added before a convolution and concatenated before the output.
    """
    last = size - 1
    feeders = count_feeders(size, edges)
    energy = 0.0
    for v in range(1, size):
        pools[v] = 0
        energy = 0.0
        for source in range(NUM_SOURCES):
            part = 0.0
            if v == last:
                for u in range(1, last):
                    if edges[u, last]:
                        part += carried[0, u, source] ** 2 / feeders
                        pools[last] += carried[0, u, source] * carried[1, u, source] / feeders
                if source == MAX_VERTICES + last:
                    part += edges[0, last]
            elif operations[v] != MAXPOOL_CODE:
                part = read[0, v, source] ** 2
                pools[v] += read[0, v, source] * read[1, v, source]
            share[v, source] = part
            energy += part
        if energy > 0:
            pools[v] /= energy
            for source in range(NUM_SOURCES):
                share[v, source] /= energy
    return energy


@compiled
def _write_energies(size, edges, operations, carried, carried_energy, read_energy, output_energy, row, at):
    """Energies of the output, the largest of a vertex and of what one reads; what the output's is made of."""
    last = size - 1
    feeders = count_feeders(size, edges)
    largest = 0.0
    largest_read = 0.0
    part = row[at + 3 : at + 9]  # conv3x3, conv1x1; the same and the input through a pool; the input
    part[5] = edges[0, last]
    for v in range(1, last):
        largest = max(largest, carried_energy[v])
        largest_read = max(largest_read, read_energy[v])
        if edges[v, last] and operations[v] != MAXPOOL_CODE:
            part[operations[v]] += 1 / feeders
        elif edges[v, last]:
            for source in range(NUM_SOURCES):
                through_pool = 2 + operations[source] if source < MAX_VERTICES else 4
                if carried[v, source] > 0:
                    part[through_pool] += carried[v, source] ** 2 / feeders
    row[at] = np.log(output_energy)
    row[at + 1] = np.log(1 + largest)
    row[at + 2] = np.log(1 + largest_read)
    for place in range(6):
        part[place] /= output_energy
    return at + 9


@compiled
def _from_input(share, v):
    """Part of what v reads that the input brings, by whatever projection."""
    part = 0.0
    for source in range(MAX_VERTICES, NUM_SOURCES):
        part += share[v, source]
    return part


@compiled
def _sd(chances, mean):
    """Standard deviation of a count with these chances of being 0, 1, ..., and this mean."""
    variance = 0.0
    for count in range(len(chances)):
        variance += chances[count] * (count - mean) ** 2
    return np.sqrt(variance)


@compiled
def _write_source_walk(size, operations, share, pools, row, at):
    """Counts on the path of a walk backward from reader to source, and the most visits of one convolution."""
    last = size - 1
    conv3x3 = np.zeros((MAX_VERTICES, MAX_VERTICES))  # chance by (reader, count on the way from the input)
    conv = np.zeros((MAX_VERTICES, MAX_VERTICES))
    means = np.zeros((MAX_VERTICES, NUM_OPERATIONS))  # (reader, operation)
    for v in range(1, size):
        if v < last and operations[v] == MAXPOOL_CODE:
            continue
        is_conv = 1 if v < last else 0
        is_conv3x3 = is_conv if operations[v] == CONV3X3_CODE else 0
        means[v, MAXPOOL_CODE] = pools[v]
        if v < last:
            means[v, operations[v]] = 1
        from_input = _from_input(share, v)
        conv3x3[v, is_conv3x3] = from_input
        conv[v, is_conv] = from_input
        for u in range(1, v):
            if share[v, u] > 0:
                for operation in range(NUM_OPERATIONS):
                    means[v, operation] += share[v, u] * means[u, operation]
                for count in range(u + 1):
                    conv3x3[v, count + is_conv3x3] += share[v, u] * conv3x3[u, count]
                    conv[v, count + is_conv] += share[v, u] * conv[u, count]
    for operation in range(NUM_OPERATIONS):
        row[at + operation] = means[last, operation]
    row[at + 3] = _sd(conv3x3[last], means[last, CONV3X3_CODE])
    row[at + 4] = _sd(conv[last], means[last, CONV3X3_CODE] + means[last, CONV1X1_CODE])
    for count in range(4):
        row[at + 5 + count] = conv3x3[last, count]
        row[at + 9 + count] = conv[last, count]
    visits = share[last, :MAX_VERTICES].copy()
    for v in range(last - 1, 0, -1):
        if operations[v] != MAXPOOL_CODE:
            for u in range(1, v):
                visits[u] += visits[v] * share[v, u]
            place = at + 13 + operations[v]
            row[place] = max(row[place], visits[v])
    return at + 15


@compiled
def _relu_correlation(correlation):
    """Correlation of two normal numbers of this correlation after a ReLU, each centred and scaled as by batch-norm.

    This is the arc-cosine kernel of degree 1 (Cho and Saul, "Kernel Methods for Deep Learning", 2009), less its value
    at 0 and over its value at 1 less that; written so that nothing cancels when the correlation is small.
    """
    c = min(max(correlation, -1.0), 1.0)
    return c * (np.pi / 2 + np.arcsin(c) - c / (1 + np.sqrt(1 - c * c))) / (np.pi - 1)


@compiled
def _write_correlations(size, operations, share, row, at):
    """Logarithm of the correlation of two inputs' signals after one and more of the same cell, for both beginnings."""
    last = size - 1
    correlation = np.zeros(MAX_VERTICES)
    from_input = np.zeros(MAX_VERTICES)
    for v in range(1, size):
        from_input[v] = _from_input(share, v)
    for start in STARTING_CORRELATIONS:
        between = start
        passed = 0
        for told in CELLS_PASSED:
            while passed < told:
                projected = _relu_correlation(between)
                for v in range(1, size):
                    if v < last and operations[v] == MAXPOOL_CODE:
                        continue
                    mixed = from_input[v] * projected
                    for u in range(1, v):
                        mixed += share[v, u] * correlation[u]
                    correlation[v] = mixed if v == last else _relu_correlation(mixed)
                between = correlation[last]
                passed += 1
            row[at] = np.log(max(between, CORRELATION_FLOOR))
            at += 1
    return at


@compiled
def _write_gradients(size, edges, operations, read_energy, output_energy, gradient, row, at):
    """Energy of the gradient at the cell's input and at its weights, when that at the output is 1.

    Also sets ``gradient``, shape (7,), at the interior vertices.
    """
    last = size - 1
    feeders = count_feeders(size, edges)
    gradient[:] = 0
    at_weights = np.zeros(NUM_OPERATIONS)
    at_projections = 1.0 * edges[0, last]
    for v in range(last - 1, 0, -1):
        if edges[v, last]:
            gradient[v] += 1 / feeders
        if operations[v] == MAXPOOL_CODE:
            passed = gradient[v] * POOL_VARIANCE
        else:
            passed = gradient[v] * GRADIENT_GAIN / read_energy[v]
            at_weights[operations[v]] += gradient[v]
        for u in range(1, v):
            gradient[u] += edges[u, v] * passed
        at_projections += edges[0, v] * passed
    total = at_weights[CONV3X3_CODE] + at_weights[CONV1X1_CODE] + at_projections
    row[at] = np.log(at_projections * GRADIENT_GAIN / output_energy)
    row[at + 1] = np.log(at_weights[CONV3X3_CODE] + GRADIENT_FLOOR)
    row[at + 2] = np.log(at_weights[CONV1X1_CODE] + GRADIENT_FLOOR)
    row[at + 3] = at_weights[CONV3X3_CODE] / total
    row[at + 4] = at_weights[CONV1X1_CODE] / total
    return at + 5


@compiled
def write_energy_features(num_vertices, adjacency, operations, vertex_energy, vertex_gradient, features, first):
    """Write features of cells into ``features``, shape (N, F), zeros before, from column ``first``; return the next.

    Also sets ``vertex_energy``, shape (N, 7), of the tensors of all vertices but the output, and ``vertex_gradient``,
    shape (N, 7), the energy of the gradient at the interior vertices.
    """
    at = first
    read_energy = np.zeros(MAX_VERTICES)
    share = np.zeros((MAX_VERTICES, NUM_SOURCES))
    pools = np.zeros(MAX_VERTICES)
    for i in range(len(num_vertices)):
        size, edges, codes, row = num_vertices[i], adjacency[i], operations[i], features[i]
        read = np.zeros((2, MAX_VERTICES, NUM_SOURCES))
        carried = np.zeros((2, MAX_VERTICES, NUM_SOURCES))
        _trace_sources(size, edges, codes, read, carried)
        _energies(size, read[0], read_energy)
        _energies(size, carried[0], vertex_energy[i])
        output_energy = _source_shares(size, edges, codes, read, carried, share, pools)
        at = _write_energies(size, edges, codes, carried[0], vertex_energy[i], read_energy, output_energy, row, first)
        at = _write_source_walk(size, codes, share, pools, row, at)
        at = _write_correlations(size, codes, share, row, at)
        at = _write_gradients(size, edges, codes, read_energy, output_energy, vertex_gradient[i], row, at)
    return at
