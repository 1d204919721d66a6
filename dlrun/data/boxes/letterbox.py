"""Images of any size in one input size: scaled with their aspect kept, and padded with grey.

A frame (6,) says what was done: scale x, scale y, left and top margin in pixels of the input, width and height of the
image in its own pixels; a point (x, y) of the image is at (x * scale + margin). The sides of the scaled image are whole
pixels, so the two scales differ a little; boxes are never rounded.
"""

import numpy as np
from torch import Tensor

from dlrun.data.images.imagefolder import decoding, open_upright, to_tensor

PADDING = 114  # the grey that YOLO's letterbox is filled with


def framed(size: tuple[int, int], image_size: tuple[int, int]) -> tuple[float, ...]:
    """The frame of an image of `size` (W, H) in an input of `image_size` (H, W): as large as it fits, in the middle."""
    width, height = scaled_size(size, image_size)
    left, top = (image_size[1] - width) // 2, (image_size[0] - height) // 2
    return (width / size[0], height / size[1], left, top, *size)


def scaled_size(size: tuple[int, int], image_size: tuple[int, int]) -> tuple[int, int]:
    """(W, H) of an image of `size` (W, H) once it is scaled to fit into `image_size` (H, W), at least 1 x 1."""
    scale = min(image_size[1] / size[0], image_size[0] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def to_input(boxes: Tensor, frame: Tensor) -> Tensor:
    """Boxes x1, y1, x2, y2 (n, 4) in pixels of the image, in pixels of the input; `frame` (6,)."""
    scale, margin = _doubled(frame)
    return (boxes.double() * scale + margin).to(boxes.dtype)


def to_image(boxes: Tensor, frame: Tensor) -> Tensor:
    """The inverse of `to_input`."""
    scale, margin = _doubled(frame)
    return ((boxes.double() - margin) / scale).to(boxes.dtype)


def _doubled(frame: Tensor) -> tuple[Tensor, Tensor]:
    # In double precision: back and forth through a small scale would lose a hundredth of a pixel of a large image.
    frame = frame.double()
    return frame[[0, 1, 0, 1]], frame[[2, 3, 2, 3]]


def letterboxed_mask(mask: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """A mask (H, W) of an image in its input of `image_size`, by the nearest pixel; 0 in the margin."""
    size = (mask.shape[1], mask.shape[0])
    width, height = scaled_size(size, image_size)
    left, top = (int(margin) for margin in framed(size, image_size)[2:4])
    rows = (np.arange(height) * 2 + 1) * size[1] // (2 * height)
    columns = (np.arange(width) * 2 + 1) * size[0] // (2 * width)
    found = np.zeros(image_size, dtype=mask.dtype)
    found[top : top + height, left : left + width] = mask[rows[:, None], columns]
    return found


def decode_letterboxed(path: str, image_size: tuple[int, int], in_channels: int, white: int | None = None) -> Tensor:
    """The image file `path` upright, scaled to fit into `image_size` (H, W) and padded, as uint8 (C, H, W).

    `white`: see `white_of`.

    **Raises:** `RunError` with the path if the file is damaged, too large to be an honest image, or no image.
    """
    from PIL import Image

    with decoding(path):
        upright = open_upright(path, max(image_size), in_channels, white)
        left, top = (int(margin) for margin in framed(upright.size, image_size)[2:4])
        scaled = upright.pixels.resize(scaled_size(upright.size, image_size), Image.Resampling.BILINEAR)
        colour = PADDING if in_channels == 1 else (PADDING,) * 3
        canvas = Image.new(scaled.mode, (image_size[1], image_size[0]), colour)
        canvas.paste(scaled, (left, top))
    return to_tensor(canvas, in_channels)
