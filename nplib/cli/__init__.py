"""The command ``nplib``: what surrounds every command. Commands themselves are imported once it stands."""

from __future__ import annotations

import codecs
import errno
import io
import os
import signal
import sys
import unicodedata

__all__ = ["main"]

SWALLOWED = 3.0  # seconds after which an interruption that ended nothing comes again
_PLAIN = {"±": "+-", "×": "x", "→": "->", "–": "-", "…": "..."}  # what has no likeness in ASCII by itself


def main() -> None:
    """The console script.

    Neither Ctrl-C nor a request to end shows where the program was, whatever it was doing; and nothing that happens to
    its words, a reader who left or a full disk, ends its work.
    """
    stopped: list[int] = []

    def stop(number: int, frame: object) -> None:
        stopped.append(number)
        # A library that is being imported may swallow the interruption: it comes again until the program ends.
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, SWALLOWED)
        raise KeyboardInterrupt

    code: object = 0
    try:
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, stop)
        codecs.register_error("nplib.plain", _in_plain_letters)
        sys.stdout, sys.stderr = _steady(sys.stdout), _steady(sys.stderr)
        from nplib.cli.app import app

        app(prog_name="nplib")
    except SystemExit as end:
        code = end.code
    except BaseException:  # an import that is interrupted may end in an error of any kind
        if not stopped:
            raise
    if stopped:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        print("\ninterrupted" if stopped[0] == signal.SIGINT else "\nended as asked to", file=sys.stderr)
        code = 128 + stopped[0]
    sys.stdout.flush()
    if stopped:
        sys.stderr.flush()
        os._exit(code)  # threads that still compute would end the interpreter with an error of their own
    error = getattr(getattr(sys.stdout.buffer, "raw", None), "error", None)
    if error is not None and error.errno != errno.EPIPE:
        print(f"error: not all could be printed: {error.strerror}; files are whole", file=sys.stderr)
        code = code or 1
    sys.exit(code)


class _Steady(io.RawIOBase):
    """Takes whatever is written, also once it can be written no more; the first error is kept."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self.raw = raw
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        if self.error is None:
            try:
                return self.raw.write(data) or len(data)
            except OSError as error:
                self.error = error
        return len(data)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.raw.isatty()

    def fileno(self) -> int:
        return self.raw.fileno()


def _steady(stream: io.TextIOWrapper | None) -> io.TextIOWrapper:
    if stream is None:  # it was closed before the program began
        return open(os.devnull, "w", encoding="utf8")
    binary = io.BufferedWriter(_Steady(getattr(stream.buffer, "raw", stream.buffer)))
    return io.TextIOWrapper(
        binary,
        encoding=stream.encoding,
        errors="nplib.plain",
        line_buffering=stream.line_buffering or stream is sys.stderr,
        write_through=stream.write_through,
    )


def _in_plain_letters(error: UnicodeError) -> tuple[str, int]:
    """What stands for letters that a terminal has not."""
    letters = error.object[error.start : error.end]
    alike = (_PLAIN.get(letter) or unicodedata.normalize("NFKD", letter) for letter in letters)
    return "".join(text.encode("ascii", "ignore").decode() or "?" for text in alike), error.end
