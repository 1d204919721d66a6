"""Shapes: where they are said to be is where they are, in every form of the target."""

import pytest
import torch

from dlrun.data.boxes.shapes import Shapes, mirrored_order
from dlrun.data.boxes.single import corners_of

SMALL = {"num_train": 24, "num_val": 8, "num_test": 8}


def shapes(learn, **keys):
    return Shapes(learn=learn, **SMALL | keys)


def train(learn, **keys):
    return shapes(learn, **keys).load()["train"]


def whole(part):
    return part.take(torch.arange(len(part)))


def test_boxes_bound_the_masks_of_their_objects():
    batch = whole(train("instances", occlusion=0.0))
    seen = 0
    for boxes, masks in zip(batch.target.boxes, batch.target.masks, strict=True):
        assert masks.shape == (len(boxes), 64, 64)
        for (x1, y1, x2, y2), mask in zip(boxes.tolist(), masks, strict=True):
            rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
            # The tip of a star covers less than half of its last pixels.
            assert 0 <= columns.min() + 1 - x1 <= 3 and 0 <= x2 - columns.max() <= 3
            assert 0 <= rows.min() + 1 - y1 <= 3 and 0 <= y2 - rows.max() <= 3
            seen += 1
    assert seen > 20


def test_all_forms_of_the_target_are_of_the_same_scenes():
    boxes, instances, mask = (whole(train(learn)) for learn in ("boxes", "instances", "mask"))
    assert torch.equal(boxes.inputs[0], mask.inputs[0])
    for labels, masks, classes in zip(boxes.target.labels, instances.target.masks, mask.target, strict=True):
        for label, own in zip(labels.tolist(), masks, strict=True):
            assert (classes[own > 0] == label + 1).all()
        assert (classes == 0).sum() == (masks.sum(0) == 0).sum()
    one, points = (whole(train(learn)) for learn in ("object", "points"))
    assert torch.equal(one.inputs[0], points.inputs[0])


def test_an_object_is_the_notes_vector():
    batch = whole(train("object", empty=0.3))
    assert batch.target.shape == (24, 9)
    none = batch.target[:, 0] == 0
    assert 0 < none.sum() < 24 and batch.target[none].abs().sum() == 0
    assert (batch.target[~none, 5:].sum(1) == 1).all()
    corners = corners_of(batch.target[~none], (64, 64))
    assert (corners >= -1e-3).all() and (corners <= 64 + 1e-3).all()
    x, y, height, width = batch.target[~none, 1:5].unbind(1)
    torch.testing.assert_close(corners[:, 2] - corners[:, 0], width * 64)
    torch.testing.assert_close((corners[:, 1] + corners[:, 3]) / 2, y * 64)
    assert (x > 0).all() and (height > 0.1).all()


def test_corners_lie_on_their_box_and_are_counted_clockwise():
    batch = whole(train("points", kinds=("square",), empty=0.0))
    assert batch.target.shape == (24, 4, 3) and (batch.target[..., 2] == 1).all()
    upper_left, upper_right, lower_right, lower_left = batch.target[..., :2].unbind(1)
    assert (upper_left[:, 0] < upper_right[:, 0]).all() and (upper_left[:, 1] < lower_left[:, 1]).all()
    assert (lower_right[:, 1] > upper_right[:, 1]).all()
    mixed = whole(train("points", empty=0.0))
    assert set(mixed.target[..., 2].sum(1).tolist()) == {0, 3, 4, 5}
    assert shapes("points").spec.skeleton == ((0, 1), (1, 2), (2, 3), (3, 4))
    assert shapes("points", kinds=("square",)).spec.skeleton[-1] == (3, 0)


@pytest.mark.parametrize(("corners", "order"), [(3, [0, 2, 1]), (4, [1, 0, 3, 2]), (5, [0, 4, 3, 2, 1])])
def test_corners_change_places_in_a_mirror(corners, order):
    assert mirrored_order(corners).tolist() == order


def test_occlusion_number_and_empty_images_are_kept():
    part = train("instances", occlusion=0.3, min_objects=2, max_objects=4, empty=0.5, num_train=60)
    counts = [len(boxes) for boxes in part.target.boxes]
    assert max(counts) <= 4 and 15 < counts.count(0) < 45
    for boxes, masks in zip(part.target.boxes, part.target.masks, strict=True):
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        # The slimmest shape, a star, fills a third of its box; a third of it may be hidden.
        assert all(mask.sum() > 0.15 * area for mask, area in zip(masks, areas, strict=True))


def test_a_seed_gives_the_same_images_and_another_others():
    one, same, other = (train("boxes", seed=seed).inputs[0] for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(train("boxes", num_train=3).inputs[0], train("boxes").inputs[0][:3])


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"min_size": 30}, "min_size 30 and max_size 28 must rise"),
        ({"max_size": 60}, "at most 0.7 of the smaller side of image_size 64x64"),
        ({"min_objects": 4}, "min_objects 4 is above max_objects 3"),
        ({"kinds": ()}, "kinds must name one or more"),
        ({"kinds": ("disc", "disc")}, "kinds must name one or more different shapes"),
        ({"kinds": ("disc",), "learn": "points"}, "a disc has no corner points"),
    ],
)
def test_what_contradicts_itself_is_refused(keys, says):
    with pytest.raises(ValueError, match=says):
        Shapes(**keys)
