"""Optimizers without torch's compiler.

An optimizer imports `torch._dynamo`, more than a second of a short run, only to tell the compiler to keep off it.
"""

import inspect

import torch
from torch.optim import Optimizer

# Each looks here for the function that the compiler would make of it, and imports the compiler if there is none.
_CACHE = "__dynamo_disable"


def do_without_compiler() -> None:
    """Lets torch's own optimizers work without importing the compiler, for the rest of the process.

    For a run that compiles nothing; values do not change. Where torch is built otherwise, nothing happens.
    """
    for kind in [Optimizer, *Optimizer.__subclasses__()]:
        for name, method in list(vars(kind).items()):
            raw = vars(method).get("__wrapped__") if inspect.isfunction(method) else None
            if raw is None:
                continue
            if method.__code__.co_name == "_use_grad":
                setattr(kind, name, torch.no_grad()(raw))
            elif _CACHE in method.__code__.co_consts and not hasattr(raw, _CACHE):
                setattr(raw, _CACHE, raw)
