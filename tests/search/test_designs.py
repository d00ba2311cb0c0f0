"""Designs choose cells before any label, and leave a Gaussian process less unsure than random cells do."""

import numpy as np
import pytest
from search_world import benchmark_fixture, trainings_fixture, with_accuracies  # noqa: F401 - fixtures

from nplib.errors import UserError
from nplib.features.columns import columns_of
from nplib.gp import GPConfig
from nplib.gp.process import GPFailed
from nplib.search import draw_cells, predictor_search, variance_design
from nplib.search.designs import NOISE, first_cells
from nplib.search.histories import BadSearch
from nplib.search.proposers import make_proposer
from nplib.search.trainings import Trainings


def mean_variance(everything, chosen) -> float:
    """Posterior variance over all cells once some are labelled, by the textbook, with an explicit inverse."""
    X = columns_of(everything, GPConfig().features).astype(float)

    def kernel(A, B):
        r = np.sqrt(np.maximum((A**2).sum(1)[:, None] + (B**2).sum(1) - 2 * A @ B.T, 0)) * np.sqrt(3 / X.shape[1])
        return (1 + r) * np.exp(-r)

    across = kernel(X, X[chosen])
    inverse = np.linalg.inv(kernel(X[chosen], X[chosen]) + NOISE * np.eye(len(chosen)))
    return float(np.mean(1 - ((across @ inverse) * across).sum(axis=1)))


def test_it_leaves_less_variance_than_random_cells(benchmark):
    random = [mean_variance(benchmark.cells, draw_cells(len(benchmark), 40, seed)) for seed in range(50)]
    for seed in range(3):
        designed = variance_design(benchmark.cells, 40, seed)
        assert len(set(designed.tolist())) == 40
        assert mean_variance(benchmark.cells, designed) < min(random)


def test_each_cell_is_the_best_of_those_left(benchmark):
    """Where the pool is all that variance is judged by: against trying every cell."""
    few = benchmark.cells[:60]
    chosen = variance_design(few, 3, 0)
    for known in range(3):
        tried = [mean_variance(few, [*chosen[:known], cell]) for cell in range(60) if cell not in chosen[:known]]
        assert mean_variance(few, chosen[: known + 1]) <= min(tried) + 1e-9


def test_what_is_labelled_counts_and_is_not_chosen(benchmark):
    begun = variance_design(benchmark.cells, 30, 1)
    assert np.array_equal(variance_design(benchmark.cells, 12, 1), begun[:12])
    more = variance_design(benchmark.cells, 10, 1, labelled=begun[:20])
    assert not np.isin(more, begun[:20]).any()
    both = mean_variance(benchmark.cells, np.concatenate([begun[:20], more]))
    assert both < mean_variance(benchmark.cells, np.concatenate([begun[:20], draw_cells(len(benchmark), 10, 1)]))


def test_searches_begin_with_it(trainings):
    everything = trainings.benchmark.cells
    history = predictor_search(trainings, make_proposer("gp", everything, 30), 30, 5, [3, 4], design="variance")
    for seed, cells in zip((3, 4), history.cells, strict=True):
        assert np.array_equal(cells[:30], variance_design(everything, 30, seed))
        assert len(set(cells.tolist())) == 35


@pytest.mark.parametrize("design", ["random", "variance"])
@pytest.mark.parametrize(
    ("good", "message"),
    [
        (0.9, r"all \d+ cells to learn from have the accuracy 0.9; nothing can be ranked"),
        (0.1, "^0 cells to learn from"),
    ],
)
def test_a_search_whose_first_cells_teach_nothing_says_so(benchmark, design, good, message):
    """Every other training fails, and of the others all end alike, or fail too."""
    accuracies = np.where(np.arange(len(benchmark)) % 2, 0.1, good)
    trainings = Trainings.of(with_accuracies(benchmark, accuracies))
    with pytest.raises(GPFailed, match=message):
        predictor_search(trainings, make_proposer("gp", benchmark.cells, 20), 20, 4, [0], design=design)


def test_a_search_goes_on_while_two_of_its_cells_differ(benchmark):
    accuracies = np.full(len(benchmark), 0.9)
    accuracies[variance_design(benchmark.cells, 20, 0)[:3]] = 0.1, 0.91, 0.1
    trainings = Trainings.of(with_accuracies(benchmark, accuracies))
    history = predictor_search(trainings, make_proposer("gp", benchmark.cells, 20), 20, 4, [0], design="variance")
    assert history.queries == 24 and history.best_seen[0, -1] == pytest.approx(0.91)


def test_a_design_of_everything_is_everything(benchmark):
    few = benchmark.cells[:25]
    assert sorted(variance_design(few, 25, 0).tolist()) == list(range(25))
    assert variance_design(few, 1, 0, labelled=np.arange(24)).tolist() == [24]


@pytest.mark.parametrize(("count", "labelled"), [(0, ()), (26, ()), (24, (3, 4))])
def test_there_cannot_be_so_many(benchmark, count, labelled):
    with pytest.raises(BadSearch, match=f"a design of {count} cells; it must be from 1 to"):
        variance_design(benchmark.cells[:25], count, 0, labelled)


def test_what_is_no_design_is_refused(benchmark):
    with pytest.raises(BadSearch, match="stands twice"):
        variance_design(benchmark.cells, 5, 0, labelled=(1, 1))
    with pytest.raises(UserError, match="design is 'best'; there are random, variance"):
        first_cells(benchmark.cells, 5, 0, "best")
