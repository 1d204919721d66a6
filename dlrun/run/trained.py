"""A finished run's best weights, ready to answer: what `eval`, `predict` and `show` share."""

import contextlib
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from dlrun.config.check import Config
from dlrun.config.schema import few
from dlrun.config.spec import DataSpec, last_part
from dlrun.engine import device as devices
from dlrun.engine.contracts import Batch, DataSet, Prepare, Task
from dlrun.engine.evaluate import evaluate
from dlrun.engine.nested import Nested
from dlrun.errors import UserError
from dlrun.run import assemble, stored
from dlrun.store import checkpoint
from dlrun.store.run_folder import BEST, read_best

MOST_NAMES = 6  # in a message


@dataclass(frozen=True)
class Trained:
    """A run's data, model and task; `offered` is what the data offer, `spec` what the model sees of them.

    `prepare` turns raw inputs into what the model takes.
    """

    config: Config
    device: torch.device
    dataset: DataSet
    offered: DataSpec
    spec: DataSpec
    prepare: Prepare
    model: nn.Module
    task: Task

    def outputs(self, raw: tuple[Tensor, ...]) -> Nested:
        """The outputs of the model for raw inputs (N, ...), on its device. A model that trains goes on training."""
        index = torch.arange(len(raw[0]))
        with assemble.on_device(self.config), torch.inference_mode(), _not_training(self.model):
            inputs = self.prepare(tuple(value.to(self.device) for value in raw))
            return self.task.forward(self.model, Batch(inputs, (), index.to(self.device)))


@contextlib.contextmanager
def _not_training(model: nn.Module) -> Iterator[None]:
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, is_training in before:
            module.training = is_training


def load(config: Config, path: pathlib.Path, *, with_data: bool) -> Trained:
    """The run in `path`. Without `with_data`, what its data offer is taken from the weights where it can be.

    **Raises:** `UserError` if the weights are damaged or the data are no longer those of the run.
    """
    try:
        best = read_best(path / "checkpoints" / BEST)
        then = DataSpec.from_dict(best["spec"])
    except (checkpoint.DamagedCheckpoint, ValueError) as error:
        raise UserError(f"no usable weights: {error}") from error
    offered = stored.offered_of(path, config)
    with assemble.on_device(config) as device:
        dataset = assemble.data(config, stored.kept_of(path) if with_data else None, offered)
        if with_data or offered is None:
            offered = _as_trained(dataset.spec, then, path)
        spec, prepare = assemble.view(config, offered)
        model = devices.place(assemble.model(config, spec), device, config.device.channels_last)
        try:
            model.eval().load_state_dict(best["model"])
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{path}: its weights do not fit its config: {reason}") from error
        task = assemble.task(config, spec)
        task.to(device)
        return Trained(config, device, dataset, offered, spec, prepare, model, task)


def measure(config: Config, path: pathlib.Path, wanted: str | None = None) -> dict[str, float]:
    """`part/name` metrics of the best weights in `path`, on the part `wanted` or the last one that there is."""
    with assemble.on_device(config):
        run = load(config, path, with_data=True)
        parts = run.dataset.load()
        stored.say_unkept(run.dataset, path)
        part = wanted if wanted is not None else last_part(parts)
        if part not in parts:
            raise UserError(f"eval: no part {part!r}; data={config.data['name']} has {', '.join(parts)}")
        loaders = assemble.loaders(config, parts, run.prepare, run.device)
        autocast = devices.autocast(config.device.precision, run.device)
        result = evaluate(run.model, run.task, loaders[part], run.task.final_metrics(run.model), autocast)
        assert result is not None, "nothing asks this evaluation to stop"
        found = result.metrics | run.task.examine(run.model)
    return {f"{part}/{name}": value for name, value in found.items()}


def _as_trained(now: DataSpec, then: DataSpec, path: pathlib.Path) -> DataSpec:
    """What the data offer now, with the statistics that the weights were trained with.

    **Raises:** `UserError` if its classes, features or characters are no longer those of the run.
    """
    is_same_kind = now.kind == then.kind
    names = ("class_names", "out_features") + (("feature_names", "vocabulary") if is_same_kind else ())
    for key in names:
        if getattr(then, key) != getattr(now, key):
            before, after = (_told(getattr(spec, key)) for spec in (then, now))
            raise UserError(f"{path}: was trained with {key} {before}, the data now have {after}")
    statistics = {key: getattr(then, key) for key in ("mean", "std") if is_same_kind}
    return replace(now, **statistics, target_mean=then.target_mean, target_std=then.target_std)


def _told(value: object) -> str:
    return few(map(str, value), MOST_NAMES) if isinstance(value, tuple) else str(value)
