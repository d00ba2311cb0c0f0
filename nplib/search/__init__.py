"""Searches for the best cell: what is trained, in which order, and what each rule finds."""

from nplib.search.designs import draw_cells, variance_design
from nplib.search.histories import BadSearch, Factor, Histories, factor_at, factor_table, factor_to_reach, tidy
from nplib.search.keeping import keeping
from nplib.search.proposers import Proposer, make_proposer
from nplib.search.searches import evolution, local_search, oracle, predictor_search, random_search
from nplib.search.trainings import Trainings

__all__ = [
    "BadSearch",
    "Factor",
    "Histories",
    "Proposer",
    "Trainings",
    "draw_cells",
    "evolution",
    "factor_at",
    "factor_table",
    "factor_to_reach",
    "keeping",
    "local_search",
    "make_proposer",
    "oracle",
    "predictor_search",
    "random_search",
    "tidy",
    "variance_design",
]
