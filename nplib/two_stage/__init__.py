"""The paper's two stages: a classifier of good cells, then a regressor trained on good ones alone."""

from nplib.two_stage.prediction import TwoStagePrediction
from nplib.two_stage.stages import TwoStageConfig, TwoStageFailed, fit_two_stage, held_out_probabilities

__all__ = ["TwoStageConfig", "TwoStageFailed", "TwoStagePrediction", "fit_two_stage", "held_out_probabilities"]
