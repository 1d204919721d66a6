"""One kernel on one image: the convolution, a rim of zeros, longer strides, and max-pooling.

Letters: n pixels along a side of the image, f of the kernel, p the rim, s the stride.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from dlrun.config.kernels import KERNELS
from dlrun.config.schema import Kernel, Number, Range, says
from dlrun.errors import UserError
from dlrun.examples.lesson import Lesson, Step, matrix, size, sum_of_products, text
from dlrun.plots import grids

IMAGE = ((3.0, 4, 6, 5, 7), (2, 4, 6, 8, 2), (1, 6, 7, 8, 4), (9, 7, 4, 6, 2), (3, 7, 5, 4, 1))
KERNEL = ((1.0, 2, 3), (4, 5, 6), (7, 8, 9))
MOST_PIXELS = 12  # a side


@says(chapter="9 convolution")
def conv(
    *, padding: Annotated[int, Range(0, 6)] = 0, stride: Annotated[int, Range(1, 12)] = 1,
    image: tuple[tuple[Number, ...], ...] | None = None, kernel: tuple[tuple[Number, ...], ...] | Kernel | None = None,
) -> Lesson:  # fmt: skip
    """A kernel slides over an image; at each place the products of what lies on each other are added up.

    **Arguments:**

    - `padding`: p, rows and columns of zeros around the image.
    - `stride`: s, pixels that the kernel moves at a time.
    - `image`: rows of numbers; null: the notes' 5 x 5.
    - `kernel`: rows of numbers, or the name of a kernel that finds edges, such as sobel_x; null: 1 to 9.
    """
    return _convolution("A convolution", padding, stride, image, kernel)


@says(chapter="9 convolution")
def padding(
    *, padding: Annotated[int, Range(0, 6)] = 1, stride: Annotated[int, Range(1, 12)] = 1,
    image: tuple[tuple[Number, ...], ...] | None = None, kernel: tuple[tuple[Number, ...], ...] | Kernel | None = None,
) -> Lesson:  # fmt: skip
    """With zeros around it an image keeps its size, and its corners are seen as often as its middle.

    **Arguments:**

    - `padding`: p, rows and columns of zeros around the image; (f - 1) / 2 of them keep its size.
    - `stride`: s, pixels that the kernel moves at a time.
    - `image`: rows of numbers; null: the notes' 5 x 5.
    - `kernel`: rows of numbers, or the name of a kernel that finds edges, such as sobel_x; null: 1 to 9.
    """
    return _convolution("A convolution of a padded image", padding, stride, image, kernel)


@says(chapter="9 convolution")
def stride(
    *, padding: Annotated[int, Range(0, 6)] = 0, stride: Annotated[int, Range(1, 12)] = 2,
    image: tuple[tuple[Number, ...], ...] | None = None, kernel: tuple[tuple[Number, ...], ...] | Kernel | None = None,
) -> Lesson:  # fmt: skip
    """A kernel that moves two pixels at a time: the image is half as large, for a quarter of the work.

    **Arguments:**

    - `padding`: p, rows and columns of zeros around the image.
    - `stride`: s, pixels that the kernel moves at a time.
    - `image`: rows of numbers; null: the notes' 5 x 5.
    - `kernel`: rows of numbers, or the name of a kernel that finds edges, such as sobel_x; null: 1 to 9.
    """
    return _convolution("A convolution with a stride", padding, stride, image, kernel)


@says(chapter="9 convolution")
def maxpool(
    *, kernel_size: Annotated[int, Range(1, 12)] = 2, stride: Annotated[int, Range(1, 12)] | None = None,
    image: tuple[tuple[Number, ...], ...] = ((3.0, 4.0, 6.0, 5.0), (2.0, 4.0, 6.0, 8.0), (1.0, 6.0, 7.0, 8.0),
                                            (9.0, 7.0, 4.0, 6.0)),
) -> Lesson:  # fmt: skip
    """Of each window only the largest number is left; nothing is learned, and the number of channels stays.

    **Arguments:**

    - `kernel_size`: f, pixels a side of a window.
    - `stride`: s, pixels between windows; null: as many as a window has, so that they do not overlap.
    - `image`: rows of numbers.
    """
    x, f = _image(image), kernel_size
    s = f if stride is None else stride
    if min(x.shape) < f:
        raise UserError(f"kernel_size: a window of {f} x {f} does not fit into an image of {size(x)}")
    y = F.max_pool2d(x[None], f, s)[0]
    window, at = x[:f, :f], _at(s)
    steps = [
        Step(f"The image x, {size(x)}.", values=x),
        Step(f"The first window, its upper left {f} x {f}.", f"max = {text(float(window.max()))}", window),
        _sides(x.shape, (f, f), 0, s),
        Step(f"The largest number of each window, {size(y)}.", f"y[i, j] = max x[{at}i + k, {at}j + l], k, l < {f}", y),
    ]
    windows = [(i * s, j * s, f, f) for i in range(y.shape[0]) for j in range(y.shape[1])]
    shown = windows if s >= f else windows[:2]  # overlapping frames hide each other
    panels = [
        grids.Grid("image x", x, windows=shown),
        grids.Grid("largest of each window", y, windows=_cells(shown, s)),
    ]
    return Lesson(steps, grids.grids(panels, f"Max-pooling {f} x {f}, stride {s}"))


def _convolution(
    title: str, p: int, s: int, image: tuple[tuple[Number, ...], ...] | None,
    kernel: tuple[tuple[Number, ...], ...] | str | None,
) -> Lesson:  # fmt: skip
    x = _image(IMAGE if image is None else image)
    w = matrix("kernel", KERNELS[kernel] if isinstance(kernel, str) else KERNEL if kernel is None else kernel)
    padded = F.pad(x, (p, p, p, p))
    if any(f > n for f, n in zip(w.shape, padded.shape, strict=True)):
        raise UserError(f"kernel: {size(w)} does not fit into an image of {size(padded)} with its padding")
    y = F.conv2d(padded[None, None], w[None, None], stride=s)[0, 0]
    rows, columns = w.shape
    first, at = padded[:rows, :columns], _at(s)
    rim = f" in a rim of {p} zeros" if p else ""
    steps = [
        Step(f"The image x, {size(x)}{rim}.", values=padded),
        Step(f"The kernel w, {size(w)}.", values=w),
        Step(
            "The first place, the upper left: what lies on each other is multiplied, and all products are added up.",
            f"{sum_of_products(first, w)} = {text(float(y[0, 0]))}",
            first * w,
        ),
        _sides(x.shape, (rows, columns), p, s),
        Step(
            f"All places, {size(y)}. The kernel is not turned over first, as mathematicians would: this is a "
            "cross-correlation, which everybody here calls a convolution.",
            f"y[i, j] = sum over k, l of w[k, l] x[{at}i + k, {at}j + l]",
            y,
        ),
    ]
    # The first window, the next one, and the first of the next row.
    places = [(0, 0), *([(0, 1)] if y.shape[1] > 1 else []), *([(1, 0)] if y.shape[0] > 1 else [])]
    windows = [(i * s, j * s, rows, columns) for i, j in places]
    is_rim = F.pad(torch.zeros(x.shape, dtype=torch.bool), (p, p, p, p), value=True)
    panels = [
        grids.Grid("image x" + (", padded" if p else ""), padded, windows=windows, is_faint=is_rim),
        grids.Grid("kernel w", w),
        grids.Grid("y", y, windows=[(i, j, 1, 1) for i, j in places]),
    ]
    return Lesson(steps, grids.grids(panels, f"{title}: padding {p}, stride {s}"))


def _image(rows: tuple[tuple[float, ...], ...]) -> Tensor:
    x = matrix("image", rows)
    if max(x.shape) > MOST_PIXELS:
        raise UserError(f"image: must have at most {MOST_PIXELS} pixels a side, found {size(x)}")
    return x


def _sides(image: torch.Size, window: tuple[int, int], p: int, s: int) -> Step:
    """How many places there are along each side."""
    sums = [
        f"floor(({n} + 2 * {p} - {f}) / {s}) + 1 = {(n + 2 * p - f) // s + 1}"
        for n, f in zip(image, window, strict=True)
    ]
    says = "The size: so many places a window has along a side of n pixels; what is left over is not looked at."
    return Step(says, "floor((n + 2 p - f) / s) + 1:  " + " and ".join(dict.fromkeys(sums)))


def _at(s: int) -> str:
    """`2 ` in front of an index that the stride 2 multiplies."""
    return f"{s} " if s > 1 else ""


def _cells(windows: list[tuple[int, int, int, int]], s: int) -> list[tuple[int, int, int, int]]:
    return [(row // s, column // s, 1, 1) for row, column, _, _ in windows]
