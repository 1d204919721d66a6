"""Images as points of length 1, whatever the body, and alike for an image and its mirror image if that is asked for."""

import pytest
import torch

from dlrun.models.embedder import Embedder

IMAGES = torch.rand(5, 3, 33, 47, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("backbone", [None, "resnet", "mobilenet_v2", "resnet18"])
def test_an_embedding_has_length_one_with_any_body(backbone):
    torch.manual_seed(0)
    model = Embedder(in_channels=3, image_size=(33, 47), channels=(4, 8), backbone=backbone, embedding_size=16).eval()
    found = model(IMAGES)
    assert found.shape == (5, 16)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(5))


def test_a_mirrored_image_is_the_same_beyond_training():
    torch.manual_seed(0)
    model = Embedder(in_channels=3, image_size=(33, 47), channels=(4, 8), mirrored=True)
    plain = Embedder(in_channels=3, image_size=(33, 47), channels=(4, 8))
    plain.load_state_dict(model.state_dict())
    assert torch.equal(model.train()(IMAGES), plain.train()(IMAGES))
    model.eval()
    torch.testing.assert_close(model(IMAGES), model(IMAGES.flip(3)))
    assert not torch.allclose(plain.eval()(IMAGES), plain(IMAGES.flip(3)), atol=1e-3)
    both = plain(IMAGES) + plain(IMAGES.flip(3))
    torch.testing.assert_close(model(IMAGES), both / both.norm(dim=1, keepdim=True))
