"""End-to-end architecture selection: predictor search, and the searches that it is held against, under the same rules.

The paper's search: train N random cells, fit a predictor, predict all cells, train the K best, keep the one with the
best accuracy. Source: Wen et al., "Neural Predictor for Neural Architecture Search", 2019, section 3; rules
of :mod:`nplib.search.trainings`. Every function gives the
:class:`~nplib.search.histories.Histories` of one search a seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from nplib._devices import CPU, map_on_cores
from nplib.search.designs import draw_cells, first_cells
from nplib.search.histories import BadSearch, Histories
from nplib.search.kept import keeping
from nplib.search.proposers import Proposer
from nplib.search.trainings import Trainings, useful


def oracle(trainings: Trainings, queries: int, seeds: Sequence[int]) -> Histories:
    """Train the cells with the best mean accuracy, best first: what a perfect predictor would do.

    Raises:
        BadSearch: If there are not so many cells, or none is to be trained. So do all functions here.
    """
    trainings.check_queries(queries)
    best = np.argsort(-trainings.mean_seen, kind="stable")[:queries]
    return trainings.history([best] * len(seeds), seeds)


def random_search(trainings: Trainings, queries: int, seeds: Sequence[int]) -> Histories:
    """Train cells drawn at random, all alike likely."""
    trainings.check_queries(queries)
    return trainings.history([draw_cells(len(trainings), queries, seed) for seed in seeds], seeds)


def evolution(
    trainings: Trainings,
    queries: int,
    seeds: Sequence[int],
    *,
    population_size: int = 100,
    tournament_size: int = 10,
    mutation_rate: float = 1.0,
    most_proposals: int = 500_000_000,
) -> Histories:
    """Regularised evolution, the strongest search of the NASBench-101 paper (Real et al., arXiv:1802.01548).

    A population of random cells; then always: the best of a random tournament has a mutated child, which replaces the
    oldest. A child that is a cell trained before enters the population all the same, and costs nothing.

    Args:
        trainings, queries, seeds:
        population_size, tournament_size (int): The defaults are those of the NASBench-101 paper.
        mutation_rate (float): Each of 21 possible edges flips with a seventh of this chance, each of 5 operations
            changes with a fifth, as in the example of the official library.
        most_proposals (int): After so many mutations it gives up.

    Raises:
        BadSearch: Also if it gives up, or sizes and rate do not fit together.
    """
    from nplib.search.mutation import evolve, graphs_of  # compiled: only loaded where it is used

    trainings.check_queries(queries)
    if not 1 <= tournament_size <= population_size <= len(trainings):
        raise BadSearch(
            f"tournament_size is {tournament_size} and population_size {population_size}; there must be at least 1 in "
            f"a tournament, no more than the population, and that no more than {len(trainings):,} cells"
        )
    if not 0 < mutation_rate <= 5:
        raise BadSearch(f"mutation_rate is {mutation_rate}; it must be above 0, and 5 at most")
    graphs = graphs_of(trainings.benchmark)

    def run(seed: int) -> np.ndarray:
        trained = np.full(queries, -1, dtype=np.int64)
        random = np.random.default_rng([seed, 2])
        rates = mutation_rate / 7, mutation_rate / 5
        accuracy = trainings.met(seed)
        done, _ = evolve(graphs, accuracy, population_size, tournament_size, *rates, most_proposals, random, trained)
        if done < queries:
            raise BadSearch(
                f"evolution of seed {seed} proposed {most_proposals:,} cells and found only {done:,} different ones of "
                f"{queries:,}: raise mutation_rate, population_size or most_proposals, or ask for fewer queries"
            )
        return trained

    return trainings.history(map_on_cores(run, seeds, CPU), seeds)


def local_search(trainings: Trainings, queries: int, seeds: Sequence[int]) -> Histories:
    """From a random cell, train all neighbours and go to the best while that is better; then start anew.

    A neighbour differs in one edge or one operation. Source: White et al., "Exploring the loss landscape in neural
    architecture search", 2020 (arXiv:2005.02960).
    """
    from nplib.search.mutation import climb, graphs_of

    trainings.check_queries(queries)
    graphs = graphs_of(trainings.benchmark)

    def run(seed: int) -> np.ndarray:
        trained = np.full(queries, -1, dtype=np.int64)
        climb(graphs, trainings.met(seed), np.random.default_rng([seed, 3]), trained)
        return trained

    return trainings.history(map_on_cores(run, seeds, CPU), seeds)


def predictor_search(
    trainings: Trainings,
    propose: Proposer,
    first: int,
    best: int,
    seeds: Sequence[int],
    *,
    rounds: int = 1,
    design: str = "random",
    keep: str = "all",
    keep_by: str = "run",
    progress: bool = False,
) -> Histories:
    """Train random cells, fit a predictor to them, train the cells that it proposes.

    Args:
        propose (Proposer): Fits and proposes; see :mod:`nplib.search.proposers`.
        first (int): Random cells, N.
        best (int): Cells proposed, K.
        rounds (int): The K cells are trained in so many parts, and after each the predictor is fitted anew to all that
            is known. The paper has one.
        design (str): Which cells it begins with: ``"random"``, as the paper's, or ``"variance"``, which tell most of
            the others; see :func:`nplib.search.designs.variance_design`.
        keep, keep_by (str): Which of the trained cells is kept; see :func:`nplib.search.kept.keeping`.
        progress (bool): Show a bar of rounds on stderr.

    Returns:
        Histories: Of first + best queries.

    Raises:
        BadSearch: If N or K is 0, both are more than there are cells, or there are more rounds than proposals.
    """
    for name, count in (("first", first), ("best", best), ("rounds", rounds)):
        if count < 1:
            raise BadSearch(f"{name} is {count}; it must be 1 or more")
    trainings.check_queries(first + best, "the number of random and proposed cells")
    if rounds > best:
        raise BadSearch(f"{best} proposed cells cannot be trained in {rounds} rounds; ask for {best} rounds at most")
    trained = [first_cells(trainings.benchmark.cells, first, seed, design) for seed in seeds]
    met = [trainings.met(seed) for seed in seeds]
    for part in tqdm(np.array_split(np.arange(best), rounds), desc="rounds", unit="round", disable=not progress):
        learned = [row[useful(accuracy[row])] for row, accuracy in zip(trained, met, strict=True)]
        labels = [accuracy[row] for row, accuracy in zip(learned, met, strict=True)]
        proposed = propose(learned, labels, trained, len(part), seeds)
        trained = [np.concatenate([row, more]) for row, more in zip(trained, proposed, strict=True)]
    return keeping(trainings, trainings.history(trained, seeds, first), keep, keep_by)
