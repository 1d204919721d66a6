"""Folders of people, well and badly laid out."""

import io
import pickle
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dlrun.cli import main
from dlrun.data.faces.folder import FaceFolder
from dlrun.errors import RunError, UserError


def image(color=7, size=(1, 1), mode="L", format="PNG"):
    buffer = io.BytesIO()
    Image.new(mode, size, color).save(buffer, format)
    return buffer.getvalue()


DOT, PGM = image(), image(size=(92, 112), format="PPM")
RED = image((200, 10, 10), mode="RGB")


def tree(root, files):
    """Writes `files`; a name that ends in / is an empty folder."""
    for name, data in files.items():
        path = Path(root, name)
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return str(root)


def people(num, images=2, data=DOT, above=""):
    return {f"{above}p{k:02}/{n}.png": data for k in range(num) for n in range(images)}


def folders_of(part):
    return {Path(path).parent.name for path in part.paths}


def test_the_layout_of_att_is_read_as_it_comes(tmp_path):
    files = {f"s{k}/{n}.pgm": PGM for k in range(1, 41) for n in range(1, 4)} | {"README": b"The ORL faces\n"}
    data = FaceFolder(root=tree(tmp_path, files), image_size=(112, 92))
    parts = data.load()
    assert {name: (len(part), len(folders_of(part))) for name, part in parts.items()} == {
        "train": (66, 22), "val": (24, 8), "test": (30, 10),
    }  # fmt: skip
    spec = data.spec
    assert (spec.target, spec.in_channels, spec.image_size, spec.out_features) == ("identity", 1, (112, 92), 40)
    for part in parts.values():
        named = [spec.class_names[number] for number in part.labels.tolist()]
        assert named == [Path(path).parent.name for path in part.paths] and part.labels.dtype == torch.int64
    batch = parts["test"].take(torch.arange(2))
    assert batch.inputs[0].shape == (2, 1, 112, 92) and (batch.inputs[0] == 7).all()
    copied = pickle.loads(pickle.dumps(parts["test"]))
    assert torch.equal(copied.take(torch.arange(2)).inputs[0], batch.inputs[0])
    assert parts["train"].nbytes() == 66 * 112 * 92


def test_images_of_any_size_and_kind_become_one_size(tmp_path):
    files = people(4)
    files |= {"p00/a.jpg": image((9, 9, 9), (30, 20), "RGB", "JPEG"), "p01/b.BMP": image(size=(3, 50), format="BMP")}
    data = FaceFolder(root=tree(tmp_path, files), image_size=16, val_fraction=0, test_fraction=0)
    (part,) = data.load().values()
    assert len(part) == 10 and part.take(torch.arange(10)).inputs[0].shape == (10, 3, 16, 16)


@pytest.mark.parametrize(
    ("data", "in_channels", "found"),
    [
        (DOT, None, 1), (RED, None, 3), (DOT, 3, 3), (RED, 1, 1), (image(1, mode="1"), None, 1),
        (image(300, mode="I;16"), None, 1), (image((9, 9), mode="LA"), None, 1),
    ],
)  # fmt: skip
def test_grey_is_what_no_file_has_colours_in(tmp_path, data, in_channels, found):
    files = people(6) | {"p03/9.png": data}
    made = FaceFolder(root=tree(tmp_path, files), image_size=2, in_channels=in_channels)
    assert made.spec.in_channels == len(made.spec.mean) == found
    assert made.load()["train"].take(torch.tensor([0])).inputs[0].shape == (1, found, 2, 2)


@pytest.mark.parametrize("val", ["val", "valid", "Validation"])
def test_folders_of_parts_are_kept(tmp_path, val):
    files = people(3, above="train/")
    files |= {f"{val}/{name}/1.png": DOT for name in "xyz"} | {f"test/{name}/1.png": DOT for name in "ab"}
    data = FaceFolder(root=tree(tmp_path, files))
    parts = data.load()
    assert {name: folders_of(part) for name, part in parts.items()} == {
        "train": {"p00", "p01", "p02"}, "val": {"x", "y", "z"}, "test": {"a", "b"},
    }  # fmt: skip
    assert data.spec.out_features == 8


def test_a_missing_part_is_split_off_by_person(tmp_path):
    files = people(10, above="train/") | {f"test/{name}/1.png": DOT for name in "ab"}
    parts = FaceFolder(root=tree(tmp_path, files)).load()
    assert {name: len(folders_of(part)) for name, part in parts.items()} == {"train": 8, "val": 2, "test": 2}


def test_clutter_is_ignored(tmp_path):
    clutter = {
        ".cache/x.png": DOT, "__MACOSX/p00/x.png": DOT, "@eaDir/x.png": DOT, "README.txt": b"x", "loose.png": DOT,
        "p00/.DS_Store": b"x", "p00/._0.png": b"x", "p00/Thumbs.db": b"x", "p00/notes.txt": b"x",
    }  # fmt: skip
    data = FaceFolder(root=tree(tmp_path, people(2) | clutter), val_fraction=0, test_fraction=0)
    assert data.spec.class_names == ("p00", "p01") and len(data.load()["train"]) == 4


def test_people_with_one_image_are_tested_on_and_named_when_the_data_are_read(tmp_path, capsys):
    data = FaceFolder(root=tree(tmp_path, people(8) | {"zoe/1.png": DOT}))
    assert capsys.readouterr().err == ""
    assert "zoe" in folders_of(data.load()["test"])
    assert "dlrun: note: data=faces: 1 person (zoe) with a single image" in capsys.readouterr().err
    assert FaceFolder(root=str(tmp_path), min_images=2).spec.out_features == 8


PARTS = people(4, above="train/")
REFUSED = {
    "no folder": ({}, r"data\.root: no folder .*root; give a folder with one folder of images a person"),
    "empty": ({"./": b""}, r"data\.root: .*root holds no folder of a person; give a folder with one folder of images"),
    "images only": ({"1.png": DOT}, "root holds no folder of a person"),
    "two people": (people(2), r"2 people \(p00, p01\) with two or more images are too few for train, val, test"),
    "empty person": (people(8) | {"zoe/": b""}, r"person folder .*root/zoe has no images: it is empty; add some or re"),
    "no image": (people(8) | {"zoe/1.txt": b"x"}, r"root/zoe has no images: none of its 1 files is an image \("),
    "deeper": (
        people(8) | {"zoe/more/1.png": DOT},
        "person folder .*root/zoe holds the folder more; .*in their person",
    ),
    "no train": ({"test/a/1.png": DOT}, "has a folder for test but none for train"),
    "in two parts": (PARTS | {"test/p01/1.png": DOT, "test/x/1.png": DOT}, "p01 is in train and test; nobody may be"),
    "one to test on": (PARTS | {"test/x/1.png": DOT}, r"1 person \(x\) in test; at least 2 are needed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_folders(tmp_path, name):
    files, reason = REFUSED[name]
    tree(tmp_path / "root", files) if files else None
    with pytest.raises(UserError, match=reason) as caught:
        FaceFolder(root=str(tmp_path / "root")).load()
    assert "\n" not in str(caught.value)


def test_a_root_must_be_given(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main.main(["data=faces"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("dlrun: error: data.root: no folder given; write data.root=FOLDER") and err.count("\n") == 1


def test_broken_images_are_named(tmp_path):
    root = tree(tmp_path, people(8) | {"p01/1.png": b"oops"})
    with pytest.raises(UserError, match=r"^data\.root: 1 of 16 images are broken: .*p01/1\.png: cannot be decoded"):
        FaceFolder(root=root).load()
    part = FaceFolder(root=root, verify="none", val_fraction=0, test_fraction=0).load()["train"]
    with pytest.raises(RunError, match=r"p01/1\.png: cannot be decoded"):
        part.take(torch.arange(len(part)))


NAMES = st.lists(st.sampled_from([f"{a}{b}" for a in "abçD1_" for b in "xy -2"]), max_size=12, unique=True)


@settings(max_examples=50, deadline=None)
@given(
    train=NAMES, test=st.none() | NAMES, counts=st.lists(st.integers(1, 3), min_size=12, max_size=12),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_nobody_is_in_two_parts_and_no_number_is_wrong(train, test, counts, seed):
    with tempfile.TemporaryDirectory() as folder:
        above = "" if test is None else "train/"
        for part, names in ((above, train), ("test/", test or ())):
            for name, count in zip(names, counts, strict=False):
                tree(folder, {f"{part}{name}/{n}.png": DOT for n in range(count)})
        try:
            data = FaceFolder(root=folder, verify="none", in_channels=1, split_seed=seed)
            parts = data.load()
        except UserError as error:
            assert "\n" not in str(error)
            return
        found = [name for part in parts.values() for name in folders_of(part)]
        assert len(found) == len(set(found)) == data.spec.out_features
        for part in parts.values():
            named = [data.spec.class_names[number] for number in part.labels.tolist()]
            assert named == [Path(path).parent.name for path in part.paths]
