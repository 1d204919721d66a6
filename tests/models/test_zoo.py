import pytest
import torch
import torch.nn.functional as F

from dlrun.models.zoo import TorchvisionClassifier


@pytest.mark.parametrize(
    ("arch", "shape"),
    [
        ("resnet18", (1, 28, 28)),
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
