"""Flip single random bits of a file and count how many openings silently give other results.

    python benchmarks/flip_bits.py BENCHMARK.hdf5 --flips 3000    # or splits (.npz), weights (.safetensors), records

Each damaged copy is opened in a process that is reused until a file ends it, so that crashes and hangs count too.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from nplib._files import read_arrays
from nplib._layout import ATTRIBUTES, LAYOUT, attribute
from nplib._weights import read_weights
from nplib.benchmark import Benchmark
from nplib.convert import convert_tfrecord
from nplib.errors import UserError

TIMEOUT = 20.0  # seconds after which an opening counts as hanging


def converted(path: Path) -> Benchmark:
    """What records become, but for what is said of their file."""
    with tempfile.TemporaryDirectory() as folder:
        convert_tfrecord(path, Path(folder, "x.hdf5"))
        return dataclasses.replace(Benchmark.open(Path(folder, "x.hdf5")), sha256="", source="", path=None)


def contents(path: Path) -> list[tuple]:
    """Everything that a file gives to who opens it."""
    if path.suffix == ".npz":
        arrays, about = read_arrays(path), {}
    elif path.suffix == ".safetensors":
        about, tensors = read_weights(path, "make them anew")
        about = {name: text for name, text in about.items() if name in ("config", "gp", "seed")}  # what is looked at
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    else:
        benchmark = converted(path) if path.suffix == ".tfrecord" else Benchmark.open(path)
        about = {field: getattr(benchmark, field) for field in ATTRIBUTES.values()}
        arrays = {name: getattr(benchmark, attribute(name)) for name in LAYOUT}
    values = [(name, str(array.dtype), array.shape, array.tobytes()) for name, array in sorted(arrays.items())]
    return [*sorted(about.items()), *values]


def outcome_of(path: Path, wanted: list[tuple]) -> str:
    """What opening a file comes to: equal, refused, different, or the name of an error that is no sentence."""
    try:
        return "equal" if contents(path) == wanted else "different"
    except UserError:
        return "refused"
    except Exception as error:
        return f"traceback: {type(error).__name__}"


def serve(pipe: multiprocessing.connection.Connection, path: Path, original: Path) -> None:
    wanted = contents(original)
    while pipe.recv():
        pipe.send(outcome_of(path, wanted))


def flip_bits(original: Path, flips: int, seed: int = 0) -> Counter:
    """Outcomes of so many openings, one flipped bit each."""
    data = original.read_bytes()
    outcomes: Counter = Counter()
    context = multiprocessing.get_context("spawn")
    server = pipe = None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"flipped{original.suffix}")
        for bit in np.random.default_rng(seed).integers(0, 8 * len(data), flips).tolist():
            if server is None:
                pipe, theirs = context.Pipe()
                server = context.Process(target=serve, args=(theirs, path, original), daemon=True)
                server.start()
                theirs.close()
            harmed = bytearray(data)
            harmed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(harmed)
            pipe.send(True)
            try:
                outcome = pipe.recv() if pipe.poll(TIMEOUT) else "hang"
            except EOFError:
                outcome = "crash"
            if outcome in ("hang", "crash"):
                server.kill()
                server = None
            outcomes[outcome] += 1
        if server is not None:
            server.kill()
    return outcomes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--flips", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for outcome, count in flip_bits(arguments.file, arguments.flips, arguments.seed).most_common():
        print(f"{count:6,} {outcome}")
