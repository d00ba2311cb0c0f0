"""Download a file whole: checked against its SHA-256, resumed after a cut, under its name only once it is right.

What has arrived is kept in ``NAME.part`` beside the target, and one process at a time may write there. Nothing of it is
given up before type and length of an answer say that it can be the file.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tqdm import tqdm

from nplib._files import lock, sha256_of
from nplib.errors import UserError, printable

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

CHUNK_BYTES = 2**18
LONGEST_PAUSE = 30.0  # seconds
# Answers that may be another one in a moment; others (not found, forbidden) stay what they are.
PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server, and what it must be: its size in bytes is checked where it is known, megabytes are shown."""

    name: str  # what it is called here
    url: str
    sha256: str
    megabytes: float
    size: int | None = None

    def digest_of(self, path: Path) -> str:
        """SHA-256 of a file that is to be this one; another one is logged as a warning."""
        found = sha256_of(path)
        if found != self.sha256:
            logger.warning("%s has SHA-256 %s, not that of the known file, %s", path, found, self.sha256)
        return found


class DownloadFailed(UserError):
    """A file could not be fetched, or is not what it should be: the message names the URL and what was found."""


class _Cut(Exception):
    """A try ended early, and another one may get further."""


def is_offline() -> bool:
    """Whether ``NPLIB_OFFLINE`` forbids to download anything."""
    return os.environ.get("NPLIB_OFFLINE", "").lower() not in ("", "0", "false", "no")


def part_of(target: Path) -> Path:
    """Where what has arrived of a file is kept until it is whole."""
    return target.with_name(f"{target.name}.part")


def fetch(
    remote: RemoteFile,
    folder: str | os.PathLike,
    *,
    progress: bool = False,
    tries: int = 5,
    pause: float = 1.0,
    timeout: float = 30.0,
) -> Path:
    """Download a file into a folder, unless it is there already; an interrupted download goes on where it ended.

    Args:
        remote, folder (RemoteFile, path): The folder is made if it is not there.
        progress (bool): Whether to show a bar on stderr.
        tries (int): How many tries in a row may bring nothing new.
        pause (float): Seconds before the second try; doubled for each further one.
        timeout (float): Seconds without a byte after which a try counts as cut, and another process of the same
            download as hanging.

    Raises:
        DownloadFailed: If the server cannot be reached, does not have the file or keeps cutting off; if what it sends
            has another size or SHA-256; if a file of the name is there already and has another one; if the folder
            cannot be written to. What has arrived stays in ``NAME.part`` for the next time, unless it is wrong.
    """
    target = Path(folder) / remote.name
    try:
        while True:
            if target.is_file() and sha256_of(target) == remote.sha256:
                return target
            if target.exists():
                raise DownloadFailed(
                    f"{target} is there, and is not the file of {remote.url}, whose SHA-256 is {remote.sha256}; "
                    "move or delete it, or use it as it is by its path"
                )
            if is_offline():
                raise DownloadFailed(f"NPLIB_OFFLINE forbids to download {remote.name}; unset it, or get it elsewhere")
            target.parent.mkdir(parents=True, exist_ok=True)
            with _locked(part_of(target), timeout) as part:
                if part is not None:
                    with tqdm(desc=printable(remote.name), unit="B", unit_scale=True, disable=not progress) as bar:
                        _Download(remote, part_of(target), part, bar, timeout).run(tries, pause)
                    os.fsync(part.fileno())
                    os.replace(part_of(target), target)
                    return target
    except OSError as error:
        raise DownloadFailed(f"{target} cannot be written: {error}") from error


@contextmanager
def _locked(path: Path, patience: float) -> Iterator[BinaryIO | None]:
    """A part, open and ours alone; None once another process that had it is done. Removed if it stays empty."""
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0) as part:
        size, since = -1, 0.0
        while not lock(part.fileno()):
            if size != _size(part):
                if size < 0:
                    logger.warning("another process downloads %s; this one waits for it", path)
                size, since = _size(part), time.monotonic()
            elif time.monotonic() - since > patience:
                raise DownloadFailed(f"another process downloads {path} and gets no further; end it, or try later")
            time.sleep(0.05)
        if not (path.exists() and os.path.samestat(os.fstat(part.fileno()), path.stat())):
            yield None
            return
        try:
            yield part
        finally:
            if not _size(part):
                with suppress(OSError):
                    path.unlink()


def _size(part: BinaryIO) -> int:
    return os.fstat(part.fileno()).st_size


class _Download:
    """Brings a file over HTTP into its part, over as many tries as it takes."""

    def __init__(self, remote: RemoteFile, path: Path, part: BinaryIO, bar: tqdm, timeout: float) -> None:
        self.remote, self.path, self.part, self.bar, self.timeout = remote, path, part, bar, timeout
        self.knows_ranges = True
        self.begun = False  # whether anything has arrived
        self.pieced = _size(part) > 0  # whether it may be of different files

    def run(self, tries: int, pause: float) -> None:
        """Return once the part is the file; where pieces make another one, it is begun anew, once."""
        for _ in range(2):
            self._complete(tries, pause)
            found = sha256_of(self.path)
            if found == self.remote.sha256:
                return
            self.part.truncate(0)
            if not self.pieced:
                break
            self.pieced = False
            logger.warning("%s was not continued rightly; it is downloaded anew", self.remote.name)
        raise DownloadFailed(
            f"{self.remote.url} is not the file it should be, so {self.remote.name} is not kept: its SHA-256 is "
            f"{found}, not {self.remote.sha256}"
        )

    def _complete(self, tries: int, pause: float) -> None:
        import requests

        url = self.remote.url
        furthest, in_vain = _size(self.part), 0
        with requests.Session() as session:
            while _size(self.part) != self.remote.size:
                try:
                    return self._try(session)
                except _Cut as cut:
                    # What counts is how far it got: a server that starts anew and cuts at the same byte leads nowhere.
                    size = _size(self.part)
                    self.pieced = True
                    in_vain = 0 if size > furthest else in_vain + 1
                    furthest = max(furthest, size)
                    if in_vain >= tries:
                        raise DownloadFailed(
                            f"{url}: {cut}, and {tries} tries brought nothing new; {size:,} bytes are kept in "
                            f"{self.path}, and the next download goes on from there"
                        ) from cut
                    wait = min(pause * 2 ** max(0, in_vain - 1), LONGEST_PAUSE)
                    logger.warning("%s: %s after %d bytes; next try in %.3g s", url, cut, size, wait)
                    time.sleep(wait)

    def _try(self, session: requests.Session) -> None:
        """One request, and all that it brings; the part is whole if nothing is raised."""
        import requests
        import urllib3

        have = _size(self.part) if self.knows_ranges else 0
        # Compressed on the way, a file could not be continued at a byte of its own.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        try:
            with session.get(self.remote.url, headers=headers, stream=True, timeout=self.timeout) as response:
                self._receive(response, have)
        except urllib3.exceptions.HTTPError as error:
            raise _Cut(f"the connection was cut ({reason_of(error)})") from error
        except requests.RequestException as error:
            if not self.begun:  # a bad address, no trust, or nobody there
                raise DownloadFailed(f"{self.remote.url} cannot be reached ({reason_of(error)})") from error
            raise _Cut(f"the connection was cut ({reason_of(error)})") from error

    def _receive(self, response: requests.Response, have: int) -> None:
        status = response.status_code
        if status in PASSING_STATUS:
            raise _Cut(f"the server answered {status} {response.reason}")
        if status not in (200, 206, 416):
            raise DownloadFailed(f"{self.remote.url}: the server answered {status} {response.reason}")
        start, whole = _place(response)
        self._check_kind(response, whole)
        if status == 416:
            if whole is not None and whole < have:
                self.part.truncate(0)
                raise _Cut(f"the server has nothing from byte {have:,} on, so it is downloaded anew")
            return
        if status == 206 and start != have:
            self.knows_ranges = False
            raise _Cut(f"the server continued at byte {start} instead of {have:,}, so it is asked for the whole")
        # Not in chunks of one size: of a chunk that is cut, what had come of it would be lost.
        chunk = response.raw.read1(CHUNK_BYTES, decode_content=True)
        self.part.seek(0)
        begins_alike = chunk.startswith(self.part.read(len(chunk)))
        if status == 200 and (whole is None or whole < _size(self.part)) and not begins_alike:
            raise DownloadFailed(
                f"{self.remote.url}: the server sends something else than the {_size(self.part):,} bytes that are kept "
                f"in {self.path}; try again from another network, or delete that file"
            )
        # The whole file may come though a part was asked for: written over the part, it is the same bytes.
        self.part.seek(start)
        self.bar.total, self.bar.n = whole, start
        while chunk:
            self.part.write(chunk)
            self.begun = True
            self.bar.update(len(chunk))
            chunk = response.raw.read1(CHUNK_BYTES, decode_content=True)
        if self.part.tell() < max(whole or 0, _size(self.part)):
            raise _Cut(f"the server's answer ended at byte {self.part.tell():,}")

    def _check_kind(self, response: requests.Response, whole: int | None) -> None:
        """By what is told of the body, before any of it is taken: whether it can be the file, and has room."""
        url = self.remote.url
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise DownloadFailed(f"{url}: the server sends a page, to sign in perhaps, in place of {self.remote.name}")
        if whole is None:
            return
        if self.remote.size not in (None, whole):
            raise DownloadFailed(f"{url} is {whole:,} bytes long, and {self.remote.name} is {self.remote.size:,}")
        needed, free = whole - _size(self.part), shutil.disk_usage(self.path.parent).free
        if needed > free:
            raise DownloadFailed(
                f"{self.path.parent} has {free / 1e6:,.1f} MB free, and {url} needs {needed / 1e6:,.1f} MB more; make "
                "room, or name another folder"
            )


def _place(response: requests.Response) -> tuple[int, int | None]:
    """At which byte the body starts, and how long the whole file is; None where that is not told."""
    span, _, whole = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    if response.status_code != 200:
        start = span.partition("-")[0]
        return int(start) if start.isdigit() else -1, int(whole) if whole.isdigit() else None
    length = response.headers.get("Content-Length", "")
    encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    return 0, int(length) if length.isdigit() and not encoded else None


def reason_of(error: Exception) -> str:
    """What went wrong in a few words: libraries wrap it in objects and addresses."""
    inner = error.args[0] if error.args else None
    text = str(getattr(inner, "reason", inner) or error)
    return text.rpartition(">: ")[2] or type(error).__name__
