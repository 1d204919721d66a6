"""Gram matrices of the maps of a layer, as heat maps."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dlrun.plots.figure import new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CUT = 99  # percent of the entries that the colours tell apart; a few strong channels would leave the rest pale


@styled
def matrices(grams: Mapping[str, Any], layer: str) -> "Figure":
    """The matrices (C, C) by what they are of, in the same colours: white is 0."""
    values = {name: np.asarray(gram) for name, gram in grams.items()}
    figure, axes = new_figure(1, len(values), width=3.6 * len(values) + 0.8, height=4.1)
    top = max(float(np.percentile(np.abs(value), CUT)) for value in values.values()) or 1.0
    for ax, (name, value) in zip(axes, values.items(), strict=True):
        ax.imshow(value, cmap="RdBu_r", vmin=-top, vmax=top, interpolation="nearest")
        ax.set_title(name)
        ax.set_xlabel("channel")
        ax.grid(visible=False)
    axes[0].set_ylabel("channel")
    figure.colorbar(axes[0].images[0], ax=axes, shrink=0.8, label="mean product of two channels")
    figure.suptitle(f"Gram matrices of {layer}")
    return figure
