"""Patches of photographs: their targets are what scipy finds, and no pixel is in two parts."""

import io
import itertools
import typing

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from dlrun.config import schema
from dlrun.config.kernels import KERNELS
from dlrun.data.images.photos import Photos
from dlrun.errors import UserError


def png(pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def located(height, width, number):
    """An image whose pixels say where they are: (row, column, number of the image)."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, number)], axis=2)


NOISE = torch.randint(0, 256, (2, 1, 9, 8), generator=torch.Generator().manual_seed(0)).byte()


def test_every_name_has_a_kernel():
    assert set(typing.get_args(schema.Kernel)) == set(KERNELS)


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ("sobel_x", lambda image: ndimage.sobel(image, axis=1)),
        ("sobel_y", lambda image: ndimage.sobel(image, axis=0)),
        ("prewitt_x", lambda image: ndimage.prewitt(image, axis=1)),
        ("prewitt_y", lambda image: ndimage.prewitt(image, axis=0)),
        ("laplacian", ndimage.laplace),
        ("vertical", lambda image: -ndimage.prewitt(image, axis=1)),
        ("horizontal", lambda image: -ndimage.prewitt(image, axis=0)),
        ("scharr_x", lambda image: ndimage.correlate1d(ndimage.correlate1d(image, [-1, 0, 1], 1), [3, 10, 3], 0)),
        ("scharr_y", lambda image: ndimage.correlate1d(ndimage.correlate1d(image, [-1, 0, 1], 0), [3, 10, 3], 1)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_targets_are_what_scipy_finds(kernel, expected):
    for image, edges in zip(NOISE, Photos(patch_size=9, kernel=kernel).filtered(NOISE), strict=True):
        inner = expected(image[0].numpy() / 255)[1:-1, 1:-1]
        np.testing.assert_allclose(edges[0].numpy(), inner, atol=1e-5)


def test_the_image_of_the_notes_half_bright_half_dark():
    image = torch.zeros(1, 1, 6, 6, dtype=torch.uint8)
    image[..., :3] = 255
    edges = Photos(patch_size=6, kernel="vertical").filtered(image)
    assert edges[0, 0].tolist() == [[0, 3, 3, 0]] * 4
    assert torch.equal(Photos(patch_size=6, kernel="prewitt_x").filtered(image), -edges)
    assert torch.equal(Photos(patch_size=6, kernel="prewitt_x", sign=False).filtered(image), edges)


def test_padding_stride_and_colour():
    whole = Photos(patch_size=9, padding=1).filtered(NOISE)
    assert torch.equal(whole[:, :, 1:-1, 1:-1], Photos(patch_size=9).filtered(NOISE))
    assert torch.equal(whole[:, :, ::2, ::2], Photos(patch_size=9, padding=1, kernel_stride=2).filtered(NOISE))
    colour = Photos(patch_size=9, in_channels=3).filtered(NOISE.expand(-1, 3, -1, -1))
    assert torch.allclose(colour, Photos(patch_size=9).filtered(NOISE).expand(-1, 3, -1, -1))


def test_the_two_photographs():
    data = Photos()
    parts = data.load()
    assert {name: len(part) for name, part in parts.items()} == {"train": 84, "val": 12, "test": 24}
    assert parts["train"].inputs[0].shape[1:] == (1, *data.spec.image_size)
    assert parts["train"].target.shape[1:] == (1, 62, 62)
    assert torch.equal(parts["test"].target, data.filtered(parts["test"].inputs[0]))
    assert not torch.equal(Photos(split_seed=1).load()["test"].target, parts["test"].target)


@settings(max_examples=20, deadline=None)
@given(
    patch_size=st.integers(3, 9),
    stride=st.integers(1, 12),
    sides=st.lists(st.tuples(st.integers(9, 60), st.integers(9, 60)), min_size=3, max_size=4),
)
def test_no_pixel_is_in_two_parts(tmp_path_factory, patch_size, stride, sides):
    root = tmp_path_factory.mktemp("photos")
    for number, (height, width) in enumerate(sides):
        (root / f"{number}.png").write_bytes(png(located(height, width, number)))
    parts = Photos(root=str(root), in_channels=3, patch_size=patch_size, stride=stride).load()
    pixels = [{tuple(p) for p in part.inputs[0].permute(0, 2, 3, 1).flatten(0, 2).tolist()} for part in parts.values()]
    assert len(pixels) == 3 and all(pixels)
    assert not any(a & b for a, b in itertools.combinations(pixels, 2))


def test_a_large_photograph_is_scaled_down(tmp_path):
    (tmp_path / "wide.png").write_bytes(png(located(40, 200, 0)))
    part = Photos(root=str(tmp_path), longest=100, patch_size=20, val_fraction=0.0).load()["train"]
    assert len(part) == 4  # of 1 x 5 patches, one is for the test


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a.png": png(located(9, 9, 0))[:50]}, r"^data.root: \S*a.png: cannot be decoded"),
        ({"a.png": png([[7]])}, r"^data=photos: \S*a.png has 1x1 pixels, less than a patch of 4x4"),
        ({"a.txt": b""}, r"^data.root: no image in "),
        ({"a.png": png(located(4, 9, 0))}, "^data=photos: 2 pieces without overlap are too few for 3 parts"),
    ],
    ids=["truncated", "1x1", "none", "few"],
)
def test_folders_that_cannot_be_used(tmp_path, files, says):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=says) as caught:
        Photos(root=str(tmp_path), patch_size=4).load()
    assert len(str(caught.value).splitlines()) == 1


def test_no_folder_and_no_room_for_a_kernel():
    with pytest.raises(UserError, match=r"^data.root: no folder nowhere"):
        Photos(root="nowhere").load()
    with pytest.raises(ValueError, match="patch_size of 1 with a padding of 0 is less than the kernel's 3"):
        Photos(patch_size=1)
