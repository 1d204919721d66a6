"""Everything that training changes, in one record: a checkpoint is exactly this."""

import contextlib
import random
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

import numpy
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dlrun.config import schema
from dlrun.config.schema import NonNegativeInt, Range
from dlrun.engine.freezing import Freezing

MOST_STEPS = 2**63  # what the files of loggers can count


@dataclass
class State:
    """The moving parts of a run.

    **Fields:**

    - `scaler`: the gradient scaler of fp16; disabled, it changes nothing.
    - `scheduler`, `warmup`: learning-rate schedules, or None.
    - `ema`: the running average of the weights, or None.
    - `scheduler_watches`: whether the schedule is stepped with the watched metric, after an evaluation.
    - `freezing`: what of the model does not learn, or None.
    - `needs_closure`: whether the optimizer evaluates a batch several times a step.
    - `watch`, `mode`: the metric that chooses the best epoch, and whether the highest (`max`) or the lowest is best.
    - `epoch`: finished epochs; `batch`: batches done in the current one; `step`: optimizer steps in all.
    - `lr`: the learning rate of the last step.
    - `sums`: running sums of the current epoch, on the device.
    - `best_rank`: what the best evaluation is compared by, higher is better; `best_epoch`: which it was.
    - `history`: one row of metrics for each evaluation.
    """

    model: nn.Module
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    scheduler: Any = None
    warmup: Any = None
    ema: AveragedModel | None = None
    freezing: Freezing | None = None
    scheduler_watches: bool = False
    needs_closure: bool = False
    watch: str = "loss"
    mode: str = "min"
    epoch: int = 0
    batch: int = 0
    step: int = 0
    lr: float = 0.0
    sums: dict[str, Tensor] = field(default_factory=dict)
    best_rank: tuple[float, float] | None = None
    best_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def eval_model(self) -> nn.Module:
        """The weights that are evaluated and kept: the average where there is one."""
        return self.ema.module if self.ema is not None else self.model

    def training_model(self) -> nn.Module:
        """The model as it is trained in the current epoch."""
        self.model.train()
        if self.freezing is not None:
            self.freezing.apply(self.model, self.epoch)
        return self.model

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def advance(self) -> None:
        """What follows an optimizer step: the rate is noted; averaged weights, next learning rate, count."""
        self.lr = self.optimizer.param_groups[0]["lr"]
        if self.ema is not None:
            self.ema.update_parameters(self.model)
        if self.warmup is not None:
            self.warmup.step()
        if self.scheduler is not None and not self.scheduler_watches:
            self.schedule()
        self.step += 1

    def schedule(self, *metric: float) -> None:
        """A step of the schedule, after one of the optimizer or, with the watched metric, after an evaluation."""
        with self.warmup.aside() if self.warmup is not None else contextlib.nullcontext():
            self.scheduler.step(*metric)

    def to_tree(self) -> dict[str, Any]:
        """Plain containers, numbers and tensors, random generators included."""
        parts = {name: getattr(self, name) for name in _STATEFUL}
        counters = {name: getattr(self, name) for name in _PLAIN}
        return {
            "parts": {name: part.state_dict() for name, part in parts.items() if part is not None},
            "counters": counters,
            "random": random_state(),
            "threads": torch.get_num_threads(),
        }

    @staticmethod
    def check_tree(tree: Any) -> None:
        """**Raises:** `ValueError` for what cannot be `to_tree`'s value of any run."""
        rows = schema.check(tree, _Tree)["counters"].get("history", [])
        if not all(_is_row(row) for row in rows):
            raise ValueError("counters: history: must hold rows of numbers, each with its epoch, step and lr")
        counters = tree["counters"]
        if bool(counters.get("sums")) != bool(counters.get("batch")):
            raise ValueError("counters: sums and batch: an epoch that has begun has both")

    def load_tree(self, tree: dict[str, Any]) -> None:
        """Restores `to_tree`'s value; the random generators last, right before training goes on.

        **Raises:** `ValueError` naming the part that only one side has.
        """
        ours = {name for name in _STATEFUL if getattr(self, name) is not None}
        if different := ours ^ set(tree["parts"]):
            raise ValueError(f"the checkpoint and this run differ in {', '.join(sorted(different))}")
        if missing := set(_PLAIN) ^ set(tree["counters"]):
            raise ValueError(f"the checkpoint and this run differ in {', '.join(sorted(missing))}")
        _check_optimizer(self.optimizer, tree["parts"]["optimizer"])
        for name in ours:
            getattr(self, name).load_state_dict(tree["parts"][name])
        for name, value in tree["counters"].items():
            setattr(self, name, value)
        self.sums = {name: value.to(self.device) for name, value in self.sums.items()}
        restore_random_state(tree["random"])


def _is_row(row: dict[str, Any]) -> bool:
    """Whether it may be one of `State.history`."""
    counts, is_numbers = (row.get("epoch"), row.get("step")), all(isinstance(v, int | float) for v in row.values())
    return is_numbers and "lr" in row and all(isinstance(n, int) and 0 <= n < MOST_STEPS for n in counts)


class _Counters(TypedDict, total=False):
    epoch: NonNegativeInt
    batch: NonNegativeInt
    step: NonNegativeInt
    lr: float
    sums: dict[str, Tensor]
    best_rank: tuple[Any, Any] | None
    best_epoch: NonNegativeInt
    history: list[dict[str, Any]]  # of numbers, which may be undefined


class _Random(TypedDict):
    python: tuple
    numpy: list
    torch: Tensor
    cuda: list[Tensor]


class _Tree(TypedDict):
    """What a checkpoint holds of a run."""

    parts: dict[str, dict]
    counters: _Counters
    random: _Random
    threads: Annotated[int, Range(low=1, high=1024)]


_STATEFUL = ("model", "optimizer", "scheduler", "warmup", "scaler", "ema")
_PLAIN = ("epoch", "batch", "step", "lr", "sums", "best_rank", "best_epoch", "history")


def _check_optimizer(optimizer: Optimizer, tree: dict[str, Any]) -> None:
    """**Raises:** `ValueError` for a state of another form; torch would take it, and fail in the next step."""
    ours = optimizer.state_dict().get("param_groups")
    if ours is None:  # several in one, each of which looks for itself
        return
    if [_form(group) for group in tree["param_groups"]] != [_form(group) for group in ours]:
        raise ValueError("the settings of its optimizer are not those of this run")
    forms: dict[Any, Any] = {}
    for place, (group, kept) in enumerate(zip(optimizer.param_groups, tree["param_groups"], strict=True)):
        for parameter, key in zip(group["params"], kept["params"], strict=True):
            if key in tree["state"]:
                form = _form(tree["state"][key], parameter.shape)
                # What an optimizer keeps of a matrix may differ from what it keeps of a vector.
                if form != forms.setdefault((place, parameter.ndim), form):
                    raise ValueError("the state of its optimizer does not fit the weights")


_OF_DEVICE = ("foreach", "fused", "capturable")


def _form(value: Any, shape: torch.Size | None = None) -> Any:
    """What kind of thing `value` is, and all that is in it; a tensor may be like a parameter of `shape`."""
    if isinstance(value, dict):
        # By these the optimizer of another device differs.
        chosen = {key: inner in (True, False, None) for key, inner in value.items() if key in _OF_DEVICE}
        return {key: _form(inner, shape) for key, inner in value.items()} | chosen
    if isinstance(value, list | tuple):
        return [_form(inner, shape) for inner in value]
    if isinstance(value, Tensor):
        return "a parameter's" if value.shape == shape else f"of {value.ndim} dimensions" if value.ndim else "a number"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "a number"
    return type(value).__name__


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of `model`'s weights and buffers."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def seed_everything(seed: int) -> None:
    """Seeds the generators of Python, NumPy and torch (all devices)."""
    random.seed(seed)
    numpy.random.seed(seed % 2**32)  # noqa: NPY002 - the global generator is what user code draws from
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """Where the generators stand; those of CUDA only if it is in use, which asking would begin."""
    name, keys, position, has_gauss, cached = numpy.random.get_state(legacy=True)  # noqa: NPY002
    return {
        "python": random.getstate(),
        "numpy": [name, torch.from_numpy(numpy.asarray(keys, dtype="int64")), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def restore_random_state(tree: dict[str, Any]) -> None:
    """The inverse of `random_state`."""
    random.setstate(tree["python"])
    name, keys, position, has_gauss, cached = tree["numpy"]
    numpy.random.set_state((name, keys.numpy().astype("uint32"), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(tree["torch"])
    if torch.cuda.is_available() and tree["cuda"]:
        torch.cuda.set_rng_state_all(tree["cuda"])
