import copy

import pytest
import torch
import torch.nn.functional as F
import torchvision

from dlrun.models import zoo
from dlrun.models.zoo import TorchvisionClassifier

MODELS_API = torchvision.models._api


@pytest.mark.parametrize(
    ("arch", "shape"),
    [
        ("resnet18", (1, 28, 28)),
        ("mobilenet_v2", (3, 32, 32)),
        ("googlenet", (1, 28, 28)),
        ("squeezenet1_0", (4, 28, 28)),
        ("inception_v3", (1, 75, 75)),
    ],
)
def test_a_classifier_trains_on_small_images(arch, shape):
    torch.manual_seed(0)
    model = TorchvisionClassifier(arch=arch, in_channels=shape[0], image_size=shape[1:], out_features=7)
    # BatchNorm needs more than one value a channel, and the last maps are 1x1.
    output = model(torch.randn(4, *shape))
    assert output.shape == (4, 7)
    F.cross_entropy(output, torch.arange(4)).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_resize_lets_a_network_for_photographs_take_small_images():
    model = TorchvisionClassifier(arch="densenet121", resize=32, in_channels=1, image_size=28, out_features=3).eval()
    x = torch.rand(2, 1, 28, 28)
    with torch.inference_mode():
        expected = model.net(F.interpolate(x, (32, 32), mode="bilinear", antialias=True))
        assert torch.equal(model(x), expected)


@pytest.mark.parametrize(
    ("arch", "size", "words"),
    [
        ("vgg11", 28, "at least 32x32, found 28x28; set model.resize=32"),
        ("inception_v3", (75, 60), "at least 75x75, found 75x60; set model.resize=75"),
        ("vit_b_16", 32, "exactly 224x224, found 32x32; set model.resize=224"),
        ("maxvit_t", 256, "exactly 224x224, found 256x256; set model.resize=224"),
    ],
)
def test_a_size_that_cannot_work_is_refused_before_anything_is_built(arch, size, words):
    with pytest.raises(ValueError, match=words):
        TorchvisionClassifier(arch=arch, in_channels=3, image_size=size, out_features=2)


def test_vit_is_built_for_its_size():
    with torch.device("meta"):
        model = TorchvisionClassifier(arch="vit_b_32", resize=224, in_channels=1, image_size=28, out_features=5)
        assert model(torch.empty(2, 1, 28, 28)).shape == (2, 5)


def test_an_unknown_arch_names_the_nearest_and_where_to_look():
    with pytest.raises(ValueError, match=r"'resnet8'.*did you mean resnet18\?.*docs.pytorch.org"):
        TorchvisionClassifier(arch="resnet8", in_channels=3, image_size=32, out_features=2)


@pytest.mark.parametrize("arch", ["resnet18", "squeezenet1_0", "googlenet"])
def test_pretrained_weights_are_kept_but_for_the_new_head(arch, monkeypatch):
    torch.manual_seed(0)
    options = {"init_weights": False} if arch == "googlenet" else {}
    weights = torchvision.models.get_model(arch, weights=None, **options).state_dict()
    monkeypatch.setattr(MODELS_API, "load_state_dict_from_url", lambda *_, **__: copy.deepcopy(weights))

    rgb = TorchvisionClassifier(arch=arch, pretrained=True, in_channels=3, image_size=32, out_features=1000)
    same = {name: value for name, value in rgb.net.state_dict().items() if torch.equal(value, weights[name])}
    assert same.keys() == rgb.net.state_dict().keys()

    grey = TorchvisionClassifier(arch=arch, pretrained=True, in_channels=1, image_size=32, out_features=5)
    changed = [name for name, value in grey.net.state_dict().items() if value.shape != weights[name].shape]
    first, *head = changed
    torch.testing.assert_close(grey.net.state_dict()[first], weights[first].sum(1, keepdim=True))
    assert [weights[name].shape[0] for name in head] == [1000, 1000]
    assert grey.eval()(torch.rand(2, 1, 32, 32)).shape == (2, 5)


@pytest.mark.parametrize("in_channels", [1, 2, 5])
def test_equal_channels_give_a_pretrained_network_the_same_output_as_rgb(in_channels):
    torch.manual_seed(0)
    rgb = torchvision.models.get_model("squeezenet1_1", weights=None, num_classes=4).eval()
    other = copy.deepcopy(rgb)
    zoo._replace_first_convolution(other, in_channels, keep_weights=True)
    x = torch.rand(2, 1, 32, 32)
    with torch.inference_mode():
        got, expected = other(x.repeat(1, in_channels, 1, 1)), rgb(x.repeat(1, 3, 1, 1))
    torch.testing.assert_close(got, expected)


def test_weights_that_cannot_be_downloaded_end_in_one_line(monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(MODELS_API, "load_state_dict_from_url", offline)
    with pytest.raises(ValueError, match=r"weights of resnet18.*no route to host.*resnet18-.*\.pth into"):
        TorchvisionClassifier(pretrained=True, in_channels=3, image_size=32, out_features=2)
