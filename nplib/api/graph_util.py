"""Functions of graphs by their official names: ``from nplib.api import graph_util``.

Source of the behaviour: ``nasbench/lib/graph_util.py`` of google-research/nasbench.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nplib.cell import graph_hash

__all__ = ["gen_is_edge_fn", "hash_module", "is_full_dag", "is_isomorphic", "num_edges", "permute_graph"]


def gen_is_edge_fn(bits: int) -> Callable[[int, int], bool]:
    """Whether there is an edge x -> y in the graph of a number: it is bit x + y (y - 1) / 2; none goes backward."""
    return lambda x, y: x < y and bool(int(bits) >> (x + y * (y - 1) // 2) & 1)


def is_full_dag(matrix: ArrayLike) -> bool:
    """Whether every vertex but the last has an edge out, and every one but the first an edge in, shape (V, V)."""
    edges = np.asarray(matrix) != 0
    return bool(edges[:-1].any(axis=1).all() and edges[:, 1:].any(axis=0).all())


def num_edges(matrix: ArrayLike) -> int:
    """The number of edges of an adjacency matrix, shape (V, V)."""
    return np.sum(np.asarray(matrix))


def hash_module(matrix: ArrayLike, labeling: Sequence[int]) -> str:
    """The hash of a graph with labelled vertices, equal for isomorphic ones: 32 hexadecimal digits.

    Args:
        matrix (array_like, shape (V, V)): Not pruned here; counted as whole numbers, whatever its type.
        labeling (sequence of V int): -1 for the input, -2 for the output, and codes of operations between.
    """
    rows = np.asarray(matrix).astype(int).tolist()
    labels = tuple(np.asarray(labeling).tolist())
    if len(labels) != len(rows) or any(len(row) != len(rows) for row in rows):
        raise ValueError(f"{len(labels)} labels for a matrix of shape {np.shape(matrix)}; there must be one a vertex")
    return graph_hash(tuple(map(tuple, rows)), labels)


def permute_graph(graph: np.ndarray, label: Sequence[Any], permutation: Sequence[int]) -> tuple[np.ndarray, list]:
    """The same graph with vertex v called ``permutation[v]``: its matrix, shape (V, V), bool, and its labels."""
    order = np.argsort(permutation)
    return np.asarray(graph)[np.ix_(order, order)] == 1, [label[v] for v in order]


def is_isomorphic(graph1: tuple[ArrayLike, Sequence], graph2: tuple[ArrayLike, Sequence]) -> bool:
    """Whether two graphs, each a matrix and its labels, are the same but for the names of vertices; tries all names."""
    (matrix1, label1), (matrix2, label2) = graph1, graph2
    matrix1, matrix2 = np.asarray(matrix1), np.asarray(matrix2)
    if matrix1.shape != matrix2.shape or len(label1) != len(label2):
        raise ValueError(f"graphs have matrices of shapes {matrix1.shape} and {matrix2.shape}; they must be alike")
    for permutation in itertools.permutations(range(len(label1))):
        matrix, label = permute_graph(matrix1, label1, permutation)
        if label == list(label2) and np.array_equal(matrix, matrix2):
            return True
    return False
