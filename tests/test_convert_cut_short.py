"""No room, Ctrl-C or kill: the target is whole or as it was before."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from record_files import (
    PROJECT,
    make_records,
)

from nplib._files import sha256_of
from nplib.convert import convert_tfrecord


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """A file from the generator of the benchmarks: 300 cells, shuffled, in the layout of the official files."""
    return make_records(tmp_path_factory.mktemp("made") / "made.tfrecord", "--cells", "300", "--shuffle")


CONVERT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # even where tests run in the background
from nplib.convert import convert_tfrecord
from nplib.errors import UserError
try:
    convert_tfrecord(sys.argv[1], sys.argv[2], overwrite=True, progress=True)
except UserError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path}


def test_no_room_for_the_file(made, tmp_path):
    resource = pytest.importorskip("resource", reason="limits on the size of a file are a thing of Unix")
    target = tmp_path / "out.hdf5"
    target.write_text("what was there")
    limit = 50_000  # the HDF5 takes three times that

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    result = subprocess.run(
        [sys.executable, "-c", CONVERT, made, target],
        env=environment(),
        preexec_fn=limited,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert f"{target} cannot be written" in result.stderr and "MB of free disk" in result.stderr
    assert "Traceback" not in result.stderr
    assert target.read_text() == "what was there"
    assert os.listdir(tmp_path) == ["out.hdf5"]


def on_small_disk(folder: Path, size: str, source: Path) -> subprocess.CompletedProcess:
    """Convert into a file system of its own, of this size."""
    script = f"""
        folder=$1; shift
        mount -t tmpfs -o size={size} none "$folder" || exit
        echo mounted
        "$@"; code=$?
        ls -A "$folder"
        exit $code
    """
    command = [sys.executable, "-c", CONVERT, source, folder / "out.hdf5"]
    result = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", folder, *command],
        env=environment(),
        capture_output=True,
        text=True,
    )
    if "mounted" not in result.stdout:
        pytest.skip(f"no file system can be mounted here: {result.stderr.strip()}")
    return result


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare (Linux)")
def test_no_room_is_seen_before_the_work(made, tmp_path):
    result = on_small_disk(tmp_path, "64k", made)
    assert result.returncode == 1
    assert "MB free and the HDF5 of" in result.stderr and "make room" in result.stderr
    assert "made.tfrecord:   0%" not in result.stderr
    assert result.stdout.split() == ["mounted"]


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare (Linux)")
def test_disk_that_fills_up(made, tmp_path):
    # Room for the estimate, which is low on purpose, and not for the file.
    result = on_small_disk(tmp_path, "136k", made)
    assert result.returncode == 1
    assert "cannot be written" in result.stderr and "No space left on device" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout.split() == ["mounted"]


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Iterator[tuple[Path, str]]:
    """A file that takes a while, and the SHA-256 of what is made of it."""
    folder = tmp_path_factory.mktemp("large")
    source = make_records(folder / "large.tfrecord", "--cells", "20000")
    convert_tfrecord(source, folder / "large.hdf5")
    yield source, sha256_of(folder / "large.hdf5")
    shutil.rmtree(folder)  # 100 MB, which pytest would keep


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_conversion_leaves_the_target_whole_or_absent(large, tmp_path, how, delay):
    source, whole = large
    target = tmp_path / "out.hdf5"
    process = subprocess.Popen(
        [sys.executable, "-c", CONVERT, source, target], env=environment(), stderr=subprocess.PIPE
    )
    process.stderr.read(1)  # the bar: conversion has begun
    time.sleep(delay)
    process.send_signal(how)
    process.communicate(timeout=60)
    if delay == 0:
        assert process.returncode != 0
        assert not target.exists()
    assert not target.exists() or sha256_of(target) == whole
    if how == signal.SIGINT:
        assert not list(tmp_path.glob(".*"))


def test_killed_while_the_target_is_written(large, tmp_path):
    source, whole = large
    target = tmp_path / "out.hdf5"
    target.write_text("what was there")
    process = subprocess.Popen(
        [sys.executable, "-c", CONVERT, source, target], env=environment(), stderr=subprocess.PIPE
    )
    while not list(tmp_path.glob(".*.partial")) and process.poll() is None:
        time.sleep(0.0005)
    process.kill()
    process.communicate(timeout=60)
    assert target.read_bytes() == b"what was there" or sha256_of(target) == whole
    # What is left over does not stand in the way.
    convert_tfrecord(source, target, overwrite=True)
    assert sha256_of(target) == whole
