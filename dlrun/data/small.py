"""The two three-point examples that the first chapters of the notes are built on."""

import torch

from dlrun.data.features import standardized
from dlrun.data.parts import Part, TensorPart
from dlrun.data.spec import DataSpec


class Line:
    """Three points on the line y = 2x (notes 1 to 4): x = 1, 2, 3 and y = 2, 4, 6.

    All three are to train on: there is no val and no test part. The inputs stay as they are unless `standardize`.
    """

    kind: str = "features"
    target: str = "value"
    source: str = "ships"

    def __init__(self, *, standardize: bool = False):
        self.standardize = standardize

    @property
    def spec(self) -> DataSpec:
        spec = DataSpec(
            kind="features", target="value", in_features=1, out_features=1, feature_names=("x",), target_name="y"
        )
        return standardized(spec, self.load()) if self.standardize else spec

    def load(self) -> dict[str, Part]:
        x = torch.tensor([[1.0], [2.0], [3.0]])
        return {"train": TensorPart((x,), 2 * x)}


class Hours:
    """Hours of study and whether the exam was passed (notes 5): 1, 2, 3 hours and no, no, yes.

    All three are to train on: there is no val and no test part. The inputs stay as they are unless `standardize`.
    """

    kind: str = "features"
    target: str = "binary"
    source: str = "ships"

    def __init__(self, *, standardize: bool = False):
        self.standardize = standardize

    @property
    def spec(self) -> DataSpec:
        spec = DataSpec(
            kind="features",
            target="binary",
            in_features=1,
            out_features=1,
            class_names=("failed", "passed"),
            feature_names=("hours",),
            target_name="passed",
        )
        return standardized(spec, self.load()) if self.standardize else spec

    def load(self) -> dict[str, Part]:
        return {"train": TensorPart((torch.tensor([[1.0], [2.0], [3.0]]),), torch.tensor([0, 0, 1]))}
