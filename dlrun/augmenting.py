"""The augmentation of a run: built from its config, held against its data and its task, and shown."""

import pathlib
from typing import Any

import torch

from dlrun import batching, build, folder
from dlrun.augment.augmentation import Augmentation
from dlrun.config import Config
from dlrun.data.loading import Batch
from dlrun.data.spec import DataSpec
from dlrun.errors import UserError
from dlrun.plots.figure import png_bytes, shorten
from dlrun.registry import AUGMENTS

SHOWN, EPOCHS = 8, 3  # samples, and how often each is changed, in a picture
DRAWN_FROM = 64  # samples, among which are the partners of mixtures


def change(config: Config, spec: DataSpec) -> Any:
    """What the config names, or None; `spec` is what the data offer. **Raises:** `UserError` if they are no images."""
    keys = dict(config.augment)
    name = keys.pop("name")
    with build.blaming(f"augment={name}"):
        made = AUGMENTS.get(name)(**keys)
    if made is not None and spec.kind != "image":
        raise UserError(f"augment={name}: changes images, data={config.data['name']} are {spec.kind}; use augment=none")
    return made


def prepare(config: Config, spec: DataSpec, task: Any) -> Augmentation | None:
    """What changes the samples of training, or None; `spec` is what the data offer.

    **Raises:** `UserError` if they are no images, or the task cannot learn from two samples in one.
    """
    chosen, name = change(config, spec), config.augment["name"]
    if chosen is None:
        return None
    made = Augmentation(chosen, config.seed)
    if made.mixes and not getattr(task, "takes_mixed", False):
        fitting = ", ".join(other for other in AUGMENTS.names() if not AUGMENTS.describe(other).attributes.get("mixes"))
        raise UserError(
            f"augment={name}: mixes two samples in one, from which {type(task).__name__} cannot learn; use {fitting}"
        )
    return made


def picture(config: Config, dataset: Any, augment: Augmentation) -> pathlib.Path:
    """A PNG in the folder `outputs` of some training samples before and after, as three epochs change them."""
    from dlrun.plots import images

    folder.check_writable(config.outputs)
    part = dataset.load()["train"]
    chosen = torch.randperm(len(part), generator=torch.Generator().manual_seed(config.seed))[:DRAWN_FROM]
    loader = batching.loader(
        config, part.subset(chosen), lambda raw: raw, torch.device("cpu"), batch_size=SHOWN, limit=1, augment=augment
    )
    batches = [next(iter(loader.batches(epoch))) for epoch in (None, *range(EPOCHS))]
    name, data = config.augment["name"], config.data["name"]
    figure = images.before_and_after(
        torch.stack([batch.inputs[0].float() / 255 for batch in batches]),
        ["as they are", *(f"epoch {epoch + 1}" for epoch in range(EPOCHS))],
        [_captions(batch, dataset.spec) for batch in batches],
        f"{data}, changed by augment={name}",
    )
    path = pathlib.Path(config.outputs) / f"augment-{name}-{data}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png_bytes(figure))
    return path


def _captions(batch: Batch, spec: DataSpec) -> list[str]:
    """What each sample is; of a mixture, what both are and their shares."""

    def said(target: torch.Tensor) -> list[str]:
        names = spec.class_names if target.ndim == 1 and not target.is_floating_point() else None
        return [shorten(names[k], 9) if names else "" for k in target.tolist()]

    if batch.share is None or batch.partner is None:
        return said(batch.target)
    pairs = zip(said(batch.target), said(batch.partner), batch.share.tolist(), strict=True)
    return [f"{own}: {share:.0%}\n{other}: {1 - share:.0%}" for own, other, share in pairs]
