"""A run's config as a recipe, a file that `experiment=NAME` runs again."""

import pathlib
from typing import Any

from dlrun import disk
from dlrun.config import check, compose, registry
from dlrun.store import files


def write(home: pathlib.Path, name: str, run_config: dict[str, Any], about: str) -> None:
    """Writes `home`/experiment/`name`.yaml with what sets `run_config` apart from the defaults.

    `dlrun --config-dir HOME experiment=NAME` runs it. `about` is its first line.
    """
    chosen = {group: run_config[group]["name"] for group in registry.TABLES}
    words = [f"{group}={option}" for group, option in chosen.items()]
    usual = check.parse(compose.tree(words, [])).to_dict()
    values = {"defaults": [{f"override /{group}": option} for group, option in chosen.items()]}
    values |= {key: value for key, value in _changed(run_config, usual).items() if key not in check.NOT_OF_THE_RUN}
    head = f"# @package _global_\n# {about}\n#   dlrun --config-dir {home} experiment={name}\n"
    disk.write(disk.folder(home / "experiment") / f"{name}.yaml", head + files.to_yaml(values))


def _changed(values: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    """What of `values` is not as in `usual`; either may have its sequences as lists or tuples."""
    changed = {}
    for key, value in values.items():
        other = usual.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            if inner := _changed(value, other):
                changed[key] = inner
        elif _listed(value) != _listed(other):
            changed[key] = value
    return changed


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
