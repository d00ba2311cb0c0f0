"""The Gaussian-process predictor: it knows what a cell does to a signal, and says how sure it is.

It reads the named features of :mod:`nplib.features.catalogue` instead of a graph. In place of one Gaussian process
there can be a bag of them, each with a random part of the features and one of several scales of accuracy.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from importlib.resources import files
from typing import ClassVar

import numpy as np
import torch
from tqdm import tqdm

from nplib._devices import CPU, choose_device, map_on_cores, undisturbed
from nplib._weights import write_weights
from nplib._workers import Tell, map_in_workers
from nplib.cell import Cells
from nplib.errors import UserError
from nplib.features.columns import columns_of
from nplib.features.scales import all_columns
from nplib.gp.process import JITTER, GaussianProcess, GPFailed, Priors, most_probable
from nplib.gp.targets import TARGETS, ScoreMap, target_values
from nplib.splits import training_rows

# What a file of weights holds; of members an array each, named columns.0 and so on.
STATE, OF_MEMBERS = ("rows", "labels"), ("columns", "parameters")
LEAST_LABELS = 3
# An exact posterior of more labels would take more than a gigabyte.
MOST_LABELS = 10_000
# A chance is at least this far from 0 and 1, so that its logit is finite.
SUREST = 1e-12
# So many numbers of a kernel stay in a core's cache between the steps of a prediction.
CACHED_NUMBERS = 2**18
CELLS_AT_A_TIME = 16_384
SECONDS_AN_ITERATION = 3e-4  # of a member of few labels, about


@cache
def _chosen_columns() -> tuple[tuple[str, ...], ...]:
    """Those of the first and of the second of two members, from ``columns.csv`` beside this file.

    They made rankings of half of the real sample best, and were held against its other half. With all features
    rankings are worse, since few labels cannot tell which of many columns count.
    """
    with files("nplib.gp").joinpath("columns.csv").open(encoding="utf8", newline="") as file:
        rows = list(csv.DictReader(file))
    readers = (("both", "first"), ("both", "second"))
    return tuple(tuple(row["column"] for row in rows if row["read_by"] in names) for names in readers)


@dataclass(frozen=True)
class GPConfig:
    """What a predictor is made of. It is a bag of so many Gaussian processes, whose predictions are averaged."""

    members: int = 2  # one for each of the sets; a bag of more gains nothing
    feature_sets: tuple[tuple[str, ...], ...] = field(default_factory=_chosen_columns)  # members take them in turn
    column_share: float = 1.0  # of its set, for each member, at random; two members of a set have different ones
    targets: tuple[str, ...] = ("log_gap",)  # what members learn accuracies as, in turn; this one favours the top
    priors: Priors = field(default_factory=Priors)
    iterations: int = 60  # of the search for hyper-parameters; more change nothing that counts
    regresses: ClassVar[bool] = True  # it can say what accuracy a cell has,
    classifies: ClassVar[bool] = True  # and how likely a cell is to be above one
    hyper_cells: int = 400  # hyper-parameters are fitted to so many labels, the first, since time goes with the cube

    def __post_init__(self) -> None:
        for name, least in (("members", 1), ("iterations", 1), ("hyper_cells", LEAST_LABELS)):
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}; it must be {least} or more")
        if not 0 < self.column_share <= 1:
            raise UserError(f"column_share is {self.column_share}; it must be above 0, and 1 at most")
        if not self.feature_sets or isinstance(self.feature_sets, str):
            raise UserError(f"feature_sets is {self.feature_sets!r}; give a tuple of tuples of names")
        where = "nplib.features.feature_table lists them; each may have :normal behind it"
        for names in self.feature_sets:
            _check_names("feature_sets", names, all_columns(), where)
        if self.members < len(self.feature_sets):
            sets = len(self.feature_sets)
            raise UserError(f"members is {self.members} for {sets} feature_sets; give as many members or more")
        _check_names("targets", self.targets, TARGETS, ", ".join(TARGETS))

    @classmethod
    def plain(cls) -> GPConfig:
        """A bag in which no label but those that it is fitted to has chosen anything.

        Sixteen members, each with a random 30 % of all columns, as of a random forest's tree; generic priors; a scale
        of accuracy from the labels at hand. The default's were all chosen with other labels of NASBench-101.
        """
        priors = Priors(amplitude_sd=1.0, length=1.0, length_sd=1.0, weight_sd=1.0)
        return cls(16, (tuple(all_columns()),), column_share=0.3, targets=("log_spread",), priors=priors)

    @classmethod
    def named(cls, name: str) -> GPConfig:
        """By the name that commands know: ``"gp"``, the default, or ``"gp-plain"``."""
        return cls.plain() if name == "gp-plain" else cls()

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns of all sets, each once, in the order of :func:`nplib.features.scales.all_columns`."""
        used = {name for names in self.feature_sets for name in names}
        return tuple(name for name in all_columns() if name in used)

    @property
    def least_cells(self) -> tuple[int, str]:
        """How many labelled cells are needed at all, and why, in words."""
        return LEAST_LABELS, f"a Gaussian process needs {LEAST_LABELS}"

    @property
    def in_words(self) -> str:
        """What tells this configuration from others."""
        kinds = {GPConfig(): "Gaussian process", GPConfig.plain(): "Gaussian process, plain"}
        return kinds.get(self, f"Gaussian process of {self.members} members")

    def as_classifier(self, learning_rate: float | None = None) -> GPConfig:
        """The same, which needs no other settings to say how likely a cell is to pass; it has no learning rate."""
        return self

    def fit(self, cells: Cells, accuracies: np.ndarray, seeds: Sequence[int], **options) -> GPFit:
        """Fit one predictor a seed: :func:`fit_gps` with this configuration, and its options."""
        return fit_gps(cells, accuracies, seeds, self, **options)

    def fit_classifiers(
        self, cells: Cells, accuracies: np.ndarray, seeds: Sequence[int], above: float, **options
    ) -> GPFit:
        """Fit one predictor a seed, asked for the chance that a cell's accuracy is above a fraction."""
        fit = self.fit(cells, accuracies, seeds, **options)
        return GPFit([GPClassifier(predictor, above) for predictor in fit.predictors], fit.seeds)


def _check_names(setting: str, names: tuple[str, ...], known: tuple[str, ...], where: str) -> None:
    """Refuse what is no tuple of different known names."""
    unknown = [name for name in names if name not in known]
    if not names or unknown or isinstance(names, str):
        what = f"names {unknown[0]!r}" if unknown and not isinstance(names, str) else f"has {names!r}"
        raise UserError(f"{setting} {what}; give tuples of known names: {where}")
    if len(set(names)) < len(names) and setting == "feature_sets":
        raise UserError(f"{setting} names a feature twice in one set; give each name once")


class GPPredictor:
    """A fitted predictor.

    A cell's *score* is what members learn accuracies as, in standard deviations of the labels, averaged over members.

    Args:
        seed (int): What decided which member has which features.
        rows (array, shape (n, F)): Columns of the labelled cells, those of ``config.features``; see
            :mod:`nplib.features.scales`.
        labels (array, shape (n,)): Their accuracies, fractions.
        columns (list of array, length M, shapes (c,), int64): Which features each member has.
        parameters (list of array, length M, shapes (3 + c,)): Its hyper-parameters, see
            :func:`nplib.gp.process.column_scales`.
    """

    def __init__(
        self,
        config: GPConfig,
        seed: int,
        rows: np.ndarray,
        labels: np.ndarray,
        columns: Sequence[np.ndarray],
        parameters: Sequence[np.ndarray],
    ) -> None:
        self.config, self.seed = config, seed
        self.rows, self.labels, self.columns, self.parameters = rows, labels, columns, parameters
        values = list(_targets(config, labels))
        self.members = [
            GaussianProcess(row, rows[:, chosen], targets)
            for targets, chosen, row in zip(values, columns, parameters, strict=True)
        ]
        self.map = ScoreMap.through(np.mean(values, axis=0), labels, config.targets[0])

    def save(self, target: str | os.PathLike, overwrite: bool = False) -> None:
        """Write configuration, hyper-parameters and labels as safetensors; :func:`nplib.gp.files.load_gp` reads them.

        UserError if there is a file and ``overwrite`` is false.
        """
        arrays = {name: getattr(self, name) for name in STATE}
        for name in OF_MEMBERS:
            arrays |= {f"{name}.{number}": array for number, array in enumerate(getattr(self, name))}
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        about = {"gp": json.dumps(asdict(self.config)), "seed": str(self.seed)}
        write_weights(target, about, tensors, overwrite)

    def predict(self, cells: Cells, batch_size: int = CELLS_AT_A_TIME) -> np.ndarray:
        """Expected accuracies (fractions), shape (N,), float64; all are as uncertain as a left-out label on average."""
        sd = np.sqrt(np.mean([member.left_out_variance for member in self.members]))
        return self.map.expected(self.mean_score(cells, batch_size), sd)

    def mean_score(self, cells: Cells, batch_size: int = CELLS_AT_A_TIME) -> np.ndarray:
        """Mean of each cell's score, shape (N,), float64: that of :meth:`posterior`, whose other half takes longer."""
        return self._posteriors(cells, batch_size, variance=False)[0].mean(axis=0)

    def posterior(self, cells: Cells, batch_size: int = CELLS_AT_A_TIME) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each cell's score, both of shape (N,), float64.

        Of the cell, not of one run, whose noise comes on top. Of several members it is that of a random one.
        """
        means, variances = self._posteriors(cells, batch_size, variance=True)
        return means.mean(axis=0), np.sqrt(variances.mean(axis=0) + means.var(axis=0))

    def means_as_labels_come(self, cells: Cells, accuracies: np.ndarray) -> np.ndarray:
        """Posterior mean score of each cell after the first 1, 2, ... of them have their labels, shape (n, n), float64.

        Row q knows the labels (fractions) to q, and its columns beyond q mean nothing. Hyper-parameters and the scale
        of accuracies stay those of this predictor, and its own labels are not among those known.
        """
        X = columns_of(cells, self.config.features).astype(np.float64)
        means = 0.0
        targets = _targets(self.config, np.concatenate([self.labels, accuracies]))
        for both, chosen, row in zip(targets, self.columns, self.parameters, strict=True):
            own = both[: len(self.labels)]
            values = (both[len(own) :] - own.mean()) / own.std()
            means = means + GaussianProcess(row, X[:, chosen], values).means_as_labels_come() / len(self.columns)
        return means

    def accuracy_interval(
        self, cells: Cells, coverage: float = 0.9, batch_size: int = CELLS_AT_A_TIME
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bounds between which a new label (fraction) of each cell is with a given chance, both of shape (N,), float64.

        UserError if the chance is not between 0 and 1.
        """
        from scipy.special import ndtri  # slow to load

        if not 0 < coverage < 1:
            raise UserError(f"coverage is {coverage}; it must be between 0 and 1, as 0.9")
        mean, sd = self._of_labels(cells, batch_size)
        beyond = ndtri((1 - coverage) / 2) * sd
        return self.map.accuracies(mean + beyond), self.map.accuracies(mean - beyond)

    def chance_above(self, cells: Cells, accuracy: float, batch_size: int = CELLS_AT_A_TIME) -> np.ndarray:
        """The chance that a new label of each cell is above an accuracy (fraction), shape (N,), float64."""
        from scipy.special import ndtr

        mean, sd = self._of_labels(cells, batch_size)
        return ndtr((mean - self.map.score(accuracy)) / sd)

    def relevance(self) -> np.ndarray:
        """How much each of ``config.features`` matters, shape (F,); features that go together share it.

        The slope of the mean score by the feature, both in standard deviations: root mean square over labelled cells.
        """
        slopes = np.zeros_like(self.rows)
        for chosen, member in zip(self.columns, self.members, strict=True):
            slopes[:, chosen] += member.slopes() / len(self.members)
        return np.sqrt(np.mean(slopes**2, axis=0))

    @undisturbed()
    def sample(self, cells: Cells, count: int, random: np.random.Generator) -> np.ndarray:
        """Joint draws, each of a random member, of some thousand cells' scores, shape (count, N), float64."""
        X = columns_of(cells, self.config.features).astype(np.float64)
        which = random.integers(len(self.members), size=count)
        normal = random.standard_normal((count, len(cells)))
        draws = np.empty_like(normal)
        for number in np.unique(which):
            member = self.members[number]
            mean, covariance = member.joint(X[:, self.columns[number]])
            covariance.diagonal().add_(JITTER * member.amplitude)
            factor = torch.linalg.cholesky(covariance).numpy()
            draws[which == number] = normal[which == number] @ factor.T + mean.numpy()
        return draws

    @undisturbed()
    def _posteriors(self, cells: Cells, batch_size: int, variance: bool) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of every member's score, both of shape (M, N)."""
        if batch_size < 1:
            raise UserError(f"batch_size is {batch_size}; it must be 1 or more")
        means, variances = np.zeros((2, len(self.members), len(cells)))
        step = max(CACHED_NUMBERS // len(self.labels), 64)
        columns = [torch.from_numpy(chosen) for chosen in self.columns]
        table = torch.from_numpy(columns_of(cells, self.config.features))

        def fill(start: int) -> None:
            stop = min(start + batch_size, len(cells))
            X = table[start:stop]
            for begin in range(0, len(X), step):
                part = X[begin : begin + step]
                rows = slice(start + begin, start + begin + len(part))
                for number, (chosen, member) in enumerate(zip(columns, self.members, strict=True)):
                    values = part if len(chosen) == part.shape[1] else part.index_select(1, chosen)
                    mean, spread = member.predict(values, variance=variance)
                    means[number, rows] = mean.numpy()
                    if spread is not None:
                        variances[number, rows] = spread.numpy()

        map_on_cores(fill, range(0, len(cells), batch_size), CPU)
        return means, variances

    def _of_labels(self, cells: Cells, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the score that a new label of each cell has, both of shape (N,)."""
        mean, sd = self.posterior(cells, batch_size)
        return mean, np.sqrt(sd**2 + np.mean([member.noise for member in self.members]))


@dataclass(frozen=True, eq=False)
class GPFit:
    """Fitted predictors or classifiers, one a seed."""

    predictors: list[GPPredictor] | list[GPClassifier]
    seeds: tuple[int, ...]

    def predict(self, cells: Cells, batch_size: int = CELLS_AT_A_TIME) -> np.ndarray:
        """Expected accuracies (fractions), or logits, by every predictor, shape (M, N), float64."""
        return np.stack([predictor.predict(cells, batch_size) for predictor in self.predictors])

    def first(self, count: int) -> GPFit:
        """The predictors of the first so many seeds."""
        return GPFit(self.predictors[:count], self.seeds[:count])

    def training_report(self) -> dict[str, list[float]]:
        """Nothing: what a network has to say of its training, this has not."""
        return {}


@dataclass(frozen=True, eq=False)
class GPClassifier:
    """A fitted bag, asked whether cells are above a threshold (a fraction); it learned from accuracies, not classes."""

    predictor: GPPredictor
    above: float

    def save(self, target: str | os.PathLike, overwrite: bool = False) -> None:
        """Write its predictor, which is all that it is made of."""
        self.predictor.save(target, overwrite)

    def predict(self, cells: Cells, batch_size: int = CELLS_AT_A_TIME) -> np.ndarray:
        """Logits of the chance that a cell's label is above, shape (N,), as classifiers of other kinds give them."""
        chance = np.clip(self.predictor.chance_above(cells, self.above, batch_size), SUREST, 1 - SUREST)
        return np.log(chance) - np.log1p(-chance)


@undisturbed()
def fit_gps(
    cells: Cells,
    accuracies: np.ndarray,
    seeds: Sequence[int],
    config: GPConfig = GPConfig(),
    *,
    training_cells: np.ndarray | Sequence[np.ndarray] | None = None,
    device: str | torch.device = "cpu",
    after_epochs: int = 0,
    callback: Callable[..., None] | None = None,
    progress: bool = False,
) -> GPFit:
    """Fit one predictor a seed, which decides which member has which features.

    Args:
        cells, accuracies, seeds, training_cells, progress: See :func:`nplib.training.fit_predictors`. Hyper-parameters
            are fitted to the first ``config.hyper_cells`` training cells. A cell may be there more than once, as if its
            label had been measured again.
        device, after_epochs, callback: For likeness with :func:`nplib.training.fit_predictors`: all is done on the CPU,
            and there are no epochs.

    Raises:
        GPFailed: If there are fewer than 3 labels or more than 10,000, all are alike, or one is no fraction.
        UserError: If seeds, shapes or training cells do not fit.
    """
    if after_epochs or callback:
        raise UserError("a Gaussian process has no epochs to look at: leave after_epochs and callback out")
    if isinstance(device, str):
        choose_device(device)
    rows = training_rows(len(cells), accuracies, seeds, training_cells)
    for row in rows:
        _check_labels(accuracies, row)
    accuracies = np.asarray(accuracies, dtype=np.float64)
    bags = [
        (
            int(seed),
            columns_of(cells[row], config.features).astype(np.float64),
            accuracies[row],
            _random_columns(config, int(seed)),
        )
        for seed, row in zip(seeds, rows, strict=True)
    ]
    members = [
        (X[:, chosen], targets)
        for _, X, labels, columns in bags
        for targets, chosen in zip(_targets(config, labels), columns, strict=True)
    ]
    learnt = [tuple(values[: config.hyper_cells] for values in member) for member in members]
    seconds = config.iterations * sum(SECONDS_AN_ITERATION * (1 + (len(X) / 110) ** 2) for X, _ in learnt)
    with tqdm(total=len(members), unit="member", desc="fitting", disable=not progress) as bar:
        parameters = map_in_workers(partial(_fit_member, config=config), learnt, seconds, bar.update)

    def condition(number: int) -> GPPredictor:
        seed, X, labels, columns = bags[number]
        found = parameters[number * config.members : (number + 1) * config.members]
        return GPPredictor(config, seed, X, labels, columns, found)

    return GPFit(map_on_cores(condition, range(len(bags)), CPU), tuple(int(seed) for seed in seeds))


def _fit_member(member: tuple[np.ndarray, np.ndarray], tell: Tell, config: GPConfig) -> np.ndarray:
    """Hyper-parameters of one member, which reads these columns and learns these targets."""
    with undisturbed():
        found = most_probable(*member, config.priors, config.iterations)
    tell(1)
    return found


def _check_labels(accuracies: np.ndarray, row: np.ndarray) -> None:
    """Refuse training cells that a Gaussian process cannot learn from."""
    labels = np.asarray(accuracies)[row]
    if len(row) < LEAST_LABELS:
        raise GPFailed(
            f"{len(row)} cells to learn from; a Gaussian process needs at least {LEAST_LABELS}, and ranks well from "
            "some 40 on"
        )
    if len(row) > MOST_LABELS:
        raise GPFailed(
            f"{len(row):,} cells to learn from; an exact Gaussian process takes memory with their square and time "
            f"with their cube, so give {MOST_LABELS:,} at most, or train a graph network"
        )
    wrong = row[~((labels >= 0) & (labels <= 1))]
    if len(wrong):
        raise GPFailed(
            f"the accuracy of cell {wrong[0]} is {accuracies[wrong[0]]} ({len(wrong)} such cells); learn only from "
            "cells whose accuracy is known, as a fraction between 0 and 1"
        )
    if np.ptp(labels) == 0:
        raise GPFailed(
            f"all {len(row)} cells to learn from have the accuracy {labels[0]:g}; nothing can be ranked by that: give "
            "cells whose accuracies differ"
        )


def _random_columns(config: GPConfig, seed: int) -> list[np.ndarray]:
    """Columns of each member among ``config.features``, sorted: of two of a set, from both ends of one random order."""
    places = {name: place for place, name in enumerate(config.features)}
    columns = []
    for member in range(config.members):
        turn, which = divmod(member, len(config.feature_sets))
        names = config.feature_sets[which]
        order = np.random.default_rng([seed, which, turn // 2]).permutation([places[name] for name in names])
        count = max(round(config.column_share * len(names)), 1)
        columns.append(np.sort(order[::-1][:count] if turn % 2 else order[:count]))
    return columns


def _targets(config: GPConfig, labels: np.ndarray) -> Iterator[np.ndarray]:
    """What each member learns the labels as, each of shape (n,)."""
    values = [target_values(name, labels) for name in config.targets]
    for number in range(config.members):
        yield values[number % len(values)]
