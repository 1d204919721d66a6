"""YAML files of unknown origin, looked at before OmegaConf expands them.

OmegaConf copies what an alias (`*name`) points to: a few lines can stand for millions of values.
"""

import math
import pathlib

import yaml

from dlrun.errors import UserError

# libyaml's where it is built in: ten times faster.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_BYTES = 1_000_000
MAX_VALUES = 2_000


def check(path: pathlib.Path) -> None:
    """**Raises:** `UserError` with path and line if it is no UTF-8, no YAML, or far too large for a config."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: is larger than {MAX_BYTES / 1e6:g} MB; a config is short")
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER)
        num_values = _expanded(root, {}) if root is not None else 0
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path}: {explain(error)}") from error
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path}: holds no `key: value` lines")
    if num_values > MAX_VALUES:
        raise UserError(
            f"{path}: stands for more than {MAX_VALUES} values, its aliases (*name) written out; a config is short"
        )


def read(path: pathlib.Path) -> dict:
    """The plain values of a file. **Raises:** `UserError` as `check` does."""
    check(path)
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _LOADER)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: {explain(error)}") from error


def explain(error: Exception) -> str:
    """What is wrong with a YAML text, and where, in one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem or error.context}"
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    return " ".join(str(error).split())


def _expanded(node: yaml.Node, known: dict[int, float]) -> float:
    """How many values `node` stands for once every alias is a copy; infinite if it holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        flat = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
        known[id(node)] = 1 + sum(_expanded(part, known) for part in flat)
    return known[id(node)]
