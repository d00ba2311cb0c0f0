"""What decides an executed notebook, so that it runs again when that changes, and only then."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from modulefinder import ModuleFinder
from pathlib import Path

import nplib
from nplib._files import FITS, sha256_of
from nplib.publish.notebooks import Notebook

# Whose change can change a figure, beside Python itself.
VERSIONS_OF = (
    "numpy", "scipy", "pandas", "scikit-learn", "h5py", "numba", "torch", "joblib", "matplotlib", "seaborn",
    "matplotlib-inline", "ipykernel", "myst-nb",
)  # fmt: skip


def inputs_of(notebook: Notebook, parameters: Mapping[str, object], data: Mapping[str, object]) -> dict[str, object]:
    """Everything that decides what a notebook shows, by the name that a reader would call it, of what JSON can hold.

    Args:
        notebook (Notebook): Its cells count, not its outputs or metadata.
        parameters (mapping): Value by name, as the notebook is given them.
        data (mapping): What tells the data from other data; counts if the notebook takes data.
    """
    code = "\n".join(source for kind, source in notebook.cells if kind == "code")
    return {
        "cells": hashlib.sha256(json.dumps(notebook.cells).encode()).hexdigest(),
        "parameters": dict(parameters),
        **code_digests(code),
        "data": dict(data) if "data" in notebook.parameters else {},
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in VERSIONS_OF},
        # Other settings do not reach a kernel's figures. What is in the cache can be made anew, and is the same.
        "environment": {
            name: [value, state_of(Path(value)) if Path(value).is_file() else {}]
            for name, value in sorted(os.environ.items())
            if name == "CUDA_VISIBLE_DEVICES" or (name.startswith("NPLIB_") and name not in ("NPLIB_CACHE", FITS))
        },
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def state_of(path: Path) -> dict[str, object]:
    """What tells a file from another without reading it: place, size and time of change."""
    status = path.stat()
    return {"path": str(path.resolve()), "bytes": status.st_size, "changed": status.st_mtime_ns}


def code_digests(code: str, package: Path = Path(nplib.__file__).parent) -> dict[str, str]:
    """SHA-256 of all that some code can reach in a package, directly or through other modules, by wing.

    A wing is a folder or a module at the top of the package, ``nplib.gp`` for instance. Files beside a module that are
    no code, such as tables, belong to it. Code that cannot be read counts as reaching everything.
    """
    finder = ModuleFinder([str(package.parent)])
    try:
        finder.scan_code(compile(code, "notebook", "exec"), finder.add_module("notebook"))
        faces: set[str] = set()
        while found := _lazy_faces(finder, package.name) - faces:
            faces |= found
            for face in found - {package.name}:
                for path in package.parent.joinpath(*face.split(".")).glob("*.py"):
                    finder.import_hook(f"{face}.{path.stem}".removesuffix(".__init__"))
        files = {Path(module.__file__) for module in finder.modules.values() if module.__file__}
        unknown = package.name in faces
    except SyntaxError:  # a line for IPython, such as %timeit
        files, unknown = set(), True
    if unknown:
        files = set(package.rglob("*.py"))
    for folder in {path.parent for path in files}:
        files |= {path for path in folder.iterdir() if path.is_file() and path.suffix not in (".py", ".pyc")}
    wings: dict[str, str] = {}
    for path in sorted(files):
        wing = ".".join((package.name, *path.relative_to(package).parts[:1])).removesuffix(".py")
        wings[wing] = wings.get(wing, "") + f"{path.relative_to(package)} {sha256_of(path)}\n"
    return {wing: hashlib.sha256(listed.encode()).hexdigest() for wing, listed in wings.items()}


def _lazy_faces(finder: ModuleFinder, package: str) -> set[str]:
    """Packages asked for names that none of their own lines set: they find them when they are asked."""
    missing, maybe = finder.any_missing_maybe()
    return {name.rpartition(".")[0] for name in [*missing, *maybe] if name.startswith(f"{package}.")}
