"""The house: which room may use which. Whoever adds a module finds here what it may import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
MODULES = sorted((PROJECT / "nplib").rglob("*.py"))

# Every file or folder at the top of nplib is a room; each may use those named with it, and what those may use.
USES = {
    "_lazy": (),
    "errors": (),
    "_files": ("errors",),
    "_devices": ("_files",),
    "_workers": ("_devices",),
    "_compiled": ("_files",),
    "_weights": ("_files",),
    "_hashing": ("_compiled",),
    "metrics": ("errors",),
    "cell": ("errors",),
    "space": ("cell", "_files", "_hashing"),
    "_layout": ("space",),
    "benchmark": ("space", "_layout"),
    "splits": ("benchmark",),
    "features": ("space",),
    "predictor": ("benchmark", "_devices", "_weights"),
    "_stacked": ("predictor",),
    "_fits": ("predictor",),
    "training": ("_stacked", "_workers", "_fits", "splits"),
    "records": ("benchmark",),
    "convert": ("records",),
    "sources": ("convert", "metrics"),
    "gp": ("features", "splits", "_workers", "_weights"),
    "two_stage": ("gp", "training", "metrics"),
    "studies": ("two_stage", "sources"),
    "search": ("two_stage", "studies", "_lazy"),
    "plots": ("studies", "search", "features"),
    "publish": ("plots", "sources"),
    "cli": ("publish", "search"),
    "api": ("sources", "plots"),
}


def may_use(room: str) -> set[str]:
    return {room}.union(*(may_use(other) for other in USES[room]))


def room_of(path: Path) -> str:
    return path.relative_to(PROJECT / "nplib").parts[0].removesuffix(".py")


def imports(source: str) -> list[str]:
    """Dotted names of the project that some code imports, anywhere in it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in found if name.startswith("nplib.")]


def test_every_room_is_in_the_plan():
    assert {room_of(path) for path in MODULES} - {"__init__"} == set(USES)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PROJECT / "nplib")))
def test_a_room_uses_only_rooms_below_it(path):
    room = room_of(path)
    if room == "__init__":
        return
    used = {name.split(".")[1] for name in imports(path.read_text())} & set(USES)
    assert used <= may_use(room), f"{room} may not use {sorted(used - may_use(room))}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PROJECT / "nplib")))
def test_what_is_private_to_a_room_stays_there(path):
    for name in imports(path.read_text()):
        room, *inside = name.split(".")[1:]
        private = [part for part in inside if part.startswith("_") and not part.startswith("__")]
        assert room in (room_of(path), "__version__") or not private, f"{name} is private"


def test_modules_import_one_another_in_one_direction():
    """Within rooms too: no two modules need one another to be there first."""
    names = {str(path.relative_to(PROJECT).with_suffix("")).replace("/", "."): path for path in MODULES}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    faces = {name for name, path in names.items() if path.name == "__init__.py"}
    uses = {}
    for name, path in names.items():
        found = set(imports(path.read_text()))
        uses[name] = ({target for target in found} | {target.rpartition(".")[0] for target in found}) & set(
            names
        ) - faces
    left = set(names) - faces
    while left:
        lowest = {name for name in left if not (uses[name] & left) - {name}}
        assert lowest, f"these modules import one another in a circle, or one above them: {sorted(left)}"
        left -= lowest


@pytest.mark.parametrize(
    ("library", "owner"), [("matplotlib", "plots"), ("seaborn", "plots"), ("papermill", "publish"), ("typer", "cli")]
)
def test_one_room_owns_a_library(library, owner):
    users = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            named += [node.module] if isinstance(node, ast.ImportFrom) else []
            users |= {room_of(path) for name in named if name.partition(".")[0] == library}
    assert users == {owner}


@pytest.mark.parametrize(
    "module", ["nplib", "nplib.cell", "nplib.space", "nplib.records", "nplib.sources", "nplib.cli", "nplib.api"]
)
def test_importing_is_light(module):
    heavy = ("torch", "numba", "tensorflow", "requests", "papermill", "scipy", "pandas", "matplotlib")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
