"""Four images in one: each keeps its tile, and what is known of it goes along."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlrun.augment.augmentation import Augmentation
from dlrun.augment.mosaic import MIDDLE, TILES, Mosaic
from dlrun.data.boxes.mask_part import NOT_COUNTED, MaskPart
from dlrun.data.boxes.objects import Objects, ObjectsPart
from dlrun.engine.contracts import LoaderOptions
from dlrun.engine.draws import Draws
from dlrun.engine.loading import PartLoader
from dlrun.engine.parts import TensorPart

HEIGHT, WIDTH = 48, 64


def drawn_of(change, seed=0, num=1):
    return change.draw(Draws(seed, 0, torch.arange(num)), (HEIGHT, WIDTH))


def bounds(mask):
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    return torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 2**20), st.floats(0, 1), st.floats(0, 2), st.integers(0, 40), st.integers(0, 28),
    st.integers(8, 20), st.integers(8, 18),
)  # fmt: skip
def test_a_box_painted_and_moved_is_bounded_by_the_box_moved(seed, mirror, scale, x, y, width, height):
    change = Mosaic(mirror=mirror, scale=scale)
    drawn = drawn_of(change, seed)
    box = torch.tensor([[x, y, x + width, y + height]]).float()
    for tile in range(TILES):
        # Only one of the four images has an object, so that what is bright is it.
        images = torch.zeros(TILES, 1, HEIGHT, WIDTH)
        images[tile, 0, y : y + height, x : x + width] = 1
        bright = change.apply(images, drawn)[0, 0] > 0.5
        boxes = [box if number == tile else torch.zeros(0, 4) for number in range(TILES)]
        labels = [torch.full((len(own),), 3) for own in boxes]
        masks = [images[number, :1].byte()[: len(own)] for number, own in enumerate(boxes)]
        target = Objects(boxes, labels, [torch.zeros(0, 4)] * TILES, torch.ones(TILES, 6), masks)
        part = ObjectsPart((images,), target)
        found = part.joined(part.moved(target, change.map(drawn)), 1)
        assert found.boxes[0].shape == (1, 4) and found.frame.shape == (1, 6) and found.masks is not None
        if found.labels[0].tolist() == [3]:
            torch.testing.assert_close(found.boxes[0][0], bounds(bright), atol=1.0, rtol=0)
            assert ((found.masks[0][0] > 0) != bright).float().mean() < 0.02


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**20), st.integers(1, 5))
def test_every_pixel_is_of_one_image_and_every_tile_is_full(seed, num):
    change = Mosaic(scale=1.0)
    drawn = drawn_of(change, seed, num)
    seen = drawn.is_seen(torch.device("cpu")).unflatten(0, (TILES, num))
    assert (seen.sum(dim=0) == 1).all()
    # Images of one tone each: nothing but these tones is seen, each in its tile.
    tones = torch.arange(1, TILES + 1).repeat_interleave(num).float() / TILES
    images = tones[:, None, None, None].expand(-1, 1, HEIGHT, WIDTH)
    found = change.apply(images, drawn)
    torch.testing.assert_close(found[:, 0], (seen * tones.view(TILES, num, 1, 1)).sum(0))
    # And what each tile shows lies inside of its image: black around it would be seen.
    places = drawn._grid(torch.device("cpu")).unflatten(0, (TILES, num)).abs()
    assert (places.amax(2) * seen).max() <= 1 + 1e-4
    meet = drawn.window[:num, 2:]
    low, high = (share * torch.tensor([WIDTH, HEIGHT]) for share in MIDDLE)
    assert (meet >= low).all() and (meet <= high).all()


def test_masks_are_joined_pixel_by_pixel():
    images = torch.randint(0, 256, (4, 3, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(0)).byte()
    part = MaskPart((images,), images[:, 0] // 86)
    found = []
    loader = PartLoader(
        part, LoaderOptions(lambda inputs: inputs, torch.device("cpu"), batch_size=4, augment=of(Mosaic()))
    )
    for batch in loader.batches(0):
        assert batch.target.shape == (4, HEIGHT, WIDTH) and len(batch.index) == 4
        found.append(batch.target)
    # Each is of a pixel of an image, none is left out.
    assert set(torch.cat(found).unique().tolist()) <= {0, 1, 2}
    uncounted = MaskPart((images,), torch.full((4, HEIGHT, WIDTH), NOT_COUNTED, dtype=torch.uint8))
    move = drawn_of(Mosaic(), num=1)
    assert (uncounted.joined(uncounted.moved(uncounted.target, move), 1) == NOT_COUNTED).all()


def of(change):
    return Augmentation(change, seed=0)


def test_each_object_of_four_images_is_there_once():
    """A small object in the middle of each of many images is seen whole or not, and its label says which."""
    num = 30
    boxes = [torch.tensor([[28.0, 20, 36, 28]])] * num
    labels = [torch.tensor([number]) for number in range(num)]
    images = torch.zeros(num, 1, HEIGHT, WIDTH, dtype=torch.uint8)
    images[:, 0, 20:28, 28:36] = 200
    part = ObjectsPart((images,), Objects(boxes, labels, [torch.zeros(0, 4)] * num, torch.ones(num, 6)))
    options = LoaderOptions(lambda inputs: inputs, torch.device("cpu"), batch_size=7, augment=of(Mosaic(scale=0.2)))
    seen = 0
    for batch in PartLoader(part, options).batches(0):
        for image, own, label in zip(batch.inputs[0], batch.target.boxes, batch.target.labels, strict=True):
            assert own.shape == (TILES, 4)
            bright = image[0] > 100
            for x1, y1, x2, y2 in own[label >= 0].round().long().tolist():
                assert bright[y1:y2, x1:x2].float().mean() > 0.7
            seen += int((label >= 0).sum())
    assert num < seen < 3 * num


def test_an_image_that_is_alone_keeps_its_scale():
    images = torch.rand(TILES * 2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    change = Mosaic(probability=0.0, mirror=0.0)
    torch.testing.assert_close(change.apply(images, drawn_of(change, num=2)), images[:2], atol=1e-4, rtol=0)


def test_partners_beyond_the_first_are_others():
    draws = Draws(0, 0, torch.arange(2000))
    rows = draws.partners(1_000_000, 3).view(3, 2000)
    assert torch.equal(rows[0], draws.partners(1_000_000))
    assert all((rows[a] == rows[b]).sum() <= 1 for a, b in ((0, 1), (0, 2), (1, 2)))
    assert abs(rows.float().mean() / 1e6 - 0.5) < 0.02
    with pytest.raises(ValueError, match="several images in one"):
        TensorPart((torch.zeros(4),), torch.zeros(4)).joined(torch.zeros(4), 1)
