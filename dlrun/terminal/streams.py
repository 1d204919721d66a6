"""Standard streams that end no run: a reader that is gone, a stream that is closed, letters that it has not."""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

from dlrun.terminal.escaping import printable

# What a write says when nobody reads any more: a pipe, a terminal that was closed.
NOBODY_READS = (errno.EPIPE, errno.ECONNRESET, errno.EIO)


class Enduring:
    """A text stream that goes on after its reader has gone; what is written then is lost.

    What does not print is written out, since it may come from a stranger's file; rich draws on the stream behind it.

    `lost`: why what was written could not be, where that was no reader's choice (a full disk); None: it could.
    """

    def __init__(self, stream: Any):
        self.stream = stream
        self.lost: OSError | None = None

    @property
    def rich_proxied_file(self) -> "_Drawing":
        """By this name rich asks a stream for the one behind it."""
        return _Drawing(self)

    def write(self, text: str) -> int:
        # Around its bars tqdm goes back to the beginning of the line.
        bar = text.strip("\r")
        return self.draw(text.replace(bar, printable(bar)) if bar else text)

    def draw(self, text: str) -> int:
        """Writes `text` as it is."""
        with self._enduring():
            self.stream.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with self._enduring():
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    @contextlib.contextmanager
    def _enduring(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in NOBODY_READS:
                self.lost = error
            # What is still in the buffer goes there too, and so does what Python writes at its end.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.stream.fileno())
            os.close(null)


class _Drawing:
    """The stream behind an `Enduring`, for who needs control characters."""

    def __init__(self, stream: Enduring):
        self.write = stream.draw
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def enduring() -> Iterator[Enduring]:
    """Gives stdout; it and stderr are `Enduring`, and a letter that their encoding has not becomes a `?`."""
    _open_what_is_closed()
    before = sys.stdout, sys.stderr
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    out, err = Enduring(before[0]), Enduring(before[1])
    sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
    try:
        yield out
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before


def _open_what_is_closed() -> None:
    """Nothing in place of a standard stream that is closed (`>&-`), or the next file would take its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))
