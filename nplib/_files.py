"""Paths as people write them, files that are written whole or not at all, and the folder of what can be made anew."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import logging
import lzma
import math
import os
import re
import secrets
import stat
import struct
import sys
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import platformdirs

from nplib.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has no such locks: leftovers stay there
    fcntl = None

logger = logging.getLogger(__name__)

T = TypeVar("T")
_UNSET = re.compile(r"\$(\w+|\{[^}]*\})")
# Signature; this disk, the directory's; members here, in all; the directory's size, start; length of a comment.
_ZIP_END = struct.Struct("<4s4H2LH")
# Variables that name a folder where trainings are kept, and a file: how many cores this process may use now.
FITS, SHARE = "NPLIB_FITS", "NPLIB_CORES"
_NAME_BYTES = 200  # of a target's name in that of its partial file; most systems allow 255 in all


class TargetExists(UserError):
    """A file stands where one is to be written."""


def expand(path: str | bytes | os.PathLike) -> Path:
    """A path with ``~``, ``~user``, ``$NAME`` and ``${NAME}`` written out, as a shell would.

    Every path that a person gives, in an argument or in the environment, passes through here.

    Raises:
        UserError: If it names a user or a variable that there is not, and no file or folder is called that; or holds a
            zero byte.
    """
    text = os.fsdecode(path)
    if "\0" in text:
        raise UserError(f"the path {text!r} holds a zero byte; no file can have such a name")
    found = os.path.expanduser(os.path.expandvars(text))
    if unset := _UNSET.search(found):
        end = found.find(os.sep, unset.end())
        if not os.path.lexists(found if end < 0 else found[:end]):
            raise UserError(f"{text}: the variable {unset.group()} is not set; set it, or write the path without it")
    if found.startswith("~") and not os.path.lexists(found.split(os.sep)[0]):
        raise UserError(f"{text}: no home folder is known for {found.split(os.sep)[0]}; write the path without it")
    return Path(found)


def check_target(target: str | bytes | os.PathLike, overwrite: bool = False) -> Path:
    """The path to write to, expanded, once it is clear that it can be written and that nothing is lost there.

    Raises:
        TargetExists: If there is a file and ``overwrite`` is false, or if there is a folder.
        UserError: If there is something that is no file, a device for instance; if the folder does not exist or is
            closed.
    """
    target = expand(target)
    try:
        real = _behind_links(target)
        kind = stat.S_IFMT(real.stat().st_mode) if real.exists() else None
        if kind == stat.S_IFDIR:
            raise TargetExists(f"{target} is a folder; name a file in it")
        if kind not in (None, stat.S_IFREG):
            raise UserError(f"{target} is no regular file, so it is not written to; name another")
        if kind is not None and not overwrite:
            raise TargetExists(f"{target} exists; choose another name, or ask for it to be overwritten (--overwrite)")
        if not real.parent.is_dir():
            raise UserError(f"{real.parent} is no folder, so {real.name} cannot be written there; make it first")
        with _partial_of(real):
            pass
    except OSError as error:
        raise _unwritable(target, error) from error
    return target


@contextmanager
def replacing(target: str | bytes | os.PathLike, overwrite: bool = False, size: int = 0) -> Iterator[Path]:
    """Give a path beside the target to write to; rename it into place when the block ends well, else remove it.

    What a link points to is written, not the link. A file that is replaced keeps its mode. What earlier writers of the
    same target left there, because something killed them, is removed.

    Args:
        size (int): Bytes that will be written, for the error if there is no room; 0: not known.

    Raises:
        TargetExists, UserError: As :func:`check_target`; also if another process makes the file in the meantime, and if
            the disk is full.
    """
    target = check_target(target, overwrite)
    real = _behind_links(target)
    try:
        with _partial_of(real) as partial:
            yield partial
            with open(partial, "rb+") as file:
                os.fsync(file.fileno())
            _put(partial, real, overwrite)
    except OSError as error:
        # A full disk names no file. Errors of other files are the block's own.
        if error.filename is None:
            ours = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
        else:
            ours = Path(os.fsdecode(error.filename)).parent == real.parent
        if not ours:
            raise
        if isinstance(error, FileExistsError):
            raise TargetExists(f"{target} was made by another process in the meantime; choose another name") from error
        raise _unwritable(target, error, size) from error


def _behind_links(target: Path) -> Path:
    """What is written when this path is written to."""
    real = Path(os.path.realpath(target)) if target.is_symlink() else target
    if real.is_symlink():
        raise UserError(f"{target} is a link that leads back to itself; remove it, or name another file")
    return real


def _unwritable(target: Path, error: OSError, size: int = 0) -> UserError:
    room = f"{size / 1e6:.1f} MB of free disk and " if size else ""
    return UserError(
        f"{target} cannot be written ({error.strerror or error}); it needs {room}a folder that you may write to"
    )


@contextmanager
def _partial_of(real: Path) -> Iterator[Path]:
    """A new empty file beside one that is to be, of its mode, locked while the block lasts and gone after."""
    name = os.fsencode(real.name)
    short = name if len(name) <= _NAME_BYTES else hashlib.sha256(name).hexdigest().encode()
    prefix = f".{os.fsdecode(short)}."
    _remove_leftovers(real.parent, prefix)
    before = real.stat() if real.exists() else None
    while True:
        partial = real.with_name(f"{prefix}{secrets.token_hex(4)}.partial")
        # Where no mode is to be kept, the system takes the umask off.
        mode = 0o666 if before is None else before.st_mode & 0o777
        handle = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        try:
            if not lock(handle) or not partial.exists():
                continue  # another process took it for a leftover before it was locked
            if before is not None:
                with suppress(OSError):
                    os.chown(partial, before.st_uid, before.st_gid)  # root writes what is another user's
                os.chmod(partial, mode)
            yield partial
            return
        finally:
            partial.unlink(missing_ok=True)
            os.close(handle)


def lock(handle: int) -> bool:
    """Lock a file for this process; whether nobody else holds it. A file system without locks counts as locked."""
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
    return True


def _remove_leftovers(folder: Path, prefix: str) -> None:
    """Remove the partial files of a target that no living process holds."""
    if fcntl is None:
        return
    with suppress(OSError):
        for name in os.listdir(folder):
            if not (name.startswith(prefix) and name.endswith(".partial")):
                continue
            with suppress(OSError):
                handle = os.open(folder / name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(folder / name)
                finally:
                    os.close(handle)


def _put(partial: Path, real: Path, overwrite: bool) -> None:
    """Give a finished file its name."""
    if overwrite:
        os.replace(partial, real)
        return
    try:
        os.link(partial, real)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: the name is taken first, and what it names exchanged after
        os.close(os.open(real, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        os.replace(partial, real)


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


# What zipfile, its decompressors and the reader of array headers raise at bytes that are not theirs.
_UNREADABLE = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, SyntaxError, MemoryError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, tokenize.TokenError),
)


class BadArrays(UserError):
    """A file of arrays (.npz) is damaged, or holds something else."""


def read_arrays(path: str | os.PathLike, most_bytes: int = 2**30) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name, read-only: whole members, each of which must fit its checksum to the end.

    Raises:
        BadArrays: If it is damaged, holds anything but plain arrays, or would take more memory than ``most_bytes``.
        FileNotFoundError:
    """
    try:
        arrays: dict[str, np.ndarray] = {}
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if (size := sum(member.file_size for member in members)) > most_bytes:
                raise ValueError(f"it would take {size / 1e6:,.0f} MB, and {most_bytes / 1e6:,.0f} are enough")
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name in arrays or name == member.filename:
                    raise ValueError(f"member {member.filename!r} is there twice, or is no array")
                data = archive.read(member)
                if len(data) != member.file_size:
                    raise ValueError(f"member {name!r} has {len(data)} bytes, and should have {member.file_size}")
                arrays[name] = _array_of(data, name)
            _check_end(archive, len(members))
        return arrays
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        what = str(error) if isinstance(error, (ValueError, zipfile.BadZipFile)) else f"{type(error).__name__}: {error}"
        raise BadArrays(f"{path} cannot be read as arrays ({what})") from error


def _check_end(archive: zipfile.ZipFile, members: int) -> None:
    """That the directory at the end of an archive was read whole: its own entry has no checksum."""
    _, *disks, here, all_, size, start, comment = _ZIP_END.unpack(_last_bytes(archive.fp, _ZIP_END.size))
    if (*disks, here, all_, comment) != (0, 0, members, members, 0) or start != archive.start_dir:
        raise ValueError("its directory does not fit what is in it")
    if start + size + _ZIP_END.size != archive.fp.tell():
        raise ValueError("its directory has another length than it says")


def _last_bytes(file: BinaryIO, count: int) -> bytes:
    file.seek(-count, os.SEEK_END)
    return file.read()


def _array_of(data: bytes, name: str) -> np.ndarray:
    """The array that a whole .npy holds, and nothing else."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"member {name!r} is in version {version} of its format")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_column, dtype = read(file)
    left = len(data) - file.tell()
    if dtype.hasobject or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != left:
        raise ValueError(f"member {name!r} claims shape {shape} and type {dtype}, and has {left} bytes")
    return np.ndarray(shape, dtype, data, file.tell(), order="F" if by_column else "C")


def write_arrays(target: str | os.PathLike, arrays: Mapping[str, np.ndarray], overwrite: bool = False) -> None:
    """Write arrays as .npz, whole or not at all. Raises what :func:`replacing` raises."""
    size = sum(array.nbytes for array in arrays.values())
    with replacing(target, overwrite, size) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)


def cache_folders() -> Iterator[Path]:
    """Where derived files may be: ``NPLIB_CACHE`` or the user's cache folder, then one of our own for temporary files.

    They need not exist.
    """
    try:
        yield expand(os.environ.get("NPLIB_CACHE") or platformdirs.user_cache_dir("nplib"))
    except UserError as error:  # there may be no home
        logger.debug("%s", error)
    with suppress(OSError):
        temporary = Path(tempfile.gettempdir())
        own = temporary / f"nplib-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
        # Python turns to the working folder if it finds none for temporary files.
        private = not own.is_symlink() and own.is_dir() and only_writable_by(own)
        if temporary != Path.cwd() and (private or not os.path.lexists(own)):
            yield own


def forget_oldest(folder: Path, most_bytes: int) -> None:
    """Remove the files of a folder that were not touched for longest, until no more than so many bytes are left."""
    found = sorted(((path.stat(), path) for path in folder.glob("*")), key=lambda one: -one[0].st_mtime)
    total = 0
    for status, path in found:
        total += status.st_size
        if total > most_bytes:
            path.unlink(missing_ok=True)


def only_writable_by(path: Path | int, *others: int) -> bool:
    """Whether nobody but this user, root, and others by their number, can have written to a path or an open file."""
    about = os.stat(path)
    return not hasattr(os, "getuid") or (about.st_uid in (os.getuid(), 0, *others) and not about.st_mode & 0o022)


def cache_folder() -> Path:
    """The first of :func:`cache_folders` that can be written to, made if it is not there.

    Raises:
        UserError: If there is none.
    """
    problems = []
    for folder in cache_folders():
        try:
            folder.mkdir(mode=0o777 if not problems else 0o700, parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            problems.append(f"{folder} ({error.strerror or error})")
            continue
        if problems:
            _warn_once(f"{problems[0]} cannot be written, so what can be made anew is kept in {folder}; {_SET_CACHE}")
        return folder
    raise UserError(f"nothing can be kept in {' or '.join(problems) or 'any folder'}; {_SET_CACHE}")


_SET_CACHE = "set NPLIB_CACHE to a folder that you may write to"


@cache
def _warn_once(message: str) -> None:
    logger.warning("%s", message)


def cached(name: str, read: Callable[[Path], T], make: Callable[[], T], write: Callable[[Path, T], None]) -> T:
    """What the file ``name`` of the cache holds, or what is made, and kept there if that is possible.

    Args:
        read (callable): Gives the value of a file, or raises an error if it is damaged: then it is made anew.
        write (callable): Writes the value to a path where there may be a file.
    """
    for folder in cache_folders():
        path = folder / name
        try:
            if path.is_file():
                return read(path)
        except (OSError, UserError) as error:
            logger.warning("%s cannot be used and is made anew; it is safe to delete (%s)", path, error)
    value = make()
    try:
        path = cache_folder() / name
        write(path, value)
        return read(path)
    except (OSError, UserError) as error:
        logger.warning("what was made cannot be kept: %s", error)
        return value


def cached_arrays(name: str, wanted: Sequence[str], make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays from the .npz of this name in the cache, or made and kept there: :func:`cached`."""

    def read(path: Path) -> dict[str, np.ndarray]:
        arrays = read_arrays(path)
        if missing := set(wanted) - set(arrays):
            raise BadArrays(f"{path} lacks {', '.join(sorted(missing))}")
        return arrays

    return cached(name, read, make, lambda path, arrays: write_arrays(path, arrays, overwrite=True))
