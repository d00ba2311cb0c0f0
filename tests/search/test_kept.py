"""What a search keeps: by its run or by a posterior, of all cells or the top, and never by what it did not know yet."""

from dataclasses import replace

import numpy as np
import pytest
from search_world import SEEDS, benchmark_fixture, trainings_fixture  # noqa: F401 - fixtures

from nplib.benchmark import Benchmark
from nplib.errors import UserError
from nplib.gp import GPConfig
from nplib.search import keeping, predictor_search, random_search
from nplib.search.kept import LEARNED_FIRST
from nplib.search.proposers import make_proposer
from nplib.search.trainings import Trainings


@pytest.fixture(scope="module")
def searched(trainings):
    propose = make_proposer("gp", trainings.benchmark.cells, 40)
    return predictor_search(trainings, propose, 40, 20, SEEDS[:2])


def posterior_of(trainings, history, search, known):
    """Posterior means of the cells of the first queries, by a process fitted anew to these alone."""
    cells = trainings.benchmark.cells[history.cells[search, :known]]
    seen = history.seen[search, :known]
    begun = history.first or LEARNED_FIRST
    (first,) = GPConfig().fit(cells, seen, [history.seeds[search]], training_cells=np.arange(begun)).predictors
    return first.means_as_labels_come(cells, seen)[-1]


def test_by_run_it_is_the_best_that_was_seen(trainings, searched):
    assert np.array_equal(keeping(trainings, searched).place, searched.place)
    top = keeping(trainings, searched, keep="top")
    assert np.array_equal(top.place, searched.among_top().place)
    back = keeping(trainings, top)
    assert np.array_equal(back.place, searched.place)


@pytest.mark.parametrize(("keep", "first"), [("all", 0), ("top", 40)])
def test_by_posterior_it_is_the_highest_mean_of_what_was_known(trainings, searched, keep, first):
    kept = keeping(trainings, searched, keep, "posterior")
    for search in range(2):
        for known in (45, 60):
            means = posterior_of(trainings, searched, search, known)
            assert kept.place[search, known - 1] == first + means[first:].argmax()
    assert np.array_equal(keeping(trainings, searched.to(50), keep, "posterior").place, kept.place[:, :50])
    assert (kept.place[:, :first] == -1).all()


def test_a_lucky_run_is_taken_back(trainings, searched):
    """The worst cell of the sixty gets the best run: by that it would be kept, by the posterior it is not."""
    lucky = searched.seen[0].argmin()
    seen = searched.seen.copy()
    seen[0, lucky] = seen[0].max() + 0.001
    history = replace(searched, seen=seen, place=None)
    assert history.place[0, -1] == lucky
    assert keeping(trainings, history, keep_by="posterior").place[0, -1] != lucky


def test_a_failed_training_is_never_kept_and_teaches_nothing(benchmark, trainings):
    history = random_search(trainings, 130, [1])
    metrics = benchmark.metrics.copy()
    failed = history.cells[0, [0, 7, 120]]
    metrics[failed, 3, :, 1, 2] = 0.1
    names = ("hashes", "num_vertices", "trainable_parameters", "adjacency", "operations")
    failing = Trainings.of(Benchmark(**{name: getattr(benchmark, name) for name in names}, metrics=metrics))
    history = random_search(failing, 130, [1])
    kept = keeping(failing, history, keep_by="posterior")
    assert kept.place[0, 0] == -1 and not np.isin(kept.place, (0, 7, 120)).any()
    assert kept.place[0, 120] == kept.place[0, 119]
    assert kept.to(1).best_cell.tolist() == [-1]
    assert np.isnan(kept.best_test[0, 0]) and np.isfinite(kept.best_test[0, 1:]).all()


def test_a_search_can_be_asked_to_keep_so(trainings, searched):
    propose = make_proposer("gp", trainings.benchmark.cells, 40)
    asked = predictor_search(trainings, propose, 40, 20, SEEDS[:2], keep="top", keep_by="posterior")
    assert np.array_equal(asked.cells, searched.cells)
    assert np.array_equal(asked.place, keeping(trainings, searched, "top", "posterior").place)


@pytest.mark.parametrize(("rule", "known"), [({"keep": "best"}, "all, top"), ({"keep_by": "luck"}, "run, posterior")])
def test_other_rules_there_are_none(trainings, searched, rule, known):
    with pytest.raises(UserError, match=f"there are {known}"):
        keeping(trainings, searched, **rule)
