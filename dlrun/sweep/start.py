"""A sweep: many runs, one process a job, and a record that survives a kill.

`sweep.json` says what was planned and how each job stands; what is missing can be run later:
`dlrun resume FOLDER`. A grid (sweep/grid.py) and a search (sweep/search.py) start here.
"""

import pathlib
from collections.abc import Iterable

from dlrun.config import check, compose
from dlrun.errors import UserError
from dlrun.run.loggers import ready
from dlrun.store import sweep_record
from dlrun.store.sweep_record import Plan
from dlrun.sweep import fitting, grid, search, space
from dlrun.sweep.jobs import Ended


def start(overrides: list[str], config_dirs: list[str], words: list[str]) -> Ended:
    """Runs the grid or the search that `overrides` stand for.

    **Raises:** `UserError` before anything is written if a job's config is wrong.
    """
    overrides, is_fitting = fitting.listed(overrides, config_dirs)
    overrides, base = _with_own_axes(overrides, config_dirs)
    parsed = compose.parse(overrides)
    for override in parsed:
        key = override.key_or_group
        if key in ("folder", "outputs"):
            raise UserError(f"{key}: the jobs of a sweep stand in its own folder; choose it with sweep.folder=FOLDER")
        if override.is_sweep_override() and key.partition(".")[0] in ("sweep", "sweeper"):
            raise UserError(f"{override.input_line}: the keys of the sweep itself cannot be swept")
    ready.check(base)
    plan = Plan(words, [str(pathlib.Path(folder).resolve()) for folder in config_dirs])
    if base.sweeper.name == "optuna":
        if is_fitting:
            raise UserError(
                "fitting: is for a grid; a search compares the settings of one model: leave out sweeper=optuna"
            )
        return search.start(overrides, plan)
    _refuse_search_keys(base, [override.key_or_group for override in parsed])
    return grid.start(overrides, config_dirs, plan, fitting.only if is_fitting else None)


def resume(home: pathlib.Path, overrides: list[str]) -> Ended:
    """Runs what is missing of a sweep. **Raises:** `UserError` if its record cannot be read."""
    plan = sweep_record.read(home)
    resume_kind = grid.resume if plan.search is None else search.resume
    return resume_kind(home, plan, overrides)


def _with_own_axes(overrides: list[str], config_dirs: list[str]) -> tuple[list[str], check.Config]:
    """Adds what a recipe sweeps by itself (`sweep.over`): its keys that the command line does not give.

    Where the recipes themselves are listed, each is one run. Also gives the config of the first of each list.
    """
    parsed = compose.parse(overrides)
    given = {override.key_or_group for override in parsed}
    tree = compose.tree(space.first_of_each(overrides, config_dirs), config_dirs)
    if tree["sweeper"].get("name") != "optuna":
        # An interval is nothing to a grid, whatever its first value is.
        compose.expand(overrides, config_dirs)
    base = check.parse(tree)
    if any(override.key_or_group == "experiment" and override.is_sweep_override() for override in parsed):
        return overrides, base
    own = [f"{key}={values}" for key, values in base.sweep.over.items() if key not in given]
    for override in compose.parse(own):
        if override.key_or_group.partition(".")[0] in check.NOT_OF_THE_RUN:
            raise UserError(f"sweep.over: {override.key_or_group} is no key of a run; give it on the command line")
    return overrides + own, base


def _refuse_search_keys(base: check.Config, keys: Iterable[str]) -> None:
    """**Raises:** `UserError` for what says nothing to a grid."""
    if base.sweep.space:
        raise UserError("sweep.space: is only searched by sweeper=optuna; add that, or list values: KEY=1,2,3")
    for key in keys:
        if key.startswith("sweeper."):
            raise UserError(f"{key}: is only read by sweeper=optuna; add that or leave it out")
