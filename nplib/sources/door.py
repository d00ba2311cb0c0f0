"""Where results come from: one door to NASBench-101, to a surrogate or a sample of it, or to a file of one's own.

:func:`load` gives a :class:`~nplib.benchmark.Benchmark`; :func:`find` says what there is without loading anything.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import NamedTuple

from nplib._files import cache_folder, sha256_of
from nplib.benchmark import SURROGATE, Benchmark
from nplib.errors import UserError
from nplib.sources.download import DownloadFailed, RemoteFile, fetch, part_of
from nplib.sources.sample import SAMPLE, read_sample

logger = logging.getLogger(__name__)

NAMES = ("auto", "full", SURROGATE, "sample")

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
        return Path(folder)
    if os.environ.get("NPLIB_DATA"):
        return Path(os.environ["NPLIB_DATA"])
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
    finders = {"full": _find_full, SURROGATE: _find_surrogate, "sample": _find_sample}
    if data == "auto":
        return [finder(folder) for finder in finders.values()]
    if data in finders:
        return [finders[data](folder)]
    return [_find_file(Path(data))]


def load(
    data: str | os.PathLike = "auto",
    *,
    folder: str | os.PathLike | None = None,
    progress: bool = False,
    sample: RemoteFile = SAMPLE,
) -> Benchmark:
    """Results to work with, from wherever they are; which were taken, and why, is logged.

    Parameters
    ----------
    data : str or path
        - ``"full"``: the whole of NASBench-101, from ``nasbench.hdf5`` in the folder of data or from an official
          tfrecord there, which is converted once. It is never downloaded here: see :func:`fetch_full`.
        - ``"surrogate"``: all cells with the results of a model that was fitted to real ones, not measurements; see
          :func:`nplib.sources.surrogate.load_surrogate`. It needs no file: it is made once and kept in the cache.
        - ``"sample"``: 20,001 real cells, from the file ``NPLIB_SAMPLE``, from ``data-20k.json`` in the folder of
          data, or downloaded to there (2.9 MB).
        - ``"auto"``: ``"full"`` if it is here, otherwise ``"surrogate"``. The sample is taken only when it is named.
        - a path to an ``.hdf5``, a ``.tfrecord`` (converted once, to beside it) or the sample's ``.json``.
    folder : path, optional
        As for :func:`data_folder`.
    progress : bool
        Whether to show bars of downloads and conversions on stderr.
    sample : RemoteFile
        Where to download the sample from, a mirror for instance.

    Returns
    -------
    Benchmark

    Raises
    ------
    DataUnavailable
        If it is not here and cannot be downloaded, or is not known; the message says how to get it.
    nplib.sources.sample.BadSample, nplib.benchmark.BadBenchmark, nplib.records.frames.BadRecord
        If the file is not what it should be.
    """
    folder = data_folder(folder)
    if data == "auto":
        full = _find_full(folder)
        data = "full" if full.is_here else SURROGATE
        missing = f"full is not in {folder}; the sample, which has few of the cells, is only taken when it is named"
        logger.info("auto takes %s: %s", data, "the best there is" if full.is_here else missing)
    if data == "full":
        return _load_full(folder, progress)
    if data == SURROGATE:
        return _load_surrogate()
    if data == "sample":
        path = _sample_file(folder, progress, sample)
        logger.info("sample: %s", path)
        return read_sample(path)
    found = find(data, folder)[0]
    if not found.is_here:
        raise DataUnavailable(found.where)
    return _load_file(Path(data), progress)


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
            if not Path(name).is_file():
                raise DataUnavailable(f"{who} names {name}, which is no file; name a tfrecord, or none")
            return Path(name)
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


def _find_surrogate(folder: Path) -> Found:
    return Found(SURROGATE, "ready", "ships with nplib")


def _find_sample(folder: Path) -> Found:
    named = os.environ.get("NPLIB_SAMPLE")
    if named:
        if Path(named).is_file():
            return Found("sample", "ready", named)
        return Found("sample", "missing", f"NPLIB_SAMPLE names {named}, which is no file; mend or unset it")
    if (folder / SAMPLE.name).is_file():
        return Found("sample", "ready", str(folder / SAMPLE.name))
    return Found("sample", "to download", f"{SAMPLE.megabytes} MB from {SAMPLE.url}")


def _find_file(path: Path) -> Found:
    if path.suffix not in (".hdf5", ".h5", ".tfrecord", ".json"):
        return Found(
            "file",
            "missing",
            f"{str(path)!r} is neither a source ({', '.join(NAMES)}) nor the path of an .hdf5, .h5, .tfrecord or .json",
        )
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


def _sample_file(folder: Path, progress: bool, remote: RemoteFile) -> Path:
    found = _find_sample(folder)
    if found.is_here:
        return Path(found.where)
    if found.state == "missing":
        raise DataUnavailable(found.where)
    try:
        return fetch(remote, folder, progress=progress)
    except DownloadFailed as error:
        raise DataUnavailable(
            f"the sample is not here: {error}. Get the file in another way and put it into {folder} as {SAMPLE.name}, "
            f"or set NPLIB_SAMPLE to its path; or use {SURROGATE}, which needs no file; or full: "
            f"{_find_full(folder).where}"
        ) from error


def _load_file(path: Path, progress: bool) -> Benchmark:
    if path.suffix == ".json":
        return read_sample(path)
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
