"""A sweep: one process a job, as many at once as asked for, and a record that survives a kill.

The processes are forked from a server that has imported the heavy libraries once. A job that
fails, crashes or hangs ends alone. `sweep.json` says what was planned and how each job stands;
what is missing can be run later: `dlrun resume FOLDER`.
"""

import contextlib
import json
import multiprocessing
import os
import pathlib
import shlex
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import wait
from typing import Any

from dlrun import compose, config, folder, worker
from dlrun.console import SweepTable
from dlrun.errors import UserError

GRACE_SECONDS = 10


@dataclass
class Job:
    """One run of a sweep. `state`: waiting, running, done, failed or interrupted."""

    number: int
    overrides: list[str]
    changed: dict[str, str]
    state: str = "waiting"
    reason: str | None = None
    value: float | None = None
    seconds: float | None = None


@dataclass
class Plan:
    """What sweep.json holds."""

    words: list[str]
    config_dirs: list[str]
    jobs: list[Job] = field(default_factory=list)


@dataclass
class Running:
    """A job's process; `slot` tells it which GPU to take."""

    job: Job
    process: Any
    connection: Any
    slot: int
    started: float
    is_overdue: bool = False


def start(overrides: list[str], config_dirs: list[str], words: list[str]) -> int:
    """Plans all jobs, checks every config, then runs them. Returns the exit code.

    **Raises:** `UserError` before anything is written if a job's config is wrong.
    """
    overrides = overrides + _own_axes(overrides, config_dirs)
    parsed = compose.parse(overrides)
    for override in parsed:
        key = override.key_or_group
        if key in ("folder", "outputs"):
            raise UserError(f"{key}: the jobs of a sweep stand in its own folder; choose it with sweep.folder=FOLDER")
        if override.is_sweep_override() and key.partition(".")[0] == "sweep":
            raise UserError(f"{override.input_line}: the keys of the sweep itself cannot be swept")
    axes = [override.key_or_group for override in parsed if override.is_sweep_override()]
    plan = Plan(words, [str(pathlib.Path(folder).resolve()) for folder in config_dirs])
    for number, words_of_job in enumerate(compose.expand(overrides, config_dirs)):
        values = dict(word.lstrip("+").split("=", 1) for word in words_of_job if "=" in word)
        plan.jobs.append(Job(number, words_of_job, {axis: values[axis] for axis in axes}))
    options = _configs(plan)[0].sweep
    if options.folder is not None:
        path = pathlib.Path(options.folder)
        home = folder.create(path.parent, path.name, key="sweep.folder")
    else:
        home = folder.create(pathlib.Path("multirun"), key="sweep.folder")
    return run_jobs(home, plan)


def _own_axes(overrides: list[str], config_dirs: list[str]) -> list[str]:
    """What a recipe sweeps by itself (`sweep.over`): its keys that the command line does not give."""
    given = {override.key_or_group for override in compose.parse(overrides)}
    first_of_each = compose.expand(overrides, config_dirs)[0]
    over = config.parse(compose.tree(first_of_each, config_dirs)).sweep.over
    return [f"{key}={values}" for key, values in over.items() if key not in given]


def resume(home: pathlib.Path) -> int:
    """Runs the jobs of a sweep that are not done yet. **Raises:** `UserError` if its record cannot be read."""
    plan = _read_plan(home / "sweep.json")
    for job in plan.jobs:
        # The run's own status is the truth; the sweep may have been killed before it heard of it.
        job.state = "done" if _status(home, job).get("state") == "done" else "waiting"
        job.reason = None
    return run_jobs(home, plan)


def run_jobs(home: pathlib.Path, plan: Plan) -> int:
    """Runs what is waiting and prints the report. Returns 0, 1 if a job failed, or 128 + signal."""
    from dlrun.commands import report

    configs = _configs(plan)
    with folder.owned(home):
        stopped = _Driver(home, plan, configs).drive()
    if stopped is not None:
        print(f"interrupted; go on with: dlrun resume {shlex.quote(str(home))}", file=sys.stderr)
        return 128 + stopped
    if any(job.state == "done" for job in plan.jobs):
        report.report([str(home)])
    failed = [job for job in plan.jobs if job.state == "failed"]
    for job in failed:
        told = " ".join(f"{key}={value}" for key, value in job.changed.items()) or " ".join(job.overrides)
        print(f"job {job.number} failed: {told}: {job.reason} (log: {_log(home, job)})", file=sys.stderr)
    print(f"folder  {home}")
    if failed:
        print(f"again   dlrun resume {shlex.quote(str(home))}")
    return 1 if failed else 0


class _Driver:
    """Starts processes, listens to them, and keeps sweep.json and the table up to date."""

    def __init__(self, home: pathlib.Path, plan: Plan, configs: list[config.Config]):
        self.home, self.plan, self.configs = home, plan, configs
        options = configs[0].sweep
        self.limit = options.timeout_minutes * 60 if options.timeout_minutes else float("inf")
        self.slots = list(range(options.jobs))
        self.running: list[Running] = []
        self.signals: list[int] = []
        # Threads are counted when torch loads, in the server that all jobs are forked from.
        threads = str(max(1, _cores() // options.jobs))
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(name, threads)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(worker.PRELOAD)

    def drive(self) -> int | None:
        """Returns the signal that stopped the sweep, or None when every job has ended."""
        previous = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        waiting = [job for job in self.plan.jobs if job.state == "waiting"]
        # Before anything else: a folder without it can be neither resumed nor used again.
        self._save()
        (self.home / "logs").mkdir(exist_ok=True)
        try:
            with SweepTable(self.plan.jobs) as table:
                while self.running or (waiting and not self.signals):
                    while waiting and self.slots and not self.signals:
                        self._start(waiting.pop(0))
                    self._save()
                    table.update()
                    self._listen()
                self._save()
                table.update()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        return self.signals[0] if self.signals else None

    def _start(self, job: Job) -> None:
        path = self.home / str(job.number)
        ours, theirs = self.context.Pipe(duplex=False)
        order = worker.Order(
            config=self.configs[job.number].to_dict() | {"folder": str(path)},
            words=[f"--config-dir={d}" for d in self.plan.config_dirs] + job.overrides,
            log=str(_log(self.home, job)),
            slot=self.slots.pop(0),
        )
        process = self.context.Process(target=worker.work, args=(order, theirs), name=f"job {job.number}")
        process.start()
        theirs.close()
        job.state = "running"
        self.running.append(Running(job, process, ours, order.slot, time.monotonic()))
        if self.signals:
            # It came while this process was started, and could not be passed on to it.
            process.terminate()

    def _listen(self) -> None:
        """Waits until a process ends, a second at most, and settles those that have."""
        wait([entry.process.sentinel for entry in self.running], timeout=1)
        now = time.monotonic()
        for entry in list(self.running):
            entry.job.seconds = round(now - entry.started, 1)
            if not entry.process.is_alive():
                self._settle(entry)
            elif now - entry.started > self.limit and not entry.is_overdue:
                entry.is_overdue = True
                entry.process.terminate()
            elif now - entry.started > self.limit + GRACE_SECONDS:
                entry.process.kill()

    def _settle(self, entry: Running) -> None:
        entry.process.join()
        job, code = entry.job, entry.process.exitcode
        said: dict[str, Any] = {}
        with contextlib.suppress(EOFError, OSError):
            said = entry.connection.recv() if entry.connection.poll() else {}
        if code == 0 and said:
            job.state, job.value = "done", said["value"]
        elif entry.is_overdue:
            job.state, job.reason = "failed", f"took longer than {self.limit / 60:g} minutes"
        elif self.signals:
            job.state = "interrupted"
        else:
            job.state, job.reason = "failed", said.get("reason") or worker.describe_exit(code)
        self.running.remove(entry)
        self.slots.append(entry.slot)

    def _receive(self, number: int, frame: Any) -> None:
        """The first signal lets the jobs save and end; the second ends them at once."""
        self.signals.append(number)
        for entry in self.running:
            if len(self.signals) == 1:
                entry.process.terminate()
            else:
                entry.process.kill()

    def _save(self) -> None:
        folder.write_json(self.home / "sweep.json", asdict(self.plan))


def _configs(plan: Plan) -> list[config.Config]:
    """The checked config of every job. **Raises:** `UserError` that names the jobs that are wrong."""
    configs, problems = [], []
    composer = compose.Composer(plan.config_dirs)
    for job in plan.jobs:
        try:
            configs.append(config.parse(composer.tree(job.overrides)))
        except UserError as error:
            problems += [f"job {job.number} ({' '.join(job.overrides)}): {line}" for line in str(error).splitlines()]
    if problems:
        rest = f" (and {len(problems) - 1} more like it)" if len(problems) > 1 else ""
        raise UserError(problems[0] + rest)
    return configs


def _read_plan(path: pathlib.Path) -> Plan:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        plan = Plan(values["words"], values["config_dirs"], [Job(**job) for job in values["jobs"]])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: cannot be read: {type(error).__name__}: {error}") from error
    if not plan.jobs or [job.number for job in plan.jobs] != list(range(len(plan.jobs))):
        raise UserError(f"{path}: its jobs are not numbered from 0")
    return plan


def _cores() -> int:
    """What this process may use; macOS cannot say more than what there is."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _status(home: pathlib.Path, job: Job) -> dict[str, Any]:
    path = home / str(job.number) / "status.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _log(home: pathlib.Path, job: Job) -> pathlib.Path:
    return home / "logs" / f"{job.number}.log"
