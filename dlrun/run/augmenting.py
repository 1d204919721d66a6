"""A picture of what an augmentation does."""

import pathlib

import torch
from torch import Tensor

from dlrun.augment.augmentation import Augmentation
from dlrun.config.check import Config
from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import Batch, DataSet, LoaderOptions, Task
from dlrun.engine.loading import PartLoader
from dlrun.plots.figure import png_bytes, shorten
from dlrun.store import files

SHOWN, EPOCHS = 8, 3  # examples, and how often each is changed
DRAWN_FROM = 64  # examples, among which are the partners of mixtures


def picture(config: Config, dataset: DataSet, augment: Augmentation, task: Task) -> pathlib.Path:
    """A PNG in the folder `outputs` of some training examples before and after, as three epochs change them.

    `task` draws what it knows of places in them.
    """
    from dlrun.plots import images

    files.check_writable(config.outputs)
    part = dataset.load()["train"]
    chosen = torch.randperm(len(part), generator=torch.Generator().manual_seed(config.seed))[:DRAWN_FROM]
    options = LoaderOptions(lambda inputs: inputs, torch.device("cpu"), batch_size=SHOWN, limit=1, augment=augment)
    loader = PartLoader(part.subset(chosen), options)
    batches = [next(iter(loader.batches(epoch))) for epoch in (None, *range(EPOCHS))]
    name, data = config.augment["name"], config.data["name"]
    figure = images.before_and_after(
        [(_drawn(task, batch).float() / 255).numpy() for batch in batches],
        ["as they are", *(f"epoch {epoch + 1}" for epoch in range(EPOCHS))],
        [_captions(batch, dataset.spec) for batch in batches],
        f"{data}, changed by augment={name}",
    )
    return files.write_output(config.outputs, f"augment-{name}-{data}.png", png_bytes(figure))


def _drawn(task: Task, batch: Batch) -> Tensor:
    return task.drawn(batch.inputs[0].round().clamp(0, 255).to(torch.uint8), batch.target)


def _captions(batch: Batch, spec: DataSpec) -> list[str]:
    """What each example is; of a mixture, the classes in it and their shares."""
    target: Tensor = batch.target
    names = spec.class_names
    if names is None or spec.target not in ("class", "binary"):
        return [""] * len(batch)
    if not target.is_floating_point():
        return [shorten(names[k], 9) for k in target.tolist()]
    if target.ndim == 1:
        target = torch.stack([1 - target, target], dim=1)
    pairs = zip(*(each.tolist() for each in target.topk(2)), strict=True)
    return [
        "\n".join(f"{shorten(names[k], 9)}: {share:.0%}" for share, k in zip(*pair, strict=True) if share > 0)
        for pair in pairs
    ]
