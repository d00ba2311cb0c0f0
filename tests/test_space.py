"""nplib.space and nplib._hashing: all cells, their names, the tables that find them, and the cache."""

import json
import logging
import subprocess
import sys

import numpy as np
import pytest
from graph_strategies import cells, relabelled_cells
from hypothesis import given
from hypothesis import strategies as st

from nplib._hashing import isomorphism_keys, module_digests
from nplib.cell import Cell, Cells, InvalidCell
from nplib.space import (
    CACHE_VERSION,
    CACHED_ARRAYS,
    CACHED_TABLES,
    CELLS_BY_VERTICES,
    adjacency_of_bits,
    edge_bits,
    load_space,
    opcodes,
    operations_of_opcodes,
)

ARRAYS = ("num_vertices", "adjacency", "operations", "hashes", "trainable_parameters", *CACHED_TABLES)


@pytest.fixture(scope="module")
def rows(space):
    """A few hundred cells: every one of up to four vertices, and some of the others."""
    few = int(np.searchsorted(space.num_vertices, 5))
    return np.concatenate([np.arange(few), np.sort(np.random.default_rng(0).choice(len(space), 300, replace=False))])


def random_graphs(count, seed):
    """Zero-padded random graphs of 2 to 7 vertices, as sparse or dense as may be; most are not pruned."""
    random = np.random.default_rng(seed)
    num_vertices = random.integers(2, 8, count).astype(np.int8)
    inside = np.arange(7) < num_vertices[:, None]
    edges = random.random((count, 7, 7)) < random.uniform(0.1, 0.9, (count, 1, 1))
    adjacency = (np.triu(edges, 1) & inside[:, :, None] & inside[:, None, :]).astype(np.int8)
    operations = np.where(inside, random.integers(0, 3, (count, 7)), 0).astype(np.int8)
    operations[:, 0] = -1
    operations[np.arange(count), num_vertices - 1] = -2
    return num_vertices, adjacency, operations


def test_there_are_as_many_cells_of_each_size_as_there_should(space):
    sizes, counts = np.unique(space.num_vertices, return_counts=True)
    assert dict(zip(sizes.tolist(), counts.tolist(), strict=True)) == CELLS_BY_VERTICES
    assert CELLS_BY_VERTICES == {2: 1, 3: 6, 4: 84, 5: 2_441, 6: 62_010, 7: 359_082}
    assert len(space) == len(set(space.hashes.tolist())) == 423_624
    assert space.adjacency.sum(axis=(1, 2)).max() == 9


def test_compiled_hashes_are_those_of_a_cell(space, rows):
    arrays = space.num_vertices[rows], space.adjacency[rows], np.arange(len(rows)), space.operations[rows]
    digests = module_digests(*arrays)
    for row, digest in zip(rows, digests, strict=True):
        cell = space.cell(row)
        assert cell.pruned() is cell and cell.in_space
        assert digest.tobytes().hex() == cell.module_hash == space.hashes[row].decode()
        assert space.find(cell) == space.find_hash(cell.module_hash) == row


def test_parameters_are_those_of_a_cell(space, rows):
    expected = [space.cell(row).trainable_parameters for row in rows]
    assert space.trainable_parameters[rows].tolist() == expected


def test_every_key_of_the_real_files_is_found_with_its_parameters(space, shared):
    folder = shared / "nasbench101"
    known = {}
    for name in ("small_cells_mean_of_3", "only108_sample"):
        for key, cell in json.loads((folder / f"{name}.json").read_text()).items():
            known[key] = cell["trainable_parameters"]
    sample = json.loads((folder / "best_of_3_20k.json").read_text())
    known |= dict(zip(sample["key"], sample["trainable_parameters"], strict=True))
    assert len(known) > 21_000
    found = space.find_hashes(np.array(list(known), dtype="S32"))
    assert (found >= 0).all()
    assert space.trainable_parameters[found].tolist() == list(known.values())
    for name in ("single_run_validation_108", "three_runs_validation_108"):
        keys = list(json.loads((folder / f"{name}.json").read_text()))
        assert len(keys) >= 40 and (space.find_hashes(np.array(keys, dtype="S32")) >= 0).all()


@given(relabelled_cells(max_vertices=8))
def test_any_labelling_leads_to_the_same_cell(space, pair):
    cell, other = pair
    if cell.in_space:
        index = space.find(cell)
        assert space.find(other) == index
        assert space.hashes[index].decode() == cell.module_hash
    else:
        for graph in pair:
            with pytest.raises(InvalidCell, match=r"does not reach|edges after pruning"):
                space.find(graph)


@given(st.lists(cells(), min_size=1, max_size=10))
def test_many_are_found_as_one_by_one(space, graphs):
    found = space.find_cells(Cells.of(graphs))
    assert found.tolist() == [space.find(cell) if cell.in_space else -1 for cell in graphs]


def test_unpruned_graphs_are_found_as_by_pruning_and_hashing(space):
    num_vertices, adjacency, operations = random_graphs(3000, seed=1)
    found = space.find_cells(Cells(num_vertices, adjacency, operations))
    outside = 0
    for size, matrix, codes, index in zip(num_vertices, adjacency, operations, found, strict=True):
        cell = Cell.from_codes(matrix[:size, :size], codes[:size])
        if cell.in_space:
            assert index == space.find_hash(cell.pruned().module_hash)
        else:
            assert index == -1
            outside += 1
    assert 500 < outside < 2500


def test_the_cheap_key_tells_cells_apart_as_the_hash_does(space):
    """Over random labelled graphs of full size, both make the same classes."""
    num_vertices, adjacency, operations = random_graphs(20_000, seed=2)
    index = space.find_cells(Cells(num_vertices, adjacency, operations))
    pruned = (index >= 0) & (num_vertices == space.num_vertices[index])
    arrays = num_vertices[pruned], adjacency[pruned], np.arange(pruned.sum()), operations[pruned]
    keys = isomorphism_keys(*arrays)
    pairs = set(zip(keys.tolist(), index[pruned].tolist(), strict=True))
    assert len(pairs) == len(set(keys.tolist())) == len(set(index[pruned].tolist()))
    assert len(pairs) < pruned.sum()  # some come twice, or nothing is shown
    names = module_digests(*arrays)
    assert [name.tobytes().hex().encode() for name in names] == space.hashes[index[pruned]].tolist()


def test_graphs_come_back_from_their_numbers():
    num_vertices, adjacency, operations = random_graphs(1000, seed=3)
    assert np.array_equal(adjacency_of_bits(edge_bits(adjacency)), adjacency)
    assert np.array_equal(operations_of_opcodes(num_vertices, opcodes(num_vertices, operations)), operations)


def test_an_unknown_hash(space):
    with pytest.raises(KeyError, match="'feed'"):
        space.find_hash("feed")
    known = space.hashes[7]
    assert space.find_hashes(np.array([known, b"0" * 32])).tolist() == [7, -1]
    assert space.find_hash(known) == space.find_hash(known.decode()) == 7


def test_what_is_outside_says_how_far(space):
    cell = Cell(np.triu(np.ones((5, 5)), 1), ["input", *["maxpool3x3"] * 3, "output"])
    with pytest.raises(InvalidCell, match=r"5 vertices and 10 edges after pruning; .* at most 7 and 9"):
        space.find(cell)


def test_arrays_are_read_only(space):
    for name in ARRAYS:
        assert not getattr(space, name).flags.writeable


def assert_same(space, other):
    for name in ARRAYS:
        assert getattr(space, name).dtype == getattr(other, name).dtype
        assert np.array_equal(getattr(space, name), getattr(other, name))


def test_a_damaged_cache_is_made_anew(space, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("NPLIB_CACHE", str(tmp_path))
    cache = tmp_path / f"space-v{CACHE_VERSION}.npz"
    np.savez(cache, **{name: np.arange(3) for name in CACHED_ARRAYS + CACHED_TABLES})
    content = cache.read_bytes()
    cache.write_bytes(content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        assert_same(load_space.__wrapped__(), space)
    assert f"{cache} cannot be read" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert_same(load_space.__wrapped__(), space)
    assert not caplog.records


def test_a_loaded_space_needs_no_compiler(space):
    """Which takes longer to load than the space does; the fixture has filled the cache."""
    code = """
import sys
from nplib.space import load_space
load_space()
print(sorted({"numba", "scipy"} & {*sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
