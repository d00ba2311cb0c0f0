"""The five findings of the front page, from the results of a build: this one if it is whole and of real data, else one
that was recorded.

``nplib book --record`` writes those of a whole build of real data to ``book/recorded.json``, with version and date.
"""

from __future__ import annotations

import datetime
import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

import nplib
from nplib._files import write_json
from nplib.benchmark import SURROGATE
from nplib.errors import UserError
from nplib.publish.page import UNKNOWN, interval, mean_sd, percent, verdict
from nplib.publish.project import find_project
from nplib.publish.results import ResultsMissing, load_results
from nplib.studies.published import ONE_STAGE

NOTEBOOKS = ("04_train", "05_classifier", "06_noise_case_study", "08_search", "09_few_labels")
RECORDED = "recorded.json"
# What the front page reads of each notebook's results; the rest is not recorded.
KEPT = {
    "04_train": ("settings", "ceilings", "metric"),
    "05_classifier": ("by_training_cells", "all_cells", "constant_mse_percent2_passing"),
    "06_noise_case_study": ("of_error", "poor_share_of_error", "rank_ceiling"),
    "08_search": ("searches", "factors_to_reach", "judged_by", "hundred"),
    "09_few_labels": ("kendall_tau", "ceiling_tau"),
}


def of_build(folder: str | os.PathLike = "") -> dict[str, object]:
    """What this build found.

    Args:
        folder (path): Of the notebooks' results; the project's if not given.

    Raises:
        ResultsMissing: If a notebook has not run, or with other data than the others.
    """
    source = load_results(folder, NOTEBOOKS[0])["source"]
    results = {name: load_results(folder, name, source) for name in NOTEBOOKS}
    quick = any(of.get("quick") for of in results.values())
    kept = {name: {key: results[name][key] for key in KEPT[name] if key in results[name]} for name in NOTEBOOKS}
    return {"source": source, "quick": quick, "version": nplib.__version__, "results": kept}


def findings(folder: str | os.PathLike = "", project: str | os.PathLike = ".") -> dict[str, object]:
    """What the front page tells: of this build if it is whole and real, else what was recorded, else of this one.

    ``recorded`` in it is the date of a record, empty where it is of this build.

    Raises:
        ResultsMissing: If there is neither.
    """
    here, problem = None, ""
    try:
        here = of_build(folder) | {"recorded": ""}
    except ResultsMissing as error:
        problem = str(error)
    if here and not here["quick"] and here["source"] != SURROGATE:
        return here
    with suppress(UserError, OSError):
        return json.loads((find_project(project) / "book" / RECORDED).read_text(encoding="utf8"))
    if here is None:
        raise ResultsMissing(problem)
    return here


def numbers(found: Mapping) -> dict[str, str]:
    """What the sentences of the front page name, as they are to be read, from what :func:`findings` gives."""
    trained, staged, noisy, searched, few = found["results"].values()

    def needed(name: str, kind: str = "factors_to_reach") -> str:
        """Trainings to get where evolution is after 5,000, and their interval."""
        of = searched.get(kind, {}).get(f"{name}, test")
        if of is None:  # a record from before it was asked
            return UNKNOWN
        if of["needed"] is None:
            return f"more than the {of['most']:,} that were tried"
        low, high = (math.nan if end is None else end for end in of["interval"])
        return f"{of['needed']:,} ({interval(low, high, ',.0f')})"

    def tau_of(name: str, count: int) -> str:
        return mean_sd(few["kendall_tau"].get(name, {}).get(str(count), []), ".3f", of="draws")

    both, first = staged["all_cells"], trained["settings"][ONE_STAGE.name]
    kind = "the surrogate, which is a model" if found["source"] == SURROGATE else found["source"]
    where = f"recorded on {found['recorded']} by version {found['version']}" if found["recorded"] else "this build"
    few_draws = ", a quick one of few draws" if found["quick"] else ""
    return {
        "of_what": f"Data: {kind}; numbers are of {where}{few_draws}.",
        "mse": mean_sd(first["mse_percent2"], ".2f", "points²"),
        "tau": mean_sd(first["kendall_tau"], ".3f"),
        "ceiling": interval(*trained["ceilings"][ONE_STAGE.name]["kendall_tau"], ".2f"),
        "poor_error": percent(noisy["poor_share_of_error"], 0),
        "stages": verdict(
            np.subtract(both["two stages"]["kendall_tau"], both["one stage"]["kendall_tau"]),
            "Two stages rank all cells better",
            "One stage ranks all cells better",
        ),
        "constant": f"{staged['constant_mse_percent2_passing']:.2f}",
        "needed_one": needed("one stage"),
        "needed_two": needed("two stages"),
        "needed_gp": needed("Gaussian process"),
        "needed_batches": needed("run", "hundred"),
        "plain_43": tau_of("plain", 43),
        "designed_43": tau_of("plain, designed", 43),
        "plain_172": tau_of("plain", 172),
        "network_172": tau_of("network", 172),
    }


def agreement(within: Sequence[str]) -> str:
    """Whether our mean error lies within the spread of the reference's own code, from "yes" or "no" of each setting.

    >>> agreement(["yes", "yes", "no"])
    "Our mean error lies within the spread of the reference's own code in 2 of 3 settings."
    """
    if len(within):
        held = list(within).count("yes")
        return f"Our mean error lies within the spread of the reference's own code in {held} of {len(within)} settings."
    return "Whether our error is that of the reference's own code shows in a full build, on labels that it was run on."


def record(folder: str | os.PathLike, project: str | os.PathLike) -> Path:
    """Keep what a whole build of real data found, for front pages of other builds.

    Raises:
        UserError: If the build is quick, or of the surrogate.
    """
    found = of_build(folder)
    if found["quick"] or found["source"] == SURROGATE:
        what = "quick" if found["quick"] else "of the surrogate"
        raise UserError(f"this build is {what}; only a whole one of real data is recorded: nplib book --data one-run")
    target = find_project(project) / "book" / RECORDED
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    write_json(target, _rounded(found) | {"recorded": date}, overwrite=True)
    return target


def _rounded(value: object) -> object:
    """Numbers to six digits: a record is read by people too."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
