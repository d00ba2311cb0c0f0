"""nplib.api.model_spec against the official library's outputs and nplib.cell, on bad input, and as a drawing."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from graph_strategies import INCEPTION_MATRIX, INCEPTION_OPS, cells, relabelled_cells
from hypothesis import given

from nplib.api.model_spec import ModelSpec, is_upper_triangular
from nplib.cell import INPUT, INTERIOR_OPERATIONS, OUTPUT, Cell, InvalidCell

OPS = list(INTERIOR_OPERATIONS)
CONV3X3, CONV1X1, MAXPOOL3X3 = OPS


def chain(*interior: str) -> ModelSpec:
    return ModelSpec(np.eye(len(interior) + 2, k=1, dtype=int), [INPUT, *interior, OUTPUT])


def test_all_golden_cells_are_specs_as_in_the_official_library(shared):
    golden = json.loads((shared / "golden" / "cell_hashes.json").read_text())
    for expected in golden:
        spec = ModelSpec(expected["matrix"], expected["ops"])
        assert spec.valid_spec == (expected["hash"] is not None)
        assert (spec.original_matrix.tolist(), spec.original_ops) == (expected["matrix"], expected["ops"])
        if spec.valid_spec:
            assert (spec.matrix.tolist(), spec.ops) == (expected["pruned_matrix"], expected["pruned_ops"])
            assert spec.hash_spec(OPS) == expected["hash"]
        else:
            assert spec.matrix is None and spec.ops is None
            for ask in (lambda spec=spec: spec.hash_spec(OPS), spec.visualize):
                with pytest.raises(InvalidCell, match="does not reach"):
                    ask()


@given(cells(max_vertices=9))
def test_a_spec_is_the_pruned_cell(cell):
    spec = ModelSpec(cell.matrix, cell.operations)
    assert spec.valid_spec == cell.on_path()[0]
    if cell.on_path()[0]:
        assert np.array_equal(spec.matrix, cell.pruned().matrix) and spec.ops == [*cell.pruned().operations]
        assert spec.hash_spec(OPS) == cell.module_hash


@given(relabelled_cells())
def test_a_hash_depends_on_the_order_of_operations_and_not_on_that_of_vertices(pair):
    specs = [ModelSpec(cell.matrix, cell.operations) for cell in pair]
    if not specs[0].valid_spec:
        return
    turned = {CONV3X3: CONV1X1, CONV1X1: MAXPOOL3X3, MAXPOOL3X3: CONV3X3}
    other = ModelSpec(specs[0].matrix, [turned.get(op, op) for op in specs[0].ops])
    hashes = {spec.hash_spec(OPS) for spec in specs} | {other.hash_spec([turned[op] for op in OPS])}
    assert len(hashes) == 1


def test_more_operations_than_those_of_nasbench_101_can_be_hashed():
    spec = chain("skip", CONV3X3)
    assert spec.hash_spec([*OPS, "skip"]) not in {chain(op, CONV3X3).hash_spec(OPS) for op in OPS}
    with pytest.raises(ValueError, match=r"operation 'skip' is none of conv3x3-bn-relu"):
        spec.hash_spec(OPS)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, float, np.float32, object])
def test_the_type_of_the_matrix_is_kept_and_changes_no_hash(dtype):
    matrix = np.array(INCEPTION_MATRIX, dtype=dtype)
    spec = ModelSpec(matrix, tuple(INCEPTION_OPS), data_format="channels_first")
    assert spec.matrix.dtype == dtype and spec.data_format == "channels_first"
    assert spec.hash_spec(OPS) == Cell(INCEPTION_MATRIX, INCEPTION_OPS).module_hash


def test_a_spec_keeps_copies_and_may_be_changed_after():
    matrix, ops = np.eye(3, k=1, dtype=int), [INPUT, CONV3X3, OUTPUT]
    spec = ModelSpec(matrix, ops)
    before = spec.hash_spec(OPS)
    matrix[0, 2], ops[1] = 1, CONV1X1
    assert spec.hash_spec(OPS) == before
    assert (spec.original_matrix[0, 2], spec.original_ops[1]) == (0, CONV3X3)
    spec.matrix[0, 2] = 1
    assert spec.hash_spec(OPS) == Cell(matrix, [INPUT, CONV3X3, OUTPUT]).module_hash != before
    assert spec.original_matrix[0, 2] == 0


@pytest.mark.parametrize(
    ("matrix", "ops", "message"),
    [
        ([[0, 1, 0], [0, 0, 1]], [INPUT, OUTPUT], r"matrix has shape \(2, 3\); it must be square"),
        ([], [], r"matrix has shape \(0,\)"),
        ([[0, 1], [0]], [INPUT, OUTPUT], "rows of different lengths"),
        ([[0, 1], [0, 0]], [INPUT, CONV3X3, OUTPUT], "3 ops for a matrix of 2 vertices"),
        (
            [[0, 1], [1, 0]],
            [INPUT, OUTPUT],
            "edge 1 -> 0 does not go forward; matrix must be strictly upper triangular",
        ),
        ([[1, 1], [0, 0]], [INPUT, OUTPUT], "edge 0 -> 0 does not go forward"),
        ([[0, 2], [0, 0]], [INPUT, OUTPUT], "only the numbers 0 and 1"),
        ([[0, np.nan], [0, 0]], [INPUT, OUTPUT], "only the numbers 0 and 1"),
        ([["0", "1"], ["0", "0"]], [INPUT, OUTPUT], "only the numbers 0 and 1"),
    ],
)
def test_what_is_no_matrix_is_refused_as_a_value_error(matrix, ops, message):
    with pytest.raises(ValueError, match=message):
        ModelSpec(matrix, ops)


def test_a_drawing_has_the_vertices_and_edges_of_the_pruned_cell():
    matrix = np.array(INCEPTION_MATRIX)
    matrix[4, 6] = 0  # vertices 3 and 4 now lead nowhere
    drawing = ModelSpec(matrix, INCEPTION_OPS).visualize()
    labels = [INPUT, CONV1X1, CONV3X3, MAXPOOL3X3, OUTPUT]
    edges = ["0 -> 1", "0 -> 2", "0 -> 3", "1 -> 4", "2 -> 4", "3 -> 4"]
    lines = [line.strip() for line in drawing.source.splitlines()]
    assert lines == ["digraph {", *(f'{v} [label="{label}"]' for v, label in enumerate(labels)), *edges, "}"]
    picture = ElementTree.fromstring(drawing._repr_svg_())
    groups = [element.get("id", "") for element in picture.iter() if element.tag.endswith("}g")]
    assert sum(name.startswith("patch_") for name in groups) == 1 + len(edges)  # the ground, and arrows
    texts = [element.text for element in picture.iter() if element.tag.endswith("text")]
    assert texts == ["in", "1×1", "3×3", "pool", "out"]


def test_a_drawing_has_the_methods_of_a_graphviz_graph(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    drawing = chain(CONV3X3, "skip & <b>$x$").visualize()
    assert drawing.pipe().startswith(b"%PDF") and drawing.pipe("png").startswith(b"\x89PNG")
    assert "skip &amp; &lt;b&gt;$x$" in drawing.pipe(format="svg", encoding="utf8")
    assert drawing.render() == "Digraph.gv.pdf" and Path("Digraph.gv").read_text() == drawing.source
    assert drawing.render("cell", directory="new/folder", format="png", cleanup=True) == "new/folder/cell.png"
    assert sorted(path.name for path in Path("new/folder").iterdir()) == ["cell.png"] and not opened
    assert drawing.view() == "Digraph.gv.pdf" and opened == [(tmp_path / "Digraph.gv.pdf").as_uri()]
    with pytest.raises(ValueError, match="no picture is made as 'tiff'; there are svg, png, pdf"):
        drawing.pipe("tiff")


@pytest.mark.parametrize(("below", "upper"), [(0, True), (1, False), (True, False), (-2.5, False)])
def test_upper_triangular_is_zero_on_the_diagonal_and_below(below, upper):
    for place in ((1, 0), (2, 2), (2, 0)):
        matrix = np.triu(np.ones((3, 3), dtype=object), 1)
        matrix[place] = below
        assert is_upper_triangular(matrix) is is_upper_triangular(matrix.tolist()) is upper
    assert is_upper_triangular(np.zeros((0, 0)))
