"""Weights that were trained before: of a run, in a safetensors file, or torchvision's by name."""

import pathlib
import shlex
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dlrun.config.schema import suggest
from dlrun.errors import UserError
from dlrun.store import checkpoint
from dlrun.store.run_folder import BEST

FILES = ".safetensors"
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl")


@dataclass(frozen=True)
class Weights:
    """Tensors by name; `model` and `class_names` say what they were trained as, where that is known."""

    tensors: dict[str, Tensor]
    model: str | None = None
    class_names: tuple[str, ...] | None = None


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
        tree = checkpoint.read(path)
        names = tree["spec"]["class_names"]
        return Weights(tree["model"], tree["config"]["model"]["name"], None if names is None else tuple(names))
    except checkpoint.DamagedCheckpoint as error:
        raise UserError(f"the weights are damaged: {error}") from error
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: is a checkpoint, but not of a run's best weights (no {error})") from error


def _of_file(path: pathlib.Path) -> Weights:
    if path.suffix in PICKLES:
        quoted = shlex.quote(str(path))
        raise UserError(
            "may be a pickle, which can run code; convert it once: python -c 'import sys, torch; from "
            "safetensors.torch import save_file; save_file(torch.load(sys.argv[1], weights_only=True), sys.argv[2])' "
            f"{quoted} {shlex.quote(str(path.with_suffix(FILES)))}"
        )
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"is not a safetensors file: {' '.join(str(error).split())}") from error
    if not tensors:
        raise UserError("holds no weights")
    is_ours = all(name[:1] == "t" and name[1:].isdigit() for name in tensors)
    return _of_run(path) if is_ours else Weights(tensors)


def _of_torchvision(name: str) -> Weights:
    import torchvision

    enum, _, member = name.partition(".")
    models = torchvision.models
    kinds = map(models.get_model_weights, models.list_models(exclude="quantized_*"))
    known = {kind.__name__: kind for kind in kinds}
    if enum not in known:
        raise UserError(f"torchvision has no {enum}{suggest(enum, known)}")
    if member not in known[enum].__members__:
        raise UserError(f"torchvision's {enum} has {', '.join(known[enum].__members__)}; found {member!r}")
    weights = known[enum][member]
    try:
        return Weights(weights.get_state_dict(progress=True, check_hash=True, weights_only=True))
    except OSError as error:
        folder = pathlib.Path(torch.hub.get_dir()) / "checkpoints"
        raise UserError(f"could not be downloaded ({error}); or put the file {weights.url} into {folder}") from error
