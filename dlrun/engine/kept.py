"""What a run keeps of its data: which sample was in which part, by content and not by position."""

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dlrun.config.spec import PARTS

# In place of a part: a piece that belongs to the sample before it, and one that is no sample.
GOES_ON, NO_PART = 254, 255


@dataclass(frozen=True)
class Kept:
    """The N pieces of what a data set has read, in the order in which it has read them.

    A piece is a file with its target, or a line of a table; a sample is a piece, perhaps with those that go on with it.

    **Fields:**

    - `digests` (N,) int64: of the content of each piece.
    - `names` (N,) int64: of what it is called, to tell a changed piece from a missing one.
    - `parts` (N,) uint8: its place in `spec.PARTS`, or `GOES_ON` or `NO_PART`.
    """

    digests: Tensor
    names: Tensor
    parts: Tensor

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of all that was read, and of its parts."""
        content = hashlib.blake2b(digest_size=8)
        for tensor in (self.digests, self.parts):
            content.update(tensor.numpy().data)
        return content.hexdigest()

    def to_tree(self) -> dict[str, Tensor]:
        """What a file holds: 17 bytes a piece."""
        return {"digests": self.digests, "names": self.names, "parts": self.parts}

    @classmethod
    def from_tree(cls, tree: Any) -> "Kept":
        """The inverse of `to_tree`. **Raises:** `ValueError` for what is no such record."""
        kinds = {"digests": torch.int64, "names": torch.int64, "parts": torch.uint8}
        if not isinstance(tree, dict) or tree.keys() != kinds.keys():
            raise ValueError("is no record of samples")
        for key, dtype in kinds.items():
            value = tree[key]
            if not isinstance(value, Tensor) or value.dtype != dtype or value.shape != tree["digests"].shape:
                raise ValueError(f"its {key} are not one number a piece")
        places = tree["parts"]
        if tree["digests"].ndim != 1 or ((places >= len(PARTS)) & (places < GOES_ON)).any():
            raise ValueError("names a part that there is not")
        return cls(**tree)
