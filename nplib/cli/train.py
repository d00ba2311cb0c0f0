"""``nplib train``: predictors, in one stage or in two, and how well they do."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nplib.cli import common
from nplib.cli.common import counted, waiting
from nplib.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from nplib.benchmark import Benchmark
    from nplib.training import Config, Fit, TrainingConfig
    from nplib.two_stage import TwoStageConfig

FOLDS = 5  # that a threshold for a wanted recall is chosen from
TWO_STAGE = ("second_stage", "decision", "recall", "above")
ERRORS = {
    "mse_percent2": "MSE, points²",
    "kendall_tau": "Kendall tau",
    "mse_percent2_unseen": "MSE, unseen",
    "kendall_tau_unseen": "tau, unseen",
}
PRECISION = {"precision": "precision", "recall": "recall", "average_precision": "area of PR curve"}
COUNTS = {"accepted": "accepted", "false_positives": "false positives", "false_negatives": "false negatives"}
SECOND = {
    "mse_percent2_accepted": "MSE, accepted",
    "kendall_tau_accepted": "tau, accepted",
    "mse_percent2_passing": "MSE, passing",
    "kendall_tau_passing": "tau, passing",
}


def train(
    context: typer.Context,
    train_split: common.TrainSplit = "172",
    eval_split: common.EvalSplit = "all",
    predictor: Annotated[
        common.Predictor,
        typer.Option(
            help="gcn: graph network, the paper's. gp: Gaussian process, better with few labels and faster. gp-plain: "
            "the same with nothing chosen by other labels."
        ),
    ] = "gcn",
    hidden: common.Hidden = 144,
    learning_rate: common.LearningRate = 1e-4,
    epochs: common.Epochs = 300,
    dropout: common.Dropout = 0.1,
    weight_decay: common.WeightDecay = 1e-3,
    batch_size: common.BatchSize = 10,
    seed: common.Seed = 0,
    seeds: common.Seeds = 1,
    test_batch_size: Annotated[
        int, typer.Option(metavar="CELLS", min=1, help="Cells predicted at a time; changes no figure.")
    ] = 100,
    train_print_freq: Annotated[
        int, typer.Option(min=0, metavar="EPOCHS", help="Show the training loss every so many epochs; 0: never.")
    ] = 0,
    eval_print_freq: Annotated[
        int, typer.Option(min=0, metavar="EPOCHS", help="Evaluate every so many epochs, too; 0: at the end only.")
    ] = 0,
    data: common.Data = "auto",
    split_file: common.SplitFile = None,
    device: common.Device = "auto",
    scheduler: common.Scheduler = None,
    two_stage: Annotated[
        bool,
        typer.Option("--two-stage", help="First a classifier (lr 2e-4), then a predictor for what it accepts (--lr)."),
    ] = False,
    above: Annotated[
        float, typer.Option(metavar="ACCURACY", help="Two stages: a cell passes above this accuracy, a fraction.")
    ] = 0.91,
    second_stage: Annotated[
        Literal["passing", "accepted"],
        typer.Option(help="Two stages: the second learns from training cells truly passing, or accepted."),
    ] = "passing",
    decision: Annotated[
        float, typer.Option(metavar="PROBABILITY", help="Two stages: accept cells from this probability on.")
    ] = 0.5,
    recall: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Two stages: choose that from held-out folds, to keep so many passing."),
    ] = None,
    save: common.Save = None,
    visualize: Annotated[
        bool, typer.Option("--visualize", help="As --picture predicted_against_true.png, the reference's option.")
    ] = False,
    picture: common.Picture = None,
    json_file: common.Json = None,
    overwrite: common.Overwrite = False,
) -> None:
    """Train predictors and tell their error (MSE, points²) and Kendall tau.

    Defaults are the reference's. Its names, such as --gcn_hidden, work
    too. --picture draws predicted against true accuracy. Examples:

    nplib train --train-split 172 --eval-split all --seeds 10

    nplib train --train-split 91-172 --eval-split denoise-91 --lr 2e-4

    nplib train --two-stage --recall 0.95 --seeds 10

    nplib train --predictor gp --train-split 43 --save gp.safetensors
    """
    all_seeds = tuple(range(seed, seed + seeds))
    picture = Path("predicted_against_true.png") if visualize and picture is None else picture
    files = _weight_files(save, all_seeds, ("classifier", "regressor") if two_stage else ("",))
    out = common.Results(json_file, picture, files, overwrite)
    if not two_stage:
        common.refuse(context, TWO_STAGE, "it is for --two-stage; add that, or leave it out")
    if predictor != "gcn":
        common.refuse(context, (*common.NETWORK, "train_print_freq", "eval_print_freq"), common.NO_NETWORK)
    if two_stage:
        why = "two stages tell their figures at the end; leave it out"
        common.refuse(context, ("train_print_freq", "eval_print_freq"), why)
    if recall is not None:
        common.refuse(context, ("decision",), "--recall chooses this threshold; leave out one of them")
    common.refuse_early(data, device, (train_split, eval_split), split_file)
    with waiting("starting"):
        import numpy as np

        from nplib.gp import GPConfig
        from nplib.predictor import PredictorConfig
        from nplib.training import TrainingConfig, choose_device
        from nplib.two_stage import TwoStageConfig

    if predictor != "gcn":
        config = GPConfig.named(predictor)
    else:
        shape = PredictorConfig(hidden=hidden, dropout=dropout)
        config = TrainingConfig(epochs, learning_rate, weight_decay, batch_size, shape)
    if two_stage:
        config = TwoStageConfig.of(config, above)
    device = str(choose_device(device))
    benchmark = common.load(data)
    training_cells, evaluation_cells = (
        common.cells_of(benchmark, name, split_file) for name in (train_split, eval_split)
    )
    out.about(benchmark)
    out.say(
        f"training on {train_split} ({len(training_cells):,} cells), evaluating on {eval_split} "
        f"({len(evaluation_cells):,} cells), {counted(seeds, 'seed')}, {device}"
    )
    if predictor == "gp" and seeds > 1:
        out.say("a Gaussian process of the same cells is the same with every seed: nothing in it is random")

    work = _two_stages if two_stage else _one_stage
    options = {"test_batch_size": test_batch_size, "save": partial(_save, out, files)}
    if two_stage:
        options |= {"second_stage": second_stage, "decision": decision, "recall": recall}
    else:
        options |= {"every": (train_print_freq, eval_print_freq)}
    done = work(out, benchmark, training_cells, evaluation_cells, all_seeds, config, device=device, **options)
    trained_on = np.flatnonzero(~done.unseen)
    out.draw(benchmark, lambda plots: plots.predicted_against_true(done.true, done.predicted, trained_on))
    about = {
        "data": common.described(benchmark),
        "train_split": train_split,
        "eval_split": eval_split,
        "device": device,
    }
    out.json(about | {"config": asdict(config)} | done.report)
    out.whose(benchmark)
    for title, style, figures in done.tables:
        if title:
            out.say(title)
        out.by_seed(all_seeds, figures, style)
    out.say(f"{len(trained_on):,} of the {len(done.true):,} cells evaluated were trained on; 'unseen' leaves them out")
    training, evaluation = (done.report[f"{part}_seconds"] for part in ("training", "evaluation"))
    out.say(f"trained in {training:.1f} s, evaluated in {evaluation:.1f} s")
    out.end()


def _weight_files(save: Path | None, seeds: Sequence[int], stages: Sequence[str]) -> list[Path]:
    """Where weights go: those of all seeds, a stage after the other."""
    if save is None:
        return []
    if save.suffix != ".safetensors":
        raise UserError(f"weights are saved as .safetensors, and --save names {save}; give it that ending")
    names = [[str(seed)] if len(seeds) > 1 else [] for seed in seeds]
    return [
        save.with_name("-".join([save.stem, *name, *filter(None, [stage])]) + save.suffix)
        for stage in stages
        for name in names
    ]


@dataclass(frozen=True)
class _Done:
    """What a training gave: tables are titles, styles and figures by their heads."""

    true: np.ndarray
    predicted: np.ndarray  # of the first seed
    unseen: np.ndarray
    tables: list[tuple[str, str, Mapping[str, Sequence[float]]]]
    report: dict[str, object]


def _headed(figures: Mapping[str, Sequence[float]], heads: Mapping[str, str]) -> dict[str, Sequence[float]]:
    return {head: figures[name] for name, head in heads.items() if name in figures}


def _one_stage(
    out: common.Results,
    benchmark: Benchmark,
    training_cells: np.ndarray,
    evaluation_cells: np.ndarray,
    seeds: Sequence[int],
    config: Config,
    *,
    device: str,
    test_batch_size: int,
    save: Callable[[Sequence[object]], None],
    every: tuple[int, int],
) -> _Done:
    from nplib.studies.experiment import run_experiment

    with waiting("training, then predicting the cells to evaluate"):
        outcome = run_experiment(
            benchmark,
            training_cells,
            evaluation_cells,
            seeds,
            config,
            device=device,
            test_batch_size=test_batch_size,
            after_epochs=math.gcd(*every),
            callback=_teller(out, benchmark, evaluation_cells, config, *every) if any(every) else None,
            watched=benchmark.cells[evaluation_cells] if every[1] and math.gcd(*every) == every[1] else None,
            progress=True,
        )
    save(outcome.fit.predictors)
    tables = [("", ".3f", _headed(outcome.figures(), ERRORS))]
    return _Done(outcome.true, outcome.predicted[0], outcome.unseen, tables, outcome.report())


def _teller(
    out: common.Results,
    benchmark: Benchmark,
    cells: np.ndarray,
    config: TrainingConfig,
    train_every: int,
    eval_every: int,
) -> Callable[[int, Fit], None]:
    """What tells, while training, how it goes."""
    from nplib.metrics import kendall_tau, mse_percent2, summarize

    true = benchmark.accuracy_labels()[cells]

    def tell(done: int, fit: Fit) -> None:
        def due(every: int) -> bool:
            return bool(every) and (done == config.epochs or done % every == 0)

        epoch = f"epoch {done} of {config.epochs}"
        if due(train_every):
            out.say(f"{epoch}: training MSE {summarize(fit.training_loss[:, done - 1])} points²")
        if due(eval_every):
            predicted = fit.predict(benchmark.cells[cells]) if fit.watched is None else fit.watched
            mse = summarize(mse_percent2(true, row) for row in predicted)
            tau = summarize(kendall_tau(true, row) for row in predicted)
            out.say(f"{epoch}: evaluation MSE {mse} points², Kendall tau {tau:.3f}")

    return tell


def _two_stages(
    out: common.Results,
    benchmark: Benchmark,
    training_cells: np.ndarray,
    evaluation_cells: np.ndarray,
    seeds: Sequence[int],
    config: TwoStageConfig,
    *,
    device: str,
    test_batch_size: int,
    save: Callable[[Sequence[object]], None],
    second_stage: str,
    decision: float,
    recall: float | None,
) -> _Done:
    import numpy as np

    from nplib.metrics import kendall_tau, mse_percent2, summarize
    from nplib.splits import passing
    from nplib.two_stage import held_out_probabilities
    from nplib.two_stage.classification import check_recall, choose_decision

    labels, cells = benchmark.accuracy_labels(), benchmark.cells
    common = {"training_cells": training_cells, "device": device, "progress": True}
    start = time.perf_counter()
    if recall is not None:
        check_recall(recall)
        held_out = held_out_probabilities(cells, labels, seeds, config, folds=FOLDS, **common)
        decision = choose_decision(held_out, passing(labels[training_cells], config.above), recall)
        out.say(
            f"cells are accepted from a probability of {decision:.4f} on: so {100 * recall:g} % of the passing "
            f"are, in {FOLDS} held-out folds of the {len(training_cells):,} training cells"
        )
    fit = config.fit(cells, labels, seeds, second_stage=second_stage, decision=decision, **common)
    trained = time.perf_counter()
    save([*fit.classifier.predictors, *fit.regressor.predictors])  # before anything that can fail
    with waiting("predicting"):
        prediction = fit.apply(cells[evaluation_cells], test_batch_size)
    true, unseen = labels[evaluation_cells], ~np.isin(evaluation_cells, training_cells)
    figures = prediction.figures(true, config.above)
    if unseen.sum() >= 2:
        figures["mse_percent2_unseen"] = [mse_percent2(true[unseen], row[unseen]) for row in prediction.accuracies]
        figures["kendall_tau_unseen"] = [kendall_tau(true[unseen], row[unseen]) for row in prediction.scores]
    evaluated = time.perf_counter()

    sizes = [len(cells) for cells in fit.second_stage_cells]
    span = f"{min(sizes):,}" if min(sizes) == max(sizes) else f"{min(sizes):,} to {max(sizes):,}"
    tables = [
        (
            f"first stage, of {len(true):,} cells of which {100 * figures['base_rate'][0]:.1f} % are above "
            f"{100 * config.above:g} %:",
            ".3f",
            _headed(figures, PRECISION),
        ),
        ("", ",.0f", _headed(figures, COUNTS)),
        ("both stages, all cells; the rejected are ranked last:", ".3f", _headed(figures, ERRORS)),
        (f"second stage alone, trained on the {span} training cells {second_stage}:", ".3f", _headed(figures, SECOND)),
    ]
    summaries = {name: summarize(values) for name, values in figures.items()}
    report = {
        "second_stage": second_stage,
        "decision": decision,
        "recall_wanted": recall,
        "seeds": list(seeds),
        "training_cells": len(training_cells),
        "second_stage_cells": sizes,
        "evaluation_cells": len(evaluation_cells),
        "evaluation_cells_unseen": int(unseen.sum()),
        **figures,
        "mean": {name: summary.mean for name, summary in summaries.items()},
        "sd": {name: summary.sd if summary.count > 1 else None for name, summary in summaries.items()},
        "training_seconds": round(trained - start, 3),
        "evaluation_seconds": round(evaluated - trained, 3),
    }
    return _Done(true, prediction.accuracies[0], unseen, tables, report)


def _save(out: common.Results, files: Sequence[Path], predictors: Sequence[Any]) -> None:
    """Write the weights of every predictor to its file."""
    for file, predictor in zip(files, predictors, strict=bool(files)):
        out.write("weights", file, partial(predictor.save, overwrite=out.overwrite))
