"""Trainings kept on disk by all that decides them, so that the same one is not done twice.

Only where ``NPLIB_FITS`` names a folder, as ``nplib book`` does for its notebooks: some pages ask for the same
predictors, and a page of which a sentence changes asks for all of its own again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

import numpy as np
import torch

from nplib._files import FITS, expand
from nplib._weights import read_weights, write_weights
from nplib.cell import Cells
from nplib.errors import UserError
from nplib.predictor import Predictor, PredictorConfig

logger = logging.getLogger(__name__)

LOSS = "training_loss"  # beside the weights
_reads = ContextVar("reads", default=True)


@contextmanager
def trained_anew() -> Iterator[None]:
    """Inside, all that is asked for is trained, kept or not: who takes the time of a training means a training."""
    before = _reads.set(False)
    try:
        yield
    finally:
        _reads.reset(before)


def fit_files(
    cells: Cells,
    targets: np.ndarray,
    rows: Sequence[np.ndarray],
    seeds: Sequence[int],
    config: Mapping[str, object],
    device: torch.device,
) -> list[Path]:
    """Where each training, of the cells of a row by a seed, is kept or would be; none where no folder is named.

    A name changes with the cells and their order, their targets, configuration, seed, kind of device and processor, the
    code of the core and the versions of its libraries.
    """
    if not os.environ.get(FITS):
        return []
    folder, about = expand(os.environ[FITS]), json.dumps([_stamp(), device.type, config])
    files = []
    for row, seed in zip(rows, seeds, strict=True):
        digest = hashlib.sha256(f"{about} {seed}".encode())
        for array in (cells.num_vertices, cells.adjacency, cells.operations, targets):
            digest.update(array[row].tobytes())
        files.append(folder / f"{digest.hexdigest()[:32]}.safetensors")
    return files


@cache
def _stamp() -> list[str]:
    """What else decides the numbers of a training."""
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))
    processor = platform.machine(), torch.backends.cpu.get_cpu_capability()
    return [code.hexdigest(), torch.__version__, np.__version__, *processor]


def read_fit(file: Path, config: PredictorConfig) -> tuple[Predictor, np.ndarray] | None:
    """A predictor and the loss of each epoch of its training, shape (epochs,), if they are kept there."""
    if not (_reads.get() and file.is_file()):
        return None
    try:
        _, tensors = read_weights(file, "it is safe to delete")
        losses, predictor = tensors.pop(LOSS).numpy(), Predictor(config)
        predictor.load_state_dict(tensors)
        file.touch()  # those that nobody asks for go first
    except (OSError, UserError, LookupError, RuntimeError) as error:
        logger.warning("%s cannot be used and is made anew (%s)", file, error)
        return None
    return predictor, losses


def keep_fit(file: Path, predictor: Predictor, losses: np.ndarray) -> None:
    """Keep a predictor and the loss of each epoch of its training, if that is possible."""
    tensors = predictor.state_dict() | {LOSS: torch.from_numpy(losses.copy())}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_weights(file, {}, tensors, overwrite=True)
    except (OSError, UserError) as error:
        logger.warning("a training cannot be kept: %s", error)
