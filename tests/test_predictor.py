"""The predictor equals the reference's to the letter, and its files come back as they were."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from nplib._devices import map_on_cores, tiny_is_zero
from nplib._files import TargetExists
from nplib._stacked import RANKING_MARGIN, Masks, StackedPredictors, make_batches
from nplib.cell import CONV1X1, CONV3X3, INPUT, MAXPOOL3X3, OUTPUT, Cell, Cells
from nplib.errors import UserError
from nplib.predictor import (
    CELLS_AT_A_TIME,
    BadWeights,
    Graphs,
    Predictor,
    PredictorConfig,
    load_predictor,
    save_predictor,
)

SMALL = PredictorConfig(hidden=12, layers=2, head=8)


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "golden" / "gcn_forward.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def reference(golden):
    """A predictor with the reference's weights, and its graphs."""
    predictor = Predictor(PredictorConfig(dropout=0))
    weights = {name.removeprefix("weight/"): golden[name] for name in golden if name.startswith("weight/")}
    predictor.load_state_dict({name: torch.tensor(weight) for name, weight in weights.items()})
    return predictor, Graphs.of(Cells(golden["num_vertices"], golden["adjacency"], golden["operations"]))


def assert_close(ours, theirs):
    """Within 1e-5 of the largest value."""
    assert np.abs(np.asarray(ours) - theirs).max() <= 1e-5 * np.abs(theirs).max()


def test_state_has_the_names_and_shapes_of_the_reference(golden):
    state = Predictor().state_dict()
    theirs = {name.removeprefix("weight/"): golden[name].shape for name in golden if name.startswith("weight/")}
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == theirs


def test_outputs_loss_and_gradients_equal_the_reference(golden, reference):
    predictor, graphs = reference
    outputs = predictor(graphs)
    assert_close(outputs.detach(), golden["output"])
    loss = torch.nn.functional.mse_loss(outputs, torch.tensor(golden["target"]))
    assert_close(loss.detach(), golden["loss"])
    predictor.zero_grad()
    loss.backward()
    for name, parameter in predictor.named_parameters():
        assert_close(parameter.grad, golden[f"grad/{name}"])


def test_stacked_gradients_equal_the_reference_beside_another_model(golden, reference):
    predictor, graphs = reference
    stack = StackedPredictors([Predictor(predictor.config, 1), predictor])
    cells = torch.arange(64).flip(0).repeat(2, 2, 1)  # by model and step
    cells[1, 1] = torch.arange(64)
    _, batch = make_batches(graphs, cells, torch.tensor(golden["target"]))
    losses = stack.set_gradient(batch, None)
    assert_close(losses[1].mean(), golden["loss"])
    for k, grads in enumerate(stack.convolution_grads):
        assert_close(grads[0, 1], golden[f"grad/gcn.{k}.weight1"])
        assert_close(grads[1, 1], golden[f"grad/gcn.{k}.weight2"])
    assert_close(stack.fc1_grad[1].T, golden["grad/fc1.weight"])
    assert_close(stack.fc2_grad[1].T, golden["grad/fc2.weight"])


def mean_pair_loss(outputs, targets):
    """The mean over all pairs of what the better cell's output lacks to be a margin above the other's."""
    pairs = [(i, j) for i in range(len(targets)) for j in range(len(targets)) if targets[i] > targets[j]]
    losses = [torch.relu(RANKING_MARGIN - (outputs[i] - outputs[j])) for i, j in pairs]
    return torch.stack(losses).sum() / (len(targets) * (len(targets) - 1) / 2)


@pytest.mark.parametrize(
    ("config", "loss"),
    [
        (SMALL, "mse"),
        (replace(SMALL, squashed=True), "mse"),
        (replace(SMALL, label_mean=0.0, label_std=1.0), "cross_entropy"),
        (SMALL, "ranking"),
    ],
    ids=["plain", "squashed", "classifier", "ranking"],
)
def test_stacked_gradients_with_dropout_equal_autograd(space, config, loss):
    rows = np.arange(40_000, 40_010)
    graphs = Graphs.of(space.cells[rows])
    predictor = Predictor(config, 3)
    stack = StackedPredictors([predictor])
    generator = torch.Generator().manual_seed(0)
    kept = [(torch.rand(1, 70, 12, generator=generator) > 0.3).float() for _ in range(2)]
    head_kept = (torch.rand(1, 10, 8, generator=generator) > 0.3).float()
    targets = torch.randn(1, 10, generator=generator)
    if loss == "cross_entropy":
        targets = (targets > 0).float()
    if loss == "ranking":
        targets[0, 1] = targets[0, 0]  # equal cells are no pair
    (batch,) = make_batches(graphs, torch.arange(10)[None, None], targets[0])
    losses = stack.set_gradient(batch, Masks([k / 1.4 for k in kept], head_kept / 0.7), loss)

    hidden = graphs.nodes
    for layer, mask in zip(predictor.gcn, kept, strict=True):
        both = [
            torch.relu(matrix @ hidden @ weight)
            for matrix, weight in zip(graphs.propagation, (layer.weight1, layer.weight2), strict=True)
        ]
        hidden = (both[0] / 2 + both[1] / 2) * mask.view(10, 7, 12) / 0.7
    head = predictor.fc1(hidden.sum(1) / graphs.num_vertices[:, None]) * head_kept[0] / 0.7
    outputs = predictor.squash(predictor.fc2(head)[:, 0])
    named = {
        "mse": nn.functional.mse_loss,
        "cross_entropy": nn.functional.binary_cross_entropy_with_logits,
        "ranking": mean_pair_loss,
    }
    expected = named[loss](outputs, targets[0])
    expected.backward()
    assert_close(losses.mean(), expected.detach().numpy())
    for k, layer in enumerate(predictor.gcn):
        assert_close(stack.convolution_grads[k][0, 0], layer.weight1.grad.numpy())
        assert_close(stack.convolution_grads[k][1, 0], layer.weight2.grad.numpy())
    assert_close(stack.fc1_grad[0].T, predictor.fc1.weight.grad.numpy())
    assert_close(stack.fc2_grad[0].T, predictor.fc2.weight.grad.numpy())


def test_squashed_predictions_lie_between_10_and_100_percent(space):
    rows = np.arange(0, 400_000, 4_000)
    graphs = Graphs.of(space.cells[rows])
    predictor = Predictor(replace(SMALL, squashed=True), 0).eval()
    plain = Predictor(SMALL)
    plain.load_state_dict(predictor.state_dict())
    for scale in (1.0, 1e4, -1e4):
        with torch.no_grad():
            predictor.fc2.weight.copy_(scale * plain.fc2.weight)
        predictions = predictor.predict(graphs)
        assert predictions.min() >= 0.1 - 1e-6 and predictions.max() <= 1 + 1e-6
        with torch.inference_mode():
            np.testing.assert_allclose(predictor(graphs) * 0.023961 + 0.908192, predictions, atol=1e-5)
        last = scale * (plain.predict(graphs) - 0.908192) / 0.023961
        np.testing.assert_allclose(predictions, 0.1 + 0.9 / (1 + np.exp(-last)), atol=1e-5)


def output_without_padding(predictor, cell):
    """What the formulas of the paper give for one cell, in float64 and on its own vertices only."""
    weights = {name: tensor.double().numpy() for name, tensor in predictor.state_dict().items()}
    loops = cell.matrix + np.eye(cell.num_vertices)
    normalized = loops / loops.sum(1, keepdims=True)
    backward = normalized.T / normalized.T.sum(1, keepdims=True)
    hidden = np.eye(5)[cell.codes + 2]
    for k in range(predictor.config.layers):
        along = np.maximum(normalized @ hidden @ weights[f"gcn.{k}.weight1"], 0)
        against = np.maximum(backward @ hidden @ weights[f"gcn.{k}.weight2"], 0)
        hidden = along / 2 + against / 2
    return weights["fc2.weight"] @ weights["fc1.weight"] @ hidden.mean(0)


@pytest.mark.parametrize("index", [0, 4, 60, 1_000, 50_000, 400_000])
def test_padding_cannot_change_a_prediction(space, index):
    predictor = Predictor(PredictorConfig(), 0).eval()
    cell = space.cell(index)
    graphs = Graphs.of(Cells.of([cell]))
    with torch.inference_mode():
        output = predictor(graphs)
    np.testing.assert_allclose(output, output_without_padding(predictor, cell), rtol=1e-4)


def test_what_stands_in_the_padding_is_not_read():
    cell = Cell([[0, 1, 0], [0, 0, 1], [0, 0, 0]], [INPUT, MAXPOOL3X3, OUTPUT])
    cells = Cells.of([cell])
    operations = cells.operations.copy()
    operations[:, 3:] = 1
    other = Cells(cells.num_vertices, cells.adjacency, operations)
    predictor = Predictor()
    ours, theirs = (predictor.predict(of) for of in (cells, other))
    assert ours == theirs


def test_a_relabelled_cell_has_the_same_prediction():
    first = Cell([[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]], [INPUT, CONV3X3, CONV1X1, OUTPUT])
    second = Cell(first.matrix, [INPUT, CONV1X1, CONV3X3, OUTPUT])
    predictions = Predictor(PredictorConfig(), 0).predict(Cells.of([first, second]))
    np.testing.assert_allclose(predictions[0], predictions[1], rtol=1e-7)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_predictions_are_the_outputs_as_fractions_whatever_the_batch(space, layers):
    rows = np.arange(0, 400_000, 4_001)
    graphs = Graphs.of(space.cells[rows])
    predictor = Predictor(PredictorConfig(layers=layers), 0)
    predictor.train()
    predictions = predictor.predict(graphs)
    assert predictions.shape == (100,) and predictions.dtype == np.float64
    assert predictor.training, "predict leaves the mode as it was"
    np.testing.assert_allclose(predictions, predictor.predict(graphs, batch_size=7), rtol=1e-6)
    with torch.inference_mode():
        outputs = predictor.eval()(graphs).double().numpy()
    np.testing.assert_allclose(predictions, outputs * 0.023961 + 0.908192, rtol=1e-6)
    assert predictor.predict(graphs[:0]).shape == (0,)


def test_each_vertex_has_the_row_that_it_reads_and_hardly_any_comes_twice(space):
    graphs = Graphs.of(space.cells[::40])
    rows, which = graphs.distinct_reads
    assert len(graphs) > CELLS_AT_A_TIME and which.shape == (len(graphs), 7)
    assert torch.equal(rows[:, which.flatten()], graphs.reads.flatten(1, 2))
    # At the end of a part a product may be rounded in another way, and its row be there twice.
    assert rows.shape[1] < 1.02 * torch.unique(rows, dim=1).shape[1] < 0.1 * which.numel()


def test_weights_near_zero_count_as_zero_and_change_nothing(space):
    """Weight decay leaves numbers below the least normal one, with which processors are slow."""
    predictor = Predictor(SMALL, 0).eval()
    with torch.no_grad():
        for convolution in predictor.gcn:
            convolution.weight1[0], convolution.weight2[:, 1] = 1e-39, -3e-42
    cells = space.cells[np.arange(0, 400_000, 4_001)]
    with torch.inference_mode():
        outputs = predictor(Graphs.of(cells)).double().numpy()
    np.testing.assert_allclose(predictor.predict(cells), outputs * 0.023961 + 0.908192, rtol=1e-6)
    twice = map_on_cores(lambda value: (torch.full((2,), value) * 2).max().item(), [1e-39, 1e-37], torch.device("cpu"))
    assert twice[0] == 0 and twice[1] > 0
    assert (torch.full((2,), 1e-39) * 2).max() > 0, "the caller's thread counts as before"


@pytest.mark.parametrize("before", [False, True])
def test_a_thread_that_is_not_ours_counts_as_before_afterwards(before):
    def is_zero() -> bool:
        return (torch.full((2,), 1e-39) * 2).max().item() == 0

    torch.set_flush_denormal(before)
    try:
        with tiny_is_zero():
            assert is_zero()
        assert is_zero() == before
    finally:
        torch.set_flush_denormal(False)


def test_seeds_decide_the_weights_and_leave_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (Predictor(SMALL, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    "change", [{"hidden": 0}, {"layers": 0}, {"head": -1}, {"dropout": 1.0}, {"label_std": 0.0}], ids=str
)
def test_impossible_configurations_are_refused(change):
    with pytest.raises(UserError, match=next(iter(change))):
        replace(PredictorConfig(), **change)


def test_saved_predictors_come_back_by_name(tmp_path):
    predictor = Predictor(replace(SMALL, label_mean=0.9), 7)
    path = tmp_path / "predictor.safetensors"
    save_predictor(path, predictor)
    loaded = load_predictor(path)
    assert loaded.config == predictor.config
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in predictor.state_dict().items())
    with pytest.raises(TargetExists):
        save_predictor(path, predictor)
    save_predictor(path, predictor, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["predictor.safetensors"]


def test_a_file_from_before_outputs_could_be_squashed_is_read(tmp_path):
    path = tmp_path / "old.safetensors"
    predictor = Predictor(SMALL, 7)
    settings = asdict(SMALL)
    del settings["squashed"]
    save_file(
        {name: t.contiguous() for name, t in predictor.state_dict().items()}, path, {"config": json.dumps(settings)}
    )
    assert load_predictor(path).config == SMALL
    squashed = Predictor(replace(SMALL, squashed=True))
    save_predictor(path, squashed, overwrite=True)
    assert load_predictor(path).config == squashed.config


def test_files_that_are_no_predictor_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    with pytest.raises(BadWeights, match=r"weights\.safetensors"):
        load_predictor(path)
    path.write_bytes(b"\x80\x04 no safetensors")
    with pytest.raises(BadWeights, match="safetensors"):
        load_predictor(path)
    state = {name: tensor.contiguous() for name, tensor in Predictor(SMALL).state_dict().items()}
    save_file(state, path)
    with pytest.raises(BadWeights, match="no predictor configuration"):
        load_predictor(path)
    save_file(state, path, metadata={"config": json.dumps({"hidden": 12})})
    with pytest.raises(BadWeights, match="configuration cannot be used"):
        load_predictor(path)
    save_file(state, path, metadata={"config": json.dumps(asdict(replace(SMALL, hidden=13)))})
    with pytest.raises(BadWeights, match="do not fit"):
        load_predictor(path)
