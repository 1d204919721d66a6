"""Pictures of what a convolutional network sees: kernels, feature maps, class activations."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlrun.plots.figure import new_figure, shorten, styled
from dlrun.plots.images import show_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 8
MOST_KERNELS = 64
NAME_LENGTH = 24
CELL = 1.1  # inches


@styled
def kernels(weight: Any, path: str) -> "Figure":
    """Up to 64 kernels `weight` (N, C, f, f) of the layer `path`: of three channels in colour, else their mean."""
    weight = np.asarray(weight)
    shown = weight[:MOST_KERNELS]
    top = float(np.abs(shown).max()) or 1.0
    columns = min(COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure, axes = new_figure(rows, columns, width=CELL * max(columns, 6), height=CELL * rows + 0.8)
    for ax, kernel in zip(axes, shown, strict=False):
        show_image(ax, (kernel / top + 1) / 2)
    for ax in axes[len(shown) :]:
        ax.remove()
    count = f"{len(shown)} of {len(weight)}" if len(weight) > len(shown) else str(len(weight))
    size = " x ".join(map(str, weight.shape[2:]))
    levels = "grey is 0" if weight.shape[1] == 3 else f"black is {-top:.2g}, grey 0, white {top:.2g}"
    figure.suptitle(f"{count} kernels of {size} in {shorten(path, NAME_LENGTH)}: {levels}", fontsize=10)
    return figure


@styled
def feature_maps(image: Any, layers: Sequence[tuple[str, Any]]) -> "Figure":
    """One `image` (C, H, W) in 0..1, and for each layer the seven maps of (C', H', W') that differ most from place to
    place; `layers` holds (path, maps)."""
    figure, axes = new_figure(len(layers), COLUMNS, width=CELL * COLUMNS, height=(CELL + 0.45) * len(layers) + 0.4)
    for row, (path, values) in enumerate(layers):
        first, *others = axes[row * COLUMNS : (row + 1) * COLUMNS]
        maps = np.asarray(values)
        strongest = np.sort(np.argsort(-maps.std(axis=(1, 2)), kind="stable")[: len(others)])
        show_image(first, np.asarray(image))
        first.set_title(f"{shorten(path, NAME_LENGTH)}: {' x '.join(map(str, maps.shape))}", fontsize=9, loc="left")
        for ax, channel in zip(others, strongest, strict=False):
            low, high = float(maps[channel].min()), float(maps[channel].max())
            show_image(ax, (maps[channel][None] - low) / (high - low or 1.0))
            ax.set_xlabel(str(channel), fontsize=8)
        for ax in others[len(strongest) :]:
            ax.remove()
    figure.suptitle("One image behind some convolutions: the channels with most in them, by number", fontsize=10)
    return figure


@styled
def class_activation(image: Any, maps: Sequence[tuple[str, Any]], path: str) -> "Figure":
    """An `image` (C, H, W) in 0..1, and over it what speaks for a class: `maps` holds (title, map (H', W') >= 0)."""
    image = np.asarray(image)
    figure, axes = new_figure(1, 1 + len(maps), width=3.1 * (1 + len(maps)), height=3.7)
    height, width = image.shape[1:]
    for ax in axes:
        show_image(ax, image)
    axes[0].set_title("input")
    for ax, (title, values) in zip(axes[1:], maps, strict=True):
        share = np.asarray(values)
        top = float(share.max())
        share = share / (top or 1.0)
        ax.imshow(
            share, cmap="inferno", vmin=0, vmax=1, alpha=0.75 * share, interpolation="bilinear",
            extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        )  # fmt: skip
        ax.set_title(shorten(title, 32) if top > 0 else f"{shorten(title, 32)}\nnothing speaks for it")
    figure.suptitle(f"What speaks for a class: bright (Grad-CAM behind {shorten(path, NAME_LENGTH)})", fontsize=10)
    return figure
