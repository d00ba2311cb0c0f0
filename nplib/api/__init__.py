"""The official library's names, served from HDF5 without TensorFlow: ``from nplib import api``."""

from nplib.api import config, graph_util, model_spec
from nplib.api.model_spec import ModelSpec
from nplib.api.nasbench import NASBench, OutOfDomainError, OutOfScope, UnknownFigure

__all__ = [
    "ModelSpec",
    "NASBench",
    "OutOfDomainError",
    "OutOfScope",
    "UnknownFigure",
    "config",
    "graph_util",
    "model_spec",
]
