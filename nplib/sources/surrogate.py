"""The surrogate: results for all 423,624 cells from a model of NASBench-101, for who has no 1.95 GB of measurements.

It is the idea of NAS-Bench-301 (Zela et al., arXiv:2008.09777): a model of the table instead of the table. Two shipped
files describe it, both written by :mod:`nplib.studies.surrogate_fit`: what is expected of every cell, and how results
scatter about that. Nothing here is a measurement, and every benchmark made here says so.

Each budget has a latent scale on which results are normally distributed; a cell's run is at

    z = expected + effect of the cell + noise of the run,

and a table leads from z to the accuracy. At 108 epochs what is expected is the mean of the posterior that boosted trees
and one real run of the cell leave, and the effect is as large as what they leave open. Failures, the test images at
shorter budgets, training accuracy and halfway come on top.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from scipy.special import expit

from nplib._files import cached, expand, read_arrays, sha256_of
from nplib.benchmark import BUDGETS, METRICS, RUNS, Benchmark
from nplib.errors import UserError
from nplib.space import Space, load_space

logger = logging.getLogger(__name__)

KIND = "a model of NASBench-101 fitted to one real run of every cell and more of 20,001, not measurements"
LABELS = f"{KIND}; three runs at each budget are drawn from it, and labels take run 0"
MODEL_FORMAT = 2
TABLES = "surrogate.npz"
DESCRIPTION = "surrogate.json"

# What is known of runs, with where each number is from: by budget where there are several.
CONSTANTS = "surrogate_runs.json"
KNOWN = {
    name: {int(key) if key.isdigit() else key: part for key, part in known["value"].items()}
    if isinstance(known["value"], dict)
    else known["value"]
    for name, known in json.loads(files("nplib.sources").joinpath(CONSTANTS).read_text(encoding="utf8")).items()
}
IMAGES, TEST_NOISE, VALIDATION_EFFECT = KNOWN["images"], KNOWN["test_noise"], KNOWN["validation_effect"]


class BadSurrogate(UserError):
    """A file of the surrogate is missing, damaged, or not the one that belongs to the other."""


@dataclass(frozen=True, eq=False)
class SurrogateModel:
    """What is shipped, read and checked.

    Attributes:
        expected (dict): By budget: what is expected of every cell on the latent scale, shape (423624,), float64.
        failing (array, shape (423624,)): Logit of the chance that a run fails, but for an offset by budget, before the
            effect of the cell.
        log_seconds (array, shape (423624,)): Logarithm of the training time of 108 epochs, s.
        description (dict): Everything else: tables, variances, correlations, and the figures that the fit was judged
            by.
        sha256 (str): Of both files together.
    """

    expected: dict[int, np.ndarray]
    failing: np.ndarray
    log_seconds: np.ndarray
    description: dict
    sha256: str


def cells_digest(space: Space) -> str:
    """SHA-256 of all module hashes in the order of the space: whether rows of a table are the cells that they were."""
    return hashlib.sha256(space.hashes.tobytes()).hexdigest()


def read_model(folder: Path | None = None) -> SurrogateModel:
    """The model from its two files.

    Args:
        folder (Path, optional): Where they lie; by default those that are shipped.

    Raises:
        BadSurrogate: If one is missing, or the checksum of the tables is not the one that the description gives.
    """
    folder = Path(str(files("nplib.sources"))) if folder is None else expand(folder)
    tables, about = folder / TABLES, folder / DESCRIPTION
    mend = f"restore {TABLES} and {DESCRIPTION} as they were shipped, or make both anew with `nplib surrogate fit`"
    for path in (tables, about):
        if not path.is_file():
            raise BadSurrogate(f"{path} is not there; {mend}")
    try:
        description = json.loads(about.read_text(encoding="utf8"))
        stated, version = description["sha256"], description["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadSurrogate(
            f"{about} is no description of a surrogate ({type(error).__name__}: {error}); {mend}"
        ) from error
    if version != MODEL_FORMAT:
        raise BadSurrogate(f"{about} is of format {version!r}; this nplib reads {MODEL_FORMAT}: {mend}")
    found = sha256_of(tables)
    if found != stated:
        raise BadSurrogate(f"{tables} is damaged or not the shipped file: SHA-256 {found}, not {stated}; {mend}")
    if description["cells"] != cells_digest(load_space()):
        raise BadSurrogate(f"{tables} was made for cells in another order than those of this nplib; {mend}")
    columns = {name: array * description["steps"][name] for name, array in read_arrays(tables).items()}
    sha256 = hashlib.sha256((found + sha256_of(about)).encode()).hexdigest()
    expected = {budget: columns[f"expected_{budget}"] for budget in BUDGETS}
    return SurrogateModel(expected, columns["failing"], columns["log_seconds"], description, sha256)


@dataclass(frozen=True, eq=False)
class Draws:
    """Latent values of every run, before they become accuracies.

    Attributes:
        validation, test (dict): By budget: latent values, shape (N, 3).
        failed (dict): By budget: whether a run fails, shape (N, 3), bool.
    """

    validation: dict[int, np.ndarray]
    test: dict[int, np.ndarray]
    failed: dict[int, np.ndarray]


def draw_latent(expected: dict[int, np.ndarray], failing: np.ndarray, scatter: dict, rng: np.random.Generator) -> Draws:
    """Draw cells' effects and runs' noise.

    Args:
        expected (dict): By budget, one or more of them, shape (N,).
        failing (array, shape (N,)): As ``SurrogateModel.failing``.
        scatter (dict): ``effect_sd`` (by budget, knots and sds: of a cell's effect, against what is expected of it),
            ``noise_sd`` (the same of one run's noise, against where the cell is), ``noise_spread`` (sd of its logarithm
            between cells alike), ``effect_root`` (4 x 4: a cell's effects on the four budgets are this times four
            independent ones) and ``failures`` (``cell_sd``, sd of the logit between cells alike, and its offset by
            budget).
    """
    count = len(failing)
    effects = rng.standard_normal((count, len(BUDGETS))) @ np.array(scatter["effect_root"]).T
    # A noisy cell is noisy at every budget. Without a bound the noisiest of so many would have runs that are better
    # than any of NASBench-101.
    loudness = loudness_of(rng.standard_normal(count), scatter["noise_spread"])
    chances = scatter["failures"]
    proneness = chances["cell_sd"] * rng.standard_normal(count)
    draws = Draws({}, {}, {})
    for budget, middle in expected.items():
        effect_sd = np.interp(middle, *scatter["effect_sd"][str(budget)])
        middle = middle + effect_sd * effects[:, BUDGETS.index(budget)]
        noise_sd = (np.interp(middle, *scatter["noise_sd"][str(budget)]) * loudness)[:, None]
        noise = rng.standard_normal((count, RUNS))
        other = rng.standard_normal((count, RUNS))
        same = KNOWN["validation_test_correlation"][budget]
        draws.validation[budget] = middle[:, None] + noise_sd * noise
        draws.test[budget] = middle[:, None] + TEST_NOISE * noise_sd * (same * noise + np.sqrt(1 - same**2) * other)
        chance = rng.random((count, RUNS))
        if str(budget) in chances:
            draws.failed[budget] = chance < expit(failing + chances[str(budget)] + proneness)[:, None]
        else:
            draws.failed[budget] = np.zeros((count, RUNS), dtype=bool)
    return draws


def loudness_of(normal: np.ndarray, spread: float) -> np.ndarray:
    """Noise of cells in parts of what is usual, from standard normal draws; the mean square is about 1."""
    return np.minimum(np.exp(spread * normal - spread**2), 2.0)


def accuracy_of_latent(z: np.ndarray, table: dict) -> np.ndarray:
    """Accuracy as a fraction, of latent values of any shape, by a table of quantiles (``z``, ``accuracy``).

    Below the table its smallest accuracy is given. Above it, where the sample has none, the logarithm of the error goes
    on with the slope of the table's uppermost hundredth.
    """
    knots, accuracies = np.array(table["z"]), np.array(table["accuracy"])
    above = np.maximum(z - knots[-1], 0) * table["slope_above"]
    return 1 - (1 - np.interp(z, knots, accuracies)) * np.exp(-above)


def make_surrogate(seed: int = 0, model: SurrogateModel | None = None) -> Benchmark:
    """Draw three runs of every cell at every budget; some seconds.

    Args:
        seed (int): The same seed gives the same bits.
        model (SurrogateModel, optional): By default the one that is shipped.

    Returns:
        Benchmark: All 423,624 cells in the order of the space; source ``"surrogate"``.

    Raises:
        BadSurrogate: If a shipped file is missing or damaged.
    """
    model = read_model() if model is None else model
    space = load_space()
    rng = np.random.Generator(np.random.PCG64(seed))
    draws = draw_latent(model.expected, model.failing, model.description["scatter"], rng)
    count = len(space)
    metrics = np.empty((count, len(BUDGETS), RUNS, 2, len(METRICS)), dtype=np.float32)
    time_scale = model.description["scatter"]["time_scale"]
    seconds = np.exp(model.log_seconds + rng.laplace(0, time_scale, count))[:, None]
    halfway_effect = rng.standard_normal((count, 1))
    validation_effect = rng.standard_normal((count, 1))
    for b, budget in enumerate(BUDGETS):
        table = model.description["tables"][str(budget)]
        failed = draws.failed[budget]
        validation = accuracy_of_latent(draws.validation[budget], table) + VALIDATION_EFFECT[budget] * validation_effect
        test = accuracy_of_latent(draws.test[budget], model.description["tables"].get(f"test_{budget}", table))
        if budget in KNOWN["gap"]:
            test -= np.interp(test, *KNOWN["gap"][budget])
        run_seconds = seconds * budget / BUDGETS[-1] * np.exp(KNOWN["time_noise"] * rng.standard_normal((count, RUNS)))
        mean, between_cells, between_runs = KNOWN["halfway"][budget]
        reached = expit(mean + between_cells * halfway_effect + between_runs * rng.standard_normal((count, RUNS)))
        # A run that fails has either failed by then, or goes on as the others until then.
        lost_before = failed & (rng.random((count, RUNS)) < 0.5)
        for point in range(2):
            if point == 1:
                accuracies, lost = [validation, test], failed
            else:
                accuracies, lost = [0.1 + np.maximum(a - 0.1, 0) * reached for a in (validation, test)], lost_before
            accuracies.append(1 - train_error(1 - accuracies[0], budget, point, rng))
            metrics[:, b, :, point, 0] = run_seconds * (1 + point) / 2
            for column, accuracy, images in zip((2, 3, 1), accuracies, KNOWN["failed"].values(), strict=True):
                counted = np.where(lost, images, np.rint(np.clip(accuracy, 0, 1) * IMAGES))
                metrics[:, b, :, point, column] = counted / IMAGES
    about = {"source": "surrogate", "labels": LABELS, "kind": KIND, "sha256": _identity(model, seed)}
    return Benchmark.from_space(space, np.arange(count), metrics, **about)


def train_error(error: np.ndarray, budget: int, point: int, rng: np.random.Generator) -> np.ndarray:
    """Training error of runs, fractions, of their validation error; ``point`` is 0 for halfway, 1 for the end."""
    part = KNOWN["train_error"][budget][point]
    if part is None:
        at_most, power, spread = KNOWN["train_error_at_end"]
        part = np.minimum(at_most * (error / 0.13) ** power * np.exp(spread * rng.standard_normal(error.shape)), 1.0)
    return error * part


def _identity(model: SurrogateModel, seed: int) -> str:
    made_by = (sha256_of(path) for path in (__file__, Path(__file__).with_name(CONSTANTS)))
    return hashlib.sha256(f"{model.sha256} {' '.join(made_by)} {seed}".encode()).hexdigest()


@cache
def _shipped() -> SurrogateModel:
    return read_model()


def load_surrogate(seed: int = 0) -> Benchmark:
    """The surrogate of a seed from the cache folder, or made once and stored there.

    Raises:
        BadSurrogate: If a shipped file is missing or damaged.
    """
    model = _shipped()
    identity = _identity(model, seed)

    def read(path: Path) -> Benchmark:
        benchmark = Benchmark.open(path)
        if benchmark.sha256 != identity:
            raise BadSurrogate(f"{path} is of another version")
        return benchmark

    # A name a seed: older versions do not pile up.
    return cached(
        f"surrogate-{seed}.hdf5",
        read,
        lambda: make_surrogate(seed, model),
        lambda path, benchmark: benchmark.save(path, overwrite=True),
    )
