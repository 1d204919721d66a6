"""Boxes on images, true and predicted ones, and how well they agree."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlrun.plots.figure import COLORS, new_figure, shorten, styled
from dlrun.plots.images import image_grid, show_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRUE, PREDICTED = COLORS[2], COLORS[1]
NAME_LENGTH = 16
MOST_CURVES = 7


@styled
def compared(
    images: np.ndarray, true: Sequence[np.ndarray], predicted: Sequence[np.ndarray],
    true_names: Sequence[Sequence[str]], predicted_names: Sequence[Sequence[str]], titles: Sequence[str] = (),
) -> "Figure":  # fmt: skip
    """Images (N, C, H, W) in 0..1, worst first, with their true boxes (n, 4) dashed and the predicted ones whole."""
    figure, axes = image_grid(images, text_height=0.35)
    rows = zip(axes, images, true, predicted, true_names, predicted_names, strict=False)
    for number, (ax, image, is_, said, is_names, said_names) in enumerate(rows):
        show_image(ax, image)
        outline(ax, is_, TRUE, dashed=True)
        outline(ax, said, PREDICTED, said_names)
        true_text = ", ".join(shorten(name, NAME_LENGTH) for name in is_names[: len(is_)][:3]) or "nothing"
        ax.set_title(titles[number] if number < len(titles) else f"true: {true_text}", fontsize=8)
    figure.suptitle("True boxes (green, dashed) and predicted ones (orange), worst first")
    return figure


def outline(
    ax: "Axes", boxes: np.ndarray, color: str, names: Sequence[str] = (), *, dashed: bool = False, width: float = 1.6
) -> None:
    """Draws boxes (n, 4) x1, y1, x2, y2, each with its name at its upper left corner."""
    from matplotlib.patches import Rectangle

    for number, (x1, y1, x2, y2) in enumerate(np.asarray(boxes).tolist()):
        # imshow puts the middle of the first pixel at 0.
        line = (0, (3, 2)) if dashed else "-"
        corner, sides = (x1 - 0.5, y1 - 0.5), (x2 - x1, y2 - y1)
        ax.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=color, linewidth=width, linestyle=line))
        if number < len(names):
            ax.text(
                x1 - 0.5, y1 - 0.5, shorten(names[number], NAME_LENGTH), fontsize=6.5, color="white", clip_on=True,
                verticalalignment="bottom", bbox={"facecolor": color, "edgecolor": "none", "pad": 0.8},
            )  # fmt: skip


@styled
def iou_histogram(overlap: np.ndarray) -> "Figure":
    """How often which overlap (n,) of a predicted box with its truth was reached."""
    figure, (ax,) = new_figure(width=5.6, height=3.6)
    ax.hist(overlap, bins=np.linspace(0, 1, 21).tolist(), color=COLORS[0])
    ax.axvline(0.5, color=COLORS[1], linestyle="--", label="0.5: counted as found")
    ax.axvline(float(overlap.mean()), color=COLORS[2], label=f"mean {overlap.mean():.3f}")
    ax.set(
        xlabel="intersection over union",
        ylabel="objects",
        title=f"Overlap of each of {len(overlap)} objects with what was found; 0: nothing",
    )
    ax.legend()
    return figure


@styled
def overlap(pair: np.ndarray, iou: float) -> "Figure":
    """Two boxes (2, 4) x1, y1, x2, y2, and what lies in both, dark; y grows downwards, as in images."""
    from matplotlib.patches import Rectangle

    figure, (ax,) = new_figure(width=5.4, height=4.6)
    low, high = np.maximum(pair[0, :2], pair[1, :2]), np.minimum(pair[0, 2:], pair[1, 2:])
    for (x1, y1, x2, y2), color, name in zip(pair.tolist(), (TRUE, PREDICTED), ("first", "second"), strict=True):
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, facecolor=color, alpha=0.25, label=name))
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=2))
    if (high > low).all():
        ax.add_patch(Rectangle(tuple(low.tolist()), *(high - low), facecolor=COLORS[0], alpha=0.6, label="in both"))
    (left, top), (right, bottom) = pair[:, :2].min(axis=0), pair[:, 2:].max(axis=0)
    room = 0.08 * max(right - left, bottom - top)
    ax.set(xlim=(left - room, right + room), ylim=(bottom + room, top - room), xlabel="x", ylabel="y", aspect="equal")
    ax.set_title(f"Intersection over union: {iou:.4g}")
    figure.legend(loc="outside right upper")
    return figure


@styled
def precision_recall(precision: np.ndarray, names: Sequence[str]) -> "Figure":
    """Precision (101, K) over recall 0 to 1 of each class at IoU 0.5, with its average; NaN: the class has no box."""
    figure, (ax,) = new_figure(width=6.2, height=4.4)
    recall = np.linspace(0, 1, len(precision))
    # Of many classes only the worst have room for a name.
    mean = precision.mean(axis=0)
    known = [int(k) for k in np.argsort(mean) if np.isfinite(mean[k])]
    for place, k in enumerate(known):
        named = place < MOST_CURVES
        label = f"{shorten(names[k], NAME_LENGTH)} {mean[k]:.3f}" if named else None
        color = COLORS[place % len(COLORS)] if named else "#CCCCCC"
        ax.plot(recall, precision[:, k], color=color, label=label, zorder=3 if named else 2)
    average = mean[known].mean() if known else 0.0
    more = f", the {MOST_CURVES} lowest of {len(known)} named" if len(known) > MOST_CURVES else ""
    ax.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.03))
    ax.set_title(f"Precision over recall at IoU 0.5, mean {average:.3f}{more}")
    if known:
        ax.legend(loc="lower left")
    return figure


@styled
def grid(
    image: np.ndarray, true: np.ndarray, names: Sequence[str],
    duties: Sequence[tuple[tuple[int, int], np.ndarray, np.ndarray, int]],
) -> "Figure":  # fmt: skip
    """An image (C, H, W) in 0..1 with its boxes (n, 4) and, for each grid, the cells that are responsible for them.

    Of each: (rows, columns) of the grid, the cell (4,), its anchors (A, 4), which of them is responsible.
    """
    grids = sorted({duty[0] for duty in duties}, reverse=True)
    figure, axes = new_figure(1, len(grids), width=max(4.6 * len(grids), 5.4), height=5.2)
    height, width = image.shape[1:]
    for ax, (rows, columns) in zip(axes, grids, strict=True):
        show_image(ax, image)
        ax.set_xticks(np.linspace(0, width, columns + 1) - 0.5, minor=True)
        ax.set_yticks(np.linspace(0, height, rows + 1) - 0.5, minor=True)
        ax.grid(which="minor", color="white", linewidth=0.6, alpha=0.6)
        outline(ax, true, TRUE, names)
        for number, (own, cell, anchors, chosen) in enumerate(duties):
            if own != (rows, columns):
                continue
            color = COLORS[(number + 3) % len(COLORS)]
            x1, y1, x2, y2 = cell.tolist()
            outline(ax, cell[None], "white", width=2.4)
            ax.fill(
                [x1 - 0.5, x2 - 0.5, x2 - 0.5, x1 - 0.5], [y1 - 0.5, y1 - 0.5, y2 - 0.5, y2 - 0.5], color, alpha=0.6
            )
            outline(ax, np.delete(anchors, chosen, axis=0) if len(anchors) else anchors, color, dashed=True, width=0.8)
            outline(ax, anchors[chosen : chosen + 1], color, width=1.8)
        centres = (true[:, :2] + true[:, 2:]) / 2 - 0.5
        ax.plot(centres[:, 0], centres[:, 1], "o", color=TRUE, markersize=4)
        ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        ax.set_title(f"{rows} x {columns} cells", fontsize=10)
    has_anchors = any(len(duty[2]) for duty in duties)
    more = "\nby its anchor that fits best (whole; the others are dashed)" if has_anchors else ""
    figure.suptitle(f"The cell of an object's centre is responsible for it{more}", fontsize=11)
    return figure


@styled
def before_and_after(
    image: np.ndarray, before: np.ndarray, after: np.ndarray, names: Sequence[str], score: float
) -> "Figure":
    """One image (C, H, W) in 0..1 with its boxes (m, 6) before and after the suppression of overlapping ones."""
    figure, axes = new_figure(1, 2, width=8.4, height=4.6)
    for ax, found, title in zip(axes, (before, after), ("before", "after"), strict=True):
        show_image(ax, image)
        texts = [f"{shorten(names[int(k)], NAME_LENGTH)} {p:.0%}" for p, k in found[:, 4:].tolist()]
        outline(ax, found[:, :4], PREDICTED, texts if title == "after" else (), width=1.2)
        ax.set_title(f"{title}: {len(found)} boxes", fontsize=10)
    figure.suptitle(f"Non-maximum suppression, boxes with a score of at least {score:g}")
    return figure


@styled
def masks_compared(
    images: np.ndarray, true: Sequence[np.ndarray], predicted: Sequence[np.ndarray]
) -> "Figure":  # fmt: skip
    """Images (N, C, H, W) in 0..1 and below them their true and predicted objects, masks (n, H, W) of 0 and 1."""
    figure, axes = new_figure(3, len(images), width=1.9 * max(len(images), 3), height=6.2)
    rows = ("image", "true masks", "predicted masks")
    for column, image in enumerate(images):
        for row, masks in enumerate((None, true[column], predicted[column])):
            ax = axes[row * len(images) + column]
            show_image(ax, image)
            for number, mask in enumerate(() if masks is None else masks):
                color = COLORS[number % len(COLORS)]
                paint = np.zeros((*mask.shape, 4))
                paint[mask > 0] = [*(int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)), 0.65]
                ax.imshow(paint, interpolation="nearest")
            if column == 0:
                ax.set_ylabel(rows[row], fontsize=9)
    figure.suptitle("Objects and their masks, each in a colour of its own")
    return figure
