"""YAML files of unknown origin, looked at before OmegaConf expands them.

OmegaConf copies what an alias (`*name`) points to: a few lines can stand for millions of values.
"""

import errno
import math
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import yaml

from dlrun import disk
from dlrun.errors import UserError

# libyaml's where it is built in: ten times faster.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_BYTES = 1_000_000
MAX_VALUES = 2_000
REFERENCES = "a config is resolved no further than ${KEY}; write the value, or let the shell put it on the command line"
_REFERENCE = re.compile(r"\$\{[\w.\[\]-]*\}")


def check(path: pathlib.Path) -> None:
    """**Raises:** `UserError` with path and line if it is no UTF-8, no YAML, or far too large for a config."""
    _opened(path)


def read(path: pathlib.Path) -> dict:
    """The plain values of a file. **Raises:** `UserError` as `check` does."""
    loader, root = _opened(path)
    try:
        return loader.construct_document(root) if root is not None else {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: {explain(error)}") from error


def _opened(path: pathlib.Path) -> tuple[Any, yaml.Node | None]:
    """(A loader, the checked node that it has read from the file: its one document)."""
    try:
        text = disk.text(path, MAX_BYTES)
        loader = _LOADER(text)
        root = loader.get_single_node()
        num_values = _expanded(root, {}) if root is not None else 0
    except OSError as error:
        hint = "; a config is short" if error.errno == errno.EFBIG else ""
        raise UserError(f"{path}: cannot be read: {error.strerror}{hint}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path}: {explain(error)}") from error
    for node in _scalars(root) if root is not None and "${" in text else ():
        if is_computed(node.value):
            raise UserError(f"{path}: line {node.start_mark.line + 1}: {node.value!r}: {REFERENCES}")
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path}: holds no `key: value` lines")
    if num_values > MAX_VALUES:
        raise UserError(
            f"{path}: stands for more than {MAX_VALUES} values, its aliases (*name) written out; a config is short"
        )
    return loader, root


def is_computed(text: str) -> bool:
    """Whether OmegaConf would do more with `text` than put in the values of other keys (`${trainer.epochs}`).

    Its resolvers read the environment (`${oc.env:HOME}`), and a config may be a stranger's.
    """
    while (shorter := _REFERENCE.sub("", text)) != text:
        text = shorter
    return "${" in text


def explain(error: Exception) -> str:
    """What is wrong with a YAML text, and where, in one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem or error.context}"
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    return " ".join(str(error).split())


def _scalars(root: yaml.Node) -> Iterator[yaml.ScalarNode]:
    """Each once, however many aliases it has."""
    seen, waiting = set(), [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.ScalarNode):
            yield node
        elif id(node) not in seen:
            seen.add(id(node))
            waiting += [part for child in node.value for part in (child if isinstance(child, tuple) else (child,))]


def _expanded(node: yaml.Node, known: dict[int, float]) -> float:
    """How many values `node` stands for once every alias is a copy; infinite if it holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        flat = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
        known[id(node)] = 1 + sum(_expanded(part, known) for part in flat)
    return known[id(node)]
