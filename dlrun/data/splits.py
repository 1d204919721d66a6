"""A val and a test part for data that come without."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

import numpy as np
import torch

from dlrun.engine.contracts import Part
from dlrun.engine.parts import TensorPart, split
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


def completed(
    parts: Mapping[str, Part], *, val_fraction: float, test_fraction: float, seed: int,
    groups: Sequence[str] | None = None,
) -> dict[str, Part]:  # fmt: skip
    """`parts` with what `split_off` takes of `train` for a val and a test part that are not there.

    With `groups`, a name for each sample of `train`, those of one group stay together: neighbouring frames of a film,
    photographs of one person.
    """
    fractions = {
        "val_fraction": 0 if "val" in parts else val_fraction,
        "test_fraction": 0 if "test" in parts else test_fraction,
    }
    if groups is None:
        return dict(parts) | split_off(parts["train"], **fractions, seed=seed)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    member = torch.tensor([numbers[name] for name in groups])
    # The groups are split as samples are; how many samples each holds decides only what the shares come to.
    taken = split_off(TensorPart((), torch.arange(len(numbers)).float()), **fractions, seed=seed)
    chosen = {name: own.take(torch.arange(len(own))).target.long() for name, own in taken.items()}
    return dict(parts) | {
        name: parts["train"].subset(torch.isin(member, own).nonzero().flatten()) for name, own in chosen.items()
    }


def group_names(paths: Iterable[str], group_by: str | None) -> list[str] | None:
    """Of each file its name before the last `group_by`, which says what belongs together: `clip3` of `clip3_0001.jpg`.

    None: each file is by itself.

    **Raises:** `UserError` if all files are one group.
    """
    if group_by is None:
        return None
    stems = [PurePath(path).stem for path in paths]
    names = [stem.rpartition(group_by)[0] or stem for stem in stems]
    if len(set(names)) == 1:
        raise UserError(
            f"data.group_by: by {group_by!r} all {len(names)} images are of one group, {names[0]!r}; such as "
            f"{stems[0]!r} need another one"
        )
    return names


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
