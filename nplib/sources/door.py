"""Where results come from: one door to NASBench-101, to parts or a surrogate of it, or to a file of one's own.

:func:`load` gives a :class:`~nplib.benchmark.Benchmark`; :func:`find` says what there is without loading anything.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from nplib._files import cache_folder, expand, sha256_of
from nplib.benchmark import SURROGATE, Benchmark
from nplib.errors import UserError
from nplib.sources.download import DownloadFailed, RemoteFile, fetch, is_offline, part_of
from nplib.sources.one_run import ONE_RUN, read_one_run
from nplib.sources.sample import SAMPLE, read_sample

logger = logging.getLogger(__name__)

NAMES = ("auto", "full", "one-run", SURROGATE, "sample")

# The whole of NASBench-101 as its authors publish it, the best first; what each is converted to.
OFFICIAL = {
    "full": RemoteFile(
        "nasbench_full.tfrecord",
        "https://storage.googleapis.com/nasbench/nasbench_full.tfrecord",
        "3d64db8180fb1b0207212f9032205064312b6907a3bbc81eabea10db2f5c7e9c",
        1950,
    ),
    "only108": RemoteFile(
        "nasbench_only108.tfrecord",
        "https://storage.googleapis.com/nasbench/nasbench_only108.tfrecord",
        "4c39c3936e36a85269881d659e44e61a245babcb72cb374eacacf75d0e5f4fd1",
        499,
    ),
}
# The first is also what the reference calls its own.
CONVERTED = {"full": "nasbench.hdf5", "only108": "nasbench_only108.hdf5"}


class Part(NamedTuple):
    """A part of NASBench-101 small enough to be downloaded when it is asked for, and kept."""

    variable: str  # of the environment, which may name a copy
    remote: RemoteFile
    read: Callable[[str | os.PathLike], Benchmark]


PARTS = {"one-run": Part("NPLIB_ONE_RUN", ONE_RUN, read_one_run), "sample": Part("NPLIB_SAMPLE", SAMPLE, read_sample)}
SECONDS_TO_REACH = 4.0  # within which a server must answer before "auto" goes on without it


class DataUnavailable(UserError):
    """Results are asked for that are not here and cannot be had: the message says how to get them."""


class Found(NamedTuple):
    """A source and what there is of it.

    Attributes
    ----------
    name : str
        As :func:`load` takes it; ``"file"`` for a path.
    state : str
        ``"ready"``, ``"to convert"`` or ``"to download"`` where :func:`load` does the rest by itself; ``"missing"``
        where it cannot.
    where : str
        The file, or what to do.
    """

    name: str
    state: str
    where: str

    @property
    def is_here(self) -> bool:
        """Whether it can be loaded without a download."""
        return self.state in ("ready", "to convert")


def data_folder(folder: str | os.PathLike | None = None) -> Path:
    """The folder of data: the one given, ``NPLIB_DATA``, or ``data`` here, or beside this folder if there is none here.

    The last is for notebooks, which run in a folder of their own.
    """
    if folder is not None:
        return expand(folder)
    if os.environ.get("NPLIB_DATA"):
        return expand(os.environ["NPLIB_DATA"])
    beside = Path("..", "data")
    return beside if beside.is_dir() and not Path("data").is_dir() else Path("data")


def find(data: str | os.PathLike = "auto", folder: str | os.PathLike | None = None) -> list[Found]:
    """What there is of a source; of every one for ``"auto"``, the first that is here or can be had being the one taken.

    Nothing is downloaded, converted or read.

    Parameters
    ----------
    data : str or path
        As for :func:`load`.
    folder : path, optional
        As for :func:`data_folder`.

    Returns
    -------
    list of Found
    """
    folder = data_folder(folder)
    if data == "auto":
        return [find(name, folder)[0] for name in NAMES[1:]]
    if data == "full":
        return [_find_full(folder)]
    if data == SURROGATE:
        return [Found(SURROGATE, "ready", "ships with nplib")]
    if data in PARTS:
        return [_find_part(str(data), folder)]
    return [_find_file(expand(data))]


def choose(folder: str | os.PathLike | None = None, *, progress: bool = False) -> str:
    """The name of the source that ``"auto"`` stands for now; which, and why, is logged in one line.

    That is ``"full"`` if it is here; else ``"one-run"`` if it is here or can be downloaded now; else ``"surrogate"``.
    The sample, which has few of the cells, is taken only when it is named. Parameters as for :func:`load`.

    Raises
    ------
    DataUnavailable
        If ``NPLIB_ONE_RUN`` names what is no file.
    """
    folder = data_folder(folder)
    if _find_full(folder).is_here:
        logger.info("auto takes full: the best there is")
        return "full"
    why = f"full is not in {folder}"
    try:
        _part_file("one-run", folder, progress, patient=False)
    except DownloadFailed as error:
        logger.info("auto takes %s: %s, and one-run cannot be had: %s", SURROGATE, why, error)
        return SURROGATE
    logger.info("auto takes one-run: %s, and one-run has a real result of every cell", why)
    return "one-run"


def load(
    data: str | os.PathLike = "auto", *, folder: str | os.PathLike | None = None, progress: bool = False
) -> Benchmark:
    """Results to work with, from wherever they are; which were taken, and why, is logged.

    Parameters
    ----------
    data : str or path
        - ``"full"``: the whole of NASBench-101, from ``nasbench.hdf5`` in the folder of data or from an official
          tfrecord there, which is converted once. It is never downloaded here: see :func:`fetch_full`.
        - ``"one-run"``: one real test accuracy of every cell, that of run 0 after 108 epochs.
        - ``"surrogate"``: all cells with the results of a model that was fitted to real ones, not measurements; see
          :func:`nplib.sources.surrogate.load_surrogate`. It needs no file: it is made once and kept in the cache.
        - ``"sample"``: 20,001 real cells, with the best validation accuracy of three runs.
        - ``"auto"``: what :func:`choose` gives.
        - a path to an ``.hdf5``, a ``.tfrecord`` (converted once, to beside it), the one run's ``.npy`` or the sample's
          ``.json``.

        The one run and the sample are the file that ``NPLIB_ONE_RUN`` or ``NPLIB_SAMPLE`` names, or lie in the folder
        of data or in the cache, or are downloaded (3.4 and 2.9 MB): to the folder of data if there is one, else to
        the cache. Nothing is downloaded where ``NPLIB_OFFLINE`` is set.
    folder : path, optional
        As for :func:`data_folder`.
    progress : bool
        Whether to show bars of downloads and conversions on stderr.

    Returns
    -------
    Benchmark

    Raises
    ------
    DataUnavailable
        If it is not here and cannot be downloaded, or is not known; the message says how to get it.
    nplib.errors.UserError
        If the file is not what it should be: ``BadOneRun``, ``BadSample``, ``BadBenchmark``, ``BadRecord``.
    """
    folder = data_folder(folder)
    if data == "auto":
        data = choose(folder, progress=progress)
    if data == "full":
        return _load_full(folder, progress)
    if data == SURROGATE:
        return _load_surrogate()
    if data in PARTS:
        return _load_part(str(data), folder, progress)
    found = find(data, folder)[0]
    if not found.is_here:
        raise DataUnavailable(found.where)
    return _load_file(expand(data), progress)


def fetch_full(
    folder: str | os.PathLike | None = None,
    which: str = "full",
    *,
    progress: bool = False,
    url: str | None = None,
) -> Path:
    """Download an official file into the folder of data; :func:`load` converts it when it is first asked for.

    Parameters
    ----------
    folder : path, optional
        As for :func:`data_folder`.
    which : str
        ``"full"``: every budget, 1.95 GB. ``"only108"``: 108 epochs only, 499 MB.
    progress : bool
        Whether to show a bar on stderr.
    url : str, optional
        A mirror to take it from; what comes must have the same SHA-256.

    Returns
    -------
    Path
        The tfrecord.

    Raises
    ------
    DataUnavailable
        If it cannot be downloaded; what has arrived is kept for the next time.
    """
    if which not in OFFICIAL:
        raise DataUnavailable(f"no official file is called {which!r}; there are {', '.join(OFFICIAL)}")
    remote = OFFICIAL[which]
    if url is not None:
        remote = RemoteFile(remote.name, url, remote.sha256, remote.megabytes)
    folder = data_folder(folder)
    try:
        return fetch(remote, folder, progress=progress)
    except DownloadFailed as error:
        raise DataUnavailable(
            f"{error}. Try again later, or get {remote.name} in another way and put it into {folder}"
        ) from error


def find_records(path: str | os.PathLike = "", folder: str | os.PathLike | None = None) -> Path | None:
    """A file of records to look at one by one: the one named, or ``NPLIB_TFRECORD``, or an official one among the data.

    Parameters
    ----------
    path : path, optional
        Empty: not named.
    folder : path, optional
        As for :func:`data_folder`.

    Returns
    -------
    Path or None
        None if none is named, and there is none.

    Raises
    ------
    DataUnavailable
        If the one that is named is no file.
    """
    for name, who in ((path, "the argument"), (os.environ.get("NPLIB_TFRECORD", ""), "NPLIB_TFRECORD")):
        if os.fspath(name):
            if not expand(name).is_file():
                raise DataUnavailable(f"{who} names {name}, which is no file; name a tfrecord, or none")
            return expand(name)
    folder = data_folder(folder)
    return next((folder / remote.name for remote in OFFICIAL.values() if (folder / remote.name).is_file()), None)


def _find_full(folder: Path) -> Found:
    for which, remote in OFFICIAL.items():
        if (folder / CONVERTED[which]).is_file():
            return Found("full", "ready", str(folder / CONVERTED[which]))
        if (folder / remote.name).is_file():
            return Found("full", "to convert", str(folder / remote.name))
    names = ", ".join(f"{CONVERTED[which]}, {remote.name}" for which, remote in OFFICIAL.items())
    downloads = " or ".join(
        f"nplib data --download {which} ({remote.megabytes:,} MB{_arrived(folder, remote)})"
        for which, remote in OFFICIAL.items()
    )
    return Found("full", "missing", f"none of {names} is in {folder}; put one there, or run {downloads}")


def _arrived(folder: Path, remote: RemoteFile) -> str:
    """How much of a download is there already, in words."""
    part = part_of(folder / remote.name)
    return f", of which {part.stat().st_size / 1e6:,.0f} are here" if part.is_file() else ""


def _find_part(name: str, folder: Path) -> Found:
    variable, remote, _ = PARTS[name]
    if named := os.environ.get(variable):
        if expand(named).is_file():
            return Found(name, "ready", str(expand(named)))
        return Found(name, "missing", f"{variable} names {named}, which is no file; mend or unset it")
    kept = folder / remote.name
    if not kept.is_file() and (in_cache := _in_cache(remote)):
        kept = in_cache
    if kept.is_file():
        return Found(name, "ready", str(kept))
    if is_offline():
        return Found(name, "missing", f"{remote.name} is not in {folder}, and NPLIB_OFFLINE forbids to download it")
    return Found(name, "to download", f"{remote.megabytes} MB from {remote.url}")


def _in_cache(remote: RemoteFile) -> Path | None:
    """Where a part is kept that was downloaded where there is no folder of data; None if there is no cache either."""
    try:
        return cache_folder() / remote.name
    except OSError:
        return None


def _find_file(path: Path) -> Found:
    kinds = (".hdf5", ".h5", ".tfrecord", ".npy", ".json")
    if path.suffix not in kinds:
        known = f"neither a source ({', '.join(NAMES)}) nor the path of an {', '.join(kinds[:-1])} or {kinds[-1]}"
        return Found("file", "missing", f"{str(path)!r} is {known}")
    if not path.is_file():
        return Found("file", "missing", f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; name a file")
    if path.suffix == ".tfrecord" and not path.with_suffix(".hdf5").is_file():
        return Found("file", "to convert", str(path))
    return Found("file", "ready", str(path))


def _load_full(folder: Path, progress: bool) -> Benchmark:
    for which, remote in OFFICIAL.items():
        source, target = folder / remote.name, folder / CONVERTED[which]
        if target.is_file():
            logger.info("full: %s", target)
            return Benchmark.open(target)
        if source.is_file():
            benchmark = _load_converted(source, target, progress)
            if benchmark.sha256 != remote.sha256:
                logger.warning("%s has SHA-256 %s; it is not the official file", source, benchmark.sha256)
            return benchmark
    raise DataUnavailable(f"full is not here: {_find_full(folder).where}")


def _load_surrogate() -> Benchmark:
    from nplib.sources.surrogate import load_surrogate

    benchmark = load_surrogate()
    logger.info("surrogate: %s", benchmark.labels)
    return benchmark


def _load_part(name: str, folder: Path, progress: bool) -> Benchmark:
    variable, remote, read = PARTS[name]
    try:
        path = _part_file(name, folder, progress)
    except DownloadFailed as error:
        raise DataUnavailable(
            f"{name} is not here: {error}. Get the file in another way and put it into {folder} as {remote.name}, or "
            f"set {variable} to its path; or use {SURROGATE}, which needs no file; or full: {_find_full(folder).where}"
        ) from error
    logger.info("%s: %s", name, path)
    return read(path)


def _part_file(name: str, folder: Path, progress: bool, patient: bool = True) -> Path:
    """The file of a part, downloaded unless it is here; if not patient, only from a server that answers at once."""
    remote = PARTS[name].remote
    found = _find_part(name, folder)
    if found.is_here:
        return Path(found.where)
    if found.state == "missing":
        raise (DataUnavailable if os.environ.get(PARTS[name].variable) else DownloadFailed)(found.where)
    if not (folder.is_dir() and _may_write(folder)) and (in_cache := _in_cache(remote)):
        folder = in_cache.parent
    if patient:
        return fetch(remote, folder, progress=progress)
    _check_reached(remote.url)
    return fetch(remote, folder, progress=progress, tries=1, timeout=SECONDS_TO_REACH)


def _check_reached(url: str) -> None:
    """Raise DownloadFailed unless a server answers soon. Names may take long to resolve, hence the thread."""
    import requests

    answers: list[object] = []

    def ask() -> None:
        try:
            answers.append(requests.head(url, timeout=SECONDS_TO_REACH))
        except requests.RequestException as error:
            answers.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(SECONDS_TO_REACH)
    if not answers:
        raise DownloadFailed(f"{url} does not answer")


def _load_file(path: Path, progress: bool) -> Benchmark:
    if path.suffix in (".npy", ".json"):
        return read_one_run(path) if path.suffix == ".npy" else read_sample(path)
    if path.suffix == ".tfrecord":
        return _load_converted(path, path.with_suffix(".hdf5"), progress)
    return Benchmark.open(path)


def _load_converted(source: Path, target: Path, progress: bool) -> Benchmark:
    """The conversion of a tfrecord, made unless it is there: at the target, or where we may write, if not there."""
    from nplib.convert import convert_tfrecord

    if target.is_file():
        benchmark = Benchmark.open(target)
        if benchmark.sha256 != sha256_of(source):
            raise DataUnavailable(
                f"{target} is there, and was not made from {source}; name the one you mean by its path, or convert it "
                f"yourself: nplib convert {source} {target} --overwrite"
            )
        logger.info("%s was converted before, to %s", source, target)
        return benchmark
    if not _may_write(target.parent):
        target = cache_folder() / f"{source.stem}-{sha256_of(source)[:16]}.hdf5"
        if target.is_file():
            logger.info("%s was converted before, to %s", source, target)
            return Benchmark.open(target)
    logger.info("%s is converted, once, to %s", source, target)
    # Another process may be doing the same: both write the same, and whole.
    convert_tfrecord(source, target, overwrite=True, progress=progress)
    return Benchmark.open(target)


def _may_write(folder: Path) -> bool:
    """Whether files may be made in a folder; one that its owner closed stays closed to root, who could."""
    return os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)
