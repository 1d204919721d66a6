import json
import math

import pytest
import torch
from torch import nn

from dlrun.optim import SCHEDULERS
from dlrun.optim.schedulers import warmup
from dlrun.store import checkpoint


def make_optimizer(lr=0.5, **options):
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr, **options)


def schedule(name, steps, *, lr=0.5, warmup_steps=0, steps_per_epoch=1, **options):
    """The learning rate that each of `steps` optimizer steps uses, and the one after the last."""
    optimizer = make_optimizer(lr)
    scheduler = SCHEDULERS.get(name)(optimizer, steps, steps_per_epoch, "max", **options)
    made = [warmup(optimizer, warmup_steps)] if warmup_steps else []
    made += [scheduler] if scheduler else []
    used = []
    for _ in range(steps):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for each in made:
            each.step()
    return [*used, optimizer.param_groups[0]["lr"]]


def test_none_keeps_the_learning_rate():
    assert SCHEDULERS.get("none")(make_optimizer(), 10, 2, "max") is None
    assert schedule("none", 5) == [0.5] * 6


def test_step_counts_epochs():
    used = schedule("step", 12, steps_per_epoch=3, step_size=2, gamma=0.1)
    assert used == pytest.approx([0.5] * 6 + [0.05] * 6 + [0.005])


@pytest.mark.parametrize("min_lr", [0.0, 0.1, 0.5])
def test_cosine_goes_from_lr_to_min_lr(min_lr):
    used = schedule("cosine", 20, min_lr=min_lr)
    assert used == pytest.approx([min_lr + (0.5 - min_lr) * (1 + math.cos(math.pi * k / 20)) / 2 for k in range(21)])


def test_onecycle_rises_to_max_lr_and_falls():
    used = schedule("onecycle", 100, max_lr=0.2, pct_start=0.3)
    assert used[0] == pytest.approx(0.2 / 25)
    assert max(used) == used[29] == pytest.approx(0.2)
    assert used[:30] == sorted(used[:30])
    assert used[29:100] == sorted(used[29:100], reverse=True)
    assert used[99] == pytest.approx(0.2 / 25 / 1e4)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("name", SCHEDULERS.names())
def test_a_run_of_few_steps_has_a_finite_learning_rate(name, steps):
    if name != "plateau":
        assert all(math.isfinite(lr) and lr >= 0 for lr in schedule(name, steps))


@pytest.mark.parametrize("mode", ["min", "max"])
def test_plateau_lowers_after_patience_evaluations_without_a_better_metric(mode):
    optimizer = make_optimizer(lr=1.0)
    scheduler = SCHEDULERS.get("plateau")(optimizer, 100, 10, mode, factor=0.5, patience=1, min_lr=0.2)
    sign = 1 if mode == "max" else -1
    used = []
    for metric in (1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3):
        scheduler.step(sign * metric)
        used.append(optimizer.param_groups[0]["lr"])
    assert used == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_warmup_reaches_the_whole_learning_rate_at_its_last_step(steps):
    used = schedule("none", 8, warmup_steps=steps)
    assert used == pytest.approx([0.5 * min(1, (k + 1) / steps) for k in range(9)])


@pytest.mark.parametrize(("name", "options"), [("cosine", {}), ("step", {"step_size": 2, "gamma": 0.1})])
def test_warmup_multiplies_the_schedule(name, options):
    plain = schedule(name, 20, steps_per_epoch=4, **options)
    warm = schedule(name, 20, steps_per_epoch=4, warmup_steps=10, **options)
    assert warm == pytest.approx([lr * min(1, (k + 1) / 10) for k, lr in enumerate(plain)])


def test_warmup_with_a_cosine_that_ends_above_zero():
    plain, warm = schedule("cosine", 100, min_lr=0.01), schedule("cosine", 100, min_lr=0.01, warmup_steps=10)
    # torch steps towards min_lr from where it is, so that the product holds nearly, and the end exactly.
    assert warm == pytest.approx([lr * min(1, (k + 1) / 10) for k, lr in enumerate(plain)], rel=2e-3)
    assert warm[-1] == pytest.approx(0.01)


def test_warmup_before_a_plateau():
    optimizer = make_optimizer(lr=1.0)
    plateau = SCHEDULERS.get("plateau")(optimizer, 100, 6, "max", factor=0.5, patience=0)
    warm = warmup(optimizer, 4)
    for _ in range(6):
        optimizer.step()
        warm.step()
    for metric in (1, 1):
        plateau.step(metric)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5)


def test_onecycle_refuses_a_rise_of_one_step():
    with pytest.raises(ValueError, match=r"pct_start 0\.5 of 2 steps"):
        schedule("onecycle", 2, pct_start=0.5)


@pytest.mark.parametrize("warmup_steps", [0, 10])
def test_cosine_refuses_to_rise(warmup_steps):
    with pytest.raises(ValueError, match=r"min_lr 0\.6 is above the optimizer's lr 0\.5"):
        schedule("cosine", 10, min_lr=0.6, warmup_steps=warmup_steps)
    assert schedule("cosine", 10, min_lr=0.4, warmup_steps=warmup_steps)[-1] == pytest.approx(0.4)


@pytest.mark.parametrize("name", [*sorted(set(SCHEDULERS.names()) - {"none"}), "warmup"])
def test_state_survives_json(name):
    def make():
        optimizer = make_optimizer()
        args = (optimizer, 20, 2, "max")
        return optimizer, warmup(optimizer, 5) if name == "warmup" else SCHEDULERS.get(name)(*args)

    def walk(optimizer, scheduler, steps):
        for metric in steps:
            optimizer.step()
            scheduler.step(*([min(metric, 3)] if name == "plateau" else []))
        return optimizer.param_groups[0]["lr"]

    straight = walk(*make(), range(14))
    optimizer, scheduler = make()
    walk(optimizer, scheduler, range(6))
    tensors = {}
    packed = json.loads(json.dumps(checkpoint._pack([optimizer.state_dict(), scheduler.state_dict()], tensors)))
    saved = checkpoint._unpack(packed, tensors)
    resumed_optimizer, resumed = make()
    resumed_optimizer.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    assert walk(resumed_optimizer, resumed, range(6, 14)) == straight


def test_exponential_multiplies_by_gamma_an_epoch():
    used = schedule("exponential", 12, steps_per_epoch=4, gamma=0.5)
    assert used[::4] == pytest.approx([0.5, 0.25, 0.125, 0.0625])
    assert used == sorted(used, reverse=True)


def test_multistep_counts_epochs():
    used = schedule("multistep", 12, steps_per_epoch=3, milestones=(1, 3), gamma=0.1)
    assert used == pytest.approx([0.5] * 3 + [0.05] * 6 + [0.005] * 4)
    with pytest.raises(ValueError, match="must rise"):
        schedule("multistep", 3, milestones=(3, 1))


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.5])
def test_warmup_cosine_rises_then_falls_to_min_lr(fraction):
    used = schedule("warmup_cosine", 20, warmup_fraction=fraction, min_lr=0.05)
    rising = round(20 * fraction)
    assert max(used) == used[rising] == pytest.approx(0.5)
    assert used[: rising + 1] == sorted(used[: rising + 1])
    assert used[rising:] == sorted(used[rising:], reverse=True)
    assert used[-1] == pytest.approx(0.05)
