"""What a data set offers, as one plain record; models, views and tasks are chosen from it."""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from dlrun.config import schema

PARTS = ("train", "val", "test")
PAD, UNKNOWN = "<pad>", "<unk>"  # in a vocabulary: what fills up shorter rows, and what it does not have
NOT_COUNTED = -100  # in a target of steps: a step without an answer, as torch's cross-entropy leaves it out


@dataclass(frozen=True)
class DataSpec:
    """The offer of a data set. A size that does not apply is `None`.

    A model's keyword that is `null` in its config and stands here is filled from here, by name.

    **Fields:**

    - `kind`: what one input is: `features` (B, F), `image` (B, C, H, W), `series` (B, T, F),
      `tokens` (B, T), `graph` (x, edge_index, edge_weight, seeds, ptr; see data/graphs/parts.py). Sequences of unequal
      length bring their `lengths` (B,) as a second input.
    - `target`: what is to be learned: `class` (N,), `binary` (N,) 0 or 1, `value` (N, K), `image`
      (N, C', H', W'), where C' is `out_features`, `style` (N, 3, H', W'), another picture, uint8, and of every step of
      a sequence `step_class` (N, T) or `next_token` (N, T), where -100 is not counted; `node_class` (N,) of nodes,
      `graph_class` (N,) of graphs.
      Of places in an image: `object` (N, 5 + K) one or none, `points` (N, P, 3), `boxes` of any number (see
      data/boxes/objects.py), `instances` with a mask each, `mask` (N, H, W) classes of pixels, 255 of which is not
      counted. `identity` (N,): who it is, numbered over the people of all parts, of which none is in two parts; to be
      learned is to tell people apart who were never seen.
    - `in_features`: F of `features` and `series`, of a node of a `graph`.
    - `vocab_size`: number of different `tokens`; 0 is the padding where lengths differ.
    - `seq_len`: T, of the longest sequence.
    - `level`: of a `graph`, whether a `node` or the whole `graph` has a target.
    - `num_edge_features`: D of the features of an edge; 1 for a weight.
    - `in_channels`: C of `image`.
    - `image_size`: (H, W) of `image`, in pixels.
    - `out_features`: number of classes, people, values, channels or points; 1 for a binary logit.
    - `class_names`: one name a class or person, in the order of the indices; of a binary target two, for 0 and 1.
    - `feature_names`: one name a feature, in the order of the columns.
    - `point_names`, `skeleton`: one name a point; the pairs of points that a picture joins by a line.
    - `vocabulary`: what each token stands for, in the order of the indices.
    - `per_step`: whether a model of sequences answers at every step (B, T, K) or once (B, K).
    - `causal`: whether the answer at a step may depend on that step and earlier ones alone.
    - `target_name`: what is to be learned, as its column or kernel is called.
    - `table`: how the file of a table was read and what was made of its columns; see data/tables/rules.py.
    - `target_kernel`: of an `image` that is the input under a kernel: its rows.
    - `white`: the number that stands for white in images of more than 8 bits; `None`: 65535, or there are none.
    - `mean`, `std`: of each channel, on images scaled to 0..1, or of each feature, as it is in the train
      part; applied to every batch. `None`: the inputs are taken as they are.
    - `target_mean`, `target_std`: of each value of the target in the train part; the model learns
      `(target - target_mean) / target_std`. `None`: the values themselves.
    """

    kind: str
    target: str
    in_features: int | None = None
    in_channels: int | None = None
    image_size: tuple[int, int] | None = None
    vocab_size: int | None = None
    seq_len: int | None = None
    level: str | None = None
    num_edge_features: int | None = None
    per_step: bool = False
    causal: bool = False
    out_features: int | None = None
    vocabulary: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None
    feature_names: tuple[str, ...] | None = None
    point_names: tuple[str, ...] | None = None
    skeleton: tuple[tuple[int, int], ...] | None = None
    target_name: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    target_mean: tuple[float, ...] | None = None
    target_std: tuple[float, ...] | None = None
    target_kernel: tuple[tuple[float, ...], ...] | None = None
    table: dict[str, Any] | None = None
    white: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a run folder keeps them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "DataSpec":
        """The inverse of `to_dict`, also after a trip through JSON (lists become tuples).

        **Raises:** `ValueError` for what is no such record.
        """
        return schema.check(values, cls)


def last_part(parts: Collection[str]) -> str:
    """The part that has the last word on a run: test, else val, else train."""
    return next(part for part in reversed(PARTS) if part in parts)


# Names that a model's null keyword may be filled from.
FILLED = frozenset(field.name for field in dataclasses.fields(DataSpec)) - {
    "kind", "target", "vocabulary", "point_names", "skeleton", "feature_names", "target_name", "mean", "std",
    "target_mean", "target_std", "target_kernel", "table", "white",
}  # fmt: skip
