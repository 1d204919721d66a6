"""A sampler: each epoch sees another random share of the examples, for a look at the curve in a part of the time.

DLRUN_PLUGINS=examples/plugins/sampler.py dlrun model=cnn data=digits sampler=share sampler.fraction=0.25
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dlrun.config.schema import Fraction
from dlrun.engine.contracts import Loader, LoaderOptions, Order, Part, Sampler
from dlrun.engine.loading import PartLoader
from dlrun.samplers import SAMPLERS


@SAMPLERS.register("share")
class Share(Sampler):
    """A `fraction` of the examples an epoch, at least one, drawn anew without replacement."""

    def __init__(self, *, fraction: Fraction = 0.5):
        self.fraction = fraction

    def loader(self, part: Part, options: LoaderOptions) -> Loader:
        return PartLoader(part, options, ShareOrder(len(part), max(1, round(self.fraction * len(part))), options))


class ShareOrder(Order):
    """A function of (seed, epoch) alone, so that a run goes on in the middle of an epoch to the same bits."""

    def __init__(self, num_examples: int, num_drawn: int, options: LoaderOptions):
        self.num_examples, self.num_drawn, self.options = num_examples, num_drawn, options
        full, rest = divmod(num_drawn, options.batch_size)
        sizes = [options.batch_size] * full + ([rest] if rest and not options.drop_last else [])
        self.sizes = sizes[: options.limit]

    def batches(self, epoch: int | None) -> Sequence[Tensor]:
        chance = torch.Generator().manual_seed(self.options.seed * 1_000_003 + (epoch or 0))
        drawn = torch.randperm(self.num_examples, generator=chance)[: sum(self.sizes)]
        return drawn.split(list(self.sizes))
