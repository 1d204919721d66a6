import copy

import pytest
import torch
from torch import nn

from dlrun.optim import OPTIMIZERS

CASES = [
    ("sgd", torch.optim.SGD, {"lr": 0.1}),
    ("sgd", torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}),
    ("adam", torch.optim.Adam, {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    ("adamw", torch.optim.AdamW, {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    ("rmsprop", torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.9, "eps": 1e-6, "momentum": 0.5, "weight_decay": 0.1}),
]
CASES += [
    ("adamax", torch.optim.Adamax, {"lr": 0.01, "weight_decay": 0.1}),
    ("nadam", torch.optim.NAdam, {"lr": 0.01, "momentum_decay": 0.01, "weight_decay": 0.1}),
    ("radam", torch.optim.RAdam, {"lr": 0.01, "weight_decay": 0.1}),
    ("adagrad", torch.optim.Adagrad, {"lr": 0.01, "lr_decay": 0.1, "weight_decay": 0.1}),
    ("adadelta", torch.optim.Adadelta, {"lr": 0.5, "rho": 0.8, "weight_decay": 0.1}),
    ("asgd", torch.optim.ASGD, {"lr": 0.01, "t0": 2.0, "weight_decay": 0.1}),
    ("rprop", torch.optim.Rprop, {"lr": 0.01, "etas": (0.4, 1.3)}),
]
IDS = [
    "sgd",
    "nesterov",
    "adam",
    "adamw",
    "rmsprop",
    "adamax",
    "nadam",
    "radam",
    "adagrad",
    "adadelta",
    "asgd",
    "rprop",
]


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


DECAYING = ["sgd", "adam", "adamw", "rmsprop", "adamax", "nadam", "radam", "adagrad", "adadelta", "asgd"]


@pytest.mark.parametrize("name", DECAYING)
def test_decay_leaves_out_biases_and_norms_if_asked_to(name):
    parameters = make_parameters()
    optimizer = OPTIMIZERS.get(name)(parameters, weight_decay=0.5, decay_all=False)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert [decay[id(p)] for p in parameters] == [0.5, 0.0, 0.5]
    (group,) = OPTIMIZERS.get(name)(make_parameters(), weight_decay=0.5).param_groups
    assert group["weight_decay"] == 0.5


def test_muon_turns_matrices_and_leaves_the_rest_to_adamw():
    ours, theirs = make_parameters(), make_parameters()
    optimizer = OPTIMIZERS.get("muon")(ours, lr=0.01, weight_decay=0.1)
    take_steps(optimizer, ours, range(3))
    take_steps(torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.1), theirs, range(3))
    assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])
    assert not torch.allclose(ours[2], theirs[2], atol=1e-3)


def test_muon_goes_on_from_its_state_and_obeys_a_schedule():
    straight, first, second = make_parameters(), make_parameters(), make_parameters()
    take_steps(OPTIMIZERS.get("muon")(straight), straight, range(4))
    optimizer = OPTIMIZERS.get("muon")(first)
    take_steps(optimizer, first, range(2))
    for new, old in zip(second, first, strict=True):
        new.data.copy_(old.data)
    resumed = OPTIMIZERS.get("muon")(second)
    resumed.load_state_dict(optimizer.state_dict())
    take_steps(resumed, second, range(2, 4))
    assert all(torch.equal(a, b) for a, b in zip(straight, second, strict=True))
    torch.optim.lr_scheduler.ExponentialLR(resumed, 0.1).step()
    assert {group["lr"] for member in resumed.members for group in member.param_groups} == {1e-4}


def test_rprop_refuses_factors_on_the_same_side():
    with pytest.raises(ValueError, match="below and one above 1"):
        OPTIMIZERS.get("rprop")(make_parameters(), etas=(1.1, 1.2))


def test_lbfgs_takes_gradients_that_lie_channels_last():
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 3))
    images = torch.randn(2, 3, 8, 8)
    losses = []
    for layout in (torch.contiguous_format, torch.channels_last):
        model = copy.deepcopy(plain).to(memory_format=layout)
        optimizer = OPTIMIZERS.get("lbfgs")(model.parameters(), max_iter=5)

        def closure(model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = model(images).square().mean()
            loss.backward()
            return loss

        optimizer.step(closure)
        losses.append(model(images).square().mean().item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0] < 0.5 * plain(images).square().mean().item()
