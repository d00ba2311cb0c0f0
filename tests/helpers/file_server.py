"""A real HTTP server on this machine that serves one file, as badly as it is told to."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that is gone: some are killed on purpose."""


class FileServer:
    """Serves ``content`` at :attr:`url` while the ``with`` block lasts.

    Attributes:
        ranges (bool): Whether it knows Range requests; if not, it sends the whole file to every one.
        shift (int): How far from the byte asked for it starts.
        statuses (list of int): What it answers to the first requests instead of the file.
        cuts (list of int): How many bytes it sends to the next requests that are not refused, before it closes the
            connection.
        always_cut (int or None): As ``cuts``, once they are used up.
        stalls (int): How many of those cuts are silence instead: the connection stays open until :attr:`stalled` is
            set.
        kind (str): Content-Type, sent if not empty.
        announced (int or None): Content-Length to tell instead of the true one.
        chunked (bool): Whether it sends in chunks, without telling the length.
        replacements (list of bytes): What the file becomes after each request.
        asked (list of dict): Headers of every request.
        sent (int): Bytes of the file sent in all.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.ranges = True
        self.shift = 0
        self.statuses: list[int] = []
        self.cuts: list[int] = []
        self.always_cut: int | None = None
        self.stalls = 0
        self.stalled = threading.Event()
        self.kind = ""
        self.announced: int | None = None
        self.chunked = False
        self.replacements: list[bytes] = []
        self.asked: list[dict[str, str]] = []
        self.sent = 0

    def __enter__(self) -> FileServer:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/results.bin"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stalled.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def ranges_asked(self) -> list[str | None]:
        """The Range header of every request, None where it had none."""
        return [headers.get("Range") for headers in self.asked]

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(dict(request.headers))
        request.close_connection = True
        if self.statuses:
            request.send_response(self.statuses.pop(0))
            request.end_headers()
            return
        size = len(self.content)
        asked = request.headers.get("Range")
        start = 0
        if asked and self.ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= size:
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{size}")
                request.end_headers()
                return
            start += self.shift
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        else:
            request.send_response(200)
        body = self.content[start:]
        if self.chunked:
            request.send_header("Transfer-Encoding", "chunked")
        else:
            request.send_header("Content-Length", str(len(body) if self.announced is None else self.announced))
        if self.kind:
            request.send_header("Content-Type", self.kind)
        request.end_headers()
        cut = self.cuts.pop(0) if self.cuts else self.always_cut
        body = body[:cut]
        # Before the client can have it all, and look.
        self.sent += len(body)
        if self.replacements:
            self.content = self.replacements.pop(0)
        if self.chunked:
            request.wfile.write(b"%x\r\n%b\r\n" % (len(body), body) + b"0\r\n\r\n" * (cut is None))
        else:
            request.wfile.write(body)
        request.wfile.flush()
        if cut is not None and self.stalls:
            self.stalls -= 1
            self.stalled.wait()
