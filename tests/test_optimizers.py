import pytest
import torch
from torch import nn

from dlrun.registry import OPTIMIZERS

CASES = [
    ("sgd", torch.optim.SGD, {"lr": 0.1}),
    ("sgd", torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}),
    ("adam", torch.optim.Adam, {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    ("adamw", torch.optim.AdamW, {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    ("rmsprop", torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.9, "eps": 1e-6, "momentum": 0.5, "weight_decay": 0.1}),
]
IDS = ["sgd", "nesterov", "adam", "adamw", "rmsprop"]


def make_parameters():
    generator = torch.Generator().manual_seed(0)
    shapes = [(4, 3, 3, 3), (4,), (5, 8)]
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def take_steps(optimizer, parameters, numbers):
    for number in numbers:
        generator = torch.Generator().manual_seed(number)
        for parameter in parameters:
            # As autograd does, the gradient gets the parameter's own layout in memory.
            parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape, generator=generator))
        optimizer.step()


@pytest.mark.parametrize(("name", "reference", "options"), CASES, ids=IDS)
def test_steps_equal_those_of_torch_without_fusing(name, reference, options):
    ours, theirs = make_parameters(), make_parameters()
    take_steps(OPTIMIZERS.get(name)(iter(ours), **options), ours, range(5))
    take_steps(reference(theirs, foreach=False, **options), theirs, range(5))
    for mine, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_fused_on_the_processor_and_not_where_torch_cannot(name):
    make = OPTIMIZERS.get(name)
    assert make(make_parameters()).defaults["fused"] is True
    assert make([nn.Parameter(torch.zeros(2, device="meta"))]).defaults["fused"] is None
    assert make([*make_parameters(), nn.Parameter(torch.zeros(2, dtype=torch.cfloat))]).defaults["fused"] is None


@pytest.mark.parametrize(("name", "reference", "options"), CASES, ids=IDS)
def test_resume_from_contiguous_state_with_channels_last_parameters(name, reference, options):
    """A checkpoint may hold contiguous tensors; a fused kernel would read them in the wrong order."""
    straight = [nn.Parameter(p.detach().contiguous(memory_format=layout(p))) for p in make_parameters()]
    take_steps(OPTIMIZERS.get(name)(straight, **options), straight, range(4))

    first = [nn.Parameter(p.detach().contiguous(memory_format=layout(p))) for p in make_parameters()]
    optimizer = OPTIMIZERS.get(name)(first, **options)
    take_steps(optimizer, first, range(2))
    saved = optimizer.state_dict()
    for values in saved["state"].values():
        values |= {key: value.contiguous() for key, value in values.items() if isinstance(value, torch.Tensor)}
    resumed = OPTIMIZERS.get(name)(first, **options)
    resumed.load_state_dict(saved)
    take_steps(resumed, first, range(2, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, straight, strict=True))


def layout(tensor):
    return torch.channels_last if tensor.ndim == 4 else torch.contiguous_format


def test_nesterov_needs_momentum():
    with pytest.raises(ValueError, match=r"nesterov=true needs a momentum above 0, found momentum=0"):
        OPTIMIZERS.get("sgd")(make_parameters(), nesterov=True)
