"""What models of sequences look at: attention, positions and the vectors of tokens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlrun.plots.figure import COLORS, new_figure, shorten, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMED_UP_TO = 32  # steps
MOST_LAYERS = 4
MOST_HEADS = 8


@styled
def attention_maps(layers: Sequence[Any], steps: Sequence[str]) -> "Figure":
    """Shares (H, T, T) of each layer: a row of pictures a layer, one a head; `steps` (T,) are named on both axes."""
    layers = [np.asarray(layer)[:MOST_HEADS] for layer in layers[:MOST_LAYERS]]
    rows, columns = len(layers), len(layers[0])
    figure, axes = new_figure(
        rows, columns, width=1.2 + 2.3 * columns, height=1.0 + 2.3 * rows,
        title="Attention: how much a step (row) takes from each step (column)",
    )  # fmt: skip
    names = [shorten(step, 6) for step in steps] if len(steps) <= NAMED_UP_TO else None
    image: Any = None
    for place, ax in enumerate(axes):
        layer, head = divmod(place, columns)
        image = ax.imshow(layers[layer][head], cmap="viridis", vmin=0, vmax=1)
        ax.grid(visible=False)
        ax.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=9)
        if names is not None:
            ax.set_xticks(range(len(names)), names, fontsize=7)
            ax.set_yticks(range(len(names)), names, fontsize=7)
    figure.colorbar(image, ax=axes, label="share", shrink=0.8)
    return figure


@styled
def positions(values: Any) -> "Figure":
    """What is added to the vector of each step, (T, D)."""
    values = np.asarray(values)
    figure, (ax,) = new_figure(width=7, height=4.2)
    image = ax.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    ax.grid(visible=False)
    ax.set(xlabel="feature", ylabel="step", title="Positional encoding: what is added to the vector of each step")
    figure.colorbar(image, ax=ax)
    return figure


@styled
def token_vectors(points: Any, names: Sequence[str], shares: Any) -> "Figure":
    """Vectors of tokens in the plane (V, 2), each at its name; `shares` (2,): of the variance, by axis."""
    points = np.asarray(points)
    figure, (ax,) = new_figure(width=7, height=6)
    ax.scatter(*points.T, s=0)
    for point, name in zip(points, names, strict=True):
        ax.annotate(shorten(name, 12), point, ha="center", va="center", color=COLORS[0], fontsize=9)
    first, second = (f"principal component {axis + 1} ({float(shares[axis]):.0%} of the variance)" for axis in (0, 1))
    ax.set(xlabel=first, ylabel=second, title=f"Embedding: the vectors of {len(points)} tokens")
    return figure
