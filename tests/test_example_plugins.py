"""The plug-ins in examples/plugins: each is what it says, and runs by the command at its head."""

import contextlib
import os
import pathlib
import shlex
import sys

import pytest
import torch
from killing import content, killed_in_training
from plugged_in import plugged_in

from dlrun.cli import main
from dlrun.config import registry

FOLDER = pathlib.Path(__file__).parent.parent / "examples/plugins"
KINDS = ["augmentation", "data", "loss", "model", "optimizer", "sampler", "scheduler", "task"]
QUICK = ["trainer.epochs=2", "trainer.limit_batches=3", "logger=none", "device.threads=1", "device=cpu"]


@pytest.fixture
def plugged(tmp_path, monkeypatch):
    """`plugged("loss")`: the module of a plug-in, loaded; all is taken back at the end."""
    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as loaded:

        def load(kind):
            path = loaded.enter_context(plugged_in(tmp_path / f"{kind}.py", (FOLDER / f"{kind}.py").read_text()))
            registry.load_plugins()
            return next(found for found in sys.modules.values() if getattr(found, "__file__", None) == str(path))

        yield load


def commands(kind):
    """The words after `dlrun` of each command at the head of a plug-in."""
    head = f"DLRUN_PLUGINS=examples/plugins/{kind}.py dlrun "
    lines = (FOLDER / f"{kind}.py").read_text().splitlines()
    return [shlex.split(line.removeprefix(head)) for line in lines if line.startswith(head)]


def test_there_is_one_of_each_kind():
    assert sorted(path.stem for path in FOLDER.glob("*.py")) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_it_runs_by_the_command_at_its_head(kind, plugged, tmp_path):
    plugged(kind)
    train, *others = commands(kind)
    assert main.main([*train, *QUICK, "folder=run"]) == 0
    assert (tmp_path / "run/summary.json").exists()
    assert main.main(["eval", "run"]) == 0
    for words in others:
        assert main.main(words) == 0


def test_killed_and_gone_on_with_they_give_the_same_bits(plugged, tmp_path, monkeypatch):
    kinds = ["augmentation", "loss", "optimizer", "sampler", "scheduler"]
    for kind in kinds:
        plugged(kind)
    words = ["model=mlp", "data=synthetic", "augment=grain", "task=focal", "optimizer=lion", "sampler=share"]
    words += ["scheduler=inverse_sqrt", "trainer.batch_size=16", "trainer.epochs=4", *QUICK[2:]]
    with monkeypatch.context() as patch:
        patch.setenv("DLRUN_PLUGINS", os.pathsep.join(str(tmp_path / f"{kind}.py") for kind in kinds))
        assert main.main([*words, "folder=whole"]) == 0
        killed_in_training([*words, "folder=killed"], step=7)
        assert main.main(["resume", "killed"]) == 0
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


def batch(target):
    from dlrun.engine.contracts import Batch

    return Batch((torch.zeros(len(target), 1),), target, torch.arange(len(target)))


def test_a_focal_loss_without_focus_is_cross_entropy(plugged):
    from dlrun.config.spec import DataSpec

    spec = DataSpec(kind="features", target="class", in_features=1, out_features=3)
    output, target = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), torch.tensor([0, 1])
    module = plugged("loss")
    plain = module.Focal(spec, gamma=0.0).losses(output, batch(target))
    torch.testing.assert_close(plain["loss"], plain["cross_entropy"])
    share = torch.tensor([torch.e**2 / (torch.e**2 + 2), 1 / (2 + torch.e)])
    focal = module.Focal(spec, gamma=2.0).losses(output, batch(target))["loss"]
    torch.testing.assert_close(focal, (-((1 - share) ** 2) * share.log()).mean())


def test_a_quantile_loss_is_least_at_the_quantile(plugged):
    from dlrun.config.spec import DataSpec

    spec = DataSpec(kind="features", target="value", in_features=1, out_features=1)
    task, target = plugged("task").Quantile(spec, level=0.9), torch.arange(1.0, 11.0)[:, None]
    loss = [task.losses(torch.full((10, 1), guess), batch(target))["loss"].item() for guess in range(12)]
    assert loss.index(min(loss)) in (9, 10)
    (metric,) = task.metrics()
    metric.update(torch.full((10, 1), 9.0), batch(target), {})
    assert metric.compute() == {"coverage": pytest.approx(0.9)}


def test_lion_steps_by_the_sign(plugged):
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    optimizer = plugged("optimizer").lion([weight], lr=0.1)
    weight.grad = torch.tensor([0.001, -50.0, 0.0])
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.tensor([0.9, -1.9, 3.0]))
    weight.grad = torch.tensor([-0.0001, -1.0, 1.0])  # the first one's average still points the other way
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.tensor([1.0, -1.8, 2.9]))


def test_the_rate_rises_and_falls_by_the_square_root(plugged):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = plugged("scheduler").inverse_sqrt(optimizer, 100, 10, "min", rise=4)
    rates = []
    for _ in range(16):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[15] == pytest.approx(0.5)


def test_grain_falls_on_dark_pixels_alone_and_is_of_the_example(plugged):
    from dlrun.engine.draws import Draws

    change = plugged("augmentation").Grain(strength=0.2)
    images = torch.cat([torch.zeros(2, 1, 4, 4), torch.ones(1, 1, 4, 4)])
    drawn = change.draw(Draws(0, 1, torch.arange(3)), (4, 4))
    changed = change.apply(images, drawn)
    assert changed[:2].max() > 0.1
    assert (changed[2] == 1).all()
    torch.testing.assert_close(change.draw(Draws(0, 1, torch.tensor([1])), (4, 4)), drawn[1:2])


def test_a_share_is_drawn_anew_each_epoch_without_replacement(plugged):
    from dlrun.engine.contracts import LoaderOptions

    options = LoaderOptions(lambda raw: raw, torch.device("cpu"), batch_size=4, seed=3)
    order = plugged("sampler").ShareOrder(20, 10, options)
    epochs = [torch.cat([*order.batches(epoch)]).tolist() for epoch in (1, 2, 1)]
    assert list(order.sizes) == [4, 4, 2]
    assert all(len(set(epoch)) == 10 for epoch in epochs)
    assert epochs[0] == epochs[2] != epochs[1]


def test_the_spirals_are_told_apart_by_their_angle(plugged):
    part = plugged("data").Spirals(noise=0.0).load()["train"]
    taken = part.take(torch.arange(100))
    x, y = taken.inputs[0].unbind(1)
    turned = torch.atan2(y, x) - 2 * torch.pi * (x**2 + y**2).sqrt()
    torch.testing.assert_close(turned.cos(), 1.0 - 2.0 * taken.target)


def test_a_highway_layer_with_closed_gates_changes_nothing(plugged):
    layer = plugged("model").HighwayLayer(5)
    torch.nn.init.constant_(layer.gate.bias, -50.0)
    x = torch.randn(3, 5)
    torch.testing.assert_close(layer(x), x)
