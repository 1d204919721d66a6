"""Transfer learning: which weights a model starts with, and which of its blocks learn."""

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlrun.config.check import Config
from dlrun.config.schema import suggest
from dlrun.config.spec import DataSpec
from dlrun.engine.freezing import Freezing
from dlrun.errors import UserError
from dlrun.run.blocks import Block, blocks
from dlrun.store import weights
from dlrun.terminal.tables import print_table


@dataclass(frozen=True)
class Transfer:
    """What is special about the blocks of a model: the last one is its `head`, some may be frozen."""

    head: Block | None = None
    freezing: Freezing | None = None


def begin(config: Config, model: nn.Module, spec: DataSpec, inputs: tuple[Tensor, ...], resumes: bool) -> Transfer:
    """Loads the weights to start from, unless the run goes on with its own, and finds the blocks that are frozen.

    **Raises:** `UserError` if the weights do not fit, or what is to be frozen is not there.
    """
    source = config.init.from_
    if source is None and config.freeze is None and config.trainer.body_lr_scale == 1:
        return Transfer()
    found = blocks(model, inputs)
    if not found:
        raise UserError(
            f"model={config.model['name']}: nothing in it learns; remove init.from, freeze and body_lr_scale"
        )
    if source is not None and not resumes:
        try:
            rows = start_from(source, model, found[-1], spec, config.model["name"])
        except UserError as error:
            raise UserError(f"init.from={source}: {error}") from None
        print_table(f"init    {source}", ("tensors", "what became of them", "such as"), rows, right=("tensors",))
    return Transfer(found[-1], freezing(config, model, found))


def freezing(config: Config, model: nn.Module, found: list[Block]) -> Freezing | None:
    """What `freeze` means in `model`. **Raises:** `UserError` if it means nothing, or all that learns."""
    if config.freeze is None:
        return None
    return Freezing(_frozen(config.freeze, model, found), config.trainer.unfreeze_every)


def start_from(source: str, model: nn.Module, head: Block, spec: DataSpec, name: str) -> list[tuple[str, str, str]]:
    """Gives `model` the tensors of `source` that have a name and a shape of its own; rows that say what became of each.

    The head stays as it is where its shape or the classes are others. A prefix that all of their names share does not
    count, nor one of ours under which they stand, as the body of a detector does.

    **Raises:** `UserError` if the weights are those of another architecture, or of images with other channels.
    """
    given = weights.read(source)
    theirs = _by_name(given.tensors)
    ours = _below(model.state_dict(), theirs)
    body = [full for full, _ in ours.values() if not head.owns(full)]
    trained = f"trained as model={given.model}, " if given.model not in (None, name) else ""
    has_other_classes = given.class_names not in (None, spec.class_names)
    taken: dict[str, Tensor] = {}
    fates: dict[str, list[str]] = {}
    for short, (full, tensor) in ours.items():
        value = _fitted(theirs[short][1], tensor) if short in theirs else None
        if short in theirs and value is None and full in body:
            raise UserError(trained + _misfit(full, theirs[short][1], tensor, spec))
        if value is None or (has_other_classes and head.owns(full)):
            fate = (
                "new: no such tensor" if short not in theirs else f"new: other {'size' if value is None else 'classes'}"
            )
        else:
            taken[full] = value
            fate = "loaded" if value is theirs[short][1] else "loaded, summed over RGB"
        fates.setdefault(fate, []).append(full)
    if body and not taken.keys() & set(body):
        raise UserError(f"{trained}another architecture: it has {_some(theirs)}; model={name} has {_some(ours)}")
    with torch.no_grad():
        for full, value in taken.items():
            model.state_dict()[full].copy_(value)
    fates["skipped: not in this model"] = [full for short, (full, _) in theirs.items() if short not in ours]
    return [(str(len(names)), fate, _some(names)) for fate, names in fates.items() if names]


def _by_name(tensors: dict[str, Tensor]) -> dict[str, tuple[str, Tensor]]:
    """Short name -> (full name, tensor): without the first parts of the path that all names share."""
    paths = [name.split(".") for name in tensors]
    shared = 0
    while all(len(path) > shared + 1 and path[shared] == paths[0][shared] for path in paths):
        shared += 1
    return {".".join(name.split(".")[shared:]): (name, tensor) for name, tensor in tensors.items()}


def _below(tensors: dict[str, Tensor], wanted: Iterable[str]) -> dict[str, tuple[str, Tensor]]:
    """As `_by_name`, without the prefix below which most of the `wanted` names are found; the shortest."""
    names = list(wanted)
    starts = {name[: place + 1] for name in tensors for place, letter in enumerate(name) if letter == "."}
    prefix = max(["", *sorted(starts, key=len)], key=lambda start: sum(start + name in tensors for name in names))
    return {name.removeprefix(prefix): (name, tensor) for name, tensor in tensors.items()}


def _fitted(theirs: Tensor, ours: Tensor) -> Tensor | None:
    """`theirs` in the shape of `ours`; None if it does not fit.

    A filter of RGB images is summed over them and shared out, so that an image of equal channels gives what it gave.
    """
    if theirs.shape == ours.shape:
        return theirs
    if _differ_in_channels(theirs, ours) and theirs.shape[1] == 3:
        return theirs.sum(dim=1, keepdim=True).expand_as(ours) / ours.shape[1]  # (out, 3, k, k) -> (out, C, k, k)
    return None


def _differ_in_channels(theirs: Tensor, ours: Tensor) -> bool:
    """Whether two filters (out, in, k, k) differ in nothing but `in`."""
    is_filter = theirs.ndim == ours.ndim == 4
    return is_filter and theirs.shape[0] == ours.shape[0] and theirs.shape[2:] == ours.shape[2:]


def _misfit(name: str, theirs: Tensor, ours: Tensor, spec: DataSpec) -> str:
    text = f"{name} is {tuple(theirs.shape)} there and {tuple(ours.shape)} in this model"
    if _differ_in_channels(theirs, ours) and ours.shape[1] == spec.in_channels:
        return f"{text}: they were trained with in_channels={theirs.shape[1]}, the data have {spec.in_channels}"
    return f"{text}; give the model the sizes that it was trained with"


def _some(names: Iterable[str], most: int = 3) -> str:
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def _frozen(freeze: str | int | tuple[str, ...], model: nn.Module, found: list[Block]) -> tuple[tuple[str, ...], ...]:
    """The names of the parameters that `freeze` means, block by block.

    **Raises:** `UserError` if it means none, or all.
    """
    learning = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    listed = ", ".join(block.name for block in found)
    if freeze == "body":
        frozen = [name for name in learning if not found[-1].owns(name)]
    elif isinstance(freeze, int):
        if freeze >= len(found):
            raise UserError(f"freeze={freeze}: the model has {len(found)} blocks ({listed}), and one must learn")
        frozen = [name for name in learning if any(block.owns(name) for block in found[:freeze])]
    else:
        frozen = _matching((freeze,) if isinstance(freeze, str) else freeze, learning, listed)
    if len(frozen) in (0, len(learning)):
        rest = "no parameter to freeze" if not frozen else "no parameter that learns"
        raise UserError(f"freeze={'[]' if freeze == () else freeze}: leaves {rest} in the model (its blocks: {listed})")
    groups = [[name for name in frozen if block.owns(name)] for block in found]
    outside = [name for name in frozen if not any(block.owns(name) for block in found)]
    return tuple(tuple(group) for group in [outside, *groups] if group)


def _matching(patterns: tuple[str, ...], names: list[str], blocks: str) -> list[str]:
    """The names that are, lie in, or match what a pattern names. **Raises:** `UserError` for one that finds none."""
    frozen: dict[str, None] = {}
    for pattern in patterns:
        hits = [n for n in names if n.startswith(f"{pattern}.") or fnmatch.fnmatchcase(n, pattern)]
        if not hits:
            near = suggest(pattern.removesuffix(".*").removesuffix("*"), {name.rpartition(".")[0] for name in names})
            raise UserError(
                f"freeze: no parameter lies in or matches {pattern!r}{near} (blocks: {blocks}; or body, or a number)"
            )
        frozen |= dict.fromkeys(hits)
    return [name for name in names if name in frozen]
