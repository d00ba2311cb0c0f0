"""How good the surrogate is: its figures beside those of NASBench-101, what was allowed, and whether that is met.

What is known of real results is of two kinds: figures of all cells that others published, and those of the sample and
of the one run of every cell, which are measured when the surrogate is fitted and kept in its description, so that the
report needs no download. Only the ranks of that run need the run itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from nplib import sources
from nplib.benchmark import BUDGETS, FAILED_BELOW, FALLBACK_ACCURACY, Benchmark
from nplib.cell import Cells
from nplib.metrics import kendall_tau, mse_percent2, summarize
from nplib.sources.surrogate import SurrogateModel, accuracy_of_latent, draw_latent
from nplib.splits import drawn_cells
from nplib.studies import published
from nplib.studies.noise import pooled, table_figures, within_cell_sd
from nplib.training import fit_predictors

QUANTILES = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
LAST = BUDGETS[-1]
TOP = (0.93, 0.935, 0.94)  # test accuracies of one run at the top of the table
TRAINING_CELLS = 172
KNOWN, SAMPLE, RUNS_KNOWN = "all cells, published", "the sample", "cells with known runs"
COUNTED = "all cells, counted, not published"  # and looked at when the fit was made: no independent check
ONE_RUN, NOT_HERE = "one run of every cell", "not compared: one-run is not here"


@dataclass(frozen=True)
class Line:
    """One figure of the surrogate beside the real one.

    Attributes:
        low, high (float): What is allowed, both ends included; NaN where nothing is asked for.
        source (str): Of the real figure.
    """

    group: str
    figure: str
    surrogate: float
    real: float
    low: float
    high: float
    source: str

    @property
    def verdict(self) -> str:
        """``"yes"`` or ``"no"``: whether it is within what is allowed; empty where nothing is asked for."""
        if math.isnan(self.low):
            return ""
        return "yes" if self.low <= self.surrogate <= self.high else "no"

    @property
    def share_of_allowed(self) -> float:
        """The difference in parts of what is allowed on that side, from -1 to 1 where it is met; NaN without."""
        difference = self.surrogate - self.real
        return difference / (self.high - self.real if difference > 0 else self.real - self.low)


def near(
    group: str, figure: str, surrogate: float, real: float, source: str, by: float = 0.0, times: float = 1.0
) -> Line:
    """A line that allows so much more or less, so many times more or less, or, without either, asks for nothing."""
    low, high = (math.nan, math.nan) if by == 0 and times == 1 else (real / times - by, real * times + by)
    return Line(group, figure, float(surrogate), float(real), low, high, source)


def sample_cells(benchmark: Benchmark, last_hash: str) -> np.ndarray:
    """Rows of the cells that the sample holds, in its order: by hash, up to its last."""
    order = np.argsort(benchmark.hashes)
    return order[: np.searchsorted(benchmark.hashes[order], last_hash.encode(), side="right")]


def best_of_three(benchmark: Benchmark) -> np.ndarray:
    """The label that the sample has: best validation accuracy of the runs at 108 epochs, shape (N,), fractions."""
    return benchmark.values(run=None).max(axis=1)


def measure_sample(sample: Benchmark, draws: int = 10) -> dict:
    """Figures of the sample that the report compares with, as JSON can hold them."""
    accuracies = np.stack([sample.values(budget=budget) for budget in BUDGETS], axis=1)
    return {
        "cells": len(sample),
        "last_hash": max(sample.hashes).decode(),
        "quantiles": {str(b): np.quantile(accuracies[:, i], QUANTILES).tolist() for i, b in enumerate(BUDGETS)},
        "rank_correlations": spearmanr(accuracies)[0].tolist(),
        "seconds": time_figures(sample.values("training_time"), sample.trainable_parameters),
        "predictor": predictor_figures(sample.cells, accuracies[:, -1], draws),
    }


def measure_run(test: np.ndarray) -> dict:
    """Figures of one run of every cell that the report compares with: quantiles, and how many cells are at the top."""
    counts = {str(least): int((test >= least).sum()) for least in TOP}
    return {"quantiles": np.quantile(test, QUANTILES).tolist(), "at_least": counts, "largest": float(test.max())}


def measure_pairs(best: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """How the best of three (validation) and run 0 (test) of the same cells agree, shape (n,) each."""
    return {
        "Kendall tau of best of three and test of run 0": kendall_tau(best, test),
        "sd of their difference, ordinary cells": apart_sd(best, test),
    }


def apart_sd(best: np.ndarray, test: np.ndarray) -> float:
    """Standard deviation of best of three less test, shape (n,) each, over cells as good as those with known runs."""
    lowest, highest = published.WITHIN_CELL_RANGE[LAST]
    ordinary = (best >= lowest) & (best <= highest) & (test >= FAILED_BELOW)
    return float((best - test)[ordinary].std())


def measure_half(prior: np.ndarray, test: np.ndarray, scatter: dict, tables: dict) -> dict[str, list[float]]:
    """What trees of half the cells foresee of runs of the other half, and what these runs are: pairs, by figure.

    Args:
        prior, test (array, shape (N,)): What trees expect of cells whose runs they have not seen, on the latent scale,
            and these runs.
        scatter, tables (dict): As for the surrogate, with effects about the prior. These few numbers are measured on
            all cells.
    """
    good = test >= FAILED_BELOW
    prior, test = prior[good], test[good]
    drawn = draw_latent({LAST: prior}, np.zeros(len(prior)), scatter, np.random.default_rng(0)).test[LAST][:, 0]
    table = tables[f"test_{LAST}"]
    real = np.interp(test, table["accuracy"], table["z"])
    effect_sd, noise_sd = (np.interp(prior, *scatter[name][str(LAST)]) for name in ("effect_sd", "noise_sd"))
    off, drawn_off = (np.abs(z - prior) / np.hypot(effect_sd, noise_sd) for z in (real, drawn))
    found = {"Kendall tau with run 0": [kendall_tau(prior, drawn), kendall_tau(prior, test)]}
    for share in (0.5, 0.9, 0.98):
        inside = off <= np.quantile(drawn_off, share)
        found[f"share of runs in the middle {share:.0%}"] = [share, float(inside.mean())]
    runs = accuracy_of_latent(drawn, table)
    for least in TOP:
        found[f"runs of {least:.1%} and above"] = [int((runs >= least).sum()), int((test >= least).sum())]
    found["runs below 80.0%"] = [int((runs < 0.8).sum()), int((test < 0.8).sum())]
    return found


def time_figures(seconds: np.ndarray, parameters: np.ndarray) -> dict[str, float]:
    """Median training time (s): of all cells, and of each fifth of them by trainable parameters."""
    fifths = np.array_split(np.argsort(parameters, kind="stable"), 5)
    names = ("smallest fifth", "second fifth", "third fifth", "fourth fifth", "largest fifth")
    medians = {name: float(np.median(seconds[fifth])) for name, fifth in zip(names, fifths, strict=True)}
    return {"all cells": float(np.median(seconds)), **medians}


def predictor_figures(cells: Cells, accuracies: np.ndarray, draws: int) -> dict[str, list[float]]:
    """Kendall tau and MSE (points²) of the paper's predictor on all cells, a value a draw of 172 training cells."""
    labels = np.where(accuracies < FAILED_BELOW, FALLBACK_ACCURACY, accuracies)
    fit = fit_predictors(cells, labels, range(draws), training_cells=drawn_cells(len(labels), TRAINING_CELLS, draws))
    predicted = fit.predict(cells)
    return {
        "kendall_tau": [kendall_tau(labels, row) for row in predicted],
        "mse_percent2": [mse_percent2(labels, row) for row in predicted],
    }


def measure_held_out(expected: dict[int, np.ndarray], rows: np.ndarray, sample: Benchmark) -> dict[str, float]:
    """Kendall tau, by budget, of what trees expect of cells that they have not seen with the sample's results.

    Args:
        expected (dict): By budget, of all cells of the space.
        rows (array, shape (n,)): Indices of the sample's cells in it.
    """
    return {str(b): kendall_tau(sample.values(budget=b), expected[b][rows]) for b in BUDGETS}


def measure_predictor(benchmark: Benchmark, model: SurrogateModel, draws: int = 10) -> dict[str, list[float]]:
    """The :func:`predictor_figures` of the surrogate, on the sample's cells and draws, and with its kind of label."""
    rows = sample_cells(benchmark, model.description["real"]["last_hash"])
    return predictor_figures(benchmark.cells[rows], best_of_three(benchmark)[rows], draws)


def find_one_run() -> Benchmark | None:
    """The one run of every cell if it is on this machine; None otherwise, for nothing is downloaded to compare with."""
    found = sources.find("one-run")[0]
    return sources.load("one-run") if found.is_here else None


def compare(
    benchmark: Benchmark, model: SurrogateModel, predictor: dict[str, list[float]], one_run: Benchmark | None = None
) -> list[Line]:
    """All figures side by side.

    Args:
        benchmark (Benchmark): Made from the model.
        predictor (dict): As :func:`measure_predictor` gives it.
        one_run (Benchmark, optional): As :func:`find_one_run` gives it; without it ranks of real runs are not compared,
            and a line says so.
    """
    real = model.description["real"]
    rows = sample_cells(benchmark, real["last_hash"])
    lines = [*_mean_model(model), *_known_figures(benchmark), *_noise(benchmark), *_failures(benchmark)]
    lines += [*_quantiles(benchmark, rows, real), *_budgets(benchmark, rows, real), *_seconds(benchmark, rows, real)]
    lines += [*_top(benchmark), *_one_run(benchmark, rows, real, one_run), *_half(model)]
    for name, what, by in (("kendall_tau", "Kendall tau", 0.05), ("mse_percent2", "MSE (points²)", 0.0)):
        ours, theirs = predictor[name], real["predictor"][name][: len(predictor[name])]
        spread = "" if len(ours) < 2 else f" (sd {summarize(ours).sd:.3f} and {summarize(theirs).sd:.3f})"
        figure = f"{what}, mean of {len(ours)} draws{spread}"
        lines.append(near("predictor, 172 cells", figure, np.mean(ours), np.mean(theirs), SAMPLE, by))
    return lines


def _mean_model(model: SurrogateModel) -> Iterator[Line]:
    held_out = model.description["held_out"][str(BUDGETS[-1])]
    yield Line("mean model", "held-out tau at 108 epochs", held_out, math.nan, 0.87, 1.0, "")


def mean_model_table(benchmark: Benchmark, model: SurrogateModel) -> pd.DataFrame:
    """By budget: tau of what trees expect with real results that they have not seen, and of one run with another.

    Runs are the surrogate's, whose noise is fitted to the known spreads, since the sample has one run a cell.
    """
    rows = []
    for budget in BUDGETS:
        first, second = (benchmark.values(budget=budget, run=run) for run in (0, 1))
        label = "best of three runs" if budget == BUDGETS[-1] else "one run"
        held_out = model.description["held_out"][str(budget)]
        rows.append((f"{budget} epochs", label, f"{held_out:.3f}", f"{kendall_tau(first, second):.3f}"))
    names = ["budget", "real label", "tau with held-out real cells", "tau of two runs, on the surrogate"]
    return pd.DataFrame(rows, columns=names).set_index("budget")


def _known_figures(benchmark: Benchmark) -> Iterator[Line]:
    allowed = {"mean": 0.002, "median": 0.002, "smallest": 0.003, "largest": 0.003, "best single run": 0.003}
    for metric, known in published.KNOWN_FIGURES.items():
        for name, value in table_figures(benchmark, metric).items():
            times = 1.1 if name == "standard deviation" else 1.0
            yield near(metric.replace("_", " "), name, value, known[name], KNOWN, allowed.get(name, 0.0), times)
    what = "place by validation of the cell that is best by test"
    yield near("test accuracy", what, place_of_best_test(benchmark), published.RANK_OF_BEST_TEST, KNOWN)


def place_of_best_test(benchmark: Benchmark) -> int:
    """Place, from 1, by validation accuracy of the cell that is best by test accuracy; means of three runs."""
    validation, test = (
        benchmark.values(metric, run=None).mean(axis=1) for metric in ("validation_accuracy", "test_accuracy")
    )
    return int((validation > validation[test.argmax()]).sum()) + 1


def _noise(benchmark: Benchmark) -> Iterator[Line]:
    group = "runs of a cell"
    for budget, known in published.WITHIN_CELL_BY_BUDGET.items():
        spread = pooled(within_cell_sd(_runs_to_compare(benchmark, budget)[0]))
        yield near(group, f"sd at {budget} epochs, validation", spread, known, RUNS_KNOWN, times=1.1)
    validation, test, halfway = _runs_to_compare(benchmark, BUDGETS[-1])
    known = published.WITHIN_CELL
    median = float(np.median(within_cell_sd(validation)))
    spreads = {
        "median sd at 108 epochs, validation": (median, published.WITHIN_CELL_MEDIAN),
        "sd at 108 epochs, test": (
            pooled(within_cell_sd(test)),
            known["standard deviation within a cell, test (points)"] / 100,
        ),
        "sd halfway of 108 epochs, validation": (
            pooled(within_cell_sd(halfway)),
            known["standard deviation within a cell at halfway (points)"] / 100,
        ),
    }
    for figure, (value, theirs) in spreads.items():
        yield near(group, figure, value, theirs, RUNS_KNOWN, times=1.1)
    gap = known["validation minus test accuracy (points)"] / 100
    yield near(group, "validation minus test accuracy", (validation - test).mean(), gap, RUNS_KNOWN, by=0.002)
    apart = [(runs - runs.mean(axis=1, keepdims=True)).ravel() for runs in (validation, test)]
    together = known["correlation of validation and test between runs of a cell"]
    figure = "correlation of validation and test"
    yield near(group, figure, np.corrcoef(apart)[0, 1], together, RUNS_KNOWN, by=0.05)


def _runs_to_compare(benchmark: Benchmark, budget: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Validation, test and halfway validation of cells as good as those whose spread is known, without failures."""
    validation = benchmark.values(budget=budget, run=None)
    lowest, highest = published.WITHIN_CELL_RANGE[budget]
    mean = validation.mean(axis=1)
    chosen = (mean >= lowest) & (mean <= highest)
    if budget >= 36:
        chosen &= (validation >= FAILED_BELOW).all(axis=1)
    test = benchmark.values("test_accuracy", budget=budget, run=None)
    halfway = benchmark.values(budget=budget, run=None, at="halfway")
    return validation[chosen], test[chosen], halfway[chosen]


def _failures(benchmark: Benchmark) -> Iterator[Line]:
    failed = benchmark.values(run=None) < FAILED_BELOW
    group = "failures"
    yield near(group, "share of runs that fail", failed.mean(), published.FAILED_RUNS, KNOWN, times=1.25)
    always = failed.all(axis=1).mean()
    yield near(group, "share of cells whose runs all fail", always, published.ALWAYS_FAILED, KNOWN, times=1.25)
    below = (benchmark.values() < 0.8).mean()
    yield near(group, "share of cells below 80 % in run 0", below, published.BELOW_80, KNOWN, times=1.25)


def _quantiles(benchmark: Benchmark, rows: np.ndarray, real: dict) -> Iterator[Line]:
    found = np.quantile(best_of_three(benchmark)[rows], QUANTILES)
    for q, mine, theirs in zip(QUANTILES, found, real["quantiles"]["108"], strict=True):
        by = 0.004 if 0.01 <= q <= 0.99 else 0.0
        yield near("best of three", f"quantile {q:g}", mine, theirs, SAMPLE, by)


def _budgets(benchmark: Benchmark, rows: np.ndarray, real: dict) -> Iterator[Line]:
    accuracies = [benchmark.values(budget=budget)[rows] for budget in BUDGETS[:-1]]
    found = spearmanr(np.stack([*accuracies, best_of_three(benchmark)[rows]], axis=1))[0]
    for budget, known in published.MEAN_BY_BUDGET.items():
        mean = benchmark.values(budget=budget, run=None).mean()
        yield near("budgets", f"mean at {budget} epochs", mean, known, KNOWN, by=0.002)
    for i, first in enumerate(BUDGETS):
        for j in range(i + 1, len(BUDGETS)):
            what = f"rank correlation, {first} and {BUDGETS[j]} epochs"
            yield near("budgets", what, found[i, j], real["rank_correlations"][i][j], SAMPLE, by=0.05)


def _seconds(benchmark: Benchmark, rows: np.ndarray, real: dict) -> Iterator[Line]:
    found = time_figures(benchmark.values("training_time")[rows], benchmark.trainable_parameters[rows])
    for name, theirs in real["seconds"].items():
        yield near("training time (s)", f"median, {name} by parameters", found[name], theirs, SAMPLE, times=1.1)


def excellent_cells(benchmark: Benchmark) -> dict[float, int]:
    """How many cells with a well validated run reach so high a mean test accuracy, by accuracy (fraction)."""
    mean = benchmark.values("test_accuracy", run=None).mean(axis=1)
    well_run = (benchmark.values(run=None) >= published.WELL_RUN).any(axis=1)
    return {least: int(((mean >= least) & well_run).sum()) for least in published.CELLS_AT_LEAST}


def _top(benchmark: Benchmark) -> Iterator[Line]:
    for least, found in excellent_cells(benchmark).items():
        figure = f"cells of {least:.1%} mean test and above"
        yield near("the top", figure, found, published.CELLS_AT_LEAST[least], COUNTED, times=1.25)


def _one_run(benchmark: Benchmark, rows: np.ndarray, real: dict, one_run: Benchmark | None) -> Iterator[Line]:
    group, (run, other) = "run 0, test", (benchmark.values("test_accuracy", run=r) for r in (0, 1))
    found = measure_run(run)
    for q, mine, theirs in zip(QUANTILES, found["quantiles"], real["run"]["quantiles"], strict=True):
        by = 0.004 if 0.001 < q < 0.999 else 0.01
        yield near(group, f"quantile {q:g}", mine, theirs, ONE_RUN, by)
    for least, theirs in real["run"]["at_least"].items():
        figure = f"runs of {float(least):.1%} and above"
        yield near(group, figure, found["at_least"][least], theirs, ONE_RUN, times=1.25)
    yield near(group, "largest", found["largest"], real["run"]["largest"], ONE_RUN, by=0.003)
    pairs = measure_pairs(best_of_three(benchmark)[rows], run[rows])
    for (figure, mine), allowed in zip(pairs.items(), ({"by": 0.01}, {"times": 1.05}), strict=True):
        yield near(group, figure, mine, real["pairs"][figure], SAMPLE, **allowed)
    figure = "Kendall tau with real run 0 (real: of two runs, by the surrogate's noise)"
    if one_run is None:
        yield Line(group, figure, math.nan, math.nan, math.nan, math.nan, NOT_HERE)
    else:
        theirs = one_run.values("test_accuracy")[one_run.indices(benchmark.hashes)]
        ceiling = kendall_tau(run, other)
        # As high as another run's, and no higher: else noise would not be drawn, but copied.
        yield Line(group, figure, kendall_tau(run, theirs), ceiling, ceiling - 0.01, ceiling + 0.005, ONE_RUN)


def _half(model: SurrogateModel) -> Iterator[Line]:
    for figure, (foreseen, found) in model.description["half"].items():
        allowed = {"times": 1.25} if foreseen > 1 else {"by": 0.01}
        yield near("half of the cells, held out", figure, foreseen, found, ONE_RUN, **allowed)


def table(lines: Sequence[Line]) -> pd.DataFrame:
    """The lines as a table to be shown."""

    def number(value: float, form: str = "") -> str:
        whole = abs(value) >= 100 or value.is_integer()
        return "" if math.isnan(value) else format(value, f"{form},.0f" if whole else f"{form}.4f")

    rows = [
        {
            "group": line.group,
            "figure": line.figure,
            "surrogate": number(line.surrogate),
            "real": number(line.real),
            "difference": number(line.surrogate - line.real, "+"),
            "allowed": "" if math.isnan(line.low) else f"{number(line.low)} to {number(line.high)}",
            "met": line.verdict,
            "real figure of": line.source,
        }
        for line in lines
    ]
    return pd.DataFrame(rows)
