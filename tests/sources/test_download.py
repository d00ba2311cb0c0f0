"""nplib.sources.download against a real server that cuts, forgets, refuses and lies: the file is right, or absent."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from file_server import FileServer

from nplib.sources.download import DownloadFailed, RemoteFile, fetch

CONTENT = np.random.default_rng(0).bytes(1_000_000)
OTHER = np.random.default_rng(1).bytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "results.bin"


@pytest.fixture(autouse=True)
def online(monkeypatch):
    monkeypatch.delenv("NPLIB_OFFLINE")


@pytest.fixture
def server():
    with FileServer(CONTENT) as server:
        yield server


@pytest.fixture
def get(server, tmp_path):
    """Fetch the file of the server into the temporary folder, without waiting long between tries."""

    def run(sha256: str = SHA256, size: int | None = None, **options) -> Path:
        options = {"tries": 3, "pause": 0.001, "timeout": 10} | options
        return fetch(RemoteFile(NAME, server.url, sha256, 1, size), tmp_path, **options)

    return run


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_arrives_whole_under_its_name_and_nothing_else(server, get, tmp_path):
    path = get()
    assert path == tmp_path / NAME
    assert path.read_bytes() == CONTENT
    assert files(tmp_path) == [NAME]
    assert path.stat().st_mode & 0o444 == 0o444 & ~current_umask()


def current_umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def test_a_folder_that_is_not_there_is_made(server, tmp_path):
    path = fetch(RemoteFile(NAME, server.url, SHA256, 1), tmp_path / "new" / "data")
    assert path.read_bytes() == CONTENT


def test_a_file_that_is_there_and_right_is_not_asked_for(server, get, tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT)
    get()
    assert server.asked == []


def test_a_file_that_is_there_and_wrong_is_left_alone(server, get, tmp_path):
    (tmp_path / NAME).write_bytes(b"mine")
    with pytest.raises(DownloadFailed, match=r"is there, and is not the file of .*move or delete it"):
        get()
    assert (tmp_path / NAME).read_bytes() == b"mine"
    assert server.asked == []


def test_a_cut_download_goes_on_where_it_ended(server, get):
    server.cuts = [300_000, 1, 500_000]
    assert get().read_bytes() == CONTENT
    assert server.ranges_asked() == [None, "bytes=300000-", "bytes=300001-", "bytes=800001-"]
    assert server.sent == len(CONTENT)


def test_more_cuts_than_tries_are_no_matter_while_each_try_brings_something(server, get):
    server.always_cut = 100_000
    assert get(tries=2).read_bytes() == CONTENT
    assert len(server.asked) == 10


def test_a_silent_connection_counts_as_cut(server, get):
    server.cuts, server.stalls = [400_000], 1
    assert get(timeout=0.3).read_bytes() == CONTENT
    assert server.ranges_asked() == [None, "bytes=400000-"]


def test_a_length_that_is_not_told_is_no_matter(server, get):
    server.chunked = True
    server.cuts = [300_000]
    assert get().read_bytes() == CONTENT
    assert server.ranges_asked() == [None, "bytes=300000-"]


def test_a_server_without_ranges_is_asked_anew(server, get):
    server.ranges = False
    server.cuts = [300_000]
    assert get().read_bytes() == CONTENT
    assert server.sent == len(CONTENT) + 300_000


def test_a_server_that_always_cuts_at_one_place_is_given_up(server, get, tmp_path):
    server.ranges = False
    server.always_cut = 300_000
    with pytest.raises(DownloadFailed, match="3 tries brought nothing new; 300,000 bytes are kept") as caught:
        get()
    assert server.url in str(caught.value)
    assert len(server.asked) == 4
    assert files(tmp_path) == [f"{NAME}.part"]


def test_what_had_arrived_when_given_up_is_not_fetched_again(server, get, tmp_path):
    server.cuts = [300_000, 0, 0, 0]
    with pytest.raises(DownloadFailed):
        get()
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:300_000]
    assert get().read_bytes() == CONTENT
    assert server.sent == len(CONTENT)
    assert files(tmp_path) == [NAME]


def test_a_part_that_is_whole_is_not_fetched_again(server, get, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
    assert get().read_bytes() == CONTENT
    assert server.sent == 0


def test_a_part_of_the_whole_size_needs_no_server(server, get, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
    assert get(size=len(CONTENT)).read_bytes() == CONTENT
    assert server.asked == []


def test_a_part_longer_than_the_file_is_dropped(server, get, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT + b"more")
    assert get().read_bytes() == CONTENT
    assert server.ranges_asked() == ["bytes=1000004-", None]


def test_a_part_of_another_file_is_found_out_and_dropped(server, get, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(OTHER[:300_000])
    assert get().read_bytes() == CONTENT
    assert server.ranges_asked() == ["bytes=300000-", None]


def test_a_server_that_continues_elsewhere_is_asked_for_the_whole(server, get):
    server.shift = 5
    server.cuts = [300_000]
    assert get().read_bytes() == CONTENT
    assert server.ranges_asked() == [None, "bytes=300000-", None]


def test_a_file_that_changes_between_tries_is_fetched_anew(server, get):
    server.content = OTHER
    server.cuts = [300_000]
    server.replacements = [CONTENT]
    assert get().read_bytes() == CONTENT
    assert server.ranges_asked() == [None, "bytes=300000-", None]


def test_pieces_that_never_fit_are_given_up(server, get, tmp_path):
    server.content, server.always_cut = OTHER, 300_000
    with pytest.raises(DownloadFailed, match="not the file it should be"):
        get()
    assert len(server.asked) == 8 and files(tmp_path) == []


def test_what_a_server_without_ranges_sends_again_costs_nothing_that_was_there(server, get, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:600_000])
    server.ranges, server.cuts = False, [100_000]
    with pytest.raises(DownloadFailed):
        get(tries=1)
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:600_000]


SIGN_IN = b"<html>Please sign in to the network</html>"


@pytest.mark.parametrize("size", [None, len(CONTENT)])
@pytest.mark.parametrize(
    ("kind", "chunked", "page"),
    [
        ("text/html", False, SIGN_IN),
        ("text/html; charset=utf-8", True, SIGN_IN * 99_999),
        ("", True, SIGN_IN),
        ("", False, SIGN_IN),
        ("", False, b""),
        ("", True, b""),
        ("", False, CONTENT[:500_000]),
    ],
)
def test_a_page_in_place_of_the_file_costs_nothing_that_was_there(server, get, tmp_path, kind, chunked, page, size):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:900_000])
    server.content, server.ranges, server.kind, server.chunked = page, False, kind, chunked
    with pytest.raises(DownloadFailed, match=server.url):
        get(size=size)
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:900_000]
    server.content, server.ranges, server.kind, server.chunked = CONTENT, True, "", False
    assert get().read_bytes() == CONTENT
    assert server.ranges_asked()[-1] == "bytes=900000-"


def test_a_file_of_another_length_is_not_begun(server, get, tmp_path):
    server.content = CONTENT + b"more"
    with pytest.raises(DownloadFailed, match=r"is 1,000,004 bytes long, and results\.bin is 1,000,000"):
        get(size=len(CONTENT))
    assert server.sent <= len(server.content) and files(tmp_path) == []


def test_wrong_bytes_are_told_and_removed(server, get, tmp_path):
    server.content = OTHER
    with pytest.raises(DownloadFailed, match="not the file it should be") as caught:
        get()
    for told in (server.url, NAME, SHA256, hashlib.sha256(OTHER).hexdigest()):
        assert told in str(caught.value)
    assert files(tmp_path) == []


def test_a_flipped_byte_is_wrong_bytes(server, get, tmp_path):
    server.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(DownloadFailed, match=SHA256):
        get()
    assert files(tmp_path) == []


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_final(server, get, tmp_path, status):
    server.statuses = [status] * 9
    with pytest.raises(DownloadFailed, match=f"{server.url}: the server answered {status}"):
        get()
    assert len(server.asked) == 1
    assert files(tmp_path) == []


def test_an_overloaded_server_is_asked_again(server, get):
    server.statuses = [503, 429]
    assert get().read_bytes() == CONTENT
    assert len(server.asked) == 3


def test_a_server_that_stays_overloaded_is_given_up(server, get):
    server.statuses = [503] * 9
    with pytest.raises(DownloadFailed, match="503 Service Unavailable, and 3 tries brought nothing new"):
        get()


def test_pauses_grow(server, get):
    server.statuses = [503] * 4
    started = time.perf_counter()
    get(tries=5, pause=0.05)
    assert time.perf_counter() - started >= 0.05 * (1 + 2 + 4 + 8)


def test_nobody_there_is_told_at_once(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/{NAME}"
        started = time.perf_counter()
        with pytest.raises(DownloadFailed, match=f"{url} cannot be reached .*refused"):
            fetch(RemoteFile(NAME, url, SHA256, 1), tmp_path, pause=10)
    assert time.perf_counter() - started < 5
    assert files(tmp_path) == []


def test_a_bad_address_is_told_at_once(tmp_path):
    with pytest.raises(DownloadFailed, match="nowhere:/x cannot be reached"):
        fetch(RemoteFile(NAME, "nowhere:/x", SHA256, 1), tmp_path, pause=10)


def test_a_file_that_does_not_fit_is_not_begun(server, get, tmp_path):
    server.announced = 10**18
    with pytest.raises(DownloadFailed, match=r"MB free, and .* needs 1,000,000,000,000\.0 MB more; make room"):
        get()
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_written_to_is_told(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadFailed, match=r"results\.bin cannot be written"):
        fetch(RemoteFile(NAME, server.url, SHA256, 1), tmp_path / "file")


def test_nothing_is_compressed_on_the_way(server, get):
    get()
    assert server.asked[0]["Accept-Encoding"] == "identity"


def test_progress_has_size_rate_and_time_left(server, get, capsys):
    server.cuts = [300_000]
    get(progress=True)
    shown = capsys.readouterr().err
    assert NAME in shown and "1.00M/1.00M" in shown and "B/s" in shown and "<" in shown


def test_without_progress_nothing_is_printed(server, get, capsys):
    get()
    assert capsys.readouterr() == ("", "")


def process_that_fetches(server, folder, size=None, **settings) -> subprocess.Popen:
    call = f"fetch(RemoteFile({NAME!r}, {server.url!r}, {SHA256!r}, 1, {size}), {str(folder)!r}, pause=0.01)"
    code = f"from nplib.sources.download import RemoteFile, fetch; {call}"
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, **settings)


def until(condition, seconds=20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_two_downloads_at_once_share_one(server, get, tmp_path):
    server.cuts, server.stalls = [400_000], 1
    part = tmp_path / f"{NAME}.part"
    first = process_that_fetches(server, tmp_path)
    until(lambda: part.exists() and part.stat().st_size == 400_000)
    second = process_that_fetches(server, tmp_path)
    assert "this one waits for it" in second.stderr.readline()
    server.stalled.set()
    assert [process.wait(20) for process in (first, second)] == [0, 0]
    assert (tmp_path / NAME).read_bytes() == CONTENT and server.sent == len(CONTENT)
    assert files(tmp_path) == [NAME]


def test_a_download_whose_process_is_killed_is_taken_over_by_the_one_that_waits(server, tmp_path):
    server.cuts, server.stalls = [400_000], 1
    part = tmp_path / f"{NAME}.part"
    first = process_that_fetches(server, tmp_path)
    until(lambda: part.exists() and part.stat().st_size == 400_000)
    second = process_that_fetches(server, tmp_path)
    assert "this one waits for it" in second.stderr.readline()
    first.kill()
    assert (first.wait(10), second.wait(20)) == (-signal.SIGKILL, 0)
    assert (tmp_path / NAME).read_bytes() == CONTENT and server.sent == len(CONTENT)


def test_a_download_that_hangs_in_another_process_is_not_waited_for_for_ever(server, get, tmp_path):
    server.cuts, server.stalls = [400_000], 1
    part = tmp_path / f"{NAME}.part"
    first = process_that_fetches(server, tmp_path)
    until(lambda: part.exists() and part.stat().st_size == 400_000)
    with pytest.raises(DownloadFailed, match=r"another process downloads .*part and gets no further"):
        get(timeout=0.2)
    first.kill()
    first.wait(10)
    assert part.read_bytes() == CONTENT[:400_000]


def test_an_interruption_while_the_file_is_checked_costs_nothing(server, get, tmp_path, monkeypatch):
    def interrupted(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nplib.sources.download.sha256_of", interrupted)
        with pytest.raises(KeyboardInterrupt):
            get()
    assert files(tmp_path) == [f"{NAME}.part"]
    assert get().read_bytes() == CONTENT
    assert server.sent == len(CONTENT)


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_download_leaves_its_part_and_no_target(server, get, tmp_path, way):
    server.cuts, server.stalls = [400_000], 1
    process = process_that_fetches(server, tmp_path)
    part = tmp_path / f"{NAME}.part"
    until(lambda: part.exists() and part.stat().st_size == 400_000)
    process.send_signal(way)
    assert process.wait(10) != 0
    assert part.read_bytes() == CONTENT[:400_000]
    assert not (tmp_path / NAME).exists()
    assert get().read_bytes() == CONTENT
    assert server.ranges_asked() == [None, "bytes=400000-"]
