"""``nplib validate``: cross-validate the labelled cells, choose settings, and check both if asked to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nplib.cli import common
from nplib.cli.common import counted, waiting
from nplib.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from nplib.cell import Cells
    from nplib.studies.cross_validation import Split
    from nplib.studies.model_choice import Choice
    from nplib.training import Config

FIGURE = {"mse": "mse_percent2", "tau": "kendall_tau"}


def validate(
    context: typer.Context,
    train_split: common.TrainSplit = "172",
    predictor: Annotated[
        Literal["gcn", "gp", "gp-plain", "both"],
        typer.Option(
            help="Graph network, Gaussian process (gp-plain: with nothing chosen by other labels), or gcn and "
            "gp both, to choose from."
        ),
    ] = "gcn",
    folds: Annotated[int, typer.Option(metavar="NUMBER", min=0, help="Folds that the cells are dealt into; or 0.")] = 5,
    repeats: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="How often they are dealt.")] = 1,
    splits: Annotated[
        int, typer.Option(metavar="NUMBER", min=0, help="Also hold out a random share so often; the paper: 10.")
    ] = 0,
    held_out: Annotated[float, typer.Option(metavar="SHARE", help="That share, between 0 and 1.")] = 0.1,
    hidden: common.Hiddens = "144",
    learning_rate: common.LearningRates = "1e-4",
    epochs: common.EpochNumbers = "300",
    dropout: common.Dropouts = "0.1",
    weight_decay: common.WeightDecay = 1e-3,
    batch_size: common.BatchSize = 10,
    by: Annotated[
        Literal["mse", "tau"],
        typer.Option(help="What a setting is chosen by: error, or Kendall tau, which a search lives on."),
    ] = "tau",
    seed: common.Seed = 0,
    check: Annotated[
        bool, typer.Option("--check", help="Look at all other labels too: how does every setting do there?")
    ] = False,
    check_seeds: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, help="Predictors of each setting that --check trains.")
    ] = 3,
    data: common.Data = "auto",
    split_file: common.SplitFile = None,
    device: common.Device = "auto",
    scheduler: common.Scheduler = None,
    json_file: common.Json = None,
    overwrite: common.Overwrite = False,
) -> None:
    """Estimate, from the labelled cells alone, how good a predictor is.

    Cross-validation: predictors train on a part of the labelled cells
    and are held against the rest. Of several settings, it chooses the
    best. All other labels stay unseen, unless --check asks for them.
    Examples:

    nplib validate --train-split 172 --folds 5 --repeats 2 --splits 10

    nplib validate --hidden 72,144 --lr 1e-4,2e-4 --check

    nplib validate --predictor both
    """
    out = common.Results(json_file, overwrite=overwrite)
    if predictor.startswith("gp"):
        common.refuse(context, common.NETWORK, common.NO_NETWORK)
    if not folds and not splits:
        raise UserError("neither folds nor random splits are asked for; give --folds 5, or --splits 10")
    common.refuse_early(data, device, [train_split], split_file)
    with waiting("starting"):
        import numpy as np

        from nplib.gp import GPConfig
        from nplib.studies.model_choice import choose_configs, config_grid
        from nplib.training import TrainingConfig, choose_device

    base = TrainingConfig(weight_decay=weight_decay, batch_size=batch_size)
    grid = config_grid(base, hidden=hidden, learning_rate=learning_rate, epochs=epochs, dropout=dropout)
    process = [] if predictor == "gcn" else [GPConfig.named(predictor)]
    configs = process if predictor.startswith("gp") else [*grid, *process]
    device = str(choose_device(device))
    benchmark = common.load(data)
    cells = common.cells_of(benchmark, train_split, split_file)
    schemes = _schemes(len(cells), folds, repeats, splits, held_out, seed)
    others = np.setdiff1d(np.arange(len(benchmark)), cells)
    if check and len(others) < 2:
        raise UserError(f"--check needs other cells than the {len(cells)} labelled ones; there are {len(others)}")
    labels = benchmark.accuracy_labels()
    # What has no label may not be looked at, and so cannot be.
    known = np.full(len(labels), np.nan)
    known[cells] = labels[cells]
    out.about(benchmark)
    out.say(f"{len(cells)} labelled cells (split {train_split}), {counted(len(configs), 'setting')}, {device}")
    options = {"device": device, "progress": True}
    choices = {
        name: choose_configs(benchmark.cells, known, cells[None], configs, parts, FIGURE[by], [seed], **options)[0]
        for name, parts in schemes.items()
    }
    chosen = next(iter(choices.values()))
    names = [config.in_words for config in configs]
    checked = None
    if check:
        seeds = range(seed, seed + check_seeds)
        checked = [_check(benchmark.cells, labels, cells, others, config, seeds, options) for config in configs]
    out.json(
        {
            "data": common.described(benchmark),
            "train_split": train_split,
            "labelled_cells": len(cells),
            "seed": seed,
            "device": device,
            "cross_validation": {
                scheme: dict(zip(names, (validation.report() for validation in choice.validations), strict=True))
                for scheme, choice in choices.items()
            },
            "chosen_by": FIGURE[by],
            "chosen": chosen.config.in_words,
            "config": asdict(chosen.config),
            "check": checked and dict(zip(names, checked, strict=True)),
        }
    )
    out.whose(benchmark)
    for scheme, choice in choices.items():
        _tell(out, scheme, choice, names)
    if len(configs) > 1:
        out.say(f"chosen by {by} over {next(iter(choices))}: {chosen.config.in_words}")
    if checked is not None:
        remarks = ["  chosen" if len(configs) > 1 and config == chosen.config else "" for config in configs]
        _tell_checked(out, checked, names, remarks, check_seeds)
    out.end()


def _schemes(n: int, folds: int, repeats: int, splits: int, held_out: float, seed: int) -> dict[str, list[Split]]:
    """By name, the ways to split n labelled cells. Settings are chosen by the first."""
    from nplib.studies.cross_validation import k_folds, random_splits

    schemes = {}
    if folds:
        repeated = f", dealt {repeats} times" if repeats > 1 else ""
        schemes[f"{folds} folds{repeated}"] = k_folds(n, folds, repeats, seed)
    if splits:
        schemes[counted(splits, "random split")] = random_splits(n, held_out, splits, seed)
    return schemes


def _tell(out: common.Results, scheme: str, choice: Choice, names: Sequence[str]) -> None:
    from nplib.studies.cross_validation import FIGURES

    splits = choice.best.splits
    trained, held_out = ("/".join(map(str, sorted({len(split[part]) for split in splits}))) for part in range(2))
    out.say(f"{scheme}: each trained on {trained} cells, {held_out} held out")
    rows = []
    for name, validation in zip(names, choice.validations, strict=True):
        row = [name]
        for figure in FIGURES:
            error = f"{validation.standard_error(figure):.3f}" if len(splits) > 1 else "n/a"
            row += [format(validation.estimate(figure), ".3f"), error, f"{validation.pooled(figure):.3f}"]
        rows.append(row)
    out.table(["setting", "MSE, points²", "se", "pooled", "Kendall tau", "se", "pooled"], rows)
    out.say("± standard deviation over splits; se: standard error, corrected for cells that splits share")


def _check(
    cells: Cells,
    labels: np.ndarray,
    labelled: np.ndarray,
    others: np.ndarray,
    config: Config,
    seeds: Sequence[int],
    options: Mapping[str, object],
) -> dict[str, list[float]]:
    """Figures of predictors trained on all labelled cells, on all others; a value a seed."""
    from nplib.studies.cross_validation import FIGURES

    fit = config.fit(cells, labels, seeds, training_cells=labelled, **options)
    with waiting("predicting all other cells"):
        predicted = fit.predict(cells[others])
    return {name: [take(labels[others], row) for row in predicted] for name, take in FIGURES.items()}


def _tell_checked(
    out: common.Results, checked: Sequence[dict], names: Sequence[str], remarks: Sequence[str], seeds: int
) -> None:
    from nplib.metrics import summarize

    out.say(f"check: trained on all labelled cells, on all other cells, {counted(seeds, 'seed')}")
    rows = [
        [name, *(format(summarize(values), ".3f") for values in figures.values()), remark]
        for name, figures, remark in zip(names, checked, remarks, strict=True)
    ]
    out.table(["setting", "MSE, points²", "Kendall tau", ""], rows)
