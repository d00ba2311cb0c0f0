"""What can be made anew: kept where that is possible, never believed when it is damaged, and never in the way."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nplib import _files
from nplib._files import BadArrays, cache_folder, cached_arrays, read_arrays, write_arrays
from nplib.errors import UserError


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A cache folder, one for temporary files, and a path where neither can be made."""
    (tmp_path / "file").touch()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(_files.tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("NPLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_files, "_warn_once", _files._warn_once.__wrapped__)
    return tmp_path


ARRAYS = {"a": np.arange(1000), "b": np.eye(3, dtype=np.float32), "c": np.array(["x", "yz"])}


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray] = ARRAYS) -> bool:
    return set(found) == set(wanted) and all(
        found[name].dtype == wanted[name].dtype and np.array_equal(found[name], wanted[name]) for name in wanted
    )


# Where


def test_a_cache_that_cannot_be_written_is_replaced_by_a_folder_of_our_own(places, monkeypatch, caplog):
    assert cache_folder() == places / "cache" and not caplog.records
    monkeypatch.setenv("NPLIB_CACHE", str(places / "file" / "c"))
    folder = cache_folder()
    assert folder.parent == places / "temporary" and stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert "file/c (Not a directory) cannot be written" in caplog.text and "set NPLIB_CACHE" in caplog.text
    monkeypatch.setattr(_files.tempfile, "tempdir", str(places / "file"))
    with pytest.raises(UserError, match=r"nothing can be kept in .*; set NPLIB_CACHE") as caught:
        cache_folder()
    assert "\n" not in str(caught.value)
    assert same(cached_arrays("x.npz", ("a", "b", "c"), lambda: ARRAYS))


def test_a_folder_that_another_user_could_have_filled_is_not_taken(places, monkeypatch):
    monkeypatch.setenv("NPLIB_CACHE", str(places / "file" / "c"))
    own = cache_folder()
    for mode in (0o777, 0o720):
        own.chmod(mode)
        with pytest.raises(UserError, match="nothing can be kept"):
            cache_folder()
    own.chmod(0o700)
    own.rename(places / "elsewhere")
    own.symlink_to(places / "elsewhere")
    with pytest.raises(UserError, match="nothing can be kept"):
        cache_folder()


def test_no_home_makes_no_folder_that_is_called_tilde(places, monkeypatch):
    monkeypatch.chdir(places)
    monkeypatch.delenv("NPLIB_CACHE")
    monkeypatch.setattr(_files.platformdirs, "user_cache_dir", lambda name: f"~nobody-of-this-name/.cache/{name}")
    assert cache_folder().parent == places / "temporary"
    assert sorted(os.listdir(places)) == ["file", "temporary"]


# What


def test_what_is_made_is_kept_and_read_again(places):
    made = []
    for _ in range(2):
        assert same(cached_arrays("x.npz", ("a", "b", "c"), lambda: made.append(1) or ARRAYS))
    assert made == [1] and os.listdir(places / "cache") == ["x.npz"]


@pytest.mark.parametrize("harm", ["cut", "flip", "lacking", "other", "folder"])
def test_a_damaged_cache_is_made_anew_and_named(places, caplog, harm):
    cached_arrays("x.npz", ("a", "b", "c"), lambda: ARRAYS)
    path = places / "cache" / "x.npz"
    data = bytearray(path.read_bytes())
    if harm == "cut":
        path.write_bytes(data[:-100])
    elif harm == "flip":
        data[500] ^= 4
        path.write_bytes(data)
    elif harm == "lacking":
        write_arrays(path, {"a": ARRAYS["a"]}, overwrite=True)
    elif harm == "other":
        path.write_text("not this")
    else:
        path.unlink()
        path.mkdir()
    assert same(cached_arrays("x.npz", ("a", "b", "c"), lambda: ARRAYS))
    assert str(path) in caplog.text
    if harm != "folder":
        assert "it is safe to delete" in caplog.text
        assert same(read_arrays(path))
    else:
        assert "x.npz is a folder" in caplog.text


def test_what_finds_no_room_is_used_all_the_same(places, caplog):
    resource = pytest.importorskip("resource", reason="limits on file size are a thing of Unix")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, limits[1]))
    try:
        assert same(cached_arrays("x.npz", ("a", "b", "c"), lambda: ARRAYS))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"cannot be kept: {places / 'cache'}" in caplog.text
    assert os.listdir(places / "cache") == []


# Arrays


def npz(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def test_arrays_are_read_as_they_were_written(tmp_path):
    arrays = ARRAYS | {
        "empty": np.empty((0, 3)),
        "scalar": np.array(2.5),
        "columns": np.asfortranarray(np.ones((2, 3))),
    }
    write_arrays(tmp_path / "x.npz", arrays)
    found = read_arrays(tmp_path / "x.npz")
    assert same(found, arrays) and not found["a"].flags.writeable


def test_a_member_that_claims_less_than_it_holds_is_refused(tmp_path):
    """Where numpy stops reading, and so never comes to the checksum."""
    data = npy(np.arange(860)).replace(b"(860,)", b"(86,) ")
    path = tmp_path / "x.npz"
    path.write_bytes(npz(a=data))
    with np.load(path) as stored:
        assert len(stored["a"]) == 86
    with pytest.raises(BadArrays, match=r"x.npz cannot be read .*'a' claims shape \(86,\) .* and has 6880 bytes"):
        read_arrays(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npz(a=npy(np.arange(9)) + b"x"), "claims shape"),
        (npz(a=npy(np.array([{}], dtype=object))), "claims shape"),
        (npz(a=npy(np.arange(9)).replace(b"(9,)", b"(-9)")), "shape|Header"),
        (npz(a=npy(np.arange(9)).replace(b"(9,)", b"(9,(")), "Cannot parse|Error"),
        (npz(a=npy(np.arange(9)).replace(b"<i8", b"<q8")), "descr|dtype"),
        (npz(a=b"\x93NUMPY\x09\x00" + bytes(100)), "version"),
        (npz(a=b""), "EOF|magic"),
        (npz(a=npy(np.arange(9)).replace(b"(9,)", b"(99999999999999999999,)")), "Cannot parse|claims"),
        (npz(**{"a.txt/": b""}), "claims|EOF|magic"),
        (b"", "not a zip file"),
        (b"PK\x05\x06" + bytes(17), "zip"),
    ],
)
def test_odd_members_are_one_line(tmp_path, data, message):
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(BadArrays, match=message) as caught:
        read_arrays(tmp_path / "x.npz")
    assert "x.npz" in str(caught.value) and "\n" not in str(caught.value)


def test_two_members_of_a_name_are_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", npy(np.arange(2)))
        archive.writestr("a.npy", npy(np.arange(3)))
    with pytest.raises(BadArrays, match="is there twice"):
        read_arrays(tmp_path / "x.npz")


def test_a_small_file_of_many_zeros_takes_no_memory(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(30_000_000, dtype=np.int8))
    assert (tmp_path / "x.npz").stat().st_size < 50_000
    with pytest.raises(BadArrays, match="would take 30 MB, and 1 are enough"):
        read_arrays(tmp_path / "x.npz", most_bytes=1_000_000)


def test_no_flipped_bit_of_a_file_of_arrays_gives_other_arrays(tmp_path):
    path = tmp_path / "x.npz"
    write_arrays(path, {"172": np.arange(172), "b": np.eye(3, dtype=np.float32)})
    data = path.read_bytes()
    wanted = read_arrays(path)
    refused = 0
    for bit in np.random.default_rng(0).choice(8 * len(data), 1000, replace=False):
        harmed = bytearray(data)
        harmed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(harmed)
        try:
            found = read_arrays(path)
        except BadArrays:
            refused += 1
        else:
            assert same(found, wanted), f"bit {bit}"
    assert refused > 800  # others are of dates, and of what no reader looks at


# Compiled functions

MODULE = """
from nplib._compiled import compiled

@compiled
def double(x):
    return {factor} * x

if __name__ == "__main__":
    import logging, sys
    logging.basicConfig(level="WARNING")
    before = double._cache_hits.total() if hasattr(double._cache_hits, "total") else 0
    print(double(21), sum(double._cache_hits.values()))
"""


def run_compiled(folder: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, folder / "module.py"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )


def test_compiled_functions_are_kept_and_made_anew_when_damaged_or_changed(tmp_path):
    (tmp_path / "module.py").write_text(MODULE.format(factor=2))
    assert run_compiled(tmp_path).stdout == "42 0\n"
    assert run_compiled(tmp_path).stdout == "42 1\n"
    (kept,) = tmp_path.rglob("*.compiled")
    assert kept.is_relative_to(tmp_path / "__pycache__") and "numba-" in kept.parent.name
    data = kept.read_bytes()
    for harmed in (b"", data[:-10], data[:4000] + bytes([data[4000] ^ 1]) + data[4001:], b"0" * len(data)):
        kept.write_bytes(harmed)
        done = run_compiled(tmp_path)
        assert done.stdout == "42 0\n" and f"{kept} is damaged" in done.stderr
        made = kept.read_bytes()  # whole, and so it is read the next time
        assert hashlib.sha256(kept.name.encode() + made[32:]).digest() == made[:32]
    done = run_compiled(tmp_path, PYTHONOPTIMIZE="2")
    assert done.stdout == "42 1\n" and not done.stderr
    (tmp_path / "module.py").write_text(MODULE.format(factor=3))
    assert run_compiled(tmp_path).stdout == "63 0\n"
    assert not kept.exists() and len(list(tmp_path.rglob("*.compiled"))) == 1


def test_compiled_functions_are_no_pickles_and_only_those_that_nobody_else_can_have_written_are_used(tmp_path):
    (tmp_path / "module.py").write_text(MODULE.format(factor=2))
    old = os.umask(0)  # as where a group shares all files
    try:
        assert run_compiled(tmp_path).stdout == "42 0\n"
    finally:
        os.umask(old)
    (kept,) = tmp_path.rglob("*.compiled")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o644 and not kept.parent.stat().st_mode & 0o022
    about = json.loads(kept.read_bytes()[32:].partition(b"\n")[0])
    assert about["returns"] == "<i8"
    harms = [lambda: kept.chmod(0o664)]
    if os.getuid() == 0:
        harms.append(lambda: os.chown(kept, 12345, 12345))
    for harm in harms:
        harm()
        done = run_compiled(tmp_path)
        assert done.stdout == "42 0\n" and f"{kept} could have been written by another user" in done.stderr
        assert stat.S_IMODE(kept.stat().st_mode) == 0o644 and kept.stat().st_uid == os.getuid()
    assert run_compiled(tmp_path).stdout == "42 1\n"
    # Whole, and that of another function.
    data = kept.read_bytes()
    (tmp_path / "module.py").write_text(MODULE.format(factor=3))
    assert run_compiled(tmp_path).stdout == "63 0\n"
    (kept,) = tmp_path.rglob("*.compiled")
    kept.write_bytes(data)
    assert run_compiled(tmp_path).stdout == "63 0\n"


def test_no_module_reads_pickles():
    for path in Path(_files.__file__).parent.rglob("*.py"):
        assert not re.search(r"import pickle|pickle\.load|torch\.load|joblib\.load|allow_pickle=True", path.read_text())


def test_compiled_functions_need_no_folder_that_can_be_written(tmp_path):
    (tmp_path / "module.py").write_text(MODULE.format(factor=2))
    (tmp_path / "__pycache__").touch()
    nowhere = str(tmp_path / "__pycache__" / "c")
    for _ in range(2):
        assert run_compiled(tmp_path, NPLIB_CACHE=nowhere, TMPDIR=str(tmp_path)).returncode == 0
    assert len(list(tmp_path.glob("nplib-*/numba-*/*.compiled"))) == 1
    cache = str(tmp_path / "cache")
    assert run_compiled(tmp_path, NPLIB_CACHE=cache).stdout == "42 0\n"
    assert run_compiled(tmp_path, NPLIB_CACHE=cache).stdout == "42 1\n"
