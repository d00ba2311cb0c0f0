"""Many predictors trained as one: their weights stacked, their gradients written out by hand.

A training step of one small predictor spends most of its time on starting operations. Stacked predictors share each
start, and the hand-written gradient needs half as many; :class:`nplib.predictor.Predictor` says what is computed, and
tests hold the outputs and gradients of both equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nplib.predictor import Graphs, Predictor, PredictorConfig


@dataclass(frozen=True, eq=False)
class Masks:
    """What dropout multiplies by in one step: 0, or 1 / (1 - rate).

    Those of the convolutions are half as large, since a convolution is the mean of two directions.
    """

    hidden: Sequence[Tensor]  # a layer each, (M, B * V, H)
    head: Tensor  # (M, B, head)


class StackedPredictors:
    """M predictors of one configuration.

    Parameters
    ----------
    predictors : sequence of Predictor
        Where the weights start; they are copied.
    device : str or torch.device
    """

    def __init__(self, predictors: Sequence[Predictor], device: str | torch.device = "cpu") -> None:
        self.config: PredictorConfig = predictors[0].config
        self.count = len(predictors)
        states = [predictor.state_dict() for predictor in predictors]

        def stack(name: str) -> Tensor:
            return torch.stack([state[name] for state in states]).to(device)

        layers = range(self.config.layers)
        pairs = [torch.stack([stack(f"gcn.{k}.weight1"), stack(f"gcn.{k}.weight2")]) for k in layers]
        self.convolutions = pairs  # a layer each, (2, M, inputs, H)
        self.fc1 = stack("fc1.weight").transpose(1, 2).contiguous()  # (M, H, head)
        self.fc2 = stack("fc2.weight").transpose(1, 2).contiguous()  # (M, head, 1)
        for parameter in self.parameters():
            parameter.requires_grad_(True)
            parameter.grad = torch.zeros_like(parameter)

    def parameters(self) -> list[Tensor]:
        return [*self.convolutions, self.fc1, self.fc2]

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
    def accumulate_gradient(self, graphs: Graphs, cells: Tensor, targets: Tensor, masks: Masks | None) -> Tensor:
        """Set every ``.grad`` to the gradient of the mean squared error of a batch.

        Parameters
        ----------
        graphs : Graphs
            All cells, on the device.
        cells : Tensor, shape (M, B)
            Which of them are in each predictor's batch.
        targets : Tensor, shape (M, B)
            What the outputs should be.
        masks : Masks, optional
            Dropout of this step; without it nothing is dropped.

        Returns
        -------
        Tensor, shape (M,)
            Mean squared error of each predictor, in the units of its output.
        """
        models, batch = cells.shape
        flat = cells.reshape(-1)
        propagation = graphs.propagation[:, flat].flatten(0, 1)  # (2MB, V, V)
        vertices = propagation.shape[-1]
        sizes = graphs.num_vertices[flat].view(models, batch, 1)
        rows = (models, batch * vertices)

        hidden = [graphs.nodes[flat].view(*rows, -1)]  # what enters each layer, (M, BV, inputs)
        active = []  # both directions after relu, (2, M, BV, H)
        for k, (along, against) in enumerate(self.convolutions):
            width = along.shape[-1]
            mixed = hidden[k].new_empty(2, *rows, width)
            torch.bmm(hidden[k], along, out=mixed[0])
            torch.bmm(hidden[k], against, out=mixed[1])
            spread = torch.bmm(propagation, mixed.view(-1, vertices, width)).relu_().view(2, *rows, width)
            active.append(spread)
            output = torch.add(spread[0], spread[1])
            hidden.append(output.mul_(0.5) if masks is None else output.mul_(masks.hidden[k]))
        pooled = hidden[-1].view(models, batch, vertices, -1).sum(dim=2).div_(sizes)  # (M, B, H)
        head = torch.bmm(pooled, self.fc1)  # (M, B, head)
        if masks is not None:
            head.mul_(masks.head)
        outputs = torch.bmm(head, self.fc2)  # (M, B, 1)

        error = outputs.sub_(targets.unsqueeze(2))
        losses = error.square().mean(dim=(1, 2))
        error.mul_(2 / batch)
        torch.bmm(head.transpose(1, 2), error, out=self.fc2.grad)
        d_head = torch.bmm(error, self.fc2.transpose(1, 2))
        if masks is not None:
            d_head.mul_(masks.head)
        torch.bmm(pooled.transpose(1, 2), d_head, out=self.fc1.grad)
        d_pooled = torch.bmm(d_head, self.fc1.transpose(1, 2)).div_(sizes)  # (M, B, H)
        d_output = d_pooled.unsqueeze(2).expand(-1, -1, vertices, -1).reshape(*rows, -1)
        for k in reversed(range(len(self.convolutions))):
            pair = self.convolutions[k]
            d_output = d_output * (0.5 if masks is None else masks.hidden[k])
            d_spread = torch.ops.aten.threshold_backward(d_output.expand_as(active[k]), active[k], 0)  # (2, M, BV, H)
            d_mixed = torch.bmm(propagation.transpose(1, 2), d_spread.view(-1, vertices, pair.shape[-1]))
            d_mixed = d_mixed.view(2, *rows, -1)
            for direction in range(2):
                torch.bmm(hidden[k].transpose(1, 2), d_mixed[direction], out=pair.grad[direction])
            if k > 0:
                d_output = torch.bmm(d_mixed[0], pair[0].transpose(1, 2))
                d_output.baddbmm_(d_mixed[1], pair[1].transpose(1, 2))
        return losses
