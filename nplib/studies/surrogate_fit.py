"""Fit the surrogate to the sample of real results: what trees expect of a cell, and how results scatter about that.

The mean model is gradient-boosted trees on :mod:`nplib.features`, of another kind than the predictor that the book
judges. Every cell's expectation, also that of a cell of the sample, comes from trees that have not seen its result: the
cells are dealt into folds, and the trees of a fold learn from the sample's cells in the others. So cells of the sample
are like all others, and what the trees say of them is held out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import norm, rankdata

from nplib._devices import map_on_cores
from nplib._files import check_target, expand, replacing, sha256_of, write_json
from nplib.benchmark import BUDGETS, RUNS, Benchmark
from nplib.errors import UserError
from nplib.sources.surrogate import (
    DESCRIPTION,
    IMAGES,
    MODEL_FORMAT,
    TABLES,
    accuracy_of_latent,
    cells_digest,
    draw_latent,
    effect_sd,
)
from nplib.space import Space, load_space
from nplib.studies.published import (
    ALWAYS_FAILED,
    FAILED_RUNS,
    WITHIN_CELL_BY_ACCURACY,
    WITHIN_CELL_BY_BUDGET,
    WITHIN_CELL_MEDIAN,
    WITHIN_CELL_RANGE,
)
from nplib.studies.surrogate_report import measure_held_out, measure_sample

# Above what a failed run reaches, below what any other does at these budgets. Shorter budgets have no such gap: a run
# that has not begun to learn after 12 epochs is only late.
LOST_BELOW = 0.12
FAILING_BUDGETS = (36, 108)
# Sizes of steps in which the tables are stored: far below the noise of one run.
STEPS = {4: 0.01, 12: 0.01, 36: 0.004, 108: 0.002}
FAILING_STEP, SECONDS_STEP = 0.05, 0.002
QUANTILES = np.r_[
    0.0002, 0.0005, 0.001, 0.002, 0.005, np.arange(0.01, 0.991, 0.01), 0.995, 0.998, 0.999, 0.9995, 0.9998
]

# The trees learn from the first so many features: those that there were when the shipped files were fitted, which can
# only be made again from the same. What the catalogue has had since stands behind them.
FEATURES_LEARNT = 189

# Beyond, too few real runs are known to tell; the noise stays as at the end.
NOISE_KNOTS = np.linspace(-3, 1.5, 19)


def fit_surrogate(
    sample: Benchmark,
    folder: Path,
    *,
    repeats: int = 3,
    folds: int = 5,
    trees: int = 600,
    draws: int = 10,
    overwrite: bool = False,
    watch: Callable[[str], None] = lambda line: None,
) -> dict:
    """Fit all and write the two files that :func:`nplib.sources.surrogate.read_model` reads; minutes.

    Parameters
    ----------
    sample : Benchmark
        The real results, as :func:`nplib.sources.sample.read_sample` gives them.
    folder : Path
        Where to write.
    repeats : int
        How often cells are dealt into folds anew; expectations are averaged.
    folds : int
    trees : int
        How many are grown for an expectation at 36 and 108 epochs; fewer for the noisier ones.
    draws : int
        Draws of 172 cells on which the predictor is measured, for the report.
    overwrite : bool
        Replace files that are there.
    watch : callable
        Called with a line for every step of the work.

    Returns
    -------
    dict
        The description, as written.

    Raises
    ------
    UserError
        If the sample lacks what is fitted to.
    nplib._files.TargetExists
        Before anything is fitted.
    """
    folder = expand(folder)
    for name in (TABLES, DESCRIPTION):
        check_target(folder / name, overwrite)
    accuracies = np.stack([sample.values(budget=budget) for budget in BUDGETS], axis=1)
    seconds = sample.values("training_time")
    space = load_space()
    rows = space.find_hashes(sample.hashes)
    if (rows < 0).any():
        raise UserError(f"{int((rows < 0).sum())} cells of the sample are no cells of NASBench-101")
    columns = expect(space, rows, accuracies, seconds, repeats, folds, trees, watch)
    steps = {f"expected_{b}": STEPS[b] for b in BUDGETS} | {"failing": FAILING_STEP, "log_seconds": SECONDS_STEP}
    stored = {name: np.rint(columns[name] / step).astype(np.int16) for name, step in steps.items()}
    columns = {name: stored[name] * step for name, step in steps.items()}
    scatter, tables = measure_scatter(columns, rows, accuracies, seconds, watch)
    description = {
        "format": MODEL_FORMAT,
        "what": "fitted to real results of NASBench-101; a model, not measurements",
        "sample_sha256": sample.sha256,
        "sample_cells": len(sample),
        "repeats": repeats,
        "folds": folds,
        "cells": cells_digest(space),
        "steps": steps,
        "scatter": scatter,
        "tables": tables,
        "held_out": measure_held_out({b: columns[f"expected_{b}"] for b in BUDGETS}, rows, sample),
    }
    watch("the predictor on the sample")
    description["real"] = measure_sample(sample, draws)
    with replacing(folder / TABLES, overwrite) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, **stored)
    description["sha256"] = sha256_of(folder / TABLES)
    write_json(folder / DESCRIPTION, description, overwrite)
    return description


def latent(accuracies: np.ndarray) -> np.ndarray:
    """Ranks of accuracies, shape (n,), as quantiles of the standard normal distribution."""
    return norm.ppf((rankdata(accuracies) - 0.5) / len(accuracies))


def expect(
    space: Space,
    rows: np.ndarray,
    accuracies: np.ndarray,
    seconds: np.ndarray,
    repeats: int,
    folds: int,
    trees: int,
    watch: Callable[[str], None],
) -> dict[str, np.ndarray]:
    """What boosted trees expect of every cell of the space, never from trees that learnt from that cell.

    Parameters
    ----------
    space : Space
    rows : array, shape (n,)
        Indices of the sample's cells in it.
    accuracies : array, shape (n, 4)
        Validation accuracy by budget.
    seconds : array, shape (n,)

    Returns
    -------
    dict
        ``expected_4`` and so on, ``failing`` and ``log_seconds`` of :class:`nplib.sources.surrogate.SurrogateModel`.
    """
    from nplib.features.compute import compute_features

    watch("features of all cells")
    features = compute_features(space.cells)[:, :FEATURES_LEARNT]
    targets: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for b, budget in enumerate(BUDGETS):
        learnt = accuracies[:, b] > LOST_BELOW if budget in FAILING_BUDGETS else np.ones(len(rows), dtype=bool)
        targets[f"expected_{budget}"] = (learnt, latent(accuracies[learnt, b]))
    everywhere = np.ones(len(rows), dtype=bool)
    targets["log_seconds"] = (everywhere, np.log(seconds))
    # Failures of 36 epochs are single runs; those of 108 are hidden by the best of three.
    targets["failing"] = (everywhere, accuracies[:, BUDGETS.index(36)] < LOST_BELOW)

    found = {name: np.zeros(len(space)) for name in targets}
    done = 0

    def grow(task: tuple[int, str, int]) -> None:
        nonlocal done
        repeat, name, k = task
        held_out = folds_of[repeat] == k
        known, target = targets[name]
        train = ~held_out[rows] & known
        said = _grow_trees(name, features[rows[train]], target[train[known]], features[held_out], trees, repeat)
        found[name][held_out] += said / repeats
        done += 1
        watch(f"trees {done} of {len(tasks)}: {name}")

    folds_of = [np.random.default_rng(repeat).permutation(len(space)) % folds for repeat in range(repeats)]
    tasks = [(repeat, name, k) for repeat in range(repeats) for name in targets for k in range(folds)]
    map_on_cores(grow, tasks, torch.device("cpu"))
    return found


def _grow_trees(
    name: str, known: np.ndarray, target: np.ndarray, asked: np.ndarray, trees: int, seed: int
) -> np.ndarray:
    """What trees that learn some cells' results say of others, on one core."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    common = {"max_features": 0.3, "random_state": seed}
    with threadpool_limits(1):
        if name == "failing":  # rare: small trees, and few
            model = HistGradientBoostingClassifier(
                max_iter=trees // 5, learning_rate=0.03, max_leaf_nodes=8, l2_regularization=5.0, **common
            ).fit(known, target)
            chance = model.predict_proba(asked)[:, 1]
            return np.log(chance / (1 - chance))
        # Short budgets are noisier: fewer trees, and larger leaves.
        noisy = name in ("expected_4", "expected_12")
        size = {"max_iter": trees // 2} if noisy else {"max_iter": trees, "min_samples_leaf": 10}
        model = HistGradientBoostingRegressor(learning_rate=0.04, l2_regularization=1.0, **size, **common)
        return model.fit(known, target).predict(asked)


def measure_scatter(
    columns: dict[str, np.ndarray],
    rows: np.ndarray,
    accuracies: np.ndarray,
    seconds: np.ndarray,
    watch: Callable[[str], None],
) -> tuple[dict, dict]:
    """How results scatter about what trees expect: the ``scatter`` and ``tables`` of a description.

    Parameters
    ----------
    columns : dict
        As :func:`expect` gives them.
    rows, accuracies, seconds
        As for :func:`expect`.
    """
    learnt = (accuracies[:, [BUDGETS.index(b) for b in FAILING_BUDGETS]] > LOST_BELOW).all(axis=1)
    residuals = np.empty((int(learnt.sum()), len(BUDGETS)))
    residual_sd = {}
    for b, budget in enumerate(BUDGETS):
        expected = columns[f"expected_{budget}"][rows][learnt]
        difference = latent(accuracies[learnt, b]) - expected
        parts = np.array_split(np.argsort(expected), 20)
        sd = [float(difference[part].std()) for part in parts]
        knots = [float(expected[part].mean()) for part in parts]
        residual_sd[str(budget)] = (knots, sd)
        residuals[:, b] = difference / np.interp(expected, knots, sd)
    late = np.abs(np.log(seconds) - columns["log_seconds"][rows])
    scatter = {
        "residual_sd": residual_sd,
        "noise_sd": {str(budget): ([0.0], [0.3]) for budget in BUDGETS},
        "noise_spread": 0.3,
        "effect_root": np.eye(len(BUDGETS)).tolist(),
        "failures": fit_failures(columns["failing"], rows, accuracies),
        # The median of |x| is log 2 times the scale of a Laplace distribution.
        "time_scale": float(np.median(late) / np.log(2)),
    }
    shared = np.corrcoef(residuals.T)
    expected = {budget: columns[f"expected_{budget}"] for budget in BUDGETS}
    tables: dict = {}
    for step in range(12):
        scatter["effect_root"] = effect_root(shared, expected, scatter)
        draws = draw_latent(expected, columns["failing"], scatter, np.random.default_rng(step))
        for b, budget in enumerate(BUDGETS):
            good = accuracies[:, b] > (LOST_BELOW if budget in FAILING_BUDGETS else 0)
            tables[str(budget)] = quantile_table(draws, budget, accuracies[good, b])
        worst = _adjust(scatter, tables, draws)
        watch(f"noise, step {step + 1}: at most {worst:.1%} from the known spreads")
    return scatter, tables


def _adjust(scatter: dict, tables: dict, draws) -> float:
    """Bring the noise of a run closer to the known sd of runs within cells; tell how far off it was, as a fraction."""
    worst = 0.0
    for budget in BUDGETS:
        runs = accuracy_of_latent(draws.validation[budget], tables[str(budget)])
        lowest, highest = WITHIN_CELL_RANGE[budget]
        mean = runs.mean(axis=1)
        good = runs[~draws.failed[budget].any(axis=1) & (mean >= lowest) & (mean <= highest)]
        sds = np.rint(good * IMAGES).std(axis=1, ddof=1) / IMAGES
        pooled = float(np.sqrt(np.mean(sds**2)))
        known = WITHIN_CELL_BY_BUDGET[budget]
        knots, sds_of_noise = scatter["noise_sd"][str(budget)]
        scale = known / pooled
        worst = max(worst, abs(scale - 1))
        if budget < BUDGETS[-1]:
            # On the latent scale good and bad cells are about as noisy, as far as is known.
            scatter["noise_sd"][str(budget)] = (knots, [sds_of_noise[0] * scale])
        else:
            shape = _latent_noise(tables[str(budget)])
            size = np.interp(0.0, knots, sds_of_noise) / np.interp(0.0, NOISE_KNOTS, shape)
            scatter["noise_sd"][str(budget)] = (NOISE_KNOTS.tolist(), (shape * size * scale).tolist())
            ratio = np.log(known / WITHIN_CELL_MEDIAN) - np.log(pooled / np.median(sds))
            scatter["noise_spread"] = float(np.clip(scatter["noise_spread"] + 0.5 * ratio, 0, 0.8))
    return worst


def _latent_noise(table: dict) -> np.ndarray:
    """Noise of one run at :data:`NOISE_KNOTS` of the latent scale, up to a factor, as it is known by accuracy."""
    accuracies, step = accuracy_of_latent(NOISE_KNOTS, table), 0.05
    rise = accuracy_of_latent(NOISE_KNOTS + step, table) - accuracy_of_latent(NOISE_KNOTS - step, table)
    slopes = rise / (2 * step)
    return np.interp(accuracies, *WITHIN_CELL_BY_ACCURACY) / np.maximum(slopes, 1e-4)


def effect_root(shared: np.ndarray, expected: dict[int, np.ndarray], scatter: dict) -> list[list[float]]:
    """Root of the correlations of a cell's effects, from the correlations of the residuals that they make.

    Noise of runs is independent between budgets, so all that residuals of two budgets share is the cell's.
    """
    parts = [
        np.mean(effect_sd(expected[b], scatter, b) ** 2 / np.interp(expected[b], *scatter["residual_sd"][str(b)]) ** 2)
        for b in BUDGETS
    ]
    correlations = np.clip(shared / np.sqrt(np.outer(parts, parts)), -0.95, 0.95)
    np.fill_diagonal(correlations, 1.0)
    values, vectors = np.linalg.eigh(correlations)
    root = vectors * np.sqrt(np.maximum(values, 1e-6))
    return (root / np.sqrt((root**2).sum(axis=1))[:, None]).tolist()


def quantile_table(draws, budget: int, accuracies: np.ndarray) -> dict:
    """Table from latent values to accuracies that gives the draws the quantiles of the real results.

    At 108 epochs these are the best of three runs. A table that rises takes the best of three latent values to the best
    of three accuracies, so it can be read off the best and used for each.
    """
    z, failed = draws.validation[budget], draws.failed[budget]
    if budget == BUDGETS[-1]:
        drawn = np.where(failed, -np.inf, z).max(axis=1)
        drawn = drawn[~failed.all(axis=1)]
    else:
        drawn = z[~failed]
    knots, values = np.quantile(drawn, QUANTILES), np.quantile(accuracies, QUANTILES)
    high = [int(np.searchsorted(QUANTILES, q)) for q in (0.99, 0.9995)]
    error = -np.log(1 - values[high])
    return {
        "z": knots.round(5).tolist(),
        "accuracy": values.round(6).tolist(),
        "slope_above": float((error[1] - error[0]) / (knots[high[1]] - knots[high[0]])),
    }


def fit_failures(failing: np.ndarray, rows: np.ndarray, accuracies: np.ndarray) -> dict:
    """Offsets of the logit of failing, and its sd between cells, by three shares.

    The share of failed runs at 36 epochs is the sample's; that at 108, and that of cells whose three runs all fail, are
    those known of NASBench-101.
    """
    points, weights = np.polynomial.hermite_e.hermegauss(41)
    weights = weights / weights.sum()
    step = max(1, len(failing) // 50_000)

    def share(offset: float, sd: float, power: int) -> float:
        chance = expit(failing[::step, None] + offset + sd * points)
        return float((chance**power @ weights).mean())

    def offset_for(sd: float, wanted: float) -> float:
        return brentq(lambda offset: share(offset, sd, 1) - wanted, -15, 10)

    sd = brentq(lambda s: share(offset_for(s, FAILED_RUNS), s, RUNS) - ALWAYS_FAILED, 0.0, 6.0)
    seen = float((accuracies[:, BUDGETS.index(36)] < LOST_BELOW).mean())
    return {"cell_sd": float(sd), "36": offset_for(sd, seen), "108": offset_for(sd, FAILED_RUNS)}
