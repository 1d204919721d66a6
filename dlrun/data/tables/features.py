"""Tables of numbers: what the data sets of kind `features` share."""

from dataclasses import replace

from torch import Tensor

from dlrun.config.schema import ProperFraction, Seed
from dlrun.config.spec import DataSpec
from dlrun.data.read_once import ReadOnce
from dlrun.data.splits import split_off
from dlrun.engine.contracts import Part
from dlrun.engine.parts import TensorPart


class FeatureTable(ReadOnce):
    """A table that is split by `split_seed`; its `spec` holds the statistics of the train part."""

    kind: str = "features"
    source: str = "ships"

    def __init__(
        self, *, standardize: bool = True, val_fraction: ProperFraction = 0.1, test_fraction: ProperFraction = 0.2,
        split_seed: Seed = 42,
    ):  # fmt: skip
        """**Arguments:**

        - `standardize`: whether the model gets (x - mean) / std of each feature, by the train part, or the raw values.
        - `val_fraction`, `test_fraction`: the shares of all rows that become the val and the test part.
        - `split_seed`: chooses the rows of each part.
        """
        self.standardize, self.standardize_target = standardize, False
        self.val_fraction, self.test_fraction, self.split_seed = val_fraction, test_fraction, split_seed

    def _split(self, x: Tensor, target: Tensor, spec: DataSpec) -> tuple[DataSpec, dict[str, Part]]:
        """(`spec` with the statistics of the train part, the parts) of `x` (N, F) and `target` (N, ...)."""
        whole = TensorPart((x,), target)
        parts = split_off(whole, val_fraction=self.val_fraction, test_fraction=self.test_fraction, seed=self.split_seed)
        return self._with_statistics(spec, parts), parts

    def _with_statistics(self, spec: DataSpec, parts: dict[str, Part]) -> DataSpec:
        """`spec` with the statistics of the train part that are asked for."""
        spec = standardized(spec, parts) if self.standardize else spec
        if self.standardize_target and spec.target == "value":
            labels = parts["train"].labels
            assert labels is not None, "a target of kind value has labels"
            target_mean, target_std = statistics(labels)
            spec = replace(spec, target_mean=target_mean, target_std=target_std)
        return spec


class ValueTable(FeatureTable):
    """A table whose target is a number, which can be standardised too."""

    target: str = "value"

    def __init__(
        self, *, standardize: bool = True, standardize_target: bool = True, val_fraction: ProperFraction = 0.1,
        test_fraction: ProperFraction = 0.2, split_seed: Seed = 42,
    ):  # fmt: skip
        """**Arguments:**

        - `standardize`: whether the model gets (x - mean) / std of each feature, by the train part, or the raw values.
        - `standardize_target`: whether the model learns (y - mean) / std of the target y, by the train part, or y
          itself; metrics and predictions are in the units of y either way.
        - `val_fraction`, `test_fraction`: the shares of all rows that become the val and the test part.
        - `split_seed`: chooses the rows of each part.
        """
        super().__init__(
            standardize=standardize, val_fraction=val_fraction, test_fraction=test_fraction, split_seed=split_seed
        )
        self.standardize_target = standardize_target


def statistics(x: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation (of the population) of each column of `x` (N, F).

    A constant column has deviation 1: standardised it is 0, not a division by 0.
    """
    means, deviations = [], []
    for column in x.T:
        # One column at a time: all of them in double precision could be larger than memory.
        column = column.double()
        is_constant = bool((column == column[0]).all())
        means.append(column[0].item() if is_constant else column.mean().item())
        deviations.append(1.0 if is_constant else column.std(correction=0).item())
    return tuple(means), tuple(deviations)


def standardized(spec: DataSpec, parts: dict[str, Part]) -> DataSpec:
    """`spec` with the statistics of the train part, by which every batch of any part is standardised."""
    train = parts["train"]
    assert isinstance(train, TensorPart)
    mean, std = statistics(train.inputs[0])
    return replace(spec, mean=mean, std=std)
