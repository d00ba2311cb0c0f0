"""Commands of nplib: run within the tests, where they fail by an exception, or as processes of their own."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from nplib.cli import main
from nplib.cli.app import app

# Loaded once, where processes that run commands are forked: each would take seconds for them otherwise.
SLOW = ["torch", "pandas", "scipy.optimize", "scipy.special", "numba", "nplib.cli.app", "nplib.convert", "nplib.search"]


def flags(**options: object) -> list[str]:
    """Options as they are written: ``--first 3`` for ``first=3``, ``--check`` for ``check=True``, nothing for None."""
    written = []
    for name, value in options.items():
        if value is not None and value is not False:
            written += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return written


def run(*arguments: object) -> None:
    """A command, in the process of the tests; what it raises is raised."""
    app(["--debug", *map(str, arguments)], standalone_mode=False)


def report_of(*arguments: object) -> dict:
    """What a command writes as JSON."""
    run(*arguments, "--json", "report.json", "--overwrite")
    return json.loads(Path("report.json").read_text())


def nplib(*arguments: object, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess:
    """A command as a process of its own, in a folder, with further variables of the environment."""
    command = ["nplib", *map(str, arguments)]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(SLOW)
    with TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("out", "err")]
        process = context.Process(target=_command, args=(command, files, cwd or Path.cwd(), os.environ | variables))
        process.start()
        process.join(300)
        process.kill()
        return subprocess.CompletedProcess(command, process.exitcode, *(file.read_text("utf8") for file in files))


def _command(command: list[str], files: list[Path], folder: Path, environment: dict[str, str]) -> None:
    """What the process does: all that it writes goes to files, as if a shell had led it there."""
    for number, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = command
    main()


def succeed(*arguments: object, **options: object) -> str:
    """What a command says that ends well."""
    done = nplib(*arguments, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fail(*arguments: object, code: int = 1, **options: object) -> str:
    """What a command says that a user's mistake ends."""
    done = nplib(*arguments, **options)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr
