"""Optimizers: those of torch, with its fused kernel wherever it has one.

A fused kernel updates all parameters in one call: on a processor a step takes half the time.
`parameters` are the tensors to train. Every function **raises** `ValueError` for values that
contradict each other.
"""

from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.optim import Optimizer

from dlrun.schema import NonNegativeFloat, PositiveFloat, ProperFraction

FUSED_DEVICES = ("cpu", "cuda", "mps")


def sgd(
    parameters: Iterable[nn.Parameter],
    *,
    lr: NonNegativeFloat = 0.01,
    momentum: ProperFraction = 0.0,
    weight_decay: NonNegativeFloat = 0.0,
    nesterov: bool = False,
) -> Optimizer:
    """Stochastic gradient descent (Robbins and Monro 1951), with momentum if asked for."""
    if nesterov and momentum == 0:
        raise ValueError(f"nesterov=true needs a momentum above 0, found momentum={momentum:g}")
    return _fused(torch.optim.SGD, parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)


def adam(
    parameters: Iterable[nn.Parameter],
    *,
    lr: NonNegativeFloat = 0.001,
    betas: tuple[ProperFraction, ProperFraction] = (0.9, 0.999),
    eps: PositiveFloat = 1e-8,
    weight_decay: NonNegativeFloat = 0.0,
) -> Optimizer:
    """Adam (Kingma and Ba 2014): steps scaled by running averages of the gradient and its square."""
    return _fused(torch.optim.Adam, parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)


def adamw(
    parameters: Iterable[nn.Parameter],
    *,
    lr: NonNegativeFloat = 0.001,
    betas: tuple[ProperFraction, ProperFraction] = (0.9, 0.999),
    eps: PositiveFloat = 1e-8,
    weight_decay: NonNegativeFloat = 0.01,
) -> Optimizer:
    """Adam with the weight decay apart from the gradient (Loshchilov and Hutter 2017)."""
    return _fused(torch.optim.AdamW, parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)


def rmsprop(
    parameters: Iterable[nn.Parameter],
    *,
    lr: NonNegativeFloat = 0.001,
    alpha: ProperFraction = 0.99,
    eps: PositiveFloat = 1e-8,
    momentum: ProperFraction = 0.0,
    weight_decay: NonNegativeFloat = 0.0,
) -> Optimizer:
    """RMSprop (Hinton, lecture 6e, 2012): steps scaled by a running average of the squared gradient.

    torch has no fused kernel for it.
    """
    return torch.optim.RMSprop(parameters, lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay)


def _fused(optimizer_class: Callable[..., Optimizer], parameters: Iterable[nn.Parameter], **options) -> Optimizer:
    parameters = list(parameters)
    fused = all(p.device.type in FUSED_DEVICES and p.is_floating_point() for p in parameters)
    # None is torch's own choice; False would also rule out its multi-tensor kernels.
    optimizer = optimizer_class(parameters, fused=fused or None, **options)
    if fused:
        optimizer.register_load_state_dict_post_hook(_match_memory_layout)
    return optimizer


def _match_memory_layout(optimizer: Optimizer) -> None:
    """Lays loaded state out in memory as its parameter is (channels_last, for one).

    A fused kernel walks both in memory order and does not compare strides: with another layout it
    would silently pair the wrong numbers.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
