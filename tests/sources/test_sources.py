"""nplib.sources: which results are taken, from where, and what is said when there are none."""

import hashlib
import json
import logging
import os
import shutil
import socket
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from file_server import FileServer
from small_sample import SMALL

from nplib import sources
from nplib._files import cache_folder
from nplib.benchmark import BadBenchmark, Benchmark
from nplib.sources import CONVERTED, OFFICIAL, DataUnavailable, fetch_full, find, load
from nplib.sources.one_run import ONE_RUN
from nplib.sources.sample import SAMPLE


@pytest.fixture(autouse=True)
def no_settings(monkeypatch, tmp_path, surrogate):
    """No variable of whoever runs the tests, no folder of data here, and a cache without downloads."""
    cache = tmp_path / "own-cache"
    cache.mkdir()
    for path in cache_folder().iterdir():
        if path.name not in {remote.name for remote in sources.PARTS.values()}:
            (cache / path.name).symlink_to(path)
    monkeypatch.setenv("NPLIB_CACHE", str(cache))
    for name in ("NPLIB_DATA", "NPLIB_ONE_RUN", "NPLIB_SAMPLE", "NPLIB_TFRECORD", "NPLIB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in sources.PARTS:
        serve(monkeypatch, name, "http://127.0.0.1:9/nobody-there")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def serve(monkeypatch, name, url):
    """Let a part be downloaded from a server of ours; what comes must be the same."""
    monkeypatch.setitem(sources.PARTS, name, replace(sources.PARTS[name], url=url))


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def small(tmp_path) -> Path:
    """Two cells in the sample's format."""
    path = tmp_path / "small.json"
    path.write_text(json.dumps(SMALL))
    return path


@pytest.fixture
def tiny(shared, tmp_path) -> Path:
    """A copy of the 120 cells in the official format."""
    return Path(shutil.copy(shared / "golden" / "full_tiny.tfrecord", tmp_path / "tiny.tfrecord"))


@pytest.fixture(scope="session")
def one_run_path(shared) -> Path:
    return shared / "nasbench101" / "test_run0_108.npy"


def assert_is_golden(benchmark: Benchmark, shared: Path) -> None:
    with h5py.File(shared / "golden" / "full_tiny.hdf5") as file:
        np.testing.assert_array_equal(benchmark.hashes, file["hash"][()])
        np.testing.assert_array_equal(benchmark.metrics, file["metrics"][()])


# The sample


def test_nplib_sample_names_the_file(monkeypatch, small, folder):
    shutil.copy(small, folder / SAMPLE.name)
    monkeypatch.setenv("NPLIB_SAMPLE", str(small))
    assert load("sample", folder=folder).path == small


def test_nplib_sample_that_names_nothing_is_an_error_not_a_download(monkeypatch, small, folder):
    shutil.copy(small, folder / SAMPLE.name)
    monkeypatch.setenv("NPLIB_SAMPLE", "no/such.json")
    with pytest.raises(DataUnavailable, match=r"NPLIB_SAMPLE names no/such\.json, which is no file"):
        load("sample", folder=folder)
    assert find("sample", folder)[0].state == "missing"


def test_a_sample_in_the_folder_of_data_is_not_downloaded(small, folder):
    shutil.copy(small, folder / SAMPLE.name)
    assert load("sample", folder=folder).path == folder / SAMPLE.name


def test_the_sample_is_downloaded_once(sample_path, folder, monkeypatch):
    with FileServer(sample_path.read_bytes()) as server:
        server.cuts = [1_000_000]
        serve(monkeypatch, "sample", server.url)
        assert find("sample", folder)[0].state == "to download"
        first = load("sample", folder=folder)
        assert first.path == folder / SAMPLE.name
        assert first.sha256 == SAMPLE.sha256
        assert server.ranges_asked() == [None, "bytes=1000000-"]
        assert len(load("sample", folder=folder)) == 20_001
        assert len(server.asked) == 2
        assert find("sample", folder)[0] == ("sample", "ready", str(folder / SAMPLE.name))


def test_a_sample_of_wrong_bytes_is_not_kept(small, folder, monkeypatch):
    with FileServer(small.read_bytes()) as server, pytest.raises(DataUnavailable, match=SAMPLE.sha256) as caught:
        serve(monkeypatch, "sample", server.url)
        load("sample", folder=folder)
    assert server.url in str(caught.value)
    assert hashlib.sha256(small.read_bytes()).hexdigest() in str(caught.value)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("name", "variable"), [("sample", "NPLIB_SAMPLE"), ("one-run", "NPLIB_ONE_RUN")])
def test_without_network_it_is_said_what_to_do(folder, name, variable):
    remote = sources.PARTS[name]
    with pytest.raises(DataUnavailable, match="cannot be reached") as caught:
        load(name, folder=folder)
    for told in (remote.url, f"put it into {folder} as {remote.name}", variable, "surrogate"):
        assert told in str(caught.value)


# The one run


def test_the_one_run_is_downloaded_once_and_then_taken_by_auto(one_run_path, folder, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    with FileServer(one_run_path.read_bytes()) as server:
        serve(monkeypatch, "one-run", server.url)
        assert find("one-run", folder)[0].state == "to download"
        assert load(folder=folder).source == "one-run"
        assert f"auto takes one-run: full is not in {folder}" in caplog.text
        assert find("one-run", folder) == [("one-run", "ready", str(folder / ONE_RUN.name))]
        asked = len(server.asked)
        assert load("one-run", folder=folder).path == folder / ONE_RUN.name
        assert load(folder=folder).path == folder / ONE_RUN.name
        assert len(server.asked) == asked


def test_without_a_folder_of_data_the_one_run_is_kept_in_the_cache(one_run_path, monkeypatch, tmp_path, space):
    monkeypatch.setenv("NPLIB_CACHE", str(tmp_path / "cache"))
    with FileServer(one_run_path.read_bytes()) as server:
        serve(monkeypatch, "one-run", server.url)
        assert sources.choose() == "one-run"
    kept = tmp_path / "cache" / ONE_RUN.name
    assert kept.read_bytes() == one_run_path.read_bytes() and list(Path.cwd().iterdir()) == []
    assert find("one-run") == [("one-run", "ready", str(kept))]
    assert sources.choose() == "one-run"


def test_nplib_one_run_names_the_file(one_run_path, folder, monkeypatch):
    monkeypatch.setenv("HOME", str(one_run_path.parent))
    monkeypatch.setenv("NPLIB_ONE_RUN", f"~/{one_run_path.name}")
    monkeypatch.setenv("NPLIB_OFFLINE", "1")
    assert load("one-run", folder=folder).path == one_run_path
    assert sources.choose(folder) == "one-run"
    monkeypatch.setenv("NPLIB_ONE_RUN", "no/such.npy")
    for data in ("auto", "one-run"):
        with pytest.raises(DataUnavailable, match=r"NPLIB_ONE_RUN names no/such\.npy, which is no file"):
            load(data, folder=folder)


def test_offline_nothing_is_tried(one_run_path, folder, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("NPLIB_OFFLINE", "1")
    with FileServer(one_run_path.read_bytes()) as server:
        serve(monkeypatch, "one-run", server.url)
        assert sources.choose(folder) == "surrogate"
        assert "one-run cannot be had" in caplog.text and "NPLIB_OFFLINE" in caplog.text
        with pytest.raises(DataUnavailable, match=f"NPLIB_OFFLINE forbids .* put it into {folder} as {ONE_RUN.name}"):
            load("one-run", folder=folder)
        with pytest.raises(DataUnavailable, match="NPLIB_OFFLINE forbids"):
            fetch_full(folder)
        assert find("one-run", folder)[0].state == "missing"
        assert server.asked == [] and list(folder.iterdir()) == []


def test_a_server_that_never_answers_holds_auto_up_for_seconds_only(folder, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("nplib.sources.door.SECONDS_TO_REACH", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        serve(monkeypatch, "one-run", f"http://127.0.0.1:{silent.getsockname()[1]}/test.npy")
        started = time.monotonic()
        assert sources.choose(folder) == "surrogate"
        assert time.monotonic() - started < 3
    assert "auto takes surrogate" in caplog.text and "test.npy" in caplog.text


def test_a_page_in_place_of_the_one_run_leaves_auto_the_surrogate(folder, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    with FileServer(b"<html>sign in first</html>") as server:
        serve(monkeypatch, "one-run", server.url)
        assert sources.choose(folder) == "surrogate"
    assert "auto takes surrogate" in caplog.text and server.url in caplog.text
    assert list(folder.iterdir()) == []


# The whole


def test_without_a_file_full_says_how_to_get_one(folder):
    with pytest.raises(DataUnavailable, match="full is not here") as caught:
        load("full", folder=folder)
    for told in (*CONVERTED.values(), "nasbench_full.tfrecord", "nasbench_only108.tfrecord", str(folder)):
        assert told in str(caught.value)
    assert "nplib data --download full (1,950 MB)" in str(caught.value)


def test_an_official_file_in_the_folder_is_converted_once(tiny, folder, shared, caplog):
    shutil.copy(tiny, folder / "nasbench_full.tfrecord")
    assert find("full", folder)[0] == ("full", "to convert", str(folder / "nasbench_full.tfrecord"))
    benchmark = load("full", folder=folder)
    assert benchmark.path == folder / "nasbench.hdf5"
    assert_is_golden(benchmark, shared)
    assert benchmark.sha256 == hashlib.sha256(tiny.read_bytes()).hexdigest()
    assert f"{benchmark.sha256}; it is not the official file" in caplog.text
    (folder / "nasbench_full.tfrecord").unlink()
    assert_is_golden(load("full", folder=folder), shared)
    assert find("full", folder)[0] == ("full", "ready", str(folder / "nasbench.hdf5"))


def test_the_reference_s_own_file_is_taken_as_it_is(shared, folder):
    shutil.copy(shared / "golden" / "full_tiny.hdf5", folder / "nasbench.hdf5")
    (folder / "nasbench_full.tfrecord").write_bytes(b"not even looked at")
    benchmark = load("full", folder=folder)
    assert_is_golden(benchmark, shared)
    assert benchmark.source == "file"


def test_every_budget_goes_before_108_epochs_only(shared, tiny, folder):
    shutil.copy(shared / "nasbench101" / "only108_sample.tfrecord", folder / "nasbench_only108.tfrecord")
    only108 = load("full", folder=folder)
    assert (len(only108), only108.path) == (54, folder / "nasbench_only108.hdf5")
    shutil.copy(tiny, folder / "nasbench_full.tfrecord")
    full = load("full", folder=folder)
    assert (len(full), full.path) == (120, folder / "nasbench.hdf5")


def test_an_official_file_is_downloaded_when_asked_and_then_converted(tiny, folder, shared, monkeypatch):
    content = tiny.read_bytes()
    official = replace(OFFICIAL["only108"], sha256=hashlib.sha256(content).hexdigest())
    with FileServer(content) as server:
        server.cuts = [100_000]
        monkeypatch.setitem(sources.OFFICIAL, "only108", replace(official, url=server.url))
        path = fetch_full(folder, "only108")
    assert path == folder / "nasbench_only108.tfrecord"
    assert path.read_bytes() == content
    assert_is_golden(load("full", folder=folder), shared)


def test_a_wrong_official_file_is_not_kept(folder, monkeypatch):
    with FileServer(b"something else") as server, pytest.raises(DataUnavailable) as caught:
        monkeypatch.setitem(sources.OFFICIAL, "full", replace(OFFICIAL["full"], url=server.url))
        fetch_full(folder, "full")
    for told in (server.url, OFFICIAL["full"].sha256, hashlib.sha256(b"something else").hexdigest()):
        assert told in str(caught.value)
    assert list(folder.iterdir()) == []


def test_an_official_file_that_is_not_on_the_server_is_told(folder, monkeypatch):
    with FileServer(b"") as server:
        server.statuses = [404]
        monkeypatch.setitem(sources.OFFICIAL, "full", replace(OFFICIAL["full"], url=server.url))
        with pytest.raises(DataUnavailable, match=rf"{server.url}: the server answered 404 .* put it into {folder}"):
            fetch_full(folder)


def test_a_begun_download_is_shown(folder):
    (folder / "nasbench_full.tfrecord.part").write_bytes(bytes(3_000_000))
    assert "full (1,950 MB, of which 3 are here)" in find("full", folder)[0].where


def test_no_other_official_file_is_known(folder):
    with pytest.raises(DataUnavailable, match="'half'; there are full, only108"):
        fetch_full(folder, "half")


def test_records_to_look_at_are_those_named_or_those_there(tiny, folder, monkeypatch):
    assert sources.find_records(folder=folder) is None
    shutil.copy(tiny, folder / "nasbench_only108.tfrecord")
    assert sources.find_records(folder=folder) == folder / "nasbench_only108.tfrecord"
    shutil.copy(tiny, folder / "nasbench_full.tfrecord")
    assert sources.find_records(folder=folder) == folder / "nasbench_full.tfrecord"
    monkeypatch.setenv("NPLIB_TFRECORD", str(tiny))
    assert sources.find_records(folder=folder) == tiny
    named = folder / "nasbench_only108.tfrecord"
    assert sources.find_records(str(named), folder) == named
    with pytest.raises(DataUnavailable, match="the argument names no/such, which is no file"):
        sources.find_records("no/such")
    monkeypatch.setenv("NPLIB_TFRECORD", "no/such")
    with pytest.raises(DataUnavailable, match="NPLIB_TFRECORD names no/such"):
        sources.find_records(folder=folder)


# The choice


def test_auto_takes_full_if_it_is_here_else_the_surrogate_and_says_so(shared, small, folder, caplog):
    caplog.set_level(logging.INFO)
    shutil.copy(small, folder / SAMPLE.name)
    assert load(folder=folder).source == "surrogate"
    assert f"auto takes surrogate: full is not in {folder}, and one-run cannot be had: http" in caplog.text
    shutil.copy(shared / "golden" / "full_tiny.hdf5", folder / "nasbench.hdf5")
    assert len(load(folder=folder)) == 120
    assert "auto takes full: the best there is" in caplog.text
    assert f"full: {folder / 'nasbench.hdf5'}" in caplog.text


def test_the_surrogate_needs_no_file_and_no_network(surrogate, space, folder):
    assert find("surrogate", folder) == [("surrogate", "ready", "ships with nplib")]
    assert find("surrogate", folder)[0].is_here
    assert surrogate.source == "surrogate"
    assert "not measurements" in surrogate.labels
    np.testing.assert_array_equal(surrogate.hashes, space.hashes)


def test_a_saved_surrogate_still_says_that_it_is_one(small_surrogate, tmp_path):
    small_surrogate.save(tmp_path / "mine.hdf5")
    again = load(tmp_path / "mine.hdf5")
    for about in ("source", "labels", "kind"):
        assert getattr(again, about) == getattr(small_surrogate, about)


def test_find_lists_every_source_the_one_that_auto_takes_first(folder, shared):
    assert [(found.name, found.state, found.is_here) for found in find(folder=folder)] == [
        ("full", "missing", False),
        ("one-run", "to download", False),
        ("surrogate", "ready", True),
        ("sample", "to download", False),
    ]
    assert "MB from http://127.0.0.1:9" in find(folder=folder)[3].where
    assert {found.name for found in find(folder=folder)} == set(sources.NAMES) - {"auto"}
    assert list(folder.iterdir()) == []


def test_the_folder_of_data(monkeypatch, tmp_path):
    here, beside = Path("data"), Path("..", "data")
    assert sources.data_folder() == here
    (tmp_path / "data").mkdir()
    assert sources.data_folder() == beside
    here.mkdir()
    assert sources.data_folder() == here
    monkeypatch.setenv("NPLIB_DATA", str(tmp_path / "elsewhere"))
    assert sources.data_folder() == tmp_path / "elsewhere"
    assert sources.data_folder(tmp_path) == tmp_path


def test_nplib_data_is_where_full_is_looked_for(monkeypatch, shared, folder):
    shutil.copy(shared / "golden" / "full_tiny.hdf5", folder / "nasbench.hdf5")
    monkeypatch.setenv("NPLIB_DATA", str(folder))
    assert load("full").path == folder / "nasbench.hdf5"


# Paths


def test_an_hdf5_is_opened(shared):
    assert_is_golden(load(shared / "golden" / "full_tiny.hdf5"), shared)
    assert_is_golden(load(str(shared / "golden" / "full_tiny.hdf5")), shared)


def test_a_json_is_read_as_the_sample(small):
    assert load(small).hashes.tolist() == [key.encode() for key in SMALL["key"]]


def test_a_tfrecord_is_converted_once_to_beside_it(tiny, shared, caplog):
    caplog.set_level(logging.INFO)
    assert find(tiny)[0].state == "to convert"
    assert_is_golden(load(tiny), shared)
    beside = tiny.with_suffix(".hdf5")
    assert f"{tiny} is converted, once, to {beside}" in caplog.text
    written = beside.stat()
    again = load(tiny)
    assert again.path == beside
    assert_is_golden(again, shared)
    assert (beside.stat().st_mtime_ns, beside.stat().st_ino) == (written.st_mtime_ns, written.st_ino)
    assert f"{tiny} was converted before, to {beside}" in caplog.text
    assert find(tiny)[0].state == "ready"


def test_a_conversion_of_another_file_is_neither_taken_nor_replaced(tiny, shared):
    beside = tiny.with_suffix(".hdf5")
    shutil.copy(shared / "golden" / "full_tiny.hdf5", beside)
    before = beside.read_bytes()
    with pytest.raises(DataUnavailable, match=f"{beside} is there, and was not made from {tiny}"):
        load(tiny)
    assert beside.read_bytes() == before


def test_where_nothing_may_be_written_the_conversion_goes_to_the_cache(tiny, shared, tmp_path, monkeypatch, space):
    cache = tmp_path / "cache"
    monkeypatch.setenv("NPLIB_CACHE", str(cache))
    closed = tmp_path / "closed"
    closed.mkdir()
    tiny = tiny.rename(closed / tiny.name)
    closed.chmod(0o555)
    for _ in range(2):
        benchmark = load(tiny)
        assert benchmark.path.parent == cache
        assert_is_golden(benchmark, shared)
    assert [path.name for path in closed.iterdir()] == [tiny.name]
    assert len(list(cache.glob("tiny-*.hdf5"))) == 1


def test_a_conversion_that_fails_leaves_nothing(tiny):
    tiny.write_bytes(tiny.read_bytes()[:-7])
    with pytest.raises(ValueError, match=str(tiny)):
        load(tiny)
    assert [path.name for path in tiny.parent.iterdir() if path.is_file()] == [tiny.name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "smaple",
            r"'smaple' is neither a source \(auto, full, one-run, surrogate, sample\) nor the path of an",
        ),
        ("results.csv", r"'results\.csv' is neither"),
        ("no/such.hdf5", r"no/such\.hdf5 does not exist"),
        ("folder.json", r"folder\.json is a folder"),
        ("pipe.hdf5", r"pipe\.hdf5 is no regular file"),
    ],
)
def test_what_is_not_there_is_told(name, message):
    Path("folder.json").mkdir()
    os.mkfifo("pipe.hdf5")
    with pytest.raises(DataUnavailable, match=message):
        load(name)


def test_a_damaged_hdf5_is_told_as_such(tmp_path):
    (tmp_path / "bad.hdf5").write_bytes(b"no")
    with pytest.raises(BadBenchmark, match=r"bad\.hdf5"):
        load(tmp_path / "bad.hdf5")
