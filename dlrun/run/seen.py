"""What a model of images sees: the answers of its convolutions, and where the evidence for a class lies.

Models know nothing of it: hooks on the modules listen to one forward pass.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

SMALLEST_SIDE = 4  # pixels of a map that still says where something is


@dataclass(frozen=True)
class Answer:
    """What the module at `path` made of the first example: `values` (1, C, H, W)."""

    path: str
    module: nn.Module
    values: Tensor


def convolutions(model: nn.Module, inputs: tuple[Tensor, ...]) -> list[Answer]:
    """The answers of all 2-D convolutions in the order of their calls, without those of one pixel."""
    with torch.inference_mode(), _listening(model, copy=True) as answers:
        model.eval()(*(value[:1] for value in inputs))
    return [answer for answer in answers if _is_convolution(answer)]


def class_activation(
    model: nn.Module, inputs: tuple[Tensor, ...], score: Callable[[Tensor], Tensor]
) -> tuple[str, Tensor]:
    """Grad-CAM: (where the features come from, a map (H', W') of what speaks for `score`, a number of the output).

    The features are the last values of the size that the last convolution of at least 4 x 4 places gives (of more than
    one place, if there is none): behind its norm and activation, and at the end of a block with several branches. Each
    channel weighs as much as its mean gradient; what is negative speaks for other classes and is 0. Of a model that
    ends in global average pooling and a linear layer that is the class activation map, divided by the number of places.

    Selvaraju et al., "Grad-CAM", ICCV 2017; Zhou et al., "Learning Deep Features for Discriminative Localization",
    CVPR 2016.

    **Raises:** `ValueError` if no convolution of more than one pixel leads to the score.
    """
    # With an input that wants a gradient also weights that are frozen have a graph.
    leaves = [value[:1].clone().requires_grad_(value.is_floating_point()) for value in inputs]
    with torch.enable_grad(), _listening(model, copy=False) as answers:
        wanted = score(model.eval()(*leaves))
    places = [place for place, answer in enumerate(answers) if _is_convolution(answer)]
    if not places:
        raise ValueError("no convolution with more than one pixel")
    large = [place for place in places if min(answers[place].values.shape[2:]) >= SMALLEST_SIDE]
    last = (large or places)[-1]
    size = answers[last].values.shape[2:]
    behind = [answer for answer in answers[last:] if answer.values.shape[2:] == size]
    gradients = torch.autograd.grad(wanted, [answer.values for answer in behind], allow_unused=True)
    used = [pair for pair in zip(behind, gradients, strict=True) if pair[1] is not None]
    if not used:
        raise ValueError("no convolution leads to the answer")
    features, gradient = used[-1]
    weights = gradient.mean(dim=(2, 3), keepdim=True)  # (1, C, 1, 1)
    return features.path, (weights * features.values.detach()).sum(dim=1)[0].relu()


def _is_convolution(answer: Answer) -> bool:
    return isinstance(answer.module, nn.Conv2d) and math.prod(answer.values.shape[2:]) > 1


@contextlib.contextmanager
def _listening(model: nn.Module, copy: bool) -> Iterator[list[Answer]]:
    """Collects what modules give as (B, C, H, W), the parts of one before itself; a copy if it may be overwritten."""
    answers: list[Answer] = []
    paths = {module: path or type(model).__name__ for path, module in model.named_modules()}

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            answers.append(Answer(paths[module], module, output.clone() if copy else output))

    hooks = [module.register_forward_hook(note) for module in paths]
    try:
        yield answers
    finally:
        for hook in hooks:
            hook.remove()
