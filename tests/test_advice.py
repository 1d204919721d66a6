"""What dlrun tells somebody to type exists: each key, option and verb in the texts of its code and its recipes."""

import ast
import functools
import pathlib
import re

import pytest

from dlrun.cli.help import VERBS
from dlrun.config import check, compose, registry
from dlrun.sweep.fitting import FITTING

ROOT = pathlib.Path(__file__).parent.parent
GROUPS = ("model", "data", "task", "optimizer", "scheduler", "sampler", "augment")
KEY = re.compile(
    rf"(?<![\w/.-])({'|'.join([*GROUPS, 'trainer', 'device', 'logger', 'sweeper', 'view'])})\.([a-z]\w*)(?!\w*[(/])"
)
OPTION = re.compile(rf"(?<![\w/.-])({'|'.join(GROUPS)})=([a-z]\w*)")
VERB = re.compile(r"(?:`|: |; )dlrun ([a-z]+)\b(?!=)")
# Examples, not advice: names of the reader's own, and files.
EXAMPLES = {"name", "py", "yaml", "csv", "json", "path", "get", "key", "type", "attr", "yml", "splits"}


@functools.cache
def texts():
    """(Place, text) of each string in the code, the parts of f-strings joined."""
    return list(_texts())


def _texts():
    for path in sorted((ROOT / "dlrun").rglob("*.py")):
        name = path.relative_to(ROOT)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                joined = "".join(v.value if isinstance(v, ast.Constant) else "\0" for v in node.values)
                yield f"{name}:{node.lineno}", joined
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{name}:{node.lineno}", node.value
    for path in sorted((ROOT / "conf").rglob("*.yaml")):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if "#" in line:
                yield f"{path.relative_to(ROOT)}:{number}", line.partition("#")[2]


def unknown(pattern, group, known):
    """(Place, name) of each match of `pattern` that names something of `group` beside what is `known`."""
    found = ((place, *match) for place, text in texts() for match in pattern.findall(text))
    return {(place, name) for place, named, name in found if named == group and name not in known}


def keys_of(group):
    found = set(compose.tree([], []).get(group, {}))
    if group in GROUPS:
        for name in registry.of(group).names():
            found |= set(registry.of(group).describe(name).parameters)
    return found


@pytest.mark.parametrize("group", [*GROUPS, "trainer", "device", "logger", "sweeper", "view"])
def test_each_key_that_is_named_exists(group):
    assert not unknown(KEY, group, keys_of(group) | EXAMPLES)


@pytest.mark.parametrize("group", GROUPS)
def test_each_option_that_is_named_exists(group):
    words = {"auto", "null", "x", "y", "mine"} | ({FITTING} if group in ("model", "data") else set())
    assert not unknown(OPTION, group, set(compose.groups([])[group]) | words)


def test_each_verb_that_is_named_exists():
    known = {*VERBS, "never", "has"}
    wrong = {(place, verb) for place, text in texts() for verb in VERB.findall(text) if verb not in known}
    assert not wrong


def test_there_is_advice_to_check():
    assert sum(len(KEY.findall(text)) for _, text in texts()) > 300
    assert check.parse(compose.tree([], []))
