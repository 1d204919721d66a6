"""Runs jobs: a process each, as many at once as asked for.

The processes are forked from a server that has imported the heavy libraries once. A job that
fails, crashes or hangs ends alone.
"""

import contextlib
import multiprocessing
import os
import pathlib
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any, Protocol

from dlrun import disk
from dlrun.config.check import Config
from dlrun.engine.interrupt import listening
from dlrun.store.sweep_record import Job
from dlrun.sweep import jobs, worker
from dlrun.terminal.console import SweepTable

GRACE_SECONDS = 10


class Source(Protocol):
    """Where jobs come from and who keeps the record of them: the list of a grid, or a search."""

    @property
    def jobs(self) -> list[Job]: ...
    @property
    def judge(self) -> Callable[[Job, dict[str, float]], bool] | None:
        """Hears of each epoch of a job and says whether it is hopeless; None: nobody asks."""

    def take(self) -> tuple[Job, Config, list[str]] | None:
        """The next job to run, its config and the words that repeat it; None if there is none now."""

    def record(self, job: Job) -> None:
        """Writes down that a job has begun or ended."""


@dataclass
class Running:
    """A job's process; `slot` tells it which GPU to take, `said` is the last that it told."""

    job: Job
    process: Any
    connection: Any
    slot: int
    started: float
    said: dict[str, Any] = field(default_factory=dict)
    is_overdue: bool = False


class Driver:
    """Starts processes, listens to them, and keeps the record and the table up to date."""

    def __init__(self, home: pathlib.Path, source: Source, num_slots: int, timeout_minutes: float | None):
        self.home, self.source = home, source
        self.stops_when_warned = False
        self.limit = timeout_minutes * 60 if timeout_minutes else float("inf")
        self.slots = list(range(num_slots))
        self.running: list[Running] = []
        self.signals: list[int] = []
        self.threads = _threads(num_slots)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(worker.PRELOAD)

    def drive(self) -> int | None:
        """Returns the signal that stopped the sweep, or None when there is no job left to run."""
        disk.folder(self.home / "logs")
        with listening(self._receive, self._warn), SweepTable(self.source.jobs) as table:
            self._fill()
            table.update()
            while self.running:
                self._listen()
                self._fill()
                table.update()
        return self.signals[0] if self.signals else None

    def _fill(self) -> None:
        """Starts jobs while there are slots for them."""
        while self.slots and not self.signals and (taken := self.source.take()) is not None:
            self._start(*taken)

    def _start(self, job: Job, config: Config, words: list[str]) -> None:
        ours, theirs = self.context.Pipe()
        order = worker.Order(
            config=config.to_dict() | {"folder": str(self.home / str(job.number))},
            words=words,
            changed=job.changed,
            log=str(jobs.log(self.home, job)),
            slot=self.slots.pop(0),
            is_judged=self.source.judge is not None,
            environment=os.environ | _surroundings(self.threads),
            threads=self.threads,
        )
        process = self.context.Process(target=worker.work, args=(order, theirs), name=f"job {job.number}")
        with _apart(self.threads):
            process.start()
        theirs.close()
        self.stops_when_warned = config.trainer.stop_when_warned
        job.state = "running"
        self.running.append(Running(job, process, ours, order.slot, time.monotonic()))
        if self.signals:
            # It came while this process was started, and could not be passed on to it.
            process.terminate()
        self.source.record(job)

    def _listen(self) -> None:
        """Waits until a process says something or ends, a second at most, and settles those that have ended."""
        heard = [entry.connection for entry in self.running if not entry.connection.closed]
        ready = wait([*heard, *(entry.process.sentinel for entry in self.running)], timeout=1)
        now = time.monotonic()
        for entry in list(self.running):
            entry.job.seconds = round(now - entry.started, 1)
            if entry.connection in ready:
                self._hear(entry)
            if not entry.process.is_alive():
                self._settle(entry)
            elif now - entry.started > self.limit and not entry.is_overdue:
                entry.is_overdue = True
                entry.process.terminate()
            elif now - entry.started > self.limit + GRACE_SECONDS:
                entry.process.kill()

    def _hear(self, entry: Running) -> None:
        """Takes in one message; a row of metrics is answered."""
        try:
            message = entry.connection.recv()
            if "row" not in message:
                entry.said = message
            elif self.source.judge is not None:
                entry.connection.send(self.source.judge(entry.job, message["row"]))
        except (EOFError, OSError):
            # It says no more: it has ended, or has been ended in the middle of a word.
            entry.connection.close()

    def _settle(self, entry: Running) -> None:
        entry.process.join()
        while not entry.connection.closed and entry.connection.poll():
            self._hear(entry)
        job, code, said = entry.job, entry.process.exitcode, entry.said
        if code == 0 and said:
            job.state, job.value, job.reason = said["state"], said["value"], said.get("reason")
        elif entry.is_overdue:
            job.state, job.reason = "failed", f"took longer than {self.limit / 60:g} minutes"
        elif self.signals:
            job.state = "interrupted"
        else:
            job.state, job.reason = "failed", said.get("reason") or worker.describe_exit(code)
        self.running.remove(entry)
        self.slots.append(entry.slot)
        entry.connection.close()
        self.source.record(job)

    def _receive(self, number: int, frame: Any) -> None:
        """The first signal lets the jobs save and end; the second ends them at once."""
        self.signals.append(number)
        for entry in self.running:
            if len(self.signals) == 1:
                entry.process.terminate()
            else:
                entry.process.kill()

    def _warn(self, number: int, frame: Any) -> None:
        """Lets the jobs save, or save and end where they are to stop when warned."""
        if not self.stops_when_warned:
            for entry in self.running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(entry.process.pid, signal.SIGUSR1)
        elif not self.signals:
            self._receive(number, frame)


def _threads(num_slots: int) -> int:
    """The threads of a job: those that the environment asks for, or its share of the cores."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(asked) if asked.isdecimal() and int(asked) else max(1, cores() // num_slots)


def _surroundings(threads: int) -> dict[str, str]:
    """What is in the environment of a job beside that of this process."""
    # Helper processes are started as `python -c`, which would look for modules in the working directory.
    return {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "PYTHONSAFEPATH": "1"}


@contextlib.contextmanager
def _apart(threads: int) -> Iterator[None]:
    """Lets a process start, and with the first one the server, with surroundings of its own.

    It does not see the main module: it would import that, and a script that starts a sweep would start it again.
    """
    own = _surroundings(threads)
    main, before = sys.modules["__main__"], {key: os.environ.get(key) for key in own}
    sys.modules["__main__"] = types.ModuleType("__main__")
    os.environ.update(own)
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def cores() -> int:
    """What this process may use; macOS cannot say more than what there is."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
