"""Commands of nplib: run within the tests, where they fail by an exception, or as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from nplib.cli.app import app


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


def nplib(*arguments: object, **options: object) -> subprocess.CompletedProcess:
    """A command as a process of its own, with ``cwd`` or further variables of the environment as ``env``."""
    options["env"] = os.environ | options.get("env", {})
    command = [sys.executable, "-m", "nplib.cli", *map(str, arguments)]
    return subprocess.run(command, **{"capture_output": True, "text": True, "timeout": 300} | options)


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
