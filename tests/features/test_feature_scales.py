"""Columns are what their names say, over all cells of the space, whatever cells are at hand."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.stats import norm, rankdata

from nplib.errors import UserError
from nplib.features import NAMES, compute_features
from nplib.features import scales as feature_scales
from nplib.features.scales import EXTREME, NORMAL, all_columns, columns_of
from nplib.predictor import Graphs


@pytest.fixture(scope="module")
def everything(space):
    """Features of all cells."""
    return compute_features(space.num_vertices, space.adjacency, space.operations).astype(np.float32)


def test_there_are_two_columns_a_feature():
    assert len(set(all_columns())) == len(all_columns()) == 2 * len(NAMES)


@pytest.mark.parametrize("names", [NAMES, [name + NORMAL for name in NAMES]], ids=["standardised", "normal scores"])
def test_columns_have_mean_0_and_sd_1_over_all_cells(everything, names):
    for start in range(0, len(names), 40):
        columns = columns_of(everything, names[start : start + 40]).astype(np.float64)
        np.testing.assert_allclose(columns.mean(axis=0), 0, atol=2e-5)
        np.testing.assert_allclose(columns.std(axis=0), 1, atol=2e-5)


@pytest.mark.parametrize("name", ["paths", "log_flops", "mean_maxpool_by_flow", "log_gradient_conv3x3"])
def test_normal_scores_are_those_of_ranks_among_all_cells(everything, name):
    """Of whole numbers, of numbers nearly all different, and of some with many zeros."""
    values = everything[:, NAMES.index(name)]
    (scores,) = columns_of(everything, [name + NORMAL]).T
    expected = norm.ppf(np.clip((rankdata(values) - 0.5) / len(values), EXTREME, 1 - EXTREME))
    expected = (expected - expected.mean()) / expected.std()
    off = np.abs(scores - expected)
    assert np.quantile(off, 0.99) < 0.02 and off.max() < 0.25, "a thousand quantiles stand for all ranks"
    order = np.argsort(values, kind="stable")
    assert (np.diff(scores[order]) >= 0).all()


def test_equal_values_have_equal_scores_and_others_extrapolate_to_the_ends(everything):
    values = np.zeros((4, len(NAMES)), dtype=np.float32)
    values[:, NAMES.index("paths")] = [-5, 1, 1, 1e6]
    (scores,) = columns_of(values, ["paths" + NORMAL]).T
    known = columns_of(everything, ["paths" + NORMAL])
    assert scores[1] == scores[2] and scores[0] == known.min() and scores[3] == known.max()


def test_graphs_keep_their_columns_and_hand_them_on(space):
    rows = np.arange(1_000, 2_000, 10)
    graphs = Graphs.from_arrays(space.num_vertices[rows], space.adjacency[rows], space.operations[rows])
    names = ("paths", "paths" + NORMAL, "log_flops")
    columns = graphs.columns(names)
    assert columns.dtype == np.float32 and graphs.columns(list(names)) is columns
    part = graphs[torch.arange(5, 15)]
    np.testing.assert_array_equal(part.__dict__["_columns"][names], columns[5:15])
    np.testing.assert_array_equal(part.columns(names[:2]), columns[5:15, :2])


def test_a_name_that_is_none_is_refused(everything):
    with pytest.raises(UserError, match=r"no column is called 'depth'; nplib\.features\.feature_table lists"):
        columns_of(everything[:3], ["paths", "depth"])


def test_scales_are_computed_once_kept_and_mended(tmp_path, space):
    """In a process and a cache of its own."""
    code = "from nplib.features.scales import load_scales as f; print(repr(f().mean.sum()))"
    found = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"NPLIB_CACHE": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        found.append((done.stdout, "cannot be read" in done.stderr))
        (kept,) = tmp_path.glob("feature-scales-*.npz")
        if len(found) == 2:
            kept.write_bytes(kept.read_bytes()[:1000])
    assert [text for text, _ in found] == [repr(feature_scales.load_scales().mean.sum()) + "\n"] * 3
    assert [warned for _, warned in found] == [False, False, True]
