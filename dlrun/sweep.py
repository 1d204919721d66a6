"""A sweep: every combination of the listed values, one process a job, and a record that survives a kill.

`sweep.json` says what was planned and how each job stands; what is missing can be run later:
`dlrun resume FOLDER`. A search (dlrun/search.py) starts here too and leaves the same record.
"""

import json
import pathlib
import shlex
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from dlrun import compose, config, folder, space
from dlrun.driver import Driver, Job, log
from dlrun.errors import UserError


@dataclass
class Plan:
    """What sweep.json holds; `search` (a search alone has it) is what its trials are made from."""

    words: list[str]
    config_dirs: list[str]
    jobs: list[Job] = field(default_factory=list)
    search: dict[str, Any] | None = None


def start(overrides: list[str], config_dirs: list[str], words: list[str]) -> int:
    """Plans all jobs, checks every config, then runs them. Returns the exit code.

    **Raises:** `UserError` before anything is written if a job's config is wrong.
    """
    overrides, base = _with_own_axes(overrides, config_dirs)
    parsed = compose.parse(overrides)
    for override in parsed:
        key = override.key_or_group
        if key in ("folder", "outputs"):
            raise UserError(f"{key}: the jobs of a sweep stand in its own folder; choose it with sweep.folder=FOLDER")
        if override.is_sweep_override() and key.partition(".")[0] in ("sweep", "sweeper"):
            raise UserError(f"{override.input_line}: the keys of the sweep itself cannot be swept")
    dirs = [str(pathlib.Path(folder).resolve()) for folder in config_dirs]
    if base.sweeper.name == "optuna":
        from dlrun import search

        return search.start(overrides, dirs, words)
    _refuse_search_keys(base, [override.key_or_group for override in parsed])
    axes = [override.key_or_group for override in parsed if override.is_sweep_override()]
    plan = Plan(words, dirs)
    for number, words_of_job in enumerate(compose.expand(overrides, config_dirs)):
        values = dict(word.lstrip("+").split("=", 1) for word in words_of_job if "=" in word)
        plan.jobs.append(Job(number, words_of_job, {axis: values[axis] for axis in axes}))
    configs = _configs(plan)
    return run_jobs(make_home(configs[0]), plan, configs)


def _with_own_axes(overrides: list[str], config_dirs: list[str]) -> tuple[list[str], config.Config]:
    """Adds what a recipe sweeps by itself (`sweep.over`): its keys that the command line does not give.

    Also gives the config of the first of each list.
    """
    given = {override.key_or_group for override in compose.parse(overrides)}
    tree = compose.tree(space.first_of_each(overrides, config_dirs), config_dirs)
    if tree["sweeper"].get("name") != "optuna":
        # An interval is nothing to a grid, whatever its first value is.
        compose.expand(overrides, config_dirs)
    base = config.parse(tree)
    return overrides + [f"{key}={values}" for key, values in base.sweep.over.items() if key not in given], base


def _refuse_search_keys(base: config.Config, keys: Iterable[str]) -> None:
    """**Raises:** `UserError` for what says nothing to a grid."""
    if base.sweep.space:
        raise UserError("sweep.space: is only searched by sweeper=optuna; add that, or list values: KEY=1,2,3")
    for key in keys:
        if key.startswith("sweeper."):
            raise UserError(f"{key}: is only read by sweeper=optuna; add that or leave it out")


def make_home(options: config.Config) -> pathlib.Path:
    """A new folder for the sweep. **Raises:** `UserError` if the one that the config names is in use."""
    if options.sweep.folder is None:
        return folder.create(pathlib.Path("multirun"), key="sweep.folder")
    path = pathlib.Path(options.sweep.folder)
    return folder.create(path.parent, path.name, key="sweep.folder")


def resume(home: pathlib.Path, overrides: list[str]) -> int:
    """Runs what is missing of a sweep or search. **Raises:** `UserError` if its record cannot be read."""
    plan = read_plan(home / "sweep.json")
    if plan.search is not None:
        from dlrun import search

        return search.resume(home, plan, overrides)
    if overrides:
        raise UserError(f"resume: a sweep goes on as it was planned; leave out {' '.join(overrides)}")
    for job in plan.jobs:
        # The run's own status is the truth; the sweep may have been killed before it heard of it.
        job.state = "done" if _status(home, job).get("state") == "done" else "waiting"
        job.reason = None
    return run_jobs(home, plan, _configs(plan))


def run_jobs(home: pathlib.Path, plan: Plan, configs: list[config.Config]) -> int:
    """Runs what is waiting and prints the report. Returns 0, 1 if a job failed, or 128 + signal."""
    from dlrun.commands import report

    options = configs[0].sweep
    with folder.owned(home):
        # Before anything else: a folder without a record can be neither resumed nor used again.
        write_plan(home, plan)
        stopped = Driver(home, _Grid(home, plan, configs), options.jobs, options.timeout_minutes).drive()
    if stopped is not None:
        print(f"interrupted; go on with: dlrun resume {shlex.quote(str(home))}", file=sys.stderr)
        return 128 + stopped
    if any(job.state == "done" for job in plan.jobs):
        report.report([str(home)])
    failed = say_failed(home, plan.jobs)
    print(f"folder  {home}")
    if failed:
        print(f"again   dlrun resume {shlex.quote(str(home))}")
    return 1 if failed else 0


def say_failed(home: pathlib.Path, jobs: list[Job]) -> bool:
    """A line for each job that failed; whether there is one."""
    failed = [job for job in jobs if job.state == "failed"]
    for job in failed:
        told = " ".join(f"{key}={value}" for key, value in job.changed.items()) or " ".join(job.overrides)
        print(f"job {job.number} failed: {told}: {job.reason} (log: {log(home, job)})", file=sys.stderr)
    return bool(failed)


class _Grid:
    """The planned jobs, one after the other."""

    judge = None

    def __init__(self, home: pathlib.Path, plan: Plan, configs: list[config.Config]):
        self.home, self.plan, self.configs = home, plan, configs
        self.jobs = plan.jobs

    def take(self) -> tuple[Job, config.Config, list[str]] | None:
        job = next((job for job in self.jobs if job.state == "waiting"), None)
        if job is None:
            return None
        return job, self.configs[job.number], [f"--config-dir={d}" for d in self.plan.config_dirs] + job.overrides

    def record(self, job: Job) -> None:
        write_plan(self.home, self.plan)


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


def write_plan(home: pathlib.Path, plan: Plan) -> None:
    """The whole record or none of it."""
    folder.write_json(home / "sweep.json", asdict(plan))


def read_plan(path: pathlib.Path) -> Plan:
    """**Raises:** `UserError` if the record cannot be one of a sweep."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        jobs = [Job(**job) for job in values["jobs"]]
        plan = Plan(values["words"], values["config_dirs"], jobs, values.get("search"))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: cannot be read: {type(error).__name__}: {error}") from error
    if not plan.jobs or [job.number for job in plan.jobs] != list(range(len(plan.jobs))):
        raise UserError(f"{path}: its jobs are not numbered from 0")
    return plan


def _status(home: pathlib.Path, job: Job) -> dict[str, Any]:
    path = home / str(job.number) / "status.json"
    return json.loads(path.read_text()) if path.exists() else {}
