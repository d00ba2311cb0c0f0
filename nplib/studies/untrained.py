"""Signals of untrained networks: what a cell's network does at random weights, and whether that tells anything new.

The network is a narrow copy of NASBench-101's: a stem, three cells with a max-pool before the second and the third,
the mean over pixels, a linear layer. It reads handwritten digits (scikit-learn's, 16 x 16 pixels), which need no
download. Source of the network: Ying et al., "NAS-Bench-101", 2019, section 2; of the signals: see ``SIGNALS``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from nplib._devices import undisturbed
from nplib._workers import Tell, map_in_workers
from nplib.cell import CONV1X1, CONV3X3, Cell, Cells, vertex_channels
from nplib.metrics import kendall_tau

# Each is the logarithm of a sum or a product, so that cells can be compared.
SIGNALS = {
    "gradient norm": "Abdelfattah et al., 2021",
    "synflow": "Tanaka et al., 2020",
    "NASWOT": "Mellor et al., 2021",
    "NTK, condition": "Chen et al., 2021",
}
WIDTH, IMAGES, JACOBIAN_IMAGES = 8, 24, 8
SECONDS_A_CELL = 0.13
KERNELS = {CONV3X3: 3, CONV1X1: 1}


def _convolution(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    weights = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, device="cpu", dtype=torch.float32)
    norm = nn.BatchNorm2d(outputs, device="cpu", dtype=torch.float32)
    return nn.Sequential(weights, norm, nn.ReLU())


class _CellNetwork(nn.Module):
    """One cell, as NASBench-101 builds it: projections of its input, sums before operations, all ends side by side."""

    def __init__(self, cell: Cell, inputs: int, outputs: int) -> None:
        super().__init__()
        self.matrix, self.last = cell.matrix, cell.num_vertices - 1
        self.channels = vertex_channels(cell.matrix, inputs, outputs)
        reading = [v for v in range(1, self.last + 1) if cell.matrix[0, v]]
        self.projections = nn.ModuleDict({str(v): _convolution(inputs, self.channels[v], 1) for v in reading})
        self.operations = nn.ModuleDict()
        for v in range(1, self.last):
            kernel, width = KERNELS.get(cell.operations[v]), self.channels[v]
            pool = nn.MaxPool2d(3, stride=1, padding=1)
            self.operations[str(v)] = _convolution(width, width, kernel) if kernel else pool

    def forward(self, images: Tensor) -> Tensor:
        projected = {int(v): projection(images) for v, projection in self.projections.items()}
        done: dict[int, Tensor] = {}
        for v in range(1, self.last):
            read = [done[u][:, : self.channels[v]] for u in range(1, v) if self.matrix[u, v]]
            done[v] = self.operations[str(v)](sum([*read, projected[v]] if v in projected else read))
        ends = [done[v] for v in range(1, self.last) if self.matrix[v, self.last]]
        if not ends:
            return projected[self.last]
        joined = torch.cat(ends, dim=1)
        return joined + projected[self.last] if self.last in projected else joined


class UntrainedNetwork(nn.Module):
    """The narrow copy of NASBench-101's network of a cell; reads images of shape (B, 1, 16, 16), gives (B, 10)."""

    def __init__(self, cell: Cell, seed: int = 0) -> None:
        super().__init__()
        widths = WIDTH, WIDTH, 2 * WIDTH, 4 * WIDTH
        self.stem = _convolution(1, WIDTH, 3)
        self.cells = nn.ModuleList(_CellNetwork(cell, *pair) for pair in pairwise(widths))
        self.head = nn.Linear(widths[-1], 10, device="cpu", dtype=torch.float32)
        random = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=random)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        state = self.stem(images)
        for place, cell in enumerate(self.cells):
            state = cell(nn.functional.max_pool2d(state, 2) if place else state)
        return self.head(state.mean(dim=(2, 3)))


def _digits(seed: int) -> tuple[Tensor, Tensor]:
    """So many random digits, shape (IMAGES, 1, 16, 16), between -1 and 1, and which they are."""
    from sklearn.datasets import load_digits

    data = load_digits()
    rows = np.random.default_rng(seed).permutation(len(data.images))[:IMAGES]
    images = torch.from_numpy(data.images[rows].astype(np.float32) / 8 - 1)[:, None]
    return nn.functional.interpolate(images, scale_factor=2, mode="bilinear"), torch.from_numpy(data.target[rows])


def untrained_signals(cell: Cell, seed: int = 0) -> np.ndarray:
    """Each of ``SIGNALS`` of one cell's network with weights and digits of a seed, shape (S,), float64."""
    network, (images, digits) = UntrainedNetwork(cell, seed), _digits(seed)
    weights = [parameter for parameter in network.parameters() if parameter.dim() > 1]
    positive: list[Tensor] = []
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda _, __, out: positive.append((out > 0).flatten(1).double()))
    outputs = network(images)
    codes = torch.cat(positive, dim=1)  # which rectifiers let an image pass, (B, R)
    alike = codes @ codes.T + (1 - codes) @ (1 - codes).T
    naswot = torch.linalg.slogdet(alike / codes.shape[1])[1].item()

    def slopes(of: Tensor) -> Tensor:
        return torch.cat([g.flatten() for g in torch.autograd.grad(of, weights, retain_graph=True)]).double()

    loss = nn.functional.cross_entropy(outputs, digits)
    gradient = slopes(loss).square().sum().sqrt().item()
    jacobian = torch.stack([slopes(outputs[k].sum()) for k in range(JACOBIAN_IMAGES)])
    spectrum = torch.linalg.eigvalsh(jacobian @ jacobian.T).clamp_min(1e-12)
    fresh = UntrainedNetwork(cell, seed).eval()  # synflow: batch-norm as it begins, absolute weights, an image of ones
    absolute = [parameter for parameter in fresh.parameters() if parameter.dim() > 1]
    with torch.no_grad():
        for weight in absolute:
            weight.abs_()
    slopes_of = torch.autograd.grad(fresh(torch.ones_like(images[:1])).sum(), absolute)
    synflow = sum((slope * weight).sum() for slope, weight in zip(slopes_of, absolute, strict=True)).item()
    return np.array([math.log(gradient), math.log(synflow), naswot, math.log(spectrum[-1].item() / spectrum[0].item())])


def _signals_of_part(cells: Cells, tell: Tell, seed: int) -> np.ndarray:
    with undisturbed(), torch.inference_mode(False), torch.enable_grad():
        rows = np.array([untrained_signals(cells.cell(number), seed) for number in range(len(cells))])
    tell(len(cells))
    return rows


def signals_of_cells(cells: Cells, seed: int = 0) -> np.ndarray:
    """The same of every cell, on all cores, shape (N, S)."""
    parts = [cells[start : start + 25] for start in range(0, len(cells), 25)]
    rows = map_in_workers(partial(_signals_of_part, seed=seed), parts, SECONDS_A_CELL * len(cells))
    return np.concatenate(rows)


def what_signals_add(
    signals: np.ndarray, features: np.ndarray, labels: np.ndarray, predicted: np.ndarray, names: Sequence[str]
) -> pd.DataFrame:
    """What signals say of labels that features, and a predictor that reads those, do not say already.

    Args:
        signals, features (arrays, shapes (N, S) and (N, F)): Of the same cells.
        labels, predicted (arrays, shape (N,)): Of cells that the predictor did not learn from; fractions.

    Returns:
        DataFrame: A row a signal: its tau with the labels; the share of its variance that trees of the features
            explain, on cells left out; the correlation of the rest with that of the labels' ranks which the predictor
            leaves, and that correlation's standard error where there is none.
    """
    from scipy.stats import pearsonr, rankdata
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.model_selection import cross_val_predict

    left = rankdata(labels) - rankdata(predicted)
    rows = []
    for values in signals.T:
        explained = cross_val_predict(ExtraTreesRegressor(200, random_state=0), features, values, cv=5)
        rows.append(
            {
                "tau with labels": kendall_tau(labels, values),
                "explained by features": 1 - np.square(values - explained).mean() / values.var(),
                "what is left, with what the predictor leaves": pearsonr(values - explained, left)[0],
                "± by chance": 1 / math.sqrt(len(labels) - 1),
            }
        )
    return pd.DataFrame(rows, index=list(names))
