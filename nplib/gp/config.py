"""What a Gaussian-process predictor is made of: features, priors and a scale of accuracy."""

from __future__ import annotations

from dataclasses import dataclass, field

from nplib.errors import UserError
from nplib.features.scales import all_columns
from nplib.gp.process import Priors
from nplib.gp.targets import TARGETS

LEAST_LABELS = 3
# Columns for two members, chosen by what made rankings of half of the real sample best, and held against its other
# half. Both read the first; their errors differ enough for the mean of two to be better than either. With all features
# rankings are worse, since few labels cannot tell which of many columns count.
_SHARED = (
    "shortest_path_maxpool",
    "bottlenecks_conv1x1",
    "largest_path_share_conv3x3",
    "log_channel_cost",
    "log_gradient_conv3x3",
    "share_no_conv3x3_uniform",
    "share_no_conv_uniform",
    "mean_maxpool_by_flow",
    "mean_vertices_by_flow",
    "share_no_maxpool_by_flow",
    "flow_maxpool_to_maxpool",
    "channel_flow_conv1x1",
    "longest_path_conv3x3:normal",
    "shortest_path_maxpool:normal",
    "shortest_path_conv:normal",
    "longest_path_spatial:normal",
    "largest_path_share_conv3x3:normal",
    "edges_input_to_conv3x3:normal",
    "squared_channels_conv3x3:normal",
    "projection_channels:normal",
    "log_output_variance:normal",
    "mean_maxpool_by_flow:normal",
    "mean_vertices_by_flow:normal",
    "flow_maxpool_to_maxpool:normal",
    "flow_maxpool_to_output:normal",
    "log_channel_flow_conv3x3",
    "flow_maxpool_after_conv3x3",
    "flow_maxpool_after_conv:normal",
    "sum_root_channel_flow_maxpool",
    "unpooled_flow_conv3x3",
    "log_unpooled_channel_flow_conv3x3",
    "flow_share_conv3x3_no_maxpool:normal",
    "sum_root_channel_flow_maxpool:normal",
    "never_pooled_flow_conv3x3:normal",
)
_FIRST = (
    "channels_maxpool",
    "pairs_conv3x3_beside_conv1x1",
    "sd_conv3x3_uniform",
    "sd_maxpool_uniform",
    "sd_vertices_by_flow",
    "mean_depth_maxpool:normal",
    "share_no_conv3x3_by_energy:normal",
    "log_channel_gradient_conv3x3",
    "log_squared_channel_flow_conv3x3",
    "flow_share_no_spatial:normal",
    "flow_share_conv3x3_no_maxpool",
    "flow_input_to_maxpool_to_output",
)
_SECOND = (
    "longest_path_conv3x3",
    "sd_conv3x3_by_energy",
    "flow_conv3x3_to_conv3x3",
    "bottlenecks_conv3x3:normal",
    "pairs_maxpool_before_conv3x3:normal",
    "log_output_energy:normal",
    "energy_share_input:normal",
    "log_gradient_conv3x3:normal",
    "share_no_maxpool_by_flow:normal",
    "flow_maxpool_to_conv3x3:normal",
    "flow_maxpool_to_conv1x1:normal",
    "flow_sd_spatial",
    "effective_number_conv3x3",
    "squared_log_gradient_input",
    "flow_maxpool_after_conv3x3:normal",
    "effective_number_conv3x3:normal",
    "sum_log_gradient_maxpool",
    "flow_maxpool_to_maxpool_to_output:normal",
    "flow_input_to_maxpool_to_output:normal",
    "unpooled_flow_conv3x3:normal",
    "log_unpooled_channel_flow_conv3x3:normal",
)
SELECTED_COLUMNS = ((*_SHARED, *_FIRST), (*_SHARED, *_SECOND))


@dataclass(frozen=True)
class GPConfig:
    """What a predictor is made of. It is a bag of so many Gaussian processes, whose predictions are averaged."""

    members: int = 2  # one for each of the sets; a bag of more gains nothing
    feature_sets: tuple[tuple[str, ...], ...] = SELECTED_COLUMNS  # members take them in turn
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
        """Names of the columns of all sets, each once, in the order of :func:`nplib.features.scales.all_columns`."""
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
