"""torchvision's detectors behind the one contract of all detectors."""

import pytest
import torch

from dlrun.models.detector_zoo import TorchvisionDetector

TARGET = (
    [torch.tensor([[8.0, 8, 28, 30], [40, 36, 60, 60]]), torch.zeros(0, 4)],
    [torch.tensor([0, -1]), torch.zeros(0).long()],
)


@pytest.mark.parametrize(
    ("arch", "terms"),
    [
        ("ssdlite320_mobilenet_v3_large", {"box", "class"}),
        ("fasterrcnn_mobilenet_v3_large_320_fpn", {"object", "region", "class", "box"}),
        ("fcos_resnet50_fpn", {"class", "box", "centre"}),
    ],
)
def test_it_learns_and_answers_as_every_detector(arch, terms):
    torch.manual_seed(0)
    model = TorchvisionDetector(
        arch=arch, in_channels=1, image_size=64, out_features=2, score_threshold=0.0, max_detections=5
    )
    images = torch.rand(2, 1, 64, 64)
    found = model.train()(images, *TARGET)
    assert set(found) == terms and all(value.isfinite() for value in found.values())
    torch.stack(list(found.values())).sum().backward()
    with torch.no_grad():
        answer = model.eval()(images).boxes
    assert [own.shape[1] for own in answer] == [6, 6] and all(len(own) <= 5 for own in answer)
    assert all((own[:, :4] >= 0).all() and (own[:, :4] <= 64.01).all() for own in answer)


def test_an_unknown_arch_names_the_nearest_and_all():
    with pytest.raises(ValueError, match=r"'fcos_resnet5'.*did you mean fcos_resnet50_fpn\?; it has fasterrcnn"):
        TorchvisionDetector(arch="fcos_resnet5", in_channels=3, image_size=64, out_features=2)
