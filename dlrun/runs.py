"""Runs on disk: open one, list many. Reads text only, so neither torch nor pandas is imported."""

import csv
import json
import pathlib
from dataclasses import dataclass
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dlrun.errors import UserError


@dataclass(frozen=True)
class StoredRun:
    """A run's folder as it was left. `summary` is empty until the run is done."""

    path: pathlib.Path
    config: dict[str, Any]
    words: list[str]
    status: dict[str, Any]
    summary: dict[str, Any]

    @property
    def state(self) -> str:
        """`running`, `done`, `failed` or `interrupted`, as the run last wrote it."""
        return self.status.get("state", "unknown")

    @property
    def metrics(self) -> dict[str, float]:
        """The final metrics, `part/name`."""
        return self.summary.get("metrics", {})

    def history(self) -> list[dict[str, float]]:
        """One row an epoch; a value that was not measured is left out."""
        path = self.path / "metrics.csv"
        if not path.exists():
            return []
        with open(path, newline="") as file:
            return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def open_run(folder: str | pathlib.Path) -> StoredRun:
    """The run in `folder`. **Raises:** `UserError` if there is none or a file of it cannot be read."""
    path = pathlib.Path(folder)
    if not (path / "config.yaml").exists():
        below = [run.path for run in find_runs(path)][-3:] if path.is_dir() else []
        hint = f"; runs in it: {', '.join(map(str, below))}" if below else "; see dlrun list runs"
        raise UserError(f"{path}: is not the folder of a run{hint}")
    try:
        config: Any = OmegaConf.to_container(OmegaConf.load(path / "config.yaml"), resolve=False)
    except (OSError, OmegaConfBaseException, yaml.YAMLError) as error:
        raise UserError(f"{path / 'config.yaml'}: cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path / 'config.yaml'}: holds no config")
    words = _read_json(path / "overrides.json", [])
    return StoredRun(path, config, words, _read_json(path / "status.json", {}), _read_json(path / "summary.json", {}))


def find_runs(folder: str | pathlib.Path) -> list[StoredRun]:
    """All runs in `folder` and below, oldest first."""
    found = [
        open_run(path.parent) for path in pathlib.Path(folder).rglob("config.yaml") if path.parent.name != ".hydra"
    ]
    return sorted(found, key=lambda run: (str(run.status.get("started", "")), _natural(run.path)))


def _natural(path: pathlib.Path) -> tuple:
    """Job 10 after job 9."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in path.parts)


def _read_json(path: pathlib.Path, otherwise: Any) -> Any:
    if not path.exists():
        return otherwise
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    if not isinstance(value, type(otherwise)):
        raise UserError(f"{path}: holds a {type(value).__name__}, not a {type(otherwise).__name__}")
    return value
