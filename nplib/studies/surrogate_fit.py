"""Fit the surrogate to all that is known here of the real table: one run of every cell, and more of a sample of them.

The mean model is gradient-boosted trees on :mod:`nplib.features`, of another kind than the predictor that the book
judges. At 108 epochs cells are halved at random, and the trees that learn one half's runs say what they expect of the
other. That is each cell's prior; with its own run, whose noise is known, it makes the posterior whose mean is shipped.
The sample's best of three never enters it, and so can judge it. Of shorter budgets the sample alone tells: its cells
are dealt into folds, and a cell's expectation comes from trees that have not seen its result.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from nplib._devices import map_on_cores
from nplib._files import check_target, expand, replacing, sha256_of, write_json
from nplib.benchmark import BUDGETS, FAILED_BELOW, RUNS, Benchmark
from nplib.errors import UserError
from nplib.features import features_of
from nplib.sources.surrogate import (
    DESCRIPTION,
    IMAGES,
    MODEL_FORMAT,
    TABLES,
    TEST_NOISE,
    VALIDATION_EFFECT,
    Draws,
    accuracy_of_latent,
    cells_digest,
    draw_latent,
    loudness_of,
)
from nplib.space import load_space
from nplib.studies.published import (
    ALWAYS_FAILED,
    FAILED_RUNS,
    KNOWN_FIGURES,
    WITHIN_CELL_BY_BUDGET,
    WITHIN_CELL_MEDIAN,
    WITHIN_CELL_RANGE,
)
from nplib.studies.surrogate_report import (
    apart_sd,
    measure_half,
    measure_held_out,
    measure_pairs,
    measure_run,
    measure_sample,
)

LAST = BUDGETS[-1]
# Above what a failed run reaches, below what any other does at 36 and 108 epochs. Shorter budgets have no such gap: a
# run that has not begun to learn after 12 epochs is only late.
LOST_BELOW = 0.12
# Sizes of steps in which the tables are stored: far below the noise of one run.
STEPS = {4: 0.02, 12: 0.02, 36: 0.01, 108: 0.01}
FAILING_STEP, SECONDS_STEP = 0.05, 0.002
QUANTILES = np.r_[
    0.0002, 0.0005, 0.001, 0.002, 0.005, np.arange(0.01, 0.991, 0.01), 0.995, 0.998, 0.999, 0.9995, 0.9998
]
# Where all cells are known.
FAR_TAIL = np.r_[1e-5, 5e-5, 1e-4, 0.0015, 0.003, 0.004, 0.0075]
FAR_QUANTILES = np.unique(np.r_[FAR_TAIL, QUANTILES, 1 - FAR_TAIL, 0.9992, 0.9997, 0.99998])

# The trees learn from the first so many features: what the catalogue has had since stands behind them.
FEATURES_LEARNT = 189
# Where the sample is cut, by what is expected of its cells, to tell how noise depends on it.
NOISE_CUTS = (0.01, 0.05, 0.15, 0.35, 0.65, 0.85, 0.95, 0.985)
# Trees do not know all: of the variance that they leave unexplained, at least this part is the cells' own. How much it
# is at the top the sample's few hundred cells there do not tell; with this part as many cells are excellent as in the
# whole table (from .02 to .06 the count changes by a tenth).
LEAST_EFFECT = 0.0625
# Draws of each cell of the sample that stand beside its one real result.
COPIES = 10


def fit_surrogate(
    sample: Benchmark,
    one_run: Benchmark,
    folder: Path,
    *,
    folds: int = 5,
    trees: int = 600,
    draws: int = 10,
    overwrite: bool = False,
    watch: Callable[[str], None] = lambda line: None,
) -> dict:
    """Fit all and write the two files that :func:`nplib.sources.surrogate.read_model` reads; minutes.

    Args:
        sample (Benchmark): Best of three and shorter budgets, as :func:`nplib.sources.sample.read_sample` gives them.
        one_run (Benchmark): Test accuracy of run 0, as :func:`nplib.sources.one_run.read_one_run` gives it. Cells that
            it lacks keep their prior.
        folder (Path): Where to write.
        folds (int): Into how many parts cells are dealt for the shorter budgets.
        trees (int): Half of them are grown for an expectation at 36 and 108 epochs, a fifth for the noisier ones.
        draws (int): Draws of 172 cells on which the predictor is measured, for the report.
        overwrite (bool): Replace files that are there.
        watch (callable): Called with a line for every step of the work.

    Returns:
        dict: The description, as written.

    Raises:
        UserError: If the sample lacks what is fitted to.
        nplib._files.TargetExists: Before anything is fitted.
    """
    folder = expand(folder)
    for name in (TABLES, DESCRIPTION):
        check_target(folder / name, overwrite)
    accuracies = np.stack([sample.values(budget=budget) for budget in BUDGETS], axis=1)
    seconds = sample.values("training_time")
    space = load_space()
    rows, run_rows = space.find_hashes(sample.hashes), space.find_hashes(one_run.hashes)
    for name, found in (("sample", rows), ("one run", run_rows)):
        if (found < 0).any():
            raise UserError(f"{int((found < 0).sum())} cells of the {name} are no cells of NASBench-101")
    test = np.full(len(space), np.nan)
    test[run_rows] = one_run.values("test_accuracy")

    watch("features of all cells")
    features = features_of(space.cells)[:, :FEATURES_LEARNT]
    prior, failing = expect_run(features, test, trees, watch)
    scatter, tables = fit_run_noise(prior, test, rows, accuracies[:, -1], watch)
    half = measure_half(prior, test, scatter, tables)
    middle, left_open = posterior(prior, latent_run(test), scatter)
    features = np.column_stack([features, middle.astype(np.float32)])
    columns = expect_shorter(features, rows, accuracies, seconds, folds, trees, watch)
    columns |= {f"expected_{LAST}": middle, "failing": failing}

    steps = {f"expected_{b}": STEPS[b] for b in BUDGETS} | {"failing": FAILING_STEP, "log_seconds": SECONDS_STEP}
    stored = {name: np.rint(columns[name] / step).astype(np.int16) for name, step in steps.items()}
    columns = {name: stored[name] * step for name, step in steps.items()}
    scatter["effect_sd"][str(LAST)] = by_expectation(columns[f"expected_{LAST}"], left_open)
    measure_scatter(columns, scatter, tables, rows, accuracies, seconds, watch)
    fit_run_table(columns, scatter, tables, test)
    description = {
        "format": MODEL_FORMAT,
        "what": "fitted to real results of NASBench-101; a model, not measurements",
        "sample_sha256": sample.sha256,
        "one_run_sha256": one_run.sha256,
        "sample_cells": len(sample),
        "folds": folds,
        "cells": cells_digest(space),
        "steps": steps,
        "scatter": scatter,
        "tables": tables,
        "held_out": measure_held_out({b: columns[f"expected_{b}"] for b in BUDGETS}, rows, sample),
        "half": half,
    }
    watch("the predictor on the sample")
    pairs = {"run": measure_run(test[~np.isnan(test)]), "pairs": measure_pairs(accuracies[:, -1], test[rows])}
    description["real"] = measure_sample(sample, draws) | pairs
    with replacing(folder / TABLES, overwrite) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, **stored)
    description["sha256"] = sha256_of(folder / TABLES)
    write_json(folder / DESCRIPTION, description, overwrite)
    return description


def latent(accuracies: np.ndarray) -> np.ndarray:
    """Ranks of accuracies, shape (n,), as quantiles of the standard normal distribution."""
    return norm.ppf((rankdata(accuracies) - 0.5) / len(accuracies))


def latent_run(test: np.ndarray) -> np.ndarray:
    """The :func:`latent` of runs, shape (N,); NaN where a run failed or is not known."""
    z = np.full(len(test), np.nan)
    good = test >= FAILED_BELOW
    z[good] = latent(test[good])
    return z


# What trees expect


def expect_run(
    features: np.ndarray, test: np.ndarray, trees: int, watch: Callable[[str], None]
) -> tuple[np.ndarray, np.ndarray]:
    """What trees expect of a run of 108 epochs, never from trees that learnt from that cell.

    Args:
        features: Array, shape (N, F), float32.
        test (array, shape (N,)): Test accuracy of one run; NaN where it is not known.

    Returns:
        tuple of array, shape (N,): Latent accuracy, and the logit of failing.
    """
    z, known = latent_run(test), ~np.isnan(test)
    half = np.random.default_rng(0).permutation(len(test)) % 2
    found = np.zeros((2, len(test)))

    def grow(task: tuple[int, int]) -> None:
        which, k = task
        learnt = (half != k) & (known if which else ~np.isnan(z))
        target = test < FAILED_BELOW if which else z
        name = "failing" if which else "run"
        found[which, half == k] = _grow_trees(name, features, np.flatnonzero(learnt), target, half == k, trees)
        watch(f"trees of half the cells: {name} of the other half")

    map_on_cores(grow, [(which, k) for which in range(2) for k in range(2)], torch.device("cpu"))
    return found[0], found[1]


def expect_shorter(
    features: np.ndarray,
    rows: np.ndarray,
    accuracies: np.ndarray,
    seconds: np.ndarray,
    folds: int,
    trees: int,
    watch: Callable[[str], None],
) -> dict[str, np.ndarray]:
    """What trees expect of every cell at shorter budgets, and of time, never from trees that learnt from that cell.

    Args:
        features: Array, shape (N, F), float32.
        rows (array, shape (n,)): Indices of the sample's cells in them.
        accuracies (array, shape (n, 4)): Validation accuracy by budget.
        seconds: Array, shape (n,).

    Returns:
        dict: ``expected_4``, ``expected_12``, ``expected_36`` and ``log_seconds``, shape (N,) each.
    """
    targets = {f"expected_{budget}": latent(accuracies[:, b]) for b, budget in enumerate(BUDGETS[:-1])}
    learnt = accuracies[:, BUDGETS.index(36)] > LOST_BELOW
    targets["expected_36"] = np.where(learnt, 0.0, np.nan)
    targets["expected_36"][learnt] = latent(accuracies[learnt, BUDGETS.index(36)])
    targets["log_seconds"] = np.log(seconds)
    fold = np.random.default_rng(0).permutation(len(features)) % folds
    found = {name: np.zeros(len(features)) for name in targets}

    def grow(task: tuple[str, int]) -> None:
        name, k = task
        target = np.full(len(features), np.nan)
        target[rows] = targets[name]
        train = np.flatnonzero((fold != k) & ~np.isnan(target))
        found[name][fold == k] = _grow_trees(name, features, train, target, fold == k, trees)
        watch(f"trees: {name}, fold {k + 1} of {folds}")

    map_on_cores(grow, [(name, k) for name in targets for k in range(folds)], torch.device("cpu"))
    return found


def _grow_trees(
    name: str, features: np.ndarray, train: np.ndarray, target: np.ndarray, asked: np.ndarray, trees: int
) -> np.ndarray:
    """What trees that learn some cells' results say of others, on one core."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    common = {"max_features": 0.3, "early_stopping": False, "random_state": 0}
    with threadpool_limits(1):
        if name == "failing":  # rare: small trees, and few
            common |= {"max_iter": trees // 5, "learning_rate": 0.03, "max_leaf_nodes": 8, "l2_regularization": 5.0}
            model = HistGradientBoostingClassifier(**common).fit(features[train], target[train])
            return logit(model.predict_proba(features[asked])[:, 1])
        # Short budgets are noisy: fewer trees.
        size = {"max_iter": trees // 2, "learning_rate": 0.1 if name == "run" else 0.08}
        if name in ("expected_4", "expected_12"):
            size = {"max_iter": trees // 5, "learning_rate": 0.06}
        model = HistGradientBoostingRegressor(l2_regularization=1.0, **size, **common)
        return model.fit(features[train], target[train]).predict(features[asked])


# How one run of 108 epochs scatters, and what it tells of its cell


def by_expectation(expected: np.ndarray, deviations: np.ndarray, parts: int = 20) -> tuple[list[float], list[float]]:
    """Root mean square of deviations, shape (n,), at means of so many parts of as many cells each, and of the ends."""
    order = np.argsort(expected, kind="stable")
    cuts = np.r_[0.002, 0.01, np.arange(1, parts) / parts, 0.99, 0.998]
    groups = np.split(order, np.unique((cuts * len(order)).astype(int)))
    groups = [group for group in groups if len(group)]
    sds = [float(np.sqrt(np.mean(deviations[group] ** 2))) for group in groups]
    return [float(expected[group].mean()) for group in groups], sds


def unexplained(residual: tuple[list[float], list[float]], noise_sd: np.ndarray) -> tuple[list[float], list[float]]:
    """Sd of a cell's effect: what trees leave unexplained, less what noise of runs adds to their labels."""
    knots, sds = residual[0], np.array(residual[1])
    return knots, np.sqrt(np.maximum(sds**2 - noise_sd**2, LEAST_EFFECT * sds**2)).tolist()


def fit_run_noise(
    prior: np.ndarray, test: np.ndarray, rows: np.ndarray, best: np.ndarray, watch: Callable[[str], None]
) -> tuple[dict, dict]:
    """Noise of a run of 108 epochs and effects of cells about the prior: the beginning of ``scatter`` and ``tables``.

    How noise depends on a cell is known by how far a run's surprise goes with its difference from the best of three, in
    the sample; how large it is, by the spread of that difference; how much cells alike differ in noise, by what is
    known of three runs of a cell. Effects are the rest of what trees leave unexplained.

    Args:
        prior, test (array, shape (N,)): As :func:`expect_run` gives and takes them.
        rows, best (array, shape (n,)): The sample's cells, and their best of three.
    """
    z = latent_run(test)
    known = ~np.isnan(z)
    residual = by_expectation(prior[known], z[known] - prior[known])
    both = (best > LOST_BELOW) & known[rows]
    rows, best = rows[both], best[both]
    part = np.digitize(prior[rows], np.quantile(prior[rows], NOISE_CUTS))
    real = _own_noise(z[rows] - prior[rows], test[rows] - best, part)
    spread = apart_sd(best, test[rows])
    many = np.tile(rows, COPIES)
    knots = [float(prior[rows][part == p].mean()) for p in range(len(real))]
    most = np.interp(knots, *residual) * (1 - LEAST_EFFECT) ** 0.5 / TEST_NOISE
    noise = most / 2
    scatter: dict = {
        "effect_sd": {},
        "noise_sd": {},
        "noise_spread": 0.3,
        "effect_root": np.eye(len(BUDGETS)).tolist(),
        "failures": {"cell_sd": 0.0},
    }
    tables = {f"test_{LAST}": table_of(norm.ppf(FAR_QUANTILES), test[known], FAR_QUANTILES)}
    # Beyond the sample's best, noise is as large in accuracy, and so the larger the flatter the table.
    beyond = knots[-1] + np.array([0.5, 1.0, 1.5])
    around = np.array([knots[-1], *beyond])[:, None] + [-0.25, 0.25]
    rise = np.diff(accuracy_of_latent(around, tables[f"test_{LAST}"]))[:, 0]
    steeper = rise[0] / rise[1:]
    for step in range(25):
        scatter["noise_sd"][str(LAST)] = ([*knots, *beyond], [*noise, *(noise[-1] * steeper)])
        noise_there = np.interp(residual[0], *scatter["noise_sd"][str(LAST)])
        scatter["effect_sd"][str(LAST)] = unexplained(residual, TEST_NOISE * noise_there)
        rng = np.random.default_rng(step)
        drawn = draw_latent({LAST: prior[many]}, np.zeros(len(many)), scatter, rng)
        top = drawn.validation[LAST].max(axis=1)
        tables[str(LAST)] = table_of(np.quantile(top, QUANTILES), best, QUANTILES)
        run = drawn.test[LAST][:, 0]
        tests = accuracy_of_latent(run, tables[f"test_{LAST}"])
        tops = accuracy_of_latent(top, tables[str(LAST)])
        if step >= 10:  # drawn in as outliers are, covariances alone make it too small
            real *= (spread / apart_sd(tops, tests)) ** 0.5
        ratio = real / _own_noise(run - prior[many], tests - tops, np.tile(part, COPIES))
        noise = np.minimum(noise * ratio**0.5, most)
        pooled, median = _within_cells(drawn, LAST, tables[str(LAST)])
        wider = np.log(WITHIN_CELL_BY_BUDGET[LAST] / WITHIN_CELL_MEDIAN) - np.log(pooled / median)
        scatter["noise_spread"] = float(np.clip(scatter["noise_spread"] + 0.5 * wider, 0, 0.8))
        watch(f"noise of 108 epochs, step {step + 1}: at most {np.abs(ratio - 1).max():.1%} from the sample's")
    return scatter, tables


def _own_noise(surprise: np.ndarray, apart: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Root of the covariance of a run's surprise with its difference from other runs, part by part.

    The cell itself is in the surprise alone, and the others' noise in the difference alone: what both share is the
    noise of the run. A few cells far off are drawn in.
    """

    def drawn_in(values: np.ndarray) -> np.ndarray:
        values = values - np.median(values)
        bound = 5 * np.abs(values).mean()
        return np.clip(values, -bound, bound)

    groups = [part == p for p in range(part.max() + 1)]
    return np.array([np.cov(drawn_in(surprise[g]), drawn_in(apart[g]))[0, 1] for g in groups]) ** 0.5


def _within_cells(draws: Draws, budget: int, table: dict) -> tuple[float, float]:
    """Sd between runs of cells as good as those whose spread is known: pooled, and its median."""
    runs = accuracy_of_latent(draws.validation[budget], table)
    lowest, highest = WITHIN_CELL_RANGE[budget]
    mean = runs.mean(axis=1)
    good = runs[~draws.failed[budget].any(axis=1) & (mean >= lowest) & (mean <= highest)]
    sds = np.rint(good * IMAGES).std(axis=1, ddof=1) / IMAGES
    return float(np.sqrt(np.mean(sds**2))), float(np.median(sds))


def posterior(prior: np.ndarray, z: np.ndarray, scatter: dict) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd of where a cell is, given what trees expect and one run of it, shape (N,) each.

    By Bayes' rule on a grid, since noise depends on where the cell is, and on how noisy it is. Without a run (NaN) it
    is the prior.
    """
    effect_sd = np.interp(prior, *scatter["effect_sd"][str(LAST)])
    loud = loudness_of(norm.ppf([0.1, 0.3, 0.5, 0.7, 0.9]), scatter["noise_spread"])
    total, first, second = np.zeros((3, len(prior)))
    for x in np.linspace(-4, 4, 33):
        place = prior + effect_sd * x
        noise = TEST_NOISE * np.interp(place, *scatter["noise_sd"][str(LAST)])
        weight = np.mean([norm.pdf(z, place, noise * size) for size in loud], axis=0)
        weight = np.where(np.isnan(z), 1.0, weight + 1e-12) * np.exp(-(x**2) / 2)
        total, first, second = total + weight, first + weight * x, second + weight * x**2
    mean = first / total
    return prior + effect_sd * mean, effect_sd * np.sqrt(second / total - mean**2)


# Failures


def fit_failures(failing: np.ndarray, share_of_36: float) -> dict:
    """Offsets of the logit of failing, and its sd between cells alike, by three shares.

    The share of failed runs at 36 epochs is the sample's; that at 108, and that of cells whose three runs all fail, are
    those known of NASBench-101. Whether a cell's own run failed is not used: trees know most, and it is one bit.
    """
    points, weights = np.polynomial.hermite_e.hermegauss(41)
    step = max(1, len(failing) // 50_000)

    def share(offset: float, sd: float, runs: int) -> float:
        chance = expit(failing[::step, None] + offset + sd * points)
        return float((chance**runs @ weights).mean() / weights.sum())

    def offset_for(sd: float, wanted: float) -> float:
        return brentq(lambda offset: share(offset, sd, 1) - wanted, -25, 15)

    sd = brentq(lambda sd: share(offset_for(sd, FAILED_RUNS), sd, RUNS) - ALWAYS_FAILED, 0.0, 6.0)
    return {"cell_sd": float(sd), "36": offset_for(sd, share_of_36), str(LAST): offset_for(sd, FAILED_RUNS)}


# All budgets together


def measure_scatter(
    columns: dict[str, np.ndarray],
    scatter: dict,
    tables: dict,
    rows: np.ndarray,
    accuracies: np.ndarray,
    seconds: np.ndarray,
    watch: Callable[[str], None],
) -> None:
    """Complete ``scatter`` and ``tables`` with shorter budgets, what budgets share, failures and time.

    Args:
        columns (dict): As they are shipped.
        scatter, tables (dict): As :func:`fit_run_noise` begins them, with effects about the posterior.
        rows, accuracies, seconds: As for :func:`expect_shorter`.
    """
    learnt = (accuracies[:, [BUDGETS.index(36), -1]] > LOST_BELOW).all(axis=1)
    residuals = np.empty((int(learnt.sum()), len(BUDGETS)))
    residual_sd = {}
    for b, budget in enumerate(BUDGETS):
        expected = columns[f"expected_{budget}"][rows][learnt]
        difference = latent(accuracies[learnt, b]) - expected
        order = np.argsort(expected, kind="stable")
        for part in np.array_split(order, 20):  # the best of three lies higher than one run
            difference[part] -= difference[part].mean()
        residual_sd[budget] = by_expectation(expected, difference)
        residuals[:, b] = difference / np.interp(expected, *residual_sd[budget])
    late = np.abs(np.log(seconds) - columns["log_seconds"][rows])
    # The median of |x| is log 2 times the scale of a Laplace distribution.
    scatter["time_scale"] = float(np.median(late) / np.log(2))
    share_of_36 = float((accuracies[:, BUDGETS.index(36)] < LOST_BELOW).mean())
    scatter["failures"] = fit_failures(columns["failing"], share_of_36)
    scatter["noise_sd"] |= {str(budget): ([0.0], [0.3]) for budget in BUDGETS[:-1]}
    shared = np.corrcoef(residuals.T)
    many = np.tile(rows, COPIES)
    expected = {budget: columns[f"expected_{budget}"][many] for budget in BUDGETS}
    for step in range(12):
        for budget in BUDGETS[:-1]:
            noise_sd = scatter["noise_sd"][str(budget)][1][0]
            scatter["effect_sd"][str(budget)] = unexplained(residual_sd[budget], noise_sd)
        scatter["effect_root"] = effect_root(shared, expected, residual_sd, scatter)
        draws = draw_latent(expected, columns["failing"][many], scatter, np.random.default_rng(step))
        worst = 0.0
        for b, budget in enumerate(BUDGETS):
            good = accuracies[:, b] > (LOST_BELOW if str(budget) in scatter["failures"] else 0)
            z, failed = draws.validation[budget], draws.failed[budget]
            # A table that rises takes the best of three latent values to the best of three accuracies.
            z = np.where(failed, -np.inf, z).max(axis=1)[~failed.all(axis=1)] if budget == LAST else z[~failed]
            tables[str(budget)] = table_of(np.quantile(z, QUANTILES), accuracies[good, b], QUANTILES)
            if budget < LAST:  # good and bad cells are about as noisy on the latent scale, as far as is known
                scale = WITHIN_CELL_BY_BUDGET[budget] / _within_cells(draws, budget, tables[str(budget)])[0]
                scatter["noise_sd"][str(budget)] = ([0.0], [scatter["noise_sd"][str(budget)][1][0] * scale])
                worst = max(worst, abs(scale - 1))
        watch(f"noise, step {step + 1}: at most {worst:.1%} from the known spreads")


def effect_root(
    shared: np.ndarray, expected: dict[int, np.ndarray], residual_sd: dict[int, tuple], scatter: dict
) -> list[list[float]]:
    """Root of the correlations of a cell's effects, from the correlations of the residuals that they make.

    Noise of runs is independent between budgets, so all that residuals of two budgets share is the cell's.
    """
    parts = [
        np.mean((np.interp(z, *scatter["effect_sd"][str(b)]) / np.interp(z, *residual_sd[b])) ** 2)
        for b, z in expected.items()
    ]
    correlations = np.clip(shared / np.sqrt(np.outer(parts, parts)), -0.95, 0.95)
    np.fill_diagonal(correlations, 1.0)
    values, vectors = np.linalg.eigh(correlations)
    root = vectors * np.sqrt(np.maximum(values, 1e-6))
    return (root / np.sqrt((root**2).sum(axis=1))[:, None]).tolist()


def table_of(knots: np.ndarray, accuracies: np.ndarray, quantiles: np.ndarray) -> dict:
    """Table that leads from latent values, which have these quantiles, to accuracies with those of real results."""
    values = np.quantile(accuracies, quantiles)
    high = [int(np.searchsorted(quantiles, 1 - part * (1 - quantiles[-1]) - 1e-9)) for part in (50, 2.5)]
    error = -np.log(1 - values[high])
    return {
        "z": knots.round(5).tolist(),
        "accuracy": values.round(6).tolist(),
        "slope_above": float((error[1] - error[0]) / (knots[high[1]] - knots[high[0]])),
    }


def fit_run_table(columns: dict[str, np.ndarray], scatter: dict, tables: dict, test: np.ndarray) -> None:
    """Fit the table of test accuracy at 108 epochs to all its runs, and the ends of both to the best single runs.

    What validation accuracy does not share comes on top, and the best of so many cells has much of it.
    """
    expected = {LAST: columns[f"expected_{LAST}"]}
    draws = draw_latent(expected, columns["failing"], scatter, np.random.default_rng(len(BUDGETS)))
    z, good = draws.test[LAST], ~draws.failed[LAST] & ~np.isnan(test)[:, None]
    known = test[test >= FAILED_BELOW]
    tables[f"test_{LAST}"] = table_of(np.quantile(z[good], FAR_QUANTILES), known, FAR_QUANTILES)
    for name, metric, z, more in (
        (f"test_{LAST}", "test_accuracy", draws.test[LAST], 0.0),
        (str(LAST), "validation_accuracy", draws.validation[LAST], 2 * VALIDATION_EFFECT[LAST]),
    ):
        table, best = tables[name], KNOWN_FIGURES[metric]["best single run"] - more
        rise = np.log((1 - table["accuracy"][-1]) / (1 - best))
        table["slope_above"] = float(rise / (z.max() - table["z"][-1]))
