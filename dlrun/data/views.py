"""How data of one kind are seen as another, and raw inputs become what a model takes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import Prepare


class Options(Protocol):
    """The keys of `view`; conf/config.yaml gives their meaning."""

    @property
    def series(self) -> str: ...
    @property
    def permute_seed(self) -> int | None: ...


@dataclass(frozen=True)
class View:
    """How data are seen as another kind: what they then offer, and how a batch is turned.

    The two agree on every size.
    """

    spec: DataSpec
    inputs: Callable[[Tensor], tuple[Tensor, ...]]


def _flat(spec: DataSpec, options: Options | None) -> View:
    """(B, C, H, W) as (B, C * H * W)."""
    assert spec.in_channels is not None and spec.image_size is not None
    in_features = spec.in_channels * math.prod(spec.image_size)
    return View(_seen_as("features", spec, in_features=in_features), lambda image: (image.flatten(1),))


def _series(spec: DataSpec, options: Options | None) -> View:
    """(B, C, H, W) read row by row (B, H, C * W), or pixel by pixel (B, H * W, C); then perhaps in another order."""
    assert spec.in_channels is not None and spec.image_size is not None
    height, width = spec.image_size
    by_rows = options is None or options.series == "rows"
    seq_len = height if by_rows else height * width
    in_features = spec.in_channels * (width if by_rows else 1)
    permutation = None
    if options is not None and options.permute_seed is not None:
        permutation = torch.randperm(seq_len, generator=torch.Generator().manual_seed(options.permute_seed))

    def inputs(image: Tensor) -> tuple[Tensor, ...]:
        series = image.transpose(1, 2).flatten(2) if by_rows else image.flatten(2).transpose(1, 2)
        return (series if permutation is None else series[:, permutation.to(series.device)],)

    return View(_seen_as("series", spec, in_features=in_features, seq_len=seq_len), inputs)


def _seen_as(kind: str, spec: DataSpec, **sizes: int) -> DataSpec:
    # The mean and std of channels say nothing of single features, and are already applied.
    return replace(spec, kind=kind, in_channels=None, image_size=None, mean=None, std=None, **sizes)


# (what the data are, what the model takes): how. The pairs are those of dlrun/config/pairing.py.
VIEWS: dict[tuple[str, str], Callable[[DataSpec, Options | None], View]] = {
    ("image", "features"): _flat,
    ("image", "series"): _series,
}


def as_kind(spec: DataSpec, accepts: Sequence[str], options: Options | None = None) -> tuple[DataSpec, View | None]:
    """What a model that takes any of `accepts` sees of data with `spec`, and by which view (`None`: as they are).

    The kind of the data comes first, then the order of `accepts`; `options` are the keys of `view`. That there is a
    view says `pairing.fits`.
    """
    if spec.kind in accepts:
        return spec, None
    view = next(VIEWS[spec.kind, kind](spec, options) for kind in accepts if (spec.kind, kind) in VIEWS)
    return view.spec, view


def preparation(spec: DataSpec, view: View | None = None) -> Prepare:
    """The function from the raw inputs of a batch of data with `spec` to a model's inputs.

    An image (B, C, H, W) in 0..255 becomes float32 `(x / 255 - mean) / std`, features (B, F) become
    `(x - mean) / std` where the data set gives both, tokens (B, T) int64, cut to the longest of the batch unless
    every step has a target; then the view.
    """
    steps: list[Callable] = []
    if spec.kind == "image":
        steps.append(_Normalize(spec.mean or (0.0,), spec.std or (1.0,)))
    elif spec.kind == "features" and spec.mean is not None and spec.std is not None:
        steps.append(_Standardize(spec.mean, spec.std))
    elif spec.kind == "tokens":
        steps.append(_long if spec.per_step else _cut)
    if view is not None:
        steps.append(view.inputs)

    def prepared(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        for step in steps:
            inputs = step(*inputs)
        return inputs

    return prepared


def _long(tokens: Tensor, *lengths: Tensor) -> tuple[Tensor, ...]:
    return tokens.long(), *lengths


def _cut(tokens: Tensor, *lengths: Tensor) -> tuple[Tensor, ...]:
    # Padding changes no value. On a GPU a look at the lengths would make the host wait for it, and the sizes in an
    # exported graph depend on no value.
    if lengths and lengths[0].device.type == "cpu" and not torch.compiler.is_exporting():
        tokens = tokens[:, : int(lengths[0].max())]
    return tokens.long(), *lengths


class _Normalize:
    """`(x / 255 - mean) / std` as one multiplication and one addition a channel: it runs once a step."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        pairs = list(zip(mean, std, strict=True))
        self.scale = torch.tensor([1 / (255 * deviation) for _, deviation in pairs]).view(-1, 1, 1)
        self.shift = torch.tensor([-average / deviation for average, deviation in pairs]).view(-1, 1, 1)

    def __call__(self, image: Tensor) -> tuple[Tensor, ...]:
        if self.scale.device != image.device:
            self.scale, self.shift = self.scale.to(image.device), self.shift.to(image.device)
        return (image.float().mul_(self.scale).add_(self.shift),)


class _Standardize:
    """`(x - mean) / std` a feature, in this order: years or timestamps would lose their digits otherwise."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        self.mean, self.std = torch.tensor(mean), torch.tensor(std)

    def __call__(self, features: Tensor) -> tuple[Tensor, ...]:
        if self.mean.device != features.device:
            self.mean, self.std = self.mean.to(features.device), self.std.to(features.device)
        return (features.sub(self.mean).div_(self.std),)
