"""A triplet network: an anchor is nearer to a positive, of the same, than to a negative, by a margin (notes, faces).

Schroff, Kalenichenko and Philbin, "FaceNet", 2015; the hardest examples of a batch: Hermans, Beyer and Leibe, "In
defense of the triplet loss", 2017.
"""

from typing import Any, Literal

import torch
from torch import Tensor

from dlrun.config.schema import NonNegativeFloat, PositiveInt
from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import Batch
from dlrun.tasks.verification import Taught, Verification, pairs, squared

FAR = 1e6  # a distance that is never the smallest


class Triplet(Verification):
    """The mean of d(a, p) - d(a, n) + margin, squared distances, over the triplets of a batch where that is above 0."""

    is_default: bool = True

    def __init__(
        self, spec: DataSpec, *, mining: Literal["random", "hard", "semi_hard"] = "semi_hard",
        margin: NonNegativeFloat = 0.2, ways: PositiveInt = 5,
    ):  # fmt: skip
        """**Arguments:**

        - `spec`: what the data offer.
        - `mining`: the negative of each anchor and positive: any; `hard`: the nearest, and of each anchor the farthest
          positive alone; `semi_hard`: the nearest one that is farther than the positive.
        - `margin`: between the squared distances; 0: all pictures may become one point.
        - `ways`: people among whom one is looked for, one picture of each.
        """
        super().__init__(spec, ways)
        self.mining, self.margin = mining, margin

    def losses(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        """`loss`; `active`, the share of the triplets that teach something; `near` and `apart`, mean distances."""
        if not isinstance(output, Taught):
            return {}
        distance = squared(output.embedding.float(), output.embedding.float())
        is_same, is_pair = pairs(batch.target)
        near, apart, counted = mined(distance, is_same, is_pair, self.mining)
        above = (near - apart + self.margin).clamp(min=0) * counted
        active = (above > 0).sum()
        taught = counted.sum().clamp(min=1)
        return {
            "loss": above.sum() / active.clamp(min=1),
            "active": active / taught,
            "near": (near * counted).sum() / taught,
            "apart": (apart * counted).sum() / taught,
        }


def mined(distance: Tensor, is_same: Tensor, is_pair: Tensor, mining: str) -> tuple[Tensor, Tensor, Tensor]:
    """(d(a, p), d(a, n), whether there is such a triplet) of each anchor and positive (B, B), or anchor (B,) if hard.

    Nothing is brought to the host.
    """
    has_negative = (~is_same).any(dim=1)
    if mining == "hard":
        near = (distance * is_pair).amax(dim=1)
        apart = distance.masked_fill(is_same, FAR).amin(dim=1)
        return near, apart, is_pair.any(dim=1) & has_negative
    counted = is_pair & has_negative[:, None]
    if mining == "random":
        # The highest of random numbers is any of the negatives.
        number = torch.rand(*distance.shape, len(distance), device=distance.device)
        chosen = number.masked_fill(is_same[:, None], -1).argmax(dim=2)
        return distance, distance.gather(1, chosen), counted
    beyond = distance[:, None, :].expand(-1, len(distance), -1)  # (anchor, positive, negative)
    is_farther = ~is_same[:, None] & (beyond > distance[:, :, None])
    nearest = beyond.masked_fill(~is_farther, FAR).amin(dim=2)
    # Where no negative is farther than the positive, the farthest is the easiest that there is.
    farthest = distance.masked_fill(is_same, -1).amax(dim=1)
    return distance, torch.where(is_farther.any(dim=2), nearest, farthest[:, None]), counted
