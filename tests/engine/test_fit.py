"""Each training feature against a few plain lines of torch that do the same."""

import contextlib
import math
import signal
import types

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import LoaderOptions
from dlrun.engine.evaluate import evaluate
from dlrun.engine.finite import FiniteGuard, NonFiniteLoss
from dlrun.engine.fit import fit
from dlrun.engine.interrupt import Stop
from dlrun.engine.loading import PartLoader
from dlrun.engine.parts import TensorPart
from dlrun.engine.state import State, averaged
from dlrun.optim.schedulers import Warmup, plateau, step
from dlrun.tasks.multiclass import Multiclass

CPU = torch.device("cpu")
SPEC = DataSpec(kind="features", target="class", in_features=5, out_features=3)


class Sink:
    """A recorder and keeper that remembers what it is given."""

    def __init__(self, hopeless_after=None):
        self.points, self.rows, self.kept, self.hopeless_after = [], [], [], hopeless_after

    def step(self, state, loss, gradient_norm):
        self.points.append((state.step, loss, state.lr, gradient_norm))

    def epoch(self, state, row, examples_per_second):
        self.rows.append(row)
        return row["epoch"] == self.hopeless_after

    def last(self, state):
        self.kept.append("last")

    def best(self, state):
        self.kept.append("best")


def options(**changes):
    values = dict(epochs=2, accumulate=1, clip_grad_norm=None, patience=None, log_every=1, eval_every=1, save_every=1)
    return types.SimpleNamespace(**(values | changes))


def part(examples=22, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(examples, 5, generator=generator)
    return TensorPart((features,), torch.randint(0, 3, (examples,), generator=generator))


def loader(data, batch_size=8, **more):
    return PartLoader(data, LoaderOptions(lambda inputs: inputs, CPU, batch_size=batch_size, **more))


def linear(seed=0):
    torch.manual_seed(seed)
    return nn.Linear(5, 3)


def make_state(model, lr=0.5, **more):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    more = {name: make(optimizer) if callable(make) else make for name, make in more.items()}
    more = {"watch": "accuracy", "mode": "max"} | more
    return State(model, optimizer, torch.amp.GradScaler("cpu", enabled=False), **more)


def train(state, train_loader, val_loader=None, stop=None, task=None, hopeless_after=None, **changes):
    sink = Sink(hopeless_after)
    outcome = fit(
        state, task or Multiclass(SPEC), train_loader, val_loader, options(**changes),
        autocast=contextlib.nullcontext(), recorder=sink, keeper=sink, stop=stop or Stop(),
    )  # fmt: skip
    return outcome, sink


def test_equals_a_bare_loop():
    data, model, bare = part(), linear(), linear()
    train_loader = loader(data, shuffle=True, seed=3)
    outcome, sink = train(make_state(model), train_loader)
    optimizer = torch.optim.SGD(bare.parameters(), lr=0.5)
    losses = []
    for epoch in range(2):
        for batch in train_loader.order.batches(epoch):
            optimizer.zero_grad()
            loss = F.cross_entropy(bare(data.inputs[0][batch]), data.target[batch])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert outcome == "done"
    assert [point[1] for point in sink.points] == losses
    assert torch.equal(model.weight, bare.weight)


def test_rows_hold_the_mean_over_examples_not_over_batches():
    data, model = part(), linear()
    _, sink = train(make_state(model, lr=0.0), loader(data), loader(data), epochs=1)
    output = model(data.inputs[0])
    assert sink.rows[0]["train/loss"] == pytest.approx(F.cross_entropy(output, data.target).item(), rel=1e-6)
    assert sink.rows[0]["val/accuracy"] == pytest.approx((output.argmax(1) == data.target).float().mean().item())


@pytest.mark.parametrize("examples", [16, 22, 17])
def test_accumulating_equals_the_larger_batch(examples):
    data, small, large = part(examples), linear(), linear()
    train(make_state(small), loader(data, 4), accumulate=2, epochs=3)
    train(make_state(large), loader(data, 8), epochs=3)
    torch.testing.assert_close(small.weight, large.weight)


def test_clipping_bounds_the_step():
    data, model = part(), linear()
    before = model.weight.detach().clone(), model.bias.detach().clone()
    _, sink = train(make_state(model, lr=1.0), loader(data, 22), epochs=1, clip_grad_norm=0.01)
    moved = torch.cat([(model.weight - before[0]).flatten(), model.bias - before[1]]).norm()
    assert moved.item() == pytest.approx(0.01, rel=1e-4)
    assert sink.points[0][3] > 0.01, "the norm before clipping is what is logged"


def test_ema_is_what_is_evaluated_and_averages_every_step():
    data, model = part(), linear()
    state = make_state(model)
    state.ema = averaged(model, 0.9)
    train(state, loader(data), epochs=1)
    bare = linear()
    expected, optimizer = None, torch.optim.SGD(bare.parameters(), lr=0.5)
    for batch in torch.arange(22).split(8):
        F.cross_entropy(bare(data.inputs[0][batch]), data.target[batch]).backward()
        optimizer.step()
        optimizer.zero_grad()
        weight = bare.weight.detach().clone()
        expected = weight if expected is None else 0.9 * expected + 0.1 * weight
    torch.testing.assert_close(state.eval_model.weight, expected)
    assert not torch.equal(state.eval_model.weight, model.weight)


def test_warm_up_and_step_schedule_multiply():
    state = make_state(linear(), lr=1.0)
    state.warmup = Warmup(state.optimizer, 3)
    state.scheduler = step(state.optimizer, 6, 3, "max", step_size=1, gamma=0.1)
    _, sink = train(state, loader(part()), epochs=2)
    rates = [point[2] for point in sink.points]
    assert rates == sorted(rates[:3]) + rates[3:]
    assert rates[0] < 1.0
    assert rates[3:] == pytest.approx([0.1, 0.1, 0.1])


def test_plateau_hears_the_watched_metric_once_an_evaluation():
    state = make_state(linear(), lr=0.0)
    state.scheduler, state.scheduler_watches = plateau(state.optimizer, 0, 0, "max", factor=0.5, patience=1), True
    train(state, loader(part()), loader(part(seed=1)), epochs=4)
    assert state.scheduler.last_epoch == 4


def test_stops_early_when_the_metric_stays():
    outcome, sink = train(make_state(linear(), lr=0.0), loader(part()), loader(part()), epochs=20, patience=3)
    assert outcome == "stopped early"
    assert len(sink.rows) == 4
    assert sink.kept.count("best") == 1


def test_best_needs_a_strictly_better_value():
    state = make_state(linear(), lr=0.0)
    train(state, loader(part()), loader(part()), epochs=3)
    assert state.best_epoch == 1


def test_without_a_val_part_the_last_weights_are_best():
    state = make_state(linear())
    _, sink = train(state, loader(part()), epochs=3)
    assert state.best_epoch == 3
    assert sink.kept == ["last", "last", "best", "last"]


def test_evaluates_and_saves_in_their_period_and_at_the_end():
    _, sink = train(make_state(linear()), loader(part()), loader(part()), epochs=5, eval_every=2, save_every=3)
    assert [row["epoch"] for row in sink.rows] == [2, 4, 5]
    assert all("val/loss" in row for row in sink.rows)
    assert sink.kept.count("last") == 2


class LossThatBreaks(Multiclass):
    def __init__(self, at):
        super().__init__(SPEC)
        self.at, self.calls = at, 0

    def losses(self, output, batch):
        self.calls += 1
        value = super().losses(output, batch)["loss"]
        return {"loss": value * math.nan if self.calls == self.at else value}


@pytest.mark.parametrize("at", [1, 2, 3])
def test_nan_stops_before_the_update(at):
    model, reference = linear(), linear()
    with pytest.raises(NonFiniteLoss) as caught:
        train(make_state(model), loader(part()), task=LossThatBreaks(at))
    assert (caught.value.step, caught.value.lr) == (at, 0.5)
    if at > 1:
        train(make_state(reference), loader(part(), limit=at - 1), epochs=1)
    assert torch.equal(model.weight, reference.weight)


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam])
def test_the_guard_of_a_gpu_freezes_the_weights_from_the_first_bad_loss_on(make):
    # The road of a GPU, walked on the CPU: the verdict stays a tensor and the fused step obeys it.
    model = linear()
    optimizer = make(model.parameters(), lr=0.1, fused=True)
    guard = FiniteGuard(optimizer, torch.device("meta"), scaled=False)
    guard.first_bad = torch.full((), -1)
    assert guard.deferred
    seen = []
    for number, factor in enumerate([1.0, 1.0, math.nan, 1.0], start=1):
        loss = model(torch.ones(2, 5)).sum() * factor
        guard.check(loss, number)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seen.append(model.weight.detach().clone())
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[1], seen[2])
    assert torch.equal(seen[2], seen[3])
    with pytest.raises(NonFiniteLoss) as caught:
        guard.raise_if_bad()
    assert caught.value.step == 3


class StopsAt(Sink):
    def __init__(self, stop, at):
        super().__init__()
        self.stop, self.at = stop, at

    def step(self, state, loss, gradient_norm):
        super().step(state, loss, gradient_norm)
        if state.step == self.at:
            self.stop.requested = signal.SIGTERM


@pytest.mark.parametrize(("accumulate", "at"), [(1, 1), (1, 3), (1, 4), (1, 7), (2, 1), (2, 2), (2, 3), (2, 5)])
def test_stopping_at_any_step_and_going_on_gives_the_same_bits(accumulate, at):
    def make():
        model = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.Linear(8, 3))
        for index, parameter in enumerate(model.parameters()):
            nn.init.constant_(parameter, 0.1 * (index + 1))
        state = make_state(model, lr=0.1)
        state.ema = averaged(model, 0.9)
        state.scheduler = step(state.optimizer, 9, 3, "max", step_size=1, gamma=0.5)
        return state

    def go(state, sink, stop):
        return fit(
            state, Multiclass(SPEC), loader(part(), shuffle=True), loader(part(seed=1)),
            options(epochs=3, accumulate=accumulate),
            autocast=contextlib.nullcontext(), recorder=sink, keeper=sink, stop=stop,
        )  # fmt: skip

    torch.manual_seed(7)
    whole = make()
    go(whole, Sink(), Stop())
    torch.manual_seed(7)
    first, stop = make(), Stop()
    assert go(first, StopsAt(stop, at), stop) == "interrupted"
    assert first.step == at < whole.step
    tree = first.to_tree()
    torch.manual_seed(99)
    second = make()
    second.load_tree(tree)
    assert go(second, Sink(), Stop()) == "done"
    assert second.history == whole.history
    for one, other in zip(second.model.state_dict().values(), whole.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    for one, other in zip(second.ema.state_dict().values(), whole.ema.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_state_of_another_make_is_refused_by_name():
    plain, with_ema = make_state(linear()), make_state(linear())
    with_ema.ema = averaged(with_ema.model, 0.9)
    with pytest.raises(ValueError, match="ema"):
        plain.load_tree(with_ema.to_tree())


def test_kept_outputs_are_in_the_order_of_the_part():
    data, model = part(), linear()
    shuffled = loader(data, shuffle=True, seed=5, limit=2)
    found = evaluate(model, Multiclass(SPEC), shuffled, [], contextlib.nullcontext(), keep_outputs=True)
    assert found.index.tolist() == sorted(torch.cat(list(shuffled.order.batches(0))).tolist())
    torch.testing.assert_close(found.outputs, model(data.inputs[0][found.index]).detach())
    assert torch.equal(found.target, data.target[found.index])


def test_lbfgs_takes_the_same_steps_as_in_a_bare_loop():
    data, model, bare = part(), linear(), linear()
    state = make_state(model)
    state.optimizer, state.needs_closure = torch.optim.LBFGS(model.parameters(), max_iter=3), True
    train(state, loader(data, 22), epochs=4)
    optimizer = torch.optim.LBFGS(bare.parameters(), max_iter=3)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(bare(data.inputs[0]), data.target)
        loss.backward()
        return loss

    for _ in range(4):
        optimizer.step(closure)
    assert torch.equal(model.weight, bare.weight)
    assert state.history[-1]["train/loss"] < state.history[0]["train/loss"]


def test_a_run_that_is_given_up_saves_and_stops_at_the_end_of_its_epoch():
    state = make_state(linear())
    outcome, sink = train(state, loader(part()), loader(part()), epochs=5, save_every=5, hopeless_after=2)
    assert outcome == "pruned"
    assert (state.epoch, state.batch, len(sink.rows)) == (2, 0, 2)
    assert sink.kept[-1] == "last"


class Terms(Multiclass):
    """A loss of two named terms, and none at all in evaluation."""

    def losses(self, output, batch):
        if not output.requires_grad:
            return {}
        fit = super().losses(output, batch)["loss"]
        size = output.square().mean()
        return {"loss": fit + size, "fit": fit, "size": size}


def test_named_terms_of_a_loss_are_recorded_and_evaluation_may_have_none():
    _, sink = train(make_state(linear(), lr=0.0), loader(part()), loader(part(seed=1)), task=Terms(SPEC), epochs=1)
    (row,) = sink.rows
    assert row["train/loss"] == pytest.approx(row["train/fit"] + row["train/size"])
    assert row["train/size"] > 0
    assert {name for name in row if name.startswith("val/")} == {"val/accuracy"}


def test_a_final_metric_is_measured_each_epoch_where_it_is_watched():
    state = make_state(linear(), watch="f1_macro")
    _, sink = train(state, loader(part()), loader(part(seed=1)), epochs=3)
    scores = [row["val/f1_macro"] for row in sink.rows]
    assert state.best_rank[0] == max(scores)
    assert "train/f1_macro" not in sink.rows[0]


def test_a_gpu_never_saves_what_followed_a_bad_loss(monkeypatch):
    # An optimizer that cannot skip an update goes on with it; the verdict is read before anything is written.
    monkeypatch.setattr(FiniteGuard, "__init__", _deferred(FiniteGuard.__init__))
    state = make_state(linear())
    state.optimizer = torch.optim.RMSprop(state.model.parameters(), lr=0.1)
    sink = Sink()
    with pytest.raises(NonFiniteLoss) as caught:
        fit(
            state, LossThatBreaks(5), loader(part()), None, options(log_every=100),
            autocast=contextlib.nullcontext(), recorder=sink, keeper=sink, stop=Stop(),
        )  # fmt: skip
    assert caught.value.step == 5
    assert (sink.kept, len(sink.rows)) == (["last"], 1)


def _deferred(init):
    def changed(self, optimizer, device, scaled):
        init(self, optimizer, device, scaled)
        self.deferred = True

    return changed
