"""206 named quantities of a cell, most of them of what it does to a signal."""

from nplib.features.catalogue import FEATURES, NAMES, Feature
from nplib.features.compute import compute_features, feature_table

__all__ = ["FEATURES", "NAMES", "Feature", "compute_features", "feature_table"]
