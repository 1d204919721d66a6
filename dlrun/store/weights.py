"""Weights that were trained before: of a run, in a safetensors file, or torchvision's by name."""

import contextlib
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dlrun.config.schema import suggest
from dlrun.config.spec import DataSpec
from dlrun.errors import UserError
from dlrun.store import checkpoint
from dlrun.store.run_folder import BEST, read_best
from dlrun.terminal.escaping import quoted

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

FILES = ".safetensors"
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl")


@dataclass(frozen=True)
class Weights:
    """Tensors by name, and what is known of their training: the whole `config` and what the model saw of its data."""

    tensors: dict[str, Tensor]
    config: dict[str, Any] | None = None
    spec: DataSpec | None = None

    @property
    def model(self) -> str | None:
        """What they were trained as."""
        return None if self.config is None else self.config["model"]["name"]

    @property
    def class_names(self) -> tuple[str, ...] | None:
        return None if self.spec is None else self.spec.class_names


def read(source: str) -> Weights:
    """The weights that `init.from` names. **Raises:** `UserError` if there are none or they cannot be read."""
    path = pathlib.Path(source).expanduser()
    if path.is_dir():
        best = path / "checkpoints" / BEST
        if not best.is_file():
            raise UserError(f"is not the folder of a run that has weights ({best} is missing)")
        return _of_run(best)
    if path.is_file():
        return _of_file(path)
    if "_Weights" in source:
        return _of_torchvision(source)
    raise UserError(
        f"no such folder or file; give the folder of a run, a {FILES} file, or a name of torchvision's such as "
        "ResNet18_Weights.DEFAULT"
    )


def _of_run(path: pathlib.Path) -> Weights:
    try:
        tree = read_best(path)
        return Weights(tree["model"], tree["config"], DataSpec.from_dict(tree["spec"]))
    except checkpoint.DamagedCheckpoint as error:
        raise UserError(f"the weights are damaged: {error}") from error
    except ValueError as error:
        raise UserError(f"the weights are damaged: {path}: its spec: {error}") from error


def _of_file(path: pathlib.Path) -> Weights:
    if path.suffix in PICKLES:
        raise UserError(
            "may be a pickle, which can run code; convert it once: python -c 'import sys, torch; from "
            "safetensors.torch import save_file; save_file(torch.load(sys.argv[1], weights_only=True), sys.argv[2])' "
            f"{quoted(path)} {quoted(path.with_suffix(FILES))}"
        )
    try:
        if checkpoint.holds_tree(path):
            return _of_run(path)
        tensors = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"is not a safetensors file: {' '.join(str(error).split())}") from error
    if not tensors:
        raise UserError("holds no weights")
    return Weights(tensors)


def _of_torchvision(name: str) -> Weights:
    entry = published(name)
    with downloading(entry):
        return Weights(entry.get_state_dict(progress=True, check_hash=True, weights_only=True))


def published(name: str) -> "WeightsEnum":
    """The entry of torchvision that is called `name`, such as `ResNet18_Weights.DEFAULT`.

    **Raises:** `UserError` with the nearest name if there is none.
    """
    import torchvision

    enum, _, member = name.partition(".")
    models = torchvision.models
    kinds = map(models.get_model_weights, models.list_models(exclude="quantized_*"))
    known = {kind.__name__: kind for kind in kinds}
    if enum not in known:
        raise UserError(f"torchvision has no {enum}{suggest(enum, known)}")
    if member not in known[enum].__members__:
        raise UserError(f"torchvision's {enum} has {', '.join(known[enum].__members__)}; found {member!r}")
    return known[enum][member]


@contextlib.contextmanager
def downloading(entry: "WeightsEnum") -> Iterator[None]:
    """**Raises:** `UserError` with the address and the place of the file if it cannot be fetched."""
    try:
        yield
    except OSError as error:
        folder = pathlib.Path(torch.hub.get_dir()) / "checkpoints"
        raise UserError(f"could not be downloaded ({error}); or put the file {entry.url} into {folder}") from error
