"""Samplers of any data: the order of the train part's examples."""

from typing import Annotated, ClassVar

from dlrun.config.schema import PositiveInt, Range
from dlrun.engine.contracts import Loader, LoaderOptions, Order, Part, Sampler
from dlrun.engine.loading import PartLoader
from dlrun.engine.order import PerClass, Weighted


class Full(Sampler):
    """No sampling: every example once an epoch, in a random order; of one graph all nodes in one batch."""

    def loader(self, part: Part, options: LoaderOptions) -> Loader:
        return PartLoader(part, options)


class Balanced(Sampler):
    """Every class equally often, drawn with replacement: rare classes are seen several times an epoch."""

    takes: ClassVar[str] = "labels"

    def loader(self, part: Part, options: LoaderOptions) -> Loader:
        assert part.labels is not None, "sampler and data were checked before"
        _, label, counts = part.labels.unique(return_inverse=True, return_counts=True)
        weights = 1 / counts[label]
        order = Weighted(weights, options.batch_size, options.seed, options.drop_last, options.limit)
        return PartLoader(part, options, order)


class ClassesBySamples(Sampler):
    """`num_classes` classes x `num_samples` examples of each a batch, as losses of pairs and triples want them.

    `trainer.batch_size` does not count. What does not fill up a batch waits for another round.
    """

    takes: ClassVar[str] = "labels"

    def __init__(
        self, *, num_classes: PositiveInt = 8, num_samples: Annotated[int, Range(low=2)] = 4,
        num_batches: PositiveInt | None = None
    ):  # fmt: skip
        """**Arguments:**

        - `num_classes`: P, the classes in each batch.
        - `num_samples`: K, the examples of each of them, all different, two or more; a batch has P x K examples.
        - `num_batches`: of an epoch, which goes through the examples as often as that takes; None: once.
        """
        self.num_classes, self.num_samples, self.num_batches = num_classes, num_samples, num_batches

    def loader(self, part: Part, options: LoaderOptions) -> Loader:
        assert part.labels is not None, "sampler and data were checked before"
        order: Order = PerClass(
            part.labels, self.num_classes, self.num_samples, options.seed, options.limit, self.num_batches
        )
        return PartLoader(part, options, order)
