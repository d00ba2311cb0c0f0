"""Files of weights of either predictor: what is not as it was written, or cannot be, is refused in one line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from nplib.errors import UserError
from nplib.gp import GPConfig, fit_gps, load_gp, save_gp
from nplib.predictor import BadWeights, Predictor, PredictorConfig, load_predictor, save_predictor

GCN = PredictorConfig(hidden=8, layers=2, head=4)
BAG = GPConfig(members=2, feature_sets=(("paths", "longest_path"), ("paths", "channels_maxpool")), iterations=2)


@pytest.fixture(scope="module")
def written(small_surrogate, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    save_predictor(folder / "gcn.safetensors", Predictor(GCN, 0))
    cells = small_surrogate.cells[:40]
    fit = fit_gps(cells, small_surrogate.accuracy_labels()[:40], [0], BAG)
    save_gp(folder / "gp.safetensors", fit.predictors[0])
    return {kind: folder / f"{kind}.safetensors" for kind in ("gcn", "gp")}


LOAD: dict[str, Callable] = {"gcn": load_predictor, "gp": load_gp}


def contents(path: Path) -> tuple[dict, dict]:
    with safe_open(path, "pt") as file:
        about, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del about["digest"]  # so that what is wrong is seen, and not that something was changed
    return about, tensors


def refused(kind: str, path: Path, message: str = "") -> None:
    with pytest.raises(BadWeights, match=message) as caught:
        LOAD[kind](path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


# Tensors


def every(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable:
    return lambda tensors, name: tensors.update({name: change(tensors[name])})


def put(value: float) -> Callable:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.clone()
        tensor.flatten()[0] = value
        return tensor

    return every(change)


TENSOR_CHANGES = {
    "missing": lambda tensors, name: tensors.pop(name),
    "another": lambda tensors, name: tensors.update({"another": torch.zeros(1)}),
    "renamed": lambda tensors, name: tensors.update({name + "x": tensors.pop(name)}),
    "bool": every(lambda tensor: tensor.bool()),
    "half": every(lambda tensor: tensor.half()),
    "wide": every(lambda tensor: tensor.to(torch.int32)),
    "empty": every(lambda tensor: tensor[:0]),
    "longer": every(lambda tensor: torch.cat([tensor, tensor[:1]])),
    "deeper": every(lambda tensor: tensor[None].clone()),
    "scalar": every(lambda tensor: tensor.flatten()[0].clone()),
}


@pytest.mark.parametrize("change", TENSOR_CHANGES)
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("gcn", "gcn.0.weight1"),
        ("gcn", "gcn.1.weight2"),
        ("gcn", "fc2.weight"),
        *(("gp", name) for name in ("rows", "labels", "columns.0", "parameters.1")),
    ],
)
def test_a_tensor_of_another_kind_is_refused(written, tmp_path, kind, name, change):
    about, tensors = contents(written[kind])
    TENSOR_CHANGES[change](tensors, name)
    save_file(tensors, tmp_path / "x.safetensors", about)
    refused(kind, tmp_path / "x.safetensors", "its tensors do not fit its configuration")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("kind", "name"), [("gcn", "fc1.weight"), ("gp", "rows"), ("gp", "labels"), ("gp", "parameters.0")]
)
def test_a_number_that_is_not_finite_is_refused(written, tmp_path, kind, name, value):
    about, tensors = contents(written[kind])
    put(value)(tensors, name)
    save_file(tensors, tmp_path / "x.safetensors", about)
    refused(kind, tmp_path / "x.safetensors", f"tensor {name} holds -?(nan|inf)")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("columns.0", put(-1), "columns.0 are"),
        ("columns.0", put(3), "columns.0 are"),
        ("columns.0", every(lambda tensor: tensor * 0), "columns.0 are"),
        ("labels", put(94.2), "no fractions"),
        ("labels", put(-0.1), "no fractions"),
        ("labels", every(lambda tensor: tensor * 0), "all alike"),
        ("parameters.0", put(1e3), "parameters.0 go beyond"),
        ("parameters.1", put(-1e300), "parameters.1 go beyond"),
    ],
)
def test_a_value_of_a_bag_that_cannot_be_is_refused(written, tmp_path, name, change, message):
    about, tensors = contents(written["gp"])
    change(tensors, name)
    save_file(tensors, tmp_path / "x.safetensors", about)
    refused("gp", tmp_path / "x.safetensors", message)


@pytest.mark.parametrize("name", ["nan_weight", "bool"])
def test_weights_that_once_predicted_nonsense_are_refused(shared, name):
    refused("gcn", shared / "faults" / f"{name}.safetensors", "tensor fc2.weight holds nan|gcn.0.weight1 has .*bool")


# Configurations

DEEP = "[" * 5000 + "]" * 5000
CONFIGS = [
    *(
        ("gcn", name, value)
        for name in ("hidden", "layers", "head")
        for value in (0, -1, 2.0, True, "8", None, [8], 10**9)
    ),
    *(
        ("gcn", name, value)
        for name in ("label_mean", "label_std", "dropout")
        for value in (np.nan, np.inf, -1, 94.2, "x")
    ),
    *(("gcn", "label_mean", value) for value in (10**400, True, {"a": 1})),
    *(("gcn", "squashed", value) for value in (1, "false", None)),
    ("gcn", "beauty", 1),
    *(("gp", "members", value) for value in (0, 3, 10**9, 2.0, True, None)),
    *(("gp", "iterations", value) for value in (0, 1.5, "x")),
    *(("gp", "feature_sets", value) for value in ([], "paths", [["beauty"]], [[1]], [["paths"], []], {"a": 1})),
    *(("gp", "targets", value) for value in ([], ["beauty"], "log_gap", [1])),
    *(("gp", "column_share", value) for value in (0, 2, np.nan, "x")),
    *(("gp", "priors", value) for value in (None, {}, [], {"noise": 1}, 3)),
]


@pytest.mark.parametrize(("kind", "name", "value"), CONFIGS)
def test_a_setting_that_cannot_be_is_refused(written, tmp_path, kind, name, value):
    about, tensors = contents(written[kind])
    key = {"gcn": "config", "gp": "gp"}[kind]
    about[key] = json.dumps(json.loads(about[key]) | {name: value})
    save_file(tensors, tmp_path / "x.safetensors", about)
    refused(kind, tmp_path / "x.safetensors", "configuration")


@pytest.mark.parametrize("kind", ["gcn", "gp"])
@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "1", DEEP, '{"hidden": 8, "hidden": 9}', '{"a": NaN}', "\ud800x"[1:]]
)
def test_a_configuration_that_is_none_is_refused(written, tmp_path, kind, text):
    about, tensors = contents(written[kind])
    about[{"gcn": "config", "gp": "gp"}[kind]] = text
    save_file(tensors, tmp_path / "x.safetensors", about)
    refused(kind, tmp_path / "x.safetensors", "configuration")


@pytest.mark.parametrize("seed", ["", "-1", "1.5", "x", "\u0661", "9" * 5000])
def test_a_seed_that_is_none_is_refused(written, tmp_path, seed):
    about, tensors = contents(written["gp"])
    save_file(tensors, tmp_path / "x.safetensors", about | {"seed": seed})
    refused("gp", tmp_path / "x.safetensors", "the seed is")


# Files


@pytest.mark.parametrize("kind", ["gcn", "gp"])
def test_the_same_predictor_is_the_same_bytes(written, tmp_path, kind):
    predictor = LOAD[kind](written[kind])
    save = {"gcn": save_predictor, "gp": save_gp}[kind]
    for number in range(5):
        save(tmp_path / f"{number}.safetensors", predictor)
        assert (tmp_path / f"{number}.safetensors").read_bytes() == written[kind].read_bytes()


@pytest.mark.parametrize("kind", ["gcn", "gp"])
def test_weights_without_a_digest_are_read(written, tmp_path, kind):
    about, tensors = contents(written[kind])
    save_file(tensors, tmp_path / "x.safetensors", about)
    assert LOAD[kind](tmp_path / "x.safetensors").config == LOAD[kind](written[kind]).config


@pytest.mark.parametrize("kind", ["gcn", "gp"])
def test_no_flipped_bit_and_no_cut_gives_other_predictions_in_silence(written, tmp_path, kind, small_surrogate):
    data = written[kind].read_bytes()
    cells = small_surrogate.cells[:20]
    wanted = LOAD[kind](written[kind]).predict(cells)
    path = tmp_path / "x.safetensors"
    rng = np.random.default_rng(0)
    header = 8 + int.from_bytes(data[:8], "little")
    bits = [*rng.integers(0, 8 * len(data), 150), *rng.integers(0, 8 * header, 150)]
    harmed = [data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :] for bit in bits]
    harmed += [data[:length] for length in rng.integers(0, len(data), 30)] + [data + b"x"]
    taken = 0
    for content in harmed:
        path.write_bytes(content)
        try:
            predicted = LOAD[kind](path).predict(cells)
        except UserError as error:
            assert "\n" not in str(error)
        else:
            taken += 1
            assert np.array_equal(predicted, wanted)
    assert taken < 10  # a blank of the header may become another one


@pytest.mark.parametrize("kind", ["gcn", "gp"])
def test_what_is_no_file_is_refused_at_once(tmp_path, kind):
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path / "none", "does not exist"),
        (tmp_path, "is no file"),
        (tmp_path / "pipe", "is no file"),
    ):
        refused(kind, path, message)
