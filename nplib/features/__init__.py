"""206 named quantities of a cell, most of them of what it does to a signal."""

from nplib.features.catalogue import FEATURES, NAMES, Feature
from nplib.features.columns import columns_of, features_of
from nplib.features.compute import compute_features, feature_table

__all__ = ["FEATURES", "NAMES", "Feature", "columns_of", "compute_features", "feature_table", "features_of"]
