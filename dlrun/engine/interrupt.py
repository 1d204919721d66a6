"""Signals: the first asks for a stop at the next step, the second ends the process at once; a warning asks to save."""

import contextlib
import faulthandler
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WARNINGS = (signal.SIGUSR1, signal.SIGXCPU)  # what a scheduler sends before it ends a job


class Interrupted(KeyboardInterrupt):
    """A signal has ended a run; `number` is the signal. Exit code 128 + number.

    `path` is the folder in which the run can be resumed; None: it had none yet.
    """

    path: pathlib.Path | None = None

    def __init__(self, number: int):
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number


class Pruned(Exception):
    """A search has found that this run is not worth going on with; its state is saved."""


Handler = Callable[[int, FrameType | None], None]


@contextlib.contextmanager
def listening(receive: Handler, warn: Handler) -> Iterator[None]:
    """Calls `receive` for a signal that stops, and `warn` for a warning, for the length of a `with` block.

    SIGQUIT (Ctrl-\\) prints where the program is, which then goes on. In another than the main thread nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = dict.fromkeys(STOPS, receive) | dict.fromkeys(WARNINGS, warn)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        del handlers[signal.SIGHUP]  # nohup lets a run outlive its terminal
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    if sys.__stderr__ is not None:
        faulthandler.register(signal.SIGQUIT, sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.unregister(signal.SIGQUIT)
        for number, handler in previous.items():
            if handler is not None:  # else it was not set by Python, which cannot set it again
                signal.signal(number, handler)


class Stop:
    """What signals have asked of this run.

    Inside `deferred()` a signal only sets `requested`, and training stops at the next step,
    where its state can be saved. Outside there is nothing to save, and it raises `Interrupted`.
    A warning asks to save and go on; with `stops_when_warned` it is like the others.

    `quits`: whether a second signal ends the process, which may not be ours alone; else it raises too.
    """

    def __init__(self, stops_when_warned: bool = False, *, quits: bool = True) -> None:
        self.requested: int | None = None
        self.quits = quits
        self._stops_when_warned = stops_when_warned
        self._wants_save = self._deferring = False

    @contextlib.contextmanager
    def handling(self) -> Iterator["Stop"]:
        """Listens to the signals for the length of a `with` block (in the main thread)."""
        with listening(self._receive, self._warn):
            yield self

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Training and saving: a signal waits for the end of the step."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def takes_save(self) -> bool:
        """Whether a warning has come since this was asked last."""
        wanted, self._wants_save = self._wants_save, False
        return wanted

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.requested is not None and self.quits:
            os._exit(128 + number)
        is_second, self.requested = self.requested is not None, number
        if not self._deferring or is_second:
            raise Interrupted(number)
        print("\nsaving at the next step; a second signal quits at once", file=sys.stderr)

    def _warn(self, number: int, frame: FrameType | None) -> None:
        if not self._stops_when_warned:
            self._wants_save = True
        elif self.requested is None:  # the system may warn each second
            self._receive(number, frame)
