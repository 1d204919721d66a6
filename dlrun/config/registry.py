"""Registries: the names that a config may use, and what each stands for.

A name maps to `module:attribute`, imported on first use, so that a run pays only for what it
names and a config from a stranger can run nothing but what is listed. The table of a registry
stands in the `__init__.py` of its folder; plug-ins add to it with a decorator:

    from dlrun.models import MODELS

    @MODELS.register("mine")
    class Mine(torch.nn.Module): ...

What is defined again, because its file has changed or a cell of a notebook runs again, takes the place of what it was.
"""

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

from dlrun.config import schema
from dlrun.errors import UserError

T = TypeVar("T")


class Registry:
    """Names of one kind (`model`, `data`, ...) and the classes or functions behind them."""

    def __init__(self, kind: str, targets: dict[str, str]):
        self.kind = kind
        self._targets: dict[str, Any] = dict(targets)
        self._in_files: set[str] = set()

    def names(self) -> list[str]:
        return sorted(self._targets)

    def plugin_names(self) -> list[str]:
        return sorted(name for name, target in self._targets.items() if not isinstance(target, str))

    def __contains__(self, name: object) -> bool:
        return name in self._targets

    def is_of_this_process(self, name: str) -> bool:
        """Whether no other process would know `name`: it stands in no file that `load_plugins` reads."""
        return name in self.plugin_names() and name not in self._in_files

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator for plug-ins. **Raises:** `UserError` if the name is taken by another thing."""

        def add(thing: T) -> T:
            if name in self._targets and _origin(self._targets[name]) != _origin(thing):
                raise UserError(f"{self.kind} {name!r} is already registered; choose another name")
            self._targets[name] = thing
            (self._in_files.add if _is_loading.get() else self._in_files.discard)(name)
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


def _origin(thing: Any) -> Any:
    """Where a class or function is defined; what has no such place is like itself alone."""
    is_named = hasattr(thing, "__module__") and hasattr(thing, "__qualname__")
    return (thing.__module__, thing.__qualname__) if is_named else id(thing)


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


# What has been loaded, and the content that it had.
_loaded_plugins: dict[str, bytes] = {}
_is_loading: ContextVar[bool] = ContextVar("_is_loading", default=False)


def load_plugins() -> None:
    """Imports the files of `DLRUN_PLUGINS` (split as PATH is) and installed `dlrun.plugins` entry points.

    A file that has changed since is imported again.

    **Raises:** `UserError` naming the file and the reason if one cannot be imported.
    """
    for path in filter(None, os.environ.get("DLRUN_PLUGINS", "").split(os.pathsep)):
        resolved = pathlib.Path(path).expanduser().resolve()
        if not resolved.is_file():
            raise UserError(f"DLRUN_PLUGINS: no file {path}")
        what, content = f"DLRUN_PLUGINS: {path}", resolved.read_bytes()
        _load_once(str(resolved), content, what, lambda resolved=resolved: _import_file(resolved))
    for entry in _installed(tuple(map(_changed, sys.path))):
        _load_once(entry.value, b"", f"plug-in {entry.name} ({entry.value})", entry.load)


@functools.lru_cache(maxsize=1)
def _installed(path: tuple[tuple[str, int], ...]) -> Sequence[importlib.metadata.EntryPoint]:
    """The entry points of what is installed; to look through it all takes longer than the rest of a config."""
    return tuple(importlib.metadata.entry_points(group="dlrun.plugins"))


def _changed(folder: str) -> tuple[str, int]:
    """A folder and when anything was last put into it; 0: there is none."""
    try:
        return folder, os.stat(folder or ".").st_mtime_ns
    except OSError:
        return folder, 0


def plugin_files() -> list[str]:
    """The files of the user's own that have been loaded."""
    return [key for key in _loaded_plugins if pathlib.Path(key).is_file()]


def _load_once(key: str, content: bytes, what: str, load: Callable[[], Any]) -> None:
    if _loaded_plugins.get(key) == content:
        return
    outside = _is_loading.set(True)
    try:
        load()
    except UserError as error:
        raise UserError(f"{what}: {error}") from error
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{what}: cannot be imported: {type(error).__name__}: {reason}") from error
    finally:
        _is_loading.reset(outside)
    _loaded_plugins[key] = content


def _import_file(path: pathlib.Path) -> None:
    # Two files may have one name; what each defines is told apart by its module.
    name = f"dlrun_plugin_{path.stem}_{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError("is not a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    # Pickle, which sends data to loader processes, looks a class up by its module.
    sys.modules[name] = module
    spec.loader.exec_module(module)
