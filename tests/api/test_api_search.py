"""Searches as users of nasbench.api write them, on nplib.api."""

from __future__ import annotations

import copy
import random
from collections import deque

import numpy as np

from nplib import api
from nplib.cell import INPUT, INTERIOR_OPERATIONS, OUTPUT


def random_spec(nasbench: api.NASBench) -> api.ModelSpec:
    while True:
        matrix = np.triu(np.random.choice([0, 1], size=(7, 7)), 1)
        ops = [INPUT, *np.random.choice(INTERIOR_OPERATIONS, size=5).tolist(), OUTPUT]
        spec = api.ModelSpec(matrix=matrix, ops=ops)
        if nasbench.is_valid(spec):
            return spec


def mutated(nasbench: api.NASBench, parent: api.ModelSpec) -> api.ModelSpec:
    """A neighbour: an edge flips once in seven, an operation changes once in five."""
    while True:
        matrix, ops = copy.deepcopy(parent.original_matrix), copy.deepcopy(parent.original_ops)
        for u in range(6):
            for v in range(u + 1, 7):
                if random.random() < 1 / 7:
                    matrix[u, v] = 1 - matrix[u, v]
        for v in range(1, 6):
            if random.random() < 1 / 5:
                ops[v] = random.choice([op for op in nasbench.config["available_ops"] if op != ops[v]])
        spec = api.ModelSpec(matrix, ops)
        if nasbench.is_valid(spec):
            return spec


def random_search(nasbench: api.NASBench, seconds: float) -> list[float]:
    """Best validation accuracy after each query."""
    nasbench.reset_budget_counters()
    best = [0.0]
    while nasbench.get_budget_counters()[0] < seconds:
        best.append(max(best[-1], nasbench.query(random_spec(nasbench))["validation_accuracy"]))
    return best


def evolution(nasbench: api.NASBench, seconds: float, population_size: int = 20, tournament: int = 5) -> list[float]:
    """Regularised evolution: the fittest of some has a child, and the oldest dies."""
    nasbench.reset_budget_counters()
    best, population = [0.0], deque(maxlen=population_size)
    while nasbench.get_budget_counters()[0] < seconds:
        if len(population) < population_size:
            spec = random_spec(nasbench)
        else:
            fittest = max(random.sample(list(population), tournament), key=lambda member: member[0])
            spec = mutated(nasbench, fittest[1])
        accuracy = nasbench.query(spec)["validation_accuracy"]
        population.append((accuracy, spec))
        best.append(max(best[-1], accuracy))
    return best


def test_searches_run_within_their_budget_and_evolution_finds_more(surrogate):
    seconds = 5e5
    found = {random_search: [], evolution: []}
    for seed in range(5):
        for search, ends in found.items():
            np.random.seed(seed)
            nasbench = api.NASBench(surrogate, seed=seed)
            best = search(nasbench, seconds)
            spent, epochs = nasbench.get_budget_counters()
            assert best == sorted(best) and epochs == 108 * (len(best) - 1)
            assert seconds <= spent < seconds + surrogate.metrics[:, 3, :, 1, 0].max()
            ends.append(best[-1])
    assert np.mean(found[evolution]) > np.mean(found[random_search]) > surrogate.values().mean()
