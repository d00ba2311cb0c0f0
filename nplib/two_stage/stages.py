"""Two stages: a classifier says which cells are good, and a regressor trained on good cells ranks those.

Both stages learn from the same N cells, and a rejected cell is lost for good. Source: Wen et al., "Neural Predictor for
Neural Architecture Search", 2019. Its PyTorch reproduction has no classifier: it takes the true label in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from nplib.cell import Cells
from nplib.errors import UserError
from nplib.splits import passing, training_rows
from nplib.training import Config, Fitted, TrainingConfig
from nplib.two_stage.prediction import TwoStagePrediction, check_decision, probabilities_of

SECOND_STAGES = ("passing", "accepted")


class TwoStageFailed(UserError):
    """Two stages cannot be trained on these cells; the message says what to change."""


@dataclass(frozen=True)
class TwoStageConfig:
    """How both stages are trained."""

    above: float = 0.91  # fraction; a cell passes if its label is above
    classifier: Config = field(default_factory=lambda: TrainingConfig().as_classifier())
    regressor: Config = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.above <= 1:
            raise UserError(f"above is {self.above}; it is an accuracy as a fraction, from 0 to 1")
        if not self.classifier.classifies:
            raise UserError(f"the loss of the classifier is {self.classifier.loss!r}; it must be 'cross_entropy'")
        if not self.regressor.regresses:
            raise UserError(f"the loss of the regressor is {self.regressor.loss!r}; it must be 'mse'")

    @classmethod
    def of(cls, regressor: Config, above: float = 0.91, **classifier) -> TwoStageConfig:
        """Both stages of one kind, from the second; options of :meth:`nplib.training.TrainingConfig.as_classifier`."""
        return cls(above, regressor.as_classifier(**classifier), regressor)

    def fit(self, cells: Cells, labels: np.ndarray, seeds: Sequence[int], **options) -> TwoStageFit:
        """Train a classifier and a regressor a seed: :func:`fit_two_stage` with this configuration, and its options."""
        return fit_two_stage(cells, labels, seeds, self, **options)


@dataclass(frozen=True, eq=False)
class TwoStageFit:
    """Trained classifiers and regressors, one of each a seed, M seeds."""

    config: TwoStageConfig
    classifier: Fitted
    regressor: Fitted
    decision: float  # cells are accepted from this probability on
    second_stage_cells: list[np.ndarray]  # of each regressor, indices of the cells that it was trained on
    rejected_accuracy: np.ndarray  # (M,), fractions: mean label of the training cells that do not pass

    def apply(self, cells: Cells, batch_size: int = 256) -> TwoStagePrediction:
        """Everything that both stages say, each computed once; so many cells at a time."""
        logits, regressed = (fit.predict(cells, batch_size) for fit in (self.classifier, self.regressor))
        return TwoStagePrediction(logits, regressed, self.decision, self.rejected_accuracy)

    def scores(self, cells: Cells) -> np.ndarray:
        """To rank all cells by, shape (M, N): accepted ones by the regressor, rejected ones below them by logits."""
        return self.apply(cells).scores

    def predict(self, cells: Cells) -> np.ndarray:
        """See :attr:`~nplib.two_stage.prediction.TwoStagePrediction.accuracies`."""
        return self.apply(cells).accuracies


def fit_two_stage(
    cells: Cells,
    labels: np.ndarray,
    seeds: Sequence[int],
    config: TwoStageConfig = TwoStageConfig(),
    *,
    training_cells: np.ndarray | Sequence[np.ndarray] | None = None,
    second_stage: str = "passing",
    decision: float = 0.5,
    classifier: Fitted | None = None,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> TwoStageFit:
    """Train a classifier and a regressor a seed, both on the same cells and on no other.

    Args:
        cells, labels, seeds, training_cells, device, progress: As for :func:`nplib.training.fit_predictors`; labels
            (fractions) are looked at for training cells only.
        second_stage (str): What the regressor learns from: the training cells whose label ``"passing"`` the threshold,
            as in the reference, or those that the classifier ``"accepted"``.
        decision (float): Cells are accepted from this probability on, between 0 and 1.
            :func:`nplib.two_stage.classification.choose_decision` finds one for a wanted recall.
        classifier (Fitted, optional): The first stage, if one of the same seeds is trained already.

    Raises:
        TwoStageFailed: If the training cells of a seed are of one class only, or fewer reach the second stage than its
            batch holds.
        nplib.training.TrainingFailed: If one of the trainings cannot start or diverges.
    """
    if second_stage not in SECOND_STAGES:
        raise UserError(f"second_stage is {second_stage!r}; there are {', '.join(SECOND_STAGES)}")
    decision = check_decision(decision)
    rows = training_rows(len(cells), labels, seeds, training_cells)
    _check_classes(labels, seeds, config, rows)
    if classifier is None:
        classifier = config.classifier.fit_classifiers(
            cells, labels, seeds, config.above, training_cells=rows, device=device, progress=progress
        )
    elif classifier.seeds != tuple(seeds):
        raise UserError(f"the classifier given is of seeds {classifier.seeds}, and {tuple(seeds)} are asked for")
    passes = passing(labels, config.above)
    if second_stage == "passing":
        reach = [passes[row] for row in rows]
    else:
        logits = (p.predict(cells[row]) for p, row in zip(classifier.predictors, rows, strict=True))
        reach = [probabilities_of(values) >= decision for values in logits]
    second = [row[kept] for row, kept in zip(rows, reach, strict=True)]
    _check_second(second, rows, seeds, config, second_stage, decision)
    regressor = config.regressor.fit(cells, labels, seeds, training_cells=second, device=device, progress=progress)
    rejected = np.array([np.asarray(labels)[row][~passes[row]].mean() for row in rows])
    return TwoStageFit(config, classifier, regressor, decision, second, rejected)


def held_out_probabilities(
    cells: Cells,
    labels: np.ndarray,
    seeds: Sequence[int],
    config: TwoStageConfig = TwoStageConfig(),
    *,
    training_cells: np.ndarray,
    folds: int = 5,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> np.ndarray:
    """What classifiers say of cells that they were not trained on, to choose a decision by.

    The training cells, shape (n,) or (len(seeds), n), are dealt into folds, anew for each seed, and each fold is judged
    by a classifier trained on the others, all in one batch. Other parameters are as of :func:`fit_two_stage`.

    Returns:
        array, shape (len(seeds), n): Probabilities that the cells pass, in the order of ``training_cells``.

    Raises:
        UserError: If there are fewer cells than folds.
        TwoStageFailed: If the cells outside of a fold are of one class only.
    """
    from sklearn.model_selection import KFold  # slow to load

    labelled = np.stack(training_rows(len(cells), labels, seeds, training_cells))
    count = labelled.shape[1]
    if not 2 <= folds <= count:
        raise UserError(f"{count} cells cannot be dealt into {folds} folds; there must be from 2 to that many")
    orders = [np.random.default_rng(seed).permutation(count) for seed in seeds]
    splits = [
        (m, *(np.sort(order[part]) for part in parts))
        for m, order in enumerate(orders)
        for parts in KFold(folds).split(order)
    ]
    rows = [labelled[m, training] for m, training, _ in splits]
    of_splits = [seeds[m] for m, *_ in splits]
    _check_classes(labels, of_splits, config, rows)
    fit = config.classifier.fit_classifiers(
        cells, labels, of_splits, config.above, training_cells=rows, device=device, progress=progress
    )
    probabilities = np.empty(labelled.shape)
    for predictor, (m, _, held_out) in zip(fit.predictors, splits, strict=True):
        probabilities[m, held_out] = probabilities_of(predictor.predict(cells[labelled[m, held_out]]))
    return probabilities


def _check_classes(
    labels: np.ndarray, seeds: Sequence[int], config: TwoStageConfig, rows: Sequence[np.ndarray]
) -> None:
    """Refuse training cells of one class."""
    for seed, row in zip(seeds, rows, strict=True):
        of_row = np.asarray(labels)[row]
        count = int(passing(of_row, config.above).sum())
        if len(row) and count in (0, len(row)):
            raise TwoStageFailed(
                f"{'all' if count else 'none'} of the {len(row)} training cells of seed {seed} are above "
                f"{100 * config.above:g} %: there is nothing to tell apart. Train on more cells, or set the threshold "
                f"within their accuracies, {100 * of_row.min():.2f} to {100 * of_row.max():.2f} %"
            )


def _check_second(
    second: Sequence[np.ndarray],
    rows: Sequence[np.ndarray],
    seeds: Sequence[int],
    config: TwoStageConfig,
    second_stage: str,
    decision: float,
) -> None:
    """Refuse a second stage of too few cells."""
    least, why = config.regressor.least_cells
    for seed, row, kept in zip(seeds, rows, second, strict=True):
        if len(kept) >= least:
            continue
        if second_stage == "passing":
            which, remedy = f"pass (are above {100 * config.above:g} %)", "lower the threshold of accuracy"
        else:
            which, remedy = f"are accepted (from a probability of {decision:g} on)", "lower the decision threshold"
        raise TwoStageFailed(
            f"{len(kept)} of the {len(row)} training cells of seed {seed} {which}, and of the second stage {why}: "
            f"train on more cells, {remedy}, or give the second stage a smaller batch_size"
        )
