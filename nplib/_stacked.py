"""Many predictors trained as one: their weights stacked, their gradients written out by hand.

A training step of one small predictor spends most of its time on starting operations. Stacked predictors share each
start, and the hand-written gradient needs half as many; :class:`nplib.predictor.Predictor` says what is computed, and
tests hold the outputs and gradients of both equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
        self.weights.grad = torch.zeros_like(self.weights)
        shapes = [weight.shape for weight in (*pairs, *head)]
        *self.convolutions, self.fc1, self.fc2 = _views(self.weights, shapes)
        *self.convolution_grads, self.fc1_grad, self.fc2_grad = _views(self.weights.grad, shapes)

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
        models, size, _ = batch.targets.shape
        vertices = batch.propagation.shape[-1]
        rows = (models, size * vertices)
        layers = range(len(self.convolutions))
        kept = [0.5] * len(layers) if masks is None else masks.hidden

        hidden = []  # what leaves each layer, (M, BV, H)
        active = []  # both directions before their mean, (2, M, BV, H)
        for k in layers:
            if k == 0:
                spread = torch.bmm(batch.reads, self.convolutions[0].flatten(0, 1))
            else:
                mixed = torch.empty_like(active[0])
                for direction in range(2):
                    torch.bmm(hidden[-1], self.convolutions[k][direction], out=mixed[direction])
                spread = torch.bmm(batch.propagation, mixed.view(-1, vertices, mixed.shape[-1]))
            active.append(spread.relu_().view(2, *rows, -1))
            output = torch.add(active[k][0], active[k][1])
            hidden.append(output.mul_(kept[k]))
        pooled = hidden[-1].view(models, size, vertices, -1).sum(dim=2).div_(batch.num_vertices)  # (M, B, H)
        head = torch.bmm(pooled, self.fc1)  # (M, B, head)
        if masks is not None:
            head.mul_(masks.head)
        losses, d_last = self._losses(torch.bmm(head, self.fc2), batch.targets, loss)  # both (M, B, 1)

        torch.bmm(head.transpose(1, 2), d_last, out=self.fc2_grad)
        d_head = torch.bmm(d_last, self.fc2.transpose(1, 2))
        if masks is not None:
            d_head.mul_(masks.head)
        torch.bmm(pooled.transpose(1, 2), d_head, out=self.fc1_grad)
        d_pooled = torch.bmm(d_head, self.fc1.transpose(1, 2)).div_(batch.num_vertices)  # (M, B, H)
        d_output = d_pooled.unsqueeze(2).expand(-1, -1, vertices, -1).reshape(*rows, -1)
        back = batch.propagation.transpose(1, 2)
        for k in reversed(layers):
            d_output.mul_(kept[k])
            d_spread = torch.ops.aten.threshold_backward(d_output.expand_as(active[k]), active[k], 0)  # (2, M, BV, H)
            if k == 0:
                gradient = self.convolution_grads[0].flatten(0, 1)
                torch.bmm(batch.reads.transpose(1, 2), d_spread.flatten(0, 1), out=gradient)
                break
            d_mixed = torch.bmm(back, d_spread.view(-1, vertices, d_output.shape[-1])).view_as(active[k])
            entered = hidden[k - 1].transpose(1, 2)
            for direction in range(2):
                torch.bmm(entered, d_mixed[direction], out=self.convolution_grads[k][direction])
            along, against = self.convolutions[k]
            torch.bmm(d_mixed[0], along.transpose(1, 2), out=d_output)
            d_output.baddbmm_(d_mixed[1], against.transpose(1, 2))
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
