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

from nplib._files import cache_folder, cache_folders, expand, sha256_of
from nplib.benchmark import SURROGATE, Benchmark
from nplib.errors import UserError
from nplib.records.official_files import OFFICIAL_FILES
from nplib.sources.download import DownloadFailed, RemoteFile, fetch, is_offline, part_of, reason_of
from nplib.sources.one_run import ONE_RUN, read_one_run
from nplib.sources.sample import SAMPLE, read_sample

logger = logging.getLogger(__name__)

NAMES = ("auto", "full", "one-run", SURROGATE, "sample")

OFFICIAL = {which: RemoteFile(**vars(file)) for which, file in OFFICIAL_FILES.items()}
# The first is also what the reference calls its own.
CONVERTED = {"full": "nasbench.hdf5", "only108": "nasbench_only108.hdf5"}


# Parts of it, small enough to be downloaded when they are asked for; variables may name copies.
PARTS = {"one-run": ONE_RUN, "sample": SAMPLE}
VARIABLES = {"one-run": "NPLIB_ONE_RUN", "sample": "NPLIB_SAMPLE"}
SUFFIXES = (".hdf5", ".h5", ".tfrecord", ".npy", ".json")
SECONDS_TO_REACH = 4.0  # within which a server must answer before "auto" goes on without it


class DataUnavailable(UserError):
    """Results are asked for that are not here and cannot be had: the message says how to get them."""


class Found(NamedTuple):
    """A source, as :func:`load` takes it or ``"file"``, and what there is of it.

    Its state is ``"ready"``, ``"to convert"`` or ``"to download"`` where :func:`load` does the rest by itself, and
    ``"missing"`` where it cannot; ``where`` is the file, or says what to do.
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
    if folder is not None or os.environ.get("NPLIB_DATA"):
        return expand(os.environ["NPLIB_DATA"] if folder is None else folder)
    beside = Path("..", "data")
    return beside if beside.is_dir() and not Path("data").is_dir() else Path("data")


def find(data: str | os.PathLike = "auto", folder: str | os.PathLike | None = None) -> list[Found]:
    """What there is of a source, or for ``"auto"`` of every one, in the order in which they are taken.

    Nothing is downloaded, converted or read. Arguments as for :func:`load`.
    """
    folder = data_folder(folder)
    if data == "auto":
        return [find(name, folder)[0] for name in NAMES[1:]]
    if data == "full":
        return [_find_full(folder)]
    if data == SURROGATE:
        return [Found(SURROGATE, "ready", "ships with nplib")]
    return [_find_part(str(data), folder) if data in PARTS else _find_file(expand(data))]


def locate(data: str | os.PathLike, folder: str | os.PathLike | None = None) -> Found:
    """One source that :func:`load` can load; arguments as for that, but not ``"auto"``.

    Raises:
        DataUnavailable: If it is missing.
    """
    (found,) = find(data, folder)
    if found.state == "missing":
        what = "" if found.name == "file" else f"{found.name} is not here: "
        ways = f". You can {_other_ways(PARTS[found.name], data_folder(folder))}" if found.name in PARTS else ""
        raise DataUnavailable(f"{what}{found.where}{ways}")
    return found


def choose(
    folder: str | os.PathLike | None = None, *, progress: bool = False, say: Callable[[str], object] = logger.info
) -> str:
    """The name of the source that ``"auto"`` stands for now; which, and why, is said in one line.

    That is ``"full"`` if it is here; else ``"one-run"`` if it is here or can be downloaded now; else ``"surrogate"``.
    The sample, which has few of the cells, is taken only when it is named. Arguments as for :func:`load`.

    Raises:
        DataUnavailable: If ``NPLIB_ONE_RUN`` names what is no file.
    """
    folder = data_folder(folder)
    if _find_full(folder).is_here:
        say("auto takes full: the best there is")
        return "full"
    found = _find_part("one-run", folder)
    if found.state == "missing" and os.environ.get(VARIABLES["one-run"]):
        raise DataUnavailable(found.where)
    why = "" if found.is_here else found.where
    if found.state == "to download":
        why = _fetch_at_once(PARTS["one-run"], folder, progress)
    if why:
        say(f"auto takes {SURROGATE}: full is not in {folder}, and one-run cannot be had: {why}")
        return SURROGATE
    say(f"auto takes one-run: full is not in {folder}, and one-run has a real result of every cell")
    return "one-run"


def load(
    data: str | os.PathLike = "auto",
    *,
    folder: str | os.PathLike | None = None,
    progress: bool = False,
    say: Callable[[str], object] = logger.info,
) -> Benchmark:
    """Results to work with, from wherever they are.

    Args:
        data (str or path): A path to an ``.hdf5``, a ``.tfrecord`` (converted once, to beside it), the one run's
            ``.npy`` or the sample's ``.json``; or a name:

            - ``"full"``: the whole of NASBench-101, from ``nasbench.hdf5`` in the folder of data or from an official
              tfrecord there, which is converted once. It is never downloaded here: see :func:`fetch_full`.
            - ``"one-run"``: one real test accuracy of every cell, that of run 0 after 108 epochs.
            - ``"surrogate"``: all cells with the results of a model that was fitted to real ones, not measurements; see
              :func:`nplib.sources.surrogate.load_surrogate`. It needs no file: it is made once and kept in the cache.
            - ``"sample"``: 20,001 real cells, with the best validation accuracy of three runs.
            - ``"auto"``: what :func:`choose` gives.

            The one run and the sample are the file that ``NPLIB_ONE_RUN`` or ``NPLIB_SAMPLE`` names, or lie in the
            folder of data or in the cache, or are downloaded (3.4 and 2.9 MB): to the folder of data if there is one,
            else to the cache. Nothing is downloaded where ``NPLIB_OFFLINE`` is set.
        folder (path, optional): As for :func:`data_folder`.
        progress (bool): Whether to show bars of downloads and conversions on stderr.
        say (callable): Is given the line that tells what ``"auto"`` takes, and why.

    Raises:
        DataUnavailable: If it is not here and cannot be downloaded, or is not known; the message says how to get it.
        nplib.errors.UserError: If the file is not what it should be: ``BadOneRun``, ``BadSample``, ``BadBenchmark``,
            ``BadRecord``.
    """
    folder = data_folder(folder)
    name = choose(folder, progress=progress, say=say) if data == "auto" else data
    if name == SURROGATE:
        from nplib.sources.surrogate import load_surrogate

        benchmark = load_surrogate()
        logger.info("surrogate: %s", benchmark.labels)
        return benchmark
    found = locate(name, folder)
    path = Path(found.where) if found.is_here else _download(PARTS[str(name)], folder, progress)
    logger.info("%s: %s", found.name, path)
    return _read(path, progress)


def fetch_full(folder: str | os.PathLike | None = None, which: str = "full", *, progress: bool = False) -> Path:
    """Download an official tfrecord into the folder of data; :func:`load` converts it when it is first asked for.

    ``"full"`` has every budget, 1.95 GB; ``"only108"`` 108 epochs only, 499 MB. Other arguments as for :func:`load`.

    Raises:
        DataUnavailable: If it cannot be downloaded; what has arrived is kept for the next time.
    """
    if which not in OFFICIAL:
        raise DataUnavailable(f"no official file is called {which!r}; there are {', '.join(OFFICIAL)}")
    return _download(OFFICIAL[which], data_folder(folder), progress)


def find_records(path: str | os.PathLike = "", folder: str | os.PathLike | None = None) -> Path | None:
    """A file of records to look at one by one: the one named, or ``NPLIB_TFRECORD``, or an official one among the data.

    None if none is named, and there is none. An empty path names none.

    Raises:
        DataUnavailable: If the one that is named is no file.
    """
    for name, who in ((path, "the argument"), (os.environ.get("NPLIB_TFRECORD", ""), "NPLIB_TFRECORD")):
        if os.fspath(name):
            if not expand(name).is_file():
                raise DataUnavailable(f"{who} names {name}, which is no file; name a tfrecord, or none")
            return expand(name)
    official = (data_folder(folder) / remote.name for remote in OFFICIAL.values())
    return next((path for path in official if path.is_file()), None)


def _find_full(folder: Path) -> Found:
    for which, remote in OFFICIAL.items():
        for name, state in ((CONVERTED[which], "ready"), (remote.name, "to convert")):
            if (folder / name).is_file():
                return Found("full", state, str(folder / name))
    names = ", ".join(f"{CONVERTED[which]}, {remote.name}" for which, remote in OFFICIAL.items())
    ways = []
    for which, remote in OFFICIAL.items():
        part = part_of(folder / remote.name)
        arrived = f", of which {part.stat().st_size / 1e6:,.0f} are here" if part.is_file() else ""
        ways.append(f"nplib data --download {which} ({remote.megabytes:,} MB{arrived})")
    return Found("full", "missing", f"none of {names} is in {folder}; put one there, or run {' or '.join(ways)}")


def _find_part(name: str, folder: Path) -> Found:
    remote = PARTS[name]
    if named := os.environ.get(VARIABLES[name]):
        if expand(named).is_file():
            return Found(name, "ready", str(expand(named)))
        return Found(name, "missing", f"{VARIABLES[name]} names {named}, which is no file; mend or unset it")
    for kept in (folder, *cache_folders()):
        if (kept / remote.name).is_file():
            return Found(name, "ready", str(kept / remote.name))
    if is_offline():
        return Found(name, "missing", "NPLIB_OFFLINE forbids to download it")
    return Found(name, "to download", f"{remote.megabytes} MB from {remote.url}")


def _find_file(path: Path) -> Found:
    if path.suffix not in SUFFIXES:
        known = f"neither a source ({', '.join(NAMES)}) nor the path of an {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        return Found("file", "missing", f"{str(path)!r} is {known}")
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is no regular file" if path.exists() else "does not exist"
        return Found("file", "missing", f"{path} {what}; name a file")
    converted = path.suffix != ".tfrecord" or _converted(path).is_file()
    return Found("file", "ready" if converted else "to convert", str(path))


def _other_ways(remote: RemoteFile, folder: Path) -> str:
    """How to get a file without the server that is known here, and what to use in its place."""
    named = next((f", or set {VARIABLES[name]} to its path" for name in PARTS if PARTS[name] == remote), "")
    return (
        f"get {remote.name} in another way and put it into {folder} as {remote.name}{named}; or use {SURROGATE}, which "
        "needs no file"
    )


def _keep_in(folder: Path) -> Path:
    """Where a part is kept: among the data, or in the cache where there is no such folder or it is closed."""
    return folder if folder.is_dir() and _may_write(folder) else cache_folder()


def _download(remote: RemoteFile, folder: Path, progress: bool) -> Path:
    try:
        return fetch(remote, folder if remote in OFFICIAL.values() else _keep_in(folder), progress=progress)
    except DownloadFailed as error:
        raise DataUnavailable(f"{error}. Try again later, or {_other_ways(remote, folder)}") from error


def _fetch_at_once(remote: RemoteFile, folder: Path, progress: bool) -> str:
    """Download a part if its server answers at once; what went wrong, or nothing. A name may take long to resolve."""
    import requests

    problems = ["no answer"]

    def ask() -> None:
        try:
            requests.head(remote.url, timeout=SECONDS_TO_REACH)
            problems.clear()
        except requests.RequestException as error:
            problems[:] = [reason_of(error)]

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(SECONDS_TO_REACH)
    if problems:
        return f"{remote.url} cannot be reached ({problems[0]})"
    try:
        fetch(remote, _keep_in(folder), progress=progress, tries=1, timeout=SECONDS_TO_REACH)
    except UserError as error:
        return str(error)
    return ""


def _read(path: Path, progress: bool) -> Benchmark:
    if path.suffix == ".npy":
        return read_one_run(path)
    if path.suffix == ".json":
        return read_sample(path)
    if path.suffix != ".tfrecord":
        return Benchmark.open(path)
    benchmark = _read_converted(path, progress)
    official = {remote.name: remote.sha256 for remote in OFFICIAL.values()}
    if official.get(path.name, benchmark.sha256) != benchmark.sha256:
        logger.warning("%s has SHA-256 %s; it is not the official file", path, benchmark.sha256)
    return benchmark


def _converted(path: Path) -> Path:
    """What a tfrecord is converted to."""
    official = {remote.name: CONVERTED[which] for which, remote in OFFICIAL.items()}
    return path.with_name(official.get(path.name, f"{path.stem}.hdf5"))


def _read_converted(source: Path, progress: bool) -> Benchmark:
    """The conversion of a tfrecord, made unless it is there: beside it, or in the cache where we may not write."""
    from nplib.convert import convert_tfrecord

    target = _converted(source)
    if not target.is_file() and not _may_write(target.parent):
        target = cache_folder() / f"{source.stem}-{sha256_of(source)[:16]}.hdf5"
    if target.is_file():
        benchmark = Benchmark.open(target)
        if benchmark.sha256 != sha256_of(source):
            raise DataUnavailable(
                f"{target} is there, and was not made from {source}; name the one you mean by its path, or convert it "
                f"yourself: nplib convert {source} {target} --overwrite"
            )
        logger.info("%s was converted before, to %s", source, target)
        return benchmark
    logger.info("%s is converted, once, to %s", source, target)
    # Another process may be doing the same: both write the same, and whole.
    convert_tfrecord(source, target, overwrite=True, progress=progress)
    return Benchmark.open(target)


def _may_write(folder: Path) -> bool:
    """Whether files may be made in a folder; one that its owner closed stays closed to root, who could."""
    return os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)
