"""Pictures that are read again: small ones of them, and damage that is named."""

import io
import os

import pytest
from PIL import Image

from dlrun.plots import images


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "I;16"])
def test_a_picture_is_shrunk_to_fit_and_keeps_its_shape(tmp_path, mode):
    Image.new(mode, (600, 300)).save(tmp_path / "a.png")
    small = Image.open(io.BytesIO(images.shrunk(tmp_path / "a.png", 100, 100)))
    assert (small.size, small.mode, small.format) == ((100, 50), "RGB", "WEBP")
    assert Image.open(io.BytesIO(images.shrunk(tmp_path / "a.png", 9000, 9000))).size == (600, 300)


def test_what_is_no_whole_png_is_an_error_of_reading(tmp_path, monkeypatch):
    Image.effect_noise((64, 64), 50).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    Image.new("RGB", (8, 8)).save(tmp_path / "named.png", "GIF")
    os.mkfifo(tmp_path / "pipe.png")
    for place in range(0, len(whole) - 64, 37):
        (tmp_path / f"cut{place}.png").write_bytes(whole[:place])
        flipped = bytes([*whole[:place], whole[place] ^ 0xFF, *whole[place + 1 :]])
        (tmp_path / f"flipped{place}.png").write_bytes(flipped)
    for path in tmp_path.glob("*.png"):
        try:
            images.shrunk(path, 10, 10)
            images.read(path)
        except OSError:
            continue
        assert path.name.startswith(("whole", "flipped"))
    monkeypatch.setattr(images, "MOST_PIXELS", 64 * 64 - 1)
    with pytest.raises(OSError, match="has more than 4,095 pixels"):
        images.read(tmp_path / "whole.png")
