"""Random numbers that are a function of (seed, epoch, sample index) and of their place in a row, of nothing else.

They are hashed counters (SplitMix64: Steele, Lea and Flood 2014) in whole-number arithmetic that wraps around, so that
every device gives the same ones, and neither the order of the samples nor the batch that they are in matters.
"""

import functools

import torch
from torch import Tensor

STEP, FIRST, SECOND = (number - 2**64 for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


class Draws:
    """The rows of numbers that belong to the samples `index` (B,) in `epoch`; each call takes the next of them."""

    def __init__(self, seed: int, epoch: int, index: Tensor):
        self.keys = _scrambled(index * STEP + _key(seed, epoch))
        self.taken = 1  # the number 0 of a row chooses the partner, and those below it more of them

    def partners(self, num_examples: int, num: int = 1) -> Tensor:
        """For each sample `num` others (num * B,) of `num_examples`, or by chance itself: one for each, then again."""
        # Counters below 0 are taken by nothing else.
        counters = -torch.arange(num)[:, None] * STEP
        return (_scrambled(self.keys + counters) & (2**63 - 1)).flatten() % num_examples

    def uniform(self, num: int, device: torch.device | None = None) -> Tensor:
        """`num` numbers (B, num) in [0, 1), whole multiples of 2^-24 in float32."""
        keys = self.keys.to(device) if device is not None else self.keys
        counters = torch.arange(self.taken, self.taken + num, device=keys.device) * STEP
        self.taken += num
        return (_scrambled(keys[:, None] + counters).bitwise_right_shift_(40) & (2**24 - 1)) * 2**-24

    def signed(self, num: int) -> Tensor:
        """`num` numbers (B, num) in [-1, 1)."""
        return self.uniform(num).mul_(2).sub_(1)

    def normal(self, num: int) -> Tensor:
        """`num` numbers (B, num) of the standard normal distribution, by the inverse of its integral."""
        return torch.special.ndtri(self.uniform(num) + 2**-25)


@functools.lru_cache(maxsize=16)
def _key(seed: int, epoch: int) -> int:
    return int(_scrambled(_scrambled(torch.tensor(seed)) + epoch))


def _scrambled(numbers: Tensor) -> Tensor:
    """Each int64 as another that tells nothing of it; changes `numbers`."""
    # torch's shift drags the sign along.
    for shift, factor in ((30, FIRST), (27, SECOND)):
        numbers.bitwise_xor_((numbers >> shift).bitwise_and_(2 ** (64 - shift) - 1)).mul_(factor)
    return numbers.bitwise_xor_((numbers >> 31).bitwise_and_(2**33 - 1))
