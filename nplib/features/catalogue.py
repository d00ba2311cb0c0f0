"""The features of a cell: their names, what they are, and why they may tell something about accuracy.

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

from collections.abc import Iterator
from dataclasses import dataclass

OPERATIONS = ("conv3x3", "conv1x1", "maxpool")  # in the order of their codes
EDGE_STARTS = (*OPERATIONS, "input")
EDGE_ENDS = (*OPERATIONS, "output")
COUNT_WORDS = ("no", "one", "two", "three")
KINDS = {name: f"{name} vertices" for name in OPERATIONS} | {
    "conv": "convolutions",
    "vertices": "interior vertices",
    "spatial": "conv3x3 and maxpool vertices",
}


@dataclass(frozen=True)
class Feature:
    """One feature of a cell.

    Attributes
    ----------
    name : str
        In snake case, unique.
    group : str
        What it is about, in a word.
    formula : str
        What it is, in the notation of :mod:`nplib.features.catalogue`.
    reason : str
        Why it may tell something about accuracy.
    """

    name: str
    group: str
    formula: str
    reason: str


def _counts_and_paths() -> Iterator[Feature]:
    size = "larger cells can do more, smaller ones are easier to train"
    yield Feature("num_vertices", "counts", "vertices, input and output among them", size)
    yield Feature("num_edges", "counts", "edges", size)
    for kind in OPERATIONS:
        yield Feature(f"num_{kind}", "counts", KINDS[kind], "operations differ in what they can learn")
    reasons = {
        "conv3x3": "depth in operations that learn and see neighbours",
        "conv1x1": "depth in operations that only mix channels",
        "maxpool": "how often detail is lost on the way",
        "conv": "depth in operations that learn",
        "vertices": "depth of the cell",
        "spatial": "each widens the field of view by two pixels",
    }
    for kind, reason in reasons.items():
        suffix, what = ("", "edges") if kind == "vertices" else (f"_{kind}", KINDS[kind])
        yield Feature(f"longest_path{suffix}", "paths", f"most {what} on a path from input to output", reason)
        yield Feature(f"shortest_path{suffix}", "paths", f"fewest {what} on a path from input to output", reason)
    many = "a cell of many paths averages, as an ensemble does"
    yield Feature("paths", "paths", "number of paths from input to output", many)
    yield Feature("log_paths", "paths", "log paths", many)


def _bottlenecks_and_edges() -> Iterator[Feature]:
    for kind in OPERATIONS:
        formula, reason = f"{KINDS[kind]} that lie on every path", "all of the signal passes there"
        yield Feature(f"bottlenecks_{kind}", "bottlenecks", formula, reason)
    for kind in OPERATIONS:
        formula = f"largest share of the paths that go through one {kind} vertex; 0 without any"
        yield Feature(f"largest_path_share_{kind}", "bottlenecks", formula, "how much hangs on one operation")
    formula = "largest flow from input to output with capacity w for every interior vertex and 1 for input -> output"
    yield Feature("max_flow", "bottlenecks", formula, "channels that get through the narrowest place of the cell")
    for start in EDGE_STARTS:
        for end in EDGE_ENDS:
            reason = "what an operation is worth depends on what it reads"
            yield Feature(f"edges_{start}_to_{end}", "edges", f"number of edges {start} -> {end}", reason)
    degrees = {
        "largest_out_degree": ("most edges that leave a vertex", "a tensor that many read has to suit them all"),
        "largest_in_degree": ("most edges that enter a vertex", "much is added or concatenated there"),
        "input_out_degree": ("edges that leave the input", "each has a projection of its own"),
        "output_in_degree": ("edges that enter the output", "the more there are, the narrower every vertex is"),
    }
    for name, (formula, reason) in degrees.items():
        yield Feature(name, "degrees", formula, reason)


def _channels_and_skips() -> Iterator[Feature]:
    for kind in OPERATIONS:
        yield Feature(f"channels_{kind}", "channels", f"w num_{kind}", "width that the operation has in all")
    for kind in OPERATIONS:
        reason = "a convolution's weights go with the square of its channels"
        yield Feature(f"squared_channels_{kind}", "channels", f"w^2 num_{kind}", reason)
    yield Feature("channels", "channels", "w; 1 without interior vertices", "a narrow vertex can hold little")
    formula = "w x number of interior v with input -> v, + [input -> output]"
    yield Feature("projection_channels", "channels", formula, "width of what the cell makes of its input")
    formula = "log(9 squared_channels_conv3x3 + squared_channels_conv1x1 + projection_channels + .02)"
    yield Feature("log_channel_cost", "channels", formula, "weights of the cell, but for remainders of the division")
    skips = {
        "skips": "edges u -> v with another path from u to v",
        "skips_over_conv3x3": "skips with a conv3x3 vertex between u and v",
        "skips_over_conv": "skips with a convolution between u and v",
        "skipped_vertices": "sum over skips of the interior vertices on the longest path from u to v",
        "skips_from_input": "skips that start at the input",
        "skips_to_output": "skips that end at the output",
    }
    for name, formula in skips.items():
        reason = "a short way beside a long one keeps signal and gradient, as in a residual network"
        yield Feature(name, "skips", formula, reason)


def _depths_pairs_and_costs() -> Iterator[Feature]:
    for kind in OPERATIONS:
        formula = f"mean over {KINDS[kind]} of the longest path from the input, in edges; 0 without any"
        yield Feature(f"mean_depth_{kind}", "depth", formula, "an early operation sees the input, a late one mixtures")
    for kind in OPERATIONS:
        formula = f"mean over {KINDS[kind]} of the longest path to the output, in edges; 0 without any"
        yield Feature(f"mean_height_{kind}", "depth", formula, "what is far from the output passes further operations")
    formula = "most interior vertices with the same longest path from the input; 0 without any"
    yield Feature("width", "depth", formula, "operations work side by side or one after the other")
    for first in OPERATIONS:
        for second in OPERATIONS:
            formula = f"pairs of a {first} vertex and a {second} vertex with a path from the first to the second"
            reason = "order matters: to pool what was learnt is another thing than to learn from what was pooled"
            yield Feature(f"pairs_{first}_before_{second}", "pairs", formula, reason)
    for place, first in enumerate(OPERATIONS):
        for second in OPERATIONS[place:]:
            formula = f"pairs of a {first} vertex and a {second} vertex with no path between them"
            reason = "operations side by side can learn different things from the same"
            yield Feature(f"pairs_{first}_beside_{second}", "pairs", formula, reason)
    yield Feature("log_parameters", "cost", "log of the network's trainable parameters", "what the network can hold")
    formula = "log of the multiplications in all convolutions of the network, for one image"
    yield Feature("log_flops", "cost", formula, "how much the network does")


def _energies() -> Iterator[Feature]:
    loud = "what meets itself again adds up coherently and drowns the rest"
    yield Feature("log_output_energy", "energy", "log e", loud)
    yield Feature("log_largest_energy", "energy", "log(1 + largest e_v of an interior vertex)", loud)
    yield Feature("log_largest_read_energy", "energy", "log(1 + largest r_v of an interior vertex)", loud)
    parts = {
        "conv3x3": "sum of 1 / f over conv3x3 v -> output",
        "conv1x1": "sum of 1 / f over conv1x1 v -> output",
        "pooled_conv3x3": "sum of c_v(k)^2 / f over maxpool v -> output and conv3x3 sources k",
        "pooled_conv1x1": "sum of c_v(k)^2 / f over maxpool v -> output and conv1x1 sources k",
        "pooled_input": "sum of c_v(k)^2 / f over maxpool v -> output and projections k",
        "input": "[input -> output]",
    }
    for name, part in parts.items():
        reason = "what the next cell reads is made of these parts"
        yield Feature(f"energy_share_{name}", "energy", f"({part}) / e", reason)
    yield from (_mean(kind, "by_energy") for kind in OPERATIONS)
    yield from (_sd(kind, "by_energy") for kind in ("conv3x3", "conv"))
    yield from (_share(kind, count, "by_energy") for kind in ("conv3x3", "conv") for count in range(4))
    for kind in ("conv3x3", "conv1x1"):
        formula = f"largest chance of one {kind} vertex to be on the walk by_energy; 0 without any"
        yield Feature(f"largest_visit_{kind}", "energy", formula, "how much hangs on one convolution")


def _correlations_and_gradients() -> Iterator[Feature]:
    for start in (50, 95):
        for cells in (1, 3, 9):
            formula = (
                f"log of the correlation of two inputs, .{start} at first, after {cells} such cells in a row: readers "
                "mix correlations by energy, and a correlation c becomes, in a projection or convolution, "
                "c (pi/2 + arcsin c - c / (1 + sqrt(1 - c^2))) / (pi - 1)"
            )
            reason = "a network learns from inputs that it tells apart, but not if every two look equally far apart"
            yield Feature(f"log_correlation_{start}_after_{cells}", "correlation", formula, reason)
    grows = "a gradient that grows or vanishes from cell to cell hinders training"
    yield Feature("log_gradient_input", "gradient", "log(1.467 p / e)", grows)
    for kind in ("conv3x3", "conv1x1"):
        formula = f"log(.05 + sum of g_v over {KINDS[kind]})"
        yield Feature(f"log_gradient_{kind}", "gradient", formula, "weights learn as much as gradient reaches them")
    for kind in ("conv3x3", "conv1x1"):
        formula = f"(sum of g_v over {KINDS[kind]}) / (p + sum of g_v over all convolutions)"
        yield Feature(f"gradient_share_{kind}", "gradient", formula, "which weights the network learns with")


def _variances_and_walks() -> Iterator[Feature]:
    loud = "what is added without normalisation grows from cell to cell"
    formula = "log(1 + [input -> output] + sum of s_v / f over v -> output)"
    yield Feature("log_output_variance", "signal", formula, loud)
    yield Feature("log_largest_variance", "signal", "log(1 + largest s_v of an interior vertex)", loud)
    for walk in ("uniform", "by_flow", "by_walk"):
        yield from (_mean(kind, walk) for kind in (*OPERATIONS, "vertices"))
        yield from (_sd(kind, walk) for kind in ("conv3x3", "maxpool", "conv", "vertices"))
        for kind, counts in (("conv3x3", 3), ("maxpool", 2), ("conv", 3)):
            yield from (_share(kind, count, walk) for count in range(counts))
    walk = "a walk backward from v to u in proportion to e_u, from the output in proportion to e_u / f and 1 (input)"
    for start in EDGE_STARTS:
        for end in EDGE_ENDS:
            # What a convolution or the input brings to the output is energy_share_conv3x3 and so on.
            if end != "output" or start == "maxpool":
                formula, reason = f"mean number of edges {start} -> {end} on {walk}", "what is done to what arrives"
                yield Feature(f"flow_{start}_to_{end}", "flow", formula, reason)
    for kind in OPERATIONS:
        formula = f"w x mean number of {KINDS[kind]} on {walk}"
        yield Feature(f"channel_flow_{kind}", "flow", formula, "width of what the signal passes through")
    for kind in OPERATIONS:
        formula = f"largest chance of one {kind} vertex to be on {walk}; 0 without any"
        yield Feature(f"largest_flow_{kind}", "flow", formula, "how much hangs on one operation")


def _visits() -> Iterator[Feature]:
    formula = "log(.05 + sum of w g_v over conv3x3 vertices)"
    reason = "wide 3x3 convolutions learn most, as far as gradient reaches them"
    yield Feature("log_channel_gradient_conv3x3", "gradient", formula, reason)
    formula = "(log_gradient_input)^2, the square of log(1.467 p / e)"
    reason = "whether it grows or vanishes from cell to cell, a gradient hinders training"
    yield Feature("squared_log_gradient_input", "gradient", formula, reason)
    formula = "sum of log(1 + 4 g_v) over maxpool vertices"
    yield Feature("sum_log_gradient_maxpool", "gradient", formula, "gradient that goes where there is nothing to learn")
    formula = "log(.05 + sum of w h_v over conv3x3 vertices), that is log(.05 + channel_flow_conv3x3)"
    reason = "width of the 3x3 convolutions that the signal passes; a little more is worth most where there is little"
    yield Feature("log_channel_flow_conv3x3", "flow", formula, reason)
    formula = "log(.02 + sum of w^2 h_v over conv3x3 vertices), that is log(.02 + channels channel_flow_conv3x3)"
    reason = "weights of the 3x3 convolutions that the signal passes"
    yield Feature("log_squared_channel_flow_conv3x3", "flow", formula, reason)
    formula = "sum of (w h_v)^(1/2) over maxpool vertices"
    reason = "width that pools take up, many small ones more than a large one"
    yield Feature("sum_root_channel_flow_maxpool", "flow", formula, reason)
    formula = "(sum of h_v)^2 / sum of h_v^2, both over conv3x3 vertices; 0 without any"
    reason = "how many 3x3 convolutions work on the signal, each counted as far as it does"
    yield Feature("effective_number_conv3x3", "flow", formula, reason)
    formula = f"standard deviation of the number of {KINDS['spatial']} on the walk of the flow"
    reason = "fields of view of several sizes meet at the output"
    yield Feature("flow_sd_spatial", "flow", formula, reason)
    formula = f"chance that no {KINDS['spatial']} are on the walk of the flow"
    yield Feature("flow_share_no_spatial", "flow", formula, "signal that has not met its neighbours in the image")
    yield from _unpooled()


def _unpooled() -> Iterator[Feature]:
    undigested = "detail that is lost at the end, with nothing to learn from what is left"
    formula = "mean number of maxpool vertices on the walk of the flow between {} and the output; all without any"
    for kind in ("conv", "conv3x3"):
        last = "the last convolution" if kind == "conv" else "the last conv3x3 vertex"
        yield Feature(f"flow_maxpool_after_{kind}", "unpooled", formula.format(last), undigested)
    for start in ("maxpool", "input"):
        formula = f"chance that the walk of the flow takes maxpool -> output, and then {start} -> maxpool"
        name = f"flow_{start}_to_maxpool_to_output"
        yield Feature(name, "unpooled", formula, undigested)
    sees = "a 3x3 convolution finds most in a signal whose detail is still there"
    formula = "chance that the walk of the flow meets a conv3x3 vertex and no maxpool vertex"
    yield Feature("flow_share_conv3x3_no_maxpool", "unpooled", formula, sees)
    part = "h_v times the part of the steps from v that do not go to a maxpool vertex"
    formula = (
        f"sum over conv3x3 v of {part}: what v reads that was not pooled since a convolution or the input; the sum of "
        "flow_conv3x3_to_conv3x3, flow_conv1x1_to_conv3x3 and flow_input_to_conv3x3"
    )
    yield Feature("unpooled_flow_conv3x3", "unpooled", formula, sees)
    formula = "log(.05 + w unpooled_flow_conv3x3)"
    yield Feature("log_unpooled_channel_flow_conv3x3", "unpooled", formula, f"{sees}, and more the wider it is")
    formula = "sum over conv3x3 v of h_v times the chance that the walk meets no maxpool vertex between v and the input"
    yield Feature("never_pooled_flow_conv3x3", "unpooled", formula, sees)


_WALK_GROUPS = {"uniform": "walks", "by_walk": "walks", "by_flow": "walks", "by_energy": "energy"}
_WALK_REASONS = {
    "uniform": "operations as a path meets them",
    "by_walk": "operations as the signal met them if all edges carried the same",
    "by_flow": "operations as the signal that arrives has met them",
    "by_energy": "operations as the signal that arrives has met them, what meets itself again taken into account",
}


def _mean(kind: str, walk: str) -> Feature:
    formula = f"mean number of {KINDS[kind]} on the walk {walk}"
    return Feature(f"mean_{kind}_{walk}", _WALK_GROUPS[walk], formula, _WALK_REASONS[walk])


def _sd(kind: str, walk: str) -> Feature:
    formula = f"standard deviation of the number of {KINDS[kind]} on the walk {walk}"
    return Feature(f"sd_{kind}_{walk}", _WALK_GROUPS[walk], formula, f"{_WALK_REASONS[walk]}: how evenly")


def _share(kind: str, count: int, walk: str) -> Feature:
    formula = f"chance that the number of {KINDS[kind]} on the walk {walk} is {count}"
    return Feature(f"share_{COUNT_WORDS[count]}_{kind}_{walk}", _WALK_GROUPS[walk], formula, _WALK_REASONS[walk])


# In the order in which the functions of these modules write them.
GRAPH_FEATURES = (
    *_counts_and_paths(),
    *_bottlenecks_and_edges(),
    *_channels_and_skips(),
    *_depths_pairs_and_costs(),
)  # nplib.features.graph
ENERGY_FEATURES = (*_energies(), *_correlations_and_gradients())  # nplib.features.energy
WALK_FEATURES = (*_variances_and_walks(),)  # nplib.features.walks
VISIT_FEATURES = (*_visits(),)  # nplib.features.visits
# New ones go to the end: what was fitted on the first so many finds them where they were.
FEATURES: tuple[Feature, ...] = GRAPH_FEATURES + ENERGY_FEATURES + WALK_FEATURES + VISIT_FEATURES
NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
