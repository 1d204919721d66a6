"""Boxes, vectors, points and masks go where their images go."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlrun.augment.geometric import Geometric
from dlrun.data.boxes.objects import Objects, ObjectsPart
from dlrun.data.boxes.shapes import mirrored_order
from dlrun.data.boxes.single import PointsPart, VectorPart, corners_of, vectors
from dlrun.engine.draws import Draws

SIDE = 64
MOVES = {
    "mirror": {"mirror": 1.0, "padding": 0, "rotation": 0, "shear": 0, "scale": 0, "warp": 0},
    "shift": {"padding": 8, "rotation": 0, "shear": 0, "scale": 0, "warp": 0},
    "turn": {"padding": 0, "rotation": 40, "shear": 0, "scale": 0, "warp": 0},
    "shear": {"padding": 0, "rotation": 0, "shear": 20, "scale": 0, "warp": 0},
    "zoom": {"padding": 0, "rotation": 0, "shear": 0, "scale": 0.4, "warp": 0},
    "bend": {"padding": 0, "rotation": 0, "shear": 0, "scale": 0, "warp": 3.0},
    "all": {"mirror": 0.5, "padding": 4, "rotation": 20, "shear": 8, "scale": 0.2, "warp": 1.5},
}


def painted(box):
    image = torch.zeros(1, 1, SIDE, SIDE)
    x1, y1, x2, y2 = box
    image[0, 0, y1:y2, x1:x2] = 1
    return image


def box_of(image):
    """What bounds the bright pixels, the pointed corners of a turned box too; None without any."""
    bright = image[0, 0] > 0.3
    if not bright.any():
        return None
    rows, columns = bright.any(1).nonzero(), bright.any(0).nonzero()
    return torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()


@settings(deadline=None, max_examples=120)
@given(
    st.sampled_from(sorted(MOVES)), st.integers(0, 2**20), st.integers(16, 30), st.integers(16, 30),
    st.integers(8, 20), st.integers(8, 20),
)  # fmt: skip
def test_a_box_painted_and_moved_is_bounded_by_the_box_moved(move, seed, x, y, width, height):
    change = Geometric(**MOVES[move])
    box = (x, y, x + width, y + height)
    drawn = change.draw(Draws(seed, 0, torch.arange(1)), (SIDE, SIDE))
    found = box_of(change.apply(painted(box), drawn))
    target = Objects([torch.tensor([box]).float()], [torch.tensor([1])], [torch.zeros(0, 4)], torch.ones(1, 6))
    moved = ObjectsPart((torch.zeros(1),), target).moved(target, change.map(drawn))
    if moved.labels[0].tolist() == [1]:
        assert found is not None
        torch.testing.assert_close(moved.boxes[0][0], found, atol=1.0, rtol=0)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(MOVES)), st.integers(0, 2**20))
def test_a_mask_and_a_vector_move_as_the_image(move, seed):
    change, box = Geometric(**MOVES[move]), (20, 24, 40, 38)
    drawn = change.draw(Draws(seed, 0, torch.arange(1)), (SIDE, SIDE))
    image = change.apply(painted(box), drawn)
    map, mask = change.map(drawn), painted(box)[0].byte()
    target = Objects([torch.tensor([box]).float()], [torch.tensor([0])], [torch.zeros(0, 4)], torch.ones(1, 6), [mask])
    moved = ObjectsPart((torch.zeros(1),), target).moved(target, map)
    assert ((moved.masks[0][0] > 0) != (image[0, 0] > 0.5)).float().mean() < 0.02
    vector = vectors(target.boxes, target.labels, 3, (SIDE, SIDE))
    after = VectorPart((painted(box),), vector).moved(vector, map)
    assert after[0, 0] == 1 and after[0, 5:].tolist() == [1, 0, 0]
    torch.testing.assert_close(corners_of(after, (SIDE, SIDE))[0], moved.boxes[0][0], atol=1e-3, rtol=0)


def moved(part, target, **keys):
    change = Geometric(**{"mirror": 0, "padding": 0, "rotation": 0, "shear": 0, "scale": 0, "warp": 0} | keys)
    return part.moved(target, change.map(change.draw(Draws(0, 0, torch.arange(1)), (SIDE, SIDE))))


def test_a_double_flip_is_the_identity_and_left_and_right_change_places():
    corners = torch.tensor([[[10.0, 12, 1], [30, 12, 1], [30, 40, 1], [10, 40, 1]]])
    part = PointsPart((torch.zeros(1),), corners, mirrored_order(4))
    once = moved(part, corners, mirror=1.0)
    assert once.tolist() == [[[34, 12, 1], [54, 12, 1], [54, 40, 1], [34, 40, 1]]]
    assert torch.equal(moved(part, once, mirror=1.0), corners)
    assert torch.equal(moved(part, corners), corners)


def test_a_vector_is_shares_of_the_window_that_was_cut_out():
    images, box = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8), torch.tensor([[24.0, 26, 36, 40]])
    vector = vectors([box], [torch.tensor([0])], 1, (SIDE, SIDE))
    part = VectorPart((images,), vector)
    change = Geometric(mirror=0, padding=0, rotation=0, shear=0, scale=0, warp=0, crop=48)
    map = change.map(change.draw(Draws(0, 0, torch.arange(1)), (SIDE, SIDE)))
    corner = map.points([torch.zeros(1, 2)])[0]
    torch.testing.assert_close(corners_of(part.moved(vector, map), (48, 48)), box + corner.repeat(1, 2))


def test_without_pairs_there_is_no_flip():
    corners = torch.tensor([[[10.0, 12, 1], [30, 12, 1]]])
    part = PointsPart((torch.zeros(1),), corners)
    assert torch.equal(moved(part, corners), corners)
    with pytest.raises(ValueError, match="do not say which points are then which"):
        moved(part, corners, mirror=1.0)


class Shift:
    """Everything goes 40 pixels to the right."""

    size = (SIDE, SIDE)
    window = None

    def points(self, points):
        return [own + torch.tensor([40.0, 0]) for own in points]

    def masks(self, masks):
        return masks.roll(40, -1)


def test_what_leaves_the_image_is_no_longer_there():
    rows = torch.tensor([[0.0, 0, 20, 20], [10, 0, 30, 20], [22, 0, 42, 20], [30, 0, 50, 20], [23.5, 30, 25, 60]])
    target = Objects([rows], [torch.arange(5)], [torch.zeros(0, 4)], torch.ones(1, 6))
    after = ObjectsPart((torch.zeros(1),), target).moved(target, Shift())
    assert after.labels[0].tolist() == [0, 1, -1, -1, -1]  # a tenth, nothing, and a sliver are left of the last three
    assert after.boxes[0][1].tolist() == [50, 0, 64, 20]
    vector = vectors([rows[3:4]], [torch.tensor([1])], 2, (SIDE, SIDE))
    assert VectorPart((torch.zeros(1, 1, SIDE, SIDE),), vector).moved(vector, Shift()).abs().sum() == 0
    points = torch.tensor([[[10.0, 5, 1], [30, 5, 1], [0, 0, 0]]])
    assert PointsPart((torch.zeros(1),), points).moved(points, Shift())[0, :, 2].tolist() == [1, 0, 0]


def test_images_without_objects_move_too():
    target = Objects([torch.zeros(0, 4)], [torch.zeros(0, dtype=torch.int64)], [torch.zeros(0, 4)], torch.ones(1, 6),
                     [torch.zeros(0, SIDE, SIDE)])  # fmt: skip
    after = moved(ObjectsPart((torch.zeros(1),), target), target, rotation=20)
    assert after.boxes[0].shape == (0, 4) and len(after.labels[0]) == 0 and len(after.masks[0]) == 0
