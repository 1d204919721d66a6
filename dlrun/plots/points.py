"""Key points on images, true and predicted ones, and how far they are apart."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlrun.plots.figure import COLORS, new_figure, styled
from dlrun.plots.images import image_grid, show_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRUE, PREDICTED = COLORS[2], COLORS[1]


@styled
def compared(
    images: np.ndarray, true: np.ndarray, predicted: np.ndarray, skeleton: Sequence[tuple[int, int]]
) -> "Figure":
    """Images (N, C, H, W) in 0..1, worst first, with points (N, P, 3): x, y in pixels, and whether they are there.

    `skeleton`: the pairs of points that are joined by a line.
    """
    figure, axes = image_grid(images, text_height=0.35)
    for ax, image, is_, said in zip(axes, images, true, predicted, strict=False):
        show_image(ax, image)
        # Only points that are there can be right or wrong; of an image without any, all that are said to be there.
        wanted = is_[:, 2] > 0
        _draw(ax, is_, wanted, skeleton, TRUE, "o")
        is_found = said[:, 2] > 0.5
        _draw(ax, said, is_found & (wanted | ~wanted.any()), skeleton, PREDICTED, "x")
        title = "not found" if wanted.any() and not is_found.any() else f"present {said[0, 2]:.0%}"
        if wanted.any() and is_found.any():
            title = f"{np.hypot(*(is_ - said)[wanted, :2].T).mean():.2f} px off"
        ax.set_title(title, fontsize=8)
    figure.suptitle("True points (green) and predicted ones (orange crosses), worst first")
    return figure


def _draw(
    ax: "Axes", points: np.ndarray, shown: np.ndarray, skeleton: Sequence[tuple[int, int]], color: str, marker: str
) -> None:
    # imshow puts the middle of the first pixel at 0.
    x, y = points[:, 0] - 0.5, points[:, 1] - 0.5
    ax.plot(x[shown], y[shown], marker, color=color, markersize=5, markerfacecolor="none", linestyle="none")
    for one, other in skeleton:
        if shown[one] and shown[other]:
            ax.plot(x[[one, other]], y[[one, other]], color=color, linewidth=1)


@styled
def errors_of_each(distances: Sequence[np.ndarray], names: Sequence[str]) -> "Figure":
    """The spread of the distances (n,) in pixels of each point."""
    figure, (ax,) = new_figure(width=5.6, height=3.6)
    ax.boxplot([each if len(each) else [np.nan] for each in distances], showfliers=False)
    ax.set_xticks(range(1, len(names) + 1), list(names), rotation=20 if len(names) > 4 else 0)
    mean = np.concatenate(list(distances)).mean()
    ax.set(ylabel="pixels", title=f"Distance of each point from where it is; mean {mean:.2f} px")
    return figure
