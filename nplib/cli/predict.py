"""``nplib predict``: what a trained predictor says of cells, from its file of weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nplib.cli import common
from nplib.cli.common import counted, waiting
from nplib.errors import UserError

if TYPE_CHECKING:
    from nplib.gp import GPPredictor
    from nplib.predictor import Predictor

SHOWN, DRAWN = 10, 6


def predict(
    weights: Annotated[Path, typer.Argument(metavar="WEIGHTS", help="File that nplib train --save wrote.")],
    cells: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Rank these (.csv or .json, with module_hash, or adjacency and operations); all 423,624 if not given.",
        ),
    ] = None,
    top: Annotated[
        int | None, typer.Option(metavar="CELLS", min=1, help="Only the best so many; all if not given.")
    ] = None,
    coverage: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Chance that a training falls within the interval of a Gaussian process."),
    ] = 0.9,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write them as a table (.csv or .json).")
    ] = None,
    picture: common.Picture = None,
    json_file: common.Json = None,
    overwrite: common.Overwrite = False,
) -> None:
    """Rank cells by the accuracy that a trained predictor expects of them.

    WEIGHTS are of either kind of predictor. Accuracies are fractions in
    files; a Gaussian process also gives the interval that a training is
    expected to fall into. --picture draws the best. Examples:

    nplib train --predictor gp --save gp.safetensors

    nplib predict gp.safetensors --top 100 --output best.csv

    nplib predict gp.safetensors --cells mine.json --json -
    """
    out = common.Results(json_file, picture, [output], overwrite)
    if output is not None and output.suffix not in (".csv", ".json"):
        raise UserError(f"--output names {output}; its ending must be .csv or .json")
    if not 0 < coverage < 1:
        raise UserError(f"--coverage is {coverage}; it must be between 0 and 1, as 0.9")
    kind, predictor = _load(weights)
    with waiting("starting"):
        import numpy as np

        from nplib.search.cell_table import cell_frame, read_cells, write_frame
        from nplib.space import load_space

        space = load_space()
    chosen = np.arange(len(space)) if cells is None else read_cells(cells, space)[0]
    if not len(chosen):
        raise UserError(f"{cells} holds no cell")

    with waiting(f"predicting {counted(len(chosen), 'cell')}"):
        predicted = predictor.predict(space.cells[chosen])
        best = np.argsort(-predicted, kind="stable")[:top]
        ranked = chosen[best]
        table = cell_frame(space, ranked)
        table["predicted_accuracy"] = predicted[best]
        if kind == "gp":
            table["low"], table["high"] = predictor.accuracy_interval(space.cells[ranked], coverage)
    if output is not None:
        out.write("cells", output, lambda file: write_frame(file, table, overwrite))
    titles = [f"{100 * value:.2f} %" for value in predicted[best][:DRAWN]]
    out.draw("predicted", lambda plots: plots.draw_cells([space.cell(cell) for cell in ranked[:DRAWN]], titles))
    about = {"weights": str(weights), "predictor": kind} | ({"coverage": coverage} if kind == "gp" else {})
    out.json(lambda: about | {"cells": table.to_dict("records")})
    out.say(f"{weights}: {'Gaussian process' if kind == 'gp' else 'graph network'}; {counted(len(chosen), 'cell')}")
    heads = ["predicted, %"] + ([f"{100 * coverage:g} % within"] if kind == "gp" else [])
    rows = []
    for row in table.head(top or SHOWN).to_dict("records"):
        within = [f"{100 * row['low']:.2f} to {100 * row['high']:.2f}"] if kind == "gp" else []
        rows.append([row["place"], row["module_hash"], f"{100 * row['predicted_accuracy']:.2f}", *within])
    out.table(["place", "cell", *heads], rows)
    if len(table) > len(rows):
        out.say(f"... and {len(table) - len(rows):,} more" + ("" if output else "; --output FILE.csv writes them all"))
    out.end()


def _load(weights: Path) -> tuple[str, Predictor | GPPredictor]:
    """A predictor and which kind it is, by what its file says of itself."""
    from nplib._weights import read_weights

    about, _ = read_weights(weights, "nplib train --save writes such files")
    if not {"gp", "config"} & set(about):
        raise UserError(f"{weights} does not say which predictor it is of; nplib train --save writes files that do")
    with waiting("starting"):
        if "gp" in about:
            from nplib.gp import load_gp

            return "gp", load_gp(weights)
        from nplib.predictor import load_predictor

        predictor = load_predictor(weights)
    config = predictor.config
    if (config.label_mean, config.label_std) == (0, 1) and not config.squashed:
        raise UserError(
            f"{weights} is of a classifier, the first of two stages: it says how likely a cell is to pass, and no "
            "accuracy; give the file of its regressor"
        )
    return "gcn", predictor
