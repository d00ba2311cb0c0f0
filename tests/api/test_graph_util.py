"""nplib.api.graph_util and config against the official library's outputs, and against what they are defined as."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

from nplib import api
from nplib.api import config, graph_util, model_spec

MATRIX = np.array([[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]])


@pytest.fixture(scope="module")
def golden(shared) -> list[dict]:
    return [cell for cell in json.loads((shared / "golden" / "cell_hashes.json").read_text()) if cell["hash"]]


@pytest.mark.parametrize("dtype", [int, float, bool, object])
def test_modules_have_the_official_hashes(golden, dtype):
    codes = {op: code for code, op in enumerate(config.build_config()["available_ops"])}
    assert len(golden) > 100
    for cell in golden:
        labels = [-1, *(codes[op] for op in cell["pruned_ops"][1:-1]), -2]
        matrix = np.array(cell["pruned_matrix"], dtype=dtype)
        assert graph_util.hash_module(matrix, labels) == cell["hash"]
        assert graph_util.hash_module(matrix.tolist(), np.array(labels)) == cell["hash"]
        assert graph_util.num_edges(matrix) == cell["edges_after_pruning"]
        spec = model_spec.ModelSpec(cell["matrix"], cell["ops"])
        assert spec.hash_spec(config.build_config()["available_ops"]) == cell["hash"]
        # No official cell of more than two vertices has one that leads nowhere.
        assert graph_util.is_full_dag(matrix) and model_spec.is_upper_triangular(matrix)


def test_labels_must_be_as_many_as_vertices():
    for matrix, labels in ((MATRIX, [-1, 0, -2]), (MATRIX[:3], [-1, 0, -2])):
        with pytest.raises(ValueError, match="there must be one a vertex"):
            graph_util.hash_module(matrix, labels)


def test_bits_are_edges_in_the_order_of_columns():
    for bits in range(2**6):
        is_edge = graph_util.gen_is_edge_fn(bits)
        edges = [(x, y) for y in range(4) for x in range(y)]
        assert sum(2**i for i, (x, y) in enumerate(edges) if is_edge(x, y)) == bits
        assert not any(is_edge(y, x) for x, y in [*edges, (1, 1)])
    matrix = np.fromfunction(np.vectorize(graph_util.gen_is_edge_fn(0b110011)), (4, 4), dtype=np.int8)
    assert matrix.astype(int).tolist() == [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]


@pytest.mark.parametrize("vertex", [1, 2])
@pytest.mark.parametrize("by_row", [True, False])
def test_a_full_dag_has_no_vertex_that_leads_or_comes_from_nowhere(vertex, by_row):
    assert graph_util.is_full_dag(MATRIX)
    matrix = MATRIX.copy()
    (matrix if by_row else matrix.T)[vertex] = 0
    assert not graph_util.is_full_dag(matrix)


def test_a_permuted_graph_has_its_vertices_at_their_new_places():
    labels = ["a", "b", "c", "d"]
    seen = set()
    for permutation in itertools.permutations(range(4)):
        matrix, label = graph_util.permute_graph(MATRIX, labels, permutation)
        assert all(label[permutation[v]] == labels[v] for v in range(4))
        assert all(matrix[permutation[u], permutation[v]] == MATRIX[u, v] for u in range(4) for v in range(4))
        assert graph_util.is_isomorphic((MATRIX, labels), (matrix, label))
        codes = [-1, 0, 0, -2]
        seen.add(graph_util.hash_module(*graph_util.permute_graph(MATRIX, codes, permutation)))
    assert len(seen) == 1 and math.factorial(4) == 24


def test_graphs_of_other_edges_or_labels_are_not_isomorphic():
    labels = [-1, 0, 1, -2]
    other = MATRIX.copy()
    other[1, 2] = 1
    assert graph_util.is_isomorphic((MATRIX.tolist(), labels), (MATRIX, [-1, 1, 0, -2]))
    assert not graph_util.is_isomorphic((MATRIX, labels), (MATRIX, [-1, 0, 0, -2]))
    assert not graph_util.is_isomorphic((MATRIX, labels), (other, labels))
    with pytest.raises(ValueError, match="must be alike"):
        graph_util.is_isomorphic((MATRIX, labels), (MATRIX[:3, :3], labels[:3]))


def test_settings_are_new_each_time_and_those_of_a_benchmark(small_surrogate):
    first, second = config.build_config(), config.build_config()
    first["available_ops"].clear()
    assert second["available_ops"] == ["conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"]
    assert api.NASBench(small_surrogate).config == second
