"""The options of ``nplib validate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

LISTED = "one, or several with commas between"


def validate(
    train_split: Annotated[str, typer.Option(help="The labelled cells: 172, 334, 43, ... (see nplib split).")] = "172",
    predictor: Annotated[
        Literal["gcn", "gp", "both"], typer.Option(help="Graph network, Gaussian process, or both to choose from.")
    ] = "gcn",
    folds: Annotated[int, typer.Option(min=0, help="Deal them into so many folds; 0: no folds.")] = 5,
    repeats: Annotated[int, typer.Option(min=1, help="How often they are dealt.")] = 1,
    splits: Annotated[int, typer.Option(min=0, help="Also hold out a random share so many times; the paper: 10.")] = 0,
    held_out: Annotated[float, typer.Option(help="That share.")] = 0.1,
    hidden: Annotated[
        str, typer.Option("--hidden", "--gcn-hidden", help=f"Widths of the graph convolutions: {LISTED}.")
    ] = "144",
    learning_rate: Annotated[
        str, typer.Option("--lr", "--learning-rate", help=f"Adam's, at the start: {LISTED}.")
    ] = "1e-4",
    epochs: Annotated[str, typer.Option(help=f"Passes over the training cells: {LISTED}.")] = "300",
    dropout: Annotated[str, typer.Option(help=f"Share dropped: {LISTED}.")] = "0.1",
    weight_decay: Annotated[float, typer.Option("--wd", "--weight-decay", help="L2, added to the gradient.")] = 1e-3,
    train_batch_size: Annotated[int, typer.Option(min=1, help="Cells a training step.")] = 10,
    by: Annotated[Literal["mse", "tau"], typer.Option(help="What a setting is chosen by.")] = "mse",
    seed: Annotated[int, typer.Option(min=0, help="Of the splits, and of the first predictor.")] = 0,
    check: Annotated[
        bool,
        typer.Option("--check", help="Look at all other labels too: how does every setting do there?"),
    ] = False,
    check_seeds: Annotated[int, typer.Option(min=1, help="Predictors of each setting that --check trains.")] = 3,
    data: Annotated[
        str, typer.Option(metavar="SOURCE", help="Results to use: auto, full, surrogate, sample or a path.")
    ] = "auto",
    split_file: Annotated[
        Path | None, typer.Option(help="Take the split from this file (nplib split, or your own) instead.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write all figures as JSON; - for the standard output."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Estimate, from the labelled cells alone, how good a predictor is.

    Cross-validation: predictors train on a part of the labelled cells
    and are held against the rest. Of several settings, it chooses the
    best. All other labels stay unseen, unless --check asks for them.
    Examples:

    nplib validate --train-split 172 --folds 5 --repeats 2 --splits 10

    nplib validate --hidden 72,144 --lr 1e-4,2e-4 --by tau --check

    nplib validate --predictor both --by tau
    """
    from nplib.cli.validation_report import ValidateOptions, run_validate

    run_validate(
        ValidateOptions(
            train_split=train_split,
            predictor=predictor,
            folds=folds,
            repeats=repeats,
            splits=splits,
            held_out=held_out,
            hidden=hidden,
            learning_rate=learning_rate,
            epochs=epochs,
            dropout=dropout,
            weight_decay=weight_decay,
            train_batch_size=train_batch_size,
            by=by,
            seed=seed,
            check=check,
            check_seeds=check_seeds,
            data=data,
            split_file=split_file,
            device=device,
            json_file=json_file,
            overwrite=overwrite,
        )
    )
