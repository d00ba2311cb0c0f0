"""Functions that numba compiles, kept between runs so that a damaged file is made anew.

numba's own cache wants a folder beside the source or in the home, unpickles what it finds there, and fails where
neither can be written. Here a file holds machine code, and JSON that says what it is. Code is code: a file counts only
if it is whole, and if nobody but the user, the owner of the source and root can have written it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import numba
import numpy as np
from numba.core import types
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.environment import Environment, _rebuild_env
from numba.core.funcdesc import PythonFunctionDescriptor
from numba.core.typing import signature as signature_of
from numba.np.numpy_support import as_dtype, from_dtype

from nplib._files import cache_folders, only_writable_by, replacing
from nplib.errors import UserError

logger = logging.getLogger(__name__)

DIGEST_BYTES = 32
# Versions do not read each other's.
FOLDER = f"numba-{numba.__version__}-py{sys.version_info[0]}.{sys.version_info[1]}"


def compiled(function: Callable) -> Callable:
    """The function, compiled when it is first called, without the lock of the interpreter.

    One whose name begins with an underscore can be called by compiled code alone, which saves a quarter of the time.
    """
    inner = function.__name__[0] == "_"
    dispatcher = numba.njit(nogil=True, no_cfunc_wrapper=True, no_cpython_wrapper=inner)(function)
    dispatcher._cache = _Kept(function)
    if inner:  # a call from Python would end the process; what is not in the dispatcher's table comes to be refused
        dispatcher._insert = lambda *_: None
        dispatcher._compile_for_args = partial(_refuse, function.__name__)
    return dispatcher


def _refuse(name: str, *_: object, **__: object) -> None:
    raise TypeError(f"{name} can be called by compiled code alone")


@cache
def _stamp(folder: Path) -> str:
    """What changes with any module of a folder: compiled functions call none from elsewhere."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))).hexdigest()[:16]


class _Kept(NullCache):
    """Compiled forms of a function as files, each with the digest of what is in it."""

    def __init__(self, function: Callable) -> None:
        self.function = function
        self.source = Path(function.__code__.co_filename)
        self.stamp = _stamp(self.source.parent)

    def _folders(self) -> Iterator[Path]:
        """Where they may be, the first where they can be written being the one where they are."""
        yield self.source.parent / "__pycache__" / FOLDER
        for folder in cache_folders():
            yield folder / FOLDER

    def _names(self, arguments: tuple, target: object) -> tuple[str, str]:
        """How the file begins that holds a form, whatever the source was, and its whole name."""
        what = (self.function.__module__, str(arguments), target.magic_tuple(), numba.__version__)
        key = hashlib.sha256(repr(what).encode()).hexdigest()
        start = f"{self.source.stem}.{self.function.__qualname__}-{key[:16]}-"
        return start, f"{start}{self.stamp}.compiled"

    def load_overload(self, arguments: tuple, context: object) -> CompileResult | None:
        context.refresh()
        _, name = self._names(arguments, context.codegen())
        for folder in self._folders():
            path = folder / name
            try:
                if not path.is_file():
                    continue
                with open(path, "rb") as file:
                    trusted = only_writable_by(file.fileno(), self.source.stat().st_uid)
                    data = file.read()
            except OSError:
                continue
            if not trusted:
                logger.warning("%s could have been written by another user, so it is not used", path)
            elif _digest(name, data[DIGEST_BYTES:]) != data[:DIGEST_BYTES]:
                logger.warning("%s is damaged; it is made anew", path)
            else:
                try:
                    return _result(self.function, arguments, context, data[DIGEST_BYTES:])
                except Exception as error:  # whatever keeps it from being used, compiling helps
                    logger.warning("%s cannot be used (%s); it is made anew", path, error)
        return None

    def save_overload(self, arguments: tuple, result: CompileResult) -> None:
        try:
            data = _bytes(result)
        except TypeError as error:
            logger.debug("%s is not kept: %s", self.function, error)
            return
        start, name = self._names(arguments, result.codegen)
        for folder in self._folders():
            try:
                folder.mkdir(mode=0o755, parents=True, exist_ok=True)
                for old in folder.iterdir():
                    if old.name.startswith(start):  # what is replaced would keep its owner
                        old.unlink(missing_ok=True)
                with replacing(folder / name, overwrite=True) as partial:
                    partial.write_bytes(_digest(name, data) + data)
                    os.chmod(partial, 0o644)  # whatever the umask
                return
            except (OSError, UserError):
                continue


def _digest(name: str, data: bytes) -> bytes:
    return hashlib.sha256(name.encode() + data).digest()


def _bytes(result: CompileResult) -> bytes:
    """A compiled function: a line of JSON, its machine code, and the LLVM code that others may take in.

    Raises:
        TypeError: If it needs what these cannot say.
    """
    (name, kind, (code, bitcode)), described, _, signature, *needs, _, reloads, environments = result._reduce()
    if result.library.has_dynamic_globals or any(needs) or reloads:
        raise TypeError("it needs more than its own code")
    about = {
        "library": (name, kind),
        "length": len(code),
        "returns": _described(signature.return_type),
        "names": (described.unique_name, described.abi_tags, described.uid),
        "environments": [
            (env.globals["__name__"], [np.dtype(const).str for const in env.consts], env.env_name)
            for env in environments
        ],
    }
    return json.dumps(about).encode() + b"\n" + code + bitcode


def _described(kind: types.Type) -> str | list | None:
    """The type of a number, or of tuples of them, or of nothing."""
    if isinstance(kind, types.BaseTuple):
        return [_described(part) for part in kind]
    if kind != types.none and not isinstance(kind, (types.Number, types.Boolean)):
        raise TypeError(f"it returns {kind}")
    return None if kind == types.none else as_dtype(kind).str


def _type_of(described: str | list | None) -> types.Type:
    if isinstance(described, list):
        return types.BaseTuple.from_types([_type_of(part) for part in described])
    return types.none if described is None else from_dtype(np.dtype(described))


def _result(function: Callable, arguments: tuple, context: object, data: bytes) -> CompileResult:
    """The function that :func:`_bytes` wrote."""
    line, _, code = data.partition(b"\n")
    about = json.loads(line)
    length, signature = about["length"], signature_of(_type_of(about["returns"]), *arguments)
    unique_name, abi_tags, uid = about["names"]
    described = PythonFunctionDescriptor(
        native=True,
        modname=function.__module__,
        qualname=function.__qualname__,
        unique_name=unique_name,
        doc=None,
        typemap=None,
        restype=signature.return_type,
        calltypes=None,
        args=function.__code__.co_varnames[: len(arguments)],
        kws=(),
        argtypes=arguments,
        abi_tags=abi_tags,
        uid=uid,
    )
    environments = [_rebuild_env(module, map(np.dtype, consts), name) for module, consts, name in about["environments"]]
    library = (*about["library"], (code[:length], code[length:]))
    own = Environment.from_fndesc(described)
    return CompileResult._rebuild(context, library, described, own, signature, False, (), "", (), environments)
