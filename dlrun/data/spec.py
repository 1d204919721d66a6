"""What a data set offers, as one plain record; models, views and tasks are chosen from it."""

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DataSpec:
    """The offer of a data set. A size that does not apply is `None`.

    A model's keyword that is `null` in its config and stands here is filled from here, by name.

    **Fields:**

    - `kind`: what one input is: `features` (B, F), `image` (B, C, H, W), `series` (B, T, F),
      `tokens` (B, T) with lengths, `graph`.
    - `target`: what is to be learned: `class` (N,), `binary` (N,) 0 or 1, `value` (N, K), `step_class`, ...
    - `in_features`: F of `features` and `series`.
    - `in_channels`: C of `image`.
    - `image_size`: (H, W) of `image`, in pixels.
    - `out_features`: number of classes or values; 1 for a binary logit.
    - `class_names`: one name a class, in the order of the indices; of a binary target two, for 0 and 1.
    - `feature_names`: one name a feature, in the order of the columns.
    - `target_name`: what is to be learned, as its column is called.
    - `mean`, `std`: of each channel, on images scaled to 0..1, or of each feature, as it is in the train
      part; applied to every batch. `None`: the inputs are taken as they are.
    """

    kind: str
    target: str
    in_features: int | None = None
    in_channels: int | None = None
    image_size: tuple[int, int] | None = None
    out_features: int | None = None
    class_names: tuple[str, ...] | None = None
    feature_names: tuple[str, ...] | None = None
    target_name: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a run folder keeps them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "DataSpec":
        """The inverse of `to_dict`, also after a trip through JSON (lists become tuples)."""
        plain: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in values.items()}
        return cls(**plain)


# Names that a model's null keyword may be filled from.
FILLED = frozenset(field.name for field in dataclasses.fields(DataSpec)) - {
    "kind", "target", "feature_names", "target_name", "mean", "std",
}  # fmt: skip
