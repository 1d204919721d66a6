"""The space of a search: right ones mean what they say, wrong ones are refused in one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlrun.config import check, compose
from dlrun.errors import UserError
from dlrun.sweep import space
from dlrun.sweep.space import Choices, Interval

KEYS = st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,2}", fullmatch=True).filter(
    lambda key: key.partition(".")[0] not in check.NOT_OF_THE_RUN
)
PLAIN = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12).filter(
    lambda text: "\\" not in text and "$" not in text
)


@given(KEYS, st.lists(PLAIN | TEXTS | st.lists(st.integers(1, 999), max_size=3), min_size=1, max_size=5))
def test_a_choice_is_read_back_as_it_was_written(key, values):
    words = [compose.word(key, value) for value in values]
    for word, value in zip(words, values, strict=True):
        (override,) = compose.parse([word])
        assert override.key_or_group == key
        assert not override.is_sweep_override()
        assert (override.value(), type(override.value())) == (value, type(value))
    if len(set(words)) == len(words):
        (axis,) = space.read({key: {"choices": values}})
        assert axis == Choices(key, tuple(word.partition("=")[2] for word in words))
        assert axis.ends() == words
    else:
        with pytest.raises(UserError, match="twice"):
            space.read({key: {"choices": values}})


@given(KEYS, st.integers(-1000, 1000), st.integers(0, 50), st.integers(1, 50))
def test_two_integers_and_a_step_are_an_axis_of_integers(key, low, count, step):
    (axis,) = space.read({key: {"low": low, "high": low + count * step, "step": step}})
    assert axis == Interval(key, low, low + count * step, step=step)
    assert axis.is_integer
    assert axis.ends() == [f"{key}={low}", f"{key}={low + count * step}"]


@given(st.floats(-1e6, 1e6), st.integers(-100, 100), st.booleans())
def test_one_number_with_a_point_makes_an_axis_of_numbers(first, second, is_log):
    low, high = min(first, second), max(first, second)
    values = {"low": low, "high": high, "log": is_log}
    if is_log and low <= 0:
        with pytest.raises(UserError, match="low must be above 0 where log is true"):
            space.read({"a": values})
    else:
        (axis,) = space.read({"a": values})
        assert isinstance(axis, Interval)
        assert (axis.low, axis.high, axis.log, axis.is_integer) == (low, high, is_log, False)


@given(KEYS, st.integers(1, 9), st.integers(10, 99), st.integers(100, 999))
def test_keys_with_dots_and_nested_ones_are_the_same_and_the_last_bound_counts(key, low, high, higher):
    nested: dict = {"high": higher}
    for part in reversed(key.split(".")):
        nested = {part: nested}
    first = {key: {"low": low, "high": high}}
    merged = space.read(first | nested) if "." in key else space.read({key: {"low": low, "high": higher}})
    assert merged == [Interval(key, low, higher)]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"low": 2, "high": 1}, "low must be at most high, found low=2 and high=1"),
        ({"low": 0.0, "high": 1.0, "log": True}, "low must be above 0 where log is true, found 0.0"),
        ({"low": 1}, "needs low and high, or choices"),
        ({}, "needs low and high, or choices"),
        ({"choices": []}, "choices must be a list of at least one value, found []"),
        ({"choices": "adam"}, "choices must be a list of at least one value, found 'adam'"),
        ({"choices": [1, 1]}, "lists 1 twice"),
        ({"choices": [1], "low": 1}, "unknown key 'low'"),
        ({"low": 1, "hihg": 2}, "unknown key 'hihg'; did you mean high?"),
        ({"low": "1e-5", "high": 1}, "low must be a finite number, found '1e-5'"),
        ({"low": 0, "high": float("inf")}, "high must be a finite number, found inf"),
        ({"low": True, "high": 1}, "low must be a finite number, found True"),
        ({"low": 1, "high": 2, "log": "yes"}, "log must be true or false, found 'yes'"),
        ({"low": 1, "high": 5, "step": 0}, "step must be above 0, found 0"),
        ({"low": 1, "high": 5, "step": 0.5}, "step must be an integer like low and high, found 0.5"),
        ({"low": 1, "high": 6, "step": 2}, "high must be low and a whole number of steps, found 1 to 6 by 2"),
        ({"low": 1, "high": 5, "step": 2, "log": True}, "step and log do not go together"),
        (3, "must be {low: "),
    ],
    ids=str,
)
def test_a_wrong_axis_is_refused(values, line):
    with pytest.raises(UserError) as caught:
        space.read({"trainer": {"batch_size": values}} if isinstance(values, dict) and values else {"trainer": values})
    assert line in str(caught.value)
    assert str(caught.value).startswith("sweep.space.trainer")


def test_a_bound_of_the_command_line_counts_more_than_that_of_a_file():
    words = ["sweep=lr_search", "sweep.space.optimizer.lr.high=0.01"]
    assert space.read(compose.tree(words, [])["sweep"]["space"])[0] == Interval("optimizer.lr", 1e-5, 0.01, log=True)
    file = {"optimizer": {"choices": ["adam"], "lr": {"high": 3}}, "optimizer.lr": {"low": 1, "high": 2}}
    assert Interval("optimizer.lr", 1, 3) in space.read(file)


def test_a_group_and_its_keys_may_both_be_searched():
    nested = {"optimizer": {"choices": ["adam", "sgd"], "lr": {"low": 1, "high": 2}}}
    assert space.read(nested) == [Choices("optimizer", ("adam", "sgd")), Interval("optimizer.lr", 1, 2)]


@pytest.mark.parametrize("key", ["sweep.jobs", "sweeper.trials", "folder", "outputs"])
def test_what_a_search_reads_itself_is_not_searched(key):
    with pytest.raises(UserError, match=rf"^sweep.space.{key}: the keys of the sweep itself cannot be searched"):
        space.read({key: {"low": 1, "high": 2}})


def test_lists_and_intervals_of_a_command_line_are_axes():
    words = ["optimizer.lr=tag(log,interval(1e-5,0.1))", "model=mlp,cnn", "a.b=int(interval(1,8))", "seed=range(0,3)"]
    words += ["b.c=tag(log,interval(2, 64))", "b.d=interval(1,2.5)", "b.e=int(interval(1.5,8.2))"]
    fixed, listed = space.of_words([*words, "trainer.epochs=2"], [])
    assert fixed == ["trainer.epochs=2"]
    assert sorted(space.read(listed), key=lambda axis: axis.key) == [
        Interval("a.b", 1, 8),
        Interval("b.c", 2, 64, log=True),
        Interval("b.d", 1.0, 2.5),
        Interval("b.e", 1, 8),
        Choices("model", ("mlp", "cnn")),
        Interval("optimizer.lr", 1e-5, 0.1, log=True),
        Choices("seed", ("0", "1", "2")),
    ]
