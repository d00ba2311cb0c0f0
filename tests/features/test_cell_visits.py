"""nplib.features.walks: features by what a walk visits are what plain sums over all paths say."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from short_cells import cell_of, features_of

from nplib.features.catalogue import VISIT_FEATURES

CONV3X3, CONV1X1, MAXPOOL = "conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"


class Plain:
    """The definitions of the catalogue, by lists of all paths."""

    def __init__(self, cell):
        self.operations = cell.operations
        self.last = len(cell.operations) - 1
        self.parents = [np.flatnonzero(cell.matrix[:, v]).tolist() for v in range(self.last + 1)]
        self.children = [np.flatnonzero(cell.matrix[v]).tolist() for v in range(self.last + 1)]
        self.width = 1 / max(sum(u > 0 for u in self.parents[self.last]), 1)
        self.walks = [(chance, [cell.operations[v] for v in way], way) for chance, way in self.walks_from(self.last)]

    def read(self, v):
        """Coefficients of what v reads, by source."""
        found = Counter()
        for u in self.parents[v]:
            if u == 0:
                found["projection", v] += 1
            elif self.operations[u] == MAXPOOL:
                for source, coefficient in self.read(u).items():
                    found[source] += math.sqrt(0.7) * coefficient
            else:
                found[u] += 1
        return found

    def read_energy(self, v):
        return sum(coefficient**2 for coefficient in self.read(v).values())

    def energy(self, v):
        return 0.7 * self.read_energy(v) if self.operations[v] == MAXPOOL else 1

    def walks_from(self, v):
        """Chance of every way backward from v to the input, and the interior vertices on it."""
        if v == 0:
            yield 1, []
            return
        weights = {u: self.energy(u) * (self.width if u and v == self.last else 1) for u in self.parents[v]}
        for u, weight in weights.items():
            for chance, way in self.walks_from(u):
                yield chance * weight / sum(weights.values()), [u, *way] if u else way

    def gradient(self, v):
        """Sum over all ways from v to the output of what the operations after v pass back."""
        found = 0
        for child in self.children[v]:
            if child == self.last:
                found += self.width
            else:
                passed = 0.7 if self.operations[child] == MAXPOOL else 1.467 / self.read_energy(child)
                found += passed * self.gradient(child)
        return found

    def vertices(self, operation):
        return [v for v in range(1, self.last) if self.operations[v] == operation]

    def mean(self, count):
        """Mean of a count of the operations on the way, from the output on."""
        return sum(chance * count(operations) for chance, operations, _ in self.walks)

    def visits(self, operation):
        return [sum(chance for chance, _, way in self.walks if v in way) for v in self.vertices(operation)]


def before(operations, *stops):
    """How many pools stand before the first of these."""
    places = [place for place, operation in enumerate(operations) if operation in stops]
    return operations[: min(places, default=None)].count(MAXPOOL)


def spatial(operations):
    return sum(operation != CONV1X1 for operation in operations)


def unpooled(operations):
    """3x3 convolutions that no pool stands just behind."""
    return sum(one == CONV3X3 and behind != MAXPOOL for one, behind in pairwise([*operations, "input"]))


def never_pooled(operations):
    return sum(one == CONV3X3 and MAXPOOL not in operations[place:] for place, one in enumerate(operations))


def plain_features(cell):
    plain = Plain(cell)
    w, mean, visits = plain.width, plain.mean, plain.visits(CONV3X3)
    flow, rest = sum(visits), mean(unpooled)
    energy = sum(plain.energy(u) * (w if u else 1) for u in plain.parents[plain.last])
    at_input = sum(
        0.7 * plain.gradient(v) if v in plain.vertices(MAXPOOL) else 1.467 * plain.gradient(v) / plain.read_energy(v)
        for v in plain.children[0]
        if v != plain.last
    ) + (plain.last in plain.children[0])
    return {
        "log_channel_gradient_conv3x3": math.log(0.05 + w * sum(plain.gradient(v) for v in plain.vertices(CONV3X3))),
        "squared_log_gradient_input": math.log(1.467 * at_input / energy) ** 2,
        "sum_log_gradient_maxpool": sum(math.log(1 + 4 * plain.gradient(v)) for v in plain.vertices(MAXPOOL)),
        "log_channel_flow_conv3x3": math.log(0.05 + w * flow),
        "log_squared_channel_flow_conv3x3": math.log(0.02 + w**2 * flow),
        "sum_root_channel_flow_maxpool": sum(math.sqrt(w * visit) for visit in plain.visits(MAXPOOL)),
        "effective_number_conv3x3": flow**2 / sum(visit**2 for visit in visits) if visits else 0,
        "flow_sd_spatial": math.sqrt(mean(lambda ops: (spatial(ops) - mean(spatial)) ** 2)),
        "flow_share_no_spatial": mean(lambda ops: spatial(ops) == 0),
        "flow_maxpool_after_conv": mean(lambda ops: before(ops, CONV3X3, CONV1X1)),
        "flow_maxpool_after_conv3x3": mean(lambda ops: before(ops, CONV3X3)),
        "flow_maxpool_to_maxpool_to_output": mean(lambda ops: ops[:2] == [MAXPOOL, MAXPOOL]),
        "flow_input_to_maxpool_to_output": mean(lambda ops: ops == [MAXPOOL]),
        "flow_share_conv3x3_no_maxpool": mean(lambda ops: CONV3X3 in ops and MAXPOOL not in ops),
        "unpooled_flow_conv3x3": rest,
        "log_unpooled_channel_flow_conv3x3": math.log(0.05 + w * rest),
        "never_pooled_flow_conv3x3": mean(never_pooled),
    }


def test_values_are_those_of_sums_over_all_paths(space):
    few = int(np.searchsorted(space.num_vertices, 4, side="right"))
    rows = [*range(few), *np.random.default_rng(0).choice(len(space), 500, replace=False).tolist()]
    cells = [space.cell(row) for row in rows]
    for row, cell, found in zip(rows, cells, features_of(*cells), strict=True):
        expected = plain_features(cell)
        assert list(expected) == [feature.name for feature in VISIT_FEATURES]
        for name, value in expected.items():
            # The root of a variance of 0 that is only rounded.
            slack = 1e-7 if name == "flow_sd_spatial" else 1e-12
            assert found[name] == pytest.approx(value, rel=1e-9, abs=slack), (row, name)


def test_sums_and_logarithms_of_other_features_are_that(space):
    rows = np.random.default_rng(1).choice(len(space), 200, replace=False).tolist()
    for found in features_of(*(space.cell(row) for row in rows)):
        into = sum(found[f"flow_{start}_to_conv3x3"] for start in ("conv3x3", "conv1x1", "input"))
        by_width = found["channel_flow_conv3x3"]
        same = {
            "unpooled_flow_conv3x3": into,
            "log_channel_flow_conv3x3": math.log(0.05 + by_width),
            "log_squared_channel_flow_conv3x3": math.log(0.02 + found["channels"] * by_width),
            "squared_log_gradient_input": found["log_gradient_input"] ** 2,
            "log_unpooled_channel_flow_conv3x3": math.log(0.05 + found["channels"] * into),
        }
        for name, value in same.items():
            assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name


def test_a_convolution_beside_a_pool_of_the_input():
    (found,) = features_of(cell_of("3x3 pool", "01", "02", "13", "23"))
    # The pool has .7 of the convolution's energy, and both have half of the channels.
    pooled, learnt = 0.7 / 1.7, 1 / 1.7
    expected = {
        "log_channel_gradient_conv3x3": math.log(0.05 + 0.25),
        "squared_log_gradient_input": math.log(1.467 * (0.5 * 1.467 + 0.5 * 0.7) / 0.85) ** 2,
        "sum_log_gradient_maxpool": math.log(3),
        "log_channel_flow_conv3x3": math.log(0.05 + learnt / 2),
        "log_squared_channel_flow_conv3x3": math.log(0.02 + learnt / 4),
        "sum_root_channel_flow_maxpool": math.sqrt(pooled / 2),
        "effective_number_conv3x3": 1,
        "flow_sd_spatial": 0,
        "flow_share_no_spatial": 0,
        "flow_maxpool_after_conv": pooled,
        "flow_maxpool_after_conv3x3": pooled,
        "flow_maxpool_to_maxpool_to_output": 0,
        "flow_input_to_maxpool_to_output": pooled,
        "flow_share_conv3x3_no_maxpool": learnt,
        "unpooled_flow_conv3x3": learnt,
        "log_unpooled_channel_flow_conv3x3": math.log(0.05 + learnt / 2),
        "never_pooled_flow_conv3x3": learnt,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-12, abs=1e-7)


def test_pools_before_between_and_after_convolutions():
    """In a chain, everything is visited."""
    (found,) = features_of(cell_of("pool 3x3 3x3 pool 1x1", "01", "12", "23", "34", "45", "56"))
    (other,) = features_of(cell_of("pool 3x3 1x1 pool pool", "01", "12", "23", "34", "45", "56"))
    assert found["flow_maxpool_after_conv"] == 0 and other["flow_maxpool_after_conv"] == 2
    assert found["flow_maxpool_after_conv3x3"] == 1 and other["flow_maxpool_after_conv3x3"] == 2
    assert found["flow_maxpool_to_maxpool_to_output"] == 0 and other["flow_maxpool_to_maxpool_to_output"] == 1
    assert found["unpooled_flow_conv3x3"] == 1 and other["unpooled_flow_conv3x3"] == 0
    assert found["effective_number_conv3x3"] == 2 and other["effective_number_conv3x3"] == 1
    assert found["never_pooled_flow_conv3x3"] == found["flow_share_conv3x3_no_maxpool"] == 0
