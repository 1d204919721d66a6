"""What holds for every augmentation: a sample's change is its own, and nothing but (seed, epoch, index) decides it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dlrun.augment import AUGMENTS
from dlrun.augment.augmentation import Augmentation
from dlrun.config.spec import DataSpec
from dlrun.data.boxes.mask_part import MaskPart
from dlrun.engine.contracts import LoaderOptions
from dlrun.engine.draws import Draws
from dlrun.engine.loading import PartLoader
from dlrun.engine.parts import TensorPart
from dlrun.errors import UserError
from dlrun.run import assemble
from dlrun.tasks.multiclass import Multiclass, OneVsRest

CPU = torch.device("cpu")
NAMES = [name for name in AUGMENTS.names() if name != "none"]
MIXING, JOINING = ("mixup", "cutmix"), ("mosaic",)
SIZES = [(3, 9, 13), (1, 12, 8), (2, 6, 6), (1, 1, 1), (3, 2, 1)]
IMAGES = torch.randint(0, 256, (23, 3, 9, 13), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
PART = TensorPart((IMAGES,), torch.arange(23) % 4)
MASKS = MaskPart((IMAGES,), IMAGES[:, 0] // 64)
SPEC = DataSpec("image", "class", in_channels=3, image_size=(9, 13), out_features=4)


def part_of(name):
    """Examples whose target can go along."""
    return MASKS if name in JOINING else PART


def loader(name, part=None, **options):
    part = part or part_of(name)
    options = {"batch_size": 5, "augment": augmentation(name)} | options
    return PartLoader(part, LoaderOptions(lambda inputs: inputs, CPU, **options))


def augmentation(name, seed=3, num_classes=4, **keys):
    return Augmentation(AUGMENTS.get(name)(**keys), seed, num_classes)


def seen(source, epoch=0, start=0):
    """What an epoch gives of each sample, by its index: the image and its target, of a mixture the shares (K,)."""
    found = {}
    for batch in source.batches(epoch, start):
        for index, *values in zip(batch.index.tolist(), *batch.inputs, batch.target, strict=True):
            found[index] = values
    return found


def applied(name, images, change=None):
    """The images changed, or mixed with themselves turned round."""
    change = change or AUGMENTS.get(name)()
    drawn = change.draw(Draws(0, 0, torch.arange(len(images))), tuple(images.shape[-2:]))
    if name in MIXING:
        return change.apply(images, images.flip(0), drawn)[0]
    return change.apply(torch.cat([images, *[images.flip(0)] * change.num_others]), drawn)


def alike(one, other):
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_neither_batch_nor_order_nor_road_nor_start_changes_a_sample(name):
    whole = seen(loader(name))
    assert sorted(whole) == list(range(23))
    for other in (
        loader(name, batch_size=23),
        loader(name, batch_size=4, shuffle=True, seed=7),
        loader(name, batch_size=1, workers=0),
    ):
        found = seen(other)
        assert sorted(found) == list(range(23))
        assert all(alike(found[index], whole[index]) for index in whole)
    late = seen(loader(name), start=3)
    assert len(late) == 23 - 15
    assert all(alike(late[index], whole[index]) for index in late)


def test_loader_processes_change_nothing():
    whole = seen(loader("cutmix"), epoch=2)
    found = seen(loader("cutmix", workers=2, shuffle=True), epoch=2)
    assert all(alike(found[index], whole[index]) for index in whole)


@pytest.mark.parametrize("name", NAMES)
def test_each_sample_seed_and_epoch_has_its_own(name):
    """Samples that are all the same become different, and others in the next epoch."""
    twins = TensorPart((IMAGES[:1].expand(40, -1, -1, -1).contiguous(),), torch.zeros(40, dtype=torch.int64))
    if name in JOINING:
        twins = MaskPart(twins.inputs, twins.inputs[0][:, 0] // 64)
    if name in MIXING:
        # Twins mixed are twins: their shares tell them apart.
        twins.target = torch.arange(40)
    shown = {}
    for seed, epoch in ((0, 0), (0, 1), (1, 0)):
        found = seen(loader(name, twins, augment=augmentation(name, seed, num_classes=40)), epoch)
        rows = [target[index] if name in MIXING else image for index, (image, target) in found.items()]
        shown[seed, epoch] = torch.stack([row.flatten() for row in rows])
    first = shown.pop((0, 0))
    # Erasing leaves a half of them alone, and a policy may draw the same of fourteen operations twice.
    assert len(first.unique(dim=0)) >= 8
    for other in shown.values():
        assert (first != other).any(dim=1).sum() >= 15


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_sees_the_samples_as_they_are(name):
    source = loader(name)
    for index, (image, target) in seen(source, epoch=None).items():
        assert torch.equal(image, IMAGES[index])
        assert torch.equal(target, part_of(name).target[index])
    assert torch.equal(source.example().inputs[0], IMAGES[:1])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_images_of_any_size_keep_it_and_their_range(name, size):
    images = torch.rand(40, *size, generator=torch.Generator().manual_seed(1))
    images[0], images[1] = 0, 1
    before = images.clone()
    changed = applied(name, images)
    assert changed.shape == images.shape
    assert changed.isfinite().all()
    assert -1e-6 <= changed.min() <= changed.max() <= 1 + 1e-6
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_brought_back_from_the_device(name):
    """Meta tensors have no values: to look at one is an error, and so is to add one of the host."""
    images = torch.empty(60, 3, 6, 8, device="meta")
    changed = applied(name, images)
    assert changed.is_meta
    assert changed.shape == images.shape


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("geometric", dict(padding=0, rotation=0.0, shear=0.0, scale=0.0, warp=0.0)),
        ("colour", dict(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, pca=0.0)),
        ("portrait", dict(mirror=0.0, shift=0, rotation=0.0, scale=0.0, light=0.0, side_light=0.0)),
        ("erasing", dict(probability=0.0)),
        ("mixup", dict(probability=0.0)),
        ("cutmix", dict(probability=0.0)),
        ("mosaic", dict(probability=0.0, mirror=0.0)),
    ],
)
def test_keys_that_change_nothing_change_nothing(name, keys):
    for index, (image, target) in seen(loader(name, augment=augmentation(name, seed=0, **keys))).items():
        torch.testing.assert_close(image, IMAGES[index].float(), rtol=0, atol=1e-2)
        label = part_of(name).target[index]
        assert torch.equal(target, torch.eye(4)[label] if name in MIXING else label)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in JOINING])
@pytest.mark.parametrize("task", [Multiclass(SPEC), OneVsRest(SPEC)], ids=["softmax", "sigmoids"])
def test_a_model_learns_from_a_batch(name, task):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 7 * 11, 4))
    batch = next(iter(loader(name, batch_size=16).batches(0)))
    output = model(batch.inputs[0] / 255)
    task.losses(output, batch)["loss"].backward()
    assert all(p.grad.isfinite().all() and p.grad.count_nonzero() for p in model.parameters())
    assert len(batch) == 16
    values = {}
    for metric in task.metrics():
        if metric.in_training:
            metric.update(output.detach(), batch, {})
            values |= metric.compute()
    assert 0 <= values["accuracy"] <= 1


@pytest.mark.parametrize("name", MIXING)
def test_a_mixture_is_the_two_samples_in_their_shares(name):
    flat = TensorPart((torch.arange(23).byte().view(-1, 1, 1, 1).expand(-1, 1, 40, 40).contiguous(),), torch.arange(23))
    mixtures = seen(loader(name, flat, augment=augmentation(name, num_classes=23)))
    partners = Draws(3, 0, torch.arange(23)).partners(23)
    for index, (image, shares) in mixtures.items():
        assert shares.sum() == pytest.approx(1)
        assert shares.min() >= 0
        assert set(shares.nonzero().flatten().tolist()) <= {index, int(partners[index])}
        assert image.mean() == pytest.approx((shares * torch.arange(23)).sum().item(), abs=1e-3)


@pytest.mark.parametrize("name", MIXING)
def test_values_and_answers_of_yes_or_no_are_mixed_too(name):
    for target in (torch.arange(23) % 2, torch.rand(23, 2)):
        found = seen(loader(name, TensorPart((IMAGES,), target), augment=augmentation(name, num_classes=None)))
        change = AUGMENTS.get(name)()
        draws = Draws(3, 0, torch.arange(23))
        share = change.apply(torch.zeros(23, 3, 9, 13), torch.zeros(23, 3, 9, 13), change.draw(draws, (9, 13)))[1]
        share = share.view(-1, *[1] * (target.ndim - 1))
        partner = target[Draws(3, 0, torch.arange(23)).partners(23)]
        wanted = share * target + (1 - share) * partner
        for index, (_, mixed) in found.items():
            torch.testing.assert_close(mixed, wanted[index])


def test_what_cannot_be_mixed_is_refused_in_one_line(make_config):
    checked, spec = make_config("augment=mixup"), DataSpec("image", "boxes", in_channels=1, image_size=(4, 4))
    with pytest.raises(UserError, match=r"augment=mixup: mixes two examples in one.* use augment=none") as caught:
        assemble.augmentation(checked, spec)
    assert "\n" not in str(caught.value)
    assert assemble.augmentation(make_config("augment=geometric"), spec) is not None
    assert assemble.augmentation(make_config(), spec) is None


SMALL = ["data=synthetic", "model=mlp", "logger=none"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["data=line", "model=linear", "augment=geometric"],
            "augment=geometric: changes images, data=line are features",
        ),
        ([*SMALL, "augment=mosaic"], "augment=mosaic: puts several images into one, and two targets of kind class"),
        ([*SMALL, "augment=geometri"], "augment: no option 'geometri'; did you mean geometric?"),
        (
            [*SMALL, "augment=geometric", "augment.rotation=200"],
            "augment.rotation: must be a finite number of at least",
        ),
        ([*SMALL, "augment=geometric", "augment.mirror=2"], "augment.mirror: must be a finite number"),
        ([*SMALL, "augment=geometric", "augment.border=white"], "augment.border: must be one of black, edge, reflect"),
        ([*SMALL, "augment=geometric", "augment.alpha=1"], "augment.alpha: unknown key; it is a key of augment=cutmix"),
        ([*SMALL, "augment=colour", "augment.hue=0.6"], "augment.hue: must be a finite number of at least 0"),
        ([*SMALL, "augment=randaugment", "augment.magnitude=31"], "augment.magnitude: must be an integer"),
        ([*SMALL, "augment=erasing", "augment.max_area=0.01"], "augment=erasing: min_area 0.02 is above max_area 0.01"),
        ([*SMALL, "augment=cutmix", "augment.alpha=0"], "augment.alpha: must be a finite number of at least 0.01"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_wrong_key_is_refused(refused, words, line):
    assert refused(*words).startswith(line)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**63 - 1),
    epoch=st.integers(0, 10_000),
    index=st.lists(st.integers(0, 2**40), min_size=1, max_size=9, unique=True),
    num=st.integers(1, 5),
)
def test_numbers_belong_to_their_sample(seed, epoch, index, num):
    together = Draws(seed, epoch, torch.tensor(index))
    one, other = together.uniform(num), together.uniform(3)
    assert ((one >= 0) & (one < 1)).all()
    assert len({tuple(row) for row in torch.cat([one, other], dim=1).tolist()}) == len(index)
    for place, sample in enumerate(index):
        alone = Draws(seed, epoch, torch.tensor([sample]))
        assert torch.equal(alone.uniform(num + 3)[0], torch.cat([one[place], other[place]]))
        assert 0 <= alone.partners(7) < 7
    assert not torch.equal(Draws(seed, epoch + 1, torch.tensor(index)).uniform(num), one)


def test_numbers_are_uniform_and_tell_nothing_of_each_other():
    rows = Draws(0, 0, torch.arange(20_000)).uniform(5).double()
    later = Draws(0, 1, torch.arange(20_000)).uniform(5).double()
    even = (torch.arange(100_000) + 0.5) / 100_000
    # Kolmogorov and Smirnov: above this by chance once in a million.
    assert (rows.flatten().sort().values - even).abs().max() < 2.7 / 100_000**0.5
    columns = torch.cat([rows, later, rows.roll(1, 0)], dim=1)
    correlation = torch.corrcoef(columns.T) - torch.eye(15)
    assert correlation.abs().max() < 5 / 20_000**0.5
    partners = Draws(0, 0, torch.arange(20_000)).partners(10)
    assert (torch.bincount(partners, minlength=10) - 2000).abs().max() < 5 * 2000**0.5
