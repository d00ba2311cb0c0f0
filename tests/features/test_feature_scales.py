"""Columns are what their names say, over all cells of the space, whatever cells are at hand."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import norm, rankdata

from nplib._files import cache_folder
from nplib.errors import UserError
from nplib.features import NAMES, columns_of, compute_features, features_of
from nplib.features.scales import EXTREME, NORMAL, all_columns, load_scales, place_of


@pytest.fixture(scope="module")
def everything(space):
    """Features of all cells."""
    return features_of(space.cells)


def columns_from(features, names):
    columns = [load_scales().column(name, features[:, place_of(name)].astype(np.float64)) for name in names]
    return np.stack(columns, axis=1).astype(np.float32).astype(np.float64)


def test_there_are_two_columns_a_feature():
    assert len(set(all_columns())) == len(all_columns()) == 2 * len(NAMES)


@pytest.mark.parametrize("names", [NAMES, [name + NORMAL for name in NAMES]], ids=["standardised", "normal scores"])
def test_columns_have_mean_0_and_sd_1_over_all_cells(everything, names):
    for start in range(0, len(names), 40):
        columns = columns_from(everything, names[start : start + 40])
        np.testing.assert_allclose(columns.mean(axis=0), 0, atol=2e-5)
        np.testing.assert_allclose(columns.std(axis=0), 1, atol=2e-5)


@pytest.mark.parametrize("name", ["paths", "log_flops", "mean_maxpool_by_flow", "log_gradient_conv3x3"])
def test_normal_scores_are_those_of_ranks_among_all_cells(everything, name):
    """Of whole numbers, of numbers nearly all different, and of some with many zeros."""
    values = everything[:, NAMES.index(name)]
    (scores,) = columns_from(everything, [name + NORMAL]).T
    expected = norm.ppf(np.clip((rankdata(values) - 0.5) / len(values), EXTREME, 1 - EXTREME))
    expected = (expected - expected.mean()) / expected.std()
    off = np.abs(scores - expected)
    assert np.quantile(off, 0.99) < 0.02 and off.max() < 0.25, "a thousand quantiles stand for all ranks"
    order = np.argsort(values, kind="stable")
    assert (np.diff(scores[order]) >= 0).all()


def test_equal_values_have_equal_scores_and_others_extrapolate_to_the_ends(everything):
    values = np.zeros((4, len(NAMES)), dtype=np.float32)
    values[:, NAMES.index("paths")] = [-5, 1, 1, 1e6]
    (scores,) = columns_from(values, ["paths" + NORMAL]).T
    known = columns_from(everything, ["paths" + NORMAL])
    assert scores[1] == scores[2] and scores[0] == known.min() and scores[3] == known.max()


def test_cells_keep_their_features_and_columns_and_hand_them_on(space):
    cells = space.cells[np.arange(1_000, 2_000, 10)]
    names = ("paths", "paths" + NORMAL, "log_flops")
    columns = columns_of(cells, names)
    np.testing.assert_array_equal(columns, columns_from(compute_features(cells).astype(np.float32), names))
    assert columns.dtype == np.float32 and columns_of(cells, list(names)) is columns
    assert features_of(cells) is features_of(cells)
    for index in (slice(5, 15), np.arange(5, 15), np.arange(100) % 7 == 3):
        part = cells[index][:8]
        np.testing.assert_array_equal(columns_of(part, names), columns[index][:8])
        np.testing.assert_array_equal(columns_of(part, names[:2]), columns[index][:8, :2])


def test_a_name_that_is_none_is_refused(space):
    with pytest.raises(UserError, match=r"no column is called 'depth'; nplib\.features\.feature_table lists"):
        columns_of(space.cells[:3], ["paths", "depth"])


def test_damaged_scales_are_computed_anew_and_kept(tmp_path, space):
    """In a process and a cache of its own, which has the cells, and half of the scales."""
    expected = repr(load_scales().mean.sum()) + "\n"
    for path in cache_folder().glob("*.npz"):
        shutil.copy(path, tmp_path)
    (kept,) = tmp_path.glob("feature-scales-*.npz")
    kept.write_bytes(kept.read_bytes()[:1000])
    code = "from nplib.features.scales import load_scales as f; print(repr(f().mean.sum()))"
    command, variables = [sys.executable, "-c", code], os.environ | {"NPLIB_CACHE": str(tmp_path)}
    for damaged in (True, False):
        done = subprocess.run(command, env=variables, capture_output=True, text=True)
        assert (done.stdout, "cannot be read" in done.stderr) == (expected, damaged)
