"""A grid: every combination of the listed values, in the order of the list."""

import pathlib
import sys
from collections.abc import Callable

from dlrun.config import check, compose
from dlrun.config.check import Config
from dlrun.errors import UserError
from dlrun.report import report
from dlrun.run.loggers import ready
from dlrun.store import locks, records, sweep_record
from dlrun.store.records import Status
from dlrun.store.sweep_record import Job, Plan
from dlrun.sweep import jobs
from dlrun.sweep.driver import Driver
from dlrun.sweep.jobs import Ended
from dlrun.terminal.escaping import quoted

Choose = Callable[[list[list[str]], list[str]], list[list[str]]]  # (the words of all jobs, config folders): of some


def start(overrides: list[str], config_dirs: list[str], plan: Plan, choose: Choose | None = None) -> Ended:
    """Plans all jobs, or those that `choose` leaves, checks every config, then runs them.

    **Raises:** `UserError` before anything is written if a job's config is wrong.
    """
    axes = [override.key_or_group for override in compose.parse(overrides) if override.is_sweep_override()]
    jobs_words = compose.expand(overrides, config_dirs)
    for number, words_of_job in enumerate(choose(jobs_words, config_dirs) if choose else jobs_words):
        values = dict(word.lstrip("+").split("=", 1) for word in words_of_job if "=" in word)
        plan.jobs.append(Job(number, words_of_job, {axis: values[axis] for axis in axes}))
    configs = _configs(plan)
    return _run(jobs.make_home(configs[0]), plan, configs)


def resume(home: pathlib.Path, plan: Plan, overrides: list[str]) -> Ended:
    """Runs what is missing. **Raises:** `UserError` for any override."""
    if overrides:
        raise UserError(f"resume: a sweep goes on as it was planned; leave out {' '.join(overrides)}")
    for job in plan.jobs:
        # The run's own status is the truth; the sweep may have been killed before it heard of it.
        job.state = "done" if _status(home, job).get("state") == "done" else "waiting"
        job.reason = None
    configs = _configs(plan)
    for config in {(config.logger, config.outputs): config for config in configs}.values():
        ready.check_again(config)
    return _run(home, plan, configs)


def _run(home: pathlib.Path, plan: Plan, configs: list[Config]) -> Ended:
    """Runs what is waiting and prints the report. The code is 0, 1 if a job failed, or 128 + signal."""
    stopped = _drive(home, plan, configs)
    if stopped is not None:
        print(f"interrupted; go on with: dlrun resume {quoted(home)}", file=sys.stderr)
        return Ended(home, 128 + stopped)
    if any(job.state == "done" for job in plan.jobs):
        report.report([str(home)])
    failed = jobs.say_failed(home, plan.jobs)
    print(f"folder  {home}")
    if failed:
        print(f"again   dlrun resume {quoted(home)}")
    return Ended(home, 1 if failed else 0)


def try_each(home: pathlib.Path, experiments: list[str], options: list[str]) -> bool:
    """Runs each experiment with `options` into `home`, says how each ended, and gives whether all could."""
    named = [{"experiment": name} for name in experiments]
    plan = Plan([], [], [Job(k, [f"experiment={own['experiment']}", *options], own) for k, own in enumerate(named)])
    stopped = _drive(home, plan, _configs(plan))
    return stopped is None and not jobs.say_failed(home, plan.jobs)


def _drive(home: pathlib.Path, plan: Plan, configs: list[Config]) -> int | None:
    """Runs what is waiting; the number of the signal that ended it, or None."""
    options = configs[0].sweep
    home.mkdir(parents=True, exist_ok=True)
    with locks.owned(home):
        # Before anything else: a folder without a record can be neither resumed nor used again.
        sweep_record.write(home, plan)
        return Driver(home, _Grid(home, plan, configs), options.jobs, options.timeout_minutes).drive()


class _Grid:
    """The planned jobs, one after the other."""

    judge = None

    def __init__(self, home: pathlib.Path, plan: Plan, configs: list[Config]):
        self.home, self.plan, self.configs = home, plan, configs
        self.jobs = plan.jobs

    def take(self) -> tuple[Job, Config, list[str]] | None:
        job = next((job for job in self.jobs if job.state == "waiting"), None)
        if job is None:
            return None
        return job, self.configs[job.number], [f"--config-dir={d}" for d in self.plan.config_dirs] + job.overrides

    def record(self, job: Job) -> None:
        sweep_record.write(self.home, self.plan)


def _configs(plan: Plan) -> list[Config]:
    """The checked config of every job. **Raises:** `UserError` that names the jobs that are wrong."""
    configs, problems = [], []
    composer = compose.Composer(plan.config_dirs)
    for job in plan.jobs:
        try:
            configs.append(check.parse(composer.tree(job.overrides)))
            jobs.refuse_unseen(configs[-1])
        except UserError as error:
            problems += [f"job {job.number} ({' '.join(job.overrides)}): {line}" for line in str(error).splitlines()]
    if problems:
        rest = f" (and {len(problems) - 1} more like it)" if len(problems) > 1 else ""
        raise UserError(problems[0] + rest)
    return configs


def _status(home: pathlib.Path, job: Job) -> Status:
    path = home / str(job.number) / "status.json"
    return records.read(path, Status) if path.exists() else {}
