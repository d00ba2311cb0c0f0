"""Files are written whole or not at all: beside their target first, then renamed into place."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from nplib.errors import UserError


class TargetExists(UserError):
    """A file stands where one is to be written."""


def check_target(target: str | os.PathLike, overwrite: bool = False) -> Path:
    """The path to write to, once it is clear that nothing is lost there and that its folder exists.

    Raises
    ------
    TargetExists
        If there is a file and ``overwrite`` is false, or if there is a folder.
    UserError
        If the folder it would lie in does not exist.
    """
    target = Path(target)
    if target.is_dir():
        raise TargetExists(f"{target} is a folder; name a file in it")
    if target.exists() and not overwrite:
        raise TargetExists(f"{target} exists; choose another name, or ask for it to be overwritten (--overwrite)")
    if not target.parent.is_dir():
        raise UserError(f"{target.parent} is no folder, so {target.name} cannot be written there; make it first")
    return target


@contextmanager
def replacing(target: str | os.PathLike, overwrite: bool = False) -> Iterator[Path]:
    """Give a path beside the target to write to; rename it into place when the block ends well, else remove it.

    Raises what :func:`check_target` raises.
    """
    target = check_target(target, overwrite)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial")
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        partial.chmod(0o666 & ~umask)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def write_json(target: str | os.PathLike, value: object, overwrite: bool = False) -> None:
    """Write what JSON can hold, whole or not at all; to the standard output if the target is ``-``.

    Raises what :func:`check_target` raises.
    """
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    if os.fspath(target) == "-":
        sys.stdout.write(text)
        return
    with replacing(target, overwrite) as partial:
        partial.write_text(text, encoding="utf8")


def sha256_of(path: str | os.PathLike) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Where derived files are kept: ``NPLIB_CACHE``, or the user's cache folder. Made if it is not there."""
    folder = Path(os.environ.get("NPLIB_CACHE") or platformdirs.user_cache_dir("nplib"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
