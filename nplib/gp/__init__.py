"""The Gaussian process on features: a predictor for few labels, which says how sure it is."""

from nplib.gp.files import load_gp, save_gp
from nplib.gp.predictor import GPConfig, GPFit, GPPredictor, fit_gps
from nplib.gp.process import GPFailed, Priors

__all__ = ["GPConfig", "GPFailed", "GPFit", "GPPredictor", "Priors", "fit_gps", "load_gp", "save_gp"]
