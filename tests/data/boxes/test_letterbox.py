"""Images of odd sizes in an input, and their boxes there and back."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dlrun.data.boxes.letterbox import decode_letterboxed, framed, letterboxed_mask, scaled_size, to_image, to_input
from dlrun.errors import RunError

SIDE = st.integers(1, 3000)
INPUT = st.integers(1, 1280)


@given(width=SIDE, height=SIDE, rows=INPUT, columns=INPUT, data=st.data())
def test_boxes_come_back_exactly(width, height, rows, columns, data):
    frame = torch.tensor(framed((width, height), (rows, columns)))
    corner = st.tuples(st.floats(0, width, width=32), st.floats(0, height, width=32))
    boxes = torch.tensor(data.draw(st.lists(st.tuples(corner, corner), min_size=1, max_size=5))).view(-1, 4)
    seen = to_input(boxes, frame)
    # Half a unit in the last place of the largest input, as far as it is in the image.
    allowed = max(1e-3, 2e-4 * max(1 / frame[0].item(), 1 / frame[1].item()))
    assert torch.allclose(to_image(seen, frame), boxes, rtol=0, atol=allowed)
    assert (seen >= -1e-3).all() and (seen[:, 0::2] <= columns + 1e-3).all() and (seen[:, 1::2] <= rows + 1e-3).all()


@given(width=st.integers(1, 2000), height=st.integers(1, 2000), side=st.integers(32, 1280))
def test_the_sides_are_whole_and_fit(width, height, side):
    scaled = scaled_size((width, height), (side, side))
    scale_x, scale_y, left, top, *size = framed((width, height), (side, side))
    assert size == [width, height] and max(scaled) == side and min(scaled) >= 1
    assert (scale_x * width, scale_y * height) == (pytest.approx(scaled[0]), pytest.approx(scaled[1]))
    assert 0 <= side - scaled[0] - 2 * left <= 1 and 0 <= side - scaled[1] - 2 * top <= 1
    assert left == int(left) and top == int(top)


@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("size", [(37, 91), (91, 37), (8, 8), (1, 300), (301, 2), (64, 48)])
def test_the_image_lies_where_the_frame_says(tmp_path, size, in_channels):
    Image.new("RGB", size, (255, 255, 255)).save(tmp_path / "a.png")
    pixels = decode_letterboxed(str(tmp_path / "a.png"), (48, 64), in_channels)
    assert pixels.shape == (in_channels, 48, 64) and pixels.dtype == torch.uint8 and pixels.is_contiguous()
    whole = torch.tensor([[0.0, 0.0, *size]])
    x1, y1, x2, y2 = to_input(whole, torch.tensor(framed(size, (48, 64)))).round().int()[0].tolist()
    expected = torch.full((48, 64), 114, dtype=torch.uint8)
    expected[y1:y2, x1:x2] = 255
    assert (pixels == expected).all()
    mask = letterboxed_mask(np.ones(size[::-1], dtype=np.uint8), (48, 64))
    assert np.array_equal(mask, expected.numpy() == 255)


def test_what_is_painted_is_in_its_box(tmp_path):
    image = Image.new("L", (400, 300), 0)
    image.paste(255, (100, 60, 300, 240))
    for name, options in (("a.png", {}), ("a.jpg", {"quality": 95})):
        image.save(tmp_path / name, **options)
        pixels = decode_letterboxed(str(tmp_path / name), (32, 32), 1)[0]
        box = to_input(torch.tensor([[100.0, 60.0, 300.0, 240.0]]), torch.tensor(framed((400, 300), (32, 32))))[0]
        rows, columns = torch.nonzero(pixels > 127 + (pixels == 114)).unbind(1)
        found = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert torch.allclose(found.float(), box, atol=0.6)


def test_a_photo_is_turned_before_it_is_scaled(tmp_path):
    upright = Image.new("RGB", (40, 80), "red")
    upright.paste("blue", (0, 40, 40, 80))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", exif=exif, quality=95, subsampling=0)
    upright.save(tmp_path / "upright.jpg", quality=95, subsampling=0)
    turned, plain = (decode_letterboxed(str(tmp_path / f"{name}.jpg"), (64, 64), 3) for name in ("turned", "upright"))
    assert (turned.int() - plain.int()).abs().max() <= 8


def test_a_broken_image_is_one_line(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"oops")
    with pytest.raises(RunError, match=r"a\.jpg: cannot be decoded \("):
        decode_letterboxed(str(tmp_path / "a.jpg"), (8, 8), 3)
