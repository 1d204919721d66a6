"""What a convolution makes of an image: kernels, and input, target and answer side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlrun.plots.figure import new_figure, shorten, styled
from dlrun.plots.images import show_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUMBERS_UP_TO = 7  # rows of a kernel whose cells show their number
CUT = 99.5  # percent of the values that the grey levels tell apart; a few bright edges would leave the rest grey
NAME_LENGTH = 24


@styled
def answers(images: Any, target: Any, answer: Any, name: str) -> "Figure":
    """Up to four samples: input, target, answer and what lies between the last two, in the same grey levels.

    `images` (N, C, H, W) in 0..1, `target` and `answer` (N, C', H', W'); `name` says what the target is.
    """
    images, target, answer = (np.asarray(value)[:4] for value in (images, target, answer))
    figure, axes = new_figure(len(images), 4, width=8.4, height=2.1 * len(images) + 0.9)
    low, high = _levels(target)
    columns = (images, _scaled(target, low, high), _scaled(answer, low, high), _scaled(answer - target, -high, high))
    for ax, image in zip(axes, (image for row in zip(*columns, strict=True) for image in row), strict=True):
        show_image(ax, image)
    titles = ("input", f"target: {shorten(name, NAME_LENGTH)}", "answer", "answer - target")
    for ax, title in zip(axes, titles, strict=False):
        ax.set_title(title)
    error = float(np.abs(answer - target).mean())
    figure.suptitle(f"Mean absolute error of these: {error:.2g}; grey levels from {low:.3g} to {high:.3g}")
    return figure


@styled
def edges(image: Any, rows: Sequence[tuple[str, Any, Any]]) -> "Figure":
    """One image under several kernels, a row each: the image, the kernel with its numbers, what comes out.

    `image` (C, H, W) in 0..1; `rows` holds (name, kernel (f, f), edges (C', H', W')).
    """
    images = [np.asarray(result) for _, _, result in rows]
    figure, axes = new_figure(len(rows), 3, width=9.6, height=3.3 * len(rows))
    low, high = _levels(images[0])
    for place, (name, kernel, _) in enumerate(rows):
        left, middle, right = axes[3 * place : 3 * place + 3]
        show_image(left, np.asarray(image))
        _show_kernel(middle, np.asarray(kernel))
        show_image(right, _scaled(images[place], low, high))
        middle.set_title(name)
    axes[0].set_title("input")
    axes[2].set_title("edges")
    return figure


def _levels(values: np.ndarray) -> tuple[float, float]:
    """The values that are black and white: 0 is in the middle, or black where nothing is negative."""
    top = float(np.percentile(np.abs(values), CUT)) or 1.0
    return (-top if values.min() < 0 else 0.0), top


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return ((values - low) / (high - low)).clip(0, 1)


def _show_kernel(ax: "Axes", kernel: np.ndarray) -> None:
    top = float(np.abs(kernel).max()) or 1.0
    ax.imshow(kernel, cmap="RdBu_r", vmin=-top, vmax=top, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    if len(kernel) <= NUMBERS_UP_TO:
        for (row, column), value in np.ndenumerate(kernel):
            color = "white" if abs(value) > 0.6 * top else "black"
            text = f"{value:.2f}".replace("-0.00", "0.00")
            ax.text(column, row, text, ha="center", va="center", color=color, fontsize=10)
