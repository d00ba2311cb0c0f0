"""What decides an executed notebook, so that it runs again when that changes, and only then."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import nplib
from nplib._files import sha256_of
from nplib.publish.notebooks import Notebook

# Whose change can change a figure, beside Python itself.
VERSIONS_OF = (
    "numpy", "scipy", "pandas", "scikit-learn", "h5py", "numba", "torch", "joblib", "matplotlib", "seaborn",
    "matplotlib-inline", "ipykernel", "myst-nb",
)  # fmt: skip
# Of the environment, beside all that begins with NPLIB_. The rest cannot reach a kernel's figures: see kernels.py.
VARIABLES = ("CUDA_VISIBLE_DEVICES",)
PACKAGE = Path(nplib.__file__).parent


def inputs_of(notebook: Notebook, parameters: Mapping[str, object], data: Mapping[str, object]) -> dict[str, object]:
    """Everything that decides what a notebook shows, by the name that a reader would call it, of what JSON can hold.

    Parameters
    ----------
    notebook : Notebook
        Its cells count, not its outputs or metadata.
    parameters : mapping
        Value by name, as the notebook is given them.
    data : mapping
        What tells the data from other data; counts if the notebook takes data.
    """
    return {
        "cells": hashlib.sha256(json.dumps(notebook.cells).encode()).hexdigest(),
        "parameters": dict(parameters),
        **code_digests("\n".join(source for kind, source in notebook.cells if kind == "code")),
        "data": dict(data) if "data" in notebook.parameters else {},
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in VERSIONS_OF},
        "environment": {name: _setting(value) for name, value in sorted(os.environ.items()) if _counts(name)},
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _counts(name: str) -> bool:
    # What is in the cache can be made anew, and is the same.
    return name in VARIABLES or (name.startswith("NPLIB_") and name != "NPLIB_CACHE")


def _setting(value: str) -> object:
    return [value, state_of(Path(value))] if Path(value).is_file() else value


def state_of(path: Path) -> dict[str, object]:
    """What tells a file from another without reading it: place, size and time of change."""
    status = path.stat()
    return {"path": str(path.resolve()), "bytes": status.st_size, "changed": status.st_mtime_ns}


def code_digests(code: str, package: Path = PACKAGE) -> dict[str, str]:
    """SHA-256 of all that some code can reach in the package, directly or through other modules, by wing.

    Parameters
    ----------
    code : str
        Python; what cannot be read counts as reaching everything.
    package : Path
        The package's folder. Files beside a module that are no code, such as tables, belong to it.

    Returns
    -------
    dict
        By dotted name of the wing, ``nplib.gp`` for instance; modules at the top are wings of their own.
    """
    root = package.parent
    modules = {".".join(path.relative_to(root).with_suffix("").parts): path for path in package.rglob("*.py")}
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    reached: set[str] = set()
    try:
        waiting = set(_imported(code, modules))
    except SyntaxError:  # a line for IPython, such as %timeit
        waiting = set(modules)
    while waiting:
        reached.add(name := waiting.pop())
        waiting |= set(_imported(modules[name].read_text(encoding="utf8"), modules)) - reached
    files = {modules[name] for name in reached}
    for folder in {path.parent for path in files}:
        files |= {path for path in folder.iterdir() if path.is_file() and path.suffix not in (".py", ".pyc")}
    wings: dict[str, str] = {}
    for path in sorted(files):
        wing = ".".join((package.name, *path.relative_to(package).parts[:1])).removesuffix(".py")
        wings[wing] = wings.get(wing, "") + f"{path.relative_to(package)} {sha256_of(path)}\n"
    return {wing: hashlib.sha256(listed.encode()).hexdigest() for wing, listed in wings.items()}


def _imported(code: str, modules: Mapping[str, Path]) -> Iterator[str]:
    """Names of the modules that some code imports when it is run, anywhere in it, and of the packages they are in."""
    for module, names in _imports(code):
        inside = [f"{module}.{name}" if name else module for name in names]
        found = [name if name in modules else module for name in inside]
        if (
            module in modules
            and "." not in module
            and module in found
            and names != [""]
            and not names[0].startswith("__")
        ):
            yield from modules  # a name that the package finds in a module of its own when it is asked for
        for name in found:
            parts = name.split(".")
            yield from (known for end in range(len(parts)) if (known := ".".join(parts[: end + 1])) in modules)


@lru_cache(maxsize=1000)
def _imports(code: str) -> list[tuple[str, list[str]]]:
    """Modules that code imports, and the names that it takes from each."""
    found: list[tuple[str, list[str]]] = []
    for node in _run(ast.parse(code)):
        if isinstance(node, ast.Import):
            found += [(alias.name, [""]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append((node.module, [alias.name for alias in node.names]))
    return found


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")):
            yield child
            yield from _run(child)
