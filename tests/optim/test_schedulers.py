import json
import math

import pytest
import torch
from torch import nn

from dlrun.engine.state import State
from dlrun.optim import SCHEDULERS
from dlrun.optim.schedulers import Warmup
from dlrun.store import checkpoint


def make_optimizer(lr=0.5, **options):
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr, **options)


def schedule(name, steps, *, lr=0.5, warmup_steps=0, steps_per_epoch=1, **options):
    """The learning rate that each of `steps` optimizer steps uses, and the one after the last."""
    optimizer = make_optimizer(lr)
    scheduler = SCHEDULERS.get(name)(optimizer, steps, steps_per_epoch, "max", **options)
    warm = Warmup(optimizer, warmup_steps) if warmup_steps else None
    state = State(nn.Linear(1, 1), optimizer, torch.amp.GradScaler(enabled=False), scheduler, warm)
    used = []
    for _ in range(steps):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        state.advance()
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


FORMS = {
    "none": ({}, lambda k, steps, per: 1.0),
    "step": (dict(step_size=2, gamma=0.3), lambda k, steps, per: 0.3 ** (k // (2 * per))),
    "multistep": (dict(milestones=(1, 3), gamma=0.3), lambda k, steps, per: 0.3 ** sum(k >= e * per for e in (1, 3))),
    "exponential": (dict(gamma=0.6), lambda k, steps, per: 0.6 ** (k / per)),
    "cosine": (dict(min_lr=0.1), lambda k, steps, per: 0.2 + 0.8 * (1 + math.cos(math.pi * k / steps)) / 2),
    "warmup_cosine": (
        dict(min_lr=0.1, warmup_fraction=0.25),
        lambda k, steps, per: rise_and_fall(k, round(steps * 0.25), steps, 0.2),
    ),
    "onecycle": (dict(max_lr=0.5, pct_start=0.5), lambda k, steps, per: one_cycle(k, steps * 0.5 - 1, steps - 1)),
}


def rise_and_fall(k, rising, steps, least):
    """A line from 1 / (rising + 1) to 1, then half a cosine to `least`."""
    if k < rising:
        return (k + 1) / (rising + 1)
    return least + (1 - least) * (1 + math.cos(math.pi * (k - rising) / (steps - rising))) / 2


def one_cycle(k, top, end):
    """Half a cosine from 1/25 to 1 at step `top`, another one to 1/250000 at step `end`."""
    low, high, share = (1 / 25, 1, k / top) if k <= top else (1 / 25e4, 1, (end - k) / (end - top))
    return high + (low - high) * (1 + math.cos(math.pi * share)) / 2


@pytest.mark.parametrize("warmup_steps", [0, 1, 10, 100, 400])
@pytest.mark.parametrize("name", FORMS)
def test_each_schedule_is_its_formula_and_a_warm_up_a_factor_on_top_of_it(name, warmup_steps, refused):
    steps, per = 300, 60
    keys, form = FORMS[name]
    if warmup_steps and SCHEDULERS.describe(name).attributes.get("warms_up"):
        line = refused("data=line", "model=linear", f"scheduler={name}", f"trainer.warmup_steps={warmup_steps}")
        assert "warms up by itself" in line and "set trainer.warmup_steps=0" in line
        assert line.split("(scheduler.")[1].split(")")[0] in keys
        return
    used = schedule(name, steps, steps_per_epoch=per, warmup_steps=warmup_steps, **keys)
    wanted = [0.5 * form(k, steps, per) * min(1, (k + 1) / max(warmup_steps, 1)) for k in range(steps)]
    assert used[:steps] == pytest.approx(wanted, rel=1e-9)


def test_all_schedules_have_a_formula():
    assert set(FORMS) | {"plateau"} == set(SCHEDULERS.names())


@pytest.mark.parametrize("warmup_steps", [0, 20])
def test_a_plateau_lowers_what_is_warmed_up(warmup_steps):
    optimizer = make_optimizer(lr=1.0)
    plateau = SCHEDULERS.get("plateau")(optimizer, 100, 6, "max", factor=0.5, patience=0, min_lr=0.3)
    warm = Warmup(optimizer, warmup_steps) if warmup_steps else None
    state = State(
        nn.Linear(1, 1), optimizer, torch.amp.GradScaler(enabled=False), plateau, warm, scheduler_watches=True
    )
    for epoch, whole in enumerate((1, 0.5, 0.3, 0.3, 0.3)):
        for _ in range(6):
            optimizer.step()
            state.advance()
        state.schedule(1)
        step = 6 * (epoch + 1)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(whole * min(1, (step + 1) / max(warmup_steps, 1)))


def test_a_run_of_before_goes_on_with_its_warm_up():
    optimizer = make_optimizer()
    old = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / 10, total_iters=9)
    for _ in range(4):
        optimizer.step()
        old.step()
    other = make_optimizer()
    warm = Warmup(other, 10)
    other.load_state_dict(optimizer.state_dict())
    warm.load_state_dict(old.state_dict())
    for step in range(4, 15):
        assert other.param_groups[0]["lr"] == pytest.approx(0.5 * min(1, (step + 1) / 10))
        warm.step()


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
        return optimizer, Warmup(optimizer, 5) if name == "warmup" else SCHEDULERS.get(name)(*args)

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
