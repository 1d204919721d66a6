"""What a network sees, beside what can be computed by hand."""

import pytest
import torch
from torch import nn

from dlrun.models import MODELS
from dlrun.run import seen

IMAGE = torch.tensor([[1.0, 2, 0, 0], [0, 3, 0, 0], [0, 0, 1, 0], [2, 0, 0, 1]])[None, None]


def two_channels(*rest):
    """The image and its double negative as channels, then `rest`."""
    conv = nn.Conv2d(1, 2, kernel_size=1, bias=False)
    conv.weight.data = torch.tensor([1.0, -2]).view(2, 1, 1, 1)
    return nn.Sequential(conv, *rest)


def linear(*rows):
    layer = nn.Linear(len(rows[0]), len(rows), bias=False)
    layer.weight.data = torch.tensor(rows)
    return layer


def test_of_global_pooling_it_is_the_class_activation_map():
    model = two_channels(nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear([3.0, 1], [-1, -1]))
    path, values = seen.class_activation(model, (IMAGE,), lambda output: output[0, 0])
    assert path == "0"
    # 3 x 1 - 1 x 2 for each unit of light, on 16 places
    assert torch.allclose(values, IMAGE[0, 0] / 16)
    assert torch.allclose(seen.class_activation(model, (IMAGE,), lambda o: o[0, 1])[1], IMAGE[0, 0] / 16)
    assert seen.class_activation(model, (IMAGE,), lambda o: -o[0, 0])[1].count_nonzero() == 0


def test_of_a_layer_on_every_place_a_channel_weighs_its_mean_gradient():
    weights = torch.arange(32.0).tolist()
    model = two_channels(nn.ReLU(), nn.Flatten(), linear(weights)).requires_grad_(False)
    path, values = seen.class_activation(model, (IMAGE,), lambda output: output[0, 0])
    assert path == "1"
    # Behind the ReLU the second channel is 0; the first one weighs the mean of 0 to 15.
    assert torch.allclose(values, 7.5 * IMAGE[0, 0])


def test_an_activation_in_place_and_a_second_image_change_nothing():
    plain = two_channels(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear([1.0, 1]))
    in_place = two_channels(nn.ReLU(inplace=True), *plain[2:])
    images = torch.cat([IMAGE, torch.rand(1, 1, 4, 4)])
    score = lambda output: output[0, 0]  # noqa: E731
    expected = seen.class_activation(plain, (IMAGE,), score)[1]
    assert torch.equal(seen.class_activation(in_place, (images,), score)[1], expected)
    (answer,) = seen.convolutions(in_place, (images,))
    assert torch.equal(answer.values, torch.cat([IMAGE, -2 * IMAGE], dim=1))
    assert not any(module._forward_hooks for module in in_place.modules())


@pytest.mark.parametrize(
    ("name", "path", "shape", "number"),
    [
        ("cnn", "convs.1", (8, 8), 2),
        ("googlenet_mini", "blocks.1", (4, 4), 16),
        ("resnet", "blocks.1", (4, 4), 6),
        ("mobilenet_v1", "blocks", (4, 4), 27),
    ],
)
def test_the_features_are_the_last_of_their_size(name, path, shape, number):
    model, image = MODELS.get(name)(in_channels=1, image_size=28, out_features=3), torch.rand(1, 1, 28, 28)
    found, values = seen.class_activation(model, (image,), lambda output: output[0, 2])
    assert (found, tuple(values.shape)) == (path, shape)
    assert values.isfinite().all() and values.min() >= 0
    assert len(seen.convolutions(model, (image,))) == number


def test_without_a_place_there_is_no_map():
    for model in (nn.Sequential(nn.Flatten(), nn.Linear(16, 1)), nn.Sequential(nn.Conv2d(1, 1, 4), nn.Flatten())):
        assert seen.convolutions(model, (IMAGE,)) == []
        with pytest.raises(ValueError, match="no convolution with more than one pixel"):
            seen.class_activation(model, (IMAGE,), lambda output: output[0, 0])
