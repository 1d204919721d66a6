"""Drawn faces: the same by the same seed, nobody in two parts, and a person is more than pixels."""

import pytest
import torch
from sklearn.metrics import roc_auc_score

from dlrun.cli import main
from dlrun.config import check, compose
from dlrun.data.faces.drawn import DrawnFaces
from dlrun.run import assemble

FEW = {"num_train_people": 4, "num_val_people": 3, "num_test_people": 2, "num_images": 5, "image_size": 24}
PLAIN = {"pose": 0.0, "expression": 0.0, "light": 0.0, "background": 0.0, "glasses": 0.0, "noise": 0.0}


def drawn(**keys):
    parts = DrawnFaces(**FEW | keys).load()
    return {name: part.take(torch.arange(len(part))) for name, part in parts.items()}


def test_parts_have_people_of_their_own():
    data = DrawnFaces(**FEW)
    parts = data.load()
    assert {name: part.labels.unique().tolist() for name, part in parts.items()} == {
        "train": [0, 1, 2, 3], "val": [4, 5, 6], "test": [7, 8],
    }  # fmt: skip
    for part in parts.values():
        images = part.take(torch.arange(len(part))).inputs[0]
        assert images.shape == (len(part), 3, 24, 24) and images.dtype == torch.uint8
        assert part.labels.dtype == torch.int64 and part.labels.bincount()[part.labels.unique()].tolist() == [5] * len(
            part.labels.unique()
        )
    spec = data.spec
    assert (spec.kind, spec.target, spec.in_channels, spec.image_size) == ("image", "identity", 3, (24, 24))
    assert spec.out_features == 9 and spec.class_names == tuple(f"person {k}" for k in range(9))
    assert list(DrawnFaces(**FEW | {"num_val_people": 0}).load()) == ["train", "test"]


def test_a_part_is_the_same_whatever_the_others_are():
    first, again = drawn(), drawn()
    other = drawn(num_train_people=7, num_val_people=0)
    assert torch.equal(first["test"].inputs[0], again["test"].inputs[0])
    assert torch.equal(first["test"].inputs[0], other["test"].inputs[0])
    assert (first["test"].target - 7).tolist() == (other["test"].target - 7).tolist()
    assert not torch.equal(first["test"].inputs[0], drawn(seed=1)["test"].inputs[0])
    assert drawn(seed=2**63 - 1)["train"].inputs[0].shape == first["train"].inputs[0].shape


def test_without_any_difference_pictures_of_a_person_are_one():
    images = drawn(**PLAIN)["train"].inputs[0].view(4, 5, 3, 24, 24)
    assert (images == images[:, :1]).all()
    faces = images[:, 0].flatten(1).float()
    assert (torch.cdist(faces, faces) + 1e9 * torch.eye(4)).min() > 500  # of 1728 pixels


@pytest.mark.parametrize("key", PLAIN)
def test_every_strength_makes_a_difference(key):
    strong = {"noise": 20.0, "glasses": 0.5}.get(key, 1.0)
    images = drawn(**PLAIN | {key: strong}, num_images=8)["train"].inputs[0].view(4, 8, -1).float()
    assert (images.std(dim=1).mean(dim=1) > 0.5).all()


@pytest.mark.parametrize("image_size", [24, 64])
def test_glasses_are_drawn_on_the_face_alone(image_size):
    sizes = {"num_images": 40, "image_size": image_size}
    bare, glasses = (drawn(**PLAIN | {"glasses": share} | sizes)["train"].inputs[0] for share in (0.0, 1.0))
    changed = (bare != glasses).any(dim=1)
    assert changed.flatten(1).any(dim=1).all()
    edge = image_size // 12
    for border in (changed[:, :edge], changed[:, -edge:], changed[:, :, :edge], changed[:, :, -edge:]):
        assert not border.any()


def test_grey_pictures_have_the_brightness_of_the_coloured():
    colour, grey = (drawn(in_channels=c, noise=0.0)["train"].inputs[0].float() for c in (3, 1))
    mixed = (colour * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(dim=1, keepdim=True)
    assert grey.shape == (20, 1, 24, 24) and (grey - mixed).abs().max() <= 1
    assert DrawnFaces(in_channels=1).spec.in_channels == 1 == len(DrawnFaces(in_channels=1).spec.mean)


def test_pixels_alone_tell_people_apart_badly():
    data = DrawnFaces(num_train_people=2, num_val_people=0, image_size=32)
    whole = data.load()["test"].take(torch.arange(200))
    pixels = whole.inputs[0].flatten(1).float()
    one, two = torch.triu_indices(200, 200, 1)
    is_same = whole.target[one] == whole.target[two]
    assert 0.7 < roc_auc_score(is_same, -torch.cdist(pixels, pixels)[one, two]) < 0.9


def test_the_statistics_are_those_of_the_pictures():
    images = DrawnFaces(num_train_people=40, num_images=4, num_val_people=0, num_test_people=0).load()["train"]
    scaled = images.take(torch.arange(160)).inputs[0].float() / 255
    spec = DrawnFaces().spec
    assert torch.allclose(scaled.mean(dim=(0, 2, 3)), torch.tensor(spec.mean), atol=0.04)
    assert torch.allclose(scaled.std(dim=(0, 2, 3)), torch.tensor(spec.std), atol=0.04)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_one_person_is_no_part(part):
    with pytest.raises(ValueError, match=f"num_{part}_people must be at least 2, found 1"):
        DrawnFaces(**{f"num_{part}_people": 1})


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("data.num_val_people=1", "data=drawn_faces: num_val_people must be at least 2, found 1"),
        ("data.num_images=1", "data.num_images: must be an integer of at least 2, found 1"),
        ("data.pose=1.5", "data.pose: must be a finite number of at least 0 and at most 1, found 1.5"),
    ],
)
def test_keys_out_of_range_are_named(word, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main.main(["data=drawn_faces", word]) == 2
    assert says in capsys.readouterr().err


def test_a_batch_can_be_drawn_of_some_people_with_some_pictures_each():
    words = ["data=drawn_faces", "sampler=classes", "sampler.num_classes=3", "sampler.num_samples=4"]
    checked = check.parse(compose.tree(words, []))
    data = DrawnFaces(**FEW)
    sampler = assemble.sampler(checked, data.spec)
    parts = {"train": data.load()["train"]}
    loader = assemble.loaders(checked, parts, lambda inputs: inputs, torch.device("cpu"), sampler)["train"]
    for batch in loader.batches(epoch=0):
        assert sorted(batch.target.unique(return_counts=True)[1].tolist()) == [4, 4, 4]
