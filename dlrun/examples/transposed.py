"""A transposed convolution, which makes an image larger."""

from typing import Annotated

from dlrun.config.schema import Number, Range, says
from dlrun.errors import UserError
from dlrun.examples.lesson import Lesson, Step, matrix, size, text
from dlrun.models.parts.transposed import transposed_conv2d
from dlrun.plots import grids

MOST_PIXELS = 4  # a side


@says(chapter="U-Net")
def transposed_conv(
    *, stride: Annotated[int, Range(1, 3)] = 2, padding: Annotated[int, Range(0, 4)] = 1,
    output_padding: Annotated[int, Range(0, 2)] = 1,
    image: tuple[tuple[Number, ...], ...] = ((2.0, 1.0), (3.0, 2.0)),
    kernel: tuple[tuple[Number, ...], ...] = ((1.0, 2.0, 1.0), (2.0, 0.0, 1.0), (0.0, 2.0, 1.0)),
) -> Lesson:  # fmt: skip
    """Each pixel lays a copy of the kernel, times itself, on the output: 2 x 2 pixels become 4 x 4.

    **Arguments:**

    - `stride`: s, pixels of the output from one copy to the next.
    - `padding`: p, rows and columns that are cut off on each side.
    - `output_padding`: o, how many of them stay at the lower and the right side after all; below the stride.
    - `image`: rows of numbers.
    - `kernel`: rows of numbers.
    """
    x, w = matrix("image", image), matrix("kernel", kernel)
    if max(*x.shape, *w.shape) > MOST_PIXELS:
        raise UserError(f"image, kernel: at most {MOST_PIXELS} numbers a side, found {size(x)} and {size(w)}")
    n, f, s, p, o = x.shape[0], w.shape[0], stride, padding, output_padding
    y, whole = (transposed_conv2d(x[None, None], w[None, None], s, *cut)[0, 0] for cut in ((p, o), (0, 0)))
    # Of a convolution with the same kernel, padding and stride: what it makes of images of these sizes.
    smallest = (n - 1) * s + f - 2 * p
    back = [(side, (side + 2 * p - f) // s + 1) for side in range(smallest, smallest + s)]
    first, last = float(x[0, 0]), float(x[-1, -1])
    row, column = (x.shape[0] - 1) * s, (x.shape[1] - 1) * s
    steps = [
        Step(f"The image x, {size(x)}.", values=x),
        Step(f"The kernel w, {size(w)}.", values=w),
        Step(
            f"The first pixel, {text(first)}, lays a copy of the kernel in the upper left corner; the next pixel "
            f"lays its own {s} further on, and so on.",
            f"{text(first)} w",
            first * w,
        ),
        Step(
            f"The last pixel, {text(last)}, lays its copy at row {row}, column {column}.", f"{text(last)} w", last * w
        ),
        Step(
            f"Where copies lie on each other they are added up: {size(whole)}.",
            f"a side: (n - 1) s + f = {n - 1} * {s} + {f} = {whole.shape[0]}",
            whole,
        ),
        Step(
            f"The padding {p} cuts rows and columns off, and the output padding {o} leaves some at the lower and the "
            f"right side: {size(y)}.",
            f"a side: (n - 1) s + f - 2 p + o = {y.shape[0]}",
            y,
        ),
        Step(
            "Why an output padding: a convolution with this kernel, padding and stride rounds down, so images of "
            "several sizes become equally small. On the way back the size must be said, and o says it.",
            "floor((n + 2 p - f) / s) + 1",
            [[str(side), str(after), str(side - smallest)] for side, after in back if side > 0],
            columns=("pixels a side", "after the convolution", "o on the way back"),
        ),
    ]
    frame = (
        [(p, p, y.shape[0], y.shape[1])]
        if p + y.shape[0] <= whole.shape[0] and p + y.shape[1] <= whole.shape[1]
        else []
    )
    panels = [
        grids.Grid("image x", x),
        grids.Grid("kernel w", w),
        grids.Grid("all copies; the frame stays" if frame else "all copies", whole, windows=frame),
        grids.Grid("output", y),
    ]
    return Lesson(steps, grids.grids(panels, f"A transposed convolution: stride {s}, padding {p}, output padding {o}"))
