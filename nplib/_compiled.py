"""Functions that numba compiles, kept between runs so that a damaged file is made anew.

numba's own cache wants a folder beside the source or in the home, believes what it finds there, and fails where neither
can be written. As in that cache a compiled function is a pickle, since numba has no other form of it: the digest tells
damage, not who wrote the file. Whoever can write to these folders can run code, as whoever can write to the package.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numba
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from nplib._files import cache_folders, replacing
from nplib.errors import UserError

logger = logging.getLogger(__name__)

DIGEST_BYTES = 32
# Versions do not read each other's.
FOLDER = f"numba-{numba.__version__}-py{sys.version_info[0]}.{sys.version_info[1]}"


def compiled(function: Callable) -> Callable:
    """The function, compiled when it is first called, without the lock of the interpreter."""
    dispatcher = numba.njit(nogil=True)(function)
    dispatcher._cache = _Kept(function)
    return dispatcher


@cache
def _stamp(folder: Path) -> str:
    """What changes with any module of a folder: compiled functions call none from elsewhere."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))).hexdigest()[:16]


class _Kept(NullCache):
    """Compiled forms of a function as files, each with the digest of what is in it."""

    def __init__(self, function: Callable) -> None:
        source = Path(function.__code__.co_filename)
        self.beside = source.parent / "__pycache__" / FOLDER
        self.name = f"{source.stem}.{function.__qualname__}"
        self.stamp = _stamp(source.parent)

    def _folders(self) -> Iterator[Path]:
        """Where they may be, the first where they can be written being the one where they are."""
        yield self.beside
        for folder in cache_folders():
            yield folder / FOLDER

    def _names(self, signature: tuple, target: object) -> tuple[str, str]:
        """How the file begins that holds a form, whatever the source was, and its whole name."""
        key = hashlib.sha256(repr((str(signature), target.magic_tuple(), numba.__version__)).encode()).hexdigest()
        start = f"{self.name}-{key[:16]}-"
        return start, f"{start}{self.stamp}.compiled"

    def load_overload(self, signature: tuple, context: object) -> CompileResult | None:
        context.refresh()
        _, name = self._names(signature, context.codegen())
        for folder in self._folders():
            try:
                data = (folder / name).read_bytes()
            except OSError:
                continue
            if hashlib.sha256(data[DIGEST_BYTES:]).digest() != data[:DIGEST_BYTES]:
                logger.warning("%s is damaged; it is made anew", folder / name)
                continue
            try:
                return CompileResult._rebuild(context, *pickle.loads(data[DIGEST_BYTES:]))
            except Exception as error:  # whatever keeps it from being used, compiling helps
                logger.warning("%s cannot be used (%s); it is made anew", folder / name, error)
        return None

    def save_overload(self, signature: tuple, result: CompileResult) -> None:
        if result.library.has_dynamic_globals or any(not lifted.can_cache for lifted in result.lifted):
            return
        data = dumps(result._reduce())
        start, name = self._names(signature, result.codegen)
        for folder in self._folders():
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with replacing(folder / name, overwrite=True) as partial:
                    partial.write_bytes(hashlib.sha256(data).digest() + data)
                for old in folder.iterdir():
                    if old.name.startswith(start) and old.name != name:
                        old.unlink(missing_ok=True)
                return
            except (OSError, UserError):
                continue
