"""What ``nplib train`` does: everything that can be refused first, then the training, then its figures."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from tqdm import tqdm

from nplib import sources
from nplib._files import check_target, replacing, write_json
from nplib.benchmark import SURROGATE, Benchmark
from nplib.errors import UserError
from nplib.gp.files import save_gp
from nplib.gp.predictor import GPClassifier, GPConfig, GPPredictor
from nplib.metrics import kendall_tau, mse_percent2, summarize
from nplib.predictor import Predictor, PredictorConfig, save_predictor
from nplib.splits import load_splits, pick_split, split_indices
from nplib.studies.experiment import run_experiment
from nplib.training import Config, Fit, TrainingConfig, choose_device

# What only a graph network has: option and field.
NETWORK_OPTIONS = {
    "--gcn-hidden": "hidden",
    "--train-batch-size": "train_batch_size",
    "--epochs": "epochs",
    "--lr": "learning_rate",
    "--wd": "weight_decay",
    "--train-print-freq": "train_print_freq",
    "--eval-print-freq": "eval_print_freq",
}
PICTURE_SUFFIXES = (".png", ".svg", ".pdf")
_FIGURE_NAMES = {
    "mse_percent2": "MSE, points²",
    "kendall_tau": "Kendall tau",
    "mse_percent2_unseen": "MSE, unseen",
    "kendall_tau_unseen": "tau, unseen",
}


@dataclass(frozen=True)
class TrainOptions:
    """The options of ``nplib train``; the command line explains them."""

    train_split: str = "172"
    eval_split: str = "all"
    predictor: str = "gcn"
    hidden: int = PredictorConfig.hidden
    seeds: tuple[int, ...] = (0,)
    train_batch_size: int = TrainingConfig.batch_size
    test_batch_size: int = 100
    epochs: int = TrainingConfig.epochs
    learning_rate: float = TrainingConfig.learning_rate
    weight_decay: float = TrainingConfig.weight_decay
    train_print_freq: int = 0
    eval_print_freq: int = 0
    picture: Path | None = None
    data: str = "auto"
    split_file: Path | None = None
    device: str = "auto"
    json_file: Path | None = None
    save: Path | None = None
    overwrite: bool = False

    @property
    def to_stdout(self) -> bool:
        """Whether the figures as JSON are what the standard output is for."""
        return self.json_file is not None and str(self.json_file) == "-"

    def say(self, line: str) -> None:
        """Tell a person something, wherever the figures as JSON are not."""
        tqdm.write(line, file=sys.stderr if self.to_stdout else sys.stdout)

    def training_config(self) -> Config:
        """How a predictor is fitted.

        Raises
        ------
        UserError
            If an option is given that a Gaussian process does not have.
        """
        if self.predictor == "gp":
            refuse_network_options(self, NETWORK_OPTIONS)
            return GPConfig()
        return TrainingConfig(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            batch_size=self.train_batch_size,
            predictor=PredictorConfig(hidden=self.hidden),
        )

    def weight_files(self) -> list[Path]:
        """Where the weights of each seed go."""
        if self.save is None:
            return []
        if len(self.seeds) == 1:
            return [self.save]
        return [self.save.with_name(f"{self.save.stem}-{seed}{self.save.suffix}") for seed in self.seeds]


def refuse_network_options(options: object, names: Mapping[str, str]) -> None:
    """Refuse what only a graph network has, where it is not at its default.

    Parameters
    ----------
    options : dataclass
    names : mapping of options to fields
    """
    defaults = {field.name: field.default for field in fields(options)}
    if given := [option for option, name in names.items() if getattr(options, name) != defaults[name]]:
        raise UserError(f"{', '.join(given)}: a Gaussian process has no such setting; leave it out, or --predictor gp")


def run_train(options: TrainOptions) -> None:
    """Train, evaluate, print, and write what was asked for.

    Raises
    ------
    UserError
        If options do not fit together, data or splits are missing, or the training cannot be carried out.
    """
    check_targets(options)
    config = options.training_config()
    device = str(choose_device(options.device))
    benchmark, training_cells, evaluation_cells = load_cells(options, device)
    outcome = run_experiment(
        benchmark,
        training_cells,
        evaluation_cells,
        options.seeds,
        config,
        device=device,
        test_batch_size=options.test_batch_size,
        after_epochs=math.gcd(options.train_print_freq, options.eval_print_freq),
        callback=_teller(options, benchmark, evaluation_cells),
        progress=True,
    )
    tell_whose(benchmark, options)
    show_figures(outcome.figures(), _FIGURE_NAMES, options)
    tell_seen(outcome.unseen, options)
    options.say(f"trained in {outcome.training_seconds:.1f} s, evaluated in {outcome.evaluation_seconds:.1f} s")
    save_weights(options, outcome.fit.predictors)
    draw_picture(options, benchmark, outcome.true, outcome.predicted[0], np.flatnonzero(~outcome.unseen))
    write_figures(options, benchmark, device, {"config": asdict(config), **outcome.report()})


def _teller(options: TrainOptions, benchmark: Benchmark, cells: np.ndarray) -> Callable[[int, Fit], None] | None:
    """What tells, while training, how it goes; None if nothing is to be told."""
    if not (options.train_print_freq or options.eval_print_freq):
        return None
    true = benchmark.accuracy_labels()[cells]
    graphs = benchmark.cells[cells]

    def tell(done: int, fit: Fit) -> None:
        def due(every: int) -> bool:
            return bool(every) and (done == options.epochs or done % every == 0)

        if due(options.train_print_freq):
            loss = summarize(fit.training_loss[:, done - 1])
            options.say(f"epoch {done} of {options.epochs}: training MSE {loss} points²")
        if due(options.eval_print_freq):
            predicted = fit.predict(graphs)
            mse = summarize(mse_percent2(true, row) for row in predicted)
            tau = summarize(kendall_tau(true, row) for row in predicted)
            options.say(f"epoch {done} of {options.epochs}: evaluation MSE {mse} points², Kendall tau {tau:.3f}")

    return tell


def check_targets(options: TrainOptions) -> None:
    """Refuse before the training what could not be written after it."""
    if options.save is not None and options.save.suffix != ".safetensors":
        raise UserError(f"weights are saved as .safetensors, and --save names {options.save}; give it that ending")
    if options.picture is not None and options.picture.suffix not in PICTURE_SUFFIXES:
        raise UserError(f"--picture names {options.picture}; its ending must be one of {', '.join(PICTURE_SUFFIXES)}")
    files = [*options.weight_files(), options.picture, None if options.to_stdout else options.json_file]
    for file in filter(None, files):
        check_target(file, options.overwrite)


def load_cells(options: TrainOptions, device: str) -> tuple[Benchmark, np.ndarray, np.ndarray]:
    """The data, the cells to train on and those to evaluate; says what they are."""
    benchmark = sources.load(options.data, progress=True)
    training_cells, evaluation_cells = (
        split_indices(benchmark, name)
        if options.split_file is None
        else pick_split(load_splits(options.split_file, len(benchmark)), name, str(options.split_file))
        for name in (options.train_split, options.eval_split)
    )
    options.say(f"data: {benchmark.source}, {len(benchmark):,} cells; {benchmark.labels}")
    options.say(
        f"training on {options.train_split} ({len(training_cells):,} cells), evaluating on {options.eval_split} "
        f"({len(evaluation_cells):,} cells), {len(options.seeds)} seeds, {device}"
    )
    if options.predictor == "gp" and len(options.seeds) > 1:
        options.say("a Gaussian process of the same cells is the same with every seed: nothing in it is random")
    return benchmark, training_cells, evaluation_cells


def tell_whose(benchmark: Benchmark, options: TrainOptions) -> None:
    """Say of figures that follow that they are the surrogate's, if so."""
    if benchmark.source == SURROGATE:
        options.say(f"Figures on the surrogate, {benchmark.kind}:")


def tell_seen(unseen: np.ndarray, options: TrainOptions) -> None:
    """Say how many of the cells evaluated were trained on."""
    options.say(
        f"{len(unseen) - int(unseen.sum()):,} of the {len(unseen):,} cells evaluated were trained on; 'unseen' leaves "
        "them out"
    )


def show_figures(
    figures: Mapping[str, Sequence[float]], names: Mapping[str, str], options: TrainOptions, style: str = ".3f"
) -> None:
    """Print a row a seed, a column for each of the named figures that there is, and means with standard deviations."""
    shown = {head: figures[name] for name, head in names.items() if name in figures}
    rows = [("seed", list(shown))]
    for number, seed in enumerate(options.seeds):
        rows.append((str(seed), [format(values[number], style) for values in shown.values()]))
    if len(options.seeds) > 1:
        rows.append(("mean ± sd", [format(summarize(values), style) for values in shown.values()]))
    for head, texts in rows:
        options.say(f"{head:>9}" + "".join(f"{text:>17}" for text in texts))


def save_weights(options: TrainOptions, predictors: Sequence[Predictor | GPPredictor | GPClassifier]) -> None:
    """Save each predictor to the file that is meant for it, if any is."""
    for file, predictor in zip(options.weight_files(), predictors, strict=bool(options.save)):
        if isinstance(predictor, Predictor):
            save_predictor(file, predictor, options.overwrite)
        else:
            save_gp(file, predictor.predictor if isinstance(predictor, GPClassifier) else predictor, options.overwrite)
        options.say(f"weights: {file}")


def draw_picture(
    options: TrainOptions, benchmark: Benchmark, true: np.ndarray, predicted: np.ndarray, trained: np.ndarray
) -> None:
    """Draw predicted against true accuracy, if asked for."""
    if options.picture is None:
        return
    from nplib import plots

    with plots.showing(benchmark):
        figure = plots.predicted_against_true(true, predicted, trained)
    with replacing(options.picture, options.overwrite) as partial:
        figure.savefig(partial, format=options.picture.suffix[1:])
    options.say(f"picture: {options.picture}")


def write_figures(options: TrainOptions, benchmark: Benchmark, device: str, figures: Mapping[str, object]) -> None:
    """Write figures as JSON, with what they are of, if asked for."""
    if options.json_file is None:
        return
    report = {
        "data": {
            "source": benchmark.source,
            "labels": benchmark.labels,
            "cells": len(benchmark),
            "sha256": benchmark.sha256,
        },
        "train_split": options.train_split,
        "eval_split": options.eval_split,
        "device": device,
        **figures,
    }
    write_json(options.json_file, report, options.overwrite)
    if not options.to_stdout:
        options.say(f"figures: {options.json_file}")
