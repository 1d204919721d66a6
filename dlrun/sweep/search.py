"""A search: `dlrun -m sweeper=optuna` asks a study for settings, one trial after the other.

The study (dlrun/sweep/study.py) is the record; sweep.json mirrors it for those who read runs. Any
number of processes may work on one folder: the first by `dlrun -m ...`, the others and those
that come later by `dlrun resume FOLDER`.
"""

import math
import pathlib
import secrets
import sys
from typing import TYPE_CHECKING, Any

from dlrun.config import check, compose, pairing, registry
from dlrun.config.check import Config
from dlrun.errors import UserError
from dlrun.report import comparison, report
from dlrun.run.loggers import ready
from dlrun.store import locks, runs, sweep_record
from dlrun.store.sweep_record import Job, Plan
from dlrun.sweep import jobs, recipe, space
from dlrun.sweep.driver import Driver
from dlrun.sweep.jobs import Ended
from dlrun.sweep.space import Axis
from dlrun.terminal.escaping import quoted

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from dlrun.sweep.study import Study


def start(overrides: list[str], plan: Plan) -> Ended:
    """Checks the whole space, then searches it.

    **Raises:** `UserError` before anything is written if a value of the space makes a wrong config.
    """
    fixed, listed = space.of_words(overrides, plan.config_dirs)
    base = check.parse(compose.tree(fixed, plan.config_dirs))
    # One database may hold the studies of many folders.
    name = f"dlrun-{secrets.token_hex(8)}"
    plan.search = {"study": name, "fixed": fixed, "space": base.sweep.space, "listed": listed}
    goal = _Goal(plan)
    _needs_optuna()
    if goal.base.sweeper.storage is not None:
        from dlrun.sweep import study

        study.create(goal.base.sweeper.storage, name, goal.mode)
    home = jobs.make_home(goal.base)
    plan.jobs = [Job(number, [], {}) for number in range(goal.base.sweeper.trials)]
    # Before anything else: a folder without a record can be neither resumed nor used again.
    sweep_record.write(home, plan)
    return _search(home, plan, goal)


def resume(home: pathlib.Path, plan: Plan, overrides: list[str]) -> Ended:
    """Goes on with a search, also beside others that work on it; `sweeper.trials=N` gives it a new length.

    **Raises:** `UserError` for any other override, and if the record cannot be one of a search.
    """
    for word in overrides:
        if not word.startswith("sweeper.trials="):
            raise UserError(f"resume: of a search only sweeper.trials=N can change; leave out {word}")
    try:
        goal = _Goal(plan, overrides)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{home / sweep_record.NAME}: holds no search: {type(error).__name__}: {error}") from error
    ready.check_again(goal.base)
    _needs_optuna()
    return _search(home, plan, goal, goal.base.sweeper.trials if overrides else None)


def _needs_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise UserError("sweeper=optuna: Optuna is not installed; pip install 'dlrun[search]'") from error


class _Goal:
    """What is searched: the words that all trials have, the axes, and which metric is to become best."""

    def __init__(self, plan: Plan, more: list[str] | None = None):
        search = plan.search
        assert search is not None, "a grid has none, and does not come here"
        self.study = search["study"]
        fixed = search["fixed"] + (more or [])
        self.composer = compose.Composer(plan.config_dirs)
        self.base = check.parse(self.composer.tree(fixed))
        keys = {override.key_or_group for override in compose.parse(fixed)}
        found = {axis.key: axis for part in (search["space"], search["listed"]) for axis in space.read(part)}
        self.axes: list[Axis] = [axis for key, axis in found.items() if key not in keys]
        if not self.axes:
            raise UserError(
                "sweeper=optuna: nothing to search; choose a space with sweep=NAME, or write KEY=a,b or "
                "KEY='interval(0.1,1.0)'"
            )
        # What a search reads is nothing to a trial, which could not be repeated alone with it.
        self.words = [
            word for word in fixed if word.lstrip("+").split("=")[0].split(".")[0] not in ("sweep", "sweeper")
        ]
        self.config_dirs = plan.config_dirs
        ends = self._ends()
        for end in ends:
            jobs.refuse_unseen(end)
        if any(end.data.get("val_fraction") == 0 for end in ends):
            raise UserError(
                "data.val_fraction: a search chooses by the val part, and with 0 there is none; set it above 0, or try "
                "all values with sweeper=grid"
            )
        for name in sorted({end.data["name"] for end in ends}):
            if not registry.of("data").describe(name).attributes.get("has_val", True):
                raise UserError(
                    f"data={name}: has no val part, by which a search chooses; try all values with sweeper=grid"
                )
        watched = {_watched(end) for end in ends}
        if len(watched) > 1:
            names = ", ".join(f"{metric} ({mode})" for metric, mode in sorted(watched))
            raise UserError(f"sweep.space: its runs watch different metrics, which cannot be compared: {names}")
        ((self.watch, self.mode),) = watched
        self.max_epochs = max(end.trainer.epochs for end in ends)

    def _ends(self) -> list[Config]:
        """A config for each choice and each end of an interval, the other axes at their first value."""
        first = {axis.key: axis.ends()[0] for axis in self.axes}
        configs = []
        for axis in self.axes:
            for word in axis.ends():
                try:
                    configs.append(self.config([*(first | {axis.key: word}).values()]))
                except UserError as error:
                    line = str(error).splitlines()[0]
                    raise UserError(f"sweep.space: a trial with {word}: {line}") from error
        return configs

    def config(self, words: list[str]) -> Config:
        """The checked config of a trial. **Raises:** `UserError`."""
        return check.parse(self.composer.tree(self.words + words))


def _watched(config: Config) -> tuple[str, str]:
    """The metric that a trial watches, and its direction; nothing of torch is imported where the config tells it."""
    targets = pairing.targets(config.data["name"])
    if config.trainer.watch is None and len(targets) == 1:
        watch, mode = pairing.watched(pairing.task_for(config.task["name"], config.data["name"], targets[0]))
        return f"val/{watch}", mode
    from dlrun.run import assemble

    return assemble.watched(config)


def _search(home: pathlib.Path, plan: Plan, goal: _Goal, trials: int | None = None) -> Ended:
    """Works on the study until there is nothing left to begin."""
    from dlrun.sweep.study import Study, silence

    options = goal.base
    with silence():
        study = Study(home, goal.study, goal.mode, options.sweeper, goal.axes, goal.max_epochs)
        if trials is not None:
            with locks.locked(home / ".lock"):
                study.set_wanted(trials)
        source = _Trials(home, plan, goal, study)
        stopped = Driver(home, source, options.sweep.jobs, options.sweep.timeout_minutes).drive()
        if stopped is not None:
            print(f"interrupted; go on with: dlrun resume {quoted(home)}", file=sys.stderr)
            return Ended(home, 128 + stopped)
        with locks.locked(home / ".lock"):
            return Ended(home, _conclude(home, source))


class _Trials:
    """The trials of a study as jobs of a driver. Others may work on the same study."""

    def __init__(self, home: pathlib.Path, plan: Plan, goal: _Goal, study: "Study"):
        self.home, self.plan, self.goal, self.study = home, plan, goal, study
        self.jobs: list[Job] = []
        self.epochs: dict[int, int] = {}
        with locks.locked(home / ".lock"):
            self._mirror()

    def take(self) -> tuple[Job, Config, list[str]] | None:
        with locks.locked(self.home / ".lock"):
            while (trial := self.study.claim()) is not None:
                self._mirror()
                job = self.jobs[trial.number]
                if self._has_ended(job):
                    continue
                try:
                    checked = self.goal.config(job.overrides)
                except UserError as error:
                    job.state, job.reason = "failed", " ".join(str(error).split())
                    self._finish(job)
                    continue
                self.epochs[job.number] = checked.trainer.epochs
                dirs = [f"--config-dir={d}" for d in self.goal.config_dirs]
                return job, checked, dirs + self.goal.words + job.overrides
            self._mirror()
        return None

    def judge(self, job: Job, row: dict[str, float]) -> bool:
        value = row.get(self.goal.watch, math.nan)
        if math.isnan(value):
            return False
        epoch = int(row["epoch"])
        return self.study.is_hopeless(job.number, epoch, value) and epoch < self.epochs[job.number]

    def record(self, job: Job) -> None:
        if job.state == "running":
            return
        with locks.locked(self.home / ".lock"):
            if job.state == "interrupted":
                self.study.release(job.number)
                self._mirror()
            else:
                self._finish(job)

    def _has_ended(self, job: Job) -> bool:
        """Settles a trial whose run had ended when its process was killed, before the study heard of it."""
        path = self.home / str(job.number)
        if not (path / "config.yaml").exists():
            return False
        run = runs.open_run(path)
        if run.state not in ("done", "pruned", "failed"):
            return False
        job.state, job.reason, job.seconds = run.state, run.status.get("error"), run.summary.get("seconds")
        self._finish(job)
        return True

    def _finish(self, job: Job) -> None:
        """Tells the study how a trial has ended."""
        if job.state == "done":
            job.value = runs.open_run(self.home / str(job.number)).value
            if job.value is None or not math.isfinite(job.value):
                job.state, job.reason = "failed", f"its {self.goal.watch} is {job.value}, not a finite number"
        value = job.value if job.state == "done" else None
        self.study.finish(job.number, job.state, value, {"reason": job.reason, "seconds": job.seconds})
        self._mirror()

    def _mirror(self) -> None:
        """Brings `jobs` and sweep.json up to date with the study, also of trials that others work on."""
        for number in range(len(self.jobs), self.study.wanted):
            self.jobs.append(Job(number, [], {}))
        for trial in self.study.trials():
            self._copy(trial, self.jobs[trial.number])
        if self.jobs != self.plan.jobs or not sweep_record.is_sweep(self.home):
            self.plan.jobs = [Job(**vars(job)) for job in self.jobs]
            sweep_record.write(self.home, self.plan)

    def _copy(self, trial: "FrozenTrial", job: Job) -> None:
        from dlrun.sweep.study import NAMES

        axes = [axis for axis in self.goal.axes if axis.key in trial.params]
        words: list[Any] = [axis.word(trial.params[axis.key]) for axis in axes]
        job.overrides = words
        job.changed = {axis.key: word.partition("=")[2] for axis, word in zip(axes, words, strict=True)}
        job.state = NAMES.get(trial.state) or ("running" if self.study.is_held(trial.number) else "interrupted")
        if trial.state in NAMES:
            job.value, job.reason = trial.value, trial.user_attrs.get("reason")
            job.seconds = trial.user_attrs.get("seconds")


def _conclude(home: pathlib.Path, source: _Trials) -> int:
    """The report, the best config as a recipe, and what can be done next. Returns 0, or 1 if no trial is done."""
    trials = source.jobs
    done = [job for job in trials if job.state == "done"]
    jobs.say_failed(home, trials)
    elsewhere = sum(job.state == "running" for job in trials)
    if elsewhere:
        print(f"dlrun: note: other processes still work on {elsewhere} trials; the last to end sums up all of them")
    if done:
        report.report([str(home)])
        best = comparison.best_first(done, lambda job: job.value, source.goal.mode)[0]
        told = " ".join(best.overrides)
        about = f"Trial {best.number} of a search: {source.goal.watch} {best.value:.4f} with {told}"
        recipe.write(home, "best", runs.open_run(home / str(best.number)).config, about)
        print(f"trial   {best.number} is the best: {told}")
        print(f"repeat  dlrun --config-dir {quoted(home)} experiment=best")
    print(f"folder  {home}")
    print(f"more    dlrun resume {quoted(home)} sweeper.trials={2 * len(trials)}")
    return 0 if done else 1
