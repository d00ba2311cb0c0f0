"""Neural Predictor for Neural Architecture Search, reproduced on NASBench-101.

Importing the package loads nothing heavy; import the module that owns what you need, for instance
``from nplib.cell import Cell`` or ``from nplib.training import fit_predictors``.
"""

__version__ = "0.1.0"
