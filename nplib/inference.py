"""Predictions for many cells: the predictor without dropout, arranged so that little is computed twice.

After one convolution a vertex knows only its neighbours, so that of the three million vertices of all cells only some
twelve thousand differ. The first convolution and the product that begins the second are computed for these alone.
:class:`nplib.predictor.Predictor` says what is computed, and tests hold both equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nplib.parallel import map_on_cores

if TYPE_CHECKING:
    from nplib.predictor import DirectedGraphConvolution, Graphs, Predictor


@torch.inference_mode()
def predict_outputs(predictor: Predictor, graphs: Graphs, batch_size: int) -> Tensor:
    """Outputs of a predictor with dropout off, shape (N,), on the device of the graphs.

    Parameters
    ----------
    predictor : Predictor
    graphs : Graphs
    batch_size : int
        Cells computed at a time, on every core.
    """
    first, *others = predictor.gcn
    reads, which = graphs.distinct_reads
    states = (reads[0] @ first.weight1).relu_().add_((reads[1] @ first.weight2).relu_())  # (D, H)
    # Means are taken as sums here, and halved once for all layers: halving is exact.
    scale = 0.5 ** len(predictor.gcn)
    if not others:
        table, wide = states, []
    else:
        wide = [_both_weights(convolution) for convolution in others]
        table = states @ wide[0]  # (D, 2H)

    def outputs(start: int) -> Tensor:
        part = slice(start, start + batch_size)
        hidden = torch.nn.functional.embedding(which[part], table)  # (B, V, 2H), or (B, V, H) of a single layer
        for k in range(len(wide)):
            mixed = hidden if k == 0 else hidden @ wide[k]
            along, against = mixed.chunk(2, dim=-1)
            hidden = torch.bmm(graphs.propagation[0, part], along).relu_()
            hidden.add_(torch.bmm(graphs.propagation[1, part], against).relu_())  # (B, V, H)
        pooled = hidden.sum(dim=1).mul_(scale).div_(graphs.num_vertices[part, None])
        return predictor.fc2(predictor.fc1(pooled))[:, 0]

    parts = map_on_cores(torch.inference_mode()(outputs), range(0, len(graphs), batch_size), graphs.nodes.device)
    return torch.cat(parts) if parts else torch.empty(0)


def _both_weights(convolution: DirectedGraphConvolution) -> Tensor:
    return torch.cat([convolution.weight1, convolution.weight2], dim=1)  # (H, 2H)
