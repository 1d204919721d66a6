"""Grids of images, plain or with what was predicted."""

import contextlib
import errno
import io
import math
import pathlib
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from dlrun import disk
from dlrun.plots.figure import MUTED, RIGHT, WRONG, new_figure, shorten, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

MOST = 25
SMALL = (144, 96)  # width and height of a small copy, pixels
MOST_PIXELS = 50_000_000  # of a file that is read
NAME_LENGTH = 15
CELL_WIDTH, GAP, HEAD = 1.85, 0.12, 0.4  # inches: of a cell, between two of them, over all of them
WIDEST_CELL, FULL_WIDTH = 3.4, 12.6  # inches, of one picture in a row and of all of them
MOST_IN_ROW = 6
WHOLE = {"left": 0.0, "right": 1.0, "bottom": 0.0, "top": 1.0}  # axes that fill a figure
TEXT_GAP = 0.06  # inches, between an image and the text above it
CHARACTERS = 12  # of a caption, an inch
SMALL_CELL_WIDTH = 1.1  # inches, where samples are compared down a column


@styled
def predictions_grid(
    images: Any, true: Sequence[str], predicted: Sequence[str], probability: Sequence[float]
) -> "Figure":
    """Up to 25 images with the predicted class and its probability; a wrong one says so and what is true.

    `images` (N, C, H, W) in 0..1; the others hold N values each, `probability` in 0..1.
    """
    from matplotlib.patches import Rectangle

    images = np.asarray(images)[:MOST]
    cells = Cells.of(images, text_height=0.4)
    # One pair of axes for all, in inches: a pair for each image takes longer than all the rest.
    figure, (ax,) = new_figure(width=cells.width, height=cells.height, places=WHOLE)
    ax.set_axis_off()
    num_right = 0
    for place, (image, is_class, said, chance) in enumerate(zip(images, true, predicted, probability, strict=False)):
        right = is_class == said
        num_right += right
        color = RIGHT if right else WRONG
        left, top = cells.corner(place)
        right_edge, bottom = left + cells.side[0], top + cells.side[1]
        ax.imshow(_shown(image), interpolation="nearest", extent=(left, right_edge, bottom, top))
        width = 1.5 if right else 3.5
        ax.add_patch(Rectangle((left, top), *cells.side, fill=False, edgecolor=color, linewidth=width))
        said, is_class = shorten(said, NAME_LENGTH), shorten(is_class, NAME_LENGTH)
        text = f"{said}  {chance:.0%}" if right else f"✗ {said}  {chance:.0%}\ntrue: {is_class}"
        ax.text(
            (left + right_edge) / 2, top - TEXT_GAP, text, fontsize=8.5, color=color,
            fontweight="normal" if right else "bold", horizontalalignment="center", verticalalignment="bottom",
        )  # fmt: skip
    ax.set(xlim=(0, cells.width), ylim=(cells.height, 0), aspect="auto")
    figure.suptitle(f"Predicted class and its probability: {num_right} of {len(images)} right, wrong ones marked ✗")
    return figure


@styled
def before_and_after(
    rows: Sequence[np.ndarray], labels: Sequence[str], captions: Sequence[Sequence[str]], title: str
) -> "Figure":
    """The same N samples in R rows, the first as they are: images (N, C, H, W) in 0..1; `captions` R times N.

    The images of a row have one size, which may be another than that of the first.
    """
    num_rows = len(rows)
    columns, _, height, width = rows[0].shape
    text_height = 0.15 + 0.15 * max(caption.count("\n") + 1 for line in captions for caption in line)
    cell = SMALL_CELL_WIDTH
    figure, axes = new_figure(
        num_rows,
        columns,
        width=cell * max(columns, 4) + 0.4,
        height=(cell * height / width + text_height) * num_rows + 0.4,
        title=title,
    )
    for row, label in enumerate(labels):
        for column in range(columns):
            ax = axes[row * columns + column]
            show_image(ax, rows[row][column], MUTED, linewidth=0.8)
            ax.set_title(captions[row][column], fontsize=8)
        axes[row * columns].set_ylabel(label, fontsize=9)
    return figure


def read(path: pathlib.Path) -> np.ndarray:
    """The picture in a PNG file, (3, H, W) in 0..1. **Raises:** `OSError` if it cannot be read."""
    with _opened(path) as image:
        return np.asarray(image.convert("RGB"), dtype=np.float32).transpose(2, 0, 1) / 255


def shrunk(source: pathlib.Path | bytes, width: int = SMALL[0], height: int = SMALL[1]) -> bytes:
    """The picture in a PNG file as a WebP file of at most that size. **Raises:** `OSError` if it cannot be read."""
    from PIL import WebPImagePlugin  # noqa: F401 - to save it, Pillow would else import all the kinds that it knows

    with _opened(source) as image, io.BytesIO() as file:
        # What has a palette cannot be made smaller smoothly.
        small = image if image.mode in ("RGB", "RGBA", "L") else image.convert("RGB")
        small.thumbnail((width, height), reducing_gap=2.0)
        small.convert("RGB").save(file, "WEBP", quality=60)
        return file.getvalue()


@contextlib.contextmanager
def _opened(source: pathlib.Path | bytes) -> "Iterator[Image]":
    """A PNG file, whatever the name of another kind says; damage of any kind is an `OSError`."""
    from PIL import Image

    try:
        opened = io.BytesIO(source) if isinstance(source, bytes) else disk.opened(source)
        with opened as file, Image.open(file, formats=["PNG"]) as image:
            if image.width * image.height > MOST_PIXELS:
                raise OSError(errno.EFBIG, f"has more than {MOST_PIXELS:,} pixels")
            image.load()
            yield image
    except (SyntaxError, ValueError, EOFError, zlib.error, struct.error, Image.DecompressionBombError) as error:
        raise OSError(errno.EINVAL, f"is no whole picture: {error}") from error


@styled
def side_by_side(pictures: Mapping[str, Any]) -> "Figure":
    """Pictures (C, H, W) in 0..1 of any sizes by their captions, at most six in a row."""
    images = [np.asarray(picture) for picture in pictures.values()]
    columns = min(MOST_IN_ROW, len(images))
    rows = math.ceil(len(images) / columns)
    height = max(image.shape[1] / image.shape[2] for image in images)
    cell = min(WIDEST_CELL, FULL_WIDTH / columns)
    figure, axes = new_figure(
        rows, columns, width=max(4.0, cell * columns), height=max(1.8, (cell * height + 0.3) * rows)
    )
    for ax, caption, image in zip(axes, pictures, images, strict=False):
        show_image(ax, image)
        ax.set_title(shorten(caption, int(cell * CHARACTERS)))
    for ax in axes[len(images) :]:
        ax.remove()
    return figure


class Cells(NamedTuple):
    """Where images of one size stand on a figure of `width` x `height`, with a text above each; all in inches."""

    rows: int
    columns: int
    width: float
    height: float
    side: tuple[float, float]  # width and height of an image
    text_height: float

    @classmethod
    def of(cls, images: np.ndarray, text_height: float) -> Self:
        """For `images` (N, C, H, W), at most five in a row."""
        num_images, _, height, width = images.shape
        columns = min(5, num_images)
        rows = math.ceil(num_images / columns)
        side = CELL_WIDTH - GAP, (CELL_WIDTH - GAP) * height / width
        whole = CELL_WIDTH * max(columns, 4), (side[1] + text_height) * rows + HEAD + GAP
        return cls(rows, columns, *whole, side, text_height)

    @property
    def left(self) -> float:
        """Of the first column."""
        return (self.width - CELL_WIDTH * self.columns + GAP) / 2

    def corner(self, place: int) -> tuple[float, float]:
        """The left and the upper edge of an image, from those of the figure."""
        row, column = divmod(place, self.columns)
        return self.left + CELL_WIDTH * column, HEAD + self.text_height + (self.side[1] + self.text_height) * row


def image_grid(images: np.ndarray, text_height: float) -> "tuple[Figure, list[Axes]]":
    """Axes for `images` (N, C, H, W), with `text_height` inches above each for a title."""
    cells = Cells.of(images, text_height)
    left, bottom, top = cells.left / cells.width, GAP / cells.height, (HEAD + text_height) / cells.height
    places = {
        "left": left, "right": 1 - left, "bottom": bottom, "top": 1 - top,
        "wspace": GAP / cells.side[0], "hspace": text_height / cells.side[1],
    }  # fmt: skip
    figure, axes = new_figure(cells.rows, cells.columns, width=cells.width, height=cells.height, places=places)
    for ax in axes[len(images) :]:
        ax.remove()
    return figure, axes


def show_image(ax: "Axes", image: np.ndarray, color: str = MUTED, linewidth: float = 0.8) -> None:
    """One image (C, H, W) in 0..1: three channels as RGB, any other number as their mean in grey."""
    ax.imshow(_shown(image), interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set(visible=True, color=color, linewidth=linewidth)


def _shown(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) of an image (C, H, W)."""
    colored = image if len(image) == 3 else image.mean(axis=0, keepdims=True).repeat(3, axis=0)
    return colored.transpose(1, 2, 0).clip(0, 1)
