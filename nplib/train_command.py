"""What ``nplib train`` does: everything that can be refused first, then the training, then its figures."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from nplib import sources
from nplib.benchmark import SURROGATE, Benchmark
from nplib.errors import UserError
from nplib.experiment import Outcome, run_experiment
from nplib.files import check_target, replacing
from nplib.metrics import kendall_tau, mse_percent2, summarize
from nplib.predictor import Graphs, PredictorConfig, save_predictor
from nplib.splits import load_splits, pick_split, split_indices
from nplib.training import Fit, TrainingConfig, choose_device

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

    def weight_files(self) -> list[Path]:
        """Where the weights of each seed go."""
        if self.save is None:
            return []
        if len(self.seeds) == 1:
            return [self.save]
        return [self.save.with_name(f"{self.save.stem}-{seed}{self.save.suffix}") for seed in self.seeds]


def run_train(options: TrainOptions) -> None:
    """Train, evaluate, print, and write what was asked for.

    Raises
    ------
    UserError
        If options do not fit together, data or splits are missing, or the training cannot be carried out.
    """
    _check_targets(options)
    config = TrainingConfig(
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        batch_size=options.train_batch_size,
        predictor=PredictorConfig(hidden=options.hidden),
    )
    device = str(choose_device(options.device))

    def say(line: str) -> None:
        tqdm.write(line, file=sys.stderr if options.to_stdout else sys.stdout)

    benchmark = sources.load(options.data, progress=True)
    training_cells, evaluation_cells = (
        _cells(benchmark, options, name) for name in (options.train_split, options.eval_split)
    )
    say(f"data: {benchmark.source}, {len(benchmark):,} cells; {benchmark.labels}")
    say(
        f"training on {options.train_split} ({len(training_cells):,} cells), evaluating on {options.eval_split} "
        f"({len(evaluation_cells):,} cells), {len(options.seeds)} seeds, {device}"
    )
    outcome = run_experiment(
        benchmark,
        training_cells,
        evaluation_cells,
        options.seeds,
        config,
        device=device,
        test_batch_size=options.test_batch_size,
        after_epochs=math.gcd(options.train_print_freq, options.eval_print_freq),
        callback=_teller(options, benchmark, evaluation_cells, say),
        progress=True,
    )
    if benchmark.source == SURROGATE:
        say(f"Figures on the surrogate, {benchmark.labels.split(';')[0]}:")
    _show(outcome, say)
    _write(outcome, options, config, benchmark, device, say)


def _teller(
    options: TrainOptions, benchmark: Benchmark, cells: np.ndarray, say: Callable[[str], None]
) -> Callable[[int, Fit], None] | None:
    """What tells, while training, how it goes; None if nothing is to be told."""
    if not (options.train_print_freq or options.eval_print_freq):
        return None
    true = benchmark.accuracy_labels()[cells]
    graphs = Graphs.from_benchmark(benchmark)[torch.as_tensor(cells)]

    def tell(done: int, fit: Fit) -> None:
        def due(every: int) -> bool:
            return bool(every) and (done == options.epochs or done % every == 0)

        if due(options.train_print_freq):
            loss = summarize(fit.training_mse_percent2[:, done - 1])
            say(f"epoch {done} of {options.epochs}: training MSE {loss} points²")
        if due(options.eval_print_freq):
            predicted = fit.predict(graphs)
            mse = summarize(mse_percent2(true, row) for row in predicted)
            tau = summarize(kendall_tau(true, row) for row in predicted)
            say(f"epoch {done} of {options.epochs}: evaluation MSE {mse} points², Kendall tau {tau:.3f}")

    return tell


def _check_targets(options: TrainOptions) -> None:
    """Refuse before the training what could not be written after it."""
    if options.save is not None and options.save.suffix != ".safetensors":
        raise UserError(f"weights are saved as .safetensors, and --save names {options.save}; give it that ending")
    if options.picture is not None and options.picture.suffix not in PICTURE_SUFFIXES:
        raise UserError(f"--picture names {options.picture}; its ending must be one of {', '.join(PICTURE_SUFFIXES)}")
    files = [*options.weight_files(), options.picture, None if options.to_stdout else options.json_file]
    for file in filter(None, files):
        check_target(file, options.overwrite)


def _cells(benchmark: Benchmark, options: TrainOptions, name: str) -> np.ndarray:
    if options.split_file is None:
        return split_indices(benchmark, name)
    return pick_split(load_splits(options.split_file, len(benchmark)), name, str(options.split_file))


def _show(outcome: Outcome, say: Callable[[str], None]) -> None:
    figures = outcome.figures()
    rows = [("seed", [_FIGURE_NAMES[name] for name in figures])]
    for number, seed in enumerate(outcome.fit.seeds):
        rows.append((str(seed), [f"{values[number]:.3f}" for values in figures.values()]))
    if len(outcome.fit.seeds) > 1:
        rows.append(("mean ± sd", [f"{summarize(values):.3f}" for values in figures.values()]))
    for head, texts in rows:
        say(f"{head:>9}" + "".join(f"{text:>16}" for text in texts))
    seen = len(outcome.cells) - int(outcome.unseen.sum())
    say(f"{seen:,} of the {len(outcome.cells):,} cells evaluated were trained on; 'unseen' leaves them out")
    say(f"trained in {outcome.training_seconds:.1f} s, evaluated in {outcome.evaluation_seconds:.1f} s")


def _write(
    outcome: Outcome,
    options: TrainOptions,
    config: TrainingConfig,
    benchmark: Benchmark,
    device: str,
    say: Callable[[str], None],
) -> None:
    for file, predictor in zip(options.weight_files(), outcome.fit.predictors, strict=bool(options.save)):
        save_predictor(file, predictor, options.overwrite)
        say(f"weights: {file}")
    if options.picture is not None:
        from nplib import plots

        with plots.showing(benchmark):
            figure = plots.predicted_against_true(outcome.true, outcome.predicted[0], np.flatnonzero(~outcome.unseen))
        with replacing(options.picture, options.overwrite) as partial:
            figure.savefig(partial, format=options.picture.suffix[1:])
        say(f"picture: {options.picture}")
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
        "config": asdict(config),
        "device": device,
        **outcome.report(),
    }
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    if options.to_stdout:
        sys.stdout.write(text)
        return
    with replacing(options.json_file, options.overwrite) as partial:
        partial.write_text(text, encoding="utf8")
    say(f"figures: {options.json_file}")
