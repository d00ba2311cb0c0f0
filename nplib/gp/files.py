"""Fitted Gaussian-process predictors as files."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

import numpy as np
import torch
from safetensors.torch import save_file

from nplib._files import replacing
from nplib.gp.predictor import GPConfig, GPPredictor
from nplib.gp.process import WEIGHTS, Priors
from nplib.predictor import BadWeights, read_safetensors

_STATE = ("rows", "labels")
_OF_MEMBERS = ("columns", "parameters")  # an array each, named columns.0 and so on


def save_gp(target: str | os.PathLike, predictor: GPPredictor, overwrite: bool = False) -> None:
    """Write a bag as safetensors: configuration, hyper-parameters, and the labels it learned from.

    Raises
    ------
    nplib._files.TargetExists
        If there is a file and ``overwrite`` is false.
    """
    arrays = {name: getattr(predictor, name) for name in _STATE}
    for name in _OF_MEMBERS:
        arrays |= {f"{name}.{number}": array for number, array in enumerate(getattr(predictor, name))}
    state = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    about = {"gp": json.dumps(asdict(predictor.config)), "seed": str(predictor.seed)}
    with replacing(target, overwrite) as partial:
        save_file(state, partial, metadata=about)


def load_gp(path: str | os.PathLike) -> GPPredictor:
    """Read a bag that :func:`save_gp` wrote.

    Raises
    ------
    BadWeights
        If the file is missing, no safetensors, has no configuration, or its tensors do not fit that.
    """
    metadata, state = read_safetensors(path, "save a bag with save_gp")
    try:
        values = json.loads(metadata["gp"])
        priors, sets = Priors(**values.pop("priors")), tuple(map(tuple, values.pop("feature_sets")))
        config = GPConfig(feature_sets=sets, targets=tuple(values.pop("targets")), priors=priors, **values)
        seed = int(metadata["seed"])
    except KeyError:
        raise BadWeights(f"{path}: holds no configuration of a bag; save it with save_gp") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise BadWeights(f"{path}: its configuration cannot be used: {error}") from None
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    try:
        of_members = {f"{name}.{number}" for name in _OF_MEMBERS for number in range(config.members)}
        if odd := sorted((of_members | set(_STATE)) ^ set(arrays)):
            raise ValueError(f"missing or unknown: {', '.join(odd)}")
        columns, parameters = ([arrays[f"{name}.{k}"] for k in range(config.members)] for name in _OF_MEMBERS)
        labels, features = len(arrays["labels"]), len(config.features)
        wanted = {"rows": (labels, features), "labels": (labels,)}
        found = {name: arrays[name].shape for name in _STATE}
        lengths = [(len(chosen), len(row) - WEIGHTS) for chosen, row in zip(columns, parameters, strict=True)]
        if found != wanted or any(count != other for count, other in lengths):
            raise ValueError(f"shapes are {found}, with columns and parameters of members {lengths}; not {wanted}")
        return GPPredictor(config, seed, *(arrays[name] for name in _STATE), columns, parameters)
    except (ValueError, IndexError, RuntimeError) as error:
        raise BadWeights(f"{path}: its tensors do not fit its configuration: {error}") from None
