"""Files of weights, of either kind of predictor: one way to write them, and one check of every field and tensor."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import typing
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from nplib._files import expand, replacing
from nplib.errors import UserError

T = TypeVar("T")
LARGEST = 2**31  # no count in a configuration is as large


class BadWeights(UserError):
    """A file of weights cannot be used."""


def write_weights(
    target: str | os.PathLike, about: Mapping[str, str], tensors: Mapping[str, Tensor], overwrite: bool = False
) -> None:
    """Write tensors as safetensors, with what the file is to say of itself and a digest of both.

    The same values give the same bytes. Raises what :func:`nplib._files.replacing` raises.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = safetensors.torch.save(tensors, {**about, "digest": _digest(about, tensors)})
    # The library writes what a file says of itself in an order of chance.
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with replacing(target, overwrite, len(data)) as partial:
        partial.write_bytes(len(header).to_bytes(8, "little") + header + data[end:])


def read_weights(path: str | os.PathLike, remedy: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """What a file of weights says of itself, and its tensors by name, all of them finite.

    Raises:
        BadWeights: If it cannot be read, a number is not finite, or its digest is another than it states; the message
            ends with the remedy.
    """
    path = expand(path)
    if not path.is_file():
        found = "is no file" if path.exists() else "does not exist"
        raise BadWeights(f"{path}: cannot be read as safetensors, since it {found}; {remedy}")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            about = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        raise BadWeights(f"{path}: cannot be read as safetensors ({error}); {remedy}") from None
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            wrong = tensor.flatten()[~torch.isfinite(tensor.flatten())]
            raise BadWeights(f"{path}: tensor {name} holds {wrong[0].item()} ({len(wrong)} such numbers); {remedy}")
    stated = about.pop("digest", None)
    if stated is not None and stated != _digest(about, tensors):
        raise BadWeights(f"{path}: is not as it was written: its digest is another than it states; {remedy}")
    return about, tensors


def _digest(about: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(dict(about), sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()


def check_tensors(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, tuple[tuple[int, ...], torch.dtype]], place: str
) -> None:
    """Hold tensors against the shape and type that a configuration asks for.

    Raises:
        BadWeights:
    """
    if odd := sorted(set(tensors) ^ set(wanted)):
        raise BadWeights(f"{place}: its tensors do not fit its configuration: missing or unknown: {', '.join(odd)}")
    for name, (shape, dtype) in wanted.items():
        found = tensors[name]
        if tuple(found.shape) != shape or found.dtype != dtype:
            raise BadWeights(
                f"{place}: its tensors do not fit its configuration: {name} has shape {tuple(found.shape)} and type "
                f"{found.dtype}, not {shape} and {dtype}"
            )


def read_config(cls: type[T], text: str, place: str, later: Collection[str] = ()) -> T:
    """A configuration from JSON: every field of the type that its class declares, and no others.

    Args:
        place (str): For errors.
        later (collection of str): Fields that files may lack, since they are older.

    Raises:
        BadWeights:
    """
    try:
        return _made(cls, json.loads(text, object_pairs_hook=_once, parse_constant=_no_number), "", later)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BadWeights(f"{place}: its configuration cannot be used: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"it gives a field twice: {', '.join(name for name, _ in pairs)}")
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"it holds {name}, which is no number")


def _made(cls: type[T], values: Any, name: str, later: Collection[str] = ()) -> T:
    known = typing.get_type_hints(cls)
    names = {field.name for field in dataclasses.fields(cls)}
    if not isinstance(values, dict) or not names - set(later) <= set(values) <= names:
        found = sorted(values) if isinstance(values, dict) else values
        raise ValueError(f"{name or 'it'} gives {_short(found)}, not {', '.join(sorted(names))}")
    return cls(**{field: _typed(known[field], value, field) for field, value in values.items()})


def _typed(hint: Any, value: Any, name: str) -> Any:
    """A value from JSON as its field declares it."""
    if dataclasses.is_dataclass(hint):
        return _made(hint, value, name)
    if typing.get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_typed(typing.get_args(hint)[0], item, name) for item in value)
    if hint is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if (hint is int and type(value) is int and abs(value) < LARGEST) or (hint in (bool, str) and type(value) is hint):
        return value
    raise ValueError(f"{name} is {_short(value)}, which is no {getattr(hint, '__name__', hint)} that it could be")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]} ..."
