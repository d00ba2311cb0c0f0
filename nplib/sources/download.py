"""Download a file whole: checked against its SHA-256, resumed after a cut, under its name only once it is right.

pooch checks the file and puts it in place. Its own downloader starts anew after every cut, which hurts at 2 GB;
the one here keeps what has arrived in ``NAME.part`` beside the target, and goes on from there.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from nplib._files import sha256_of
from nplib.errors import UserError

logger = logging.getLogger(__name__)

CHUNK_BYTES = 2**18
LONGEST_PAUSE = 30.0  # seconds
# Answers that may be another one in a moment; others (not found, forbidden) stay what they are.
PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server, and what it must be.

    Attributes
    ----------
    name : str
        What it is called here.
    url : str
    sha256 : str
    megabytes : float
        Size in MB, to tell a person; nothing is checked against it.
    size : int, optional
        Size in bytes, where it is known.
    """

    name: str
    url: str
    sha256: str
    megabytes: float
    size: int | None = None


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

    Parameters
    ----------
    remote : RemoteFile
    folder : path
        Made if it is not there.
    progress : bool
        Whether to show a bar on stderr.
    tries : int
        How many tries in a row may bring nothing new before this is given up.
    pause : float
        Seconds before the second try; doubled for each further one.
    timeout : float
        Seconds without a byte after which a try counts as cut.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    DownloadFailed
        If the server cannot be reached, does not have the file or keeps cutting off; if what it sends has another
        SHA-256, which is then removed; if a file of the name is there already and has another one; if the folder
        cannot be written to. What has arrived stays in ``NAME.part`` for the next time.
    """
    import pooch

    target = Path(folder) / remote.name
    part = part_of(target)
    if target.is_file() and sha256_of(target) == remote.sha256:
        return target
    if target.exists():
        raise DownloadFailed(
            f"{target} is there, and is not the file of {remote.url}, whose SHA-256 is {remote.sha256}; "
            "move or delete it, or use it as it is by its path"
        )
    if is_offline():
        raise DownloadFailed(f"NPLIB_OFFLINE forbids to download {remote.name}; unset it, or get the file another way")
    # pooch reports to a handler of its own; everything worth saying is said here.
    pooch.get_logger().setLevel(logging.WARNING)
    while True:
        resumed = part.exists()
        downloader = ResumingDownloader(part, progress, tries, pause, timeout)
        try:
            pooch.retrieve(remote.url, f"sha256:{remote.sha256}", remote.name, target.parent, downloader=downloader)
            return target
        except UserError:
            raise
        except ValueError as error:
            # The part that was there may have been of another file; what has come in one piece was not.
            if not resumed:
                raise DownloadFailed(
                    f"{remote.url} is not the file it should be, so {remote.name} is not kept. {error}"
                ) from error
            logger.warning("%s was not continued rightly; it is downloaded anew", remote.name)
        except OSError as error:
            raise DownloadFailed(f"{target} cannot be written: {error}") from error


class ResumingDownloader:
    """Brings a file over HTTP into ``part``, over as many tries as it takes, and then to where pooch wants it.

    Takes what :func:`fetch` takes; called by pooch.
    """

    def __init__(self, part: Path, progress: bool, tries: int, pause: float, timeout: float) -> None:
        self.part = part
        self.progress = progress
        self.tries = tries
        self.pause = pause
        self.timeout = timeout
        self._etag = ""
        self._begun = False  # whether anything has arrived

    def __call__(self, url: str, output_file: str | os.PathLike, pooch: object = None) -> None:
        import requests

        furthest = self._size()
        in_vain = 0
        with (
            requests.Session() as session,
            tqdm(desc=self.part.stem, unit="B", unit_scale=True, initial=furthest, disable=not self.progress) as bar,
        ):
            while True:
                try:
                    self._try(session, url, bar)
                    break
                except _Cut as cut:
                    # What counts is how far it got: a server that starts anew and cuts at the same byte leads nowhere.
                    in_vain = 0 if self._size() > furthest else in_vain + 1
                    furthest = max(furthest, self._size())
                    if in_vain >= self.tries:
                        raise DownloadFailed(
                            f"{url}: {cut}, and {self.tries} tries brought nothing new; "
                            f"{self._size():,} bytes are kept in {self.part}, and the next download goes on from there"
                        ) from cut
                    wait = min(self.pause * 2 ** max(0, in_vain - 1), LONGEST_PAUSE)
                    logger.warning("%s: %s after %d bytes; next try in %.3g s", url, cut, self._size(), wait)
                    time.sleep(wait)
        os.replace(self.part, output_file)

    def _size(self) -> int:
        try:
            return self.part.stat().st_size
        except FileNotFoundError:
            return 0

    def _try(self, session, url: str, bar: tqdm) -> None:
        """One request, and all that it brings; the part is whole if nothing is raised."""
        import requests
        import urllib3

        have = self._size()
        # Compressed on the way, a file could not be continued at a byte of its own.
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self._etag:
                headers["If-Range"] = self._etag
        try:
            with session.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
                self._receive(response, url, have, bar)
        except urllib3.exceptions.HTTPError as error:
            raise _Cut(f"the connection was cut ({_reason(error)})") from error
        except requests.RequestException as error:
            if _is_hopeless(error, self._begun):
                raise DownloadFailed(f"{url} cannot be reached ({_reason(error)})") from error
            raise _Cut(f"the connection was cut ({_reason(error)})") from error

    def _receive(self, response, url: str, have: int, bar: tqdm) -> None:
        status = response.status_code
        start, total = _content_range(response.headers.get("Content-Range", ""))
        if status == 416 and have:
            if total == have:
                return
            self.part.unlink()
            raise _Cut(f"the server has nothing from byte {have:,} on, so it is downloaded anew")
        if status == 206 and start != have:
            self.part.unlink(missing_ok=True)
            raise _Cut(f"the server continued at byte {start} instead of {have:,}, so it is downloaded anew")
        if status in PASSING_STATUS:
            raise _Cut(f"the server answered {status} {response.reason}")
        if status not in (200, 206):
            raise DownloadFailed(f"{url}: the server answered {status} {response.reason}")
        if status == 200:
            # The whole file, whether or not a range was asked for: the server knows none, or the file has changed.
            have = 0
            total = _length(response)
        etag = response.headers.get("ETag", "")
        self._etag = "" if etag.startswith("W/") else etag
        free = shutil.disk_usage(self.part.parent).free
        if total is not None and total - have > free:
            raise DownloadFailed(
                f"{self.part.parent} has {free / 1e6:,.1f} MB free, and {url} needs {(total - have) / 1e6:,.1f} MB "
                "more; make room, or name another folder"
            )
        bar.total = total
        bar.n = have
        bar.refresh()
        with open(self.part, "ab" if status == 206 else "wb") as file:
            # Not in chunks of one size: of a chunk that is cut, what had come of it would be lost.
            while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
                file.write(chunk)
                self._begun = True
                bar.update(len(chunk))
        if total is not None and self._size() < total:
            raise _Cut(f"the connection was cut before byte {total:,}")


def _content_range(header: str) -> tuple[int | None, int | None]:
    """First byte and size of the whole, from ``bytes 10-19/200`` or ``bytes */200``; None where it does not say."""
    _, _, rest = header.partition("bytes ")
    span, _, total = rest.partition("/")
    start = span.partition("-")[0]
    return int(start) if start.isdigit() else None, int(total) if total.isdigit() else None


def _length(response) -> int | None:
    """Size of the body; None where it is not told, or is that of a compressed body."""
    length = response.headers.get("Content-Length", "")
    encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    return int(length) if length.isdigit() and not encoded else None


def _is_hopeless(error: Exception, begun: bool) -> bool:
    """Whether trying again would only waste time: a bad address, no trust, or nobody there from the first."""
    import requests
    from urllib3.exceptions import NewConnectionError

    if isinstance(error, requests.exceptions.SSLError | requests.exceptions.ProxyError):
        return True
    if isinstance(error, requests.ConnectTimeout) or isinstance(_cause(error), NewConnectionError):
        return not begun
    return not isinstance(error, requests.ConnectionError | requests.Timeout)


def _cause(error: Exception) -> object:
    inner = error.args[0] if error.args else None
    return getattr(inner, "reason", inner)


def _reason(error: Exception) -> str:
    """What went wrong in a few words: libraries wrap it in objects and addresses."""
    text = str(_cause(error) or error)
    return text.rpartition(">: ")[2] or type(error).__name__
