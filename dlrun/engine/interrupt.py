"""Signals: the first asks for a stop at the next step, the second ends the process at once."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal outside of training; `number` is the signal. Exit code 128 + number."""

    def __init__(self, number: int):
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number


class Pruned(Exception):
    """A search has found that this run is not worth going on with; its state is saved."""


class Stop:
    """Whether a signal has asked this run to stop.

    Inside `deferred()` a signal only sets `requested`, and training stops at the next step,
    where its state can be saved. Outside there is nothing to save, and it raises `Interrupted`.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self._deferring = False

    @contextlib.contextmanager
    def handling(self) -> Iterator["Stop"]:
        """Listens to the signals for the length of a `with` block (in the main thread)."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        previous = {number: signal.signal(number, self._receive) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Training and saving: a signal waits for the end of the step."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.requested is not None:
            os._exit(128 + number)
        self.requested = number
        if not self._deferring:
            raise Interrupted(number)
        print("\nsaving at the next step; a second signal quits at once", file=sys.stderr)
