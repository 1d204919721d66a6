"""A config is checked as a whole: each mistake is one line that names the key, and no right one is refused."""

import os
import random
import sys
import types
import typing
from typing import Annotated, Literal, Union

import pytest
from hydra.core.override_parser.types import Quote, QuotedString
from hypothesis import given, settings
from hypothesis import strategies as st

from dlrun.config import check, compose, registry, schema
from dlrun.errors import UserError

# DLRUN_FUZZ=5000 for the large search.
EXAMPLES = int(os.environ.get("DLRUN_FUZZ", "12"))
OPTIONS = {group: names for group, names in compose.groups([]).items() if group != "experiment"}
LETTERS = "abcdefghijklmnopqrstuvwxyz_"
COMPOSER = compose.Composer([])


TREE = COMPOSER.tree([])


def parsed(*words):
    return check.parse(COMPOSER.tree(list(words)))


def annotations(group, option):
    """The keys of `group=option` as full names, each with its type."""
    if group in registry.TABLES:
        if option == "auto":
            return {}
        found = registry.of(group).describe(option).parameters.items()
        return {f"{group}.{key}": parameter.annotation for key, parameter in found if (group, key) != ("task", "spec")}
    section = typing.get_type_hints(check.Config)[group]
    hints = typing.get_type_hints(section, include_extras=True)
    return {f"{group}.{key}": hint for key, hint in hints.items() if key != "name"}


TOP = {"seed": schema.Seed, "outputs": str, "folder": str | None}
KEYS = {(group, option): annotations(group, option) for group, names in OPTIONS.items() for option in names}


# ---- right configs


def fitting(annotation):
    """Values that `annotation` allows."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return st.one_of(*map(fitting, arguments))
    if origin is Literal:
        return st.sampled_from(arguments)
    if annotation == schema.FilePath:
        return fitting(str)
    if origin is Annotated:
        return st.one_of(*_within(*arguments))
    if origin is tuple:
        if Ellipsis in arguments:
            return st.lists(fitting(arguments[0]), max_size=3)
        return st.tuples(*map(fitting, arguments)).map(list)
    return {
        bool: st.booleans(),
        int: st.integers(),
        float: st.floats(allow_nan=False, allow_infinity=False),
        str: st.text(min_size=1, max_size=8).filter(lambda text: "$" not in text and text != "???"),
        type(None): st.none(),
        dict: st.just({}),
    }[annotation]


def _within(kind, interval):
    low = None if interval.low == float("-inf") else interval.low
    high = None if interval.high == float("inf") else interval.high
    if kind is int:
        return [st.integers(low, high)]
    bounds = {"exclude_min": interval.open_low, "exclude_max": interval.open_high}
    return [st.floats(low, high, allow_nan=False, allow_infinity=False, **bounds)]


def rendered(value):
    """`value` as the command line writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, str):
        return QuotedString(value, Quote.single).with_quotes()
    if isinstance(value, list):
        return f"[{','.join(map(rendered, value))}]"
    return repr(value)


@st.composite
def right_words(draw):
    """Words of a right command line: an option of some groups, and values for some of their keys."""
    chosen = {group: draw(st.sampled_from(names)) for group, names in OPTIONS.items()}
    # What is right alone and wrong together has tests of its own.
    known = {key: hint for pair in chosen.items() for key, hint in KEYS[pair].items()} | TOP
    clashing = {"trainer.warmup_steps", "device.precision", "device.workers"}
    clashing |= {"trainer.unfreeze_every", "trainer.body_lr_scale", "trainer.accumulate"}
    keys = draw(st.lists(st.sampled_from(sorted(set(known) - clashing)), max_size=5, unique=True))
    values = {key: draw(fitting(known[key])) for key in keys}
    words = [f"{group}={option}" for group, option in chosen.items()]
    return words + [f"{key}={rendered(value)}" for key, value in values.items()], values


@settings(max_examples=EXAMPLES, deadline=None)
@given(right_words())
def test_no_right_config_is_refused(words_and_values):
    words, values = words_and_values
    tree = parsed(*words).to_dict()
    for key, value in values.items():
        group, _, name = key.rpartition(".")
        found = (tree[group] if group else tree)[name]
        if isinstance(value, dict):
            # Laid over what the file of the group has.
            assert value.items() <= found.items()
        else:
            assert found == frozen(value)


def frozen(value):
    """Lists, also those in lists, as tuples."""
    return tuple(map(frozen, value)) if isinstance(value, list) else value


# ---- wrong configs


def edited(word, random):
    """`word` with one letter left out, added or replaced, or two swapped."""
    place, letter = random.randrange(len(word)), random.choice(LETTERS)
    return random.choice(
        [
            word[:place] + word[place + 1 :],
            word[:place] + letter + word[place:],
            word[:place] + letter + word[place + 1 :],
            word[:place] + word[place + 1 : place + 2] + word[place] + word[place + 2 :],
        ]
    )


WRONG_VALUES = ["abc", "1.5", "-1", "nan", "inf", "-inf", "1e400", "[1,2]", "{a:1}", "null", "true", "''", "[[]]"]
ODD_TEXTS = ["=", "==", "[1", "{a:", "a b", "é", "'", '"', "\\", "${", "${seed}", "${nope}", "${model}", "???", "1,2"]
SMUGGLED = ["{}_target_=os.system", "+{}x._target_=os.system", "++{}x={{_target_:os.system}}", "{}x=[{{_target_:a.b}}]"]


@st.composite
def wrong_words(draw):
    """Words with a mistake, and the text that the error must hold (None where the words may be right by chance)."""
    words, _ = draw(right_words())
    draws = draw(st.randoms(use_true_random=False))
    words = [word for word in words if "'" not in word]
    chosen = dict(word.split("=", 1) for word in words if word.split("=", 1)[0] in OPTIONS)
    known = {key: hint for pair in chosen.items() for key, hint in KEYS[pair].items()} | TOP
    key = draw(st.sampled_from(sorted(known)))
    group, _, name = key.rpartition(".")
    prefix = f"{group}." if group else ""
    kind = draw(st.sampled_from(["key", "option", "value", "odd", "text", "target", "unknown", "bare", "twice"]))
    if kind == "key":
        wrong = edited(name, draws)
        if draws.random() < 0.5 and wrong:
            wrong = edited(wrong, draws)
        return [*words, f"{prefix}{wrong}=1"], None if prefix + wrong in (*known, prefix, *OPTIONS) else wrong
    if kind == "option":
        group = draw(st.sampled_from(sorted(OPTIONS)))
        wrong = edited(draw(st.sampled_from(OPTIONS[group])), draws)
        return [*words, f"{group}={wrong}"], None if wrong in OPTIONS[group] else group
    if kind == "value":
        value = draw(st.sampled_from(WRONG_VALUES))
        return [*words, f"{key}={value}"], None
    if kind == "odd":
        return [*words, f"{key}={draw(st.sampled_from(ODD_TEXTS))}"], None
    if kind == "text":
        return [*words, draw(st.text(max_size=20))], None
    if kind == "target":
        return [*words, draw(st.sampled_from(SMUGGLED)).format(prefix)], "runs no code"
    if kind == "unknown":
        return [*words, f"+{prefix}unheard_of=1"], "unheard_of"
    if kind == "bare":
        return [*words, draw(st.sampled_from([key, name, f"~{key}", f"{key}.x=1", f"{group}/{name}=1"]))], None
    return [*words, f"{key}={10**30}", f"++{key}={10**400}"], None


@settings(max_examples=EXAMPLES, deadline=None)
@given(wrong_words())
def test_a_wrong_config_ends_in_lines_that_name_the_key(words_and_hint):
    words, hint = words_and_hint
    had_torch = "torch" in sys.modules
    try:
        parsed(*words)
    except UserError as error:
        lines = str(error).split("\n")
        assert all(line.strip() and line.isprintable() for line in lines)
        assert hint is None or any(hint in line for line in lines)
    else:
        assert hint is None
    assert had_torch == ("torch" in sys.modules)


def values_of(group, option):
    """What the file of `group=option` holds, without composing it: that takes most of the time."""
    if group not in registry.TABLES or option == "auto":
        return TREE[group]
    parameters = registry.of(group).describe(option).parameters
    values = {key: None if p.default is schema.REQUIRED else p.default for key, p in parameters.items()}
    return {"name": option, **values}


def test_nearly_every_slip_of_one_letter_gets_the_right_suggestion():
    draws = random.Random(0)
    told, right = 0, 0
    owners = {key: pair for pair, keys in KEYS.items() for key in keys}
    for group, option in draws.sample(sorted(KEYS), 100):
        tree = {**TREE, group: values_of(group, option)}
        for name in (key.removeprefix(f"{group}.") for key, pair in owners.items() if pair == (group, option)):
            for wrong in {edited(name, draws)} - {"", *tree[group]}:
                with pytest.raises(UserError) as caught:
                    check.parse({**tree, group: {**tree[group], wrong: tree[group][name]}})
                told += 1
                right += f"{group}.{wrong}: unknown key; did you mean {name}?" in str(caught.value)
    assert told > 100
    assert right / told >= 0.95


# ---- trees that no command line gives, but a file can


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"model": None}, "model.name: must be one of "),
        ({"model": {"in_channels": 1}}, "model.name: must be one of "),
        ({"model": {"name": ["cnn"]}}, "model.name: must be one of "),
        ({"model": {"name": "resnt"}}, "model.name: unknown model 'resnt'; did you mean resnet?"),
        ({"trainer": None}, "trainer: must be a group of keys, found None"),
        ({"trainer": [1]}, "trainer: must be a group of keys, found [1]"),
        ({"seed": None}, "seed: must be an integer"),
        ({3: 4}, "3: unknown key"),
        ({"two\nlines": 4}, "two lines: unknown key"),
        ({"scheduler": {"name": "step", "two\nlines": 4}}, "scheduler.two lines: unknown key"),
        ({"model": [{"a": {"_target_": "os.system"}}]}, "model[0].a._target_: a config names registered things"),
        ({"task": {"name": "multiclass", "spec": {}}}, "task.spec: unknown key"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_an_odd_tree_is_refused_in_one_line(change, line):
    with pytest.raises(UserError) as caught:
        check.parse({**TREE, **change})
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_a_tree_of_any_depth_ends_in_one_line():
    deep: list = []
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(UserError, match=r"^config: is nested too deeply$"):
        check.parse({**TREE, "seed": deep})


@pytest.mark.parametrize("key", ["model", "trainer", "seed", "folder"])
def test_a_missing_key_is_named(key):
    with pytest.raises(UserError, match=f"^{key}: is missing$"):
        check.parse({name: value for name, value in TREE.items() if name != key})


def test_keys_of_registered_things_may_be_left_out_for_their_defaults():
    checked = check.parse({**TREE, "optimizer": {"name": "sgd"}, "model": {"name": "cnn"}})
    assert checked.optimizer["lr"] == 0.01
    assert checked.model["channels"] == (10, 20)
    assert checked.model["in_channels"] is None


def test_numbers_take_the_type_of_their_key():
    checked = parsed("optimizer.lr=1", "model.channels=[3,4]")
    assert (checked.optimizer["lr"], type(checked.optimizer["lr"])) == (1.0, float)
    assert checked.model["channels"] == (3, 4)


def test_a_config_survives_the_trip_to_its_dict_and_back():
    checked = parsed("model=mlp", "model.hidden_sizes=[5]", "folder=here", "trainer.patience=3")
    assert check.parse(checked.to_dict()) == checked


def test_a_key_of_the_trainer_is_pointed_to_from_elsewhere():
    with pytest.raises(UserError, match=r"data\.shuffle: unknown key; it is a key of trainer: trainer\.shuffle"):
        check.parse(compose.tree(["model=linear", "data=line", "data.shuffle=false"], []))
