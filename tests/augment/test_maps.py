"""Where pixels move, masks and points move with them."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dlrun.augment import AUGMENTS
from dlrun.augment.augmentation import Augmentation
from dlrun.augment.geometric import Geometric
from dlrun.augment.policies import GEOMETRIC, OTHERS, RandAugment, TrivialAugment, operation
from dlrun.data.boxes.mask_part import MaskPart
from dlrun.engine.contracts import LoaderOptions
from dlrun.engine.draws import Draws
from dlrun.engine.loading import PartLoader
from dlrun.engine.parts import TensorPart

HEIGHT, WIDTH = SIZE = 56, 72
NUM = 6  # images
CLASSES = 4  # of a mask, 0 the background
DOT = 1.5  # standard deviation of a bright dot, in pixels
MARGIN = 6.0  # in which a dot is not whole

GEOMETRICS = st.builds(
    Geometric,
    mirror=st.sampled_from([0.0, 0.5, 1.0]),
    padding=st.integers(0, 4),
    rotation=st.floats(0, 180),
    shear=st.floats(0, 20),
    scale=st.floats(0, 0.5),
    warp=st.sampled_from([0.0, 1.0, 2.0]),
    quarter_turns=st.booleans(),
    probability=st.sampled_from([0.0, 0.5, 1.0]),
)
# One change at a time, as large as it may be.
ALONE = {
    "mirror": dict(mirror=1.0),
    "shift": dict(padding=4),
    "rotation": dict(rotation=180.0),
    "shear": dict(shear=30.0),
    "scale": dict(scale=0.5),
    "warp": dict(warp=2.0),
}
QUIET = dict(mirror=0.0, padding=0, rotation=0.0, shear=0.0, scale=0.0, warp=0.0)
# (Which operation of a policy, how strong, whether the other way), for each image.
OPERATIONS = st.lists(
    st.tuples(st.sampled_from([*GEOMETRIC, "identity"]), st.floats(0, 1), st.booleans()), min_size=NUM, max_size=NUM
)


def draws(seed):
    return Draws(seed, 0, torch.arange(NUM))


def operations(rows, strongest, most=1.0):
    """One operation for each image, none of which changes colours; `most` is the highest level."""
    names = (*GEOMETRIC, *OTHERS)
    choice = torch.tensor([(names.index(name) + 0.5) / len(names) for name, _, _ in rows])
    level = torch.tensor([level * most for _, level, _ in rows])
    return operation(choice, level, torch.tensor([is_negative for *_, is_negative in rows]), strongest, SIZE)


# ---- masks


def labels(seed):
    """Masks (NUM, H, W) of spots and single pixels of `CLASSES` classes."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(CLASSES, (NUM, 1, 7, 9), generator=generator).float()
    spots = F.interpolate(coarse, SIZE, mode="nearest")[:, 0].long()
    is_noise = torch.rand(NUM, *SIZE, generator=generator) < 0.1
    return torch.where(is_noise, torch.randint(CLASSES, (NUM, *SIZE), generator=generator), spots)


def painted(masks):
    """Images (NUM, CLASSES, H, W) with a channel for each class of the masks."""
    return F.one_hot(masks, CLASSES).movedim(-1, 1).float()


def check_masks(change, drawn, seed, dtype=torch.int64):
    """Of the four pixels that a pixel is interpolated from, the nearest counts at least a quarter."""
    masks = labels(seed)
    images, moved = change.apply(painted(masks), drawn), change.map(drawn).masks(masks.to(dtype))
    assert moved.dtype == dtype
    assert moved.shape == (NUM, *images.shape[2:])
    for label in range(1, CLASSES):
        channel, is_label = images[:, label], moved == label
        assert (channel[is_label] >= 0.25 - 1e-3).all()
        assert (channel[~is_label] <= 0.75 + 1e-3).all()


@settings(max_examples=40, deadline=None)
@given(change=GEOMETRICS, seed=st.integers(0, 2**31))
def test_a_mask_moves_as_the_image_that_was_painted_from_it(change, seed):
    check_masks(change, change.draw(draws(seed), SIZE), seed)


@pytest.mark.parametrize("name", ALONE)
def test_a_mask_follows_each_change_alone(name):
    change = Geometric(**QUIET | ALONE[name])
    drawn = change.draw(draws(0), SIZE)
    for dtype in (torch.uint8, torch.float32, torch.int64):
        check_masks(change, drawn, 0, dtype)
    assert (change.map(drawn).masks(labels(0)) != labels(0)).any(dim=2).any(dim=1).all()


@settings(max_examples=30, deadline=None)
@given(rows=OPERATIONS, seed=st.integers(0, 2**31))
def test_a_mask_follows_one_operation_of_a_policy(rows, seed):
    for change in (RandAugment(), TrivialAugment()):
        check_masks(change, [operations(rows, change.strongest)], seed)


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(OPERATIONS, min_size=1, max_size=3))
def test_a_spot_follows_operations_in_a_row(rows):
    """A spot in the middle, which no operation moves out of the image; at its edge each look-up blurs."""
    change = RandAugment()
    drawn = [operations(each, change.strongest, most=0.3) for each in rows]
    masks = torch.zeros(NUM, *SIZE, dtype=torch.bool)
    masks[:, 20:36, 28:44] = True
    image, moved = change.apply(masks[:, None].float(), drawn)[:, 0], change.map(drawn).masks(masks)
    assert moved.any(dim=2).any(dim=1).all()
    near = F.max_pool2d(moved.float(), 5, stride=1, padding=2) > 0
    inside = F.max_pool2d((~moved).float(), 5, stride=1, padding=2) == 0
    assert inside.any(dim=2).any(dim=1).all()
    assert (image[inside] > 0.5).all()
    assert (image[~near] < 0.5).all()


def test_masks_of_many_channels_move_alike():
    change = Geometric()
    move, masks = change.map(change.draw(draws(1), SIZE)), labels(1)
    stacked = move.masks(torch.stack([masks, masks == 1], dim=1)[:, :, None])
    assert stacked.shape == (NUM, 2, 1, *SIZE)
    assert torch.equal(stacked[:, 0, 0], move.masks(masks))
    assert torch.equal(stacked[:, 1, 0].bool(), move.masks(masks == 1))


# ---- points and boxes


def dots(points):
    """Images (NUM, n, H, W) with a bright dot at each of the points (n, 2), the same for every image."""
    y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    distance = (x - points[:, 0, None, None]) ** 2 + (y - points[:, 1, None, None]) ** 2
    return torch.exp(-distance / (2 * DOT**2)).expand(NUM, -1, -1, -1)


def centres(images):
    """Where the dots (NUM, n, 2) of images (NUM, n, H, W) are."""
    total = images.sum(dim=(2, 3))
    x = (images.sum(dim=2) * (torch.arange(WIDTH) + 0.5)).sum(dim=2) / total
    y = (images.sum(dim=3) * (torch.arange(HEIGHT) + 0.5)).sum(dim=2) / total
    return torch.stack([x, y], dim=2)


def is_whole(points):
    """Which of the points (..., 2) lie so far inside of an image that a dot there is whole."""
    return ((points > MARGIN) & (points < torch.tensor([WIDTH, HEIGHT]) - MARGIN)).all(dim=-1)


def check_points(change, drawn, points, within=1.0):
    """A dot that is drawn at a point is, in the changed image, at the moved point."""
    seen = centres(change.apply(dots(points), drawn))
    moved = torch.stack(change.map(drawn).points([points] * NUM))
    assert moved.shape == (NUM, len(points), 2)
    is_there = is_whole(moved)
    assert (seen - moved)[is_there].norm(dim=-1).lt(within).all()
    return is_there


def boxes():
    """A box around a point near the middle: its four corners (4, 2)."""
    return st.tuples(st.floats(-6, 6), st.floats(-6, 6), st.floats(1, 8), st.floats(1, 8)).map(
        lambda box: torch.tensor(
            [[WIDTH / 2 + box[0] + i * box[2], HEIGHT / 2 + box[1] + j * box[3]] for i in (-1, 1) for j in (-1, 1)]
        )
    )


@settings(max_examples=60, deadline=None)
@given(change=GEOMETRICS, corners=boxes(), seed=st.integers(0, 2**31))
def test_the_corners_of_a_box_move_as_dots_that_are_drawn_there(change, corners, seed):
    assert check_points(change, change.draw(draws(seed), SIZE), corners).any()


@pytest.mark.parametrize("name", ALONE)
def test_points_follow_each_change_alone(name):
    change = Geometric(**QUIET | ALONE[name])
    points = torch.tensor([[36.0, 28.0], [30.25, 20.5], [44.0, 33.75], [20.0, 30.0]])
    drawn = change.draw(draws(3), SIZE)
    assert check_points(change, drawn, points, within=0.25).float().mean() > 0.8
    assert (torch.stack(change.map(drawn).points([points] * NUM)) - points).abs().amax(dim=(1, 2)).min() > 0.1


def test_a_point_and_its_mirror_image():
    change = Geometric(**QUIET | dict(mirror=1.0))
    (moved, *_) = change.map(change.draw(draws(0), SIZE)).points([torch.tensor([[0.0, 0.0], [10.5, 3.0]])] * NUM)
    torch.testing.assert_close(moved, torch.tensor([[72.0, 0.0], [61.5, 3.0]]))


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(OPERATIONS, min_size=1, max_size=3), corners=boxes())
def test_points_follow_operations_in_a_row(rows, corners):
    change = RandAugment()
    drawn = [operations(each, change.strongest, most=0.25) for each in rows]
    assert check_points(change, drawn, corners).any()


@settings(max_examples=40, deadline=None)
@given(rows=OPERATIONS, corners=boxes())
def test_points_follow_a_strong_operation(rows, corners):
    check_points(TrivialAugment(), [operations(rows, TrivialAugment.strongest)], corners)


def test_images_may_have_different_numbers_of_points_and_none():
    change = Geometric()
    move = change.map(change.draw(draws(0), SIZE))
    points = [torch.rand(number, 2) * 50 for number in range(NUM)]
    moved = move.points(points)
    assert [len(own) for own in moved] == list(range(NUM))
    together = move.points([torch.cat(points)] * NUM)
    first = 0
    for number, own in enumerate(moved):
        torch.testing.assert_close(own, together[number][first : first + len(own)])
        first += len(own)


# ---- windows

WINDOWS = st.integers(16, 90)  # the image is 56 x 72: smaller, in between, and larger


@settings(max_examples=60, deadline=None)
@given(change=GEOMETRICS, crop=WINDOWS, seed=st.integers(0, 2**31))
def test_a_mask_is_cut_with_its_image(change, crop, seed):
    change.crop = crop
    check_masks(change, change.draw(draws(seed), SIZE), seed)


@pytest.mark.parametrize("crop", [16, 37, 56, 64, 72, 90])
def test_a_window_is_a_slice_of_the_image_at_any_place(crop):
    """Nothing but the window: every pixel is that of the image, and all places are as likely."""
    change, many = Geometric(**QUIET, crop=crop), torch.arange(400)
    drawn = change.draw(Draws(0, 0, many), SIZE)
    image = torch.rand(1, 2, *SIZE)
    cut = change.apply(image.expand(len(many), -1, -1, -1), drawn)
    assert cut.shape == (len(many), 2, crop, crop)
    spare = [side - crop for side in SIZE]
    wide = F.pad(image[0], (crop, crop, crop, crop))
    place = (drawn.shift + torch.tensor([spare[1], spare[0]]) / 2).round().long()
    for own, (left, top) in zip(cut, place.tolist(), strict=True):
        window = wide[:, crop + top : 2 * crop + top, crop + left : 2 * crop + left]
        torch.testing.assert_close(own, window, rtol=0, atol=1e-3)
    for axis, free in enumerate(reversed(spare)):
        found = place[:, axis].unique()
        assert (found.min() >= min(free, 0)) and (found.max() <= max(free, 0))
        assert len(found) >= min(abs(free) + 1, 30) * 0.8


@settings(max_examples=60, deadline=None)
@given(change=GEOMETRICS, crop=st.integers(40, 90), corners=boxes(), seed=st.integers(0, 2**31))
def test_points_count_from_the_corner_of_their_window(change, crop, corners, seed):
    change.crop = crop
    drawn = change.draw(draws(seed), SIZE)
    images = change.apply(dots(corners), drawn)
    moved = torch.stack(change.map(drawn).points([corners] * NUM))
    is_there = ((moved > MARGIN) & (moved < crop - MARGIN)).all(dim=-1)
    y, x = torch.meshgrid(torch.arange(crop) + 0.5, torch.arange(crop) + 0.5, indexing="ij")
    total = images.sum(dim=(2, 3))
    seen = torch.stack([(images * axis).sum(dim=(2, 3)) / total for axis in (x, y)], dim=2)
    assert (seen - moved)[is_there].norm(dim=-1).lt(1.0).all()


def test_a_window_is_a_function_of_seed_epoch_and_index():
    change, index = Geometric(crop=20), torch.arange(NUM)
    first = change.draw(Draws(1, 2, index), SIZE)
    alone = change.draw(Draws(1, 2, index[3:4]), SIZE)
    assert torch.equal(alone.shift[0], first.shift[3])
    assert not torch.equal(change.draw(Draws(1, 3, index), SIZE).shift, first.shift)
    assert not torch.equal(change.draw(Draws(2, 2, index), SIZE).shift, first.shift)


def test_without_a_window_the_numbers_are_those_of_before():
    whole, cut = Geometric().draw(draws(5), SIZE), Geometric(crop=20).draw(draws(5), SIZE)
    assert torch.equal(whole.matrix, cut.matrix)
    assert torch.equal(whole.bend, cut.bend)
    assert (whole.size, whole.before) == (SIZE, SIZE)
    assert (cut.size, cut.before) == ((20, 20), SIZE)


def test_quarter_turns_move_whole_pixels_and_are_equally_likely():
    change, many = Geometric(**QUIET, quarter_turns=True), torch.arange(400)
    image = torch.rand(1, 2, 32, 32)
    turned = change.apply(image.expand(400, -1, -1, -1), change.draw(Draws(0, 0, many), (32, 32)))
    ways = torch.stack([torch.rot90(image[0], k, dims=(1, 2)) for k in range(4)])
    distance = (turned[:, None] - ways).abs().amax(dim=(2, 3, 4))
    assert (distance.min(dim=1).values < 1e-3).all()
    assert (torch.bincount(distance.argmin(dim=1), minlength=4) > 70).all()


def test_what_is_not_changed_keeps_its_noise():
    """A share of the images is mirrored, shifted and cut alone: each pixel is one of the image."""
    change = Geometric(mirror=0.5, rotation=180.0, scale=0.3, warp=2.0, crop=20, quarter_turns=True, probability=0.25)
    image = torch.randint(256, (1, 1, *SIZE)) / 255
    cut = change.apply(image.expand(400, -1, -1, -1), change.draw(Draws(0, 0, torch.arange(400)), SIZE))
    is_exact = ((cut * 255 - (cut * 255).round()).abs() < 0.02).flatten(1).float().mean(dim=1) > 0.99
    assert 0.65 < is_exact.float().mean() < 0.85
    whole = Geometric(probability=1.0).draw(draws(1), SIZE)
    assert torch.equal(whole.matrix, Geometric().draw(draws(1), SIZE).matrix)


# ---- in an epoch


@pytest.mark.parametrize("border", ["black", "edge", "reflect"])
def test_what_comes_in_from_outside_is_not_counted(border):
    """Of a mask of one class the pixels that lay in the image keep it, all others are 255."""
    images, change = torch.full((NUM, 1, *SIZE), 1.0), Geometric(rotation=90.0, padding=4, border=border, crop=64)
    drawn = change.draw(draws(4), SIZE)
    part = MaskPart((images.byte(),), torch.full((NUM, *SIZE), 254, dtype=torch.uint8))
    moved = part.moved(part.target, change.map(drawn))
    assert moved.dtype == torch.uint8
    assert set(moved.unique().tolist()) == {254, 255}
    inside = drawn.pixels(images, "zeros")[:, 0]
    assert (moved[inside > 0.99] == 254).all()
    assert (moved[inside < 0.2] == 255).all()
    background = part.moved(torch.zeros_like(part.target), change.map(drawn))
    assert torch.equal(background == 0, moved == 254)
    assert torch.equal(part.moved(background, _Stays()), background)


class _Stays:
    """A map that moves nothing."""

    size = (64, 64)
    window = None

    def points(self, points):
        return list(points)

    def masks(self, masks):
        return masks


class Segmented(TensorPart):
    """Images with masks, which move along."""

    def to(self, device):
        return Segmented(tuple(value.to(device) for value in self.inputs), self.target.to(device))

    def moved(self, target, map):
        return map.masks(target)


def test_an_epoch_moves_masks_with_their_images():
    masks = labels(2)
    part = Segmented(((painted(masks) * 255).byte(),), masks)
    options = {"batch_size": 4, "shuffle": True, "augment": Augmentation(Geometric(), seed=0)}
    roads = [
        PartLoader(part, LoaderOptions(lambda inputs: inputs, torch.device("cpu"), workers=workers, **options))
        for workers in (None, 0)
    ]
    for one, other in zip(*(road.batches(1) for road in roads), strict=True):
        assert torch.equal(one.target, other.target)
        assert (one.target != masks[one.index]).any()
        for label in range(1, CLASSES):
            channel, is_label = one.inputs[0][:, label] / 255, one.target == label
            assert (channel[is_label] >= 0.25 - 1e-2).all()
            assert (channel[~is_label] <= 0.75 + 1e-2).all()
    for batch in roads[0].batches():
        assert torch.equal(batch.target, masks[batch.index])


@pytest.mark.parametrize("name", ["colour", "erasing"])
def test_what_changes_colours_moves_nothing(name):
    change = AUGMENTS.get(name)()
    assert change.map(change.draw(draws(0), SIZE)) is None
