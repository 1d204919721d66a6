import pytest
import torch
import torch.nn.functional as F

from dlrun.models.segmenter_zoo import TorchvisionSegmenter


@pytest.mark.parametrize(("arch", "channels"), [("lraspp_mobilenet_v3_large", 1), ("deeplabv3_mobilenet_v3_large", 3)])
def test_a_network_answers_for_each_pixel_of_an_image_of_any_size(arch, channels):
    torch.manual_seed(0)
    model = TorchvisionSegmenter(arch=arch, in_channels=channels, out_features=4)
    output = model(torch.randn(2, channels, 41, 50))
    assert output.shape == (2, 4, 41, 50)
    F.cross_entropy(output, torch.randint(4, (2, 41, 50))).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_an_unknown_arch_names_the_nearest_and_all():
    with pytest.raises(ValueError, match=r"'fcn_resnet5'.*did you mean fcn_resnet50\?; it has deeplabv3"):
        TorchvisionSegmenter(arch="fcn_resnet5", in_channels=3, out_features=2)
