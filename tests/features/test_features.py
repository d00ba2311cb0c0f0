"""nplib.features: every feature is named and explained, and is what it is said to be."""

from __future__ import annotations

import importlib
import math
from itertools import combinations_with_replacement, product

import numpy as np
import pytest
from graph_strategies import relabelled_cells
from hypothesis import assume, given, settings
from short_cells import cell_of, features_of

from nplib.cell import Cells, InvalidCell
from nplib.features import FEATURES, NAMES, compute_features, energy, feature_table
from nplib.features.catalogue import VISIT_FEATURES

OPERATIONS = ("conv3x3", "conv1x1", "maxpool")


# What they are called


def test_every_feature_is_named_and_explained():
    assert len(set(NAMES)) == len(NAMES) == len(FEATURES)
    for feature in FEATURES:
        assert feature.name.replace("_", "").isalnum() and feature.name == feature.name.lower()
        for text in (feature.group, feature.formula, feature.reason):
            assert text and text == text.strip()
    assert len({feature.formula for feature in FEATURES}) == len(FEATURES)


def test_the_table_has_a_row_for_each():
    table = feature_table()
    assert table.columns.tolist() == ["name", "group", "formula", "reason"]
    assert table["name"].tolist() == list(NAMES)
    assert (table.to_numpy() != "").all() and table.notna().all(axis=None)


# What they are


def relu_correlation(c):
    """After a ReLU, centred and scaled: the arc-cosine kernel as Cho and Saul write it."""
    kernel = (math.sqrt(1 - c * c) + c * (math.pi - math.acos(c))) / (2 * math.pi)
    independent = 1 / (2 * math.pi)
    return (kernel - independent) / (1 / 2 - independent)


def test_inner_compiled_functions_refuse_python_before_and_after_they_are_compiled(space):
    for _ in range(2):
        with pytest.raises(TypeError, match="_relu_correlation can be called by compiled code alone"):
            energy._relu_correlation(0.5)
        compute_features(space.cells[:1])


def test_the_cell_without_interior_vertices():
    cell = cell_of("", "01")
    (found,) = features_of(cell)
    ones = ["num_edges", "paths", "longest_path", "shortest_path", "max_flow", "edges_input_to_output", "channels"]
    ones += ["projection_channels", "energy_share_input", *(name for name in NAMES if "share_no_" in name)]
    ones += ["largest_out_degree", "largest_in_degree", "input_out_degree", "output_in_degree"]
    other = {
        "num_vertices": 2,
        "log_channel_cost": math.log(1.02),
        "log_output_variance": math.log(2),
        "log_parameters": math.log(cell.trainable_parameters),
        # 3x3 from 3 to 128 on 32 x 32; then nine projections on ever fewer pixels.
        "log_flops": math.log(
            1024 * (27 * 128 + 3 * 128 * 128) + 256 * (128 * 256 + 2 * 256 * 256) + 64 * (256 * 512 + 2 * 512 * 512)
        ),
        "log_gradient_input": math.log(1.467),
        "log_gradient_conv3x3": math.log(0.05),
        "log_gradient_conv1x1": math.log(0.05),
        "log_channel_gradient_conv3x3": math.log(0.05),
        "squared_log_gradient_input": math.log(1.467) ** 2,
        "log_channel_flow_conv3x3": math.log(0.05),
        "log_squared_channel_flow_conv3x3": math.log(0.02),
        "log_unpooled_channel_flow_conv3x3": math.log(0.05),
    }
    for start in (50, 95):
        correlation = start / 100
        for passed in range(1, 10):
            correlation = relu_correlation(correlation)
            other[f"log_correlation_{start}_after_{passed}"] = math.log(correlation)
    for name, value in found.items():
        assert value == pytest.approx(other.get(name, float(name in ones)), rel=1e-12), name


def test_one_convolution():
    (found,) = features_of(cell_of("3x3", "01", "12"))
    expected = {name: 1.0 for name in NAMES if name.startswith("share_one_conv")}
    expected |= {name: 0.0 for name in NAMES if name.startswith(("share_no_conv", "sd_", "skip", "pairs_"))}
    expected |= {name: 1.0 for name in NAMES if name.startswith(("mean_conv3x3_", "share_no_maxpool"))}
    expected |= {
        "longest_path": 2,
        "shortest_path_conv3x3": 1,
        "longest_path_conv1x1": 0,
        "bottlenecks_conv3x3": 1,
        "largest_path_share_conv3x3": 1,
        "mean_depth_conv3x3": 1,
        "mean_height_conv3x3": 1,
        "log_channel_cost": math.log(9 + 1 + 0.02),
        "log_output_energy": 0,
        "energy_share_conv3x3": 1,
        "energy_share_input": 0,
        "log_correlation_50_after_1": math.log(relu_correlation(relu_correlation(0.5))),
        "log_gradient_input": math.log(1.467**2),
        "log_gradient_conv3x3": math.log(1.05),
        # One at the convolution, 1.467 at the projection.
        "gradient_share_conv3x3": 1 / 2.467,
        "flow_input_to_conv3x3": 1,
        "channel_flow_conv3x3": 1,
        "max_flow": 1,
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-12, abs=1e-15), name


def test_the_input_beside_a_convolution_and_through_a_pool():
    (found,) = features_of(cell_of("3x3 pool", "01", "12", "02", "23"))
    expected = {
        "paths": 2,
        "skips": 1,
        "skips_over_conv3x3": 1,
        "skipped_vertices": 1,
        "skips_from_input": 1,
        "skips_to_output": 0,
        "longest_path": 3,
        "shortest_path": 2,
        "longest_path_spatial": 2,
        "bottlenecks_maxpool": 1,
        "bottlenecks_conv3x3": 0,
        "largest_path_share_maxpool": 1,
        "largest_path_share_conv3x3": 0.5,
        "pairs_conv3x3_before_maxpool": 1,
        "log_output_variance": math.log(1 + 2),
        # The pool reads two sources, one from each side, and keeps .7 of either's energy.
        "log_output_energy": math.log(1.4),
        "log_largest_read_energy": math.log(1 + 2),
        "energy_share_pooled_conv3x3": 0.5,
        "energy_share_pooled_input": 0.5,
        "mean_conv3x3_by_energy": 0.5,
        "sd_conv3x3_by_energy": 0.5,
        "mean_maxpool_by_energy": 1,
        "share_no_conv_by_flow": 0.5,
        "sd_vertices_uniform": 0.5,
        "log_gradient_conv3x3": math.log(0.05 + 0.7),
        "log_gradient_input": math.log(1.467 * (0.7 + 0.7 * 1.467) / 1.4),
        "flow_maxpool_to_output": 1,
        "flow_conv3x3_to_maxpool": 0.5,
        "flow_input_to_conv3x3": 0.5,
        "largest_flow_conv3x3": 0.5,
        "max_flow": 1,
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-12, abs=1e-15), name


def test_walks_differ_where_signals_do():
    """A pool that reads two tensors is twice as strong as the convolution beside it, before what follows reads both."""
    (found,) = features_of(cell_of("1x1 1x1 pool 3x3", "01", "02", "13", "23", "14", "34", "45"))
    # Paths: 0-1-4, 0-1-3-4, 0-2-3-4, all on to 5.
    assert found["mean_maxpool_uniform"] == pytest.approx(2 / 3)
    assert found["mean_maxpool_by_flow"] == pytest.approx(2 / 3)  # 2 of 1 + 2
    assert found["mean_maxpool_by_walk"] == pytest.approx(1 / 2)
    # Coherent: vertex 4 reads (1 + sqrt .7) of the first 1x1 and sqrt .7 of the second.
    first, second = (1 + math.sqrt(0.7)) ** 2, 0.7
    assert found["log_largest_read_energy"] == pytest.approx(math.log(1 + first + second))
    assert found["largest_visit_conv1x1"] == pytest.approx(first / (first + second))
    passed = math.sqrt(0.7) / (1 + math.sqrt(0.7))  # of the first, what came through the pool
    assert found["mean_maxpool_by_energy"] == pytest.approx((first * passed + second) / (first + second))


def test_capacity_is_that_of_the_narrowest_place():
    through_one, through_two, beside = features_of(
        cell_of("3x3 3x3 3x3", "01", "12", "13", "24", "34"),
        cell_of("3x3 3x3", "01", "02", "13", "23"),
        cell_of("3x3", "01", "12", "02"),
    )
    assert through_one["max_flow"] == 0.5  # two feed the output with half of its channels each; one feeds them
    assert through_two["max_flow"] == 1
    assert beside["max_flow"] == 2


# What holds of all


def prototype_names():
    """Names of the prototype's columns in its order; None where a column is the same number for every cell."""
    yield from ("num_vertices", "num_edges", *(f"num_{kind}" for kind in OPERATIONS))
    for kind in ("", "_conv3x3", "_conv1x1", "_maxpool", "_spatial", "_conv"):
        yield from (f"longest_path{kind}", f"shortest_path{kind}")
    yield from ("paths", "log_paths")
    for walk in ("uniform", "by_flow", "by_walk"):
        yield from (f"mean_{kind}_{walk}" for kind in (*OPERATIONS, "vertices"))
        yield from (f"sd_{kind}_{walk}" for kind in ("conv3x3", "vertices", "maxpool", "conv"))
        for kind, words in (("conv3x3", "no one two"), ("maxpool", "no one"), ("conv", "no one two")):
            yield from (f"share_{word}_{kind}_{walk}" for word in words.split())
    yield "edges_input_to_output"
    pairs = [pair for pair in product((*OPERATIONS, "input"), (*OPERATIONS, "output")) if pair != ("input", "output")]
    yield from (f"edges_{start}_to_{end}" for start, end in pairs)
    yield from ("largest_out_degree", "largest_in_degree", "input_out_degree", "output_in_degree")
    yield from (f"{what}_{kind}" for what in ("channels", "squared_channels") for kind in OPERATIONS)
    # The smallest and the largest channels are one, as fractions.
    yield from ("channels", "channels", "projection_channels", "log_channel_cost")
    yield from ("log_output_variance", "log_largest_variance")
    yield from ("skips", "skips_over_conv3x3", "skips_over_conv", "skipped_vertices", "skips_from_input")
    yield "skips_to_output"
    yield from (f"bottlenecks_{kind}" for kind in OPERATIONS)
    # It leaves one place empty, and writes over that of the pool.
    yield from ("largest_path_share_conv3x3", None, "largest_path_share_conv1x1")
    yield from (f"mean_{what}_{kind}" for kind in OPERATIONS for what in ("depth", "height"))
    yield from ("width", "log_parameters", "log_flops")
    yield from ("log_output_energy", "log_largest_energy", "log_largest_read_energy")
    parts = ("conv3x3", "conv1x1", "pooled_conv3x3", "pooled_conv1x1", "pooled_input", "input")
    yield from (f"energy_share_{part}" for part in parts)
    # Visits of a walk are mean numbers on its path.
    yield from ("mean_conv3x3_by_energy", "mean_conv1x1_by_energy", "largest_visit_conv3x3", "largest_visit_conv1x1")
    yield from (f"mean_{kind}_by_energy" for kind in OPERATIONS)
    yield from ("sd_conv3x3_by_energy", "sd_conv_by_energy")
    for kind in ("conv3x3", "conv"):
        yield from (f"share_{word}_{kind}_by_energy" for word in ("no", "one", "two", "three"))
    yield from (f"log_correlation_{start}_after_{cells}" for start in (50, 95) for cells in (1, 3, 9))
    yield from (f"log_gradient_{place}" for place in ("input", "conv3x3", "conv1x1"))
    yield from ("gradient_share_conv3x3", "gradient_share_conv1x1")
    # As all have the same channels, none are cut off between two vertices.
    yield from ("max_flow", None)
    for start, end in product((*OPERATIONS, "input"), (*OPERATIONS, "output")):
        directly = end == "output" and start != "maxpool"
        yield f"energy_share_{start}" if directly else f"flow_{start}_to_{end}"
    yield from (f"{what}_flow_{kind}" for kind in OPERATIONS for what in ("channel", "largest"))
    yield from (f"pairs_{first}_before_{second}" for first, second in product(OPERATIONS, repeat=2))
    yield from (f"pairs_{one}_beside_{other}" for one, other in combinations_with_replacement(OPERATIONS, 2))


def test_values_are_those_of_the_prototype(space, shared, monkeypatch):
    folder = shared / "prototype"
    if not folder.is_dir():
        pytest.skip(f"no prototype in {folder}")
    few = int(np.searchsorted(space.num_vertices, 5, side="right"))
    rows = np.concatenate([np.arange(few), np.random.default_rng(0).choice(len(space), 5_000, replace=False)])
    num_vertices, adjacency, operations = (a[rows] for a in (space.num_vertices, space.adjacency, space.operations))
    monkeypatch.syspath_prepend(folder)
    first = importlib.import_module("features_a").compute(adjacency, operations, num_vertices)[0]
    second = importlib.import_module("features_b").compute2(adjacency, operations, num_vertices)
    theirs = np.concatenate([first, second], axis=1)
    ours = dict(zip(NAMES, compute_features(space.cells[rows]).T, strict=True))
    names = list(prototype_names())
    added = {feature.name for feature in VISIT_FEATURES}
    assert set(NAMES) - set(names) == added | {"largest_path_share_maxpool"}
    for place, (name, column) in enumerate(zip(names, theirs.T, strict=True)):
        if name is None:
            assert np.abs(column).max() < 1e-12
            continue
        mine = ours[name]
        if name == "channels":
            # Without interior vertices it says 1 for the smallest and 0 for the largest.
            mine, column = mine[num_vertices > 2], column[num_vertices > 2]
        if name.startswith("sd_"):
            # It takes a square from a mean square, so that of a variance of 0 some 1e-16 is left.
            mine, column = mine**2, column**2
        np.testing.assert_allclose(mine, column, rtol=1e-9, atol=1e-14, err_msg=f"{name}, column {place}")


@given(relabelled_cells())
@settings(deadline=None)  # the first call compiles
def test_isomorphic_cells_have_the_same_features(pair):
    assume(pair[0].on_path()[0])
    found, other = features_of(*(cell.pruned() for cell in pair))
    # Which vertices get the channels that are left over depends on their order. The bounds are the largest differences
    # among all labelled graphs of the space.
    left_over = {"log_parameters": 0.0137, "log_flops": 0.0236}
    for name in NAMES:
        if name not in left_over:
            assert found[name] == pytest.approx(other[name], rel=1e-9, abs=1e-12), name
        elif pair[0].in_space:
            assert abs(found[name] - other[name]) < left_over[name], name


def test_all_cells_have_finite_features_that_tell_them_apart(space):
    features = compute_features(space.cells)
    assert features.shape == (len(space), len(NAMES)) and features.dtype == np.float64
    assert np.isfinite(features).all()
    assert (features.min(axis=0) < features.max(axis=0)).all()
    parameters = np.exp(features[:, NAMES.index("log_parameters")])
    assert np.array_equal(np.rint(parameters).astype(int), space.trainable_parameters)
    # A cell's features do not depend on which others are asked for.
    rows = np.random.default_rng(0).choice(len(space), 1_000, replace=False)
    assert np.array_equal(compute_features(space.cells[rows]), features[rows])


def test_chances_and_shares_are_that():
    cells = [cell_of("3x3 1x1 pool", "01", "12", "02", "13", "23", "24", "34"), cell_of("pool", "01", "12", "02")]
    for found in features_of(*cells):
        shares = [value for name, value in found.items() if "share_" in name]
        assert min(shares) >= 0 and max(shares) <= 1
        assert sum(value for name, value in found.items() if name.startswith("energy_share_")) == pytest.approx(1)
        for walk in ("uniform", "by_flow", "by_walk"):
            means = [found[f"mean_{kind}_{walk}"] for kind in OPERATIONS]
            assert found[f"mean_vertices_{walk}"] == pytest.approx(sum(means))


# What is asked


def test_no_cells_have_no_features():
    none = (np.zeros(shape, dtype=np.int8) for shape in ((0,), (0, 7, 7), (0, 7)))
    assert compute_features(Cells(*none)).shape == (0, len(NAMES))


def test_integers_of_any_type_do_and_what_is_past_the_last_vertex_does_not_count():
    cells = Cells.of([cell_of("3x3", "01", "12")])
    operations = cells.operations.astype(np.int64)
    operations[:, 3:] = 9
    other = Cells(cells.num_vertices.astype(np.uint8), cells.adjacency.astype(bool), operations)
    assert np.array_equal(compute_features(other), compute_features(cells))


def test_progress_is_shown_when_asked_for(capsys):
    cells = Cells.of([cell_of("3x3", "01", "12")])
    compute_features(cells)
    assert capsys.readouterr().err == ""
    compute_features(cells, progress=True)
    assert "100%" in capsys.readouterr().err


def arrays_of(cells):
    return {name: getattr(cells, name).copy() for name in ("num_vertices", "adjacency", "operations")}


GOOD, BAD = cell_of("3x3", "01", "12"), cell_of("3x3 pool", "01", "12", "23")


@pytest.mark.parametrize(
    ("array", "place", "value", "message"),
    [
        ("num_vertices", 1, 1, "cell 1 has 1 vertices; there must be from 2 to 7"),
        ("num_vertices", 1, 8, "cell 1 has 8 vertices; there must be from 2 to 7"),
        ("num_vertices", 1, 3, "cell 1 of 3 vertices has 1 in row 2, column 3 of its adjacency; only 0 and 1 are"),
        ("num_vertices", 1, 5, "cell 1 of 5 vertices has operation code -2 at vertex 3; known are -1 (input), "),
        ("adjacency", (1, 0, 1), 2, "cell 1 of 4 vertices has 2 in row 0, column 1 of its adjacency; only 0 and 1 are"),
        ("adjacency", (1, 2, 1), 1, "cell 1 of 4 vertices has 1 in row 2, column 1 of its adjacency; only 0 and 1 are"),
        ("adjacency", (1, 3, 6), 1, "cell 1 of 4 vertices has 1 in row 3, column 6 of its adjacency; only 0 and 1 are"),
        ("adjacency", (1, 1, 2), 0, "vertex 1 of cell 1 lies on no path from input to output"),
        ("operations", (1, 0), 0, "cell 1 of 4 vertices has operation code 0 at vertex 0; known are -1 (input), "),
        ("operations", (1, 2), 3, "cell 1 of 4 vertices has operation code 3 at vertex 2; known are -1 (input), "),
        ("operations", (1, 2), -1, "cell 1 of 4 vertices has operation code -1 at vertex 2; known are -1 (input), "),
        ("operations", (1, 3), 1, "cell 1 of 4 vertices has operation code 1 at vertex 3; known are -1 (input), "),
    ],
)
def test_what_is_no_pruned_cell_is_named(array, place, value, message):
    arrays = arrays_of(Cells.of([GOOD, BAD, BAD]))
    arrays[array][place] = value
    with pytest.raises(InvalidCell) as raised:
        compute_features(Cells(**arrays))
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("array", "change", "message"),
    [
        ("num_vertices", lambda a: a[0], "num_vertices has shape (), not (1,); "),
        ("adjacency", lambda a: a[:, :6, :6], "adjacency has shape (2, 6, 6), not (2, 7, 7); "),
        ("operations", lambda a: a[:1], "operations has shape (1, 7), not (2, 7); "),
        ("operations", lambda a: a.astype(float), "operations is of type float64; it must hold integers"),
    ],
)
def test_shapes_and_types_that_do_not_fit_are_named(array, change, message):
    arrays = arrays_of(Cells.of([GOOD, BAD]))
    arrays[array] = change(arrays[array])
    with pytest.raises(InvalidCell) as raised:
        compute_features(Cells(**arrays))
    assert str(raised.value).startswith(message)
