"""A val and a test part for data that come without."""

from dlrun.data.parts import Part, split
from dlrun.errors import UserError


def split_off(part: Part, *, val_fraction: float, test_fraction: float, seed: int) -> dict[str, Part]:
    """Splits `part` by `seed` to `train`, `val` and `test`; a fraction of 0 leaves that part out.

    Both fractions are shares of the whole of `part`. The test part depends on `test_fraction` and `seed` alone.

    **Raises:** `UserError` if any part would be empty.
    """
    if val_fraction + test_fraction >= 1:
        raise UserError(
            f"data: val_fraction {val_fraction:g} and test_fraction {test_fraction:g} leave nothing to train on; "
            "their sum must be below 1"
        )
    parts, left = {"train": part}, 1.0
    for name, fraction in (("test", test_fraction), ("val", val_fraction)):
        if fraction > 0:
            parts["train"], parts[name] = split(parts["train"], fraction / left, seed)
            left -= fraction
    parts = {name: parts[name] for name in ("train", "val", "test") if name in parts}
    empty = [name for name, piece in parts.items() if len(piece) == 0]
    if empty:
        raise UserError(
            f"data: {len(part)} samples are too few for {', '.join(parts)}: {', '.join(empty)} would be empty; "
            "add samples or set val_fraction or test_fraction to 0"
        )
    return parts
