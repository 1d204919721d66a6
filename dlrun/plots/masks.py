"""The class of each pixel: masks side by side, and how far truth and prediction overlap."""

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlrun.plots.figure import COLORS, MUTED, WRONG, new_figure, shorten, styled
from dlrun.plots.images import show_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_IMAGES = 6
MOST_NAMED = 12  # classes in a legend
BARS_UP_TO = 40
NAME_LENGTH = 22
GROUND = "#E4E4E4"  # the first class
TITLES = ("image", "true mask", "predicted mask", "wrong pixels")


@styled
def masks_grid(
    images: Any, true: Any, predicted: Any, class_names: Sequence[str], captions: Sequence[str], not_counted: int
) -> "Figure":
    """Up to six images, each beside its mask, the predicted one, and the pixels in which both differ.

    `images` (N, C, H, W) in 0..1, `true` and `predicted` (N, H, W) classes; a pixel that is truly `not_counted` is
    white, and never wrong. `captions` has a line for each image.
    """
    from matplotlib.patches import Patch

    images, true, predicted = (np.asarray(value)[:MOST_IMAGES] for value in (images, true, predicted))
    num_images, _, height, width = images.shape
    row_height = 2.2 * min(height / width, 2.0) + 0.25
    figure, axes = new_figure(num_images, 4, width=9.6, height=row_height * num_images + 1.1)
    table = class_colors(len(class_names), not_counted)
    for row in range(num_images):
        is_wrong = (true[row] != predicted[row]) & (true[row] != not_counted)
        grey = np.repeat(images[row].mean(axis=0, keepdims=True), 3, axis=0) * 0.5 + 0.5
        errors = np.where(is_wrong, _rgb(WRONG)[:, None, None], grey)
        shown = (images[row], table[true[row]].transpose(2, 0, 1), table[predicted[row]].transpose(2, 0, 1), errors)
        for ax, picture in zip(axes[4 * row : 4 * row + 4], shown, strict=True):
            show_image(ax, picture)
        axes[4 * row].set_xlabel(captions[row], fontsize=8, loc="left")
    for ax, title in zip(axes, TITLES, strict=False):
        ax.set_title(title)
    found, sizes = np.unique(np.concatenate([true.ravel(), predicted.ravel()]), return_counts=True)
    order = [int(k) for k in found[np.argsort(-sizes, kind="stable")] if k != not_counted]
    labels = [(table[k], shorten(class_names[k], NAME_LENGTH)) for k in sorted(order[:MOST_NAMED])]
    if not_counted in found:
        labels.append((np.ones(3), "not counted"))
    labels.append((_rgb(WRONG), "wrong"))
    patches = [Patch(facecolor=tuple(color), edgecolor=MUTED, linewidth=0.5, label=name) for color, name in labels]
    more = f" (and {len(order) - MOST_NAMED} smaller classes)" if len(order) > MOST_NAMED else ""
    figure.suptitle(f"Worst images first{more}")
    figure.legend(handles=patches, loc="outside lower center", ncols=4)
    return figure


@styled
def class_overlap(iou: Any, dice: Any, occurs: Any, class_names: Sequence[str]) -> "Figure":
    """Intersection over union and Dice of each class, the worst first, and the mean of the former.

    `iou`, `dice` (K,) in 0..1; a class that does not `occur` (K,) is left out. Of many classes the worst are shown.
    """
    iou, dice, present = np.asarray(iou), np.asarray(dice), np.flatnonzero(np.asarray(occurs))
    order = present[np.argsort(iou[present], kind="stable")]
    shown, left_out = order[:BARS_UP_TO], max(0, len(order) - BARS_UP_TO)
    mean = iou[present].mean() if len(present) else 1.0
    figure, (ax,) = new_figure(width=7.5, height=1.9 + 0.36 * len(shown))
    places = np.arange(len(shown))
    ax.barh(places - 0.19, 100 * iou[shown], color=COLORS[0], height=0.36, label="intersection over union")
    ax.barh(places + 0.19, 100 * dice[shown], color=COLORS[5], height=0.36, label="Dice")
    for place, k in zip(places, shown, strict=True):
        ax.text(102, float(place), f"{iou[k]:.1%}, {dice[k]:.1%}", va="center", fontsize=8, color=MUTED)
    ax.axvline(100 * mean, color=WRONG, linestyle="--", linewidth=1.4, label=f"mean IoU: {mean:.1%}")
    ax.set_yticks(places, [shorten(class_names[int(k)], NAME_LENGTH) for k in shown])
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.set_xlim(0, 125)
    ax.set_xticks(range(0, 101, 20))
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("overlap of truth and prediction (%)", loc="left")
    ax.set_ylabel("class")
    ax.set_title(f"Overlap of each class{f' ({left_out} better ones left out)' if left_out else ''}")
    figure.legend(loc="outside lower right", ncols=3)
    return figure


def class_colors(num_classes: int, not_counted: int) -> np.ndarray:
    """The colours (max(K, `not_counted`) + 1, 3) of the classes: grey for the first, white for `not_counted`."""
    table = np.ones((max(num_classes, not_counted) + 1, 3))
    for k in range(num_classes):
        if k == 0:
            table[k] = _rgb(GROUND)
        elif k <= len(COLORS):
            table[k] = _rgb(COLORS[k - 1])
        else:
            # Steps of the golden section: no two of many hues are close.
            table[k] = colorsys.hsv_to_rgb(k * 0.618 % 1, 0.55 + 0.4 * (k % 2), 0.6 + 0.35 * (k % 3) / 2)
    return table


def _rgb(color: str) -> np.ndarray:
    return np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
