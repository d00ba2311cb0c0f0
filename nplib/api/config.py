"""Settings by their official names: ``from nplib.api import config`` stands for ``from nasbench.lib import config``.

Source: ``nasbench/lib/config.py`` of google-research/nasbench.
"""

from __future__ import annotations

from typing import Any

from nplib.benchmark import BUDGETS, RUNS
from nplib.cell import (
    INTERIOR_OPERATIONS,
    MAX_EDGES,
    MAX_VERTICES,
    MODULES_PER_STACK,
    NUM_CLASSES,
    NUM_STACKS,
    STEM_CHANNELS,
)


def build_config() -> dict[str, Any]:
    """A new dict of all settings at their defaults; those of training are what the results were made with."""
    return {
        "train_data_files": [],
        "valid_data_file": "",
        "test_data_file": "",
        "sample_data_file": "",
        "data_format": "channels_last",
        "num_labels": NUM_CLASSES,
        "module_vertices": MAX_VERTICES,
        "max_edges": MAX_EDGES,
        "available_ops": list(INTERIOR_OPERATIONS),
        "stem_filter_size": STEM_CHANNELS,
        "num_stacks": NUM_STACKS,
        "num_modules_per_stack": MODULES_PER_STACK,
        "batch_size": 256,
        "train_epochs": BUDGETS[-1],
        "train_seconds": 4.0 * 60 * 60,
        "learning_rate": 0.1,
        "lr_decay_method": "COSINE_BY_STEP",
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "max_attempts": 5,
        "intermediate_evaluations": ["0.5"],
        "num_repeats": RUNS,
        "use_tpu": True,
        "tpu_iterations_per_loop": 100,
        "tpu_num_shards": 2,
    }
