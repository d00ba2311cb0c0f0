"""What ``nplib validate`` does: cross-validate the labelled cells, choose settings, and check both if asked to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from nplib import sources
from nplib._files import check_target, write_json
from nplib.benchmark import SURROGATE, Benchmark
from nplib.cell import Cells
from nplib.cli.train import refuse_network_options
from nplib.errors import UserError
from nplib.gp.predictor import GPConfig
from nplib.metrics import summarize
from nplib.predictor import PredictorConfig
from nplib.splits import load_splits, pick_split, split_indices
from nplib.studies.cross_validation import FIGURES, CrossValidation, Split, k_folds, random_splits
from nplib.studies.model_choice import Choice, choose_config, config_grid
from nplib.training import Config, TrainingConfig, choose_device

Number = TypeVar("Number", int, float)

# What only a graph network has: option and field.
NETWORK_OPTIONS = {
    "--hidden": "hidden",
    "--lr": "learning_rate",
    "--epochs": "epochs",
    "--dropout": "dropout",
    "--wd": "weight_decay",
    "--train-batch-size": "train_batch_size",
}
_BY = {"mse": "mse_percent2", "tau": "kendall_tau"}
_DIGITS = 3


@dataclass(frozen=True)
class ValidateOptions:
    """The options of ``nplib validate``; :mod:`nplib.cli.validate` explains them."""

    train_split: str = "172"
    predictor: str = "gcn"
    folds: int = 5
    repeats: int = 1
    splits: int = 0
    held_out: float = 0.1
    hidden: str = str(PredictorConfig.hidden)
    learning_rate: str = str(TrainingConfig.learning_rate)
    epochs: str = str(TrainingConfig.epochs)
    dropout: str = str(PredictorConfig.dropout)
    weight_decay: float = TrainingConfig.weight_decay
    train_batch_size: int = TrainingConfig.batch_size
    by: str = "mse"
    seed: int = 0
    check: bool = False
    check_seeds: int = 3
    data: str = "auto"
    split_file: Path | None = None
    device: str = "auto"
    json_file: Path | None = None
    overwrite: bool = False

    @property
    def to_stdout(self) -> bool:
        """Whether the figures as JSON are what the standard output is for."""
        return self.json_file is not None and str(self.json_file) == "-"

    def configs(self) -> list[Config]:
        """The grid of settings of a graph network, or the Gaussian process, or both.

        Raises
        ------
        UserError
            If a list of numbers is none, or a setting is impossible or of a graph network alone.
        """
        if self.predictor == "gp":
            refuse_network_options(self, NETWORK_OPTIONS)
            return [GPConfig()]
        gp = [GPConfig()] if self.predictor == "both" else []
        base = TrainingConfig(weight_decay=self.weight_decay, batch_size=self.train_batch_size)
        grid = config_grid(
            base,
            hidden=_numbers("--hidden", self.hidden, int),
            learning_rate=_numbers("--lr", self.learning_rate, float),
            epochs=_numbers("--epochs", self.epochs, int),
            dropout=_numbers("--dropout", self.dropout, float),
        )
        return [*grid, *gp]

    def schemes(self, n: int) -> dict[str, list[Split]]:
        """By name, the ways to split n labelled cells. Settings are chosen by the first."""
        schemes = {}
        if self.folds:
            repeated = f", dealt {self.repeats} times" if self.repeats > 1 else ""
            schemes[f"{self.folds} folds{repeated}"] = k_folds(n, self.folds, self.repeats, self.seed)
        if self.splits:
            schemes[f"{self.splits} random splits"] = random_splits(n, self.held_out, self.splits, self.seed)
        if not schemes:
            raise UserError("neither folds nor random splits are asked for; give --folds 5, or --splits 10")
        return schemes


def _numbers(option: str, text: str, kind: type[Number]) -> list[Number]:
    """Numbers that an option lists, separated by commas."""
    try:
        return list(dict.fromkeys(kind(part) for part in text.split(",")))
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise UserError(f"{option} is {text!r}; give {what} with commas between them, and no spaces") from None


def run_validate(options: ValidateOptions) -> None:
    """Cross-validate, choose, print, and write what was asked for.

    Raises
    ------
    UserError
        If options do not fit together, data or splits are missing, or the training cannot be carried out.
    """
    if options.json_file is not None and not options.to_stdout:
        check_target(options.json_file, options.overwrite)
    configs = options.configs()
    device = str(choose_device(options.device))

    def say(line: str) -> None:
        tqdm.write(line, file=sys.stderr if options.to_stdout else sys.stdout)

    benchmark = sources.load(options.data, progress=True)
    cells = _labelled_cells(benchmark, options)
    schemes = options.schemes(len(cells))
    others = np.setdiff1d(np.arange(len(benchmark)), cells)
    if options.check and len(others) < 2:
        raise UserError(f"--check needs other cells than the {len(cells)} labelled ones; there are {len(others)}")
    labels = benchmark.accuracy_labels()
    # What has no label may not be looked at, and so cannot be.
    known = np.full(len(labels), np.nan)
    known[cells] = labels[cells]
    graphs = benchmark.cells
    say(f"data: {benchmark.source}, {len(benchmark):,} cells; {benchmark.labels}")
    say(f"{len(cells)} labelled cells (split {options.train_split}), {len(configs)} settings, {device}")
    on_cores = {"device": device, "progress": True}
    choices = {
        name: choose_config(graphs, known, cells, configs, splits, _BY[options.by], options.seed, **on_cores)
        for name, splits in schemes.items()
    }
    if benchmark.source == SURROGATE:
        say(f"Figures on the surrogate, {benchmark.kind}:")
    for name, choice in choices.items():
        _show(name, choice, say)
    chosen = next(iter(choices.values()))
    if len(configs) > 1:
        say(f"chosen by {options.by} over {next(iter(choices))}: {chosen.config.in_words}")
    checked = _check(graphs, labels, cells, others, configs, options, device) if options.check else None
    if checked is not None:
        _show_check(checked, configs, chosen, options, say)
    if options.json_file is not None:
        report = _report(benchmark, options, cells, choices, chosen, checked, device)
        _write(report, options, say)


def _labelled_cells(benchmark: Benchmark, options: ValidateOptions) -> np.ndarray:
    if options.split_file is None:
        return split_indices(benchmark, options.train_split)
    splits = load_splits(options.split_file, len(benchmark))
    return pick_split(splits, options.train_split, str(options.split_file))


def _show(name: str, choice: Choice, say: Callable[[str], None]) -> None:
    splits = choice.best.splits
    trained, held_out = ("/".join(map(str, sorted({len(split[part]) for split in splits}))) for part in range(2))
    say(f"{name}: each trained on {trained} cells, {held_out} held out")
    width = max(len(validation.config.in_words) for validation in choice.validations)
    say(f"{'setting':<{width}}{'MSE, points²':>16}{'se':>7}{'pooled':>8}{'Kendall tau':>16}{'se':>7}{'pooled':>8}")
    for validation in choice.validations:
        texts = [_figures(validation, figure) for figure in FIGURES]
        say(f"{validation.config.in_words:<{width}}{''.join(texts)}")
    say("± standard deviation over splits; se: standard error, corrected for cells that splits share")


def _figures(validation: CrossValidation, figure: str) -> str:
    several = len(validation.splits) > 1
    error = format(validation.standard_error(figure), f".{_DIGITS}f") if several else "n/a"
    estimate = format(validation.estimate(figure), f".{_DIGITS}f")
    return f"{estimate:>16}{error:>7}{validation.pooled(figure):>8.{_DIGITS}f}"


def _check(
    graphs: Cells,
    labels: np.ndarray,
    cells: np.ndarray,
    others: np.ndarray,
    configs: Sequence[Config],
    options: ValidateOptions,
    device: str,
) -> list[dict[str, list[float]]]:
    """By setting, figures of predictors trained on all labelled cells, on all others; a value a seed."""
    seeds = range(options.seed, options.seed + options.check_seeds)
    graphs_of_others = graphs[others]
    checked = []
    for config in configs:
        fit = config.fit(graphs, labels, seeds, training_cells=cells, device=device, progress=True)
        predicted = fit.predict(graphs_of_others)
        checked.append({name: [take(labels[others], row) for row in predicted] for name, take in FIGURES.items()})
    return checked


def _show_check(
    checked: Sequence[dict[str, list[float]]],
    configs: Sequence[Config],
    chosen: Choice,
    options: ValidateOptions,
    say: Callable[[str], None],
) -> None:
    say(f"check: trained on all labelled cells, on all other cells, {options.check_seeds} seeds")
    width = max(len(config.in_words) for config in configs)
    say(f"{'setting':<{width}}{'MSE, points²':>16}{'Kendall tau':>16}")
    for config, figures in zip(configs, checked, strict=True):
        texts = [f"{format(summarize(values), f'.{_DIGITS}f'):>16}" for values in figures.values()]
        remark = "  chosen" if len(configs) > 1 and config == chosen.config else ""
        say(f"{config.in_words:<{width}}{''.join(texts)}{remark}")


def _report(
    benchmark: Benchmark,
    options: ValidateOptions,
    cells: np.ndarray,
    choices: dict[str, Choice],
    chosen: Choice,
    checked: Sequence[dict[str, list[float]]] | None,
    device: str,
) -> dict[str, object]:
    """Everything as JSON can hold it."""
    about = {name: getattr(benchmark, name) for name in ("source", "labels", "sha256")}
    names = [validation.config.in_words for validation in chosen.validations]
    return {
        "data": about | {"cells": len(benchmark)},
        "train_split": options.train_split,
        "labelled_cells": len(cells),
        "seed": options.seed,
        "device": device,
        "cross_validation": {
            name: {validation.config.in_words: validation.report() for validation in choice.validations}
            for name, choice in choices.items()
        },
        "chosen_by": _BY[options.by],
        "chosen": chosen.config.in_words,
        "config": asdict(chosen.config),
        "check": None if checked is None else dict(zip(names, checked, strict=True)),
    }


def _write(report: dict[str, object], options: ValidateOptions, say: Callable[[str], None]) -> None:
    write_json(options.json_file, report, options.overwrite)
    if not options.to_stdout:
        say(f"figures: {options.json_file}")
