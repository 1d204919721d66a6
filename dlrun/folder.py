"""A run's folder while the run owns it: one owner, a status, checkpoints that survive a kill."""

import contextlib
import csv
import datetime
import fcntl
import json
import os
import pathlib
import re
import secrets
import socket
import time
from collections.abc import Iterator
from typing import IO, Any

from omegaconf import OmegaConf

from dlrun import checkpoint
from dlrun.errors import UserError

LAST, PREVIOUS, BEST = "last.safetensors", "last.previous.safetensors", "best.safetensors"

# What a run leaves, beside unfinished .tmp files, that was killed before its config stood there: nothing to go on with.
LEFTOVERS = {".lock", "checkpoints", "status.json", "spec.json", "overrides.json"}


def check_writable(outputs: str) -> None:
    """**Raises:** `UserError` if no run folder could be made below `outputs`. Makes nothing itself."""
    path = pathlib.Path(outputs).absolute()
    nearest = next(parent for parent in (path, *path.parents) if os.path.exists(parent))
    if not nearest.is_dir():
        raise UserError(f"outputs: {nearest} is not a folder; choose another with outputs=FOLDER")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"outputs: {nearest} is not writable; choose another folder with outputs=FOLDER")


def create(base: pathlib.Path, name: str | None = None, key: str | None = None) -> pathlib.Path:
    """A new folder `<base>/<date>_<time>-<id>` (or `<base>/<name>`) that nothing else owns.

    `key` is the config key that an error names.

    **Raises:** `UserError` if it cannot be made or `name` is taken.
    """
    key = key or ("folder" if name else "outputs")
    while True:
        stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        path = base / (name or f"{stamp}-{secrets.token_hex(2)}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if name is None and base.is_dir():
                continue
            if _is_leftover(path):
                return path
            raise UserError(f"{key}: {path} is in use; choose another, or go on with it: dlrun resume {path}") from None
        except OSError as error:
            raise UserError(
                f"{key}: cannot make {path}: {error.strerror}; choose another folder with {key}=FOLDER"
            ) from error
        return path


@contextlib.contextmanager
def owned(path: pathlib.Path) -> Iterator[None]:
    """Holds a folder for one process; the system lets go of it when the process ends.

    **Raises:** `UserError` naming the process that has it.
    """
    with open(path / ".lock", "a+") as lock:
        while not _is_taken(lock):
            if not _has_ended(holder := _holder(lock)):
                raise UserError(f"{path} belongs to a running process ({holder})")
            # The loader processes of a killed run have inherited its lock; they end within seconds.
            time.sleep(0.1)
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        yield


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Holds the lock file `path`, once no other process does; the system lets go of it when the process ends."""
    with open(path, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def claim(path: pathlib.Path) -> int | None:
    """A descriptor that holds the lock file `path` until it is closed or the process ends; None if another does."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    if _is_taken(lock):
        return lock
    os.close(lock)
    return None


def wait_until_free(path: pathlib.Path) -> None:
    """Returns when no process owns the folder: a job whose sweep was killed may still be saving."""
    if (path / ".lock").exists():
        with open(path / ".lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)


def _is_taken(lock: IO[str] | int) -> bool:
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


def _is_leftover(path: pathlib.Path) -> bool:
    """Whether `path` holds nothing but what a killed run left. **Raises:** `UserError` if it is still at work."""
    if (path / ".lock").exists():
        with owned(path):
            pass
    return path.is_dir() and {file.name for file in path.iterdir() if file.suffix != ".tmp"} <= LEFTOVERS


def write_json(path: pathlib.Path, value: Any) -> None:
    """The whole file or none of it."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def to_yaml(values: dict[str, Any]) -> str:
    """A config as YAML text."""
    return OmegaConf.to_yaml(OmegaConf.create(values))


class RunFolder:
    """Writes everything of a run but its events and pictures (DESIGN, "What a run leaves")."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        self.started = _now()
        self.best_extras: dict[str, Any] = {}
        (path / "checkpoints").mkdir(exist_ok=True)

    def write_status(self, state: str, error: str | None = None) -> None:
        """`running`, `done`, `failed`, `interrupted` or `pruned`, with who, when and why."""
        write_json(
            self.path / "status.json",
            {
                "state": state,
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "started": self.started,
                "finished": None if state == "running" else _now(),
                "error": error,
            },
        )

    def write_config(self, config: dict[str, Any], words: list[str], spec: dict[str, Any]) -> None:
        """The resolved config, the words of the command, and the data's offer.

        The config comes last: a folder that has one can be resumed.
        """
        write_json(self.path / "overrides.json", words)
        write_json(self.path / "spec.json", spec)
        write_text(self.path / "config.yaml", to_yaml(config))

    def write_summary(self, summary: dict[str, Any]) -> None:
        """The run in one record."""
        write_json(self.path / "summary.json", summary)

    def write_metrics(self, history: list[dict[str, float]]) -> None:
        """metrics.csv anew, one row an epoch; a column that a row lacks stays empty."""
        self._write_table("metrics.csv", history)

    def write_predictions(self, columns: dict[str, list[Any]]) -> None:
        """predictions.csv: one row an example of the final part, in its order."""
        rows = zip(*columns.values(), strict=True)
        self._write_table("predictions.csv", [dict(zip(columns, row, strict=True)) for row in rows])

    def _write_table(self, name: str, rows: list[dict[str, Any]]) -> None:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        temporary = self.path / f"{name}.tmp"
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        os.replace(temporary, self.path / name)

    def append_metrics(self, history: list[dict[str, float]]) -> None:
        """Adds the last row of `history`; writes the file anew if that brings a new column."""
        known = list(dict.fromkeys(name for row in history[:-1] for name in row))
        if not set(history[-1]) <= set(known) or not (self.path / "metrics.csv").exists():
            self.write_metrics(history)
            return
        with open(self.path / "metrics.csv", "a", newline="") as file:
            csv.DictWriter(file, known, lineterminator="\n").writerow(history[-1])

    def last(self, state: Any) -> None:
        """The whole state; the one before is kept for the case that this file gets damaged."""
        folder = self.path / "checkpoints"
        checkpoint.write(folder / LAST, state.to_tree(), previous=folder / PREVIOUS)

    def best(self, state: Any) -> None:
        """The evaluated weights and what is needed to use them elsewhere."""
        tree = {"model": dict(state.eval_model.state_dict()), "epoch": state.best_epoch, **self.best_extras}
        checkpoint.write(self.path / "checkpoints" / BEST, tree)

    def read_last(self) -> tuple[Any, str | None]:
        """The newest whole state and a warning if it is not the newest file; None if there is none yet.

        **Raises:** `UserError` if there are checkpoints and all are damaged.
        """
        newest, previous = (self.path / "checkpoints" / name for name in (LAST, PREVIOUS))
        if not newest.exists() and not previous.exists():
            return None, None
        try:
            return checkpoint.read_newest(newest, previous)
        except checkpoint.DamagedCheckpoint as error:
            raise UserError(
                f"no usable checkpoint: {error}; start anew with the command in summary.json or config.yaml"
            ) from error

    def read_best(self) -> Any:
        """What `best` wrote. **Raises:** `DamagedCheckpoint`."""
        return checkpoint.read(self.path / "checkpoints" / BEST)


def write_text(path: pathlib.Path, text: str) -> None:
    """The whole file or none of it."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
