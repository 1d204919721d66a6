"""MLflow: one of its runs a run, in a database beside the run folders or on a server."""

import contextlib
import functools
import logging
import math
import os
import pathlib
import queue
import re
import socket
import sqlite3
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, TypedDict

from dlrun import disk
from dlrun.config.check import Config
from dlrun.errors import UserError
from dlrun.run.loggers.logger import About, Logger, flatten
from dlrun.store import files, locks, records
from dlrun.terminal.escaping import in_one_line, quoted, without_password

NOTE = "mlflow.json"  # in the run's folder: which run of MLflow it is
DATABASE, PICTURES = "mlflow.db", "mlruns"  # beside the run folders; what MLflow calls them itself
PROJECT = "dlrun"
SQLITE = "sqlite:///"
STATUS = {"done": "FINISHED", "pruned": "KILLED", "interrupted": "KILLED", "failed": "FAILED"}
# What every version of MLflow takes: letters of a value, a name and a tag; entries in one request.
LONGEST_VALUE, LONGEST_KEY, LONGEST_TAG, MOST_PARAMS, MOST_POINTS = 500, 250, 5000, 100, 1000
REACH_SECONDS = 5
PATIENCE_SECONDS = 60  # without an answer, at the end of the run
SHORT_PATIENCE_SECONDS = 5  # the same after a failure
THREAD = "dlrun to MLflow"


class Note(TypedDict):
    """What the run's folder keeps; `store` is the file of a database, None for a server.

    An address is not kept: it may hold a password.
    """

    run_id: str
    store: str | None


def check_reachable(uri: str | None) -> None:
    """**Raises:** `UserError` if no server listens at `uri`, or else at that of the environment."""
    address = _address(uri) or ""
    try:
        _reach(address)
    except (OSError, ValueError) as error:
        key, reason = "logger.tracking_uri" if uri else "MLFLOW_TRACKING_URI", getattr(error, "strerror", None) or error
        raise UserError(
            f"{key}: {without_password(address)} cannot be reached: {reason}; start it (mlflow server), or leave out "
            "logger.mlflow"
        ) from error


def check_inside(config: Config) -> None:
    """**Raises:** `UserError` if a database would be made that is not below the working directory; one may be there."""
    address = _address(config.logger.tracking_uri)
    if address is not None and not address.startswith(SQLITE):
        return
    path = _path(address, pathlib.Path(config.outputs))
    if not path.resolve().is_relative_to(pathlib.Path.cwd()) and not _holds(str(path)):
        raise UserError(
            f"logger.mlflow: by its record this would make the database {path}, outside of the working directory; if "
            "you mean that, go on from a folder above it"
        )


class MLflow(Logger):
    """A run of MLflow. A thread of its own sends, so that training waits for no server.

    The state that MLflow keeps in this process is not used: a run that a program has open there stays as it is.
    """

    title = "MLflow"

    def __init__(self, about: About, uri: str | None, project: str | None):
        # It tells its makers what is used of it, unless it is told not to.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        address, note = _address(uri), _read_note(about.folder)
        _reach(address or "")
        # Two seconds, which only a run pays that logs here.
        import mlflow
        from mlflow.entities import Metric, Param, RunTag

        self.Metric, self.Param, self.RunTag = Metric, Param, RunTag
        store = _store(address, about, note)
        with _quiet(), _shared(store) if store else contextlib.nullcontext():
            # A job of a sweep waits while others write.
            self.client = mlflow.MlflowClient(f"{SQLITE}{store}?timeout={PATIENCE_SECONDS}" if store else address)
            experiment = self._experiment(project or os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT, store)
            # The last step that was sent of each curve, asked for when it is needed; None: nothing was sent.
            self.last_steps: dict[str, int] | None = None
            if note is not None and self._goes_on(note["run_id"]):
                self.run_id, self.last_steps = note["run_id"], {}
            else:
                self.run_id = self._new_run(experiment, about)
        self.keeps_files = store is None or self._keeps_files(store)
        files.write_json(about.folder / NOTE, Note(run_id=self.run_id, store=str(store) if store else None))
        self.look = (
            f"mlflow ui --backend-store-uri {quoted(f'{SQLITE}{store}')}"
            if store
            else f"{without_password(address or '')}/#/experiments/{experiment}/runs/{self.run_id}"
        )
        self.folder, self.state = about.folder, "failed"
        self.waiting: list[Any] = []
        self.lock = threading.Lock()
        self.jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.num_done, self.error = 0, None
        logging.getLogger("urllib3.connectionpool").addFilter(_is_of_others)
        self.thread = threading.Thread(target=self._work, name=THREAD, daemon=True)
        self.thread.start()
        if self.last_steps is None:
            self._do(lambda: self._params(flatten(about.config)))
        self._file(about.folder / "config.yaml")

    def scalars(self, values: dict[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        # A database would make the largest number of what is infinite.
        points = [self.Metric(_key(name), value, now, step) for name, value in values.items() if math.isfinite(value)]
        with self.lock:
            self.waiting += points
        self._do(self._send)

    def again(self, values: dict[str, float], step: int) -> None:
        self.scalars(values, step)

    def text(self, name: str, words: str, step: int) -> None:
        if self.keeps_files:
            self._do(lambda: self.client.log_text(self.run_id, words, f"{name}/{step:08d}.txt"))

    def picture(self, name: str, path: pathlib.Path, step: int) -> None:
        self._file(path)

    def conclude(self, settings: dict[str, Any], metrics: dict[str, float], step: int) -> None:
        self.scalars({f"final/{name}": value for name, value in metrics.items()}, step)
        self._file(self.folder / "summary.json")

    def close(self, state: str) -> None:
        """Waits until all is sent. **Raises:** what went wrong, `TimeoutError` if nothing is answered any more."""
        self.state = state
        self.jobs.put(None)
        seconds = PATIENCE_SECONDS if self.error is None else SHORT_PATIENCE_SECONDS
        while self.thread.is_alive():
            before = self.num_done
            self.thread.join(seconds)
            if self.thread.is_alive() and self.num_done == before:
                raise TimeoutError(f"no answer for {seconds} seconds")
        if self.error is not None:
            raise self.error

    def _do(self, job: Callable[[], None]) -> None:
        """Leaves `job` to the thread. **Raises:** what went wrong before."""
        if self.error is not None:
            raise self.error
        self.jobs.put(job)

    def _work(self) -> None:
        """The thread. After a failure it does no more than to end the run."""
        while (job := self.jobs.get()) is not None:
            if self.error is None:
                self._try(job)
            self.num_done += 1
        self._try(self._end)

    def _try(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:
            self.error = self.error or error

    def _end(self) -> None:
        self.client.set_tag(self.run_id, "dlrun.state", self.state)
        self.client.set_terminated(self.run_id, STATUS[self.state])

    def _send(self) -> None:
        """All points that wait; of a run that goes on none that is there already."""
        with self.lock:
            points, self.waiting = self.waiting, []
        if self.last_steps is not None:
            points = [point for point in points if point.step > self._last_step(point.key)]
        for start in range(0, len(points), MOST_POINTS):
            self.client.log_batch(self.run_id, metrics=points[start : start + MOST_POINTS])

    def _last_step(self, key: str) -> int:
        assert self.last_steps is not None, "asked only of a run that goes on"
        if key not in self.last_steps:
            points = self.client.get_metric_history(self.run_id, key)
            self.last_steps[key] = max((point.step for point in points), default=-1)
        return self.last_steps[key]

    def _params(self, values: dict[str, Any]) -> None:
        params = [self.Param(_key(name), str(value)[:LONGEST_VALUE]) for name, value in values.items()]
        for start in range(0, len(params), MOST_PARAMS):
            self.client.log_batch(self.run_id, params=params[start : start + MOST_PARAMS])

    def _file(self, path: pathlib.Path) -> None:
        """A file of the run's folder, in the same place below the artifacts."""
        place = path.parent.relative_to(self.folder).as_posix()
        if self.keeps_files:
            self._do(lambda: self.client.log_artifact(self.run_id, str(path), None if place == "." else place))

    def _experiment(self, name: str, store: pathlib.Path | None) -> str:
        """The number of the experiment `name`, made if it is not there."""
        place = disk.folder(store.parent / PICTURES).as_uri() if store else None
        for find in (self.client.get_experiment_by_name, self._made(place), self.client.get_experiment_by_name):
            if (found := find(name)) is not None:
                return found.experiment_id
        raise LookupError(f"no experiment {name}")

    def _made(self, place: str | None) -> Callable[[str], Any]:
        from mlflow.exceptions import MlflowException

        def make(name: str) -> Any:
            # Another job may just have made it.
            with contextlib.suppress(MlflowException):
                self.client.create_experiment(name, artifact_location=place)

        return make

    def _goes_on(self, run_id: str) -> bool:
        """Whether the run is there; it then is running again."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        self.client.update_run(run_id, status="RUNNING")
        return True

    def _keeps_files(self, store: pathlib.Path) -> bool:
        """Whether files of the run go into the folder of its database: a stranger's may name any other place."""
        place = self.client.get_run(self.run_id).info.artifact_uri or ""
        path = urllib.parse.unquote(place.removeprefix("file://"))
        if "://" not in path and pathlib.Path(path).resolve().is_relative_to(store.parent.resolve()):
            return True
        told = in_one_line(without_password(place))
        print(f"dlrun: warning: MLflow gets no files of this run: its database has them at {told}", file=sys.stderr)
        return False

    def _new_run(self, experiment: str, about: About) -> str:
        tags = {"dlrun.folder": str(about.folder.absolute()), "dlrun.command": about.command}
        tags |= {"dlrun.sweep": about.group} if about.group is not None else {}
        cut = {name: value[:LONGEST_TAG] for name, value in tags.items()}
        return self.client.create_run(experiment, run_name=about.name, tags=cut).info.run_id


def _address(uri: str | None) -> str | None:
    return uri or os.environ.get("MLFLOW_TRACKING_URI")


def _read_note(folder: pathlib.Path) -> Note | None:
    path = folder / NOTE
    return records.read(path, Note) if path.exists() else None


def _store(address: str | None, about: About, note: Note | None) -> pathlib.Path | None:
    """The file of the database, absolute; None for what is no file.

    A run that goes on finds its own again from any working directory.
    """
    if address is not None and not address.startswith(SQLITE):
        return None
    if note is not None and note["store"] is not None and _holds(note["store"], note["run_id"]):
        return pathlib.Path(note["store"])
    return _path(address, about.outputs)


def _path(address: str | None, outputs: pathlib.Path) -> pathlib.Path:
    path = address.removeprefix(SQLITE).partition("?")[0] if address else outputs / DATABASE
    return pathlib.Path(path).absolute()


def _holds(store: str, run_id: str | None = None) -> bool:
    """Whether the file is a database of MLflow, with the run in it; one that is another thing is not touched."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{urllib.parse.quote(store)}?mode=ro", uri=True)) as database:
            found = database.execute("select 1 from runs where run_uuid = ?", (run_id,)).fetchone()
            return run_id is None or found is not None
    except sqlite3.Error:
        return False


@contextlib.contextmanager
def _shared(store: pathlib.Path) -> Iterator[None]:
    """A database that one process at a time makes, or brings up to date. **Raises:** `UserError` for a link."""
    store.parent.mkdir(parents=True, exist_ok=True)
    os.close(disk.appending(store))
    with locks.locked(store.with_name(f".{store.name}.lock")):
        yield


def _reach(address: str) -> None:
    """**Raises:** `OSError` if nobody listens there. MLflow itself would ask again and again for minutes."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme in ("http", "https") and parts.hostname and not _has_proxy(parts.scheme, parts.hostname):
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        socket.create_connection((parts.hostname, port), REACH_SECONDS).close()


@functools.cache
def _has_proxy(scheme: str, host: str) -> bool:
    return scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """MLflow tells nothing of how it makes a database."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _is_of_others(record: logging.LogRecord) -> bool:
    """Each try that a library makes anew would be a line; what comes of them is one."""
    return record.threadName != THREAD


def _key(name: str) -> str:
    """`name` as MLflow allows it."""
    return re.sub(r"[^\w.\- :/]", "_", name)[:LONGEST_KEY]
