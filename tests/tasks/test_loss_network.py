"""What a loss looks through: layers by name, each map its own, images scaled as the weights want; else a line."""

import copy

import pytest
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file
from torch import nn

from dlrun.cli import main
from dlrun.errors import UserError
from dlrun.models import MODELS
from dlrun.store import checkpoint
from dlrun.tasks.loss_network import LossNetwork, Source, luminance, source

IMAGES = torch.rand(2, 3, 33, 40, generator=torch.Generator().manual_seed(0))
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def looking(net, *layers, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)):
    network = LossNetwork(Source(net, len(mean), mean, std, "a net"), (33, 40))
    network.keep(layers)
    return network


def vgg(letter):
    return torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs[letter])


def test_the_layers_of_vgg_have_the_names_of_its_paper():
    names = LossNetwork(Source(vgg("E"), 3, (0,) * 3, (1,) * 3, "vgg19"), (64, 64)).layers
    counts = [2, 2, 4, 4, 4]
    assert names == [
        f"{kind}{i}_{k}" for i, count in enumerate(counts, 1) for k in range(1, count + 1) for kind in ("conv", "relu")
    ]
    # The paper's conv4_2 is the tenth convolution of VGG-19.
    net = vgg("E")
    tenth = [place for place, layer in enumerate(net) if isinstance(layer, nn.Conv2d)][9]
    found = looking(net, "conv4_2", str(tenth))(IMAGES)
    assert torch.equal(found["conv4_2"], found[str(tenth)])
    assert found["conv4_2"].shape == (2, 512, 4, 5)


def test_a_rectifier_in_place_leaves_the_convolution_before_it_alone():
    net = vgg("A")
    assert net[1].inplace
    found = looking(net, "relu1_1", "conv1_1", "conv2_1")(IMAGES)
    assert (found["conv1_1"] < 0).any()
    assert torch.equal(found["relu1_1"], found["conv1_1"].relu())
    torch.testing.assert_close(found["conv1_1"], F.conv2d(IMAGES, net[0].weight, net[0].bias, padding=1))


def test_so_does_a_sum_in_place():
    net = torchvision.models.resnet18().eval()
    seen = {}
    for name in ("layer1.0.bn2", "layer1.1.conv1"):
        net.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out.clone()}))
    with torch.no_grad():
        net(IMAGES)
        found = looking(copy.deepcopy(net), *seen)(IMAGES)
    assert found.keys() == seen.keys()
    for name, value in seen.items():
        assert torch.equal(found[name], value), name


def test_what_lies_behind_is_cut_off_and_nothing_learns():
    network = looking(torchvision.models.resnet18(), "conv2_1")
    assert sum(parameter.numel() for parameter in network.parameters()) < 60_000
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not any(module.training for module in network.net.modules() if isinstance(module, nn.BatchNorm2d))


def test_gradients_reach_the_image():
    images = IMAGES.clone().requires_grad_()
    looking(vgg("A"), "relu1_1", "conv1_1")(images)["conv1_1"].square().sum().backward()
    assert images.grad is not None and (images.grad != 0).any(dim=(0, 2, 3)).all()


def test_an_untrained_network_is_a_function_of_its_seed_and_leaves_the_generator_alone():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, again, other = (source("cnn", None, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    weights = [found.net.get_parameter("convs.0.weight") for found in (first, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert first.about == "cnn, untrained (network_seed 0)"


def test_weights_of_torchvision_bring_the_scaling_of_their_images(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    theirs = torchvision.models.squeezenet1_1().eval()
    entry = torchvision.models.SqueezeNet1_1_Weights.DEFAULT
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    torch.save(theirs.state_dict(), tmp_path / "hub/checkpoints" / entry.url.rpartition("/")[2])
    found = source(None, "SqueezeNet1_1_Weights.DEFAULT", 0)
    assert (found.mean, found.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert found.about == "squeezenet1_1 of SqueezeNet1_1_Weights.DEFAULT"
    network = LossNetwork(found, (33, 40))
    network.keep(["features.2"])
    with torch.no_grad():
        wanted = theirs.features[:3]((IMAGES - MEAN) / STD)
        torch.testing.assert_close(network(IMAGES)["features.2"], wanted)
    with pytest.raises(UserError, match=r"are of squeezenet1_1, and task.network=vgg19; leave task.network out$"):
        source("vgg19", "SqueezeNet1_1_Weights.DEFAULT", 0)
    entry = torchvision.models.VGG19_Weights.DEFAULT
    message = rf"^task.weights=VGG19_Weights.DEFAULT: could not be downloaded .*{entry.url}.* into {tmp_path}"
    monkeypatch.setattr(
        torch.hub, "load_state_dict_from_url", lambda *_, **__: (_ for _ in ()).throw(OSError("no net"))
    )
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", torch.hub.load_state_dict_from_url)
    with pytest.raises(UserError, match=message):
        source(None, "VGG19_Weights.DEFAULT", 0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folders of runs: one that looks at grey digits, one at their rows."""
    folder = tmp_path_factory.mktemp("runs")
    for model in ("cnn", "mlp"):
        words = [f"model={model}", "data=digits", "trainer=smoke", "logger=none", f"folder={folder / model}"]
        assert main.main(words) == 0
    return folder


def test_a_run_brings_its_weights_the_scaling_of_its_data_and_their_grey(trained):
    found = source(None, str(trained / "cnn"), 0)
    best = checkpoint.read(trained / "cnn/checkpoints/best.safetensors")
    (mean,), (std,) = best["spec"]["mean"], best["spec"]["std"]
    assert found.in_channels == 1
    network = LossNetwork(found, (33, 40))
    assert network.layers == ["conv1_1", "relu1_1", "conv2_1", "relu2_1"]
    network.keep(["conv1_1"])
    weight, bias = (best["model"][f"convs.0.{name}"] for name in ("weight", "bias"))
    grey = (0.299 * IMAGES[:, 0] + 0.587 * IMAGES[:, 1] + 0.114 * IMAGES[:, 2])[:, None]
    torch.testing.assert_close(luminance(IMAGES), grey)
    torch.testing.assert_close(network(IMAGES)["conv1_1"], F.conv2d((grey - mean) / std, weight, bias))


@pytest.mark.parametrize(
    ("network", "weights", "says"),
    [
        (
            "vgg91",
            None,
            r"^task.network=vgg91: no such network; did you mean vgg19\?; it is a model of images of dlrun",
        ),
        ("linear", None, "^task.network=linear: is no model from images to numbers; "),
        (None, "nowhere", "^task.weights=nowhere: no such folder or file; give the folder of a run"),
        (None, "VGG91_Weights.DEFAULT", r"^task.weights=VGG91_Weights.DEFAULT: torchvision has no VGG91_Weights; did"),
        (None, "Raft_Large_Weights.DEFAULT", "are not of a classifier, such as VGG19_Weights.DEFAULT$"),
        (None, "RUNS/mlp", r"model=mlp looks at features, and pictures are images of 3 channels, or of 1 in grey$"),
        ("resnet", "RUNS/cnn", r"are of cnn, and task.network=resnet; leave task.network out$"),
        (None, "plain.safetensors", "say neither their network nor how its images were scaled; give the folder of a"),
    ],
)
def test_what_cannot_be_looked_through_is_a_line(trained, tmp_path, monkeypatch, network, weights, says):
    monkeypatch.chdir(tmp_path)
    save_file({"weight": torch.zeros(1)}, "plain.safetensors")
    with pytest.raises(UserError, match=says) as caught:
        source(network, weights and weights.replace("RUNS", str(trained)), 0)
    assert len(str(caught.value).splitlines()) == 1


class Choosy(nn.Module):
    """Decides by what it sees, and cannot go on with an image of another size than its own."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(7, 1)

    def forward(self, x):
        x = F.relu(self.conv(x), inplace=True) if x.sum() >= 0 else x
        return self.head(x.flatten(1))


def test_the_code_of_a_network_may_be_like_any():
    network = looking(Choosy(), "conv", "conv1_1", "relu1_1")
    found = network(IMAGES)
    assert torch.equal(found["conv"], found["conv1_1"])
    assert torch.equal(found["relu1_1"], found["conv1_1"].relu())
    assert network.get_parameter("net.head.weight").numel() == 0
    assert looking(Choosy())(IMAGES) == {}


@pytest.mark.parametrize(
    "model", ["unet", "yolo", "mask_rcnn", "googlenet_mini", "resnet", "mobilenet_v2", "efficientnet"]
)
def test_every_kind_of_network_of_images_can_be_looked_through(model):
    keys = {"in_channels": 3, "image_size": (33, 40), "out_features": 3}
    net = MODELS.get(model)(**{key: value for key, value in keys.items() if key in MODELS.describe(model).parameters})
    names = LossNetwork(Source(copy.deepcopy(net), 3, (0.0,) * 3, (1.0,) * 3, model), (33, 40)).layers
    images = IMAGES[:1].clone().requires_grad_()
    found = looking(net, names[0], names[-1])(images)
    sum(value.square().sum() for value in found.values()).backward()
    assert images.grad.isfinite().all() and images.grad.count_nonzero() > 0


@pytest.mark.parametrize(
    ("net", "says"),
    [
        (nn.Flatten(), "^network a net: no convolution of it makes a map of an image of 33x40; take a larger image"),
        (nn.Conv2d(3, 1, 50), r"makes a map of an image of 33x40 \(.*[Kk]ernel size.*\); take"),
    ],
    ids=["no convolution", "too small"],
)
def test_a_network_without_maps_is_a_line(net, says):
    with pytest.raises(ValueError, match=says) as caught:
        looking(net)
    assert len(str(caught.value).splitlines()) == 1


def test_an_unknown_layer_names_the_nearest_and_all():
    with pytest.raises(
        ValueError,
        match=r"^'conv1_9' is no layer of network a net; did you mean conv1_1\?; it has conv1_1, relu1_1, conv2_1",
    ):
        looking(vgg("A"), "conv1_9")
