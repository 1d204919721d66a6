"""An Optuna study that several processes work on, each trial claimed by one of them.

This module is about Optuna alone and is imported when a search begins. The study is the record
of a search: which trials there are, their settings, what each epoch gave, how each ended.
Who works on a trial is known by a lock file that the system lets go of when its holder dies, so
a trial that nobody holds can be taken up again by anyone, on any machine that shares the folder.
"""

import contextlib
import fcntl
import os
import pathlib
import sqlite3
import sys
import urllib.parse
from collections.abc import Iterator
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from dlrun import disk
from dlrun.config.check import Sweeper
from dlrun.errors import UserError
from dlrun.store import locks
from dlrun.sweep.space import Axis, Choices
from dlrun.terminal.escaping import without_password

# How a trial that has ended is called here and there.
STATES = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
NAMES = {state: name for name, state in STATES.items()}


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Optuna says nothing but errors, as what it logs is told by a search itself."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


class Study:
    """The study of the search in the folder `home`; made by whoever opens it first."""

    def __init__(self, home: pathlib.Path, name: str, mode: str, options: Sweeper, axes: list[Axis], max_epochs: int):
        """`mode` is max or min; `max_epochs` is what the longest trial may take.

        **Raises:** `UserError` if the storage cannot be reached.
        """
        self.home, self.options = home, options
        self.distributions = {axis.key: _distribution(axis) for axis in axes}
        self.claims: dict[int, int] = {}
        disk.folder(home / "claims")
        disk.refuse_links(home)
        with locks.locked(home / ".lock"):
            place = storage(options.storage, name, home)
            if name not in optuna.get_all_study_names(place):
                if options.storage is not None:
                    raise UserError(f"sweeper.storage: there is no study {name} in {without_password(options.storage)}")
                optuna.create_study(storage=place, study_name=name, direction=DIRECTIONS[mode])
            self.study = optuna.load_study(storage=place, study_name=name, pruner=_pruner(options, max_epochs))
            if "trials" not in self.study.user_attrs:
                self.set_wanted(options.trials)

    @property
    def wanted(self) -> int:
        """How many trials the search is to have."""
        return self.study.user_attrs["trials"]

    def set_wanted(self, trials: int) -> None:
        """**Raises:** `UserError` if there are more than that already."""
        if len(self.trials()) > trials:
            raise UserError(f"sweeper.trials: the search has {len(self.trials())} trials already; ask for more")
        self.study.set_user_attr("trials", trials)

    def trials(self) -> list[FrozenTrial]:
        """All trials so far, by number."""
        return self.study.get_trials(deepcopy=False)

    def claim(self) -> FrozenTrial | None:
        """A trial for this process alone: one that was left behind, else a new one; None if there is none to do.

        To be called with the lock of the search, or two processes would make one trial too many.
        """
        trials = self.trials()
        left = (trial.number for trial in trials if trial.state == TrialState.RUNNING)
        number = next(filter(self._hold, left), None)
        if number is None:
            if len(trials) >= self.wanted:
                return None
            number = len(trials)
            self._hold(number)
        is_new = number == len(trials)
        trial = self.study.ask() if is_new else optuna.trial.Trial(self.study, trials[number]._trial_id)
        assert trial.number == number, "somebody asks without the lock of the search"
        for place, (key, distribution) in enumerate(self.distributions.items()):
            # From these numbers alone: two processes draw differently, and what a killed one has not drawn any more is
            # drawn as it would have been.
            self.study.sampler = _sampler(self.options, number, place)
            _suggest(trial, key, distribution)
        return self.trials()[number]

    def _hold(self, number: int) -> bool:
        """Whether the trial is now ours and was not before; one that has ended meanwhile is let go."""
        if number in self.claims or (claim := locks.claim(self.home / f"claims/{number}")) is None:
            return False
        trials = self.trials()
        if number < len(trials) and trials[number].state != TrialState.RUNNING:
            os.close(claim)
            return False
        self.claims[number] = claim
        return True

    def is_held(self, number: int) -> bool:
        """Whether some process works on the trial."""
        if number in self.claims:
            return True
        claim = locks.claim(self.home / f"claims/{number}")
        if claim is not None:
            os.close(claim)
        return claim is None

    def is_hopeless(self, number: int, epoch: int, value: float) -> bool:
        """Takes in the watched value after an epoch; answers whether the pruner gives the trial up."""
        trial = self.trials()[number]
        if epoch not in trial.intermediate_values:
            self.study._storage.set_trial_intermediate_value(trial._trial_id, epoch, value)
        return self.study.pruner.prune(self.study, self.trials()[number])

    def finish(self, number: int, state: str, value: float | None, facts: dict[str, Any]) -> None:
        """Ends a trial that this process holds: done with its `value`, pruned or failed. `facts` are kept with it."""
        trial = self.trials()[number]
        for key, fact in facts.items():
            self.study._storage.set_trial_user_attr(trial._trial_id, key, fact)
        self.study.tell(number, value, STATES[state])
        self.release(number)

    def release(self, number: int) -> None:
        """Lets others have the trial."""
        os.close(self.claims.pop(number))


def create(url: str, name: str, mode: str) -> None:
    """A study in the storage at `url`; `mode` is max or min. **Raises:** `UserError` if it cannot be opened."""
    optuna.create_study(storage=_open(url), study_name=name, direction=DIRECTIONS[mode])


def storage(url: str | None, name: str, home: pathlib.Path) -> BaseStorage:
    """The storage at `url`, which holds the study `name` already, or the log file in `home`.

    **Raises:** `UserError` if it cannot be opened.
    """
    if url is None:
        path = str(home / "study.log")
        return JournalStorage(JournalFileBackend(path, _JournalLock(path)))
    # The address stands in a record, which may be a stranger's: a file that holds no study is not touched.
    kind, _, path = url.partition(":///")
    if kind.startswith("sqlite") and not _holds_study(path.partition("?")[0], name):
        raise UserError(f"sweeper.storage: there is no study {name} in {without_password(url)}")
    print(f"dlrun: note: this search keeps its trials in {without_password(url)}", file=sys.stderr)
    return _open(url)


def _holds_study(path: str, name: str) -> bool:
    address = f"file:{urllib.parse.quote(path)}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
            found = database.execute("select 1 from studies where study_name = ?", (name,)).fetchone()
            return found is not None
    except sqlite3.Error:
        return False


def _open(url: str) -> BaseStorage:
    try:
        return optuna.storages.get_storage(url)
    except Exception as error:  # every driver of a database has errors of its own
        reason = next(iter(str(error).splitlines()), "")
        raise UserError(f"sweeper.storage: cannot be opened: {type(error).__name__}: {reason}") from error


class _JournalLock(JournalFileOpenLock):
    """Held by the system for the process that writes, so that one that is killed leaves no lock behind.

    What it was writing then may end in half a line, which the next one takes away.
    """

    def __init__(self, path: str):
        self.path = path
        self.held: list[int] = []

    def acquire(self) -> bool:
        file = disk.appending(self.path)
        fcntl.flock(file, fcntl.LOCK_EX)
        self.held.append(file)
        cut_half_line(file)
        return True

    def release(self) -> None:
        os.close(self.held.pop())


def cut_half_line(file: int) -> None:
    """Shortens the file behind a descriptor to its last whole line."""
    size = end = os.fstat(file).st_size
    while end > 0 and os.pread(file, 1, end - 1) != b"\n":
        end -= 1
    if end < size:
        os.ftruncate(file, end)


def _distribution(axis: Axis) -> BaseDistribution:
    if isinstance(axis, Choices):
        return CategoricalDistribution(axis.words)
    if axis.is_integer:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log, step=int(axis.step or 1))
    return FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)


def _suggest(trial: optuna.trial.Trial, key: str, distribution: Any) -> None:
    """Draws one value; a value that was drawn before stays."""
    if isinstance(distribution, CategoricalDistribution):
        trial.suggest_categorical(key, distribution.choices)
    elif isinstance(distribution, IntDistribution):
        trial.suggest_int(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    else:
        trial.suggest_float(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def _sampler(options: Sweeper, number: int, place: int) -> BaseSampler:
    """For the value at `place` of the trial `number`."""
    seed = int(np.random.SeedSequence((options.seed, number, place)).generate_state(1)[0])
    if options.sampler == "random":
        return RandomSampler(seed)
    return TPESampler(n_startup_trials=options.startup_trials, seed=seed)


def _pruner(options: Sweeper, max_epochs: int) -> BasePruner:
    if options.pruner == "none":
        return NopPruner()
    if options.pruner == "median":
        return MedianPruner(options.startup_trials, options.warmup_epochs + 1)
    return HyperbandPruner(min_resource=max(1, options.warmup_epochs), max_resource=max_epochs)
