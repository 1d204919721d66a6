"""Optimizers: those of torch, with its fused kernel wherever it has one.

A fused kernel updates all parameters in one call: on a processor a step takes half the time.
`parameters` are the tensors to train. With `decay_all` false the weight decay leaves out what
has fewer than two dimensions: biases and the scales of norms. Every function **raises**
`ValueError` for values that contradict each other.

What others must know of one, it `says`: `needs_closure`, it evaluates a batch several times a step; `one_rate`, it has
one rate for all parameters.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer

from dlrun.config.schema import NonNegativeFloat, PositiveFloat, PositiveInt, ProperFraction, says

FUSED_DEVICES = ("cpu", "cuda", "mps")


def sgd(
    parameters: Iterable[nn.Parameter], *, lr: NonNegativeFloat = 0.01, momentum: ProperFraction = 0.0,
    weight_decay: NonNegativeFloat = 0.0, decay_all: bool = True, nesterov: bool = False,
) -> Optimizer:  # fmt: skip
    """Stochastic gradient descent (Robbins and Monro 1951), with momentum if asked for."""
    if nesterov and momentum == 0:
        raise ValueError(f"nesterov=true needs a momentum above 0, found momentum={momentum:g}")
    groups = _groups(parameters, weight_decay, decay_all)
    return _fused(torch.optim.SGD, groups, lr=lr, momentum=momentum, nesterov=nesterov)


def adam(
    parameters: Iterable[nn.Parameter], *, lr: NonNegativeFloat = 0.001,
    betas: tuple[ProperFraction, ProperFraction] = (0.9, 0.999), eps: PositiveFloat = 1e-8,
    weight_decay: NonNegativeFloat = 0.0, decay_all: bool = True,
) -> Optimizer:  # fmt: skip
    """Adam (Kingma and Ba 2014): steps scaled by running averages of the gradient and its square."""
    return _fused(torch.optim.Adam, _groups(parameters, weight_decay, decay_all), lr=lr, betas=betas, eps=eps)


def adamw(
    parameters: Iterable[nn.Parameter], *, lr: NonNegativeFloat = 0.001,
    betas: tuple[ProperFraction, ProperFraction] = (0.9, 0.999), eps: PositiveFloat = 1e-8,
    weight_decay: NonNegativeFloat = 0.01, decay_all: bool = True,
) -> Optimizer:  # fmt: skip
    """Adam with the weight decay apart from the gradient (Loshchilov and Hutter 2017)."""
    return _fused(torch.optim.AdamW, _groups(parameters, weight_decay, decay_all), lr=lr, betas=betas, eps=eps)


def rmsprop(
    parameters: Iterable[nn.Parameter], *, lr: NonNegativeFloat = 0.001, alpha: ProperFraction = 0.99,
    eps: PositiveFloat = 1e-8, momentum: ProperFraction = 0.0, weight_decay: NonNegativeFloat = 0.0,
    decay_all: bool = True,
) -> Optimizer:  # fmt: skip
    """RMSprop (Hinton, lecture 6e, 2012): steps scaled by a running average of the squared gradient.

    torch has no fused kernel for it.
    """
    groups = _groups(parameters, weight_decay, decay_all)
    return torch.optim.RMSprop(groups, lr=lr, alpha=alpha, eps=eps, momentum=momentum)


def adamax(
    parameters: Iterable[nn.Parameter], *, lr: NonNegativeFloat = 0.002,
    betas: tuple[ProperFraction, ProperFraction] = (0.9, 0.999), eps: PositiveFloat = 1e-8,
    weight_decay: NonNegativeFloat = 0.0, decay_all: bool = True,
) -> Optimizer:  # fmt: skip
    """Adam with the largest gradient in place of the mean square (Kingma and Ba 2014, section 7.1)."""
    return torch.optim.Adamax(_groups(parameters, weight_decay, decay_all), lr=lr, betas=betas, eps=eps)


def nadam(
    parameters: Iterable[nn.Parameter], *, lr: NonNegativeFloat = 0.002,
    betas: tuple[ProperFraction, ProperFraction] = (0.9, 0.999), eps: PositiveFloat = 1e-8,
    momentum_decay: NonNegativeFloat = 0.004, weight_decay: NonNegativeFloat = 0.0, decay_all: bool = True,
) -> Optimizer:  # fmt: skip
    """Adam with Nesterov's momentum (Dozat 2016)."""
    groups = _groups(parameters, weight_decay, decay_all)
    return torch.optim.NAdam(groups, lr=lr, betas=betas, eps=eps, momentum_decay=momentum_decay)


def radam(
    parameters: Iterable[nn.Parameter], *, lr: NonNegativeFloat = 0.001,
    betas: tuple[ProperFraction, ProperFraction] = (0.9, 0.999), eps: PositiveFloat = 1e-8,
    weight_decay: NonNegativeFloat = 0.0, decay_all: bool = True,
) -> Optimizer:  # fmt: skip
    """Adam whose first steps are rectified, a warm-up of its own (Liu et al. 2019)."""
    return torch.optim.RAdam(_groups(parameters, weight_decay, decay_all), lr=lr, betas=betas, eps=eps)


def adagrad(
    parameters: Iterable[nn.Parameter], *, lr: NonNegativeFloat = 0.01, lr_decay: NonNegativeFloat = 0.0,
    eps: PositiveFloat = 1e-10, weight_decay: NonNegativeFloat = 0.0, decay_all: bool = True,
) -> Optimizer:  # fmt: skip
    """Adagrad (Duchi, Hazan and Singer 2011): steps scaled by the sum of squared gradients so far."""
    return torch.optim.Adagrad(_groups(parameters, weight_decay, decay_all), lr=lr, lr_decay=lr_decay, eps=eps)


def adadelta(
    parameters: Iterable[nn.Parameter], *, lr: NonNegativeFloat = 1.0, rho: ProperFraction = 0.9,
    eps: PositiveFloat = 1e-6, weight_decay: NonNegativeFloat = 0.0, decay_all: bool = True,
) -> Optimizer:  # fmt: skip
    """Adadelta (Zeiler 2012): Adagrad over a window, in units of the parameter itself."""
    return torch.optim.Adadelta(_groups(parameters, weight_decay, decay_all), lr=lr, rho=rho, eps=eps)


def asgd(
    parameters: Iterable[nn.Parameter], *, lr: NonNegativeFloat = 0.01, lambd: NonNegativeFloat = 1e-4,
    alpha: NonNegativeFloat = 0.75, t0: NonNegativeFloat = 1e6, weight_decay: NonNegativeFloat = 0.0,
    decay_all: bool = True,
) -> Optimizer:  # fmt: skip
    """Averaged stochastic gradient descent (Polyak and Juditsky 1992); its average is not evaluated."""
    groups = _groups(parameters, weight_decay, decay_all)
    # Otherwise it reads its own rate from the GPU at each step.
    on_gpu = all(parameter.is_cuda for group in groups for parameter in group["params"])
    return torch.optim.ASGD(groups, lr=lr, lambd=lambd, alpha=alpha, t0=t0, capturable=on_gpu)


def rprop(
    parameters: Iterable[nn.Parameter], *, lr: NonNegativeFloat = 0.01,
    etas: tuple[PositiveFloat, PositiveFloat] = (0.5, 1.2),
    step_sizes: tuple[PositiveFloat, PositiveFloat] = (1e-6, 50.0),
) -> Optimizer:  # fmt: skip
    """Rprop (Riedmiller and Braun 1993): only the sign of the gradient counts; meant for full batches."""
    if not etas[0] < 1 < etas[1]:
        raise ValueError(f"etas must be one below and one above 1, found {list(etas)}")
    return torch.optim.Rprop(parameters, lr=lr, etas=etas, step_sizes=step_sizes)


@says(needs_closure=True, one_rate=True)
def lbfgs(
    parameters: Iterable[nn.Parameter], *, lr: NonNegativeFloat = 1.0, max_iter: PositiveInt = 20,
    history_size: PositiveInt = 100, line_search: Literal["strong_wolfe"] | None = None,
) -> Optimizer:  # fmt: skip
    """L-BFGS (Liu and Nocedal 1989): `max_iter` quasi-Newton iterations a step, meant for full batches."""
    return LBFGS(parameters, lr, max_iter, history_size=history_size, line_search_fn=line_search)


def muon(
    parameters: Iterable[nn.Parameter], *, lr: NonNegativeFloat = 0.001, momentum: ProperFraction = 0.95,
    weight_decay: NonNegativeFloat = 0.1,
) -> Optimizer:  # fmt: skip
    """Muon (Jordan et al. 2024) for matrices, AdamW with the same rate for all other parameters."""
    if not hasattr(torch.optim, "Muon"):
        raise ValueError(f"torch {torch.__version__} has no Muon; install torch 2.9 or newer")
    parameters = list(parameters)
    pairs = [[p for p in parameters if p.ndim == 2], [p for p in parameters if p.ndim != 2]]
    makes = [partial(torch.optim.Muon, momentum=momentum, adjust_lr_fn="match_rms_adamw"), torch.optim.AdamW]
    return Combined(
        [make(own, lr=lr, weight_decay=weight_decay) for make, own in zip(makes, pairs, strict=True) if own]
    )


class LBFGS(torch.optim.LBFGS):
    """torch's, for gradients of any memory layout: it takes them for contiguous, which those of images are not."""

    def _gather_flat_grad(self) -> torch.Tensor:
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._params]
        return torch.cat([gradient.reshape(-1) for gradient in gradients])


class Combined(Optimizer):
    """Several optimizers, each for its own parameters, that are stepped as one."""

    def __init__(self, members: list[Optimizer]):
        self.members = members
        super().__init__(
            [parameter for member in members for group in member.param_groups for parameter in group["params"]], {}
        )
        # The very groups of the members, so that a schedule reaches them.
        self.param_groups = [group for member in members for group in member.param_groups]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for member in self.members:
            member.step(closure)

    def state_dict(self) -> dict[str, Any]:
        return {"members": [member.state_dict() for member in self.members]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for member, state in zip(self.members, state_dict["members"], strict=True):
            member.load_state_dict(state)
        self.param_groups = [group for member in self.members for group in member.param_groups]


def _groups(parameters: Iterable[nn.Parameter], weight_decay: float, decay_all: bool) -> list[dict[str, Any]]:
    parameters = list(parameters)
    if decay_all or weight_decay == 0:
        return [{"params": parameters, "weight_decay": weight_decay}]
    groups = [{"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay}]
    groups += [{"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _fused(optimizer_class: Callable[..., Optimizer], groups: list[dict[str, Any]], **options) -> Optimizer:
    parameters = [parameter for group in groups for parameter in group["params"]]
    fused = all(p.device.type in FUSED_DEVICES and p.is_floating_point() for p in parameters)
    # None is torch's own choice; False would also rule out its multi-tensor kernels.
    optimizer = optimizer_class(groups, fused=fused or None, **options)
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
