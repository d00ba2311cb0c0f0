"""Searches for the best cell: what is trained, in which order, and what each rule finds."""

from nplib._lazy import face

__getattr__, __dir__, __all__ = face(
    __name__,
    {
        "BadSearch": "histories",
        "Factor": "histories",
        "Histories": "histories",
        "Proposer": "proposers",
        "Trainings": "trainings",
        "draw_cells": "designs",
        "evolution": "searches",
        "factor_at": "histories",
        "factor_table": "histories",
        "factor_to_reach": "histories",
        "keeping": "kept",
        "local_search": "searches",
        "make_proposer": "proposers",
        "oracle": "searches",
        "predictor_search": "searches",
        "random_search": "searches",
        "tidy": "histories",
        "variance_design": "designs",
    },
)
