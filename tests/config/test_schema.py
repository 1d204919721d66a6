import math
from collections.abc import Callable
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlrun.config import schema
from dlrun.config.schema import Fraction, NonNegativeFloat, PositiveInt, Range


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (3, PositiveInt, 3),
        (1, NonNegativeFloat, 1.0),
        ([1, 2], tuple[PositiveInt, ...], (1, 2)),
        ([0.9, 1], tuple[Fraction, Fraction], (0.9, 1.0)),
        (None, PositiveInt | None, None),
        (28, PositiveInt | tuple[PositiveInt, PositiveInt], 28),
        ([28, 32], PositiveInt | tuple[PositiveInt, PositiveInt], (28, 32)),
        ("relu", Literal["relu", "tanh"], "relu"),
    ],
)
def test_a_fitting_value_is_returned_in_its_type(value, annotation, expected):
    checked = schema.check(value, annotation)
    assert checked == expected
    assert type(checked) is type(expected)


@pytest.mark.parametrize(
    ("value", "annotation", "words"),
    [
        (0, PositiveInt, "at least 1, found 0"),
        (1.5, PositiveInt, "an integer"),
        (True, PositiveInt, "an integer"),
        ("3", PositiveInt, "found '3'"),
        (math.nan, NonNegativeFloat, "finite"),
        (math.inf, NonNegativeFloat, "finite"),
        (10**400, NonNegativeFloat, "finite"),
        (-1, NonNegativeFloat, "at least 0"),
        (1.5, Fraction, "at most 1"),
        ([1, 0], tuple[PositiveInt, ...], "item 1"),
        ([1], tuple[Fraction, Fraction], "2 values"),
        (3, tuple[PositiveInt, ...], "a list"),
        ("rel", Literal["relu", "tanh"], "did you mean relu?"),
        ("rel", Literal["relu", "tanh"] | float | None, "did you mean relu?"),
        (1, bool, "true or false"),
        (True, Literal[1, 3], "one of 1, 3"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_what_is_allowed(value, annotation, words):
    with pytest.raises(ValueError) as caught:
        schema.check(value, annotation)
    assert words in str(caught.value)


@given(st.floats(), st.floats(), st.floats())
def test_a_range_is_an_interval(value, low, high):
    fits = value in Range(low=low, high=high)
    assert fits == (low <= value <= high)
    try:
        assert schema.check(value, Annotated[float, Range(low=low, high=high)]) == value
        assert fits
        assert math.isfinite(value)
    except ValueError:
        assert not fits or not math.isfinite(value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_any_value_is_either_accepted_or_refused_in_one_line(value):
    # A plug-in may write anything; `Annotated` alone is a class in Python 3.11 and none in 3.13.
    for annotation in [*schema.VOCABULARY.values(), dict[str, int], Callable[[int], int], "a text"]:
        try:
            schema.check(value, annotation)
        except ValueError as error:
            assert "\n" not in str(error) or "\n" in repr(value)


def test_source_and_object_describe_the_same():
    from dlrun.models.resnet import ResNet

    source = schema.describe_source("dlrun.models.resnet:ResNet")
    live = schema.describe_object(ResNet)
    assert source.parameters == live.parameters
    assert source.doc == live.doc
    assert source.attributes["accepts"] == live.attributes["accepts"] == ("image",)
