"""The pieces of a run, built from its config: `run`, `eval`, `predict` and `show` share them."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from dlrun.augment import AUGMENTS
from dlrun.augment.augmentation import CHANGED_TARGETS, JOINED_TARGETS, MIXED_TARGETS, Augmentation
from dlrun.config import pairing
from dlrun.config.check import Config
from dlrun.config.filling import filled
from dlrun.config.schema import few
from dlrun.config.spec import DataSpec
from dlrun.data import DATA, views
from dlrun.engine import device as devices
from dlrun.engine.alone import alone
from dlrun.engine.contracts import Change, DataSet, Loader, LoaderOptions, Mixture, Part, Prepare, Sampler, Task
from dlrun.engine.eager import do_without_compiler
from dlrun.engine.freezing import Freezing
from dlrun.engine.kept import Kept
from dlrun.engine.loading import PartLoader
from dlrun.engine.state import State, averaged
from dlrun.errors import UserError
from dlrun.models import MODELS
from dlrun.optim import OPTIMIZERS, SCHEDULERS, schedulers
from dlrun.optim.optimizers import Combined
from dlrun.run.transfer import Transfer
from dlrun.samplers import SAMPLERS
from dlrun.tasks import TASKS

MOST_NAMED = 5  # in a line


@contextlib.contextmanager
def blaming(key: str) -> Iterator[None]:
    """An error about a value becomes a `UserError` that starts with the config key at fault."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"{key}: {first_line(error)}") from error
    except (RuntimeError, TypeError, OverflowError) as error:
        # Mostly a size that no memory holds; in a plug-in it may be a mistake of the code.
        raise UserError(f"{key}: {type(error).__name__}: {first_line(error)} (DLRUN_DEBUG=1 shows where)") from error


@contextlib.contextmanager
def on_device(config: Config) -> Iterator[torch.device]:
    """The chosen device, with torch's switches set, for this run alone until the end of the `with` block.

    **Raises:** `UserError` that lists what is there.
    """
    with alone():
        yield _device(config)


def _device(config: Config) -> torch.device:
    options = config.device
    with blaming("device"):
        chosen = devices.choose(options.name, options.index)
        if options.index and chosen.type != "cuda":
            raise ValueError(f"index {options.index} counts CUDA GPUs, and this run is on {chosen.type}")
        devices.check_precision(options.precision, chosen)
    devices.configure(options.precision, options.threads, options.deterministic)
    return chosen


def data(config: Config, kept: Kept | None = None, offered: DataSpec | None = None) -> DataSet:
    """The data set, not yet loaded; of several targets that it offers, it gives the one that the model answers.

    `kept` is what the run that is gone on with, or measured, has kept of it, `offered` what it offered then.
    """
    name, keys = config.data["name"], _keys(config.data)
    if "learn" in keys and keys["learn"] is None:
        keys["learn"] = pairing.target_for(config.model["name"], config.task["name"], name)
    with blaming(f"data={name}"):
        made = DATA.get(name)(**keys)
        made = _of_kind(made, DataSet, f"data={name}")
    made.kept, made.offered = kept, offered
    return made


def view(config: Config, spec: DataSpec) -> tuple[DataSpec, Prepare]:
    """The data as the model takes it: (what it then offers, how a batch becomes it).

    **Raises:** `UserError`: what the model needs, what the data gives, which data sets fit.
    """
    model, name = config.model["name"], config.data["name"]
    task = pairing.task_for(config.task["name"], name, spec.target)
    pairing.check_answer(model, name, spec.target, task)
    pairing.check_input(model, name, spec.kind)
    seen, chosen = views.as_kind(spec, pairing.accepts(model, spec.kind), config.view)
    return seen, views.preparation(spec, chosen)


def model(config: Config, spec: DataSpec) -> nn.Module:
    """The model, its null keys filled from `spec` by name."""
    name = config.model["name"]
    with blaming(f"model={name}"):
        return MODELS.get(name)(**filled(config.model, "model", spec, config.data["name"]))


def task(config: Config, spec: DataSpec) -> Task:
    """The task that the config names, or the one that the data's target asks for."""
    chosen = config.task["name"]
    name = pairing.task_for(chosen, config.data["name"], spec.target)
    with blaming(f"task={name}"):
        made = TASKS.get(name)(spec, **({} if chosen == "auto" else _keys(config.task)))
        return _of_kind(made, Task, f"task={name}")


def watched(config: Config) -> tuple[str, str]:
    """(The metric, `part/name`, that a run with this config will watch, its direction: max or min).

    The data are read for it where their target is known from a file alone.
    """
    seen, _ = view(config, data(config).spec)
    watch, mode = watch_of(config, task(config, seen))
    return f"val/{watch}", mode


def watch_of(config: Config, task: Task) -> tuple[str, str]:
    """(The metric that chooses the best epoch, its direction). **Raises:** `UserError` for one that is not there."""
    better = {"loss": "min"} | {name: mode for metric in task.metrics() for name, mode in metric.better.items()}
    watch = config.trainer.watch or task.watch
    if watch not in better:
        raise UserError(f"trainer.watch: {watch!r} is no metric of this task; it has {', '.join(better)}")
    return watch, better[watch] if config.trainer.watch else task.mode


def sampler(config: Config, spec: DataSpec) -> Sampler:
    """How training batches are drawn.

    **Raises:** `UserError` for data that it cannot draw from, and for fewer hops than the model has layers.
    """
    name = config.sampler["name"]
    with blaming(f"sampler={name}"):
        made = _of_kind(SAMPLERS.get(name)(**_keys(config.sampler)), Sampler, f"sampler={name}")
    if made.takes == "graph" and spec.level != "node":
        raise UserError(
            f"sampler={name}: takes nodes of one graph apart, and data={config.data['name']} has none; use sampler=full"
        )
    if made.takes == "labels" and not config.trainer.shuffle:
        raise UserError(f"trainer.shuffle: sampler={name} draws by chance; for the examples in order use sampler=full")
    if made.takes == "labels" and (spec.target not in ("class", "identity") or spec.kind == "graph"):
        raise UserError(
            f"sampler={name}: draws by class, and data={config.data['name']} has a target of kind {spec.target}; "
            "use sampler=full"
        )
    layers = config.model.get("num_layers", config.model.get("num_steps"))
    if made.num_hops is not None and layers is not None and made.num_hops < layers:
        raise UserError(
            f"sampler={name}: samples {made.num_hops} hops, and the {layers} layers of the model need as many"
        )
    return made


def augmentation(config: Config, spec: DataSpec) -> Augmentation | None:
    """What changes the examples of training, or None; `spec` is what the data offer.

    **Raises:** `UserError` if they are no images, or the target cannot go along.
    """
    name = config.augment["name"]
    with blaming(f"augment={name}"):
        change = AUGMENTS.get(name)(**_keys(config.augment))
    if change is None:
        return None
    if spec.kind != "image":
        raise UserError(f"augment={name}: changes images, data={config.data['name']} are {spec.kind}; use augment=none")
    if spec.target in CHANGED_TARGETS:
        raise UserError(
            f"augment={name}: changes the images, and the target of data={config.data['name']}, a picture too, would "
            "stay; use augment=none"
        )
    if isinstance(change, Mixture) and spec.target not in MIXED_TARGETS:
        raise UserError(
            f"augment={name}: mixes two examples in one, and between two targets of kind {spec.target} there is "
            f"nothing; use augment=none (targets that can be mixed: {', '.join(MIXED_TARGETS)})"
        )
    if isinstance(change, Change) and change.num_others and spec.target not in JOINED_TARGETS:
        raise UserError(
            f"augment={name}: puts several images into one, and two targets of kind {spec.target} are not one; use "
            f"augment=none (targets of which an image can have several: {', '.join(JOINED_TARGETS)})"
        )
    return Augmentation(change, config.seed, spec.out_features if spec.target == "class" else None)


def loaders(
    config: Config,
    parts: dict[str, Part],
    prepare: Prepare,
    device: torch.device,
    sampler: Sampler | None = None,
    augment: Augmentation | None = None,
) -> dict[str, Loader]:
    """A loader a part; `train` is drawn by `sampler` with the run's seed, and alone gets `augment`.

    **Raises:** `UserError` if a part gives no batch at all.
    """
    trainer = config.trainer
    empty = [name for name in dict.fromkeys(["train", *parts]) if name not in parts or len(parts[name]) == 0]
    if empty:
        raise UserError(f"data={config.data['name']}: no example in {', '.join(empty)}")
    if trainer.overfit_one_batch:
        first = parts["train"].subset(torch.arange(min(trainer.batch_size, len(parts["train"]))))
        parts = dict.fromkeys(parts, first)
    made = {}
    for name, part in parts.items():
        is_train = name == "train"
        options = LoaderOptions(
            prepare, device, workers=_workers(config, part),
            batch_size=trainer.batch_size if is_train else trainer.eval_batch_size or 4 * trainer.batch_size,
            drop_last=is_train and trainer.drop_last, 
            shuffle=is_train and trainer.shuffle and not trainer.overfit_one_batch,
            seed=config.seed, limit=trainer.limit_batches, augment=augment if is_train else None,
        )  # fmt: skip
        if is_train and sampler is not None:
            with blaming(f"sampler={config.sampler['name']}"):
                made[name] = sampler.loader(part, options)
        else:
            made[name] = PartLoader(part, options)
    if made["train"].num_batches == 0:
        examples = len(parts["train"])
        raise UserError(
            f"trainer.batch_size: {trainer.batch_size} is more than the {examples} training examples, and drop_last "
            f"leaves no batch; use trainer.batch_size={max(1, examples)} or trainer.drop_last=false"
        )
    return made


def beside(config: Config, loaders: dict[str, Loader]) -> Loader | None:
    """The test part where it is measured each epoch. **Raises:** `UserError` if it is to be, and there is none."""
    if not config.trainer.curve_on_test:
        return None
    if "test" not in loaders:
        raise UserError(f"trainer.curve_on_test: data={config.data['name']} has no test part")
    return loaders["test"]


def left_out(train: Loader, spec: DataSpec) -> list[str]:
    """A line on the classes of which a sampler draws nothing."""
    if not train.order.never:
        return []
    names = few([spec.class_names[k] if spec.class_names else str(k) for k in train.order.never], MOST_NAMED)
    return [f"dlrun: note: never drawn, with fewer samples than a batch takes of a class: {names}"]


def _workers(config: Config, part: Part) -> int | None:
    """The loader processes for a part, or None for one that is held on the device."""
    options = config.device
    if part.is_one_batch or options.residency == "device":
        return None
    fits = part.nbytes() <= options.resident_limit_mb * 2**20
    return None if options.residency == "auto" and fits and not options.workers else options.workers


def state(
    config: Config,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    task: Task,
    train: Loader,
    freezing: Freezing | None = None,
) -> State:
    """The moving parts of a run at its start."""
    trainer = config.trainer
    watch, mode = watch_of(config, task)
    steps_per_epoch = math.ceil(train.num_batches / trainer.accumulate)
    with blaming(f"scheduler={config.scheduler['name']}"):
        make = SCHEDULERS.get(config.scheduler["name"])
        schedule = make(optimizer, steps_per_epoch * trainer.epochs, steps_per_epoch, mode, **_keys(config.scheduler))
    if config.device.compile:
        model.compile()
    return State(
        model,
        optimizer,
        devices.gradient_scaler(config.device.precision, train.device),
        schedule,
        warmup=schedulers.Warmup(optimizer, trainer.warmup_steps) if trainer.warmup_steps else None,
        ema=averaged(model, trainer.ema_decay) if trainer.ema_decay is not None else None,
        freezing=freezing,
        scheduler_watches=bool(SCHEDULERS.describe(config.scheduler["name"]).attributes.get("watches")),
        needs_closure=bool(OPTIMIZERS.describe(config.optimizer["name"]).attributes.get("needs_closure")),
        watch=watch,
        mode=mode,
    )


def optimizer(config: Config, model: nn.Module, transfer: Transfer) -> torch.optim.Optimizer:
    """The optimizer over all parameters that learn, now or later; the body's rate may be a share of the head's."""
    if not config.device.compile:
        do_without_compiler()
    if transfer.freezing is not None and transfer.freezing.every is None:
        transfer.freezing.apply(model, epoch=0)
    named = list(model.named_parameters())
    # Of a model that does not learn at all an optimizer still wants parameters; without a gradient it leaves them.
    scale, learning = config.trainer.body_lr_scale, [(n, p) for n, p in named if p.requires_grad] or named
    make = OPTIMIZERS.get(config.optimizer["name"])
    keys = {key: value for key, value in config.optimizer.items() if key != "name"}
    with blaming(f"optimizer={config.optimizer['name']}"):
        if scale == 1 or transfer.head is None:
            return make([parameter for _, parameter in learning], **keys)
        head, body = ([p for n, p in learning if transfer.head.owns(n) == is_head] for is_head in (True, False))
        rates = [(head, keys["lr"]), (body, keys["lr"] * scale)]
        return Combined([make(own, **keys | {"lr": lr}) for own, lr in rates if own])


def first_line(error: Exception) -> str:
    """What an exception says, as one line."""
    return str(error).partition("\n")[0]


def _of_kind(made: Any, kind: type, what: str) -> Any:
    if not isinstance(made, kind):
        raise UserError(f"{what}: {type(made).__name__} is no subclass of {kind.__module__}.{kind.__name__}")
    return made


def _keys(section: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key != "name"}
