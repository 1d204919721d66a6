"""A val and a test part for data that come without."""

import math
from collections.abc import Mapping

import numpy as np
import torch

from dlrun.engine.contracts import Part
from dlrun.engine.parts import split
from dlrun.errors import UserError


def split_off(part: Part, *, val_fraction: float, test_fraction: float, seed: int) -> dict[str, Part]:
    """Splits `part` by `seed` to `train`, `val` and `test`; a fraction of 0 leaves that part out.

    Both fractions are shares of the whole of `part`. The test part depends on `test_fraction` and `seed` alone.
    Of classes (integers) every part gets its share of each; see `parts.split`. Of values (floats), with a `seed`
    below 2^32, the test part holds the rows that scikit-learn's `train_test_split` draws with it as `random_state`,
    so that results can be set beside those of any script.

    **Raises:** `UserError` if any part would be empty.
    """
    if val_fraction + test_fraction >= 1:
        raise UserError(
            f"data: val_fraction {val_fraction:g} and test_fraction {test_fraction:g} leave nothing to train on; "
            "their sum must be below 1"
        )
    take = _split_values if part.labels is not None and part.labels.is_floating_point() else split
    parts, left = {"train": part}, 1.0
    for name, fraction in (("test", test_fraction), ("val", val_fraction)):
        if fraction > 0:
            parts["train"], parts[name] = take(parts["train"], fraction / left, seed)
            left -= fraction
    parts = {name: parts[name] for name in ("train", "val", "test") if name in parts}
    empty = [name for name, piece in parts.items() if len(piece) == 0]
    if empty:
        raise UserError(
            f"data: {len(part)} samples are too few for {', '.join(parts)}: {', '.join(empty)} would be empty; "
            "add samples or set val_fraction or test_fraction to 0"
        )
    return parts


def completed(parts: Mapping[str, Part], *, val_fraction: float, test_fraction: float, seed: int) -> dict[str, Part]:
    """`parts` with what `split_off` takes of `train` for a val and a test part that are not there."""
    split = split_off(
        parts["train"],
        val_fraction=0 if "val" in parts else val_fraction,
        test_fraction=0 if "test" in parts else test_fraction,
        seed=seed,
    )
    return dict(parts) | split


def some(part: Part, num: int, seed: int) -> Part:
    """`num` samples of `part`, drawn by `seed`, of each class its share. **Raises:** `UserError` if it has fewer."""
    if num > len(part):
        raise UserError(f"data.num_train: {num} are more than the {len(part)} samples there are to train on")
    return part if num == len(part) else split(part, num / len(part), seed)[1]


def _split_values(part: Part, fraction: float, seed: int) -> tuple[Part, Part]:
    """(The rest, the split-off samples), both in their original order."""
    order = np.random.RandomState(seed % 2**32).permutation(len(part))
    is_taken = torch.zeros(len(part), dtype=torch.bool)
    is_taken[order[: math.ceil(len(part) * fraction)]] = True
    return part.subset(torch.nonzero(~is_taken).flatten()), part.subset(torch.nonzero(is_taken).flatten())
