"""A data set: two spirals that turn around each other, which no straight line tells apart.

DLRUN_PLUGINS=examples/plugins/data.py dlrun model=mlp data=spirals optimizer.lr=0.01 trainer.epochs=40
"""

import math

import torch
from torch import Tensor

from dlrun.config.schema import NonNegativeFloat, PositiveInt, Seed
from dlrun.config.spec import DataSpec
from dlrun.data import DATA
from dlrun.engine.contracts import DataSet, Part
from dlrun.engine.parts import TensorPart


@DATA.register("spirals")
class Spirals(DataSet):
    """Points (x, y) on two arms, with noise; the class is the arm."""

    kind: str = "features"
    target: str = "class"
    source: str = "made"

    def __init__(
        self, *, num_train: PositiveInt = 600, num_val: PositiveInt = 200, num_test: PositiveInt = 200,
        turns: NonNegativeFloat = 1.0, noise: NonNegativeFloat = 0.05, data_seed: Seed = 0,
    ):  # fmt: skip
        self.sizes = {"train": num_train, "val": num_val, "test": num_test}
        self.turns, self.noise, self.data_seed = turns, noise, data_seed

    @property
    def spec(self) -> DataSpec:
        """Known without a point being drawn."""
        names = {"class_names": ("first", "second"), "feature_names": ("x", "y")}
        return DataSpec(kind="features", target="class", in_features=2, out_features=2, **names)

    def load(self) -> dict[str, Part]:
        chance = torch.Generator().manual_seed(self.data_seed)
        return {name: self._drawn(size, chance) for name, size in self.sizes.items()}

    def _drawn(self, size: int, chance: torch.Generator) -> Part:
        arm = torch.arange(size) % 2
        radius = torch.rand(size, generator=chance).sqrt()
        angle = 2 * math.pi * self.turns * radius + math.pi * arm
        points: Tensor = radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
        return TensorPart((points + self.noise * torch.randn(size, 2, generator=chance),), arm)
