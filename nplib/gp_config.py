"""What a Gaussian-process predictor is made of: features, priors and a scale of accuracy."""

from __future__ import annotations

from dataclasses import dataclass, field

from nplib.errors import UserError
from nplib.feature_scales import all_columns
from nplib.gp_fit import Priors
from nplib.gp_targets import TARGETS

LEAST_LABELS = 3
# Chosen by what made rankings of half of the real sample best, and held against the other half. All features together
# rank worse, since few labels cannot tell which of many columns count.
SELECTED_FEATURES = (
    "longest_path_conv3x3",
    "longest_path_maxpool",
    "longest_path_spatial",
    "bottlenecks_conv3x3",
    "bottlenecks_conv1x1",
    "bottlenecks_maxpool",
    "largest_path_share_conv3x3",
    "edges_maxpool_to_output",
    "edges_input_to_conv3x3",
    "edges_input_to_conv1x1",
    "edges_input_to_maxpool",
    "channels_maxpool",
    "log_channel_cost",
    "mean_depth_conv3x3",
    "mean_depth_maxpool",
    "pairs_conv3x3_before_conv3x3",
    "pairs_maxpool_before_conv3x3",
    "pairs_conv3x3_beside_conv1x1",
    "log_parameters",
    "log_output_energy",
    "share_no_conv3x3_by_energy",
    "largest_visit_conv3x3",
    "log_correlation_50_after_3",
    "log_correlation_50_after_9",
    "log_gradient_input",
    "log_gradient_conv3x3",
    "log_output_variance",
    "sd_conv3x3_uniform",
    "sd_maxpool_uniform",
    "sd_vertices_uniform",
    "share_no_conv3x3_uniform",
    "share_no_maxpool_uniform",
    "share_one_maxpool_uniform",
    "share_no_conv_uniform",
    "mean_conv3x3_by_flow",
    "mean_maxpool_by_flow",
    "mean_vertices_by_flow",
    "sd_conv3x3_by_flow",
    "share_no_conv3x3_by_flow",
    "share_no_maxpool_by_flow",
    "mean_maxpool_by_walk",
    "sd_maxpool_by_walk",
    "share_no_maxpool_by_walk",
    "flow_maxpool_to_conv3x3",
    "flow_maxpool_to_conv1x1",
    "flow_maxpool_to_maxpool",
    "flow_maxpool_to_output",
    "flow_input_to_maxpool",
    "channel_flow_conv3x3",
    "channel_flow_conv1x1",
    "channel_flow_maxpool",
    "largest_flow_conv3x3",
)


@dataclass(frozen=True)
class GPConfig:
    """What a predictor is made of. It is a bag of so many Gaussian processes, whose predictions are averaged."""

    members: int = 1  # a bag makes up for features and priors that are not chosen well; these are
    feature_sets: tuple[tuple[str, ...], ...] = (SELECTED_FEATURES,)  # of columns; members take the sets in turn
    column_share: float = 1.0  # of its set, for each member, at random; two members of a set have different ones
    targets: tuple[str, ...] = ("log_gap",)  # what members learn accuracies as, in turn; this one favours the top
    priors: Priors = field(default_factory=Priors)
    iterations: int = 60  # of the search for hyper-parameters; more change nothing that counts
    hyper_cells: int = 400  # hyper-parameters are fitted to so many labels, the first, since time goes with the cube

    def __post_init__(self) -> None:
        for name, least in (("members", 1), ("iterations", 1), ("hyper_cells", LEAST_LABELS)):
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}; it must be {least} or more")
        if not 0 < self.column_share <= 1:
            raise UserError(f"column_share is {self.column_share}; it must be above 0, and 1 at most")
        if not self.feature_sets or isinstance(self.feature_sets, str):
            raise UserError(f"feature_sets is {self.feature_sets!r}; give a tuple of tuples of names")
        where = "nplib.features.feature_table lists them; each may have :normal behind it"
        for names in self.feature_sets:
            _check_names("feature_sets", names, all_columns(), where)
        if self.members < len(self.feature_sets):
            sets = len(self.feature_sets)
            raise UserError(f"members is {self.members} for {sets} feature_sets; give as many members or more")
        _check_names("targets", self.targets, TARGETS, ", ".join(TARGETS))

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns of all sets, each once, in the order of :func:`nplib.feature_scales.all_columns`."""
        used = {name for names in self.feature_sets for name in names}
        return tuple(name for name in all_columns() if name in used)


def _check_names(setting: str, names: tuple[str, ...], known: tuple[str, ...], where: str) -> None:
    """Refuse what is no tuple of different known names."""
    unknown = [name for name in names if name not in known]
    if not names or unknown or isinstance(names, str):
        what = f"names {unknown[0]!r}" if unknown and not isinstance(names, str) else f"has {names!r}"
        raise UserError(f"{setting} {what}; give tuples of known names: {where}")
    if len(set(names)) < len(names) and setting == "feature_sets":
        raise UserError(f"{setting} names a feature twice in one set; give each name once")


DEFAULT = GPConfig()
