"""Grey images of more than 8 bits: the range is that of the data set."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from dlrun.data.boxes.masks import MaskFolder
from dlrun.data.images.imagefolder import ImageFolder, decode, white_of
from dlrun.engine.contracts import DataSet

BITS = (8, 10, 12, 14, 16)


def pictures(folder, bits, num=12):
    """Two classes, dark and bright, of grey pictures in so many bits; in files of 8 or 16."""
    numbers = np.random.default_rng(0)
    for number in range(num):
        label = ("bright", "dark")[number % 2]
        grey = numbers.integers(*((120, 256) if number % 2 == 0 else (0, 140)), (6, 6))
        grey[0, 0] = 255 if number == 0 else grey[0, 0]
        (folder / label).mkdir(parents=True, exist_ok=True)
        scaled = np.round(grey / 255 * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
        Image.fromarray(scaled).save(folder / label / f"{number}.png")
    return str(folder)


@pytest.mark.parametrize("bits", BITS)
def test_pictures_of_any_depth_are_those_of_8_bits(tmp_path, bits):
    kept = dict(image_size=6, in_channels=1, val_fraction=0, test_fraction=0)
    eight = ImageFolder(root=pictures(tmp_path / "8", 8), **kept).load()["train"]
    data = ImageFolder(root=pictures(tmp_path / "n", bits), **kept)
    every = torch.arange(len(eight))
    ours, theirs = data.load()["train"].take(every).inputs[0], eight.take(every).inputs[0]
    assert torch.equal(ours, theirs)
    assert data.spec.white == (None if bits in (8, 16) else 2**bits - 1)


def test_a_run_keeps_the_range_for_what_comes_later(tmp_path):
    data = ImageFolder(root=pictures(tmp_path, 12), image_size=6, in_channels=1)
    offered = data.spec
    Image.fromarray(np.full((6, 6), 2047, dtype=np.uint16)).save(tmp_path / "grey.png")
    Image.fromarray(np.full((6, 6), 60000, dtype=np.uint16)).save(tmp_path / "bright/999.png")
    assert decode(str(tmp_path / "grey.png"), 6, 1, offered.white).unique().tolist() == [127]
    later = ImageFolder(root=str(tmp_path), image_size=6, in_channels=1)
    assert later.spec.white is None
    later = ImageFolder(root=str(tmp_path), image_size=6, in_channels=1)
    later.offered = offered
    assert later.spec.white == 4095
    assert DataSet.offered is None


def test_masked_images_are_scaled_alike(tmp_path):
    for number in range(4):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4), 4095 - number * 1000, dtype=np.uint16)).save(tmp_path / f"images/{number}.png")
        Image.fromarray(np.eye(4, dtype=np.uint8)).save(tmp_path / f"masks/{number}.png")
    data = MaskFolder(root=str(tmp_path), in_channels=1, val_fraction=0, test_fraction=0)
    assert data.load()["train"].inputs[0][:, 0, 0, 0].tolist() == [255, 193, 130, 68] and data.spec.white == 4095


def png_of_16_bits(path, values):
    """A file of colours (H, W, C), which Pillow does not write."""
    height, width, num = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[num], 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(body))


@pytest.mark.parametrize("num", [2, 3, 4])
@pytest.mark.parametrize("bits", [12, 16])
def test_colours_of_16_bits_keep_theirs(tmp_path, num, bits):
    eight = np.random.default_rng(0).integers(0, 256, (6, 6, num)).astype(np.uint8)
    eight[0, 0, :], eight[0, 1, :] = 255, 0
    if num != 3:
        eight[..., -1] = 255  # nothing is transparent
    deep = np.round(eight / 255 * (2**bits - 1)).astype(np.uint16)
    if num != 3:
        deep[..., -1] = 65535
    png_of_16_bits(tmp_path / "deep.png", deep)
    Image.fromarray(eight).save(tmp_path / "eight.png")
    white = white_of([str(tmp_path / "deep.png"), str(tmp_path / "eight.png")])
    assert white == (4095 if bits == 12 else None)
    assert torch.equal(decode(str(tmp_path / "deep.png"), 6, 3, white), decode(str(tmp_path / "eight.png"), 6, 3))


def test_a_damaged_file_says_nothing_of_the_range(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    (tmp_path / "b.tif").write_bytes(b"II*\0")
    assert white_of([str(tmp_path / "a.png"), str(tmp_path / "b.tif"), str(tmp_path / "gone.png")]) is None
