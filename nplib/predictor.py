"""The neural predictor: a graph convolutional network that regresses the accuracy of a cell.

The whole model is on this page. Source: Wen et al., "Neural Predictor for Neural Architecture Search", 2019, section 3,
in the form that its PyTorch reproduction gave it.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas
import torch
from torch import Tensor, nn

from nplib._devices import map_on_cores, undisturbed
from nplib._weights import BadWeights, check_tensors, read_config, read_weights, write_weights
from nplib.cell import MAX_VERTICES, OPERATION_CODES, Cells
from nplib.errors import UserError
from nplib.space import edge_bits

NUM_OPERATIONS = len(OPERATION_CODES)
# One-hot column of an operation code: output, input, conv3x3, conv1x1, maxpool.
FIRST_CODE = min(OPERATION_CODES.values())
# Between these accuracies (fractions) a squashed output lies.
SQUASHED_TO = (0.1, 1.0)
# Whose reads a processor's cache holds.
CELLS_AT_A_TIME = 8_192
# Files of weights written before these settings were there lack them; they have the defaults.
LATER_SETTINGS = {"squashed"}


@dataclass(frozen=True)
class PredictorConfig:
    """The shape of a predictor and the scale of its output."""

    hidden: int = 144  # width of the graph convolutions; the paper's for 172 training cells
    layers: int = 3  # graph convolutions
    head: int = 128  # width of the first linear layer
    dropout: float = 0.1  # after every convolution and after the first linear layer; the paper does not say where
    label_mean: float = 0.908192  # fraction; an output of 0 means this accuracy
    label_std: float = 0.023961  # fraction; an output of 1 means this much more
    squashed: bool = False  # a sigmoid keeps accuracies between 10 and 100 %, as in a public re-implementation

    def __post_init__(self) -> None:
        for name in ("hidden", "layers", "head"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout is {self.dropout}; it must be at least 0 and less than 1")
        if not 0 <= self.label_mean <= 1:
            raise UserError(f"label_mean is {self.label_mean}; it must be a fraction, from 0 to 1")
        if not 0 < self.label_std <= 1:
            raise UserError(f"label_std is {self.label_std}; it must be a fraction, positive and at most 1")


def normalize_rows(matrix: Tensor) -> Tensor:
    """Divide each row by its sum, shape (..., V, V); a row of zeros stays zero."""
    return matrix / matrix.sum(dim=-1, keepdim=True).clamp_min(torch.finfo(matrix.dtype).tiny)


@dataclass(frozen=True, eq=False)
class Graphs:
    """Cells as the tensors that the predictor reads.

    Attributes:
        propagation (Tensor, shape (2, N, 7, 7)): What a vertex reads from which: along the edges, and against them.
        nodes (Tensor, shape (N, 7, 5)): One-hot operations (output, input, conv3x3, conv1x1, maxpool); zero rows for
            padding.
        num_vertices: Tensor, shape (N,).
    """

    propagation: Tensor
    nodes: Tensor
    num_vertices: Tensor

    @classmethod
    def of(cls, cells: Cells | Graphs) -> Graphs:
        """The tensors of cells, on the CPU, kept with them; graphs are given back as they are."""
        return cells if isinstance(cells, Graphs) else cells.derived("graphs", cls.make)

    @classmethod
    def make(cls, cells: Cells) -> Graphs:
        """The same, made anew."""
        present = np.arange(MAX_VERTICES) < cells.num_vertices[:, None]  # (N, 7)
        # Padding has a zero row of its own behind the five of the operations.
        one_hot = torch.eye(NUM_OPERATIONS + 1, NUM_OPERATIONS, dtype=torch.float32, device="cpu")
        codes = np.where(present, cells.operations.astype(np.int64) - FIRST_CODE, NUM_OPERATIONS)
        nodes = nn.functional.embedding(torch.from_numpy(codes), one_hot)
        # Few matrices differ, so each is normalised once.
        _, first, which = np.unique(edge_bits(cells.adjacency), return_index=True, return_inverse=True)
        loops = torch.from_numpy(cells.adjacency[first] + np.eye(MAX_VERTICES, dtype=np.float32))
        normalized = normalize_rows(loops)
        # Against the edges: the transpose of the normalised matrix, normalised again, as in the reference.
        both = torch.stack([normalize_rows(normalized), normalize_rows(normalized.transpose(1, 2))])
        propagation = both.index_select(1, torch.from_numpy(which))
        return cls(propagation, nodes, torch.from_numpy(cells.num_vertices.astype(np.float32)))

    @cached_property
    def reads(self) -> Tensor:
        """What vertices read in the first convolution, along and against the edges, shape (2, N, 7, 5)."""
        return self.propagation @ self.nodes

    @cached_property
    def distinct_reads(self) -> tuple[Tensor, Tensor]:
        """The pairs of rows of :attr:`reads` that differ, shape (2, D, 5), and which each vertex has, (N, 7), int64."""
        # Rows are told apart by their product with fixed random numbers: equal rows have equal products.
        generator = torch.Generator().manual_seed(0)
        coefficients = torch.rand(2, NUM_OPERATIONS, dtype=torch.float64, device="cpu", generator=generator)

        def keys(start: int) -> Tensor:
            some = slice(start, start + CELLS_AT_A_TIME)
            reads = (self.propagation[:, some] @ self.nodes[some]).flatten(1, 2).cpu().double()
            return reads[0] @ coefficients[0] + reads[1] @ coefficients[1]

        device = self.nodes.device
        starts = range(0, max(len(self), 1), CELLS_AT_A_TIME)
        found = map_on_cores(torch.inference_mode()(keys), starts, device)
        which, _ = pandas.factorize(torch.cat(found).numpy())
        # Numbers are given in order of appearance, so a row is new where the largest number so far grows.
        first = np.flatnonzero(np.diff(np.maximum.accumulate(which), prepend=-1))
        cells, vertices = (torch.from_numpy(places).to(device) for places in np.divmod(first, MAX_VERTICES))
        rows = self[cells].reads[:, torch.arange(len(cells), device=device), vertices]
        return rows, torch.from_numpy(which).to(device).view(-1, MAX_VERTICES)

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, index: Tensor | np.ndarray | slice) -> Graphs:
        return Graphs(self.propagation[:, index], self.nodes[index], self.num_vertices[index])

    def to(self, device: str | torch.device) -> Graphs:
        """The same on a device; itself where it is there already."""
        if self.nodes.device == torch.device(device):
            return self
        return Graphs(self.propagation.to(device), self.nodes.to(device), self.num_vertices.to(device))


def _xavier(inputs: int, outputs: int, random: torch.Generator) -> nn.Parameter:
    weights = torch.empty(inputs, outputs, dtype=torch.float32, device="cpu")
    return nn.Parameter(nn.init.xavier_uniform_(weights, generator=random))


class Linear(nn.Linear):
    """A linear layer without bias, with weights as torch's own has them, but for where the numbers are from."""

    def __init__(self, inputs: int, outputs: int, random: torch.Generator) -> None:
        super().__init__(inputs, outputs, bias=False, device="cpu", dtype=torch.float32)
        nn.init.kaiming_uniform_(self.weight, a=5**0.5, generator=random)

    def reset_parameters(self) -> None:
        """Draw nothing from torch's global numbers."""


class DirectedGraphConvolution(nn.Module):
    """Mean of a convolution along the edges and one against them, without bias (equation 1 of the paper)."""

    def __init__(self, inputs: int, outputs: int, dropout: float, random: torch.Generator) -> None:
        super().__init__()
        self.weight1 = _xavier(inputs, outputs, random)
        self.weight2 = _xavier(inputs, outputs, random)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, propagation: Tensor) -> Tensor:
        along = (propagation[0] @ (hidden @ self.weight1)).relu_()  # (B, V, outputs)
        against = (propagation[1] @ (hidden @ self.weight2)).relu_()  # (B, V, outputs)
        return self.dropout((along + against).div_(2))


class Predictor(nn.Module):
    """Three graph convolutions, the mean over vertices, two linear layers.

    The names of its state are the reference's: ``gcn.0.weight1`` ... ``fc2.weight``. Weights of a new one depend on the
    seed alone, not on torch's own random numbers, which stay as they are.
    """

    def __init__(self, config: PredictorConfig = PredictorConfig(), seed: int = 0) -> None:
        super().__init__()
        self.config = config
        random = torch.Generator().manual_seed(seed)
        widths = [NUM_OPERATIONS, *[config.hidden] * config.layers]
        with torch.inference_mode(False):
            self.gcn = nn.ModuleList(
                DirectedGraphConvolution(inputs, outputs, config.dropout, random)
                for inputs, outputs in pairwise(widths)
            )
            self.fc1 = Linear(config.hidden, config.head, random)
            self.dropout = nn.Dropout(config.dropout)
            self.fc2 = Linear(config.head, 1, random)

    def forward(self, graphs: Graphs) -> Tensor:
        """Outputs of shape (B,), in units of ``config.label_std`` about ``config.label_mean``."""
        hidden = graphs.nodes  # (B, V, 5)
        for convolution in self.gcn:
            hidden = convolution(hidden, graphs.propagation)  # (B, V, H)
        pooled = hidden.sum(dim=1) / graphs.num_vertices[:, None]  # (B, H)
        return self.squash(self.fc2(self.dropout(self.fc1(pooled)))[:, 0])  # (B,)

    def squash(self, last: Tensor) -> Tensor:
        """Outputs from those of the last layer, of any shape: the same, unless ``config.squashed``."""
        if not self.config.squashed:
            return last
        low, high = SQUASHED_TO
        accuracies = low + (high - low) * torch.sigmoid(last)
        return (accuracies - self.config.label_mean) / self.config.label_std

    def save(self, target: str | os.PathLike, overwrite: bool = False) -> None:
        """Write weights and configuration: :func:`save_predictor`."""
        save_predictor(target, self, overwrite)

    def predict(self, cells: Cells | Graphs, batch_size: int = 256) -> np.ndarray:
        """Predicted accuracies (fractions), shape (N,), float64, with dropout off; so many cells at a time."""
        if batch_size < 1:
            raise UserError(f"batch_size is {batch_size}; it must be 1 or more")
        outputs = _predict_outputs(self, Graphs.of(cells).to(self.fc1.weight.device), batch_size)
        return outputs.cpu().double().numpy() * self.config.label_std + self.config.label_mean


@undisturbed()
@torch.inference_mode()
def _predict_outputs(predictor: Predictor, graphs: Graphs, batch_size: int) -> Tensor:
    """Outputs with dropout off, shape (N,), arranged so that little is computed twice.

    After one convolution a vertex knows only its neighbours, so that of the three million vertices of all cells only
    some ten thousand differ. The first convolution and the product that begins the second are computed for these alone.
    """
    first, *others = predictor.gcn
    reads, which = graphs.distinct_reads
    states = (reads[0] @ first.weight1).relu_().add_((reads[1] @ first.weight2).relu_())  # (D, H)
    # Means are taken as sums here, and halved once for all layers: halving is exact.
    scale = 0.5 ** len(predictor.gcn)
    if not others:
        table, wide = states, []
    else:
        wide = [torch.cat([convolution.weight1, convolution.weight2], dim=1) for convolution in others]  # (H, 2H)
        table = states @ wide[0]  # (D, 2H)

    def outputs(start: int) -> Tensor:
        part = slice(start, start + batch_size)
        hidden = torch.nn.functional.embedding(which[part], table)  # (B, V, 2H), or (B, V, H) of a single layer
        for k in range(len(wide)):
            mixed = hidden if k == 0 else _multiply(hidden, wide[k])
            along, against = mixed.chunk(2, dim=-1)
            hidden = torch.bmm(graphs.propagation[0, part], along).relu_()
            hidden.add_(torch.bmm(graphs.propagation[1, part], against).relu_())  # (B, V, H)
        pooled = hidden.sum(dim=1).mul_(scale).div_(graphs.num_vertices[part, None])
        return predictor.squash(predictor.fc2(predictor.fc1(pooled))[:, 0])

    parts = map_on_cores(torch.inference_mode()(outputs), range(0, len(graphs), batch_size), graphs.nodes.device)
    return torch.cat(parts) if parts else torch.empty(0)


def _multiply(hidden: Tensor, weights: Tensor) -> Tensor:
    """Product of every vertex's state, (B, V, H), with weights, (H, K)."""
    if hidden.device.type != "cpu" or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return hidden @ weights
    # As a convolution of size 1, it goes to the library that uses the widest instructions on all makes of processors.
    vertices_last = hidden.unsqueeze(2).permute(0, 3, 1, 2)  # (B, H, V, 1), as a view
    return nn.functional.conv2d(vertices_last, weights.T[:, :, None, None])[..., 0].transpose(1, 2)


def save_predictor(target: str | os.PathLike, predictor: Predictor, overwrite: bool = False) -> None:
    """Write weights and configuration as safetensors; UserError if there is a file and ``overwrite`` is false."""
    write_weights(target, {"config": json.dumps(asdict(predictor.config))}, predictor.state_dict(), overwrite)


def load_predictor(path: str | os.PathLike, device: str | torch.device = "cpu") -> Predictor:
    """Read a predictor that :func:`save_predictor` wrote.

    Raises:
        nplib.errors.UserError: If the file is missing, damaged or no safetensors; if a field of its configuration or a
            tensor is missing, unknown, or not what it should be.
    """
    about, tensors = read_weights(path, "save weights with save_predictor")
    if "config" not in about:
        raise BadWeights(f"{path}: holds no predictor configuration; save weights with save_predictor")
    config = read_config(PredictorConfig, about["config"], str(path), LATER_SETTINGS)
    if len(tensors) != 2 * config.layers + 2:
        raise BadWeights(f"{path}: its tensors do not fit its configuration: {len(tensors)} for {config.layers} layers")
    inputs = [NUM_OPERATIONS, *[config.hidden] * (config.layers - 1)]
    shapes = {f"gcn.{i}.weight{k}": (width, config.hidden) for i, width in enumerate(inputs) for k in (1, 2)}
    shapes |= {"fc1.weight": (config.head, config.hidden), "fc2.weight": (1, config.head)}
    check_tensors(tensors, {name: (shape, torch.float32) for name, shape in shapes.items()}, str(path))
    predictor = Predictor(config)
    predictor.load_state_dict(tensors)
    return predictor.to(device)
