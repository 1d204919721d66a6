"""The pieces of a run, built from its config: `run`, `eval` and `show` share them."""

import contextlib
import copy
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from dlrun import schedulers
from dlrun.config import Config
from dlrun.data import views
from dlrun.data.loading import Loader, Prepare
from dlrun.data.spec import FILLED, IMAGE_TARGETS, DataSpec
from dlrun.engine import device as devices
from dlrun.engine.eager import do_without_compiler
from dlrun.engine.evaluate import Evaluation
from dlrun.engine.fit import takes_closure
from dlrun.engine.state import State, averaged
from dlrun.errors import UserError
from dlrun.optimizers import Combined
from dlrun.registry import DATA, MODELS, OPTIMIZERS, REGISTRIES, SCHEDULERS, TASKS
from dlrun.transfer import Transfer


@contextlib.contextmanager
def blaming(key: str) -> Iterator[None]:
    """An error about a value becomes a `UserError` that starts with the config key at fault."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"{key}: {_first_line(error)}") from error
    except (RuntimeError, TypeError, OverflowError) as error:
        # Mostly a size that no memory holds; in a plug-in it may be a mistake of the code.
        raise UserError(f"{key}: {type(error).__name__}: {_first_line(error)} (DLRUN_DEBUG=1 shows where)") from error


def device(config: Config) -> torch.device:
    """The chosen device, with torch's switches set. **Raises:** `UserError` that lists what is there."""
    options = config.device
    with blaming("device"):
        chosen = devices.choose(options.name, options.index)
        if options.index and chosen.type != "cuda":
            raise ValueError(f"index {options.index} counts CUDA GPUs, and this run is on {chosen.type}")
        devices.check_precision(options.precision, chosen)
    devices.configure(options.precision, options.threads, options.deterministic)
    return chosen


def data(config: Config) -> Any:
    """The data set, not yet loaded."""
    with blaming(f"data={config.data['name']}"):
        return DATA.get(config.data["name"])(**_keys(config.data))


def view(config: Config, spec: DataSpec) -> tuple[DataSpec, Prepare]:
    """The data as the model takes it: (what it then offers, how a batch becomes it).

    **Raises:** `UserError`: what the model needs, what the data gives, which data sets fit.
    """
    name = config.model["name"]
    _check_answer(name, config.data["name"], spec)
    accepts = MODELS.describe(name).attributes.get("accepts") or (spec.kind,)
    kinds = (
        {} if views.fits(spec.kind, accepts) else {n: DATA.describe(n).attributes.get("kind", "") for n in DATA.names()}
    )
    fitting = [other for other, kind in kinds.items() if views.fits(kind, accepts)]
    try:
        seen, chosen = views.as_kind(spec, accepts, fitting, config.view)
    except UserError as error:
        raise UserError(f"model={name} data={config.data['name']}: {error}") from None
    return seen, views.prepare(spec, chosen)


def _check_answer(model: str, data: str, spec: DataSpec) -> None:
    """**Raises:** `UserError` if only one side is about an image as the answer."""
    if views.answers(MODELS.describe(model).attributes.get("gives"), spec.target):
        return
    asks = spec.target in IMAGE_TARGETS
    group, key, wanted = (MODELS, "gives", ("image",)) if asks else (DATA, "target", IMAGE_TARGETS)
    fitting = ", ".join(name for name in group.names() if group.describe(name).attributes.get(key) in wanted)
    raise UserError(
        f"model={model} data={data}: the target is of kind {spec.target}, and the model answers with "
        f"{'no' if asks else 'an'} image; {'models' if asks else 'data sets'} that fit: {fitting}"
    )


def model(config: Config, spec: DataSpec) -> nn.Module:
    """The model, its null keys filled from `spec` by name."""
    name = config.model["name"]
    with blaming(f"model={name}"):
        return MODELS.get(name)(**filled(config.model, "model", spec, config.data["name"]))


def task(config: Config, spec: DataSpec) -> Any:
    """The task that the config names, or the one that the data's target asks for."""
    name = config.task["name"]
    if name == "auto":
        fitting = [task for task in TASKS.names() if TASKS.describe(task).attributes["target"] == spec.target]
        if not fitting:
            raise UserError(f"data={config.data['name']}: no task learns its target {spec.target!r}")
        return TASKS.get(fitting[0])(spec)
    wants = TASKS.describe(name).attributes.get("target", spec.target)
    if wants != spec.target:
        raise UserError(
            f"task={name}: learns a target of kind {wants!r}, data={config.data['name']} gives {spec.target!r}"
        )
    with blaming(f"task={name}"):
        return TASKS.get(name)(spec, **_keys(config.task))


def sampler(task: Any, loader: Loader) -> Callable[[nn.Module], str] | None:
    """What a model makes of the first example of `loader`, in words; None for a task that has no words for it."""
    return functools.partial(task.sample, loader=loader) if hasattr(task, "sample") else None


def report(task: Any, model: nn.Module, final: Evaluation) -> dict[str, float]:
    """What can be said of an evaluated part beyond its running metrics, and of the weights where the task looks in."""
    examined = task.examine(model) if hasattr(task, "examine") else {}
    return task.report(final.outputs, final.target) | examined


def optimizer(config: Config, model: nn.Module, transfer: Transfer) -> torch.optim.Optimizer:
    """The optimizer over all parameters that learn, now or later; the body's rate may be a share of the head's."""
    if not config.device.compile:
        do_without_compiler()
    if transfer.freezing is not None and transfer.freezing.every is None:
        transfer.freezing.apply(model, epoch=0)
    named = list(model.named_parameters())
    # Of a model that does not learn at all an optimizer still wants parameters; without a gradient it leaves them.
    scale, learning = config.trainer.body_lr_scale, [(n, p) for n, p in named if p.requires_grad] or named
    make, keys = OPTIMIZERS.get(config.optimizer["name"]), _keys(config.optimizer)
    with blaming(f"optimizer={config.optimizer['name']}"):
        if scale == 1 or transfer.head is None:
            return make([parameter for _, parameter in learning], **keys)
        head, body = ([p for n, p in learning if transfer.head.owns(n) == is_head] for is_head in (True, False))
        rates = [(head, keys["lr"]), (body, keys["lr"] * scale)]
        return Combined([make(own, **keys | {"lr": lr}) for own, lr in rates if own])


def scheduler(config: Config, optimizer: torch.optim.Optimizer, num_batches: int, watch_mode: str) -> Any:
    """The learning-rate schedule over the whole run, or None."""
    steps_per_epoch = math.ceil(num_batches / config.trainer.accumulate)
    total_steps = steps_per_epoch * config.trainer.epochs
    with blaming(f"scheduler={config.scheduler['name']}"):
        make = SCHEDULERS.get(config.scheduler["name"])
        return make(optimizer, total_steps, steps_per_epoch, watch_mode, **_keys(config.scheduler))


def state(
    config: Config, model: nn.Module, device: torch.device, num_batches: int, watch_mode: str, transfer: Transfer
) -> State:
    """The moving parts of a run at its start."""
    trainer = config.trainer
    chosen = optimizer(config, model, transfer)
    schedule = scheduler(config, chosen, num_batches, watch_mode)
    if takes_closure(chosen) and (trainer.accumulate > 1 or config.device.precision == "fp16"):
        raise UserError(
            f"optimizer={config.optimizer['name']}: evaluates a batch several times a step, which goes neither with "
            "trainer.accumulate above 1 nor with device.precision=fp16"
        )
    if config.device.compile:
        model.compile()
    return State(
        model,
        chosen,
        devices.gradient_scaler(config.device.precision, device),
        schedule,
        warmup=schedulers.warmup(chosen, trainer.warmup_steps) if trainer.warmup_steps else None,
        ema=averaged(model, trainer.ema_decay) if trainer.ema_decay is not None else None,
        freezing=transfer.freezing,
    )


def check_fit(config: Config, model: nn.Module, task: Any, train: Loader, val: Loader | None) -> None:
    """Finds out before training what would go wrong in it.

    **Raises:** `UserError` if the model cannot take an example of the data, its answer is not one for the task, a
    batch of one meets a batch norm, or there is nothing to watch.
    """
    name = f"model={config.model['name']}"
    if config.trainer.patience is not None and val is None:
        raise UserError("trainer.patience: there is no val part to watch; set data.val_fraction above 0")
    inputs = train.example()
    if inputs[0].shape[2:] == (1, 1) and any(isinstance(module, nn.Conv2d) for module in model.modules()):
        raise UserError(f"{name}: convolves images, and of 1x1 pixel there is nothing to convolve; take larger ones")
    try:
        with torch.inference_mode():
            output = model.eval()(*inputs)
    except (RuntimeError, ValueError, TypeError) as error:
        shape = tuple(inputs[0].shape[1:])
        raise UserError(f"{name}: cannot take an input of shape {shape}: {_first_line(error)}") from error
    if hasattr(task, "check"):
        with blaming(name):
            task.check(output, train.part.target[:1])
    if train.num_in(train.num_batches - 1, train.num_batches) == 1 and not _learns_from_one(model, inputs):
        raise UserError(
            f"trainer.batch_size: the last batch of {train.num_examples} examples holds one, and a batch norm of "
            f"{name} needs two; use trainer.drop_last=true or another batch size"
        )


def _learns_from_one(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> bool:
    """Whether a batch of one gives each batch norm more than one value a channel, tried on a copy of `model`."""
    if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        return True
    try:
        with torch.random.fork_rng(), torch.no_grad():
            copy.deepcopy(model).train()(*inputs)
    except ValueError:
        return False
    return True


def filled(section: dict[str, Any], group: str, spec: DataSpec, data_name: str) -> dict[str, Any]:
    """The keys of a config section with null sizes taken from `spec`.

    A size that the constructor can do without (its default is `None`) may be missing there too.
    """
    keys = _keys(section)
    parameters = REGISTRIES[group].describe(section["name"]).parameters
    for key, value in keys.items():
        if value is None and key in FILLED:
            keys[key] = getattr(spec, key)
            if keys[key] is None and parameters[key].default is not None:
                raise UserError(f"{group}.{key}: data={data_name} does not say it; write {group}.{key}=VALUE")
        elif key == "out_features" and spec.out_features not in (None, value):
            raise UserError(f"{group}.{key}: is {value}, data={data_name} has {spec.out_features}; leave it null")
    return keys


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _keys(section: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key != "name"}
