"""Training: from cells and their accuracies to predictors, several seeds as one batch.

The settings are the paper's where it gives them, else the reference's: mean squared error, Adam with L2 weight decay,
cosine annealing stepped per epoch, batches of 10 shuffled anew each epoch, the last incomplete one dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from nplib.cell import MAX_VERTICES
from nplib.errors import UserError
from nplib.parallel import map_on_cores
from nplib.predictor import Graphs, Predictor, PredictorConfig
from nplib.stacked import Masks, StackedPredictors, make_batches

# At most so many predictors train as one batch: more share no more, and fall out of the processor's cache.
STACK_SIZE = 10
# Batches are gathered and dropout is drawn for so many steps at a time.
STEPS_AT_ONCE = 16


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

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        for name in ("learning_rate", "weight_decay"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"{name} is {value}; it must be a finite number, 0 or more")


@dataclass(frozen=True, eq=False)
class Fit:
    """Trained predictors, one a seed, and how their training went."""

    predictors: list[Predictor]
    seeds: tuple[int, ...]
    training_mse_percent2: np.ndarray  # (M, epochs), points², dropout on, mean over the steps of an epoch

    def predict(self, graphs: Graphs) -> np.ndarray:
        """Predicted accuracies (fractions) of every predictor, shape (M, N), float64."""
        return np.stack([predictor.predict(graphs) for predictor in self.predictors])


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name; ``auto`` takes CUDA, else Apple's MPS, else the CPU.

    Raises
    ------
    UserError
        If there is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {name!r} cannot be used here: {str(error).splitlines()[0]}; try auto or cpu") from None
    return device


def fit_predictors(
    graphs: Graphs,
    accuracies: np.ndarray,
    seeds: Sequence[int],
    config: TrainingConfig = TrainingConfig(),
    *,
    training_cells: np.ndarray | None = None,
    device: str | torch.device = "cpu",
    after_epochs: int = 0,
    callback: Callable[[int, Fit], None] | None = None,
    progress: bool = False,
) -> Fit:
    """Train one predictor a seed.

    A seed decides the initial weights, the order of the cells and the dropout of its predictor, whatever others are
    trained beside it and on whatever device; results differ between those by float rounding alone.

    Parameters
    ----------
    graphs : Graphs
        All cells, N of them.
    accuracies : array, shape (N,)
        Fractions.
    seeds : sequence of int
    config : TrainingConfig
    training_cells : array, shape (n,) or (len(seeds), n), optional
        Indices of the cells to train on, the same for all or a row a seed; all N if not given.
    device : str or torch.device
        See :func:`choose_device`.
    after_epochs, callback : int, callable
        Every so many epochs, and after the last, the callback gets the number of epochs done and the fit so far.
    progress : bool
        Show a bar on stderr.

    Returns
    -------
    Fit
        Its predictors are on the CPU.

    Raises
    ------
    TrainingFailed
        If there are fewer cells than a batch holds, an accuracy is not finite, or the loss stops being finite.
    """
    device = choose_device(device) if isinstance(device, str) else device
    cells = _check_cells(graphs, accuracies, seeds, training_cells, config)
    used, cells = np.unique(cells, return_inverse=True)
    cells = cells.reshape(len(seeds), -1)
    graphs = graphs[torch.as_tensor(used)].to(device)
    standardized = (np.asarray(accuracies)[used] - config.predictor.label_mean) / config.predictor.label_std
    targets = torch.as_tensor(standardized, dtype=torch.float32, device=device)
    with tqdm(total=len(seeds) * config.epochs, unit="epoch", desc="training", disable=not progress) as bar:
        trainers = [
            _Trainer(graphs, targets, cells[group], tuple(seeds[group]), config, bar.update)
            for group in _groups(len(seeds), device)
        ]
        for done in _stops(config.epochs, after_epochs):
            map_on_cores(lambda trainer, epochs=done: trainer.train_to(epochs), trainers, device)
            if callback and (done == config.epochs or (after_epochs and done % after_epochs == 0)):
                callback(done, _fit(trainers))
    return _fit(trainers)


def _groups(count: int, device: torch.device) -> list[slice]:
    """Which seeds train as one batch: on a CPU no more than keeps every core at work."""
    cores = torch.get_num_threads() if device.type == "cpu" else 1
    size = min(STACK_SIZE, -(-count // cores))
    return [slice(start, start + size) for start in range(0, count, size)]


def _stops(epochs: int, after_epochs: int) -> list[int]:
    """Numbers of epochs after which all groups wait for each other, so that all can be looked at."""
    step = after_epochs or epochs
    return sorted({*range(step, epochs, step), epochs})


def _fit(trainers: Sequence[_Trainer]) -> Fit:
    return Fit(
        predictors=[predictor for trainer in trainers for predictor in trainer.stack.predictors()],
        seeds=tuple(seed for trainer in trainers for seed in trainer.seeds),
        training_mse_percent2=np.concatenate([trainer.losses[:, : trainer.done] for trainer in trainers]),
    )


def fit_predictor(
    graphs: Graphs, accuracies: np.ndarray, seed: int = 0, config: TrainingConfig = TrainingConfig(), **options
) -> Predictor:
    """Train one predictor; see :func:`fit_predictors`."""
    return fit_predictors(graphs, accuracies, [seed], config, **options).predictors[0]


def _check_cells(
    graphs: Graphs,
    accuracies: np.ndarray,
    seeds: Sequence[int],
    training_cells: np.ndarray | None,
    config: TrainingConfig,
) -> np.ndarray:
    """Indices of the cells that each seed trains on, shape (M, n), once everything that can be wrong is not."""
    if not len(seeds):
        raise UserError("no seeds: nothing would be trained; give at least one")
    if any(int(seed) != seed or seed < 0 for seed in seeds):
        raise UserError(f"seeds are {list(seeds)}; they must be whole numbers, 0 or more")
    if np.shape(accuracies) != (len(graphs),):
        raise UserError(f"accuracies have shape {np.shape(accuracies)} for {len(graphs)} cells; give one for each")
    cells = np.arange(len(graphs)) if training_cells is None else np.asarray(training_cells)
    if cells.ndim == 1:
        cells = np.broadcast_to(cells, (len(seeds), len(cells)))
    if cells.ndim != 2 or len(cells) != len(seeds):
        raise UserError(f"training_cells have shape {cells.shape} for {len(seeds)} seeds; give (n,) or one row a seed")
    if cells.shape[1] < config.batch_size:
        raise TrainingFailed(
            f"{cells.shape[1]} cells to train on, but a batch holds {config.batch_size} and incomplete ones are "
            f"dropped: nothing would be learned. Give more cells or a batch_size of at most {max(cells.shape[1], 1)}"
        )
    if cells.min() < 0 or cells.max() >= len(graphs):
        raise UserError(f"training_cells run from {cells.min()} to {cells.max()}; there are {len(graphs)} cells")
    unusable = cells[~np.isfinite(np.asarray(accuracies)[cells])]
    if len(unusable):
        raise TrainingFailed(
            f"the accuracy of cell {unusable[0]} is {accuracies[unusable[0]]} ({len(np.unique(unusable))} such cells); "
            "train only on cells whose accuracy is known"
        )
    return cells


class _Trainer:
    """One group of predictors while it trains."""

    def __init__(
        self,
        graphs: Graphs,
        targets: Tensor,
        cells: np.ndarray,
        seeds: tuple[int, ...],
        config: TrainingConfig,
        tell: Callable[[int], object] = lambda count: None,
    ) -> None:
        self.graphs, self.targets, self.cells, self.seeds, self.config = graphs, targets, cells, seeds, config
        self.tell = tell  # called after every epoch with the number of predictors that did it
        device = graphs.nodes.device
        self.stack = StackedPredictors([Predictor.seeded(config.predictor, seed) for seed in seeds], device)
        self.orders = [np.random.default_rng([seed, 0]) for seed in seeds]
        self.dropout = _Dropout(seeds, config)
        self.optimizer = torch.optim.Adam(
            [self.stack.weights],
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=device.type in ("cpu", "cuda"),
        )
        self.losses = np.zeros((len(seeds), config.epochs))
        self.done = 0  # epochs

    def train_to(self, epochs: int) -> None:
        """Train until so many epochs are done."""
        for epoch in range(self.done, epochs):
            self.train_epoch(epoch)
            self.done += 1
            self.tell(len(self.seeds))

    def train_epoch(self, epoch: int) -> None:
        config, device = self.config, self.targets.device
        steps = self.cells.shape[1] // config.batch_size
        used = steps * config.batch_size
        shuffled = np.stack([order.permutation(row)[:used] for order, row in zip(self.orders, self.cells, strict=True)])
        cells = torch.as_tensor(shuffled, device=device).view(len(self.seeds), steps, config.batch_size)
        self.optimizer.param_groups[0]["lr"] = (
            config.learning_rate * (1 + math.cos(math.pi * epoch / config.epochs)) / 2
        )
        errors = []  # of each step, (M, B)
        for start in range(0, steps, STEPS_AT_ONCE):
            batches = make_batches(self.graphs, cells[:, start : start + STEPS_AT_ONCE], self.targets)
            for batch, masks in zip(batches, self.dropout.draw(len(batches), device), strict=True):
                errors.append(self.stack.set_gradient(batch, masks))
                self.optimizer.step()
        losses = torch.stack(errors).square().mean(dim=(0, 2)).cpu().numpy()
        self.losses[:, epoch] = losses * (100 * config.predictor.label_std) ** 2
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
        # Written anew for each draw: fresh memory would cost more than the numbers.
        self.masks = [np.empty((STEPS_AT_ONCE, len(seeds), *shape), dtype=np.float32) for shape, _ in self.layers]

    def draw(self, steps: int, device: torch.device) -> list[Masks | None]:
        """Masks of the next steps; they hold until the next draw."""
        if self.threshold == 0:
            return [None] * steps
        for m, stream in enumerate(self.streams):
            for masks, (shape, value) in zip(self.masks, self.layers, strict=True):
                count = steps * math.prod(shape)
                numbers = stream.random_raw(-(-count // 4)).view(np.uint16)[:count].reshape(steps, *shape)
                np.multiply(numbers >= self.threshold, value, out=masks[:steps, m])
        *hidden, head = (torch.from_numpy(masks[:steps]).to(device) for masks in self.masks)
        return [Masks([layer[step] for layer in hidden], head[step]) for step in range(steps)]
