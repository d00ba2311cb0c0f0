"""``nplib cells``: the best cells of a benchmark, or some by their hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nplib.cli import common
from nplib.cli.common import counted, waiting
from nplib.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas

    from nplib.benchmark import Benchmark

DRAWN = 12
# What a cell can be best in: its column, and whether less is better.
ORDERS = {
    "validation": ("validation_accuracy", False),
    "test": ("test_accuracy", False),
    "train": ("train_accuracy", False),
    "time": ("training_time", True),
    "parameters": ("trainable_parameters", True),
}


def cells(
    context: typer.Context,
    hashes: Annotated[
        list[str] | None, typer.Argument(metavar="[HASH]...", help="Module hashes; the best cells if not given.")
    ] = None,
    by: Annotated[
        Literal["validation", "test", "train", "time", "parameters"] | None,
        typer.Option(
            help="What to be best in: an accuracy, highest first, or training time or parameters, lowest first; "
            "validation if it is known, else test."
        ),
    ] = None,
    budget: Annotated[
        Literal["4", "12", "36", "108"], typer.Option(metavar="EPOCHS", help="Trained for 4, 12, 36 or 108 epochs.")
    ] = "108",
    top: Annotated[int, typer.Option(metavar="CELLS", min=1, help="How many.")] = 10,
    data: common.Data = "auto",
    output: common.Output = None,
    picture: common.Picture = None,
    json_file: common.Json = None,
    overwrite: common.Overwrite = False,
) -> None:
    """Show the best cells of a benchmark, or those of some module hashes.

    Accuracies and times are means over the runs that are known. Files
    have accuracies as fractions and times in seconds. Examples:

    nplib cells --by test --top 10 --picture best.png

    nplib cells 00005c142e6f48ac74fdcf73e3439874 --budget 36
    """
    if hashes:
        common.refuse(context, ("top", "by"), "it is for the best cells; leave it out, or the hashes")
    out = common.Results(json_file, picture, [output], overwrite)
    common.refuse_early(data)
    with waiting("starting"):
        import pandas

        from nplib.benchmark import METRICS
        from nplib.search.cell_table import cell_frame, write_frame

    benchmark = common.load(data)
    epochs = int(budget)
    results = pandas.DataFrame({metric: _means(benchmark, metric, epochs) for metric in METRICS})
    results["trainable_parameters"] = benchmark.trainable_parameters
    if hashes:
        chosen, order = benchmark.indices(name.strip().lower() for name in hashes), None
    else:
        order = by or ("validation" if results["validation_accuracy"].notna().any() else "test")
        column, ascending = ORDERS[order]
        values = results[column].where(results[column] != 0).dropna()  # 0: parameters that are unknown
        chosen = values.sort_values(ascending=ascending, kind="stable").index[:top].to_numpy()
        if not len(chosen):
            known = [name for name in METRICS if results[name].notna().any()]
            raise UserError(
                f"these results ({benchmark.source}) have no {column} after {epochs} epochs; they have "
                f"{', '.join(known) or 'nothing'}"
            )
    table = cell_frame(benchmark, chosen).join(results.iloc[chosen].reset_index(drop=True))
    if output is not None:
        out.write("cells", output, lambda file: write_frame(file, table, overwrite))
    told = _told(table)
    head = None if order is None else ORDERS[order][0]
    titles = list(told[head] if head in told else table["module_hash"].str[:8])
    out.draw(benchmark, lambda plots: plots.draw_cells([benchmark.cell(i) for i in chosen[:DRAWN]], titles[:DRAWN]))
    out.json(
        {
            "data": common.described(benchmark),
            "by": order,
            "budget": epochs,
            "cells": table.astype(object).where(table.notna(), None).to_dict("records"),
        }
    )
    out.about(benchmark)
    out.whose(benchmark)
    if len(chosen) == 1 or hashes:
        for cell in chosen:
            out.cell(benchmark, cell)
    if order is not None:
        out.say(f"the best of {counted(len(benchmark), 'cell')} by {head.replace('_', ' ')}, after {epochs} epochs:")
    out.table([name.replace("_", " ") for name in told], told.to_numpy().tolist())
    out.end()


def _means(benchmark: Benchmark, metric: str, epochs: int) -> np.ndarray:
    """A metric of every cell over the runs that are known, NaN where none is."""
    import numpy as np

    from nplib.benchmark import metric_position

    values = benchmark.metrics[(slice(None), *metric_position(metric, epochs, None))].astype(np.float64)
    count = (~np.isnan(values)).sum(axis=1)
    return np.where(count, np.nansum(values, axis=1) / np.maximum(count, 1), np.nan)


def _told(table: pandas.DataFrame) -> pandas.DataFrame:
    """The same for people: percent, and no column that has nothing."""
    told = table[["place", "module_hash"]].copy()
    for metric in ("validation_accuracy", "test_accuracy", "train_accuracy"):
        told[metric] = [f"{100 * value:.2f} %" if value == value else "" for value in table[metric]]
    told["training_time"] = [f"{value:,.0f} s" if value == value else "" for value in table["training_time"]]
    told["trainable_parameters"] = table["trainable_parameters"].map("{:,}".format)
    return told.loc[:, (told != "").any()]
