"""MobileNet and EfficientNet: torchvision's weights and numbers, and images that are not shrunk to nothing."""

import pytest
import torch
import torchvision
from torch import nn

from dlrun.models.efficientnet import EfficientNet
from dlrun.models.mobilenet_v1 import DepthwiseSeparable, MobileNetV1
from dlrun.models.mobilenet_v2 import MobileNetV2
from dlrun.models.parts.small_images import fit_to_size, scaled

PHOTO = {"in_channels": 3, "image_size": 224, "out_features": 1000}


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_mobilenet_v1_has_the_size_of_the_paper():
    with torch.device("meta"):
        assert count(MobileNetV1(**PHOTO)) == 4_231_976
        assert count(MobileNetV1(**PHOTO, width_mult=0.5)) == pytest.approx(1.3e6, rel=0.03)


@pytest.mark.parametrize("width_mult", [0.5, 1.0, 1.4])
def test_mobilenet_v2_is_torchvisions(width_mult):
    with torch.device("meta"):
        theirs = torchvision.models.mobilenet_v2(width_mult=width_mult)
        ours = MobileNetV2(**PHOTO, width_mult=width_mult)
    assert [(n, p.shape) for n, p in ours.named_parameters()] == [(n, p.shape) for n, p in theirs.named_parameters()]


def test_a_smaller_mobilenet_v2_has_the_blocks_it_is_told():
    blocks = ((1, 16, 1, 1), (3, 32, 2, 2))
    net = MobileNetV2(in_channels=1, image_size=28, out_features=10, blocks=blocks, last_channels=96, width_mult=0.5)
    inside = [(block.conv[0][0].out_channels, block.out_channels, block.stride) for block in list(net.features)[1:-1]]
    assert inside == [(16, 8, 1), (48 // 2, 16, 2), (48, 16, 1)]
    assert net.features[-1][0].weight.shape == (96, 16, 1, 1) and net(torch.rand(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize("phi", range(8))
def test_efficientnet_has_as_many_parameters_as_torchvisions(phi):
    weights = torchvision.models.get_model_weights(f"efficientnet_b{phi}")["DEFAULT"]
    with torch.device("meta"):
        assert count(EfficientNet(**PHOTO, phi=phi)) == weights.meta["num_params"]


@pytest.mark.parametrize("phi", [0, 5])  # those from 5 on have another batch normalisation
def test_efficientnet_is_torchvisions(phi):
    with torch.device("meta"):
        theirs = torchvision.models.get_model(f"efficientnet_b{phi}")
        ours = EfficientNet(**PHOTO, phi=phi)
    assert [(n, p.shape) for n, p in ours.named_parameters()] == [(n, p.shape) for n, p in theirs.named_parameters()]
    settings = [
        next((m.eps, m.momentum) for m in net.modules() if isinstance(m, nn.BatchNorm2d)) for net in (ours, theirs)
    ]
    assert settings[0] == settings[1]
    assert ours.classifier[0].p == theirs.classifier[0].p


@pytest.mark.parametrize(("ours", "arch"), [(MobileNetV2, "mobilenet_v2"), (EfficientNet, "efficientnet_b0")])
def test_torchvisions_weights_give_the_same_outputs(ours, arch):
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(arch).eval()
    model = ours(**PHOTO).eval()
    model.load_state_dict(theirs.state_dict())
    x = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.equal(model(x), theirs(x))


@pytest.mark.parametrize("make", [MobileNetV1, MobileNetV2, EfficientNet])
@pytest.mark.parametrize(("size", "last"), [(28, 4), (96, 6), (7, 4), (3, 3)])
def test_small_images_do_not_shrink_to_nothing(make, size, last):
    model = make(in_channels=1, image_size=size, out_features=10).eval()
    seen = []
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d) and module.groups == 1]
    convolutions[-1].register_forward_hook(lambda module, inputs, output: seen.append(output.shape[2:]))
    x = torch.rand(2, 1, size, size)
    assert model(x).shape == (2, 10)
    assert seen == [(last, last)]


def test_a_resolution_scales_the_images():
    model = EfficientNet(in_channels=3, image_size=28, resolution=40, out_features=2).eval()
    seen = []
    model.features[0][0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    model(torch.rand(1, 3, 28, 28))
    assert seen == [(1, 3, 40, 40)]


def test_depth_and_width_apart():
    sizes = {"in_channels": 1, "image_size": 28, "out_features": 10}
    with torch.device("meta"):
        plain, wide, deep = (EfficientNet(**sizes, **more) for more in ({}, {"width": 2.0}, {"depth": 2.0}))
    assert count(wide) > 3 * count(plain) > count(deep) > count(plain)


def test_a_separable_convolution_saves_what_its_docstring_says():
    c, d = 64, 128
    block = DepthwiseSeparable(c, d, 1)
    apart = block.depthwise.weight.numel() + block.pointwise.weight.numel()
    assert apart / (9 * c * d) == pytest.approx(1 / d + 1 / 9)


def test_strides_are_taken_from_the_first_convolutions():
    net = nn.Sequential(*[nn.Conv2d(1, 1, 3, stride=2, padding=1) for _ in range(5)])
    fit_to_size(net, (28, 100))
    assert [conv.stride[0] for conv in net] == [1, 1, 2, 2, 2]


def test_channels_are_multiples_of_eight():
    assert [scaled(value) for value in (32, 3, 12, 11, 44.8, 33.6)] == [32, 8, 16, 16, 48, 32]
