"""Where tests search: a small benchmark, and every search that needs no predictor."""

import numpy as np
import pytest

from nplib.benchmark import Benchmark
from nplib.cell import Cells
from nplib.predictor import PredictorConfig
from nplib.search import evolution, local_search, oracle, random_search
from nplib.search.trainings import Histories, Trainings
from nplib.training import TrainingConfig

SEEDS = (4, 0, 7)
FAST = TrainingConfig(epochs=3, predictor=PredictorConfig(hidden=8, head=8))
SEARCHES = {
    "oracle": oracle,
    "random search": random_search,
    "evolution": lambda *of: evolution(*of, population_size=20, tournament_size=5),
    "local search": local_search,
}


@pytest.fixture(scope="module", name="benchmark")
def benchmark_fixture(surrogate, space) -> Benchmark:
    """The 2,532 cells of five vertices or fewer: near enough to each other for searches that go by neighbours."""
    rows = np.flatnonzero(space.num_vertices <= 5)
    return Benchmark.from_space(space, rows, surrogate.metrics[rows], source="surrogate")


@pytest.fixture(scope="module", name="trainings")
def trainings_fixture(benchmark) -> Trainings:
    return Trainings.of(benchmark)


@pytest.fixture(scope="module", name="graphs")
def graphs_fixture(benchmark) -> Cells:
    return benchmark.cells


def with_accuracies(benchmark: Benchmark, accuracies: np.ndarray) -> Benchmark:
    """The same cells, where every run of a cell ends with this validation accuracy; NaN: as it was."""
    names = ("hashes", "num_vertices", "trainable_parameters", "adjacency", "operations")
    metrics = benchmark.metrics.copy()
    told = ~np.isnan(accuracies)
    metrics[told, 3, :, 1, 2] = accuracies[told, None]
    return Benchmark(**{name: getattr(benchmark, name) for name in names}, metrics=metrics)


def made_up(seen, test=None, seconds=None, first=0) -> Histories:
    """Histories of these figures, a row a search."""
    seen = np.asarray(seen, dtype=float)
    unknown = np.full(seen.shape, np.nan)
    cells = np.tile(np.arange(seen.shape[1]), (len(seen), 1))
    test, seconds = (unknown if values is None else np.asarray(values, dtype=float) for values in (test, seconds))
    return Histories(tuple(range(len(seen))), cells, seen, test, seconds, first)
