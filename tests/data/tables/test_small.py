import pytest
import torch

from dlrun.data.tables.small import Hours, Line
from dlrun.data.views import preparation


def test_line_is_the_listing_of_the_notes():
    parts, spec = Line().load(), Line().spec
    assert list(parts) == ["train"]
    assert parts["train"].inputs[0].tolist() == [[1.0], [2.0], [3.0]]
    assert parts["train"].target.tolist() == [[2.0], [4.0], [6.0]]
    assert (spec.kind, spec.target, spec.in_features, spec.out_features) == ("features", "value", 1, 1)
    assert (spec.feature_names, spec.target_name, spec.mean, spec.std) == (("x",), "y", None, None)


def test_hours_is_the_listing_of_the_notes():
    parts, spec = Hours().load(), Hours().spec
    assert list(parts) == ["train"]
    assert parts["train"].inputs[0].tolist() == [[1.0], [2.0], [3.0]]
    assert parts["train"].target.tolist() == [0, 0, 1] and parts["train"].target.dtype == torch.int64
    assert (spec.target, spec.in_features, spec.out_features) == ("binary", 1, 1)
    assert (spec.class_names, spec.feature_names, spec.mean) == (("failed", "passed"), ("hours",), None)


@pytest.mark.parametrize("data", [Line, Hours])
def test_raw_unless_standardized(data):
    (raw,) = data().load()["train"].inputs
    assert preparation(data().spec)((raw,))[0] is raw
    chosen = data(standardize=True)
    assert torch.equal(chosen.load()["train"].inputs[0], raw)
    (ready,) = preparation(chosen.spec)((raw,))
    assert torch.allclose(ready, torch.tensor([[-1.0], [0.0], [1.0]]) * 1.5**0.5)
