"""What is declared is what is used and what is installed, and the project's own commands do what they say."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import nplib

PROJECT = Path(__file__).parents[2]
NOTEBOOKS = sorted(path for folder in ("notebooks", "book") for path in (PROJECT / folder).rglob("*.ipynb"))
DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
# What goes by another name on conda-forge.
CONDA_NAMES = {"torch": "pytorch", "tensorflow-cpu": "tensorflow"}
PLATFORMS = [
    {"python_version": version, "sys_platform": system.lower(), "platform_system": system, "platform_machine": machine}
    for version in ("3.11", "3.12", "3.13", "3.14")
    for system, machine in (("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64"))
]


def entries_of(name: str) -> list[str]:
    """The entries of a lock file, each with its hashes."""
    return re.findall(r"^[^#\s](?:[^\n]*\\\n)*[^\n]*", (PROJECT / name).read_text(), re.MULTILINE)


def requirements_of(name: str) -> list[Requirement]:
    return [Requirement(entry.partition("\\\n")[0]) for entry in entries_of(name)]


LOCKS = ["requirements.lock", "requirements-cuda.lock", "requirements-tensorflow.lock"]
LOCK = requirements_of("requirements.lock")
TENSORFLOW_LOCK = requirements_of("requirements-tensorflow.lock")
EXTRAS = DECLARED["optional-dependencies"]
REQUIRED = [
    Requirement(text) for text in (*DECLARED["dependencies"], *EXTRAS["book"], *EXTRAS["cluster"], *EXTRAS["test"])
]
TENSORFLOW = [Requirement(text) for text in EXTRAS["tensorflow"]]


def environment_packages() -> dict[str, Requirement]:
    """What environment.yml names, under conda and under pip."""
    entries = yaml.safe_load((PROJECT / "environment.yml").read_text())["dependencies"]
    lines = [entry for entry in entries if isinstance(entry, str)]
    lines += next(entry["pip"] for entry in entries if isinstance(entry, dict))
    return {Requirement(line).name: Requirement(line) for line in lines if not line.startswith("-e")}


def applies(requirement: Requirement, environment: dict[str, str], extras: frozenset[str] = frozenset()) -> bool:
    full = environment | {"python_full_version": f"{environment['python_version']}.0", "os_name": "posix"}
    return requirement.marker is None or any(
        requirement.marker.evaluate(full | {"extra": extra}) for extra in extras | {""}
    )


# Declared, locked, and named for conda


@pytest.mark.parametrize("requirement", REQUIRED + TENSORFLOW, ids=str)
def test_what_is_declared_is_locked_within_its_bounds(requirement):
    locked = LOCK if requirement in REQUIRED else LOCK + TENSORFLOW_LOCK
    for environment in PLATFORMS:
        if not applies(requirement, environment):
            continue
        named = [
            entry
            for entry in locked
            if canonicalize_name(entry.name) == canonicalize_name(requirement.name) and applies(entry, environment)
        ]
        assert len(named) == 1, environment
        (specifier,) = named[0].specifier
        assert specifier.operator == "==" and specifier.version in requirement.specifier


@pytest.mark.parametrize("requirement", REQUIRED + TENSORFLOW, ids=str)
def test_what_is_declared_is_in_the_conda_environment_with_the_same_bounds(requirement):
    named = environment_packages()
    assert named[CONDA_NAMES.get(requirement.name, requirement.name)].specifier == requirement.specifier


def test_the_conda_environment_names_nothing_that_is_not_declared():
    declared = {CONDA_NAMES.get(requirement.name, requirement.name) for requirement in REQUIRED + TENSORFLOW}
    assert set(environment_packages()) - declared == {"python", "pip", "git", "nasbench"}


def test_the_conda_environment_names_what_the_project_is_about():
    named = environment_packages()
    for name in ("jupyterlab", "jupyter-book", "pytorch", "h5py", "numpy", "pandas", "seaborn", "papermill"):
        assert name in named
    assert named["nasbench"].url == "git+https://github.com/google-research/nasbench"
    # Of the two that are optional, the second needs the first.
    assert named["nasbench"].marker == named["tensorflow"].marker
    text = (PROJECT / "environment.yml").read_text()
    assert text.index("\n      # Optional") < text.index("\n      - tensorflow") < text.index("\n      - nasbench")


def test_the_conda_environment_has_a_python_for_everything_in_it():
    specifier = environment_packages()["python"].specifier
    for minor in range(30):
        environment = PLATFORMS[0] | {"python_version": f"3.{minor}"}
        with_tensorflow = any(applies(requirement, environment) for requirement in TENSORFLOW)
        fits = f"3.{minor}.0" in SpecifierSet(DECLARED["requires-python"]) and with_tensorflow
        assert (f"3.{minor}.0" in specifier) == fits


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_exact_versions_and_nothing_of_the_machine_it_was_made_on(name):
    entries = requirements_of(name)
    for entry in entries:
        (specifier,) = entry.specifier
        assert specifier.operator == "==" and "*" not in specifier.version and "+" not in specifier.version, entry
        assert entry.url is None and not entry.extras, entry
        assert entry.name.startswith(("nvidia-", "cuda-", "triton")) == ("cuda" in name), entry
    names = [canonicalize_name(entry.name) for entry in entries]
    assert names == sorted(names)
    text = re.sub(r"--(no-deps|hash=)", "", (PROJECT / name).read_text())
    assert not re.search(r"://|@|--|\.org|\.com|file:", text)


@pytest.mark.parametrize("name", LOCKS)
def test_every_entry_of_a_lock_has_hashes(name):
    assert len(entries_of(name)) == len(re.findall("^[a-z].*==", (PROJECT / name).read_text(), re.MULTILINE))
    for entry in entries_of(name):
        hashes = re.findall(r"\\\n    --hash=sha256:([0-9a-f]{64})(?![0-9a-f])", entry)
        assert len(hashes) == entry.count("hash") == len(set(hashes)) > 0, entry


def test_the_lock_is_complete_on_every_platform():
    """Every requirement of every locked package, as installed here, is locked too, torch's own builds apart."""
    needs = {
        canonicalize_name(dist.metadata["Name"]): [Requirement(text) for text in dist.requires or ()]
        for dist in importlib.metadata.distributions()
    }
    missing = set()
    for environment in PLATFORMS:
        locked = {canonicalize_name(entry.name): entry for entry in LOCK if applies(entry, environment)}
        pending = [(canonicalize_name(entry.name), frozenset(entry.extras)) for entry in REQUIRED]
        seen = set()
        while pending:
            name, extras = pending.pop()
            if (name, extras) in seen:
                continue
            seen.add((name, extras))
            if name not in locked:
                missing.add((name, environment["python_version"], environment["sys_platform"]))
                continue
            pending += [
                (canonicalize_name(requirement.name), frozenset(requirement.extras))
                for requirement in needs.get(name, ())
                if applies(requirement, environment, extras)
                and not (name == "torch" and requirement.name.startswith(("nvidia-", "cuda-", "triton")))
            ]
    assert not missing


def imports(source: str) -> Iterator[str]:
    """Names of the packages that some code imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def code_of(path: Path) -> str:
    if path.suffix == ".py":
        return path.read_text()
    cells = json.loads(path.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize(
    ("files", "extras"),
    [
        ("nplib", ["book", "cluster"]),
        ("tests", ["book", "cluster", "test"]),
        ("notebooks", ["book", "tensorflow"]),
        ("book", ["book"]),
    ],
)
def test_what_is_imported_is_declared(files, extras):
    paths = [path for path in sorted((PROJECT / files).rglob("*")) if path.suffix in (".py", ".ipynb")]
    texts = [*DECLARED["dependencies"], *(text for extra in extras for text in EXTRAS[extra])]
    declared = {canonicalize_name(Requirement(text).name) for text in texts}
    own = {"nplib", *(path.stem for path in paths), *(path.stem for path in (PROJECT / "benchmarks").glob("*.py"))}
    distributions = importlib.metadata.packages_distributions()
    for path in paths:
        for name in {name.partition(".")[0] for name in imports(code_of(path))} - own - sys.stdlib_module_names:
            candidates = {canonicalize_name(dist) for dist in distributions.get(name, [name])}
            assert candidates & declared, f"{path.name} imports {name}"


# The package


def test_the_command_and_the_version_are_those_declared():
    module, _, function = DECLARED["scripts"]["nplib"].partition(":")
    command = f"import sys; from {module} import {function} as main; sys.argv = ['nplib', '--version']; main()"
    assert subprocess.check_output([sys.executable, "-c", command], text=True).strip() == nplib.__version__
    assert DECLARED["dynamic"] == ["version"]


# Notebooks


def hook(name: str) -> list[str]:
    """Command of a pre-commit hook, with the tools of the environment that the tests run in."""
    config = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())
    (entry,) = (hook["entry"] for repo in config["repos"] for hook in repo["hooks"] if hook["id"] == name)
    program, *options = shlex.split(entry)
    assert program.startswith(".venv/bin/")
    return [str(Path(sys.executable).parent / Path(program).name), *options]


def test_the_hooks_are_well_formed():
    pre_commit = Path(sys.executable).parent / "pre-commit"
    subprocess.run([pre_commit, "validate-config", PROJECT / ".pre-commit-config.yaml"], check=True)


def test_the_hook_strips_what_running_leaves_and_keeps_what_is_needed(tmp_path):
    path = tmp_path / "run.ipynb"
    cell = {
        "cell_type": "code",
        "id": "a-name",
        "execution_count": 3,
        "metadata": {"tags": ["parameters"], "papermill": {"duration": 1}, "execution": {"iopub.status.busy": "now"}},
        "outputs": [{"output_type": "stream", "name": "stdout", "text": ["1\n"]}],
        "source": ["print(1)"],
    }
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python", "version": "3.11.7"}, "papermill": {"a": 1}}
    path.write_text(json.dumps({"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    subprocess.run([*hook("nbstripout"), path], check=True)
    stripped = json.loads(path.read_text())
    assert stripped["metadata"] == {"kernelspec": kernel, "language_info": {"name": "python"}}
    (left,) = stripped["cells"]
    assert left["metadata"] == {"tags": ["parameters"]}
    assert (left["outputs"], left["execution_count"], left["id"]) == ([], None, "a-name")
    assert left["source"] == cell["source"]


def test_every_notebook_is_stored_as_the_hook_leaves_it():
    assert len(NOTEBOOKS) >= 4
    result = subprocess.run([*hook("nbstripout"), "--verify", *NOTEBOOKS], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text())["cells"]:
            assert not cell.get("outputs") and cell.get("execution_count") is None, path
            assert "papermill" not in cell["metadata"], path


# Make


@pytest.fixture
def make(tmp_path):
    """Run make on a copy of the Makefile alone, so that nothing here is made or removed."""
    if shutil.which("make") is None:
        pytest.fail("make is not installed; it is what the project is built with")
    for name in ("Makefile", "pyproject.toml", *LOCKS):
        shutil.copy(PROJECT / name, tmp_path)
    # The tests may themselves be run by a make with variables of its own.
    inherited = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "PYTHON", "QUICK", "DATA", "ARGS")
    environment = {name: value for name, value in os.environ.items() if name not in inherited}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["make", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


def test_make_alone_tells_what_there_is(make):
    told = make().stdout
    for target in re.findall(r"^\.PHONY: (.*)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)[0].split():
        assert target == "help" or f"make {target} " in told


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ((), ["book"]),
        (("QUICK=1",), ["book", "--quick"]),
        (("QUICK=0",), ["book"]),
        (("DATA=sample",), ["book", "--data", "sample"]),
        (("QUICK=1", "DATA=my data/x.hdf5"), ["book", "--quick", "--data", "my data/x.hdf5"]),
    ],
)
def test_make_book_hands_on_what_it_is_told(make, arguments, command):
    lines = make("-n", "book", *arguments).stdout.splitlines()
    assert [shlex.split(line)[1:] for line in lines if line.startswith(".venv/bin/nplib")] == [command]


def test_make_test_hands_arguments_to_pytest(make):
    planned = make("-n", "test", 'ARGS=-k "a or b" -x').stdout
    assert ".venv/bin/python -m pytest " in planned and '-k "a or b" -x' in planned


@pytest.mark.parametrize(
    ("script", "found"),
    [("[ $1 = -c ] && exit 1; echo Python 3.9.1", "Python 3.9.1"), (None, "not there")],
    ids=["old", "missing"],
)
def test_make_says_that_python_is_too_old(make, tmp_path, script, found):
    python = tmp_path / "python"
    if script is not None:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
    result = make("env", f"PYTHON={python}")
    assert result.returncode != 0
    assert f"nplib needs Python 3.11 or newer; {python} is {found}." in result.stderr
    assert not (tmp_path / ".venv").exists()


def test_the_environment_is_made_anew_when_the_lock_changes_and_only_then(make, tmp_path):
    (tmp_path / ".venv").mkdir()
    for name in ("packages", "package"):
        (tmp_path / ".venv" / name).touch()
    assert "Nothing to be done" in make("-n", "env").stdout
    later = (tmp_path / ".venv" / "package").stat().st_mtime + 10
    os.utime(tmp_path / "pyproject.toml", (later, later))
    assert "--editable ." in make("-n", "env").stdout and "-m venv" not in make("-n", "env").stdout
    os.utime(tmp_path / "requirements.lock", (later, later))
    planned = make("-n", "env").stdout
    assert planned.index("rm -rf .venv") < planned.index("-m venv") < planned.index("--editable .")


def test_nothing_is_installed_whose_hash_is_not_known(make, tmp_path):
    """But a build of torch that is asked for, and the project itself, which is built with what is there."""
    planned = make("-n", ".venv/official", "TORCH=torch==2.13.0 --index-url elsewhere").stdout
    installs = [line for line in planned.replace("\\\n", " ").splitlines() if "pip install" in line]
    asked, *checked, package, tensorflow, official = installs
    assert "torch==2.13.0 --index-url elsewhere" in asked and "require-hashes" not in asked
    assert [line.count("--no-deps --require-hashes -r requirements") for line in (*checked, tensorflow)] == [1, 1, 1]
    assert "--no-deps --no-build-isolation --editable ." in package and "--no-deps" in official
    assert "TORCH" not in planned and "elsewhere" not in make("-n", "env").stdout


@pytest.mark.parametrize("status", [0, 3])
def test_the_status_of_pip_is_that_of_make(make, tmp_path, status):
    """A python whose pip ends as told, behind the pipe that shows its progress."""
    python = tmp_path / "python"
    pip = f"#!/bin/sh\necho 'ERROR: no such package'\necho Collecting nothing\nexit {status}\n"
    python.write_text(
        '#!/bin/sh\n[ "$2" = venv ] || exit 0\nmkdir -p .venv/bin\n'
        f"cat >.venv/bin/python <<'END'\n{pip}END\nchmod +x .venv/bin/python\n"
    )
    python.chmod(0o755)
    result = make(".venv/packages", f"PYTHON={python}")
    assert (result.returncode != 0) == (status != 0)
    assert "ERROR: no such package" in result.stdout and "Collecting" not in result.stdout
    assert (tmp_path / ".venv" / "packages").exists() == (status == 0)
    assert "Collecting nothing" in (tmp_path / ".venv" / "install.log").read_text()


def test_the_script_of_ci_can_run():
    script = PROJECT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)


def test_no_sentence_of_a_page_is_a_comment_by_accident():
    """MyST drops a line that begins with a percent sign; one that is meant so stands at the margin, before a space."""
    for page in sorted((PROJECT / "book").glob("*.md")):
        for number, line in enumerate(page.read_text(encoding="utf8").splitlines(), start=1):
            assert not line.lstrip().startswith("%") or line.startswith("% "), f"{page.name}, line {number}: {line}"
