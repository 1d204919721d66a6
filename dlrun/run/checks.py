"""What would go wrong in training, found out before it."""

import copy

import torch
from torch import Tensor, nn

from dlrun.config.check import Config
from dlrun.config.schema import few
from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import Batch, Loader, Part, Task
from dlrun.errors import UserError
from dlrun.optim import SCHEDULERS
from dlrun.run.assemble import blaming, first_line

CLASSES = ("class", "binary", "node_class", "graph_class")  # targets of which each part should have all
MOST_NAMED = 4  # in a message


def rare_classes(spec: DataSpec, parts: dict[str, Part]) -> list[str]:
    """A line on the classes that have one example in all, or none in a part."""
    names = spec.class_names
    if names is None or spec.target not in CLASSES:
        return []
    labels = {part: own.labels for part, own in parts.items()}
    counts = {
        part: torch.bincount(own[own >= 0].long().cpu(), minlength=len(names))
        for part, own in labels.items()
        if own is not None
    }
    if not counts:
        return []
    total = torch.stack(list(counts.values())).sum(dim=0)

    def named(is_meant: Tensor) -> str:
        return few([names[number] for number in is_meant.nonzero().flatten().tolist()], MOST_NAMED)

    said = [f"one example in all of class {named(total == 1)}"] if (total == 1).any() else []
    said += [f"none in {part} of class {named(own == 0)}" for part, own in counts.items() if (own == 0).any()]
    return [f"dlrun: note: {'; '.join(said)}"] if said else []


def check_fit(config: Config, model: nn.Module, task: Task, train: Loader, val: Loader | None) -> None:
    """Tries one example of the data, as it is and as training changes it.

    **Raises:** `UserError` if the model cannot take it, its answer is not one for the task, a batch of one meets a
    batch norm, or there is nothing to watch.
    """
    name = f"model={config.model['name']}"
    if config.trainer.patience is not None and val is None:
        raise UserError("trainer.patience: there is no val part to watch; set data.val_fraction above 0")
    if SCHEDULERS.describe(config.scheduler["name"]).attributes.get("watches") and val is None:
        raise UserError(
            f"scheduler={config.scheduler['name']}: there is no val part to watch, so that the rate would never fall; "
            "set data.val_fraction above 0, or choose another scheduler"
        )
    batch = train.example()
    shape = tuple(batch.inputs[0].shape[1:])
    if shape[1:] == (1, 1) and any(isinstance(module, nn.Conv2d) for module in model.modules()):
        raise UserError(f"{name}: convolves images, and of 1x1 pixel there is nothing to convolve; take larger ones")
    watch, metrics = config.trainer.watch, task.metrics()
    for tried in [batch] if train.options.augment is None else [batch, train.example(epoch=0)]:
        try:
            with torch.inference_mode():
                output = task.forward(model.eval(), tried)
        except (RuntimeError, ValueError, TypeError) as error:
            shape = tuple(tried.inputs[0].shape[1:])
            raise UserError(f"{name}: cannot take an input of shape {shape}: {first_line(error)}") from error
        with blaming(name):
            task.check(output, tried)
        if any(watch in metric.better and watch not in metric.gives(output) for metric in metrics):
            raise UserError(f"trainer.watch: {name} gives no {watch}; watch {task.watch}")
    last = train.num_in(train.num_batches - 1, train.num_batches)
    if last == 1 and not _learns_from_one(model, task, batch):
        raise UserError(
            f"trainer.batch_size: the last batch of {len(train.part)} examples holds one, and a batch norm of "
            f"{name} needs two; use trainer.drop_last=true or another batch size"
        )


def _learns_from_one(model: nn.Module, task: Task, batch: Batch) -> bool:
    """Whether a batch of one gives each batch norm more than one value a channel, tried on a copy of `model`."""
    if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        return True
    try:
        with torch.random.fork_rng(), torch.no_grad():
            task.forward(copy.deepcopy(model).train(), batch)
    except ValueError:
        return False
    return True
