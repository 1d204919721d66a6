"""How data of one kind are seen as another, and raw inputs become what a model takes.

Torch is imported late: whether a model and a data set fit is known before it is loaded.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dlrun.data.spec import DataSpec
from dlrun.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from dlrun.data.loading import Prepare


@dataclass(frozen=True)
class View:
    """One way to see a kind as another.

    `spec` turns the offer, `inputs` turns a batch; the two must agree on every size.
    """

    spec: Callable[[DataSpec], DataSpec]
    inputs: Callable[["Tensor"], "tuple[Tensor, ...]"]


def _flat_spec(spec: DataSpec) -> DataSpec:
    assert spec.in_channels is not None and spec.image_size is not None
    in_features = spec.in_channels * math.prod(spec.image_size)
    # The mean and std of channels say nothing of single features, and are already applied.
    return replace(
        spec, kind="features", in_features=in_features, in_channels=None, image_size=None, mean=None, std=None
    )


# (what the data are, what the model takes): how.
VIEWS: dict[tuple[str, str], View] = {
    ("image", "features"): View(spec=_flat_spec, inputs=lambda image: (image.flatten(1),)),
}


def fits(kind: str, accepts: Sequence[str]) -> bool:
    """Whether data of `kind` can be fed to a model that takes any of `accepts`."""
    return kind in accepts or any((kind, accepted) in VIEWS for accepted in accepts)


def as_kind(spec: DataSpec, accepts: Sequence[str], fitting: Sequence[str] = ()) -> tuple[DataSpec, View | None]:
    """What a model that takes any of `accepts` sees of data with `spec`, and by which view (`None`: as they are).

    The kind of the data comes first, then the order of `accepts`. `fitting` are the data sets that an error names.

    **Raises:** `UserError` if there is no view.
    """
    if spec.kind in accepts:
        return spec, None
    for accepted in accepts:
        view = VIEWS.get((spec.kind, accepted))
        if view is not None:
            return view.spec(spec), view
    hint = f"; data sets that fit: {', '.join(fitting)}" if fitting else ""
    raise UserError(
        f"model and data do not fit: the model takes {' or '.join(accepts)}, the data are {spec.kind}{hint}"
    )


def prepare(spec: DataSpec, view: View | None = None) -> "Prepare":
    """The function from the raw inputs of a batch of data with `spec` to a model's inputs.

    A uint8 image (B, C, H, W) becomes float32 `(x / 255 - mean) / std`, features (B, F) become
    `(x - mean) / std` where the data set gives both; then the view.
    """
    steps: list[Callable] = []
    if spec.kind == "image":
        steps.append(_Normalize(spec.mean or (0.0,), spec.std or (1.0,)))
    elif spec.kind == "features" and spec.mean is not None and spec.std is not None:
        steps.append(_Standardize(spec.mean, spec.std))
    if view is not None:
        steps.append(view.inputs)

    def prepared(inputs: "tuple[Tensor, ...]") -> "tuple[Tensor, ...]":
        for step in steps:
            inputs = step(*inputs)
        return inputs

    return prepared


class _Normalize:
    """`(x / 255 - mean) / std` as one multiplication and one addition a channel: it runs once a step."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        import torch

        pairs = list(zip(mean, std, strict=True))
        self.scale = torch.tensor([1 / (255 * deviation) for _, deviation in pairs]).view(-1, 1, 1)
        self.shift = torch.tensor([-average / deviation for average, deviation in pairs]).view(-1, 1, 1)

    def __call__(self, image: "Tensor") -> "tuple[Tensor, ...]":
        if self.scale.device != image.device:
            self.scale, self.shift = self.scale.to(image.device), self.shift.to(image.device)
        return (image.float().mul_(self.scale).add_(self.shift),)


class _Standardize:
    """`(x - mean) / std` a feature, in this order: years or timestamps would lose their digits otherwise."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        import torch

        self.mean, self.std = torch.tensor(mean), torch.tensor(std)

    def __call__(self, features: "Tensor") -> "tuple[Tensor, ...]":
        if self.mean.device != features.device:
            self.mean, self.std = self.mean.to(features.device), self.std.to(features.device)
        return (features.sub(self.mean).div_(self.std),)
