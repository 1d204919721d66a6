"""The Gram matrix, which tells what occurs together in a picture and not where."""

import torch

from dlrun.config.schema import Number, says
from dlrun.errors import UserError
from dlrun.examples.lesson import Lesson, Step, matrix, size, sum_of_products, text
from dlrun.plots import grids
from dlrun.tasks.style_transfer import gram_matrix, style_loss

MOST = 6  # channels, and places a side


@says(chapter="style transfer")
def gram(
    *, maps: tuple[tuple[tuple[Number, ...], ...], ...] = (
        ((1.0, 0.0), (1.0, 0.0)), ((2.0, 0.0), (2.0, 0.0)), ((0.0, 3.0), (0.0, 3.0))
    ),
) -> Lesson:  # fmt: skip
    """The style of a picture: how much each two channels of its feature maps are active in the same places.

    **Arguments:**

    - `maps`: feature maps, a channel after another, each rows of numbers.
    """
    channels = [matrix(f"maps[{number}]", rows) for number, rows in enumerate(maps)]
    shapes = {channel.shape for channel in channels}
    if len(shapes) != 1 or len(channels) > MOST or max(max(shape) for shape in shapes) > MOST:
        raise UserError(f"maps: must be one to {MOST} channels of one size, at most {MOST} x {MOST}")
    stacked = torch.stack(channels)
    gram, flat = gram_matrix(stacked[None])[0], stacked.flatten(1)
    mirrored = stacked.flip(1, 2)
    other = gram_matrix(mirrored[None])[0]
    names = [f"channel {number}" for number in range(len(channels))]
    one, two = flat[0], flat[min(1, len(flat) - 1)]
    steps = [
        Step(f"The maps of a layer, {size(stacked)}: a channel after another.", values=stacked, tables=names),
        Step(f"Each channel as one row over its {flat.shape[1]} places.", "F", flat, rows=names),
        Step(
            f"One number of the matrix: channel 0 and channel {min(1, len(flat) - 1)}, place by place.",
            f"({sum_of_products(one, two)}) / {flat.shape[1]} = {text(float(gram[0, min(1, len(flat) - 1)]))}",
        ),
        Step(
            "The Gram matrix: 0 where two channels are never active in the same place.",
            "G = F F^T / places",
            gram,
            rows=names,
            columns=names,
        ),
        Step(
            "The same maps, turned upside down and mirrored, have the same Gram matrix: it does not know where.",
            "G of the turned maps",
            other,
            rows=names,
            columns=names,
        ),
        Step(
            "So the style loss between the two is 0, whatever their contents are.",
            "sum of (G - G')^2 / (4 C^2)",
            style_loss(gram[None], other[None]),
        ),
    ]
    panels = [
        *(grids.Grid(name, channel) for name, channel in zip(names, channels, strict=True)),
        grids.Grid(
            "Gram matrix", gram, rows=[str(k) for k in range(len(names))], columns=[str(k) for k in range(len(names))]
        ),
    ]
    return Lesson(steps, grids.grids(panels, "Feature maps, and which of them are active together"))
