"""Tables of numbers: what the data sets of kind `features` share."""

import functools
from dataclasses import replace

from torch import Tensor

from dlrun.data.parts import Part, TensorPart
from dlrun.data.spec import DataSpec
from dlrun.data.splits import split_off


class FeatureTable:
    """Read and split once, when the offer or the parts are first asked for.

    The offer cannot come first: it holds the statistics of the train part.
    """

    def __init__(
        self,
        standardize: bool,
        val_fraction: float,
        test_fraction: float,
        split_seed: int,
        standardize_target: bool = False,
    ):
        self.standardize, self.standardize_target = standardize, standardize_target
        self.val_fraction, self.test_fraction, self.split_seed = val_fraction, test_fraction, split_seed

    @property
    def spec(self) -> DataSpec:
        return self._made[0]

    def load(self) -> dict[str, Part]:
        return self._made[1]

    @functools.cached_property
    def _made(self) -> tuple[DataSpec, dict[str, Part]]:
        return self._make()

    def _make(self) -> tuple[DataSpec, dict[str, Part]]:
        """The offer and the parts."""
        raise NotImplementedError

    def _split(self, x: Tensor, target: Tensor, spec: DataSpec) -> tuple[DataSpec, dict[str, Part]]:
        """Splits `x` (N, F) and `target` (N, ...); adds the statistics of the train part to `spec` if they are used."""
        whole = TensorPart((x,), target)
        parts = split_off(whole, val_fraction=self.val_fraction, test_fraction=self.test_fraction, seed=self.split_seed)
        return self._standardized(spec, parts), parts

    def _standardized(self, spec: DataSpec, parts: dict[str, Part]) -> DataSpec:
        spec = standardized(spec, parts) if self.standardize else spec
        if self.standardize_target and spec.target == "value":
            target_mean, target_std = statistics(parts["train"].target)
            spec = replace(spec, target_mean=target_mean, target_std=target_std)
        return spec


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
