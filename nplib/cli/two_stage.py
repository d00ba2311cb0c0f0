"""What ``nplib train --two-stage`` does: everything that can be refused first, then both stages, then their figures."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from nplib.cli.train import (
    TrainOptions,
    check_targets,
    draw_picture,
    load_cells,
    save_weights,
    show_figures,
    tell_seen,
    tell_whose,
    write_figures,
)
from nplib.errors import UserError
from nplib.metrics import kendall_tau, mse_percent2, summarize
from nplib.training import choose_device
from nplib.two_stage.classification import check_recall, choose_decision, passing
from nplib.two_stage.prediction import check_decision
from nplib.two_stage.stages import (
    TwoStageConfig,
    fit_two_stage,
    held_out_probabilities,
)

FOLDS = 5  # that a threshold for a wanted recall is chosen from
DECISION = 0.5
_TABLES = (
    (".3f", {"precision": "precision", "recall": "recall", "average_precision": "area of PR curve"}),
    (
        ",.0f",
        {"accepted": "accepted", "false_positives": "false positives", "false_negatives": "false negatives"},
    ),
    (
        ".3f",
        {
            "mse_percent2": "MSE, points²",
            "kendall_tau": "Kendall tau",
            "mse_percent2_unseen": "MSE, unseen",
            "kendall_tau_unseen": "tau, unseen",
        },
    ),
    (
        ".3f",
        {
            "mse_percent2_accepted": "MSE, accepted",
            "kendall_tau_accepted": "tau, accepted",
            "mse_percent2_passing": "MSE, passing",
            "kendall_tau_passing": "tau, passing",
        },
    ),
)


@dataclass(frozen=True)
class TwoStageOptions(TrainOptions):
    """The options of ``nplib train --two-stage``; the command line explains them."""

    second_stage: str = "passing"
    decision: float | None = None
    recall: float | None = None
    above: float = TwoStageConfig.above

    def weight_files(self) -> list[Path]:
        """Where the weights of all classifiers and then all regressors go."""
        return [
            file.with_name(f"{file.stem}-{stage}{file.suffix}")
            for stage in ("classifier", "regressor")
            for file in super(TwoStageOptions, self).weight_files()
        ]


def run_two_stage(options: TwoStageOptions) -> None:
    """Train both stages, evaluate, print, and write what was asked for.

    Raises
    ------
    UserError
        If options do not fit together, data or splits are missing, or the training cannot be carried out.
    """
    _check_options(options)
    check_targets(options)
    regressor = options.training_config()
    config = TwoStageConfig.of(regressor, options.above)
    device = str(choose_device(options.device))
    benchmark, training_cells, evaluation_cells = load_cells(options, device)
    labels, graphs = benchmark.accuracy_labels(), benchmark.cells
    common = {"training_cells": training_cells, "device": device, "progress": True}

    start = time.perf_counter()
    decision = DECISION if options.decision is None else options.decision
    if options.recall is not None:
        held_out = held_out_probabilities(graphs, labels, options.seeds, config, folds=FOLDS, **common)
        decision = choose_decision(held_out, passing(labels[training_cells], options.above), options.recall)
        options.say(
            f"cells are accepted from a probability of {decision:.4f} on: so {100 * options.recall:g} % of the passing "
            f"are, in {FOLDS} held-out folds of the {len(training_cells):,} training cells"
        )
    fit = fit_two_stage(
        graphs, labels, options.seeds, config, second_stage=options.second_stage, decision=decision, **common
    )
    trained = time.perf_counter()
    prediction = fit.apply(graphs[evaluation_cells], options.test_batch_size)
    true, unseen = labels[evaluation_cells], ~np.isin(evaluation_cells, training_cells)
    figures = prediction.figures(true, options.above)
    if unseen.sum() >= 2:
        figures["mse_percent2_unseen"] = [mse_percent2(true[unseen], row[unseen]) for row in prediction.accuracies]
        figures["kendall_tau_unseen"] = [kendall_tau(true[unseen], row[unseen]) for row in prediction.scores]
    evaluated = time.perf_counter()

    second_stage_cells = [len(cells) for cells in fit.second_stage_cells]
    tell_whose(benchmark, options)
    _tell(options, figures, len(evaluation_cells), second_stage_cells)
    tell_seen(unseen, options)
    options.say(f"trained in {trained - start:.1f} s, evaluated in {evaluated - trained:.1f} s")
    save_weights(options, [*fit.classifier.predictors, *fit.regressor.predictors])
    draw_picture(options, benchmark, true, prediction.accuracies[0], np.flatnonzero(~unseen))
    summaries = {name: summarize(values) for name, values in figures.items()}
    report = {
        "config": asdict(config),
        "second_stage": options.second_stage,
        "decision": decision,
        "recall_wanted": options.recall,
        "seeds": list(options.seeds),
        "training_cells": len(training_cells),
        "second_stage_cells": second_stage_cells,
        "evaluation_cells": len(evaluation_cells),
        "evaluation_cells_unseen": int(unseen.sum()),
        **figures,
        "mean": {name: summary.mean for name, summary in summaries.items()},
        "sd": {name: summary.sd if summary.count > 1 else None for name, summary in summaries.items()},
        "training_seconds": round(trained - start, 3),
        "evaluation_seconds": round(evaluated - trained, 3),
    }
    write_figures(options, benchmark, device, report)


def _check_options(options: TwoStageOptions) -> None:
    """Refuse what does not fit together, and what two stages do not do."""
    if options.train_print_freq or options.eval_print_freq:
        raise UserError("two stages tell their figures at the end: leave out --train-print-freq and --eval-print-freq")
    if options.decision is not None and options.recall is not None:
        raise UserError("--recall chooses the threshold that --decision gives; leave out one of them")
    if options.decision is not None:
        check_decision(options.decision)
    if options.recall is not None:
        check_recall(options.recall)


def _tell(
    options: TwoStageOptions, figures: dict[str, list[float]], evaluated: int, second_stage_cells: list[int]
) -> None:
    rate = figures["base_rate"][0]
    fewest, most = min(second_stage_cells), max(second_stage_cells)
    span = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    titles = (
        f"first stage, of {evaluated:,} cells of which {100 * rate:.1f} % are above {100 * options.above:g} %:",
        "",
        "both stages, all cells; the rejected are ranked last:",
        f"second stage alone, trained on the {span} training cells {options.second_stage}:",
    )
    for title, (style, names) in zip(titles, _TABLES, strict=True):
        if title:
            options.say(title)
        show_figures(figures, names, options, style)
