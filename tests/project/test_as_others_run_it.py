"""As others run it: with nbconvert, from any folder, with sources that are closed, with no home to write to."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from record_files import make_records
from tiny_book import SAVES_RESULTS, write_book, write_notebook

import nplib

PACKAGE = Path(nplib.__file__).parent
# Linux's prctl that takes a privilege away for ever, and those of root that modes do not hold.
PR_CAPBSET_DROP, PRIVILEGES = 24, (1, 2)


def bound_by_modes() -> None:
    """Let what is started next be bound by the modes of files, though root starts it."""
    if os.getuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for privilege in PRIVILEGES:
            if libc.prctl(PR_CAPBSET_DROP, privilege, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "root's privileges cannot be dropped")


def run(*arguments: object, cwd: Path, **environment: str | None) -> subprocess.CompletedProcess[str]:
    full = {name: value for name, value in (os.environ | environment).items() if value is not None}
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=full, capture_output=True, text=True, preexec_fn=bound_by_modes)


def close(folder: Path) -> dict[Path, int]:
    """Take away all rights to write; the modes of everything after that."""
    found = [folder, *folder.rglob("*")]
    for path in found:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return {path: stat.S_IMODE(path.stat().st_mode) for path in found}


@pytest.fixture
def closing(tmp_path):
    """Folders that are closed can be removed again."""
    yield close
    for path in (tmp_path, *tmp_path.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


@pytest.mark.skipif(sys.platform != "linux", reason="root's privileges are dropped in Linux's way")
def test_processes_started_here_are_bound_by_modes(tmp_path, closing):
    closing(tmp_path)
    code = f"open({str(tmp_path / 'x')!r}, 'w')"
    done = subprocess.run([sys.executable, "-c", code], preexec_fn=bound_by_modes, capture_output=True, text=True)
    assert "PermissionError" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="root's privileges are dropped in Linux's way")
def test_a_book_is_built_and_built_again_of_sources_that_are_closed(tmp_path, closing):
    project = write_book(tmp_path / "tiny")
    modes = closing(project)
    project.chmod(modes.pop(project) | 0o200)  # where _build is to be
    for _ in range(2):
        done = run("nplib.cli", "book", "--project", project, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert (project / "_build" / "html" / "index.html").is_file()
    assert {path: stat.S_IMODE(path.stat().st_mode) for path in modes} == modes


@pytest.mark.skipif(sys.platform != "linux", reason="root's privileges are dropped in Linux's way")
def test_a_package_that_is_closed_converts_where_there_is_no_home(tmp_path, closing):
    shutil.copytree(PACKAGE, tmp_path / "site" / "nplib", ignore=shutil.ignore_patterns("__pycache__"))
    make_records(tmp_path / "x.tfrecord", "--cells", "2")
    (tmp_path / "temporary").mkdir()
    closing(tmp_path / "site")
    done = run(
        *("nplib.cli", "convert", "x.tfrecord", "x.hdf5", "--no-verify-hashes"),
        cwd=tmp_path,
        PYTHONPATH=str(tmp_path / "site"),
        HOME=str(tmp_path / "site" / "none"),
        TMPDIR=str(tmp_path / "temporary"),
        XDG_CACHE_HOME=None,
        NPLIB_CACHE=None,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert (tmp_path / "x.hdf5").is_file()
    assert list((tmp_path / "temporary").glob("nplib-*/numba-*/*.compiled"))


def test_nbconvert_leaves_results_in_the_project_from_any_folder(tmp_path):
    project = write_book(tmp_path / "tiny")
    notebook = project / "notebooks" / "01_first.ipynb"
    write_notebook(notebook, [SAVES_RESULTS], parameters="results_folder: str = ''")
    kept = project / "_build" / "results" / "01_first.json"
    for folder in (project, project / "notebooks", tmp_path):
        command = ("nbconvert", "--to", "notebook", "--execute", "--output-dir", tmp_path / "out", notebook)
        done = run(*command, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert json.loads(kept.read_text())["a"] == 1
        kept.unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "tiny"]
