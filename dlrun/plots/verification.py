"""Pairs of pictures, how far apart they are, and what is near to what."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlrun.plots.figure import COLORS, MUTED, RIGHT, WRONG, new_figure, shorten, styled
from dlrun.plots.images import show_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAME, DIFFERENT = COLORS[2], COLORS[1]
CELL = 1.05  # inches
NAME_LENGTH = 10
MOST_NAMED = 12


@styled
def distance_histogram(same: np.ndarray, different: np.ndarray, threshold: float | None, area: float) -> "Figure":
    """How many pairs of the same (n,) and of different ones (m,) have which distance, each as shares of their kind."""
    figure, (ax,) = new_figure(width=6.4, height=3.8)
    bins = np.linspace(0, max(same.max(), different.max()), 41).tolist()
    for values, color, name in ((same, SAME, "the same"), (different, DIFFERENT, "different")):
        shares = np.full(len(values), 1 / len(values))
        ax.hist(values, bins=bins, weights=shares, color=color, alpha=0.6, label=f"{len(values):,} pairs of {name}")
    if threshold is not None:
        ax.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.3g}: the same up to here")
    ax.set(xlabel="distance", ylabel="share of the pairs", title=f"Distances of pairs, ROC-AUC {area:.3f}")
    ax.legend()
    return figure


@styled
def pairs_grid(rows: Sequence[tuple[str, np.ndarray, np.ndarray, Sequence[str]]]) -> "Figure":
    """Pairs one above the other: a row a kind, (label, images (n, C, H, W), images (n, C, H, W), texts)."""
    columns = max(len(row[1]) for row in rows)
    figure, axes = new_figure(2 * len(rows), columns, width=CELL * columns + 0.6, height=2.55 * len(rows) + 0.4)
    for number, (label, first, second, texts) in enumerate(rows):
        for column in range(columns):
            upper, lower = axes[2 * number * columns + column], axes[(2 * number + 1) * columns + column]
            if column >= len(first):
                upper.remove()
                lower.remove()
                continue
            show_image(upper, first[column])
            show_image(lower, second[column])
            upper.set_title(texts[column], fontsize=8)
        axes[2 * number * columns].set_ylabel(label, fontsize=9)
    figure.suptitle("The hardest pairs")
    return figure


@styled
def nearest(
    queries: np.ndarray, found: Sequence[np.ndarray], is_same: np.ndarray, texts: Sequence[Sequence[str]]
) -> "Figure":
    """Pictures (n, C, H, W), and beside each the ones (k, C, H, W) that are nearest to it, the nearest first."""
    columns = 1 + len(found[0])
    figure, axes = new_figure(len(queries), columns, width=CELL * columns + 0.4, height=1.35 * len(queries) + 0.5)
    for row, query in enumerate(queries):
        show_image(axes[row * columns], query)
        axes[row * columns].set_title(texts[row][0], fontsize=8)
        for column, image in enumerate(found[row]):
            ax = axes[row * columns + 1 + column]
            right = bool(is_same[row][column])
            color = RIGHT if right else WRONG
            show_image(ax, image, color, linewidth=1.8 if right else 3.5)
            ax.set_title(("" if right else "✗ ") + texts[row][1 + column], fontsize=8, color=color)
    figure.suptitle("On the left a picture, then its nearest ones; another person is marked ✗", fontsize=11)
    return figure


@styled
def triplets(images: Sequence[np.ndarray], texts: Sequence[Sequence[str]]) -> "Figure":
    """Anchors, positives and negatives, (n, C, H, W) each, one triplet a column."""
    columns = len(images[0])
    figure, axes = new_figure(3, columns, width=CELL * max(columns, 4) + 0.6, height=4.2)
    for row, (label, own) in enumerate(zip(("anchor", "positive", "negative"), images, strict=True)):
        for column, image in enumerate(own):
            ax = axes[row * columns + column]
            show_image(ax, image)
            ax.set_title(texts[row][column], fontsize=8)
        axes[row * columns].set_ylabel(label, fontsize=9)
    figure.suptitle("Triplets as they are mined, and the distance from the anchor", fontsize=11)
    return figure


@styled
def embedding_map(points: np.ndarray, target: np.ndarray, names: Sequence[str], share: float) -> "Figure":
    """Embeddings on their two main axes (N, 2), a colour and a mark for each of the first people."""
    figure, (ax,) = new_figure(width=6.2, height=5.2)
    marks = "osD^v<>P*X"
    for place, who in enumerate(int(who) for who in np.unique(target)):
        own = points[target == who]
        named = place < MOST_NAMED
        ax.plot(
            own[:, 0], own[:, 1], marks[place % len(marks)], markersize=5, alpha=0.8, linestyle="none",
            color=COLORS[place % len(COLORS)] if named else MUTED,
            label=shorten(names[who], NAME_LENGTH) if named else None,
        )  # fmt: skip
    ax.set(xlabel="first main axis", ylabel="second main axis", aspect="equal")
    ax.set_title(f"Embeddings on two axes, which hold {share:.0%} of their variance")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
