"""Figures of a yes-or-no problem: probabilities, and the price of each threshold."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlrun.plots.figure import COLORS, MUTED, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def roc_curve(true: np.ndarray, score: np.ndarray) -> "Figure":
    """True against false positives over all thresholds, from labels and scores (N,), such as logits."""
    from sklearn import metrics

    false_rate, true_rate, _ = metrics.roc_curve(true, score)
    area = metrics.roc_auc_score(true, score)
    figure, (ax,) = new_figure(width=5.4, height=5)
    ax.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1, label="chance: area 0.5")
    ax.plot(false_rate, true_rate, color=COLORS[0], label=f"model: area {area:.3f}")
    ax.set(xlabel="false positive rate", ylabel="true positive rate (recall)", title="ROC curve")
    ax.legend(loc="lower right")
    return figure


@styled
def precision_recall_curve(true: np.ndarray, score: np.ndarray) -> "Figure":
    """Precision against recall over all thresholds, from labels and scores (N,), such as logits."""
    from sklearn import metrics

    precision, recall, _ = metrics.precision_recall_curve(true, score)
    area = metrics.average_precision_score(true, score)
    share = float(np.mean(true))
    figure, (ax,) = new_figure(width=5.4, height=5)
    ax.axhline(share, color=MUTED, linestyle="--", linewidth=1, label=f"chance: {share:.2f} are positive")
    ax.step(recall, precision, where="post", color=COLORS[0], label=f"model: average precision {area:.3f}")
    ax.set(xlabel="recall", ylabel="precision", ylim=(0, 1.03), title="Precision and recall")
    ax.legend(loc="lower left")
    return figure


@styled
def probability_curve(
    features: np.ndarray,
    true: np.ndarray,
    grid: np.ndarray,
    probability: np.ndarray,
    names: Sequence[str],
    positive: str,
) -> "Figure":
    """The probability of class 1 over the one feature: data (N, 1), grid (M, 1), the line at 0.5."""
    figure, (ax,) = new_figure(width=6.4, height=4.4)
    ax.axhline(0.5, color=MUTED, linestyle="--", linewidth=1, label="0.5: from here on the answer is yes")
    ax.plot(grid[:, 0], probability, color=COLORS[1], label="model")
    ax.scatter(features[:, 0], true, s=26, color=COLORS[0], zorder=3, label="data")
    ax.set(xlabel=names[0], ylabel=f"probability of {positive}", ylim=(-0.05, 1.05))
    ax.set_title(f"Probability of {positive} over {names[0]}")
    ax.legend(loc="upper left", bbox_to_anchor=(0, 0.9))
    return figure


@styled
def decision_regions(
    features: np.ndarray,
    true: np.ndarray,
    grid: np.ndarray,
    probability: np.ndarray,
    names: Sequence[str],
    positive: str,
) -> "Figure":
    """The probability of class 1 over two features: data (N, 2), a square grid (M, 2), the border at 0.5."""
    side = round(len(grid) ** 0.5)
    first, second = (grid[:, column].reshape(side, side) for column in (0, 1))
    figure, (ax,) = new_figure(width=6.6, height=5.2)
    filled = ax.contourf(
        first, second, probability.reshape(side, side), levels=np.linspace(0, 1, 21), cmap="RdBu_r", alpha=0.7
    )
    ax.contour(first, second, probability.reshape(side, side), levels=[0.5], colors="black", linewidths=1.2)
    for label, color, marker in ((0, "#08306B", "o"), (1, "#7F0000", "^")):
        members = features[true == label]
        text = positive if label else f"not {positive}"
        ax.scatter(
            members[:, 0],
            members[:, 1],
            s=16,
            color=color,
            marker=marker,
            edgecolors="white",
            linewidths=0.4,
            label=text,
        )
    figure.colorbar(filled, ax=ax, label=f"probability of {positive}", ticks=[0, 0.25, 0.5, 0.75, 1])
    ax.set(xlabel=names[0], ylabel=names[1], title="Decision regions, border at 0.5")
    ax.legend(loc="best")
    return figure
