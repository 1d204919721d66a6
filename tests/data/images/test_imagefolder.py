"""Folders of images, well and badly laid out."""

import io
import pickle
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dlrun.data.images.imagefolder import ImageFolder
from dlrun.errors import RunError, UserError


def dot() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (1, 1), 7).save(buffer, "PNG")
    return buffer.getvalue()


DOT = dot()


def tree(root: Path, files: dict[str, bytes]) -> str:
    """Writes `files`; a name that ends in / is an empty folder."""
    for name, data in files.items():
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return str(root)


def names(part, data: ImageFolder) -> list[tuple[str, str]]:
    """(class by folder, class by the map) of each sample."""
    return [
        (Path(path).parent.name, data.class_names[label])
        for path, label in zip(part.paths, part.target.tolist(), strict=True)
    ]


def test_one_root_is_split_by_seed(tmp_path):
    files = {f"{label}/{number:02}.png": DOT for label in ("cat", "ant", "bee") for number in range(20)}
    root = tree(tmp_path, files)
    data = ImageFolder(root=root, image_size=4)
    parts = data.load()
    assert data.class_names == data.spec.class_names == ("ant", "bee", "cat") and data.spec.out_features == 3
    assert {name: len(part) for name, part in parts.items()} == {"train": 48, "val": 6, "test": 6}
    paths = [path for part in parts.values() for path in part.paths]
    assert sorted(paths) == sorted(str(tmp_path / name) for name in files)
    assert all(folder == label for part in parts.values() for folder, label in names(part, data))
    assert ImageFolder(root=root, image_size=4).load()["test"].paths == parts["test"].paths
    assert ImageFolder(root=root, image_size=4, split_seed=1).load()["test"].paths != parts["test"].paths


def test_parts_read_and_travel_to_workers(tmp_path):
    root = tree(tmp_path, {f"{label}/{n}.png": DOT for label in "ab" for n in range(5)})
    data = ImageFolder(root=root, image_size=(6, 8), in_channels=1, val_fraction=0, test_fraction=0)
    (part,) = data.load().values()
    assert (data.spec.in_channels, data.spec.image_size, len(data.spec.mean)) == (1, (6, 8), 1)
    assert part.target.tolist() == [0] * 5 + [1] * 5 and part.target.dtype == torch.int64
    (images,) = part.take(torch.arange(len(part))).inputs
    assert part.nbytes() == images.nbytes
    copied = pickle.loads(pickle.dumps(part))
    (image,) = part.take(torch.tensor([3])).inputs
    assert torch.equal(copied.take(torch.tensor([3])).inputs[0], image) and image.shape == (1, 1, 6, 8)


@pytest.mark.parametrize("val", ["val", "valid", "Validation", "VAL"])
def test_folders_of_parts_are_kept(tmp_path, val):
    files = {f"{part}/{label}/{n}.png": DOT for part in ("train", val, "test") for label in "ab" for n in range(3)}
    data = ImageFolder(root=tree(tmp_path, files))
    parts = data.load()
    assert {name: len(part) for name, part in parts.items()} == {"train": 6, "val": 6, "test": 6}
    for name, part in parts.items():
        assert {Path(path).parent.parent.name for path in part.paths} == {val if name == "val" else name}


def test_a_missing_part_is_split_off_from_train(tmp_path):
    files = {f"{part}/{label}/{n}.png": DOT for part in ("train", "test") for label in "ab" for n in range(10)}
    data = ImageFolder(root=tree(tmp_path, files), val_fraction=0.2)
    assert {name: len(part) for name, part in data.load().items()} == {"train": 16, "val": 4, "test": 20}


def test_a_class_may_be_called_train(tmp_path):
    files = {f"{label}/{n}.jpg": DOT for label in ("car", "train", "test") for n in range(10)}
    data = ImageFolder(root=tree(tmp_path, files))
    assert data.class_names == ("car", "test", "train")
    assert {name: len(part) for name, part in data.load().items()} == {"train": 24, "val": 3, "test": 3}


def test_clutter_is_ignored(tmp_path):
    files = {f"{label}/{n}.PNG": DOT for label in "ab" for n in range(5)}
    clutter = {
        ".ipynb_checkpoints/x.png": DOT, "__MACOSX/a/x.png": DOT, "@eaDir/x.png": DOT, ".DS_Store": b"x",
        "README.txt": b"x", "a/.DS_Store": b"x", "a/._0.PNG": b"x", "a/Thumbs.db": b"x",
        "a/.ipynb_checkpoints/0.png": DOT,
    }  # fmt: skip
    data = ImageFolder(root=tree(tmp_path, files | clutter), val_fraction=0, test_fraction=0)
    assert data.class_names == ("a", "b") and len(data.load()["train"]) == 10


TWO = {"a/1.png": DOT, "b/1.png": DOT}
PARTS = {f"train/{name}": data for name, data in TWO.items()}
REFUSED = {
    "no folder": ({}, r"data\.root: no folder .*root; give a folder with one folder of images a class"),
    "empty": ({"./": b""}, "holds no class folder; at least 2 are needed"),
    "images only": ({"1.png": DOT}, "holds no class folder; at least 2 are needed"),
    "one class": ({"a/1.png": DOT}, "holds only the class folder a; at least 2"),
    "hidden class": ({"a/1.png": DOT, ".b/1.png": DOT}, "holds only the class folder a; at least 2"),
    "empty class": (TWO | {"c/": b""}, r"class folder .*root/c has no images: it is empty; add some or remove"),
    "hidden files only": (TWO | {"c/.x.png": DOT}, r"class folder .*root/c has no images: it is empty"),
    "no image": (TWO | {"c/1.txt": b"x", "c/2.pdf": b"x"}, r"root/c has no images: none of its 2 files is an image \("),
    "deeper": (TWO | {"a/more/1.png": DOT}, r"class folder .*root/a holds the folder more; images must lie directly"),
    "a level too high": ({"x/a/1.png": DOT, "y/a/1.png": DOT}, "root/x holds the folder a; images must lie directly"),
    "empty class in val": (PARTS | {"val/a/": b"", "val/b/1.png": DOT}, r"class folder .*root/val/a has no images"),
    "class only in val": (PARTS | {"val/c/1.png": DOT}, r"root/val has the class c, unknown to train \(.*: a, b\)"),
    "class only in test": (PARTS | {"test/A/1.png": DOT}, r"root/test has the class A, unknown to train \(.*: a, b\)"),
    "no train": ({"val/a/1.png": DOT, "test/a/1.png": DOT}, "has a folder for test, val but none for train"),
    "val twice": (
        PARTS | {"val/a/1.png": DOT, "valid/a/1.png": DOT},
        "root/val and .*root/valid both stand for the val",
    ),
    "too few": (TWO, "2 samples are too few for train, val, test"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_folders(tmp_path, name):
    files, reason = REFUSED[name]
    root = tmp_path / "root"
    tree(root, files)
    with pytest.raises(UserError, match=reason) as caught:
        ImageFolder(root=str(root)).load()
    assert "\n" not in str(caught.value)


def test_a_root_must_be_given():
    with pytest.raises(UserError, match=r"data\.root: no folder given; write data\.root=FOLDER"):
        ImageFolder()


def test_verify_names_the_first_broken_images(tmp_path):
    root = tree(tmp_path, {f"{label}/{n}.png": DOT for label in "ab" for n in range(6)})
    broken = [tmp_path / "a/2.png", tmp_path / "a/4.png", tmp_path / "b/0.png", tmp_path / "b/5.png"]
    for path in broken:
        path.write_bytes(b"oops")
    (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(UserError) as caught:
        ImageFolder(root=root).load()
    line = str(caught.value)
    assert line.startswith("data.root: 5 of 13 images are broken: ") and line.endswith("; and 2 more")
    assert all(str(path) in line for path in broken[:2]) and str(tmp_path / "a" / "gone.png") in line
    assert "\n" not in line

    part = ImageFolder(root=root, verify="none", val_fraction=0, test_fraction=0).load()["train"]
    with pytest.raises(RunError, match=r"a/2\.png: cannot be decoded"):
        part.take(torch.tensor([2]))


CLASS = st.text(st.sampled_from("abAé1 -_.T"), min_size=1, max_size=4).filter(lambda name: name.strip(". ") == name)
CLASSES = st.sets(CLASS.filter(lambda name: not name.startswith("_")), max_size=4)


@settings(max_examples=200, deadline=None)
@given(
    train=CLASSES, val=st.none() | CLASSES, test=st.none() | CLASSES, subset=st.booleans(),
    hidden=st.sampled_from(["", ".hidden", "__MACOSX", ".ipynb_checkpoints"]), images=st.integers(2, 4),
)  # fmt: skip
def test_the_class_map_is_never_wrong(train, val, test, subset, hidden, images):
    given_parts = {"train": train, "val": val, "test": test}
    if subset:  # else a class that train lacks is nearly always there
        given_parts = {name: part and part & train for name, part in given_parts.items()}
    with tempfile.TemporaryDirectory() as folder:
        for part, labels in given_parts.items():
            for label in labels or ():
                tree(Path(folder), {f"{part}/{label}/{n}.png": DOT for n in range(images)})
            if labels and hidden:
                tree(Path(folder), {f"{part}/{hidden}/0.png": DOT})
        evaluated = (given_parts["val"] or set()) | (given_parts["test"] or set())
        try:
            data = ImageFolder(root=folder, verify="none")
            assert data.class_names
        except UserError:
            assert len(train) < 2 or evaluated - train
            return
        assert evaluated <= train and data.class_names == tuple(sorted(train))
        for part in data.load().values():
            assert all(folder_name == label for folder_name, label in names(part, data))
