"""Locks of folders: held by one process, and let go of by the system when it ends, however it ends."""

import contextlib
import fcntl
import os
import pathlib
import re
import socket
import time
from collections.abc import Iterator
from typing import IO

from dlrun import disk
from dlrun.errors import UserError


@contextlib.contextmanager
def owned(path: pathlib.Path) -> Iterator[None]:
    """Holds a folder for one process; the system lets go of it when the process ends.

    **Raises:** `UserError` naming the process that has it, or a link in the folder.
    """
    with _opened(path / ".lock") as lock:
        while not _lock_now(lock):
            if not _has_ended(holder := _holder(lock)):
                raise UserError(f"{path} belongs to a running process ({holder})")
            # The loader processes of a killed run have inherited its lock; they end within seconds.
            time.sleep(0.1)
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        disk.refuse_links(path)
        yield


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Holds the lock file `path`, once no other process does; the system lets go of it when the process ends."""
    with _opened(path) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def claim(path: pathlib.Path) -> int | None:
    """A descriptor that holds the lock file `path` until it is closed or the process ends; None if another does."""
    lock = disk.appending(path)
    if _lock_now(lock):
        return lock
    os.close(lock)
    return None


def wait_until_free(path: pathlib.Path) -> None:
    """Returns when no process owns the folder: a job whose sweep was killed may still be saving."""
    if (path / ".lock").exists():
        with _opened(path / ".lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)


def _opened(path: pathlib.Path) -> IO[str]:
    """**Raises:** `UserError` for what cannot be a lock file."""
    try:
        return os.fdopen(disk.appending(path), "a+")
    except OSError as error:
        raise UserError(f"{path}: cannot be used as a lock: {error.strerror}") from error


def _lock_now(lock: IO[str] | int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(lock: IO[str]) -> str:
    """The process that holds `lock`; it writes its name right after it got it."""
    for _ in range(100):
        lock.seek(0)
        if name := lock.read().strip():
            return name
        time.sleep(0.01)
    return "unknown"


def _has_ended(holder: str) -> bool:
    """Whether `holder` is known to be gone: a process of this machine that is not there."""
    name = re.fullmatch(rf"process (\d+) on {re.escape(socket.gethostname())}", holder)
    if name is None:
        return False
    try:
        os.kill(int(name[1]), 0)
    except OSError as error:
        # Another user's process may not be signalled, but it is there.
        return isinstance(error, ProcessLookupError)
    return False
