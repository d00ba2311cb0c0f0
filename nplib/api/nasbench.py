"""The names of ``nasbench.api``, served from HDF5: code for the official library runs when its one import is changed.

``from nplib import api`` stands for ``from nasbench import api``. Nothing of TensorFlow is needed, and the whole of
NASBench-101 opens in about half a second. Source of the behaviour: ``nasbench/api.py`` of
google-research/nasbench (Ying et al., 2019).
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import KeysView
from typing import Any, NoReturn

import numpy as np

from nplib import sources
from nplib._layout import BUDGETS, METRICS, POINTS, RUNS
from nplib.api.config import build_config
from nplib.api.model_spec import ModelSpec
from nplib.api.statistics import Statistics
from nplib.benchmark import SURROGATE, Benchmark, MissingMetric
from nplib.cell import INPUT, OPERATION_NAMES, OUTPUT
from nplib.errors import UserError

__all__ = ["ModelSpec", "NASBench", "OutOfDomainError", "OutOfScope", "UnknownFigure"]

logger = logging.getLogger(__name__)

PREFIXES = {"halfway": "halfway", "end": "final"}  # how the official library calls the two points
FIGURES = tuple(f"{PREFIXES[point]}_{metric}" for point in POINTS for metric in METRICS)


class OutOfDomainError(UserError):
    """The graph, or the number of epochs, is outside of what the benchmark covers."""


class OutOfScope(UserError, NotImplementedError):
    """The official library does this and ``nplib`` does not."""


class UnknownFigure(MissingMetric, KeyError):
    """A figure is asked for that the benchmark does not hold of this run."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would quote it


class NASBench:
    """Results of NASBench-101 as ``nasbench.api.NASBench`` gives them.

    Args:
        dataset_file (path, str, bytes or Benchmark): An HDF5; an official tfrecord, which is converted once, to beside
            it; the name of a source, as :func:`~nplib.sources.door.load` takes it; or a benchmark that is open already.
        seed (int, float, str, bytes or None): Seeds Python's own ``random``, as in the official library: which run a
            query gives depends on it, and on what else the program draws from it.

    Attributes:
        benchmark (Benchmark): The results as the rest of this package uses them.
        config (dict): Settings; queries follow ``available_ops``, ``module_vertices``, ``max_edges`` and
            ``num_repeats``.
        valid_epochs (set of int): Budgets of which something is known.
        fixed_statistics (dict of str to dict): By module hash: ``module_adjacency``, ``module_operations``,
            ``trainable_parameters``. Changes are kept.
        computed_statistics (dict of str to dict): By module hash: lists of three runs by epochs, each run a dict as
            :meth:`get_metrics_from_hash` gives it. Changes are kept. All of a full benchmark take gigabytes, as in the
            official library.
        training_time_spent, total_epochs_spent (float, int): Seconds and epochs that the queries since the last reset
            would have taken to train.
        history (dict): Empty, as in the official library.

    Raises:
        UserError: As :func:`~nplib.sources.door.load`.

    >>> nasbench = NASBench("surrogate", seed=0)
    >>> spec = ModelSpec([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", "conv3x3-bn-relu", "output"])
    >>> data = nasbench.query(spec, epochs=36)
    >>> data["module_operations"], data["trainable_parameters"], nasbench.total_epochs_spent
    (['input', 'conv3x3-bn-relu', 'output'], 10177674, 36)
    """

    def __init__(
        self, dataset_file: str | bytes | os.PathLike | Benchmark, seed: int | float | str | bytes | None = None
    ) -> None:
        self.config = build_config()
        random.seed(int(seed) if isinstance(seed, np.integer) else seed)
        if not isinstance(dataset_file, Benchmark):
            dataset_file = sources.load(os.fsdecode(dataset_file), progress=True)
        self.benchmark = dataset_file
        if self.benchmark.source == SURROGATE:
            logger.warning("%s: %s", self._place, self.benchmark.labels)
        names = self.benchmark.hashes.astype("U").tolist()
        self.fixed_statistics = Statistics(names, self._fixed)
        self.computed_statistics = Statistics(names, self._computed)
        self.valid_epochs = {budget for b, budget in enumerate(BUDGETS) if _is_known(self.benchmark.metrics[:, b])}
        self.history: dict = {}
        self.reset_budget_counters()

    def __repr__(self) -> str:
        return f"NASBench({self.benchmark!r})"

    @property
    def _place(self) -> str:
        return str(self.benchmark.path or f"the benchmark {self.benchmark.source!r}")

    def query(self, model_spec: ModelSpec, epochs: int = 108, stop_halfway: bool = False) -> dict[str, Any]:
        """One run of a cell, chosen at random, at the cost of its training.

        It takes one of ``valid_epochs``; ``stop_halfway`` stops halfway through them, and pays for these only.

        Returns:
            dict: ``module_adjacency`` (array, shape (V, V), int8) and ``module_operations`` (list of str) of the
                labelling that NASBench-101 trained; ``trainable_parameters`` (int); ``training_time`` (float, s);
                ``train_accuracy``, ``validation_accuracy``, ``test_accuracy`` (float, fractions).

        Raises:
            OutOfDomainError: If the epochs are not valid, or the cell is outside of the domain.
            UnknownCell: If the benchmark does not hold the cell, as may be where it has not all.
            UnknownFigure: If a figure of this run is unknown. Nothing is added to the counters.
        """
        if epochs not in self.valid_epochs:
            valid = ", ".join(map(str, sorted(self.valid_epochs)))
            raise OutOfDomainError(f"no budget of {epochs!r} epochs; {self._place} has {valid or 'none'}")
        fixed, computed = self.get_metrics_from_spec(model_spec)
        run = random.randint(0, self.config["num_repeats"] - 1)
        figures, prefix = computed[epochs][run], "halfway" if stop_halfway else "final"
        if unknown := [metric for metric in METRICS if f"{prefix}_{metric}" not in figures]:
            lacks = f"lacks {', '.join(unknown)} at {'halfway' if stop_halfway else 'end'}"
            place = self._run_place(self._hash_spec(model_spec), epochs, run)
            raise UnknownFigure(f"{place} {lacks}{self._hint}")
        data = fixed | {metric: figures[f"{prefix}_{metric}"] for metric in METRICS}
        self.training_time_spent += data["training_time"]
        self.total_epochs_spent += epochs // 2 if stop_halfway else epochs
        return data

    def is_valid(self, model_spec: ModelSpec) -> bool:
        """Whether a cell is in the domain; free of charge."""
        try:
            self._check_spec(model_spec)
        except OutOfDomainError:
            return False
        return True

    def get_budget_counters(self) -> tuple[float, int]:
        """Seconds of training and epochs that the queries since the last reset stand for."""
        return self.training_time_spent, self.total_epochs_spent

    def reset_budget_counters(self) -> None:
        """Set both counters to zero."""
        self.training_time_spent = 0.0
        self.total_epochs_spent = 0

    def evaluate(self, model_spec: ModelSpec, model_dir: str | os.PathLike) -> NoReturn:
        """Not offered, and always an :class:`OutOfScope`: the official library trains a network here."""
        raise OutOfScope("evaluate trains a network, which is out of the scope of nplib; query gives known results")

    def hash_iterator(self) -> KeysView[str]:
        """Module hashes of all cells, in the order of their first appearance in the file."""
        return self.fixed_statistics.keys()

    def get_metrics_from_hash(self, module_hash: str) -> tuple[dict[str, Any], dict[int, list[dict[str, float]]]]:
        """Everything about a cell; free of charge, for analysis.

        Returns:
            fixed (dict): ``module_adjacency``, ``module_operations``, ``trainable_parameters``, as of :meth:`query`.
            computed (dict): By epochs, a list of three runs. A run is a dict of ``halfway_training_time``,
                ``halfway_train_accuracy``, ``halfway_validation_accuracy``, ``halfway_test_accuracy``, and the same
                with ``final``. What is unknown is not in it, and asking for it raises :class:`UnknownFigure`.

        Raises:
            UnknownCell: If the benchmark does not hold the cell. It is a ``KeyError``.
        """
        return self.fixed_statistics.handed_out(module_hash), self.computed_statistics.handed_out(module_hash)

    def get_metrics_from_spec(self, model_spec: ModelSpec) -> tuple[dict[str, Any], dict[int, list[dict[str, float]]]]:
        """Everything about a cell, as :meth:`get_metrics_from_hash`.

        Raises:
            OutOfDomainError: If the cell is outside of the domain.
            UnknownCell: If the benchmark does not hold the cell.
        """
        self._check_spec(model_spec)
        return self.get_metrics_from_hash(self._hash_spec(model_spec))

    # The two names that follow are private in the official library, and used by others all the same.

    def _check_spec(self, model_spec: ModelSpec) -> None:
        """Raise OutOfDomainError if the cell is outside of the domain."""
        if not model_spec.valid_spec:
            raise OutOfDomainError("the input does not reach the output, so nothing is left after pruning")
        ops, edges = model_spec.ops, int(np.sum(model_spec.matrix))
        limits = self.config
        if len(ops) > limits["module_vertices"]:
            raise OutOfDomainError(
                f"{len(ops)} vertices after pruning; the domain goes up to {limits['module_vertices']}"
            )
        if edges > limits["max_edges"]:
            raise OutOfDomainError(f"{edges} edges after pruning; the domain goes up to {limits['max_edges']}")
        for place, found, needed in (("first", ops[0], INPUT), ("last", ops[-1], OUTPUT)):
            if found != needed:
                raise OutOfDomainError(f"the {place} operation is {found!r}; it must be {needed!r}")
        for op in ops[1:-1]:
            if op not in limits["available_ops"]:
                raise OutOfDomainError(f"no operation {op!r}; there are {', '.join(limits['available_ops'])}")

    def _hash_spec(self, model_spec: ModelSpec) -> str:
        return model_spec.hash_spec(self.config["available_ops"])

    def _fixed(self, name: str) -> dict[str, Any]:
        """What does not depend on a training."""
        benchmark, row = self.benchmark, self.benchmark.index(name)
        size = int(benchmark.num_vertices[row])
        return {
            "module_adjacency": benchmark.adjacency[row, :size, :size].copy(),
            "module_operations": [OPERATION_NAMES[code] for code in benchmark.operations[row, :size].tolist()],
            "trainable_parameters": int(benchmark.trainable_parameters[row]),
        }

    def _computed(self, name: str) -> dict[int, list[dict[str, float]]]:
        """Figures of every run, by epochs."""
        figures = self.benchmark.metrics[self.benchmark.index(name)].reshape(len(BUDGETS), RUNS, len(FIGURES)).tolist()
        return {
            budget: [self._known(runs[run], name, budget, run) for run in range(RUNS)]
            for budget, runs in zip(BUDGETS, figures, strict=True)
            if budget in self.valid_epochs
        }

    def _known(self, figures: list[float], name: str, epochs: int, run: int) -> dict[str, float]:
        """The figures of a run that are known."""
        known = {name: figure for name, figure in zip(FIGURES, figures, strict=True) if figure == figure}
        if len(known) == len(FIGURES):
            return known
        return _PartOfRun(known, self._run_place(name, epochs, run), self._hint)

    def _run_place(self, name: str, epochs: int, run: int) -> str:
        return f"{self._place}: run {run} of cell {name} at {epochs} epochs"

    @property
    def _hint(self) -> str:
        return (
            f"; its results are: {self.benchmark.labels}. get_metrics_from_hash gives what there is, and "
            "nplib.benchmark.Benchmark.available lists it"
        )


class _PartOfRun(dict):
    """What is known of a run; asking for one of the other figures says where it is missing."""

    def __init__(self, known: dict[str, float], place: str, hint: str) -> None:
        super().__init__(known)
        self._place = place
        self._hint = hint

    def __missing__(self, name: str) -> NoReturn:
        if name not in FIGURES:
            raise KeyError(name)
        raise UnknownFigure(f"{self._place} lacks {name}{self._hint}")


def _is_known(metrics: np.ndarray) -> bool:
    """Whether any figure of one budget, shape (N, 3, 2, 4), is known; mostly the first cell tells."""
    return not np.isnan(metrics[0]).all() or not np.isnan(metrics).all()
