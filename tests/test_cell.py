"""nplib.cell against the official library's outputs and real cells, under relabelling, and on bad input."""

import json
import pickle

import numpy as np
import pytest
from graph_strategies import cells, relabelled_cells
from hypothesis import given

from nplib.cell import INPUT, INTERIOR_OPERATIONS, OUTPUT, Cell, Cells, InvalidCell, vertex_channels

CONV3X3, CONV1X1, MAXPOOL3X3 = INTERIOR_OPERATIONS


def test_all_golden_cells_prune_and_hash_as_in_the_official_library(shared):
    golden = json.loads((shared / "golden" / "cell_hashes.json").read_text())
    assert len(golden) == 300
    for expected in golden:
        cell = Cell(expected["matrix"], expected["ops"])
        assert cell.on_path()[0] == (expected["hash"] is not None)
        if not cell.on_path()[0]:
            for method in (
                cell.pruned,
                lambda cell=cell: cell.module_hash,
                lambda cell=cell: cell.trainable_parameters,
            ):
                with pytest.raises(InvalidCell, match="does not reach"):
                    method()
            continue
        pruned = cell.pruned()
        assert cell.module_hash == expected["hash"]
        assert pruned.matrix.tolist() == expected["pruned_matrix"]
        assert list(pruned.operations) == expected["pruned_ops"]
        assert pruned.num_edges == len(pruned.edges) == expected["edges_after_pruning"]


def test_real_graphs_have_their_hashes_and_parameters(shared):
    folder = shared / "nasbench101"
    small = json.loads((folder / "small_cells_mean_of_3.json").read_text())
    only108 = json.loads((folder / "only108_sample.json").read_text())
    graphs = [(key, known["adjacency"], known["ops"], known["trainable_parameters"]) for key, known in small.items()]
    graphs += [
        (key, known["module_adjacency"], known["module_operations"], known["trainable_parameters"])
        for key, known in only108.items()
    ]
    assert len(graphs) == 1324 + 54
    for key, matrix, operations, parameters in graphs:
        cell = Cell(matrix, operations)
        assert (cell.module_hash, cell.trainable_parameters, cell.in_space) == (key, parameters, True)


@given(relabelled_cells(max_vertices=9))
def test_relabelling_changes_neither_hash_nor_place(pair):
    cell, other = pair
    assert cell.on_path()[0] == other.on_path()[0]
    assert cell.in_space == other.in_space
    if cell.on_path()[0]:
        assert cell.module_hash == other.module_hash
        assert sorted(cell.pruned().operations) == sorted(other.pruned().operations)


@given(cells(max_vertices=9))
def test_pruning_leaves_exactly_what_is_on_a_path_and_twice_is_once(cell):
    reaches = np.linalg.matrix_power(cell.matrix.astype(int) + np.eye(cell.num_vertices, dtype=int), 9) > 0
    expected = reaches[0] & reaches[:, -1]
    assert np.array_equal(cell.on_path(), expected)
    if not cell.on_path()[0]:
        assert not reaches[0, -1]
        return
    pruned = cell.pruned()
    assert pruned.on_path().all() and pruned.pruned() is pruned
    assert np.array_equal(pruned.matrix, cell.matrix[np.ix_(expected, expected)])
    assert pruned.module_hash == cell.module_hash
    assert pruned.trainable_parameters == cell.trainable_parameters


def test_one_operation_or_edge_changes_the_hash():
    base = Cell(np.eye(4, k=1), [INPUT, CONV3X3, MAXPOOL3X3, OUTPUT])
    others = [
        Cell(np.eye(4, k=1), [INPUT, CONV3X3, CONV1X1, OUTPUT]),
        Cell(np.eye(4, k=1), [INPUT, MAXPOOL3X3, CONV3X3, OUTPUT]),
        Cell(np.eye(4, k=1) + np.eye(4, k=3), [INPUT, CONV3X3, MAXPOOL3X3, OUTPUT]),
    ]
    assert len({cell.module_hash for cell in (base, *others)}) == 4


def test_cells_are_equal_as_labelled_graphs():
    matrix = np.eye(3, k=1)
    cell = Cell(matrix, [INPUT, CONV3X3, OUTPUT])
    assert cell == Cell(matrix.astype(bool), (INPUT, CONV3X3, OUTPUT))
    assert len({cell, Cell(matrix, [INPUT, CONV3X3, OUTPUT]), Cell(matrix, [INPUT, CONV1X1, OUTPUT])}) == 2
    assert cell != Cell(matrix, [INPUT, CONV1X1, OUTPUT]) and cell != "cell"


def test_a_cell_cannot_be_changed_nor_change_with_its_source():
    matrix = np.eye(3, k=1, dtype=np.int8)
    cell = Cell(matrix, [INPUT, CONV3X3, OUTPUT])
    with pytest.raises(ValueError, match="read-only"):
        cell.matrix[0, 2] = 1
    matrix[0, 2] = 1
    assert cell.edges == ((0, 1), (1, 2))


def test_names_and_codes_are_two_ways_to_write_a_cell():
    matrix = np.eye(5, k=1)
    cell = Cell(matrix, [INPUT, CONV3X3, CONV1X1, MAXPOOL3X3, OUTPUT])
    assert cell.codes.tolist() == [-1, 0, 1, 2, -2] and cell.codes.dtype == np.int8
    assert Cell.from_codes(matrix, cell.codes) == cell
    assert repr(cell) == f"Cell({CONV3X3} {CONV1X1} {MAXPOOL3X3}; 0->1 1->2 2->3 3->4)"
    assert repr(Cell([[0, 1], [0, 0]], [INPUT, OUTPUT])) == "Cell(no interior vertex; 0->1)"


def test_the_space_ends_at_seven_vertices_and_nine_edges():
    def full(size, edges):
        matrix = np.eye(size, k=1)
        above = np.argwhere(np.triu(np.ones((size, size)), 2))
        for u, v in above[: edges - (size - 1)]:
            matrix[u, v] = 1
        return Cell(matrix, [INPUT, *[CONV3X3] * (size - 2), OUTPUT])

    assert full(7, 9).in_space and full(5, 9).in_space
    assert not full(7, 10).in_space and not full(5, 10).in_space and not full(8, 8).in_space
    hanging = np.zeros((9, 9))
    hanging[0, [1, 2, 3, 8]] = 1
    assert Cell(hanging, [INPUT, *[CONV3X3] * 7, OUTPUT]).in_space
    assert not Cell(np.zeros((3, 3)), [INPUT, CONV3X3, OUTPUT]).in_space


def test_channels_that_do_not_divide_go_to_the_first():
    matrix = np.array([[0, 1, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]])
    assert vertex_channels(matrix, 128, 128) == [128, 43, 43, 42, 128]
    chained = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    assert vertex_channels(chained, 128, 256) == [128, 256, 256, 256]


def test_cells_are_padded_with_zeros():
    small = Cell([[0, 1], [0, 0]], [INPUT, OUTPUT])
    large = Cell(np.eye(7, k=1), [INPUT, *[MAXPOOL3X3] * 5, OUTPUT])
    cells = Cells.of([small, large])
    num_vertices, adjacency, operations = cells.num_vertices, cells.adjacency, cells.operations
    assert num_vertices.tolist() == [2, 7]
    assert adjacency.shape == (2, 7, 7) and adjacency[0].sum() == adjacency[0, 0, 1] == 1
    assert operations.tolist() == [[-1, -2, 0, 0, 0, 0, 0], [-1, 2, 2, 2, 2, 2, -2]]
    assert {array.dtype for array in (num_vertices, adjacency, operations)} == {np.dtype("int8")}
    with pytest.raises(InvalidCell, match="cell 1 has 8 vertices; at most 7 fit"):
        Cells.of([small, Cell(np.eye(8, k=1), [INPUT, *[MAXPOOL3X3] * 6, OUTPUT])])


PAIR = [[0, 1], [0, 0]]
ENDS = [INPUT, OUTPUT]


@pytest.mark.parametrize(
    ("matrix", "operations", "found"),
    [
        ([[0, 1, 0], [0, 0, 1]], ENDS, r"shape \(2, 3\); it must be square"),
        ([0, 1], ENDS, r"shape \(2,\)"),
        (None, ENDS, r"shape \(\)"),
        ([[0, 1], [0]], ENDS, "rows of different lengths"),
        ([[0]], [INPUT], "a cell of 1 vertices; it needs at least 2"),
        ([[0, 2], [0, 0]], ENDS, r"holds \[2\]; only 0 and 1"),
        ([[0, -1], [0, 0]], ENDS, r"holds \[-1\]"),
        ([[0, 0.5], [0, 0]], ENDS, r"holds \[0.5\]"),
        ([[0, float("nan")], [0, 0]], ENDS, r"holds \[nan\]"),
        ([["0", "1"], ["0", "0"]], ENDS, "is of type <U1; it must hold the numbers"),
        ([[0, None], [0, 0]], ENDS, "is of type object"),
        ([[0, 1], [1, 0]], ENDS, "edge 1 -> 0 does not go forward"),
        ([[1, 1], [0, 0]], ENDS, "edge 0 -> 0 does not go forward"),
        (PAIR, [INPUT, CONV3X3, OUTPUT], "3 operations for 2 vertices"),
        (PAIR, [], "0 operations for 2 vertices"),
        (PAIR, None, "operations are None"),
        (PAIR, [OUTPUT, INPUT], "run from 'output' to 'input'; they must from 'input' to 'output'"),
        (PAIR, [INPUT, CONV3X3], "run from 'input' to 'conv3x3-bn-relu'"),
        (np.eye(3, k=1), [INPUT, "conv5x5", OUTPUT], "vertex 1 has operation 'conv5x5'; known are conv3x3-bn-relu"),
        (np.eye(4, k=1), [INPUT, CONV1X1, INPUT, OUTPUT], "vertex 2 has operation 'input'"),
    ],
)
def test_what_is_no_cell_is_refused_by_what_is_wrong(matrix, operations, found):
    with pytest.raises(InvalidCell, match=found):
        Cell(matrix, operations)


@pytest.mark.parametrize("codes", [[-1, 3, -2], [-1, 0.5, -2], [-1, "0", -2], np.array([-1, 9, -2], np.int8)])
def test_unknown_codes_are_named(codes):
    with pytest.raises(InvalidCell, match=rf"unknown operation codes: {codes[1]}; known are \[-2, -1, 0, 1, 2\]"):
        Cell.from_codes(np.eye(3, k=1), codes)


# Many cells


def test_a_part_of_cells_is_a_value_of_its_own_and_they_cannot_be_written_to():
    small, large = Cell([[0, 1], [0, 0]], [INPUT, OUTPUT]), Cell(np.eye(7, k=1), [INPUT, *[MAXPOOL3X3] * 5, OUTPUT])
    cells = Cells.of([small, large, small])
    assert [cells.cell(i) for i in range(3)] == [small, large, small]
    for index in (slice(1, None), [1, 2], np.array([False, True, True])):
        part = cells[index]
        assert len(part) == 2 and [part.cell(i) for i in range(2)] == [large, small]
    with pytest.raises(ValueError, match="read-only"):
        cells.adjacency[0, 0, 1] = 0
    again = pickle.loads(pickle.dumps(cells[1:]))
    assert [again.cell(i) for i in range(2)] == [large, small]
    assert len(Cells.of([])) == 0


def test_what_is_made_of_cells_is_made_once_and_handed_to_parts():
    cells = Cells.of([Cell(np.eye(size, k=1), [INPUT, *[MAXPOOL3X3] * (size - 2), OUTPUT]) for size in (2, 3, 4, 5)])
    made = []

    def sizes(of: Cells) -> np.ndarray:
        made.append(len(of))
        return of.num_vertices * 10

    part = cells[1:][[0, 2]]
    assert part.derived("sizes", sizes).tolist() == [30, 50]
    assert cells.derived("sizes", sizes) is cells.derived("sizes", sizes)
    assert cells[1:][[0, 2]].derived("sizes", sizes).tolist() == [30, 50]
    assert made == [2, 4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_vertices": np.int8(2)}, r"num_vertices has shape \(\), not \(1,\)"),
        ({"adjacency": np.zeros((1, 6, 6), dtype=np.int8)}, r"adjacency has shape \(1, 6, 6\), not \(1, 7, 7\)"),
        ({"operations": np.zeros((1, 7))}, "operations is of type float64"),
        ({"operations": np.full((1, 7), 300)}, "operations holds numbers from 300 to 300"),
    ],
)
def test_arrays_that_are_no_cells_are_refused(change, message):
    cells = Cells.of([Cell([[0, 1], [0, 0]], [INPUT, OUTPUT])])
    arrays = {name: getattr(cells, name) for name in ("num_vertices", "adjacency", "operations")}
    with pytest.raises(InvalidCell, match=message):
        Cells(**(arrays | change))
