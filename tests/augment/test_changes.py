"""What each augmentation does to an image, against torchvision, plain torch, and the papers' distributions."""

import math

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import beta, kstest
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as V

from dlrun.augment import policies
from dlrun.augment.colour import Colour, grey
from dlrun.augment.erasing import Erasing
from dlrun.augment.geometric import Geometric, Move
from dlrun.augment.mixing import CutMix, Mixup
from dlrun.augment.portrait import Portrait
from dlrun.engine.draws import Draws

IMAGES = torch.rand(6, 3, 10, 14, generator=torch.Generator().manual_seed(0))
EYE = torch.eye(2).expand(6, 2, 2)


def draws(num=6, epoch=0):
    return Draws(0, epoch, torch.arange(num))


def close(one, other, atol=1e-5):
    torch.testing.assert_close(one, other, rtol=0, atol=atol)


def changed(change, images, numbers):
    return change.apply(images, change.draw(numbers, tuple(images.shape[-2:])))


def mixed(mixture, images, others, numbers):
    return mixture.apply(images, others, mixture.draw(numbers, tuple(images.shape[-2:])))


# ---- geometry


def resampled(images, matrix, shift, bend=None, border="zeros"):
    return Move(tuple(images.shape[-2:]), matrix, shift, bend).pixels(images, border)


def test_a_look_up_moves_mirrors_and_turns_as_slices_do():
    shift = torch.tensor([[3.0, -2.0]]).expand(6, 2)
    close(resampled(IMAGES, EYE, shift), F.pad(IMAGES, (0, 3, 2, 0))[..., :10, 3:])
    close(resampled(IMAGES, EYE * torch.tensor([-1.0, 1.0]), torch.zeros(6, 2)), IMAGES.flip(3))
    close(resampled(IMAGES, -EYE, torch.zeros(6, 2)), IMAGES.flip(2, 3))
    square, quarter = IMAGES[..., :10], torch.tensor([[0.0, -1.0], [1.0, 0.0]]).expand(6, 2, 2)
    close(resampled(square, quarter, torch.zeros(6, 2)), torch.rot90(square, 1, dims=(2, 3)))
    bend = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(6, 2, 4, 4)
    close(resampled(IMAGES, EYE, torch.zeros(6, 2), bend)[..., :-1], IMAGES[..., 1:])


def test_a_mesh_is_bent_as_bicubic_interpolation_bends_it():
    bend = torch.rand(6, 2, 4, 4, generator=torch.Generator().manual_seed(1)) * 4 - 2
    whole = F.interpolate(bend, (10, 14), mode="bicubic", align_corners=True)
    # An image of its own coordinates shows where each pixel was read.
    y, x = torch.meshgrid(torch.arange(10.0), torch.arange(14.0), indexing="ij")
    place = torch.stack([x, y]).expand(6, 2, 10, 14)
    found = resampled(place, EYE, torch.zeros(6, 2), bend, "border")
    wanted = place + whole
    close(found, torch.stack([wanted[:, 0].clamp(0, 13), wanted[:, 1].clamp(0, 9)], dim=1), atol=1e-4)


def test_geometric_keeps_to_its_limits():
    quiet = dict(mirror=0.0, padding=0, rotation=0.0, shear=0.0, scale=0.0, warp=0.0)
    wide = torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    moved = changed(Geometric(**quiet | dict(padding=2)), wide, draws(200))
    shifts = {(dx, dy): F.pad(wide, (2, 2, 2, 2))[..., dy : dy + 8, dx : dx + 8] for dx in range(5) for dy in range(5)}
    hits = [
        {place for place, other in shifts.items() if torch.allclose(moved[i], other[i], atol=1e-5)} for i in range(200)
    ]
    assert all(len(found) == 1 for found in hits)
    assert set.union(*hits) == set(shifts)
    mirrored = changed(Geometric(**quiet | dict(mirror=0.5)), wide, draws(200))
    is_mirrored = (mirrored - wide.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-5
    assert ((mirrored - wide).abs().amax(dim=(1, 2, 3)) < 1e-5).logical_xor(is_mirrored).all()
    assert 70 <= is_mirrored.sum() <= 130
    # A point far out shows the angle and the size.
    spot = torch.zeros(200, 1, 41, 41)
    spot[:, :, 19:22, 34:37] = 1
    y, x = torch.meshgrid(torch.arange(41.0) - 20, torch.arange(41.0) - 20, indexing="ij")
    for keys, radii, angles in (
        (dict(rotation=30.0), (14.8, 15.2), (-30, 30)),
        (dict(scale=0.25), (15 / 1.25 - 0.1, 15 * 1.25 + 0.1), (-0.5, 0.5)),
    ):
        seen = changed(Geometric(**quiet | keys), spot, draws(200))[:, 0]
        right, down = ((seen * axis).sum(dim=(1, 2)) / seen.sum(dim=(1, 2)) for axis in (x, y))
        radius, angle = torch.hypot(right, down), torch.rad2deg(torch.atan2(down, right))
        assert radii[0] <= radius.min() <= radius.max() <= radii[1]
        assert angles[0] - 0.5 <= angle.min() <= angle.max() <= angles[1] + 0.5
        assert max(angle.max() - angle.min(), radius.max() - radius.min()) > 0.85 * max(
            angles[1] - angles[0], radii[1] - radii[0]
        )


# ---- colour


def test_each_change_of_light_is_torchvision_s():
    quiet = dict(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, pca=0.0)
    calm = IMAGES * 0.3 + 0.35  # nothing reaches an end of the range
    for place, (key, adjust) in enumerate(
        {"brightness": V.adjust_brightness, "contrast": V.adjust_contrast, "saturation": V.adjust_saturation}.items()
    ):
        found = changed(Colour(**quiet | {key: 0.3}), calm, draws())
        factors = 1 + 0.3 * draws().signed(4)[:, place]
        wanted = torch.stack([adjust(image, factor) for image, factor in zip(calm, factors.tolist(), strict=True)])
        close(found, wanted, atol=2e-3)  # torchvision rounds the weights of grey to four digits
        assert (found - calm).abs().max() > 0.02


def test_light_from_one_side_is_a_ramp_that_keeps_the_mean():
    quiet = dict(mirror=0.0, shift=0, rotation=0.0, scale=0.0, light=0.0)
    even = torch.full((200, 3, 9, 15), 0.5)
    found = changed(Portrait(**quiet, side_light=0.4), even, draws(200))
    close(found.mean(dim=(1, 2, 3)), even[:, 0, 0, 0])
    middle = found[:, :, 4, 7]
    close(middle, torch.full_like(middle, 0.5))
    right, lower = found[:, :, 4, -1] / 0.5 - 1, found[:, :, -1, 7] / 0.5 - 1
    for edge in (right, lower):
        assert -0.4 <= edge.min() < -0.3
        assert 0.3 < edge.max() <= 0.4
        close(edge, edge[:, :1].expand(-1, 3))
    close(found[:, :, -1, -1], 0.5 * (1 + right + lower))


def test_a_turn_of_hue_keeps_greys_and_carries_red_to_green():
    third = Colour(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.5, pca=0.0)
    greys = grey(IMAGES).expand(-1, 3, -1, -1)
    close(changed(third, greys, draws()), greys)

    class Third(Draws):
        def signed(self, num):
            return torch.full((6, num), 2 / 3)

    red = torch.tensor([0.6, 0.2, 0.2]).view(1, 3, 1, 1).expand(6, 3, 4, 4)
    close(changed(third, red, Third(0, 0, torch.arange(6))), red.roll(1, dims=1))


def test_the_noise_of_colours_has_imagenet_s_covariance():
    noise = Colour(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, pca=0.1)
    flat = torch.full((4000, 3, 1, 1), 0.5)
    shift = (changed(noise, flat, draws(4000)) - 0.5).flatten(1) / 0.1
    spread = torch.cov(shift.T)
    main = torch.linalg.eigvalsh(spread).sqrt()
    close(main, torch.tensor([0.0045, 0.0188, 0.2175]), atol=0.01)
    assert spread.min() > 0.01  # nearly all of it is light and dark


def test_one_channel_changes_in_light_alone():
    images = IMAGES[:, :1]
    coloured = changed(Colour(brightness=0.0, contrast=0.0), images, draws())
    close(coloured, images)
    assert (changed(Colour(), images, draws()) - images).abs().amax(dim=(1, 2, 3)).min() > 0.01


# ---- policies


def operated(name, level, is_negative, strongest=policies.RandAugment.strongest):
    names = (*policies.GEOMETRIC, *policies.OTHERS)
    choice = torch.full((6,), (names.index(name) + 0.5) / len(names))
    level, is_negative = torch.full((6,), level), torch.full((6,), is_negative)
    drawn = policies.operation(choice, level, is_negative, strongest, (10, 14))
    return policies.operated(IMAGES, drawn, strongest)


def affine(images, angle=0.0, translate=(0.0, 0.0), shear=(0.0, 0.0), center=None):
    return V.affine(
        images, angle, list(translate), 1.0, list(shear), interpolation=InterpolationMode.BILINEAR, center=center
    )


@pytest.mark.parametrize("is_negative", [False, True])
def test_the_operations_of_the_papers_are_torchvision_s(is_negative):
    level, sign = 0.5, -1 if is_negative else 1
    degrees, factor = math.degrees(math.atan(0.15)), 1 + sign * 0.45
    bytes_, names = (IMAGES * 255).round().byte(), []
    for name, wanted in {
        "shear_x": affine(IMAGES, shear=(sign * degrees, 0), center=[0, 0]),
        "shear_y": affine(IMAGES, shear=(0, sign * degrees), center=[0, 0]),
        "rotate": affine(IMAGES, angle=-sign * 15.0),
        "brightness": V.adjust_brightness(IMAGES, factor),
        "color": V.adjust_saturation(IMAGES, factor),
        "contrast": V.adjust_contrast(IMAGES, factor),
        "sharpness": V.adjust_sharpness(IMAGES, factor),
        "posterize": V.posterize(bytes_, 6) / 255,
        "solarize": V.solarize(IMAGES, 0.5),
        "autocontrast": V.autocontrast(IMAGES),
        "equalize": V.equalize(IMAGES),
        "identity": IMAGES,
    }.items():
        names.append(name)
        close(operated(name, level, is_negative), wanted, atol=2e-3)
    assert len(names) + 2 == len(policies.GEOMETRIC) + len(policies.OTHERS)
    # Here the signs say where a pixel comes from, in torchvision where it goes.
    whole = policies.Strongest(shear=0, rotate=0, blend=0, bits=0, translate=1.0)
    close(operated("translate_x", 0.5, is_negative, whole), affine(IMAGES, translate=(-sign * 7, 0)))
    close(operated("translate_y", 0.5, is_negative, whole), affine(IMAGES, translate=(0, -sign * 5)))


def test_every_operation_is_chosen_as_often_as_any_other():
    flat = torch.rand(1400, 1, 4, 4, generator=torch.Generator().manual_seed(3))
    same = (changed(policies.TrivialAugment(), flat, draws(1400)) - flat).abs().amax(dim=(1, 2, 3)) < 1e-6
    # Identity, colour of a grey image, and the lowest of 31 levels of the others.
    assert 0.15 < same.float().mean() < 0.3
    calm = changed(policies.RandAugment(num_ops=1, magnitude=0), flat, draws(1400))
    assert ((calm - flat).abs().amax(dim=(1, 2, 3)) < 5e-3).float().mean() > 0.75


# ---- rectangles and mixtures


def test_an_erased_rectangle_has_the_size_and_shape_that_were_asked_for():
    ones = torch.ones(500, 1, 40, 30)
    erasing = Erasing(probability=0.6, min_area=0.1, max_area=0.3, min_aspect=0.5, fill="black")
    erased = changed(erasing, ones, draws(500)) == 0
    is_erased = erased.flatten(1).any(dim=1)
    assert 0.5 < is_erased.float().mean() < 0.7
    height, width = (erased[is_erased][:, 0].any(dim=axis).sum(dim=1).float() for axis in (2, 1))
    assert torch.equal(height * width, erased[is_erased].flatten(1).sum(dim=1))
    share = height * width / 1200
    assert 0.08 < share.min() < 0.13
    assert 0.27 < share.max() < 0.33
    assert 0.4 < (height / width).min() < 0.6
    assert 1.7 < (height / width).max() < 2.2
    noise = changed(Erasing(probability=1.0), ones, draws(500))
    assert len(noise[noise != 1].unique()) > 10_000


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_come_from_beta(alpha):
    images = torch.zeros(2000, 1, 1, 1)
    share = mixed(Mixup(alpha=alpha), images, images, draws(2000))[1]
    assert kstest(share.numpy(), beta(alpha, alpha).cdf).pvalue > 1e-3


def test_a_mixture_by_area_counts_its_pixels():
    black, white = torch.zeros(300, 1, 20, 30), torch.ones(300, 1, 20, 30)
    mixtures, share = mixed(CutMix(probability=0.7), black, white, draws(300))
    close(1 - mixtures.mean(dim=(1, 2, 3)), share)
    assert 0.2 < (share == 1).float().mean() < 0.45
    assert share.min() < 0.3
