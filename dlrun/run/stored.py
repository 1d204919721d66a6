"""The config and the samples of a run that stands on disk, also of one that an older dlrun has left."""

import pathlib
import sys
from typing import Any

from dlrun.config import check, compose, registry
from dlrun.config.check import Config
from dlrun.config.spec import DataSpec
from dlrun.data import DATA
from dlrun.engine.contracts import DataSet
from dlrun.engine.kept import Kept
from dlrun.errors import UserError
from dlrun.store import checkpoint, records
from dlrun.store.run_folder import OFFERED, SAMPLES
from dlrun.store.runs import StoredRun


def config_of(stored: StoredRun, overrides: list[str] | None = None, *, on_cpu: bool = False) -> Config:
    """The checked config, with `overrides` of single keys; what a newer dlrun has added is filled in, and named.

    `on_cpu`: for this machine, which may lack the device that it was trained on.

    **Raises:** `UserError` for a config that is none.
    """
    tree = stored.config
    if added := check.lacking(tree):
        usual = compose.tree([], [])
        for key in added:
            section, _, name = key.partition(".")
            if name:
                tree[section][name] = usual[section][name]
            else:
                tree[section] = usual[section]
        print(f"dlrun: note: {stored.path} is of an older dlrun: by default {', '.join(added)}", file=sys.stderr)
    for word in overrides or []:
        put(tree, word)
    _refuse_unknown(stored.path, tree)
    return check.parse(check.on_cpu(tree) if on_cpu else tree)


def _refuse_unknown(path: pathlib.Path, tree: dict[str, Any]) -> None:
    """**Raises:** `UserError` if the run was trained with a plug-in that is not here."""
    for group in registry.TABLES:
        name = tree[group].get("name") if isinstance(tree.get(group), dict) else None
        if isinstance(name, str) and name not in registry.of(group) and name != "auto":
            raise UserError(
                f"{path}: was trained with {group}={name}, which is not known here; name its file in DLRUN_PLUGINS, "
                f"or in Python give it: dlrun.load(FOLDER, {group}=CLASS)"
            )


def kept_of(path: pathlib.Path | None) -> Kept | None:
    """Which sample was in which part of the run in `path`; None where its data are not files that may change.

    **Raises:** `UserError` for a record that is damaged.
    """
    if path is None or not (file := path / SAMPLES).exists():
        return None
    try:
        return Kept.from_tree(checkpoint.read(file))
    except (checkpoint.DamagedCheckpoint, ValueError) as error:
        raise UserError(f"no usable record of the samples: {error}") from error


def offered_of(path: pathlib.Path | None, config: Config) -> DataSpec | None:
    """What the data offered to the run in `path`; None where an older dlrun has kept only how an image was seen.

    **Raises:** `UserError` for a file that cannot be read.
    """
    files = [] if path is None else [file for file in (path / OFFERED, path / "spec.json") if file.exists()]
    if not files:
        return None
    file, kind = files[0], DATA.describe(config.data["name"]).attributes.get("kind")
    try:
        spec = DataSpec.from_dict(records.read(file, dict[str, Any]))
        return spec if spec.kind == kind else None
    except ValueError as error:
        raise UserError(f"{file}: cannot be read: {error}") from error


def say_unkept(dataset: DataSet, path: pathlib.Path | None) -> None:
    """One line if the parts of the run in `path`, where there is one, had to be drawn anew."""
    if path is not None and dataset.kept is None and dataset.found is not None:
        print(
            f"dlrun: note: {path} is of an older dlrun and has not kept which samples were in which part; they are "
            "drawn anew, and are the same only if the data are",
            file=sys.stderr,
        )


def put(tree: dict[str, Any], word: str) -> tuple[str, Any, Any]:
    """Sets the one key of `key=value` in a config; (the key, its old value, the new one)."""
    parsed = compose.parse([word])[0]
    *sections, name = parsed.key_or_group.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
    old, tree[name] = tree.get(name), parsed.value()
    return parsed.key_or_group, old, tree[name]
