"""Compiled searches on labelled graphs, regularised evolution and local search: a proposal is looked up, not hashed.

A proposal is a graph of seven vertices, not pruned, as two numbers (:mod:`nplib.space`): edge bits and opcode. What
counts is the cell that is left after pruning, found in the table of the space.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nplib._compiled import compiled
from nplib.benchmark import Benchmark
from nplib.cell import MAX_VERTICES
from nplib.space import NUM_INTERIOR, TABLE_STARTS, edge_bits, kept_opcodes, load_space, opcodes

NUM_PAIRS = MAX_VERTICES * (MAX_VERTICES - 1) // 2
LAST_COLUMN = NUM_PAIRS - (MAX_VERTICES - 1)  # where the bits of edges into the output start


class Graphs7(NamedTuple):
    """Tables that lead from a graph of seven vertices to a cell of a benchmark, and back.

    Attributes:
        matrix_of_graph, kept_of_graph, kept_opcodes, cell_of_matrix (arrays): Of the space, the first two for seven
            vertices alone.
        row_of_cell (array, shape (423624,), int32): Where the benchmark has a cell; -1 where it does not.
        bits, opcode (array, shape (N,), int32): Each cell of the benchmark as a graph of seven vertices; those it lacks
            have no edges.
        spare (array, shape (N,), int32): How many such vertices there are; they stand before the output.
    """

    matrix_of_graph: np.ndarray
    kept_of_graph: np.ndarray
    kept_opcodes: np.ndarray
    cell_of_matrix: np.ndarray
    row_of_cell: np.ndarray
    bits: np.ndarray
    opcode: np.ndarray
    spare: np.ndarray


def graphs_of(benchmark: Benchmark) -> Graphs7:
    """Tables for the cells of a benchmark."""
    space = load_space()
    sizes = benchmark.num_vertices.astype(np.int64)
    bits, codes = edge_bits(benchmark.adjacency).astype(np.int64), opcodes(sizes, benchmark.operations)
    rows = np.full(len(space), -1, dtype=np.int32)
    rows[space.find_codes(sizes, bits, codes)] = np.arange(len(benchmark), dtype=np.int32)
    column = (sizes - 1) * (sizes - 2) // 2  # the output's, in a graph of this size
    wide = (bits & ((1 << column) - 1)) | ((bits >> column) << LAST_COLUMN)
    seven = slice(int(TABLE_STARTS[MAX_VERTICES]), None)
    return Graphs7(
        space.matrix_of_graph[seven],
        space.kept_of_graph[seven],
        kept_opcodes(),
        space.cell_of_matrix,
        rows,
        wide.astype(np.int32),
        codes.astype(np.int32),
        (MAX_VERTICES - sizes).astype(np.int32),
    )


@compiled
def find_row(graphs, bits, opcode):
    """Row of the benchmark for a graph; -1 if it is no cell, or the benchmark does not have it."""
    matrix = graphs.matrix_of_graph[bits]
    if matrix < 0:
        return -1
    interior = (graphs.kept_of_graph[bits] >> 1) & ((1 << NUM_INTERIOR) - 1)
    return graphs.row_of_cell[graphs.cell_of_matrix[matrix, graphs.kept_opcodes[interior, opcode]]]


@compiled
def graph_of_row(graphs, row, rng):
    """A cell as a graph of seven vertices; vertices that it lacks get random operations."""
    opcode = graphs.opcode[row]
    for v in range(NUM_INTERIOR - graphs.spare[row], NUM_INTERIOR):
        opcode += rng.integers(0, 3) * 3**v
    return graphs.bits[row], opcode


@compiled
def mutate(bits, opcode, edge_rate, operation_rate, rng):
    """Flip each edge and change each operation with these probabilities."""
    for pair in range(NUM_PAIRS):
        if rng.random() < edge_rate:
            bits ^= 1 << pair
    for v in range(NUM_INTERIOR):
        if rng.random() < operation_rate:
            digit = opcode // 3**v % 3
            opcode += ((digit + 1 + rng.integers(0, 2)) % 3 - digit) * 3**v
    return bits, opcode


@compiled
def evolve(graphs, accuracy, population_size, tournament_size, edge_rate, operation_rate, most, rng, trained):
    """Regularised evolution: the best of some has a child, and the oldest dies.

    Args:
        accuracy (array, shape (N,)): What training a cell gives.
        edge_rate, operation_rate (float): Of :func:`mutate`.
        most (int): Mutations, after which it gives up; those count that are no cells of the benchmark too.
        trained (array, shape (Q,), int64): The cells trained are written here, in order.

    Returns:
        queries, proposals : int: How many cells were trained, Q of them if it did not give up; mutations.
    """
    known = np.zeros(len(accuracy), dtype=np.bool_)
    bits = np.empty(population_size, dtype=np.int32)
    opcode = np.empty(population_size, dtype=np.int32)
    fitness = np.empty(population_size)
    order = np.arange(population_size)
    queries = proposals = members = oldest = 0
    while queries < len(trained):
        if members < population_size:
            row = rng.integers(0, len(accuracy))
            if known[row]:
                continue
            child_bits, child_opcode = graph_of_row(graphs, row, rng)
            place = members
            members += 1
        else:
            parent = -1
            for i in range(tournament_size):  # the first of a shuffled population, shuffled no further than needed
                j = rng.integers(i, population_size)
                order[i], order[j] = order[j], order[i]
                if parent < 0 or fitness[order[i]] > fitness[parent]:
                    parent = order[i]
            row = -1
            while row < 0 and proposals < most:
                child_bits, child_opcode = mutate(bits[parent], opcode[parent], edge_rate, operation_rate, rng)
                row = find_row(graphs, child_bits, child_opcode)
                proposals += 1
            if row < 0:
                break
            place = oldest
            oldest = (oldest + 1) % population_size
        bits[place], opcode[place], fitness[place] = child_bits, child_opcode, accuracy[row]
        if not known[row]:
            known[row] = True
            trained[queries] = row
            queries += 1
    return queries, proposals


@compiled
def climb(graphs, accuracy, rng, trained):
    """Local search: train every neighbour of a cell, go to the best if it is better, else start anew somewhere.

    A neighbour differs in one edge or one operation. Parameters as of :func:`evolve`.

    Returns:
        int: How often it started.
    """
    known = np.zeros(len(accuracy), dtype=np.bool_)
    moves = np.arange(NUM_PAIRS + 2 * NUM_INTERIOR)
    queries = starts = 0
    while queries < len(trained):
        here = rng.integers(0, len(accuracy))
        if known[here]:
            continue
        known[here] = True
        trained[queries] = here
        queries += 1
        starts += 1
        bits, opcode = graph_of_row(graphs, here, rng)
        climbing = True
        while climbing and queries < len(trained):
            best, best_bits, best_opcode = here, bits, opcode
            rng.shuffle(moves)
            for move in moves:
                next_bits, next_opcode = bits, opcode
                if move < NUM_PAIRS:
                    next_bits = bits ^ (1 << move)
                else:
                    v, step = divmod(move - NUM_PAIRS, 2)
                    digit = opcode // 3**v % 3
                    next_opcode = opcode + ((digit + 1 + step) % 3 - digit) * 3**v
                row = find_row(graphs, next_bits, next_opcode)
                if row < 0:
                    continue
                if not known[row]:
                    if queries == len(trained):
                        break
                    known[row] = True
                    trained[queries] = row
                    queries += 1
                if accuracy[row] > accuracy[best]:
                    best, best_bits, best_opcode = row, next_bits, next_opcode
            climbing = best != here
            here, bits, opcode = best, best_bits, best_opcode
    return starts
