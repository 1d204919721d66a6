"""Classes of other data as identities: each image keeps its class, and no class is in two parts."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dlrun.cli import main
from dlrun.data import DATA
from dlrun.data.faces.identities import Identities
from dlrun.data.images.digits import Digits
from dlrun.engine.parts import FilePart
from dlrun.errors import UserError


def names_by_image(data, parts, class_names):
    """What each image is called, by its pixels."""
    found = {}
    for part in parts.values():
        batch = part.take(torch.arange(len(part)))
        for image, label in zip(batch.inputs[0], batch.target.tolist(), strict=True):
            found.setdefault(image.numpy().tobytes(), set()).add(class_names[label])
    return found


DIGITS = names_by_image(Digits(), Digits().load(), Digits().spec.class_names)
TURNS = ["", "turned left", "upside down", "turned right"]


def test_digits_0_to_4_are_trained_on_and_7_to_9_tested():
    data = Identities()
    parts = data.load()
    assert {name: part.labels.unique().tolist() for name, part in parts.items()} == {
        "train": [0, 1, 2, 3, 4], "val": [5, 6], "test": [7, 8, 9],
    }  # fmt: skip
    assert sum(len(part) for part in parts.values()) == 1797
    spec = data.spec
    assert (spec.target, spec.out_features, spec.in_channels, spec.image_size) == ("identity", 10, 1, (28, 28))
    assert (spec.mean, spec.std) == (Digits().spec.mean, Digits().spec.std)
    assert names_by_image(data, parts, spec.class_names) == DIGITS
    assert parts["train"].labels.dtype == torch.int64


def test_without_classes_for_it_there_is_no_val_part():
    parts = Identities(val_classes=()).load()
    assert {name: part.labels.unique().tolist() for name, part in parts.items()} == {
        "train": list(range(7)), "test": [7, 8, 9],
    }  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(number=st.sampled_from([4, 8]), data=st.data())
def test_each_orientation_of_a_class_is_a_class_of_its_own(number, data):
    made = Identities(val_classes=(), orientations=number)
    plain, parts = Identities(val_classes=()).load(), made.load()
    names, train = made.spec.class_names, parts["train"]
    assert len(names) == len(set(names)) == made.spec.out_features == 10 + (number - 1) * 7
    assert names[:10] == tuple(map(str, range(10)))
    assert len(train) == number * len(plain["train"])
    assert torch.equal(parts["test"].labels, plain["test"].labels)
    index = torch.tensor(data.draw(st.lists(st.integers(0, len(train) - 1), min_size=1, max_size=9)))
    for part in (train.subset(index), train.to(torch.device("cpu")).subset(index)):
        batch = part.take(torch.arange(len(index)))
        assert torch.equal(batch.index, torch.arange(len(index)))
        assert torch.equal(batch.target, part.labels)
        assert torch.equal(batch.target, train.labels[index])
        for image, label in zip(batch.inputs[0], batch.target.tolist(), strict=True):
            name, _, turn = names[label].partition(" ")
            back = image.flip(2) if turn.endswith("mirrored") else image
            quarters = TURNS.index(turn.removesuffix("mirrored").strip())
            back = back.rot90(-quarters, (1, 2))
            assert DIGITS[back.contiguous().numpy().tobytes()] == {name}


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(10)), ends=st.tuples(st.integers(2, 4), st.sampled_from([0, 2, 3])))
def test_every_image_is_of_its_class_in_any_order(order, ends):
    train, val = ends
    chosen = order[:train], order[train : train + val], order[train + val :][:3]
    data = Identities(
        train_classes=tuple(chosen[0]), val_classes=tuple(map(str, chosen[1])), test_classes=tuple(chosen[2])
    )
    parts = data.load()
    assert data.spec.class_names == tuple(str(k) for own in chosen for k in own)
    named = {
        name: [data.spec.class_names[k] for k in part.labels.unique().tolist()] for name, part in parts.items()
    }  # fmt: skip
    assert named == {
        name: [str(k) for k in own] for name, own in zip(("train", "val", "test"), chosen, strict=True) if own
    }  # fmt: skip
    for image, found in names_by_image(data, parts, data.spec.class_names).items():
        assert found <= DIGITS[image]


def test_a_folder_of_images_stays_on_the_disk(tmp_path):
    for k, name in enumerate(["ant", "bee", "cat", "dog", "elk", "fox"]):
        (tmp_path / name).mkdir()
        for number in range(5):
            Image.new("RGB", (4, 4), (40 * k, number, 0)).save(tmp_path / name / f"{number}.png")
    data = Identities(source="imagefolder", root=str(tmp_path), val_classes=("fox", "ant"), test_classes=(3, 4))
    parts = data.load()
    assert all(isinstance(part, FilePart) for part in parts.values())
    assert data.spec.class_names == ("bee", "cat", "fox", "ant", "dog", "elk")
    for part in parts.values():
        named = [data.spec.class_names[label] for label in part.labels.tolist()]
        assert len(part) == 10 and [path.split("/")[-2] for path in part.paths] == named
    (image,) = parts["val"].take(torch.tensor([0])).inputs
    assert image.shape == (1, 3, 64, 64)


NO_IMAGES = "is no data set of images by class"
REFUSED = {
    "unknown": (
        {"source": "digitz"},
        rf"^data\.source: 'digitz' {NO_IMAGES}; did you mean digits\? \(those are cifar10",
    ),
    "no classes": ({"source": "photos"}, rf"^data\.source: 'photos' {NO_IMAGES} \(those are cifar10, cifar100"),
    "no images": ({"source": "iris"}, rf"^data\.source: 'iris' {NO_IMAGES} \(.*, synthetic\)$"),
    "itself": ({"source": "identities"}, rf"^data\.source: 'identities' {NO_IMAGES}"),
    "no root": ({"root": "/x"}, r"^data\.root: data=digits reads no files, found /x; leave it out"),
    "name": ({"val_classes": ("seven", "6")}, r"^data\.val_classes: data=digits has no class 'seven'; give a name or"),
    "near": ({"source": "fashion_mnist", "val_classes": ("Snaeker", 1)}, r"no class 'Snaeker'; did you mean Sneaker\?"),
    "number": ({"test_classes": (8, 10)}, r"^data\.test_classes: data=digits has no class 10; .* from 0 to 9 \(its"),
    "negative": ({"test_classes": (8, -1)}, "has no class -1"),
    "twice": ({"val_classes": (5, "5")}, "class 5 is named twice in"),
    "in two parts": ({"val_classes": (5, 7)}, r"^data=identities: class 7 is named twice in data\.train_classes"),
    "one": ({"val_classes": (5,)}, r"^data\.val_classes: at least 2 classes are needed, .*, found 5; the classes of"),
    "none to train on": ({"train_classes": ()}, r"^data\.train_classes: at least 2 classes are needed, .* found none"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_keys_are_named(name):
    keys, says = REFUSED[name]
    with pytest.raises(UserError, match=says) as caught:
        Identities(**keys).load()
    assert "\n" not in str(caught.value)


def test_a_class_without_images_is_named(monkeypatch):
    class Sparse(Digits):
        """Digits without any 3."""

        def load(self):
            return {name: part.subset((part.labels != 3).nonzero().flatten()) for name, part in super().load().items()}

    monkeypatch.setitem(DATA._targets, "sparse", Sparse)
    with pytest.raises(UserError, match=r"^data=identities: there is no image of class 3$"):
        Identities(source="sparse").load()
    assert Identities(source="sparse", train_classes=(0, 1)).spec.out_features == 7


def test_the_command_line_takes_names_and_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main.main(["data=identities", "data.test_classes=[7,'8',nine]"]) == 2
    assert capsys.readouterr().err.startswith("dlrun: error: data.test_classes: data=digits has no class 'nine'")


def test_classes_of_a_folder_are_found_again_after_it_has_grown(tmp_path):
    def draw(label, number):
        (tmp_path / label).mkdir(exist_ok=True)
        Image.new("RGB", (4, 4), (ord(label), number, 0)).save(tmp_path / label / f"{number}.png")

    for label in "abcdef":
        for number in range(5):
            draw(label, number)
    keys = dict(source="imagefolder", root=str(tmp_path), val_classes=("a", "b"), test_classes=("c", "d"))
    first = Identities(**keys)
    parts = first.load()
    assert first.found is not None
    draw("c", 77)
    draw("g", 1)
    again = Identities(**keys)
    again.kept, again.offered = first.found, first.spec
    found = again.load()
    assert again.spec == first.spec
    assert {part: own.paths for part, own in found.items()} == {part: own.paths for part, own in parts.items()}
