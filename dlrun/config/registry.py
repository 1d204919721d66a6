"""Registries: the names that a config may use, and what each stands for.

A name maps to `module:attribute`, imported on first use, so that a run pays only for what it
names and a config from a stranger can run nothing but what is listed. The table of a registry
stands in the `__init__.py` of its folder; plug-ins add to it with a decorator:

    from dlrun.models import MODELS

    @MODELS.register("mine")
    class Mine(torch.nn.Module): ...
"""

import importlib
import importlib.metadata
import importlib.util
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from dlrun.config import schema
from dlrun.errors import UserError


class Registry:
    """Names of one kind (`model`, `data`, ...) and the classes or functions behind them."""

    def __init__(self, kind: str, targets: dict[str, str]):
        self.kind = kind
        self._targets: dict[str, Any] = dict(targets)

    def names(self) -> list[str]:
        return sorted(self._targets)

    def plugin_names(self) -> list[str]:
        return sorted(name for name, target in self._targets.items() if not isinstance(target, str))

    def __contains__(self, name: object) -> bool:
        return name in self._targets

    def register(self, name: str):
        """Decorator for plug-ins. **Raises:** `UserError` if the name is taken."""

        def add(thing):
            if name in self._targets:
                raise UserError(f"{self.kind} {name!r} is already registered; choose another name")
            self._targets[name] = thing
            return thing

        return add

    def get(self, name: str) -> Any:
        """The class or function behind `name`. **Raises:** `UserError` with the nearest and all names."""
        target = self._find(name)
        return _attribute(target) if isinstance(target, str) else target

    def describe(self, name: str) -> schema.Description:
        """Doc, parameters and class attributes; built-in names are read without importing torch."""
        target = self._find(name)
        return schema.describe_source(target) if isinstance(target, str) else schema.describe_object(target)

    def descriptions(self) -> list[tuple[str, schema.Description]]:
        """All names, each with its description."""
        return [(name, self.describe(name)) for name in self.names()]

    def _find(self, name: str) -> Any:
        if name not in self._targets:
            near, names = schema.suggest(name, self.names()), ", ".join(self.names())
            raise UserError(f"unknown {self.kind} {name!r}{near} ({self.kind} names: {names})")
        return self._targets[name]


# The config groups whose `name` picks a registered thing, and where their tables stand.
TABLES = {
    "model": "dlrun.models:MODELS",
    "data": "dlrun.data:DATA",
    "augment": "dlrun.augment:AUGMENTS",
    "sampler": "dlrun.samplers:SAMPLERS",
    "task": "dlrun.tasks:TASKS",
    "optimizer": "dlrun.optim:OPTIMIZERS",
    "scheduler": "dlrun.optim:SCHEDULERS",
}


def of(group: str) -> Registry:
    """The registry of a config group, one of `TABLES`."""
    return _attribute(TABLES[group])


def registries() -> dict[str, Registry]:
    """All of them, by the names of their groups."""
    return {group: of(group) for group in TABLES}


def _attribute(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


_loaded_plugins: set[str] = set()


def load_plugins() -> None:
    """Imports the files of `DLRUN_PLUGINS` (split as PATH is) and installed `dlrun.plugins` entry points.

    **Raises:** `UserError` naming the file and the reason if one cannot be imported.
    """
    for path in filter(None, os.environ.get("DLRUN_PLUGINS", "").split(os.pathsep)):
        resolved = pathlib.Path(path).expanduser().resolve()
        if not resolved.is_file():
            raise UserError(f"DLRUN_PLUGINS: no file {path}")
        _load_once(str(resolved), f"DLRUN_PLUGINS: {path}", lambda resolved=resolved: _import_file(resolved))
    for entry in importlib.metadata.entry_points(group="dlrun.plugins"):
        _load_once(entry.value, f"plug-in {entry.name} ({entry.value})", entry.load)


def plugin_files() -> list[str]:
    """The files of the user's own that have been loaded."""
    return [key for key in _loaded_plugins if pathlib.Path(key).is_file()]


def _load_once(key: str, what: str, load: Callable[[], Any]) -> None:
    if key in _loaded_plugins:
        return
    try:
        load()
    except UserError as error:
        raise UserError(f"{what}: {error}") from error
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{what}: cannot be imported: {type(error).__name__}: {reason}") from error
    _loaded_plugins.add(key)


def _import_file(path: pathlib.Path) -> None:
    name = f"dlrun_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError("is not a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    # Pickle, which sends data to loader processes, looks a class up by its module.
    sys.modules[name] = module
    spec.loader.exec_module(module)
