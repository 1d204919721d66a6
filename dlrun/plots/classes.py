"""How well each class is recognised, from a confusion matrix of counts (K true, K predicted)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlrun.plots.figure import COLORS, MUTED, WRONG, new_figure, shorten, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUMBERS_UP_TO = 20  # classes
LABELS_UP_TO = 40
BARS_UP_TO = 40
NAME_LENGTH = 22
LETTERS_SIDE_BY_SIDE = 40  # more do not fit below the columns


@styled
def confusion_matrix(matrix: Any, class_names: Sequence[str]) -> "Figure":
    """Counts as numbers, the share of the true class as colour; below it the most frequent mistakes.

    `matrix` (K, K) holds in row i, column j how many examples of class i were taken for j.
    """
    counts = np.asarray(matrix)
    num_classes = len(counts)
    shares = _shares(counts)
    side = 3.6 + min(0.42 * num_classes, 6.4)
    figure, (ax,) = new_figure(width=side + 0.9, height=side)
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=ax, label="share of the true class", shrink=0.8)
    if num_classes <= NUMBERS_UP_TO:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                color = "white" if shares[row, column] > 0.5 else "black"
                size = min(10, 25 / len(str(counts.max()))) if num_classes > 10 else 9
                ax.text(column, row, str(count), ha="center", va="center", color=color, fontsize=size)
    stride = -(-num_classes // LABELS_UP_TO)
    places = range(0, num_classes, stride)
    names = [shorten(name, NAME_LENGTH) for name in class_names[:num_classes:stride]]
    ax.set_xticks(places, names, rotation=90 if max(map(len, names)) * len(names) > LETTERS_SIDE_BY_SIDE else 0)
    ax.set_yticks(places, names)
    ax.tick_params(length=2, labelsize=8 if num_classes > NUMBERS_UP_TO else 9)
    ax.grid(visible=False)
    ax.set_xlabel(f"predicted class\n\n{_mistakes(counts, class_names)}")
    ax.set_ylabel("true class")
    right, total = np.trace(counts), counts.sum()
    ax.set_title(f"Confusion matrix: {right} of {total} right ({right / max(total, 1):.1%})")
    return figure


@styled
def per_class_accuracy(matrix: Any, class_names: Sequence[str]) -> "Figure":
    """The share of each class that was recognised (its recall), worst first, and their mean.

    `matrix` as in `confusion_matrix`. Of many classes the worst and the best are shown. A class
    without examples is left out.
    """
    counts = np.asarray(matrix)
    totals = counts.sum(axis=1)
    present = np.flatnonzero(totals)
    accuracy = np.diagonal(_shares(counts))
    order = present[np.argsort(accuracy[present], kind="stable")]
    left_out = max(0, len(order) - BARS_UP_TO)
    shown = np.concatenate([order[: BARS_UP_TO // 2], order[-(BARS_UP_TO // 2) :]]) if left_out else order
    mean = accuracy[present].mean() if len(present) else 0.0

    figure, (ax,) = new_figure(width=7.5, height=1.6 + 0.26 * len(shown))
    ax.barh(range(len(shown)), 100 * accuracy[shown], color=COLORS[0], height=0.7)
    for place, i in enumerate(shown):
        text = f"{accuracy[i]:.1%}  ({counts[i, i]} of {totals[i]})"
        ax.text(102, place, text, va="center", fontsize=8, color=MUTED)
    ax.axvline(100 * mean, color=WRONG, linestyle="--", linewidth=1.4, label=f"mean of the classes: {mean:.1%}")
    ax.set_yticks(range(len(shown)), [shorten(class_names[int(i)], NAME_LENGTH) for i in shown])
    if left_out:
        ax.axhline(BARS_UP_TO // 2 - 0.5, color=MUTED, linewidth=0.8)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.set_xlim(0, 130)
    ax.set_xticks(range(0, 101, 20))
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("accuracy (% of the examples of the class)", loc="left")
    ax.set_ylabel("class")
    ax.set_title(f"Accuracy of each class{f' ({left_out} between worst and best left out)' if left_out else ''}")
    figure.legend(loc="outside lower right")
    return figure


def _shares(counts: np.ndarray) -> np.ndarray:
    """Counts divided by their row's sum; a row of zeros stays zero."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _mistakes(counts: np.ndarray, class_names: Sequence[str]) -> str:
    wrong = counts - np.diag(np.diagonal(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:3]
    pairs = [divmod(int(place), len(wrong)) for place in order if wrong.flat[place]]
    lines = [
        f"{shorten(class_names[i], NAME_LENGTH)} taken for {shorten(class_names[j], NAME_LENGTH)}: {wrong[i, j]}"
        for i, j in pairs
    ]
    return "\n".join(["most frequent mistakes", *(lines or ["none"])])
