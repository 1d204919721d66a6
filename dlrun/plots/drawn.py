"""Boxes, masks and points drawn on a photo itself, pixel by pixel and at its own size."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlrun.plots.figure import COLORS, shorten
from dlrun.plots.masks import class_colors

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

OPACITY = 0.45  # of a mask
NAME_LENGTH = 32
LETTER_SHARE = 40  # an image is as many times as high as a letter on it
LEAST_LETTER = 10  # pixels


def color_of(number: int) -> tuple[int, int, int]:
    """The colour of a class, always the same."""
    # The first of the table is a grey, for the ground.
    red, green, blue = np.round(class_colors(number + 2, 0)[number + 1] * 255).astype(int).tolist()
    return red, green, blue


def outlined(picture: "Image", boxes: np.ndarray, labels: Sequence[int], texts: Sequence[str]) -> "Image":
    """A copy with boxes (n, 4) x1, y1, x2, y2 in pixels, in the colour of their class and each with its text."""
    from PIL import ImageDraw

    drawn = picture.copy()
    pen = ImageDraw.Draw(drawn)
    width, height = picture.size
    for (x1, y1, x2, y2), label in zip(boxes.tolist(), labels, strict=True):
        # A box ends where a pixel ends; a line lies on the last pixel inside.
        left, top = min(max(int(x1), 0), width - 1), min(max(int(y1), 0), height - 1)
        right, bottom = (
            min(max(int(np.ceil(x2)) - 1, left), width - 1),
            min(max(int(np.ceil(y2)) - 1, top), height - 1),
        )
        pen.rectangle((left, top, right, bottom), outline=color_of(label), width=_line(picture))
    # No box may cross out the name of another.
    for (x1, y1, _, _), label, text in zip(boxes.tolist(), labels, texts, strict=True):
        _label(drawn, (x1, y1), text, color_of(label))
    return drawn


def painted(picture: "Image", mask: np.ndarray, color: tuple[int, int, int]) -> "Image":
    """A copy with the pixels of a mask (H, W) of 0 and 1 shaded in `color`."""
    from PIL import Image

    shade = Image.new("RGB", picture.size, color)
    opacity = Image.fromarray((mask > 0).astype(np.uint8) * round(255 * OPACITY))
    return Image.composite(shade, picture, opacity)


def classified(picture: "Image", classes: np.ndarray, class_names: Sequence[str]) -> "Image":
    """A copy with the pixels of all classes (H, W) but the first, the ground, shaded, and the names of these."""
    drawn = picture
    found = [int(k) for k in np.unique(classes) if k > 0]
    for k in found:
        drawn = painted(drawn, classes == k, color_of(k - 1))
    drawn = drawn.copy()
    step = _letter(picture) * 3 // 2
    for place, k in enumerate(found):
        _label(drawn, (0, (place + 1) * step), class_names[k], color_of(k - 1))
    return drawn


def pointed(picture: "Image", points: np.ndarray, skeleton: Sequence[tuple[int, int]], text: str) -> "Image":
    """A copy with points (P, 2) x, y in pixels and the lines of `skeleton` between them; `text` at the highest one."""
    from PIL import ImageDraw

    drawn = picture.copy()
    pen, line = ImageDraw.Draw(drawn), _line(picture)
    for one, other in skeleton:
        pen.line((*points[one].tolist(), *points[other].tolist()), fill=COLORS[1], width=line)
    for number, (x, y) in enumerate(points.tolist()):
        radius = 2 * line
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=color_of(number), width=line)
    x, y = points[points[:, 1].argmin()].tolist()
    _label(drawn, (x, y), text, color_of(1))
    return drawn


def _label(picture: "Image", corner: tuple[float, float], text: str, color: tuple[int, int, int]) -> None:
    """Writes `text` above `corner`, or as near as it fits."""
    from PIL import ImageDraw

    pen, font, text = ImageDraw.Draw(picture), _font(_letter(picture)), shorten(text, NAME_LENGTH)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    width, height = right - left + 4, bottom - top + 4
    x = max(min(corner[0], picture.width - width), 0)
    y = max(min(corner[1] - height, picture.height - height), 0)
    pen.rectangle((x, y, x + width - 1, y + height - 1), fill=color)
    is_pale = sum(share * value for share, value in zip((0.3, 0.59, 0.11), color, strict=True)) > 150
    pen.text((x + 2 - left, y + 2 - top), text, fill="black" if is_pale else "white", font=font)


def _line(picture: "Image") -> int:
    return max(1, round(min(picture.size) / 300))


def _letter(picture: "Image") -> int:
    return max(LEAST_LETTER, min(picture.size) // LETTER_SHARE)


@functools.cache
def _font(size: int) -> "FreeTypeFont | ImageFont":
    import matplotlib
    from PIL import ImageFont

    # PIL's own has Latin letters alone.
    try:
        return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)
