"""Transfer: which weights are taken, which blocks learn, and that what is frozen does not change by a bit."""

import copy
import dataclasses

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from dlrun.cli import main
from dlrun.config.spec import DataSpec
from dlrun.engine.freezing import Freezing
from dlrun.errors import UserError
from dlrun.models import MODELS
from dlrun.run.blocks import blocks, size
from dlrun.run.transfer import start_from
from dlrun.store import checkpoint

SMALL = ["data=synthetic", "data.num_train=32", "data.num_val=8", "data.num_test=8", "logger=none", "device=cpu"]
SMALL += ["trainer.batch_size=16", "scheduler=none"]
SPEC = DataSpec(kind="image", target="class", in_channels=1, image_size=(28, 28), out_features=10)
IMAGE = torch.zeros(1, 1, 28, 28)


def make(name, **keys):
    return MODELS.get(name)(**{"in_channels": 1, "image_size": 28, "out_features": 10} | keys)


def best(folder):
    return checkpoint.read(folder / "checkpoints/best.safetensors")["model"]


def run(*words):
    assert main.main([*SMALL, *words]) == 0


class Normed(nn.Module):
    """A convolution with a norm, a residual sequence, and a head; the norms have statistics to keep."""

    accepts: tuple = ("image",)

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, affine=False), nn.ReLU())
        self.last = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))

    def forward(self, x):
        return self.head(self.last(self.body(x)).mean((2, 3)))


def test_blocks_stand_in_the_order_of_their_calls_and_the_head_comes_last():
    assert [block.name for block in blocks(make("googlenet_mini"), (IMAGE,))] == [
        "convs.0", "blocks.0", "convs.1", "blocks.1", "fc",
    ]  # fmt: skip
    found = blocks(Normed(), (IMAGE,))
    assert [block.modules for block in found] == [("body.0",), ("last.0", "last.1"), ("head",)]
    net = MODELS.get("torchvision")(arch="mobilenet_v2", in_channels=1, image_size=32, out_features=10)
    names = [block.name for block in blocks(net, (torch.zeros(1, 1, 32, 32),))]
    assert names[0] == "net.features.0" and names[-2:] == ["net.features.18", "net.classifier.1"] and len(names) == 20


def test_the_share_that_learns():
    layer = nn.Linear(2, 3)
    layer.bias.requires_grad_(False)
    assert size(layer) == "9 parameters, 6 of them learn (66.7%)"


def test_frozen_blocks_wait_for_their_turn_and_their_norms_keep_their_statistics():
    model = Normed()
    freezing = Freezing((("body.0.weight", "body.0.bias"), ("last.0.weight", "last.1.weight", "last.1.bias")), every=2)
    learning = []
    for epoch in range(5):
        model.train()
        freezing.apply(model, epoch)
        learning.append(
            [name for name in ("body.0", "last.1", "head") if model.get_parameter(f"{name}.bias").requires_grad]
        )
        assert model.last[1].training == ("last.1" in learning[-1])
    assert learning == [["head"]] * 2 + [["last.1", "head"]] * 2 + [["body.0", "last.1", "head"]]


@pytest.mark.parametrize(
    ("freeze", "frozen"),
    [
        ("body", ("conv", "norm", "blocks")),
        ("2", ("conv", "norm", "blocks.0.")),
        ("[conv,blocks.*]", ("conv", "blocks")),
    ],
)
def test_nothing_frozen_changes_by_a_bit(freeze, frozen, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["model=mobilenet_v1", "model.width_mult=0.25", "trainer.epochs=1", "optimizer.weight_decay=0.1"]
    run(*words, "folder=first")
    run(*words, "folder=second", "init.from=first", f"freeze={freeze}", "trainer.ema_decay=0.5", "seed=1")
    assert "of them learn (" in capsys.readouterr().out
    before, after = best(tmp_path / "first"), best(tmp_path / "second")
    same = [name for name in before if torch.equal(before[name], after[name])]
    assert set(same) == {name for name in before if name.startswith(frozen)}


def test_gradual_unfreezing_goes_on_after_an_interruption_as_if_there_had_been_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["model=cnn", "freeze=body", "trainer.unfreeze_every=1", "trainer.body_lr_scale=0.1"]
    run(*words, "trainer.epochs=3", "folder=whole")
    run(*words, "trainer.epochs=2", "folder=parts")
    assert main.main(["resume", "parts", "trainer.epochs=3"]) == 0
    whole, parts = (
        checkpoint.read(tmp_path / name / "checkpoints/last.safetensors")["parts"] for name in ("whole", "parts")
    )
    assert all(torch.equal(whole["model"][name], parts["model"][name]) for name in whole["model"])
    rates = [group["lr"] for member in whole["optimizer"]["members"] for group in member["param_groups"]]
    assert rates == [0.001, pytest.approx(0.0001)]


def test_a_resumed_run_needs_the_weights_it_began_with_no_more(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("model=cnn", "trainer.epochs=1", "folder=first")
    run("model=cnn", "trainer.epochs=1", "folder=second", "init.from=first")
    (tmp_path / "first").rename("elsewhere")
    assert main.main(["resume", "second", "trainer.epochs=2"]) == 0


def test_other_classes_need_a_new_head(trained, tmp_path):
    tree = checkpoint.read(trained / "grey/checkpoints/best.safetensors")
    tree["spec"]["class_names"] = [f"old {k}" for k in range(10)]
    checkpoint.write(tmp_path / "old.safetensors", tree)
    model = make("cnn")
    before = copy.deepcopy(model.state_dict())
    spec = dataclasses.replace(SPEC, class_names=tuple(f"new {k}" for k in range(10)))
    rows = start_from(str(tmp_path / "old.safetensors"), model, blocks(model, (IMAGE,))[-1], spec, "cnn")
    assert ("2", "new: other classes", "fc.weight, fc.bias") in rows
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["convs.0.weight", "convs.0.bias", "convs.1.weight", "convs.1.bias"]


def test_a_file_of_torchvisions_own_weights_gives_the_same_outputs(tmp_path):
    theirs = torchvision.models.mobilenet_v2(num_classes=5, width_mult=0.25).eval()
    save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    ours = make("mobilenet_v2", in_channels=3, image_size=224, out_features=5, width_mult=0.25).eval()
    x = torch.rand(2, 3, 224, 224)
    rows = start_from(str(tmp_path / "weights.safetensors"), ours, blocks(ours, (x[:1],))[-1], SPEC, "mobilenet_v2")
    assert rows[0][:2] == (str(len(theirs.state_dict())), "loaded") and len(rows) == 1
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x))


def test_a_detector_takes_the_weights_of_its_backbone(tmp_path):
    theirs = torchvision.models.resnet18(num_classes=5).eval()
    save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    detector = make("yolo", in_channels=3, image_size=64, channels=(8,), backbone="resnet18").eval()
    x = torch.rand(1, 3, 64, 64)
    found = blocks(detector, (x,))
    assert found[-1].name == "head"
    rows = start_from(str(tmp_path / "weights.safetensors"), detector, found[-1], SPEC, "yolo")
    fates = {fate: names for _, fate, names in rows}
    assert "body.net.conv1.weight" in fates["loaded"] and "head." in fates["new: no such tensor"]
    assert "layer3." in fates["skipped: not in this model"]
    with torch.inference_mode():
        seen = theirs.layer2(theirs.layer1(theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))))
        torch.testing.assert_close(detector.body(x)[-1], seen)


@pytest.mark.parametrize("in_channels", [1, 2])
def test_torchvisions_weights_by_name_for_images_of_other_channels(in_channels, monkeypatch):
    rgb = torchvision.models.squeezenet1_1().eval()
    monkeypatch.setattr(
        torchvision.models._api, "load_state_dict_from_url", lambda *_, **__: copy.deepcopy(rgb.state_dict())
    )
    ours = MODELS.get("torchvision")(arch="squeezenet1_1", in_channels=in_channels, image_size=32, out_features=1000)
    spec = DataSpec(kind="image", target="class", in_channels=in_channels, image_size=(32, 32), out_features=1000)
    head = blocks(ours, (torch.zeros(1, in_channels, 32, 32),))[-1]
    rows = start_from("SqueezeNet1_1_Weights.DEFAULT", ours, head, spec, "torchvision")
    assert [row[1] for row in rows] == ["loaded, summed over RGB", "loaded"]
    x = torch.rand(2, 1, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(ours.eval()(x.expand(-1, in_channels, -1, -1)), rgb(x.expand(-1, 3, -1, -1)))


def test_weights_that_cannot_be_downloaded_name_the_file(monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", offline)
    model = make("cnn")
    with pytest.raises(UserError, match=r"no route to host.*put the file http.*resnet18-.*\.pth into"):
        start_from("ResNet18_Weights.DEFAULT", model, blocks(model, (IMAGE,))[-1], SPEC, "cnn")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run of the cnn on grey images, and files that are no weights."""
    home = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        run("model=cnn", "trainer.epochs=1", "folder=grey")
    (home / "weights.pth").write_bytes(b"\x80\x04.")
    (home / "torn.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    save_file({}, home / "nothing.safetensors")
    (home / "empty").mkdir()
    return home


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["freeze=convx"], "freeze: no parameter lies in or matches 'convx'; did you mean convs"),
        (["freeze=3"], "freeze=3: the model has 3 blocks (convs.0, convs.1, fc), and one must learn"),
        (["freeze=*"], "freeze=*: leaves no parameter that learns"),
        (["freeze=[]"], "freeze=[]: leaves no parameter to freeze"),
        (["freeze=0"], "freeze: must be an integer of at least 1 or a text"),
        (["model=linear", "freeze=body"], "freeze=body: leaves no parameter to freeze in the model (its blocks"),
        (["trainer.unfreeze_every=1"], "trainer.unfreeze_every: nothing is frozen"),
        (["trainer.body_lr_scale=0.1", "scheduler=onecycle"], "body_lr_scale: scheduler=onecycle has one rate"),
        (["trainer.body_lr_scale=0.1", "optimizer=lbfgs"], "trainer.body_lr_scale: optimizer=lbfgs has one rate"),
        (["init.from=nowhere"], "init.from=nowhere: no such folder or file"),
        (["init.from=empty"], "init.from=empty: is not the folder of a run that has weights"),
        (["init.from=weights.pth"], "init.from=weights.pth: may be a pickle"),
        (["init.from=torn.safetensors"], "init.from=torn.safetensors: is not a safetensors file"),
        (["init.from=nothing.safetensors"], "init.from=nothing.safetensors: holds no weights"),
        (["init.from=ResNet8_Weights.DEFAULT"], "torchvision has no ResNet8_Weights; did you mean ResNet"),
        (["init.from=ResNet18_Weights.V9"], "torchvision's ResNet18_Weights has IMAGENET1K_V1, DEFAULT; found 'V9'"),
        (["model=mlp", "init.from=grey"], "init.from=grey: trained as model=cnn, another architecture: it has convs.0"),
        (["model.channels=[4,8]", "init.from=grey"], "convs.0.weight is (10, 1, 5, 5) there and (4, 1, 5, 5) in this"),
        (["data.in_channels=3", "init.from=grey"], "they were trained with in_channels=1, the data have 3"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_is_one_line(words, message, trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    model = [] if any(word.startswith("model=") for word in words) else ["model=cnn"]
    assert main.main([*SMALL, *model, *words, "folder=refused"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (trained / "refused").exists()
