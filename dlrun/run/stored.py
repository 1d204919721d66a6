"""The config of a run that stands on disk, also of one that an older dlrun has left."""

import json
import pathlib
import sys
from typing import Any

from dlrun.config import check, compose
from dlrun.config.check import Config
from dlrun.config.spec import DataSpec
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
    return check.parse(check.on_cpu(tree) if on_cpu else tree)


def spec_of(path: pathlib.Path) -> DataSpec | None:
    """What the data of the run in `path` offered when it began; None if an older dlrun did not write it."""
    file = path / "spec.json"
    return DataSpec.from_dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None


def put(tree: dict[str, Any], word: str) -> tuple[str, Any, Any]:
    """Sets the one key of `key=value` in a config; (the key, its old value, the new one)."""
    parsed = compose.parse([word])[0]
    *sections, name = parsed.key_or_group.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
    old, tree[name] = tree.get(name), parsed.value()
    return parsed.key_or_group, old, tree[name]
