"""Training: from cells and their accuracies to predictors, several seeds as one batch.

Settings are the paper's, else the reference's: mean squared error, Adam with L2 weight decay, cosine annealing,
batches of 10 shuffled anew each epoch, the last incomplete one dropped. Classifiers train on cross-entropy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from nplib._devices import choose_device, undisturbed
from nplib._fits import fit_files, keep_fit, read_fit
from nplib._stacked import Masks, StackedPredictors, make_batches
from nplib._workers import Tell, count_workers, map_in_workers
from nplib.cell import MAX_VERTICES, Cells
from nplib.errors import UserError
from nplib.predictor import Graphs, Predictor, PredictorConfig
from nplib.splits import passing, training_rows

# At most so many predictors train as one batch: on a processor more share no more, and fall out of its cache.
STACK_SIZE, STACK_SIZE_GPU = 10, 1000
# Batches are gathered and dropout is drawn for so many steps at a time.
STEPS_AT_ONCE = 16
SECONDS_A_PREDICTION = 8e-6  # of one cell by one predictor, about
# Width of the graph convolutions by number of training cells: in a table of the paper, which has 334 where its
# picture of N against K has 344.
PAPER_WIDTHS = {43: 48, 86: 72, 129: 96, 172: 144, 334: 210, 860: 320}
LOSSES = ("mse", "cross_entropy", "ranking")


class TrainingFailed(UserError):
    """A training cannot start or has diverged; the message says what to change."""


@dataclass(frozen=True)
class TrainingConfig:
    """How a predictor is trained."""

    epochs: int = 300
    learning_rate: float = 1e-4  # falls to 0 along half a cosine
    weight_decay: float = 1e-3  # L2, added to the gradient
    batch_size: int = 10
    predictor: PredictorConfig = field(default_factory=PredictorConfig)
    # "cross_entropy": of a logit, with labels 0 and 1 in place of accuracies; "ranking": of pairs, outputs only rank.
    loss: str = "mse"

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise UserError(f"loss is {self.loss!r}; there are {', '.join(LOSSES)}")
        scale = (self.predictor.label_mean, self.predictor.label_std, self.predictor.squashed)
        if self.loss == "cross_entropy" and scale != (0, 1, False):
            raise UserError(
                "cross_entropy is of plain logits: give the predictor label_mean 0, label_std 1 and squashed False, "
                f"not {scale[0]}, {scale[1]} and {scale[2]}"
            )
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if self.loss == "ranking" and (self.batch_size < 2 or self.predictor.squashed):
            raise UserError("ranking compares cells of a batch by plain outputs: batch_size 2 or more, not squashed")
        for name in ("learning_rate", "weight_decay"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"{name} is {value}; it must be a finite number, 0 or more")

    @property
    def least_cells(self) -> tuple[int, str]:
        """How many cells a predictor needs to be trained at all, and why, in words."""
        return self.batch_size, f"a batch holds {self.batch_size}"

    @property
    def in_words(self) -> str:
        """What tells this configuration from others."""
        return (
            f"width {self.predictor.hidden}, lr {self.learning_rate:g}, {self.epochs} epochs, "
            f"dropout {self.predictor.dropout:g}"
        )

    @property
    def regresses(self) -> bool:
        """Whether its outputs are accuracies."""
        return self.loss == "mse"

    @property
    def classifies(self) -> bool:
        """Whether its outputs are logits."""
        return self.loss == "cross_entropy"

    def as_classifier(self, learning_rate: float = 2e-4) -> TrainingConfig:
        """The same network and training, but for the loss and the learning rate; the paper's rate if not given."""
        logit = replace(self.predictor, label_mean=0.0, label_std=1.0, squashed=False)
        return replace(self, learning_rate=learning_rate, predictor=logit, loss="cross_entropy")

    def fit(self, cells: Cells | Graphs, accuracies: np.ndarray, seeds: Sequence[int], **options) -> Fit:
        """Train one predictor a seed: :func:`fit_predictors` with this configuration, and its options."""
        return fit_predictors(cells, accuracies, seeds, self, **options)

    def fit_classifiers(
        self, cells: Cells | Graphs, accuracies: np.ndarray, seeds: Sequence[int], above: float, **options
    ) -> Fit:
        """Train one classifier a seed, of cells whose accuracy is above a fraction; it predicts logits."""
        # An unknown accuracy stays unknown, so that training on it is refused.
        classes = np.where(np.isfinite(accuracies), passing(accuracies, above), np.nan)
        return fit_predictors(cells, classes, seeds, self, **options)


class Fitted(Protocol):
    """What fitting gives, of whatever kind of predictor; M of them."""

    predictors: Sequence[Any]  # each predicts alone, (N,)
    seeds: tuple[int, ...]

    def predict(self, cells: Cells, batch_size: int = ...) -> np.ndarray: ...  # (M, N)

    def first(self, count: int) -> Fitted: ...

    def training_report(self) -> dict[str, list[float]]: ...


class Config(Protocol):
    """A kind of predictor and its settings: it fits itself. Studies, two stages and searches know no more of it."""

    least_cells: tuple[int, str]
    in_words: str
    regresses: bool
    classifies: bool

    def as_classifier(self, learning_rate: float = ...) -> Config: ...

    def fit(self, cells: Cells, accuracies: np.ndarray, seeds: Sequence[int], **options) -> Fitted: ...

    def fit_classifiers(
        self, cells: Cells, accuracies: np.ndarray, seeds: Sequence[int], above: float, **options
    ) -> Fitted: ...


def paper_config(labels: int) -> TrainingConfig:
    """The paper's settings for a number of labelled cells: the width that it gives for the nearest such number."""
    nearest = min(PAPER_WIDTHS, key=lambda known: abs(np.log(known / labels)))
    return TrainingConfig(predictor=PredictorConfig(hidden=PAPER_WIDTHS[nearest]))


@dataclass(frozen=True, eq=False)
class Fit:
    """Trained predictors, one a seed, and how their training went."""

    predictors: list[Predictor]
    seeds: tuple[int, ...]
    # (M, epochs), points²; of cross-entropy nats, of ranking outputs; dropout on, mean over an epoch's steps
    training_loss: np.ndarray
    watched: np.ndarray | None = None  # (M, N), what they predict of the cells that the training was to watch

    def predict(self, cells: Cells | Graphs, batch_size: int = 256) -> np.ndarray:
        """Predicted accuracies (fractions), or logits, of every predictor, shape (M, N), float64."""
        graphs = Graphs.of(cells)
        return np.stack([predictor.predict(graphs, batch_size) for predictor in self.predictors])

    def first(self, count: int) -> Fit:
        """The predictors of the first so many seeds."""
        watched = None if self.watched is None else self.watched[:count]
        return Fit(self.predictors[:count], self.seeds[:count], self.training_loss[:count], watched)

    def training_report(self) -> dict[str, list[float]]:
        """How the training ended, a value a seed."""
        return {"training_mse_percent2": self.training_loss[:, -1].tolist()}


@undisturbed()
def fit_predictors(
    cells: Cells | Graphs,
    accuracies: np.ndarray,
    seeds: Sequence[int],
    config: TrainingConfig = TrainingConfig(),
    *,
    training_cells: np.ndarray | Sequence[np.ndarray] | None = None,
    device: str | torch.device = "cpu",
    after_epochs: int = 0,
    callback: Callable[[int, Fit], None] | None = None,
    watched: Cells | None = None,
    progress: bool = False,
) -> Fit:
    """Train one predictor a seed, in worker processes where that pays; see :mod:`nplib._workers`.

    A seed decides the initial weights, the order of the cells and the dropout of its predictor. On processors of one
    kind the numbers are the same to the bit, whatever is trained beside it and by however many workers; those of other
    devices differ by float rounding alone.

    Args:
        cells (Cells or Graphs): All cells, N of them.
        accuracies (array, shape (N,)): Fractions; for cross-entropy, labels 0 and 1.
        training_cells (array, shape (n,) or (len(seeds), n), or sequence of len(seeds) arrays, shapes (n_m,),
            optional): Indices of the cells to train on, or masks of all cells, the same for all or a row a seed, which
            may differ in length; all N if not given. Rows with as many full batches train as one.
        device (str or torch.device): A name such as ``"auto"``, ``"cpu"``, ``"cuda"``; ``"auto"`` takes the fastest
            there is.
        after_epochs, callback (int, callable): Every so many epochs, and after the last, the callback gets the number
            of epochs done and the fit so far.
        watched (Cells, optional): What is to be predicted whenever the callback is called, by those who train.
        progress (bool): Show a bar on stderr.

    Returns:
        Fit: Its predictors are on the CPU.

    Raises:
        TrainingFailed: If there are fewer cells than a batch holds, an accuracy is not finite, or the loss stops being
            finite.
    """
    device = choose_device(device) if isinstance(device, str) else device
    rows = training_rows(len(cells), accuracies, seeds, training_cells)
    _check_labels(accuracies, rows, config)
    standardized = (np.asarray(accuracies) - config.predictor.label_mean) / config.predictor.label_std
    files = [] if isinstance(cells, Graphs) else fit_files(cells, standardized, rows, seeds, asdict(config), device)
    looked_at = bool(callback) or watched is not None
    known = {} if looked_at else {m: kept for m, file in enumerate(files) if (kept := read_fit(file, config.predictor))}
    left = [m for m in range(len(seeds)) if m not in known]
    if left:
        own, their_seeds = [rows[m] for m in left], [seeds[m] for m in left]
        options = {"after_epochs": after_epochs, "callback": callback, "watched": watched, "progress": progress}
        fit = _train(cells, standardized, own, their_seeds, config, device, **options)
        for m, *found in zip(left, fit.predictors, fit.training_loss, strict=True):
            known[m] = found
            if files:
                keep_fit(files[m], *found)
        if len(left) == len(seeds):
            return fit
    predictors, losses = zip(*(known[m] for m in range(len(seeds))), strict=True)
    return Fit(list(predictors), tuple(seeds), np.stack(losses))


def _train(
    cells: Cells | Graphs,
    standardized: np.ndarray,
    rows: Sequence[np.ndarray],
    seeds: Sequence[int],
    config: TrainingConfig,
    device: torch.device,
    *,
    after_epochs: int,
    callback: Callable[[int, Fit], None] | None,
    watched: Cells | None,
    progress: bool,
) -> Fit:
    """Train, in groups, those of :func:`fit_predictors` that are not kept."""
    steps = [len(row) // config.batch_size for row in rows]
    stops = _stops(config.epochs, after_epochs)
    seconds = config.epochs * sum(steps) * _seconds_a_step(config)
    seconds += len(seeds) * len(stops) * len(watched or ()) * SECONDS_A_PREDICTION
    on_cpu = device.type == "cpu"
    groups = _groups(steps, count_workers(seconds), STACK_SIZE) if on_cpu else _groups(steps, 1, STACK_SIZE_GPU)
    trainers = []
    for group in groups:
        used, places = np.unique(np.concatenate([rows[m] for m in group]), return_inverse=True)
        own = np.split(places.reshape(-1), np.cumsum([len(rows[m]) for m in group])[:-1])
        targets = torch.as_tensor(standardized[used], dtype=torch.float32, device=device)
        graphs = Graphs.of(cells[used]).to(device)
        trainers.append(_Trainer(graphs, targets, own, tuple(seeds[m] for m in group), config))
    order = np.argsort(np.concatenate(groups))
    with tqdm(total=len(seeds) * config.epochs, unit="epoch", desc="training", disable=not progress) as bar:
        for done in stops:
            train, shared = partial(_train_to, epochs=done), [] if watched is None else [watched]
            if on_cpu:
                found = map_in_workers(train, trainers, seconds, bar.update, shared)
            else:
                found = [train(trainer, bar.update, *shared) for trainer in trainers]
            trainers = [trainer for trainer, _ in found]
            fit = _fit(trainers, order, [predicted for _, predicted in found])
            if callback and (done == config.epochs or (after_epochs and done % after_epochs == 0)):
                callback(done, fit)
    return fit


def _seconds_a_step(config: TrainingConfig) -> float:
    """How long a step of one predictor takes on one core, about."""
    size = config.predictor.layers / 3 * config.batch_size / 10 * (config.predictor.hidden / 144) ** 2
    return 5e-5 + 4e-4 * size


def _train_to(
    trainer: _Trainer, tell: Tell, watched: Cells | None = None, *, epochs: int
) -> tuple[_Trainer, np.ndarray | None]:
    """Train a group until so many epochs are done; also what it then says of watched cells, (M, N)."""
    with undisturbed():
        trainer.train_to(epochs, tell)
        if watched is None:
            return trainer, None
        return trainer, np.stack([predictor.predict(watched) for predictor in trainer.stack.predictors()])


def _groups(steps: Sequence[int], workers: int, most: int) -> list[list[int]]:
    """Which predictors train as one batch: those of as many steps, no more than keeps every worker at work."""
    size = min(most, -(-len(steps) // workers))
    alike: dict[int, list[int]] = {}
    for m, count in enumerate(steps):
        alike.setdefault(count, []).append(m)
    # The longest first: no core is left alone with them in the end.
    return [
        alike[count][start : start + size]
        for count in sorted(alike, reverse=True)
        for start in range(0, len(alike[count]), size)
    ]


def _stops(epochs: int, after_epochs: int) -> list[int]:
    """Numbers of epochs after which all groups wait for each other, so that all can be looked at."""
    step = after_epochs or epochs
    return sorted({*range(step, epochs, step), epochs})


def _fit(trainers: Sequence[_Trainer], order: np.ndarray, watched: Sequence[np.ndarray | None]) -> Fit:
    """What the trainers have so far, in the order of the seeds that were asked for."""
    predictors = [predictor for trainer in trainers for predictor in trainer.stack.predictors()]
    seeds = [seed for trainer in trainers for seed in trainer.seeds]
    losses = np.concatenate([trainer.losses[:, : trainer.done] for trainer in trainers])
    predicted = None if watched[0] is None else np.concatenate(watched)[order]
    return Fit([predictors[m] for m in order], tuple(seeds[m] for m in order), losses[order], predicted)


def _check_labels(accuracies: np.ndarray, rows: Sequence[np.ndarray], config: TrainingConfig) -> None:
    """Refuse training cells that are too few, or of labels that nothing can be learned from."""
    shortest = min(len(row) for row in rows)
    if shortest < config.batch_size:
        raise TrainingFailed(
            f"{shortest} cells to train on, but a batch holds {config.batch_size} and incomplete ones are "
            f"dropped: nothing would be learned. Give more cells or a batch_size of at most {max(shortest, 1)}"
        )
    cells = np.unique(np.concatenate(rows))
    known = np.asarray(accuracies)[cells]
    wrong = cells[~((known >= 0) & (known <= 1))]
    if len(wrong):
        raise TrainingFailed(
            f"the accuracy of cell {wrong[0]} is {accuracies[wrong[0]]} ({len(wrong)} such cells); give fractions, "
            "from 0 to 1, and only cells whose accuracy is known"
        )
    if config.loss == "cross_entropy" and not np.isin(known, (0, 1)).all():
        wrong = cells[~np.isin(known, (0, 1))][0]
        raise TrainingFailed(f"cross_entropy learns labels 0 and 1, and that of cell {wrong} is {accuracies[wrong]}")


class _Trainer:
    """One group of predictors while it trains; it may go on in another process."""

    def __init__(
        self,
        graphs: Graphs,
        targets: Tensor,
        cells: Sequence[np.ndarray],
        seeds: tuple[int, ...],
        config: TrainingConfig,
    ) -> None:
        self.graphs, self.targets, self.cells, self.seeds, self.config = graphs, targets, cells, seeds, config
        self.stack: StackedPredictors | None = None  # made by whoever begins
        self.orders = [np.random.default_rng([seed, 0]) for seed in seeds]
        self.dropout = _Dropout(seeds, config)
        self.losses = np.zeros((len(seeds), config.epochs))
        self.done = 0  # epochs

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: to go on, or, of a training that has ended, to predict."""
        needed = vars(self).keys()
        if self.done == self.config.epochs:
            needed -= {"graphs", "targets", "cells", "orders", "dropout"}
        return {name: getattr(self, name) for name in needed}

    def train_to(self, epochs: int, tell: Tell) -> None:
        """Train until so many epochs are done, told after each as the number of predictors that did it."""
        if self.stack is None:
            predictors = [Predictor(self.config.predictor, seed) for seed in self.seeds]
            self.stack = StackedPredictors(predictors, self.targets.device)
        for epoch in range(self.done, epochs):
            self.train_epoch(epoch)
            self.done += 1
            tell(len(self.seeds))
        if self.done == self.config.epochs:
            self.stack.moments = torch.empty(0)  # Adam's, of no more use: a third is left to send

    def train_epoch(self, epoch: int) -> None:
        config, device = self.config, self.targets.device
        steps = len(self.cells[0]) // config.batch_size  # all rows of a group have as many
        used = steps * config.batch_size
        shuffled = np.stack([order.permutation(row)[:used] for order, row in zip(self.orders, self.cells, strict=True)])
        cells = torch.as_tensor(shuffled, device=device).view(len(self.seeds), steps, config.batch_size)
        learning_rate = config.learning_rate * (1 + math.cos(math.pi * epoch / config.epochs)) / 2
        losses = []  # of each step, (M, B)
        for start in range(0, steps, STEPS_AT_ONCE):
            batches = make_batches(self.graphs, cells[:, start : start + STEPS_AT_ONCE], self.targets)
            for batch, masks in zip(batches, self.dropout.draw(len(batches), device), strict=True):
                losses.append(self.stack.set_gradient(batch, masks, config.loss))
                self.stack.adam_step(learning_rate, config.weight_decay)
        unit = (100 * config.predictor.label_std) ** 2 if config.loss == "mse" else 1
        of_steps = torch.stack(losses).expand(-1, max(2, len(self.seeds)), -1)  # one is rounded as one of many
        self.losses[:, epoch] = of_steps.contiguous().mean(dim=(0, 2)).cpu().numpy()[: len(self.seeds)] * unit
        if not np.isfinite(self.losses[:, epoch]).all():
            first = int(np.argmin(np.isfinite(self.losses[:, epoch])))
            raise TrainingFailed(
                f"the loss of seed {self.seeds[first]} is {self.losses[first, epoch]} in epoch {epoch + 1}: training "
                f"diverged. Lower the learning rate ({config.learning_rate}), or look for labels far out of range"
            )


class _Dropout:
    """Random masks of a group, a stream a seed, drawn on the CPU so that all devices drop alike."""

    def __init__(self, seeds: Sequence[int], config: TrainingConfig) -> None:
        predictor = config.predictor
        self.threshold = round(predictor.dropout * 2**16)
        self.streams = [np.random.SFC64([seed, 1]) for seed in seeds]
        kept = np.float32(2**16 / (2**16 - self.threshold))
        rows = config.batch_size * MAX_VERTICES
        self.layers = [((rows, predictor.hidden), kept / 2)] * predictor.layers
        self.layers.append(((config.batch_size, predictor.head), kept))
        self.masks: list[np.ndarray] = []

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"masks": []}

    def draw(self, steps: int, device: torch.device) -> list[Masks | None]:
        """Masks of the next steps; they hold until the next draw."""
        if self.threshold == 0:
            return [None] * steps
        # Written anew by each draw: fresh memory would cost more than the numbers.
        self.masks = self.masks or [
            np.empty((STEPS_AT_ONCE, len(self.streams), *shape), dtype=np.float32) for shape, _ in self.layers
        ]
        for m, stream in enumerate(self.streams):
            for masks, (shape, value) in zip(self.masks, self.layers, strict=True):
                count = steps * math.prod(shape)
                numbers = stream.random_raw(-(-count // 4)).view(np.uint16)[:count].reshape(steps, *shape)
                np.multiply(numbers >= self.threshold, value, out=masks[:steps, m])
        *hidden, head = (torch.from_numpy(masks[:steps]).to(device) for masks in self.masks)
        return [Masks([layer[step] for layer in hidden], head[step]) for step in range(steps)]
