"""Many predictors trained as one: their weights stacked, their gradients written out by hand.

A training step of one small predictor spends most of its time on starting operations. Stacked predictors share each
start, and the hand-written gradient needs half as many; :class:`nplib.predictor.Predictor` says what is computed, and
tests hold the outputs and gradients of both equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nplib.predictor import SQUASHED_TO, Graphs, Predictor, PredictorConfig

# Of the ranking loss, in units of the predictor's output. GATES (Ning et al., ECCV 2020) has the same.
RANKING_MARGIN = 0.1


@dataclass(frozen=True, eq=False)
class Batch:
    """The cells of one step, B of them for each of M predictors; V is the number of vertices of a padded cell."""

    reads: Tensor  # what each vertex reads in the first layer, by direction, (2 * M, B * V, 5)
    propagation: Tensor  # what a vertex reads from which, by direction, (2 * M * B, V, V)
    num_vertices: Tensor  # (M, B, 1)
    targets: Tensor  # what the outputs should be, (M, B, 1)


def make_batches(graphs: Graphs, cells: Tensor, targets: Tensor) -> list[Batch]:
    """Gather the tensors of several steps at once.

    Args:
        graphs (Graphs): All cells.
        cells (Tensor, shape (M, steps, B)): Which of them are in each predictor's batch, step after step.
        targets (Tensor, shape (N,)): What the outputs should be for all cells.
    """
    models, steps, batch = cells.shape
    flat = cells.transpose(0, 1).reshape(-1)  # by step, then model
    width = graphs.propagation.shape[-1]

    def gather(source: Tensor) -> Tensor:
        """Of a tensor by direction and cell, a part for each step in which directions come first."""
        parts = source[:, flat].view(2, steps, models * batch, *source.shape[2:])
        return parts.transpose(0, 1).contiguous()

    reads = gather(graphs.reads).view(steps, 2 * models, batch * width, -1)
    propagation = gather(graphs.propagation).view(steps, 2 * models * batch, width, width)
    sizes, wanted = (values[flat].view(steps, models, batch, 1) for values in (graphs.num_vertices, targets))
    return [Batch(*parts) for parts in zip(reads, propagation, sizes, wanted, strict=True)]


@dataclass(frozen=True, eq=False)
class Masks:
    """What dropout multiplies by in one step: 0, or 1 / (1 - rate).

    Those of the convolutions are half as large, since a convolution is the mean of two directions.
    """

    hidden: Sequence[Tensor]  # a layer each, (M, B * V, H)
    head: Tensor  # (M, B, head)


def _views(flat: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    parts = flat.split([shape.numel() for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def _times_vectors(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Products of M matrices with one column each; a single one is rounded as if it were one of many."""
    if len(matrices) > 1:
        return torch.bmm(matrices, vectors)
    return torch.bmm(matrices.expand(2, -1, -1), vectors.expand(2, -1, -1))[:1]


class _Layer:
    """A convolution: weights, (2, M, inputs, H), and gradients as a step reads them, and what it computes."""

    def __init__(self, weights: Tensor, gradient: Tensor, rows: int, vertices: int) -> None:
        models, _, width = weights.shape[1:]
        self.both, self.both_grad = weights.flatten(0, 1), gradient.flatten(0, 1)
        (self.along, self.against), (self.along_grad, self.against_grad) = weights, gradient
        self.along_back, self.against_back = weights.transpose(2, 3)
        # Both directions before their mean, (2, M, BV, H), and what leaves the layer, (M, BV, H).
        self.active = torch.empty(2, models, rows, width, dtype=weights.dtype, device=weights.device)
        self.hidden = torch.empty_like(self.active[0])
        self.flat, self.by_cell = self.active.flatten(0, 1), self.active.view(-1, vertices, width)
        self.directions, self.entered = self.active.unbind(), self.hidden.transpose(1, 2)

    def activate(self, kept: Tensor | float) -> None:
        self.active.relu_()
        torch.add(*self.directions, out=self.hidden).mul_(kept)


class _Room:
    """What a step writes into, for one shape of batches: to make it anew would take longer than to fill it."""

    def __init__(self, stack: StackedPredictors, size: int, vertices: int) -> None:
        self.size = (size, vertices)
        pairs = zip(stack.convolutions, stack.convolution_grads, strict=True)
        self.layers = [_Layer(*pair, size * vertices, vertices) for pair in pairs]
        self.mixed, self.d_spread = (torch.empty_like(self.layers[0].active) for _ in range(2))
        self.mixed_by_cell, self.d_spread_by_cell = (
            tensor.view(-1, vertices, tensor.shape[-1]) for tensor in (self.mixed, self.d_spread)
        )
        self.d_output = torch.empty_like(self.layers[0].hidden)
        self.d_output_twice = self.d_output.expand_as(self.d_spread)
        self.by_cell = (stack.count, size, vertices, self.d_output.shape[-1])


class StackedPredictors:
    """M predictors of one configuration.

    Args:
        predictors (sequence of Predictor): Where the weights start; they are copied.

    Attributes:
        weights (Tensor): All weights, for an optimizer; the others are views of it.
        convolutions (list of Tensor): A layer each, shape (2, M, inputs, H): along the edges and against them.
        fc1, fc2 (Tensor): Shapes (M, H, head) and (M, head, 1).
    """

    def __init__(self, predictors: Sequence[Predictor], device: str | torch.device = "cpu") -> None:
        self.config: PredictorConfig = predictors[0].config
        self.count = len(predictors)
        states = [predictor.state_dict() for predictor in predictors]

        def stack(name: str) -> Tensor:
            return torch.stack([state[name] for state in states])

        pairs = [torch.stack([stack(f"gcn.{k}.weight1"), stack(f"gcn.{k}.weight2")]) for k in range(self.config.layers)]
        head = [stack("fc1.weight").transpose(1, 2), stack("fc2.weight").transpose(1, 2)]
        # One tensor holds all weights, so that an optimizer steps once.
        self.weights = torch.cat([weight.flatten() for weight in (*pairs, *head)]).to(device)
        self.shapes = [weight.shape for weight in (*pairs, *head)]
        self.moments = torch.stack([torch.zeros_like(self.weights)] * 2)
        self.steps = torch.zeros_like(self.weights[0])  # of Adam
        self._make_views()

    def _make_views(self) -> None:
        self.room: _Room | None = None
        self.gradient = torch.zeros_like(self.weights)
        *self.convolutions, self.fc1, self.fc2 = _views(self.weights, self.shapes)
        *self.convolution_grads, self.fc1_grad, self.fc2_grad = _views(self.gradient, self.shapes)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("config", "count", "shapes", "weights", "moments", "steps")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._make_views()

    def adam_step(self, learning_rate: float, weight_decay: float) -> None:
        """One step of Adam on all weights at once, as :class:`torch.optim.Adam` makes it, by the gradient as set."""
        self.steps += 1
        tensors = [[self.weights], [self.gradient], [self.moments[0]], [self.moments[1]], [], [self.steps]]
        settings = {"lr": learning_rate, "beta1": 0.9, "beta2": 0.999, "weight_decay": weight_decay, "eps": 1e-8}
        torch._fused_adam_(*tensors, **settings, amsgrad=False, maximize=False)

    def predictors(self) -> list[Predictor]:
        """The M predictors, each with a copy of its weights, on the CPU."""
        unstacked = []
        for m in range(self.count):
            state = {"fc1.weight": self.fc1[m].T, "fc2.weight": self.fc2[m].T}
            for k, pair in enumerate(self.convolutions):
                state |= {f"gcn.{k}.weight1": pair[0, m], f"gcn.{k}.weight2": pair[1, m]}
            predictor = Predictor(self.config)
            predictor.load_state_dict({name: tensor.detach().cpu() for name, tensor in state.items()})
            unstacked.append(predictor)
        return unstacked

    @torch.no_grad()
    def set_gradient(self, batch: Batch, masks: Masks | None, loss: str = "mse") -> Tensor:
        """Set the gradient of the weights to that of the mean loss of a batch.

        Args:
            masks (Masks, optional): Dropout of this step; without it nothing is dropped.
            loss (str): ``"mse"``; ``"cross_entropy"`` between outputs that are logits and targets of 0 and 1; or
                ``"ranking"``: of every pair, what the output of the better cell lacks to be a margin of .1 above the
                other's.

        Returns:
            Tensor, shape (M, B): Loss of every cell; of pairs, the mean of those that it is in.
        """
        size, vertices = batch.targets.shape[1], batch.propagation.shape[-1]
        if self.room is None or self.room.size != (size, vertices):
            self.room = _Room(self, size, vertices)
        room, kept = self.room, [0.5] * len(self.convolutions) if masks is None else masks.hidden
        first, *others = room.layers

        torch.bmm(batch.reads, first.both, out=first.flat)
        first.activate(kept[0])
        entered = first.hidden
        for layer, kept_here in zip(others, kept[1:], strict=True):
            torch.bmm(entered, layer.along, out=room.mixed[0])
            torch.bmm(entered, layer.against, out=room.mixed[1])
            torch.bmm(batch.propagation, room.mixed_by_cell, out=layer.by_cell)
            layer.activate(kept_here)
            entered = layer.hidden
        pooled = entered.view(*room.by_cell).sum(dim=2).div_(batch.num_vertices)  # (M, B, H)
        head = torch.bmm(pooled, self.fc1)  # (M, B, head)
        if masks is not None:
            head.mul_(masks.head)
        losses, d_last = self._losses(_times_vectors(head, self.fc2), batch.targets, loss)  # both (M, B, 1)

        self.fc2_grad.copy_(_times_vectors(head.transpose(1, 2), d_last))
        d_head = torch.bmm(d_last, self.fc2.transpose(1, 2))
        if masks is not None:
            d_head.mul_(masks.head)
        torch.bmm(pooled.transpose(1, 2), d_head, out=self.fc1_grad)
        d_pooled = torch.bmm(d_head, self.fc1.transpose(1, 2)).div_(batch.num_vertices)  # (M, B, H)
        room.d_output.view(*room.by_cell).copy_(d_pooled.unsqueeze(2).expand(*room.by_cell))
        back = batch.propagation.transpose(1, 2)
        for k in range(len(others), -1, -1):
            layer = room.layers[k]
            room.d_output.mul_(kept[k])
            torch.ops.aten.threshold_backward(room.d_output_twice, layer.active, 0, grad_input=room.d_spread)
            if k == 0:
                break
            torch.bmm(back, room.d_spread_by_cell, out=room.mixed_by_cell)
            entered = room.layers[k - 1].entered
            torch.bmm(entered, room.mixed[0], out=layer.along_grad)
            torch.bmm(entered, room.mixed[1], out=layer.against_grad)
            torch.bmm(room.mixed[0], layer.along_back, out=room.d_output)
            room.d_output.baddbmm_(room.mixed[1], layer.against_back)
        torch.bmm(batch.reads.transpose(1, 2), room.d_spread.flatten(0, 1), out=first.both_grad)
        return losses[:, :, 0]

    def _losses(self, last: Tensor, targets: Tensor, loss: str) -> tuple[Tensor, Tensor]:
        """Loss of every cell, and the derivatives of each predictor's mean by what its last layer puts out."""
        size = targets.shape[1]
        if loss == "cross_entropy":
            losses = nn.functional.softplus(last) - last * targets
            return losses, torch.sigmoid(last).sub_(targets).div_(size)
        if loss == "ranking":
            better = (targets > targets.transpose(1, 2)).to(last.dtype)  # (M, B, B): the row's cell than the column's
            short = (last.transpose(1, 2) - last).add_(RANKING_MARGIN).relu_().mul_(better)
            wrong = (short > 0).to(last.dtype)
            share = 1 / (size - 1)  # of a cell's loss, a pair; each pair counts for both of its cells
            losses = (short + short.transpose(1, 2)).sum(dim=2, keepdim=True).mul_(share)
            return losses, (wrong.transpose(1, 2) - wrong).sum(dim=2, keepdim=True).mul_(2 * share / size)
        if not self.config.squashed:
            error = last.sub_(targets)
            return error.square(), error * (2 / size)
        low, high = SQUASHED_TO
        share, width = torch.sigmoid(last), (high - low) / self.config.label_std
        error = share * width + (low - self.config.label_mean) / self.config.label_std - targets
        return error.square(), error * share * (1 - share) * (2 * width / size)
