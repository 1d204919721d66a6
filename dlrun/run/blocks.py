"""The blocks of a model, from its input to its head: what transfer learning freezes, keeps and replaces."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Block:
    """A part of a model that is called as one; `name` is its path, `modules` are it and the norms behind it."""

    name: str
    modules: tuple[str, ...]

    def owns(self, tensor: str) -> bool:
        """Whether the parameter or buffer of that name is one of this block."""
        return any(not module or tensor.startswith(f"{module}.") for module in self.modules)


def blocks(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[Block]:
    """The blocks of `model` in the order in which it calls them for `inputs`; the last one is its head.

    Lists and sequences of layers are opened, a residual block or an Inception block is one. A norm belongs to the
    block before it.
    """
    candidates = {module: path for path, module in _open(*_core("", model))}
    called: dict[nn.Module, None] = {}
    hooks = [module.register_forward_pre_hook(lambda module, _: called.setdefault(module)) for module in candidates]
    is_training = model.training
    try:
        with torch.inference_mode():
            model.eval()(*inputs)
    finally:
        model.train(is_training)
        for hook in hooks:
            hook.remove()
    found: list[list[str]] = []
    for module in called:
        if found and re.search(r"Norm(\dd)?$", type(module).__name__):
            found[-1].append(candidates[module])
        else:
            found.append([candidates[module]])
    return [Block(modules[0], tuple(modules)) for modules in found]


def size(model: nn.Module) -> str:
    """The number of parameters, and the share of them that learns if not all do."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    total, learning = sum(size for size, _ in sizes), sum(size for size, learns in sizes if learns)
    share = f", {learning:,} of them learn ({learning / total:.1%})" if learning < total else ""
    return f"{total:,} parameters{share}"


def _core(path: str, module: nn.Module) -> tuple[str, nn.Module]:
    """`module`, or what it merely wraps."""
    parts = [(name, part) for name, part in module.named_children() if _learns(part)]
    own = next(module.parameters(recurse=False), None)
    if len(parts) == 1 and own is None and next(parts[0][1].children(), None) is not None:
        return _core(_joined(path, parts[0][0]), parts[0][1])
    return path, module


def _open(path: str, module: nn.Module, is_outermost: bool = True) -> Iterator[tuple[str, nn.Module]]:
    parts = [(_joined(path, name), part) for name, part in module.named_children() if _learns(part)]
    if not parts or not (is_outermost or type(module) in CONTAINERS):
        yield path, module
        return
    for name, part in parts:
        yield from _open(name, part, is_outermost=False)


def _learns(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
