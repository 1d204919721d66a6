"""Grey images of more than 8 bits: the range is that of the data set."""

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


def test_a_damaged_file_says_nothing_of_the_range(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    (tmp_path / "b.tif").write_bytes(b"II*\0")
    assert white_of([str(tmp_path / "a.png"), str(tmp_path / "b.tif"), str(tmp_path / "gone.png")]) is None
