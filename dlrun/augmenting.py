"""The augmentation of a run: built from its config, and held against its data and its task."""

from typing import Any

from dlrun import build
from dlrun.augment.augmentation import Augmentation
from dlrun.config import Config
from dlrun.data.spec import DataSpec
from dlrun.errors import UserError
from dlrun.registry import AUGMENTS


def prepare(config: Config, spec: DataSpec, task: Any) -> Augmentation | None:
    """What changes the samples of training, or None; `spec` is what the data offer.

    **Raises:** `UserError` if they are no images, or the task cannot learn from two samples in one.
    """
    keys = dict(config.augment)
    name = keys.pop("name")
    with build.blaming(f"augment={name}"):
        change = AUGMENTS.get(name)(**keys)
    if change is None:
        return None
    if spec.kind != "image":
        raise UserError(f"augment={name}: changes images, data={config.data['name']} are {spec.kind}; use augment=none")
    made = Augmentation(change, config.seed)
    if made.mixes and not getattr(task, "takes_mixed", False):
        fitting = ", ".join(other for other in AUGMENTS.names() if not AUGMENTS.describe(other).attributes.get("mixes"))
        raise UserError(
            f"augment={name}: mixes two samples in one, from which {type(task).__name__} cannot learn; use {fitting}"
        )
    return made
