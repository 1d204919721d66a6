"""Two tensors of different shapes, added."""

from typing import Annotated

import torch
from torch import Tensor

from dlrun.config.schema import Range, says
from dlrun.errors import UserError
from dlrun.examples.lesson import Lesson, Step, size
from dlrun.plots import grids

MOST_DIMENSIONS = 3


@says(chapter="4 linear regression")
def broadcasting(
    *, first: tuple[Annotated[int, Range(1, 5)], ...] = (1, 1, 2),
    second: tuple[Annotated[int, Range(1, 5)], ...] = (3, 1, 2),
) -> Lesson:  # fmt: skip
    """Two shapes fit if, read from the right, their sizes are equal or one of them is 1, which is then repeated.

    **Arguments:**

    - `first`: shape of the first tensor, up to three sizes.
    - `second`: shape of the second one.
    """
    for key, shape in (("first", first), ("second", second)):
        if not 1 <= len(shape) <= MOST_DIMENSIONS:
            raise UserError(f"{key}: must have one to {MOST_DIMENSIONS} sizes, found {list(shape)}")
    num_dimensions = max(len(first), len(second))
    ours, theirs = ((1,) * (num_dimensions - len(shape)) + tuple(shape) for shape in (first, second))
    for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if one != other and 1 not in (one, other):
            raise UserError(
                f"second: {list(second)} does not fit first={list(first)}: in place {num_dimensions - place} from the "
                f"right stand {one} and {other}, which are not equal, and none of them is 1"
            )
    common = torch.broadcast_shapes(first, second)
    a = torch.arange(1.0, torch.Size(first).numel() + 1).view(first)
    b = 10 * torch.arange(1.0, torch.Size(second).numel() + 1).view(second)
    shapes = [
        ["a", *_sizes(first, num_dimensions)],
        ["b", *_sizes(second, num_dimensions)],
        ["a + b", *map(str, common)],
    ]
    places = [f"{num_dimensions - place} from the right" for place in range(num_dimensions)]
    steps = [
        Step(f"The tensor a, {size(a)}.", values=a),
        Step(f"The tensor b, {size(b)}.", values=b),
        Step(
            "The shapes stand one below the other, flush right; a size that is missing counts as 1. In each place the "
            "larger size wins.",
            values=shapes,
            columns=("", *places),
        ),
        Step("a, repeated where its size is 1; nothing is copied in memory.", values=a.expand(common)),
        Step("b, repeated likewise.", values=b.expand(common)),
        Step(f"The sum, {' x '.join(map(str, common))}.", "a + b, number by number", a + b),
    ]
    panels = [
        grids.Grid("a (grey: repeated)", _flat(a.expand(common)), is_faint=_is_repeated(ours, common)),
        grids.Grid("b (grey: repeated)", _flat(b.expand(common)), is_faint=_is_repeated(theirs, common)),
        grids.Grid("a + b", _flat(a + b)),
    ]
    title = f"{tuple(first)} against {tuple(second)} gives {tuple(common)}"
    return Lesson(steps, grids.grids(panels, title))


def _sizes(shape: tuple[int, ...], num_dimensions: int) -> list[str]:
    return [""] * (num_dimensions - len(shape)) + list(map(str, shape))


def _flat(values: Tensor) -> Tensor:
    """As rows, so that it can be drawn."""
    return values.reshape(-1, values.shape[-1])


def _is_repeated(shape: tuple[int, ...], common: tuple[int, ...]) -> Tensor:
    """Which numbers of a tensor of `shape`, expanded to the `common` shape, stand there a second time."""
    is_repeated = torch.ones(common, dtype=torch.bool)
    is_repeated[tuple(slice(length) for length in shape)] = False
    return _flat(is_repeated)
