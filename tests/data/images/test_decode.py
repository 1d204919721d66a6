"""Image files of every kind, whole and damaged."""

import io
import struct
import tempfile
import zlib
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dlrun.data.images.imagefolder import decode
from dlrun.errors import RunError


def encode(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def halves(width: int = 40, height: int = 20, mode: str = "RGB", left="red", right="blue") -> Image.Image:
    image = Image.new(mode, (width, height), left)
    image.paste(right, (width // 2, 0, width, height))
    return image


def corners(path: Path, in_channels: int = 3, size: tuple[int, int] = (8, 8)) -> tuple[list[int], list[int]]:
    """The left and the right middle pixel."""
    pixels = decode(str(path), size, in_channels)
    assert pixels.dtype == torch.uint8 and pixels.shape == (in_channels, *size) and pixels.is_contiguous()
    return pixels[:, size[0] // 2, 0].tolist(), pixels[:, size[0] // 2, -1].tolist()


RED, BLUE = [255, 0, 0], [0, 0, 255]
COLOURS = {
    "png": encode(halves()),
    "palette": encode(halves().convert("P")),
    "palette, transparent": encode(halves(mode="RGBA").convert("P")),
    "alpha": encode(halves(mode="RGBA")),
    "cmyk jpeg": encode(halves().convert("CMYK"), "JPEG", quality=95),
    "cmyk tiff": encode(halves().convert("CMYK"), "TIFF"),
    "jpeg": encode(halves(), "JPEG", quality=95),
    "progressive jpeg": encode(halves(400, 200), "JPEG", quality=95, progressive=True),
    "gif": encode(halves(), "GIF"),
    "animated gif": encode(halves(), "GIF", save_all=True, append_images=[Image.new("RGB", (40, 20), "lime")] * 3),
    "animated png": encode(halves(), "PNG", save_all=True, append_images=[Image.new("RGB", (40, 20), "lime")]),
    "webp": encode(halves(), "WEBP", lossless=True),
    "bmp": encode(halves(), "BMP"),
    "ppm": encode(halves(), "PPM"),
}


@pytest.mark.parametrize("name", COLOURS)
def test_every_format_gives_the_same_colours(tmp_path, name):
    path = tmp_path / "image.dat"
    path.write_bytes(COLOURS[name])
    left, right = corners(path)
    assert left == pytest.approx(RED, abs=8) and right == pytest.approx(BLUE, abs=8)


def sixteen(kind: str) -> bytes:
    image = Image.new("I;16", (40, 20), 0)
    image.paste(65535, (20, 0, 40, 20))
    image.paste(32896, (0, 0, 20, 20))
    return encode(image, kind)


GREYS = {
    "8 bits": (encode(halves(mode="L", left=128, right=255)), 128, 255),
    "16 bits, png": (sixteen("PNG"), 128, 255),
    "16 bits, tiff": (sixteen("TIFF"), 128, 255),
    "16 bits, pgm": (sixteen("PPM"), 128, 255),
    "1 bit": (encode(halves(mode="L", left=0, right=255).convert("1")), 0, 255),
    "grey and alpha": (encode(halves(mode="L", left=128, right=255).convert("LA")), 128, 255),
    "colours": (encode(halves()), 76, 29),
}


@pytest.mark.parametrize("name", GREYS)
def test_grey_images(tmp_path, name):
    path = tmp_path / "image.dat"
    data, left, right = GREYS[name]
    path.write_bytes(data)
    assert corners(path, in_channels=1) == ([pytest.approx(left, abs=1)], [pytest.approx(right, abs=1)])
    if name != "colours":
        assert corners(path) == ([pytest.approx(left, abs=1)] * 3, [pytest.approx(right, abs=1)] * 3)


def test_transparent_pixels_are_white(tmp_path):
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(encode(image))
    assert corners(tmp_path / "a.png") == ([255] * 3, [255] * 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_exif_rotation_is_undone(tmp_path, kind, orientation):
    """Stored as the camera held it, each of the eight ways must show the same picture."""
    upright = halves(left="red", right="blue")
    upright.paste((0, 255, 0), (0, 0, 20, 10))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo"
    path.write_bytes(encode(stored, kind, exif=exif, **{"quality": 95, "subsampling": 0} if kind == "JPEG" else {}))
    pixels = decode(str(path), (20, 40), 3)
    assert pixels[:, 4, 4].tolist() == pytest.approx([0, 255, 0], abs=12)
    assert pixels[:, 15, 4].tolist() == pytest.approx(RED, abs=12)
    assert pixels[:, 10, 35].tolist() == pytest.approx(BLUE, abs=12)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (13, 7)])
def test_any_size_is_resized(tmp_path, size):
    path = tmp_path / "a.png"
    path.write_bytes(encode(Image.new("RGB", size, (10, 20, 30))))
    pixels = decode(str(path), (5, 9), 3)
    assert pixels.shape == (3, 5, 9) and (pixels == torch.tensor([10, 20, 30]).view(3, 1, 1)).all()


def bomb(width: int, height: int) -> bytes:
    """A PNG that only claims to be so large."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (chunk, data, b"IEND")
    )


BROKEN = {
    "empty": b"",
    "text": b"not an image at all",
    "html": b"<html><body>404</body></html>",
    "cut png": encode(halves(200, 100))[:120],
    "cut jpeg": encode(Image.effect_noise((200, 100), 80), "JPEG")[:3000],
    "cut bmp": encode(halves(), "BMP")[:500],
    "cut header": encode(halves())[:20],
    "bomb warning": bomb(10_000, 10_000),
    "bomb error": bomb(20_000, 20_000),
    "float": encode(Image.new("F", (4, 4), 0.5), "TIFF"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_one_line_with_its_path(tmp_path, name):
    path = tmp_path / "photo.jpg"
    path.write_bytes(BROKEN[name])
    with pytest.raises(RunError) as caught:
        decode(str(path), (8, 8), 3)
    line = str(caught.value)
    assert line.startswith(f"{path}: cannot be decoded (") and "\n" not in line
    if name.startswith("bomb"):
        assert "bomb" in line


WHOLE = [encode(Image.effect_noise((60, 40), 80), kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")]


@settings(max_examples=150, deadline=None)
@given(data=st.sampled_from(WHOLE), cut=st.floats(0, 1), flip=st.integers(0, 255), place=st.floats(0, 1))
def test_damage_is_named_or_harmless(data, cut, flip, place):
    damaged = bytearray(data[: round(len(data) * cut)])
    if damaged:
        damaged[int(place * (len(damaged) - 1))] ^= flip
    with tempfile.NamedTemporaryFile() as file:
        file.write(damaged)
        file.flush()
        try:
            assert decode(file.name, (8, 8), 1).shape == (1, 8, 8)
        except RunError as error:
            assert file.name in str(error)
