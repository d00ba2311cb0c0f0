"""The options of ``nplib search``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def search(
    budget: Annotated[int, typer.Option(metavar="B", help="How many cells may be trained in all.")],
    first: Annotated[
        int | None, typer.Option(metavar="N", help="Of them drawn at random, to learn from; half if not given.")
    ] = None,
    predictor: Annotated[
        Literal["gcn", "two-stage", "gp"],
        typer.Option(help="What learns: Gaussian process; graph network, the paper's; one behind a classifier."),
    ] = "gp",
    rounds: Annotated[
        int, typer.Option(min=1, help="Train the proposed cells in so many parts, and learn anew after each.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the random cells, the runs met and the predictor.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="How many searches, as one batch: --seed, the next, ...")] = 1,
    data: Annotated[
        str, typer.Option(metavar="SOURCE", help="Results to search in: auto, full, surrogate, sample or a path.")
    ] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps; of the graph networks.")] = "auto",
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="For your own training: write the N random cells to train, and stop."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Learn from your own results instead, and name the cells to train next."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.csv", help="Write the proposed cells.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the first 6 of them (.png, .svg or .pdf).")
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write everything as JSON; - for the standard output."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Find the best cell that a budget of trainings can buy.

    N random cells are trained, a predictor learns from them and
    predicts all cells, the best predicted are trained, and the best by
    validation accuracy is kept. Trainings are looked up in a benchmark,
    or are your own. Examples:

    nplib search --budget 192 --seeds 10

    nplib search --budget 192 --first 172 --predictor gcn

    nplib search --budget 100 --plan train.csv

    nplib search --budget 100 --labels train.csv --output next.csv
    """
    from nplib.cli.search_options import SearchOptions
    from nplib.cli.search_report import run_search

    run_search(
        SearchOptions(
            budget=budget,
            first=first,
            predictor=predictor,
            rounds=rounds,
            seeds=tuple(range(seed, seed + seeds)),
            data=data,
            device=device,
            plan=plan,
            labels=labels,
            output=output,
            picture=picture,
            json_file=json_file,
            overwrite=overwrite,
        )
    )
