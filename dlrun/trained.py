"""A finished run's best weights, ready to answer: what `eval`, `predict` and `show` share."""

import pathlib
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from dlrun import build, checkpoint
from dlrun.config import Config
from dlrun.data.loading import Prepare
from dlrun.data.spec import DataSpec
from dlrun.engine import device as devices
from dlrun.errors import UserError
from dlrun.folder import BEST
from dlrun.registry import DATA


@dataclass(frozen=True)
class Trained:
    """`spec` is what the model sees of the data, `prepare` turns raw inputs into that."""

    device: torch.device
    dataset: Any
    offered: DataSpec
    spec: DataSpec
    prepare: Prepare
    model: nn.Module
    task: Any

    def outputs(self, raw: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The model's outputs (N, ...) for raw inputs (N, ...), on the CPU."""
        with torch.inference_mode():
            return self.model.eval()(*self.prepare(tuple(value.to(self.device) for value in raw))).cpu()


def load(config: Config, path: pathlib.Path, *, with_data: bool) -> Trained:
    """The run in `path`. Without `with_data`, what its data offer is taken from the weights where it can be.

    **Raises:** `UserError` if the weights are damaged or the data are no longer those of the run.
    """
    try:
        best = checkpoint.read(path / "checkpoints" / BEST)
    except checkpoint.DamagedCheckpoint as error:
        raise UserError(f"no usable weights: {error}") from error
    device = build.device(config)
    dataset = build.data(config)
    then = DataSpec.from_dict(best["spec"])
    # An image is seen in other ways, and what it was before stands only in the data set.
    is_image = DATA.describe(config.data["name"]).attributes.get("kind") == "image"
    offered = _as_trained(dataset.spec, then, path) if with_data or is_image else then
    spec, prepare = build.view(config, offered)
    model = devices.place(build.model(config, spec), device, config.device.channels_last)
    model.load_state_dict(best["model"])
    return Trained(device, dataset, offered, spec, prepare, model, build.task(config, spec))


def _as_trained(now: DataSpec, then: DataSpec, path: pathlib.Path) -> DataSpec:
    """What the data offer now, with the statistics that the weights were trained with.

    **Raises:** `UserError` if its classes, features or characters are no longer those of the run.
    """
    is_same_kind = now.kind == then.kind
    names = ("class_names", "out_features") + (("feature_names", "vocabulary") if is_same_kind else ())
    for key in names:
        if getattr(then, key) != getattr(now, key):
            raise UserError(
                f"{path}: was trained with {key} {getattr(then, key)}, the data now have {getattr(now, key)}"
            )
    statistics = {key: getattr(then, key) for key in ("mean", "std") if is_same_kind}
    return replace(now, **statistics, target_mean=then.target_mean, target_std=then.target_std)
