"""Two pictures of any kind as one example, and a line for what is none."""

import io

import pytest
import torch
from PIL import Image

from dlrun.data.images.style_pair import StylePair
from dlrun.errors import UserError


def saved(path, mode="RGB", size=(30, 20), color=(10, 20, 30), **options):
    Image.new(mode, size, color).save(path, **options)
    return str(path)


def loaded(**keys):
    """The content and the style (3, H, W)."""
    data = StylePair(**keys)
    parts = data.load()
    assert list(parts) == ["train"] and len(parts["train"]) == 1
    batch = parts["train"].take(torch.zeros(1, dtype=torch.int64))
    assert batch.inputs[0].dtype == batch.target.dtype == torch.uint8
    assert data.spec.image_size == tuple(batch.inputs[0].shape[2:]) and data.spec.in_channels == 3
    return batch.inputs[0][0], batch.target[0]


def test_the_two_sample_photographs():
    content, style = loaded()
    assert content.shape == style.shape == (3, 86, 128)
    assert not torch.equal(content, style)
    assert loaded(image_size=None)[0].shape == (3, 427, 640)


def test_each_keeps_its_shape_and_a_small_one_its_size(tmp_path):
    wide, tall = saved(tmp_path / "wide.png", size=(300, 100)), saved(tmp_path / "tall.png", size=(10, 40))
    content, style = loaded(content=wide, style=tall, image_size=60)
    assert content.shape == (3, 20, 60)
    assert style.shape == (3, 40, 10)


def test_grey_transparent_and_sideways_pictures(tmp_path):
    grey = saved(tmp_path / "grey.png", mode="L", color=77)
    clear = saved(tmp_path / "clear.png", mode="RGBA", color=(255, 0, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = saved(tmp_path / "turned.jpg", exif=exif)
    content, style = loaded(content=grey, style=clear)
    assert content.unique().tolist() == [77]
    assert style.unique().tolist() == [255]
    assert loaded(content=turned)[0].shape == (3, 30, 20)


def broken(path):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG")
    path.write_bytes(buffer.getvalue()[:300])
    return str(path)


@pytest.mark.parametrize(
    ("key", "make", "says"),
    [
        ("content", lambda folder: str(folder / "none.jpg"), r"^data.content: no file \S+none.jpg; give an image"),
        ("style", str, r"^data.style: no file "),
        ("style", lambda folder: broken(folder / "x.jpg"), r"^data.style: \S+x.jpg: cannot be decoded"),
        ("content", lambda folder: str((folder / "x.csv").write_text("a,b") and folder / "x.csv"), "cannot be decoded"),
    ],
    ids=["missing", "folder", "broken", "text"],
)
def test_what_is_no_image_is_a_line(tmp_path, key, make, says):
    with pytest.raises(UserError, match=says) as caught:
        StylePair(**{key: make(tmp_path)}).load()
    assert len(str(caught.value).splitlines()) == 1
