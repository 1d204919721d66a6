"""Data sets whose examples are drawn by a seed: what they share."""

from dlrun.config.schema import NonNegativeInt, PositiveInt, Seed
from dlrun.engine.contracts import DataSet, Part


class Generated(DataSet):
    """Parts of any size, each drawn by a seed of its own: it is the same whatever the sizes of the others."""

    source: str = "made"

    def __init__(self, *, num_train: PositiveInt, num_val: NonNegativeInt, num_test: NonNegativeInt, seed: Seed):
        """**Arguments:**

        - `num_train`, `num_val`, `num_test`: the number of examples of each part; 0: there is no such part.
        - `seed`: from which the examples are drawn.
        """
        self.sizes, self.seed = {"train": num_train, "val": num_val, "test": num_test}, seed

    def load(self) -> dict[str, Part]:
        return {
            name: self.generate(size, self.seed * 3 + position)
            for position, (name, size) in enumerate(self.sizes.items())
            if size > 0
        }

    def generate(self, size: int, seed: int) -> Part:
        """`size` examples, drawn by `seed`, which may be above 2^63."""
        raise NotImplementedError
