"""The networks of the notes: same weights in, same numbers out; sizes, gradients, errors."""

import pytest
import torch
import torch.nn.functional as F

from dlrun.models.cnn import CNN, pooled_size
from dlrun.models.googlenet_mini import GoogLeNetMini, InceptionA
from dlrun.models.mlp import MLP
from dlrun.models.resnet import ResidualBlock, ResNet

IMAGE_MODELS = {"cnn": CNN, "googlenet_mini": GoogLeNetMini, "resnet": ResNet}


# The notes' networks as functions of (weight, bias) pairs in the order of the listing.


def reference_mlp(x, p):
    for weight, bias in p[:-1]:
        x = F.linear(x, weight, bias).clamp(min=0)
    return F.linear(x, *p[-1])


def reference_cnn(x, p):
    for weight, bias in p[:2]:
        x = F.relu(F.max_pool2d(F.conv2d(x, weight, bias), 2))
    return F.linear(x.reshape(len(x), -1), *p[2])


def reference_inception(x, p):
    one = F.conv2d(x, *p[0])
    five = F.conv2d(F.conv2d(x, *p[1]), *p[2], padding=2)
    three = F.conv2d(F.conv2d(F.conv2d(x, *p[3]), *p[4], padding=1), *p[5], padding=1)
    pool = F.conv2d(F.avg_pool2d(x, 3, stride=1, padding=1), *p[6])
    return torch.cat([one, five, three, pool], 1)


def reference_googlenet(x, p):
    x = F.relu(F.max_pool2d(F.conv2d(x, *p[0]), 2))
    x = reference_inception(x, p[2:9])
    x = F.relu(F.max_pool2d(F.conv2d(x, *p[1]), 2))
    x = reference_inception(x, p[9:16])
    return F.linear(x.reshape(len(x), -1), *p[16])


def reference_residual(x, p):
    return F.relu(x + F.conv2d(F.relu(F.conv2d(x, *p[0], padding=1)), *p[1], padding=1))


def reference_resnet(x, p):
    x = F.max_pool2d(F.relu(F.conv2d(x, *p[0])), 2)
    x = reference_residual(x, p[2:4])
    x = F.max_pool2d(F.relu(F.conv2d(x, *p[1])), 2)
    x = reference_residual(x, p[4:6])
    return F.linear(x.reshape(len(x), -1), *p[6])


def inception_shapes(c):
    return [(16, c, 1, 1), (16, c, 1, 1), (24, 16, 5, 5), (16, c, 1, 1), (24, 16, 3, 3), (24, 24, 3, 3), (24, c, 1, 1)]


LISTINGS = {
    "mlp": (reference_mlp, [(512, 784), (256, 512), (128, 256), (64, 128), (10, 64)]),
    "cnn": (reference_cnn, [(10, 1, 5, 5), (20, 10, 5, 5), (10, 320)]),
    "googlenet_mini": (
        reference_googlenet,
        [(10, 1, 5, 5), (20, 88, 5, 5), *inception_shapes(10), *inception_shapes(20), (10, 1408)],
    ),
    "resnet": (
        reference_resnet,
        [(16, 1, 5, 5), (32, 16, 5, 5)] + 2 * [(16, 16, 3, 3)] + 2 * [(32, 32, 3, 3)] + [(10, 512)],
    ),
}


@pytest.mark.parametrize("name", LISTINGS)
def test_weights_copied_in_the_order_of_the_notes_give_the_notes_outputs(name):
    reference, shapes = LISTINGS[name]
    generator = torch.Generator().manual_seed(0)
    pairs = []
    for shape in shapes:
        scale = torch.tensor(shape[1:]).prod() ** -0.5
        pairs.append((torch.randn(shape, generator=generator) * scale, torch.randn(shape[0], generator=generator)))
    x = torch.randn(3, 784, generator=generator)
    if name == "mlp":
        model = MLP(in_features=784, out_features=10)
    else:
        x = x.view(3, 1, 28, 28)
        model = IMAGE_MODELS[name](in_channels=1, image_size=28, out_features=10)
    flat = [tensor for pair in pairs for tensor in pair]
    assert [p.shape for p in model.parameters()] == [t.shape for t in flat]
    with torch.no_grad():
        for parameter, tensor in zip(model.parameters(), flat, strict=True):
            parameter.copy_(tensor)
        torch.testing.assert_close(model(x), reference(x, pairs), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", IMAGE_MODELS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 16, 40)])
def test_image_model_takes_any_shape_and_every_parameter_gets_a_gradient(name, shape):
    torch.manual_seed(0)
    channels, *size = shape
    model = IMAGE_MODELS[name](in_channels=channels, image_size=tuple(size), out_features=7)
    output = model(torch.randn(4, *shape))
    assert output.shape == (4, 7)
    F.cross_entropy(output, torch.arange(4)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_sizes_are_parameters(name):
    model = IMAGE_MODELS[name](
        in_channels=2, image_size=31, channels=(4, 6, 8), kernel_size=3, pool_size=2, out_features=5
    )
    assert model(torch.zeros(2, 2, 31, 31)).shape == (2, 5)
    assert model.convs[2].out_channels == 8


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_an_image_too_small_is_refused_with_both_sizes(name):
    IMAGE_MODELS[name](in_channels=1, image_size=16, out_features=2)(torch.zeros(1, 1, 16, 16))
    with pytest.raises(ValueError, match=r"image_size 40x15 is too small.*at least 16x16"):
        IMAGE_MODELS[name](in_channels=1, image_size=(40, 15), out_features=2)


@pytest.mark.parametrize("kernel_size", [1, 3, 4, 5])
@pytest.mark.parametrize("pool_size", [1, 2, 3])
@pytest.mark.parametrize("num_layers", [0, 1, 2])
def test_pooled_size_is_what_torch_gives(kernel_size, pool_size, num_layers):
    fits = []
    for side in range(1, 60):
        x, expected = torch.zeros(1, 1, side, 61), None
        try:
            for _ in range(num_layers):
                x = F.max_pool2d(F.conv2d(x, torch.zeros(1, 1, kernel_size, kernel_size)), pool_size)
            expected = tuple(x.shape[2:])
        except RuntimeError:
            with pytest.raises(ValueError, match=f"image_size {side}x61"):
                pooled_size((side, 61), num_layers=num_layers, kernel_size=kernel_size, pool_size=pool_size)
            continue
        fits.append(side)
        assert expected == pooled_size((side, 61), num_layers=num_layers, kernel_size=kernel_size, pool_size=pool_size)
    assert fits == list(range(fits[0], 60))


def test_inception_block_joins_its_branches():
    block = InceptionA(5, 1, (2, 3), (4, 5, 6), 7)
    assert block.out_channels == 1 + 3 + 6 + 7
    assert block(torch.zeros(2, 5, 9, 8)).shape == (2, 17, 9, 8)


def test_a_residual_block_with_zero_weights_is_relu():
    block = ResidualBlock(3)
    torch.nn.init.zeros_(block.conv2.weight)
    torch.nn.init.zeros_(block.conv2.bias)
    x = torch.randn(2, 3, 5, 5)
    assert torch.equal(block(x), F.relu(x))
