"""The features of a cell: their names, what they are, and why they may tell something about accuracy.

``catalogue.csv`` beside this file lists them, in the order in which the compiled functions write them.

Notation of the formulas:

- u -> v is an edge, and [..] is 1 where it holds, else 0. A vertex is interior unless it is the input or the output.
- f is the number of interior vertices that feed the output. They share its channels, and any other interior vertex has
  the largest count that it feeds: up to the remainder of the division, all have w = 1/f of them.
- The variance s_v is 1 for the input and for a convolution, which ends in batch-norm; for a pool, the sum of what it
  reads.
- Sources are the outputs of convolutions and, one for each vertex that the input feeds, its projections. A tensor has
  a coefficient c_v(k) for source k. What v reads is x_v(k), the sum of c_u(k) over u -> v and 1 for its own
  projection. A convolution is a source of its own, c_v(v) = 1; a pool passes on c_v(k) = sqrt(.7) x_v(k).
- The energy e_v is the sum over k of c_v(k)^2, the read energy r_v that of x_v(k)^2. The energy of the output is
  e = [input -> output] + sum of e_v / f over v -> output: tensors are concatenated, then the input is added.
- The gradient's energy is 1 at the output. At an interior vertex it is g_v = [v -> output] / f + the sum over interior
  v -> x of what x passes back: .7 g_x by a pool, 1.467 g_x / r_x by a convolution. At the projections it is
  p = [input -> output] + the sum of what those x pass back that the input feeds.
- Four walks go backward from the output to the input. *uniform* makes all paths alike. *by_walk* takes all edges into
  a vertex alike. *by_flow* goes from v to u in proportion to s_u, from the output in proportion to s_u / f and 1
  (input). *by_energy* goes from a reader, which is a convolution or the output, to a source: from v to k in proportion
  to x_v(k)^2, from the output to k in proportion to its part of e; a pool in between counts as passed.
- The walk of the flow goes backward from v to u in proportion to e_u, from the output in proportion to e_u / f and 1
  (input). h_v is the chance that it visits v.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Feature:
    """One feature of a cell.

    Attributes:
        name (str): In snake case, unique.
        group (str): What it is about, in a word.
        written_by (str): What computes it: the module graph, energy or walks; visits are the last groups of walks.
        formula (str): What it is, in the notation of :mod:`nplib.features.catalogue`.
        reason (str): Why it may tell something about accuracy.
    """

    name: str
    group: str
    written_by: str
    formula: str
    reason: str


def _read() -> tuple[Feature, ...]:
    with files("nplib.features").joinpath("catalogue.csv").open(encoding="utf8", newline="") as file:
        return tuple(Feature(**row) for row in csv.DictReader(file))


# New ones go to the end: what was fitted on the first so many finds them where they were.
FEATURES: tuple[Feature, ...] = _read()
NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
GRAPH_FEATURES, ENERGY_FEATURES, WALK_FEATURES, VISIT_FEATURES = (
    tuple(feature for feature in FEATURES if feature.written_by == module)
    for module in ("graph", "energy", "walks", "visits")
)
