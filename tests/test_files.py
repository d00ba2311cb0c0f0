"""Paths as people write them, and files that are written whole or not at all, to where they belong."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nplib._files import TargetExists, check_target, expand, replacing
from nplib.errors import UserError


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def write(target, text: str, overwrite: bool = False) -> None:
    with replacing(target, overwrite) as partial:
        partial.write_text(text)


# Paths


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("~/c", "{home}/c"),
        ("~", "{home}"),
        ("$PLACE/c", "{home}/there/c"),
        ("${PLACE}c", "{home}/therec"),
        (b"~/c", "{home}/c"),
        (Path("~/c"), "{home}/c"),
        ("a~b", "a~b"),
        ("./~/c", "~/c"),
        ("a$b$", "a$b$"),
    ],
)
def test_paths_are_read_as_a_shell_reads_them(tmp_path, monkeypatch, written, meant):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLACE", f"{tmp_path}/there")
    monkeypatch.chdir(tmp_path)
    Path("a$b$").touch()
    assert expand(written) == Path(meant.format(home=tmp_path))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("$UNHEARD_OF/c", "variable .UNHEARD_OF is not set"),
        ("data/${UNHEARD_OF}.csv", "variable .{UNHEARD_OF} is not set"),
        ("~nobody-of-this-name/c", "no home folder is known for ~nobody-of-this-name"),
        ("a\0b", "zero byte"),
    ],
)
def test_a_path_that_names_what_there_is_not_is_refused(tmp_path, monkeypatch, written, message):
    monkeypatch.chdir(tmp_path)
    for ask in (expand, check_target):
        with pytest.raises(UserError, match=message):
            ask(written)
    assert names(tmp_path) == []


# What stands at the target


def test_a_file_is_only_replaced_when_that_is_asked_for(tmp_path):
    target = tmp_path / "a.txt"
    write(target, "one")
    with pytest.raises(TargetExists, match=r"a.txt exists; .*--overwrite"):
        write(target, "two")
    assert target.read_text() == "one"
    write(target, "two", overwrite=True)
    assert target.read_text() == "two" and names(tmp_path) == ["a.txt"]


def test_what_a_link_points_to_is_written(tmp_path):
    (tmp_path / "real").mkdir()
    real, link, chain = tmp_path / "real" / "a.txt", tmp_path / "link.txt", tmp_path / "chain.txt"
    link.symlink_to(Path("real", "a.txt"))
    chain.symlink_to("link.txt")
    write(link, "new")  # it points nowhere yet
    assert real.read_text() == "new"
    with pytest.raises(TargetExists):
        write(chain, "newer")
    write(chain, "newer", overwrite=True)
    assert real.read_text() == "newer" and link.is_symlink() and chain.is_symlink()
    assert names(tmp_path / "real") == ["a.txt"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_regular_file_is_refused(tmp_path, overwrite):
    fifo, loop, folder = tmp_path / "fifo", tmp_path / "loop", tmp_path / "folder"
    os.mkfifo(fifo)
    loop.symlink_to("loop")
    folder.mkdir()
    (tmp_path / "to_device").symlink_to("/dev/null")
    for target, message in (
        (fifo, "no regular file"),
        ("/dev/null", "no regular file"),
        (tmp_path / "to_device", "no regular file"),
        (loop, "leads back to itself"),
        (folder, "is a folder"),
        (tmp_path / "none" / "a.txt", "is no folder"),
        (fifo / "a.txt", "is no folder|cannot be written"),
        (tmp_path / ("n" * 300), "cannot be written .File name too long"),
    ):
        for ask in (check_target, lambda target, overwrite: write(target, "x", overwrite)):
            with pytest.raises(UserError, match=message):
                ask(target, overwrite)
    assert stat.S_ISFIFO(fifo.stat().st_mode) and stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert names(tmp_path) == ["fifo", "folder", "loop", "to_device"]


def test_a_name_of_the_greatest_length_is_written(tmp_path):
    write(tmp_path / ("n" * 255), "x")
    assert names(tmp_path) == ["n" * 255]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755, 0o444])
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path, mode):
    target = tmp_path / "a.txt"
    target.write_text("one")
    target.chmod(mode)
    with replacing(target, overwrite=True) as partial:
        assert stat.S_IMODE(partial.stat().st_mode) == mode  # before anything is in it
        partial.write_text("two")
    assert (target.read_text(), stat.S_IMODE(target.stat().st_mode)) == ("two", mode)


def test_a_new_file_has_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "a.txt", "one")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_of_two_writers_without_overwrite_one_is_refused(tmp_path):
    target, outcomes = tmp_path / "a.json", []
    start = threading.Barrier(8)

    def make(number: int) -> None:
        try:
            with replacing(target) as partial:
                partial.write_text(str(number))
                start.wait()
            outcomes.append(number)
        except TargetExists:
            outcomes.append(None)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [number for number in outcomes if number is not None]
    assert len(outcomes) == 8 and target.read_text() == str(winner) and names(tmp_path) == ["a.json"]


# What is left behind

WRITER = """
import sys, time
from nplib._files import replacing
with replacing(sys.argv[1], overwrite=True) as partial:
    partial.write_text("half")
    print(partial, flush=True)
    time.sleep(60)
"""


def start_writer(target: Path) -> tuple[subprocess.Popen, Path]:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(target)], stdout=subprocess.PIPE, text=True)
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_writer_left_is_removed_and_what_a_living_one_holds_is_not(tmp_path):
    target, other = tmp_path / "a.txt", tmp_path / "b.txt"
    killed, left = start_writer(target)
    living, held = start_writer(target)
    elsewhere, others = start_writer(other)
    for process in (killed, elsewhere):
        process.send_signal(signal.SIGKILL)
        process.wait()
    try:
        (tmp_path / ".a.txt.notes").touch()
        assert left.exists() and held.exists() and others.exists()
        write(target, "whole")
        assert not left.exists() and held.read_text() == "half"
        assert others.exists()  # of another target: the next writer of that one removes it
        assert target.read_text() == "whole" and (tmp_path / ".a.txt.notes").exists()
    finally:
        living.kill()
        living.wait()
    write(other, "whole")
    check_target(target, overwrite=True)
    assert names(tmp_path) == [".a.txt.notes", "a.txt", "b.txt"]


def test_an_error_leaves_the_target_as_it_was(tmp_path):
    target = tmp_path / "a.txt"
    write(target, "one")
    for error in (ValueError("x"), KeyboardInterrupt(), OSError("of a server")):
        with pytest.raises(type(error)), replacing(target, overwrite=True) as partial:
            partial.write_text("half")
            raise error
    assert target.read_text() == "one" and names(tmp_path) == ["a.txt"]


FULL_DISK = """
import resource, sys
from nplib._files import write_json
from nplib.errors import UserError
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_json(sys.argv[1], list(range(10_000)))
except UserError as error:
    print(error)
"""


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
    target = tmp_path / "a.json"
    done = subprocess.run([sys.executable, "-c", FULL_DISK, target], capture_output=True, text=True, check=True)
    assert f"{target} cannot be written (File too large)" in done.stdout and names(tmp_path) == []


CLOSED = """
import sys
from nplib._files import check_target, write_json
from nplib.errors import UserError
for ask in (check_target, lambda target: write_json(target, {})):
    try:
        ask(sys.argv[1])
    except UserError as error:
        print(error)
"""


def as_any_user(*command: str) -> list[str]:
    """A command that closed folders are closed to, even if root runs it."""
    if os.geteuid():
        return [*command]
    if not shutil.which("setpriv"):
        pytest.skip("root may write everywhere, and nothing here takes that from it")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]


def test_a_closed_folder_is_noticed_before_the_work(tmp_path):
    tmp_path.chmod(0o555)
    target = tmp_path / "a.json"
    command = as_any_user(sys.executable, "-c", CLOSED, str(target))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count(f"{target} cannot be written (Permission denied)") == 2 and not done.stderr


def test_a_closed_cache_and_a_closed_home_leave_the_folder_for_temporary_files(tmp_path):
    closed, temporary = tmp_path / "home", tmp_path / "temporary"
    closed.mkdir(mode=0o555)
    temporary.mkdir()
    code = "from nplib._files import cache_folder; print(cache_folder())"
    for cache in ("", str(closed / "c"), "~/c", "$HOME/c"):
        environment = os.environ | {"HOME": str(closed), "TMPDIR": str(temporary), "NPLIB_CACHE": cache}
        command = as_any_user(sys.executable, "-c", code)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path)
        assert done.stdout == f"{temporary}/nplib-{os.geteuid()}\n" and "Permission denied" in done.stderr
    assert names(tmp_path) == ["home", "temporary"] and names(closed) == []
