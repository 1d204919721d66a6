import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from dlrun.data.images.digits import Digits
from dlrun.data.images.synthetic import Synthetic
from dlrun.data.splits import split_off
from dlrun.engine.parts import TensorPart
from dlrun.errors import UserError


def test_digits_are_the_real_ones_enlarged():
    parts = Digits(image_size=8, margin=0, val_fraction=0.0, test_fraction=0.0).load()
    assert list(parts) == ["train"]
    (images,), target = parts["train"].inputs, parts["train"].target
    original = load_digits()
    assert torch.equal(images.squeeze(1), torch.from_numpy(original.images * 255 / 16).round().byte())
    assert target.dtype == torch.int64 and target.tolist() == original.target.tolist()


def test_digits_default_parts_and_spec():
    data = Digits()
    parts, spec = data.load(), data.spec
    sizes = {name: len(part) for name, part in parts.items()}
    assert list(sizes) == ["train", "val", "test"] and sum(sizes.values()) == 1797
    assert abs(sizes["val"] - 179.7) < 10 and abs(sizes["test"] - 359.4) < 10
    for part in parts.values():
        assert part.inputs[0].dtype == torch.uint8 and part.inputs[0].shape[1:] == (1, *spec.image_size)
        assert part.target.unique().tolist() == list(range(10))
    pixels = parts["train"].inputs[0].float() / 255
    assert abs(pixels.mean() - spec.mean[0]) < 0.005 and abs(pixels.std() - spec.std[0]) < 0.005


def test_digits_are_the_same_each_time_and_differ_by_seed():
    first, second, other = Digits().load(), Digits().load(), Digits(split_seed=1).load()
    for name in first:
        assert torch.equal(first[name].inputs[0], second[name].inputs[0])
        assert torch.equal(first[name].target, second[name].target)
    assert not torch.equal(first["test"].target, other["test"].target)


def test_the_test_part_does_not_move_with_the_val_fraction():
    tests = [Digits(image_size=8, margin=0, val_fraction=fraction).load()["test"] for fraction in (0.0, 0.1, 0.5)]
    assert all(torch.equal(tests[0].inputs[0], part.inputs[0]) for part in tests)


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    val_fraction=st.floats(0, 0.99),
    test_fraction=st.floats(0, 0.99),
    seed=st.integers(0, 2**63 - 1),
)
def test_split_off_loses_and_doubles_nothing(labels, val_fraction, test_fraction, seed):
    whole = TensorPart((torch.arange(len(labels)),), torch.tensor(labels))
    wanted = {"train", *["val"] * (val_fraction > 0), *["test"] * (test_fraction > 0)}
    try:
        parts = split_off(whole, val_fraction=val_fraction, test_fraction=test_fraction, seed=seed)
    except UserError as error:
        assert "must be below 1" in str(error) or "would be empty" in str(error)
        assert val_fraction + test_fraction >= 0.5 or len(labels) < 3
        return
    assert set(parts) == wanted and all(len(part) > 0 for part in parts.values())
    seen = torch.cat([part.inputs[0] for part in parts.values()])
    assert sorted(seen.tolist()) == list(range(len(labels)))
    for part in parts.values():
        assert part.target.tolist() == [labels[number] for number in part.inputs[0].tolist()]


def test_split_off_refuses_what_leaves_nothing():
    whole = TensorPart((torch.arange(2),), torch.tensor([0, 1]))
    with pytest.raises(UserError, match=r"0\.6 and test_fraction 0\.4 leave nothing"):
        split_off(whole, val_fraction=0.6, test_fraction=0.4, seed=0)
    with pytest.raises(UserError, match="2 samples are too few for train, val, test"):
        split_off(whole, val_fraction=0.1, test_fraction=0.1, seed=0)


def test_synthetic_follows_its_sizes_and_its_seed():
    options = {"in_channels": 3, "image_size": (5, 7), "out_features": 4, "num_train": 50, "num_val": 0, "num_test": 9}
    data = Synthetic(**options)
    parts = data.load()
    assert list(parts) == ["train", "test"]
    assert parts["train"].inputs[0].shape == (50, 3, 5, 7) and parts["train"].inputs[0].dtype == torch.uint8
    assert parts["test"].target.shape == (9,) and set(parts["train"].target.tolist()) == {0, 1, 2, 3}
    assert data.spec.image_size == (5, 7) and len(data.spec.mean) == 3 and data.spec.out_features == 4
    assert not torch.equal(parts["train"].inputs[0][:9], parts["test"].inputs[0])
    again, longer = Synthetic(**options).load(), Synthetic(**options | {"num_train": 60}).load()
    assert torch.equal(parts["train"].inputs[0], again["train"].inputs[0])
    assert torch.equal(parts["test"].inputs[0], longer["test"].inputs[0])
    other = Synthetic(**options, seed=2**63 - 1).load()
    assert not torch.equal(parts["train"].inputs[0], other["train"].inputs[0])


def test_synthetic_default_is_the_listing_of_the_notes_normalized():
    data = Synthetic()
    (images,) = data.load()["train"].inputs
    assert images.shape == (160, 1, 28, 28)
    normalized = (images / 255 - data.spec.mean[0]) / data.spec.std[0]
    assert abs(normalized.mean()) < 0.02 and abs(normalized.std() - 1) < 0.02


def test_digits_keep_a_black_margin():
    (images,) = Digits(image_size=32, margin=6).load()["train"].inputs
    assert images.shape[2:] == (32, 32)
    assert images[:, :, :6].max() == images[:, :, -6:].max() == images[..., :6].max() == images[..., -6:].max() == 0
    assert images[:, :, 6:-6, 6:-6].max() == 255
    with pytest.raises(ValueError, match=r"margin 4 .* image_size 8"):
        Digits(image_size=8)
