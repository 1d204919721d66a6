"""The two three-point examples that the first chapters of the notes are built on."""

import torch

from dlrun.config.spec import DataSpec
from dlrun.data.tables.features import standardized
from dlrun.engine.contracts import DataSet, Part
from dlrun.engine.parts import TensorPart


class ThreePoints(DataSet):
    """Three examples of one feature, all to train on: there is no val and no test part."""

    kind: str = "features"
    source: str = "ships"
    has_val: bool = False

    def __init__(self, *, standardize: bool = False):
        """**Arguments:**

        - `standardize`: whether the model gets (x - mean) / std of the three inputs x, or x itself.
        """
        self.standardize = standardize


class Line(ThreePoints):
    """Three points on the line y = 2x (notes 1 to 4): x = 1, 2, 3 and y = 2, 4, 6.

    All three are to train on: there is no val and no test part. The inputs stay as they are unless `standardize`.
    """

    target: str = "value"

    @property
    def spec(self) -> DataSpec:
        spec = DataSpec(
            kind="features", target="value", in_features=1, out_features=1, feature_names=("x",), target_name="y"
        )
        return standardized(spec, self.load()) if self.standardize else spec

    def load(self) -> dict[str, Part]:
        x = torch.tensor([[1.0], [2.0], [3.0]])
        return {"train": TensorPart((x,), 2 * x)}


class Hours(ThreePoints):
    """Hours of study and whether the exam was passed (notes 5): 1, 2, 3 hours and no, no, yes.

    All three are to train on: there is no val and no test part. The inputs stay as they are unless `standardize`.
    """

    target: str = "binary"

    @property
    def spec(self) -> DataSpec:
        spec = DataSpec(
            kind="features", target="binary", in_features=1, out_features=1, class_names=("failed", "passed"),
            feature_names=("hours",), target_name="passed",
        )  # fmt: skip
        return standardized(spec, self.load()) if self.standardize else spec

    def load(self) -> dict[str, Part]:
        return {"train": TensorPart((torch.tensor([[1.0], [2.0], [3.0]]),), torch.tensor([0, 0, 1]))}
