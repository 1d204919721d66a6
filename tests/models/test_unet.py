"""U-Net on images of any size, and the transposed convolution by hand against torch's."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dlrun.models.parts.transposed import transposed_conv2d
from dlrun.models.unet import UNet

FORMS = [dict(), dict(up="bilinear"), dict(norm=False), dict(depth=1), dict(dropout=0.3, depth=2),
         dict(patch_size=2), dict(patch_size=3, depth=1), dict(mirrored=True)]  # fmt: skip


def unet(**keys):
    torch.manual_seed(0)
    return UNet(**dict(in_channels=1, channels=4, out_features=3) | keys)


@pytest.mark.parametrize("keys", FORMS, ids=str)
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (9, 8), (5, 3), (1, 1)], ids=str)
def test_every_pixel_of_an_image_of_any_size_has_its_logits(keys, size):
    assert unet(**keys).eval()(torch.randn(2, 1, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("keys", FORMS, ids=str)
@pytest.mark.parametrize("size", [(32, 40), (33, 47)], ids=str)
def test_every_parameter_gets_a_gradient(keys, size):
    model = unet(**keys)
    F.cross_entropy(model(torch.randn(2, 1, *size)), torch.randint(3, (2, *size))).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.count_nonzero() > 0, name


def test_an_odd_size_is_filled_up_with_its_last_pixels():
    model, image = unet().eval(), torch.randn(1, 1, 13, 22)
    whole = model(F.pad(image, (0, 2, 0, 3), mode="replicate"))
    assert torch.equal(model(image), whole[..., :13, :22])


def test_the_levels_are_those_of_the_paper():
    model = unet(channels=64, depth=4, norm=False, out_features=2)
    wanted = [64, 128, 256, 512, 1024]
    assert [level[0].out_channels for level in model.down] == wanted
    assert [tuple(up.up.weight.shape) for up in model.up] == [(2 * c, c, 2, 2) for c in wanted[-2::-1]]
    assert sum(isinstance(module, torch.nn.Conv2d) for module in model.modules()) == 19  # the paper's 23 with 4 up
    assert sum(parameter.numel() for parameter in model.parameters()) == 31_030_658


def test_what_is_handed_across_reaches_the_answer():
    """Single pixels, which pooling has lost, are seen: two images with the same maxima have different answers."""
    model = unet().eval()
    one, other = torch.zeros(2, 1, 1, 16, 16)
    one[..., ::8, ::8], other[..., 1::8, 1::8] = 1, 1
    assert torch.equal(F.max_pool2d(one, 2), F.max_pool2d(other, 2))
    assert not torch.allclose(model(one), model(other), atol=1e-4)


@pytest.mark.parametrize("size", [(12, 20), (13, 7)], ids=str)
def test_a_network_that_is_mirrored_has_no_left_and_right_beyond_training(size):
    plain, mirrored = unet(), unet(mirrored=True)
    image = torch.randn(1, 1, *size)
    assert torch.equal(plain(image), mirrored(image))
    plain, mirrored = plain.eval(), mirrored.eval()
    torch.testing.assert_close(mirrored(image.flip(3)), mirrored(image).flip(3))
    assert not torch.allclose(plain(image.flip(3)), plain(image).flip(3), atol=1e-4)
    torch.testing.assert_close(mirrored(image), (plain(image) + plain(image.flip(3)).flip(3)) / 2)


def test_each_pixel_of_a_patch_has_an_answer_of_its_own():
    model = unet(patch_size=2, depth=1).eval()
    answer = model(torch.full((1, 1, 48, 48), 0.5))
    first, second = answer[..., 20:22, 20:22], answer[..., 24:26, 26:28]
    torch.testing.assert_close(first, second)
    assert len(first[0, 0].unique()) == 4 and model.head.out_channels == 3 * 4


def test_a_move_by_the_coarsest_step_moves_the_answer():
    model, image = unet().eval(), torch.zeros(1, 1, 96, 96)
    image[..., 40:56, 40:56] = torch.randn(16, 16)
    moved = model(image.roll(8, dims=3))
    torch.testing.assert_close(moved[..., 24:72, 32:80], model(image)[..., 24:72, 24:72], rtol=0, atol=1e-5)


@settings(max_examples=100, deadline=None)
@given(
    batch=st.integers(1, 2), channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)), kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 3), padding=st.integers(0, 2), output_padding=st.integers(0, 2), seed=st.integers(0, 99),
)  # fmt: skip
def test_copies_of_the_kernel_add_up_to_torch_s_transposed_convolution(
    batch, channels, size, kernel, stride, padding, output_padding, seed
):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, channels[0], *size, generator=generator, dtype=torch.float64)
    weight = torch.randn(*channels, *kernel, generator=generator, dtype=torch.float64)
    wanted = [(n - 1) * stride + k - 2 * padding + output_padding for n, k in zip(size, kernel, strict=True)]
    if min(wanted) < 1 or output_padding >= stride:
        with pytest.raises(ValueError, match="padding"):
            transposed_conv2d(x, weight, stride, padding, output_padding)
        return
    found = transposed_conv2d(x, weight, stride, padding, output_padding)
    assert found.shape[2:] == tuple(wanted)
    expected = F.conv_transpose2d(x, weight, stride=stride, padding=padding, output_padding=output_padding)
    torch.testing.assert_close(found, expected)


def test_the_notes_example_two_by_two_becomes_four_by_four():
    x = torch.tensor([[2.0, 1.0], [3.0, 2.0]]).view(1, 1, 2, 2)
    kernel = torch.tensor([[1.0, 2.0, 1.0], [2.0, 0.0, 1.0], [0.0, 2.0, 1.0]]).view(1, 1, 3, 3)
    found = transposed_conv2d(x, kernel, stride=2, padding=1, output_padding=1)
    assert found[0, 0].tolist() == [[0, 4, 0, 1], [10, 7, 6, 3], [0, 7, 0, 2], [6, 3, 4, 2]]
