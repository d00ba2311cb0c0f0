"""The data of the page on which a reader draws a cell: a trained predictor, and results by hash, as one script.

A page that is opened from a folder may load scripts, not data; so the data are a script. It is written when the book is
built and is no part of the project. ``book/_static/draw_a_cell.js`` reads it, and computes by the same recipes as
:mod:`nplib.cell` and :mod:`nplib.predictor`; tests hold both equal in a browser.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping

import numpy as np

from nplib._files import replacing
from nplib.benchmark import BUDGETS, METRICS, POINTS, SURROGATE, Benchmark
from nplib.cell import Cell
from nplib.predictor import Predictor
from nplib.publish.results import results_path

NAME = "draw_a_cell_data.js"
QUANTILES = 1000
PREFIX = 6  # bytes of a hash: 423,624 cells all differ in these


def write_playground(
    folder: str | os.PathLike,
    predictor: Predictor,
    predicted: np.ndarray,
    benchmark: Benchmark,
    examples: Mapping[str, Cell],
) -> None:
    """Write what the page needs.

    Args:
        folder (path): Of the notebooks' results; the build takes what is in its ``_static`` along. The project's if
            empty; without a project nothing is written.
        predictor (Predictor): The one that readers ask; not one with a squashed output.
        predicted (array, shape (N,)): What it says of all cells, fractions: where a cell falls among them.
        benchmark (Benchmark): Whose results are shown beside the prediction: run 0 at 108 epochs of the metric that its
            labels are. Those of a surrogate are not measured and are left out.
        examples (mapping of titles to Cell): To start from.
    """
    if predictor.config.squashed:
        raise ValueError("the page computes no squashed output")
    weights = {
        name: {"shape": list(tensor.shape), "values": _text(tensor.detach().cpu().numpy().astype("<f4"))}
        for name, tensor in predictor.state_dict().items()
    }
    data = {
        "weights": weights,
        "label_mean": predictor.config.label_mean,
        "label_std": predictor.config.label_std,
        "quantiles": np.quantile(predicted, (np.arange(QUANTILES) + 0.5) / QUANTILES).round(7).tolist(),
        "examples": {name: {"matrix": c.matrix.tolist(), "codes": c.codes.tolist()} for name, c in examples.items()},
        "measured": None if benchmark.source == SURROGATE else _measured(benchmark),
    }
    results = results_path(folder)
    if results is None:
        return
    (results / "_static").mkdir(parents=True, exist_ok=True)
    with replacing(results / "_static" / NAME, overwrite=True) as partial:
        partial.write_text(f"window.nplibData = {json.dumps(data)};\n", encoding="utf8")


def _measured(benchmark: Benchmark) -> dict[str, str]:
    metric = benchmark.label_metric
    values = benchmark.metrics[:, BUDGETS.index(108), 0, POINTS.index("end"), METRICS.index(metric)].astype(float)
    prefixes = np.array([bytes.fromhex(name.decode()[: 2 * PREFIX]) for name in benchmark.hashes], dtype=f"S{PREFIX}")
    order = np.argsort(prefixes)
    ordered = b"".join(prefixes[order].astype(f"V{PREFIX}").tolist())
    scaled = np.nan_to_num(values[order] * 65535).round().astype("<u2")
    return {
        "what": f"Measured {metric.replace('_', ' ')}, one run",
        "prefixes": base64.b64encode(ordered).decode(),
        "values": _text(scaled),
    }


def _text(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
