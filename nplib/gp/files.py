"""Fitted Gaussian-process predictors as files."""

from __future__ import annotations

import os

import numpy as np
import torch

from nplib._weights import BadWeights, check_tensors, read_config, read_weights
from nplib.gp.predictor import LEAST_LABELS, MOST_LABELS, OF_MEMBERS, STATE, GPConfig, GPPredictor
from nplib.gp.process import FURTHEST, WEIGHTS


def save_gp(target: str | os.PathLike, predictor: GPPredictor, overwrite: bool = False) -> None:
    """Write a bag: :meth:`nplib.gp.predictor.GPPredictor.save`."""
    predictor.save(target, overwrite)


def load_gp(path: str | os.PathLike) -> GPPredictor:
    """Read a bag that :func:`save_gp` wrote; raises as :func:`nplib.predictor.load_predictor`."""
    about, tensors = read_weights(path, "save a bag with save_gp")
    if "gp" not in about:
        raise BadWeights(f"{path}: holds no configuration of a bag; save it with save_gp")
    config = read_config(GPConfig, about["gp"], str(path))
    seed = about.get("seed", "")
    if not (seed.isascii() and seed.isdigit() and len(seed) < 20):
        raise BadWeights(f"{path}: its configuration cannot be used: the seed is {seed[:40]!r}, no whole number from 0")

    def bad(what: str) -> BadWeights:
        return BadWeights(f"{path}: its tensors do not fit its configuration: {what}")

    # What the others must fit; a configuration of any size is believed only as far as there are tensors.
    count, features = tensors["labels"].numel() if "labels" in tensors else 0, len(config.features)
    if len(tensors) != len(STATE) + len(OF_MEMBERS) * config.members:
        raise bad(f"{len(tensors)} for {config.members} members: {', '.join(sorted(tensors)[:10])}")
    if not LEAST_LABELS <= count <= MOST_LABELS:
        raise bad(f"labels of {count} cells, not {LEAST_LABELS} to {MOST_LABELS:,}")
    wanted = {"rows": ((count, features), torch.float64), "labels": ((count,), torch.float64)}
    for number in range(config.members):
        length = tensors[f"columns.{number}"].numel() if f"columns.{number}" in tensors else 0
        wanted[f"columns.{number}"] = ((length,), torch.int64)
        wanted[f"parameters.{number}"] = ((WEIGHTS + length,), torch.float64)
    check_tensors(tensors, wanted, str(path))
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    columns, parameters = ([arrays[f"{name}.{k}"] for k in range(config.members)] for name in OF_MEMBERS)
    if (arrays["labels"] < 0).any() or (arrays["labels"] > 1).any() or not np.ptp(arrays["labels"]):
        raise bad("labels that are no fractions, or all alike")
    for number, (chosen, row) in enumerate(zip(columns, parameters, strict=True)):
        if not len(chosen) or chosen[0] < 0 or chosen[-1] >= features or (np.diff(chosen) < 1).any():
            raise bad(f"columns.{number} are {chosen[:5].tolist()} ..., not different places among {features} in order")
        mean, sd = config.priors.of(len(chosen))
        if (np.abs(row - mean) > (FURTHEST + 1e-6) * sd).any():
            raise bad(f"parameters.{number} go beyond {FURTHEST:g} standard deviations of their priors")
    try:
        return GPPredictor(config, int(seed), *(arrays[name] for name in STATE), columns, parameters)
    except (ValueError, RuntimeError) as error:
        raise bad(str(error)) from None
