"""What an executed notebook was made from, written beside it, so that it is run again only when that differs."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import nplib
from nplib._files import sha256_of, write_json
from nplib.publish.parameters import Notebook

# Whose change can change a figure, beside Python itself.
VERSIONS_OF = ("numpy", "scipy", "pandas", "h5py", "numba", "torch", "matplotlib", "seaborn", "ipykernel")


@dataclass(frozen=True)
class Stamp:
    """The inputs of an executed copy, and what came of them.

    Parameters
    ----------
    inputs : mapping
        What :func:`inputs_of` gave when it ran.
    executed_sha256 : str
        Of the executed copy.
    results : mapping
        SHA-256 of every file that the notebook wrote into the folder of results, by its path below that.
    seconds : float
        How long it took.
    """

    inputs: Mapping[str, object]
    executed_sha256: str
    results: Mapping[str, str]
    seconds: float

    @classmethod
    def read(cls, path: Path) -> Stamp | None:
        """The stamp in a file; None if there is none that can be used, which only means that the notebook runs."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        write_json(path, asdict(self), overwrite=True)

    def difference(self, inputs: Mapping[str, object], executed: Path, results: Path) -> str:
        """What changed since, in words; empty if a run would give the same again."""
        if not executed.is_file() or sha256_of(executed) != self.executed_sha256:
            return "executed copy changed"
        changed = [name for name in inputs if inputs[name] != self.inputs.get(name)]
        if changed:
            return f"{', '.join(changed)} changed"
        for name, digest in self.results.items():
            if not (results / name).is_file() or sha256_of(results / name) != digest:
                return f"result {name} changed"
        return ""


def inputs_of(
    notebook: Notebook,
    parameters: Mapping[str, object],
    data: Mapping[str, object],
    results: Path,
    own_results: Iterable[str] = (),
) -> dict[str, object]:
    """Everything that decides what a notebook shows, by the name a reader would call it.

    Parameters
    ----------
    notebook : Notebook
        Its cells count, not its outputs or metadata.
    parameters : mapping
        Value by name, as the notebook is given them.
    data : mapping
        What tells the data from other data; counts if the notebook takes data.
    results : Path
        The folder of results; counts if the notebook gathers those of others.
    own_results : iterable of str
        Files in it that the notebook wrote itself.

    Returns
    -------
    dict
        Of what JSON can hold.
    """
    inputs: dict[str, object] = {
        "notebook": hashlib.sha256(json.dumps(notebook.cells).encode()).hexdigest(),
        "parameters": dict(parameters),
        "package": package_digest(),
        "data": dict(data) if "data" in notebook.parameters else {},
        "versions": _versions(),
    }
    if notebook.gathers:
        names = sorted(set(files_in(results)) - set(own_results))
        inputs["results"] = {name: sha256_of(results / name) for name in names}
    return inputs


def package_digest() -> str:
    """SHA-256 over every file of the package."""
    folder = Path(nplib.__file__).parent
    digest = hashlib.sha256()
    for name in sorted(files_in(folder)):
        if "__pycache__" not in name and not os.path.basename(name).startswith("."):
            digest.update(f"{name} {sha256_of(folder / name)}\n".encode())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in VERSIONS_OF:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "none"
    return versions


def files_in(folder: Path) -> dict[str, tuple[int, int]]:
    """Bytes and time of change (ns) of every file in a folder and below, by its path below the folder."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}
