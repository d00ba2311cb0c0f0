"""The predictor as it is usually written, to measure ours against: a data set that makes one item at a time, a loader
that collates ten of them, autograd, and one model after the other. It does for every item and every step what the
reference does, and no more.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from nplib.space import Space


class PlainCells(Dataset):
    """One cell at a time, its tensors made when it is asked for."""

    def __init__(self, space: Space, cells: np.ndarray, targets: np.ndarray) -> None:
        self.space, self.cells, self.targets = space, cells, targets

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, item: int) -> dict[str, np.ndarray]:
        index = self.cells[item]
        vertices = int(self.space.num_vertices[index])
        one_hot = np.array([[i == code + 2 for i in range(5)] for code in self.space.operations[index]], np.float32)
        one_hot[vertices:] = 0
        return {
            "vertices": np.int64(vertices),
            "adjacency": self.space.adjacency[index].astype(np.float32),
            "nodes": one_hot,
            "present": np.array([vertex < vertices for vertex in range(7)], dtype=np.float32),
            "target": np.float32(self.targets[item]),
            "other target": np.float32(self.targets[item]),
        }


def _normalize(matrix: Tensor) -> Tensor:
    return matrix / matrix.sum(dim=2, keepdim=True)


class PlainConvolution(nn.Module):
    """Two directions, each normalised when it is used."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.along = nn.Parameter(nn.init.xavier_uniform_(torch.zeros(inputs, outputs)))
        self.against = nn.Parameter(nn.init.xavier_uniform_(torch.zeros(inputs, outputs)))
        self.dropout = nn.Dropout(0.1)

    def forward(self, hidden: Tensor, adjacency: Tensor) -> Tensor:
        along = torch.relu(_normalize(adjacency) @ (hidden @ self.along))
        against = torch.relu(_normalize(adjacency.transpose(1, 2)) @ (hidden @ self.against))
        return self.dropout(along / 2 + against / 2)


class PlainPredictor(nn.Module):
    """Three convolutions and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(PlainConvolution(inputs, 144) for inputs in (5, 144, 144))
        self.fc1 = nn.Linear(144, 128, bias=False)
        self.dropout = nn.Dropout(0.1)
        self.fc2 = nn.Linear(128, 1, bias=False)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        adjacency = _normalize(batch["adjacency"] + torch.eye(7))
        hidden = batch["nodes"]
        for layer in self.layers:
            hidden = layer(hidden, adjacency)
        pooled = hidden.sum(dim=1) / batch["vertices"].unsqueeze(1)
        return self.fc2(self.dropout(self.fc1(pooled))).squeeze(1)


def train(cells: PlainCells, epochs: int) -> PlainPredictor:
    """Train one predictor with the reference's settings, for so many epochs."""
    model = PlainPredictor()
    loader = DataLoader(cells, batch_size=10, shuffle=True, drop_last=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        losses, errors = [], []
        for batch in loader:
            output = model(batch)
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(output, batch["target"])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            errors.append(((output - batch["target"]) ** 2).mean().item())
        schedule.step()
    return model


@torch.no_grad()
def predict(model: PlainPredictor, cells: PlainCells) -> np.ndarray:
    """Predict all cells, a hundred at a time."""
    model.eval()
    return torch.cat([model(batch) for batch in DataLoader(cells, batch_size=100)]).numpy()
