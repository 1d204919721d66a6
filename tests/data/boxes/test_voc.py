"""The format of Pascal VOC: its layouts, its first pixel, difficult objects, and the blood cells of BCCD."""

import os
from pathlib import Path

import annotated_files
import pytest
import torch

from dlrun.data.boxes.letterbox import to_image
from dlrun.data.boxes.voc import Voc
from dlrun.errors import UserError

SIZE = (40, 30)


def written(root: Path, objects: dict[str, list[tuple]], images: str = "JPEGImages", files: str = "Annotations") -> str:
    """An image and an XML file for each name; an object: class, x1, y1, x2, y2."""
    for name, listed in objects.items():
        annotated_files.paint(root / images / f"{name}.png", SIZE)
        (root / files).mkdir(parents=True, exist_ok=True)
        (root / files / f"{name}.xml").write_text(annotated_files.xml(f"{name}.png", SIZE, listed))
    return str(root)


def loaded(root: str, **keys):
    return Voc(root=root, **({"val_fraction": 0, "test_fraction": 0} | keys)).load()


def boxes(part, position: int = 0) -> list[list[float]]:
    found = to_image(part.target.boxes[position], part.target.frame[position])
    return [pytest.approx(box, abs=1e-3) for box in found.tolist()]


def refused(root: str, **keys) -> str:
    with pytest.raises(UserError) as caught:
        loaded(root, **keys)
    assert "\n" not in str(caught.value) and len(str(caught.value)) <= 400
    return str(caught.value)


ONE = {"a": [("ant", 3, 4, 13, 24)]}


@pytest.mark.parametrize("images, files", [
    ("JPEGImages", "Annotations"), ("images", "annotations"), (".", "."),
    ("VOCdevkit/VOC2007/JPEGImages", "VOCdevkit/VOC2007/Annotations"),
    ("images", "labels/xml"),
])  # fmt: skip
def test_usual_layouts(tmp_path, images, files):
    part = loaded(written(tmp_path, ONE, images, files))["train"]
    assert part.paths == [str(tmp_path / images / "a.png")] and boxes(part) == [[3, 4, 13, 24]]


def test_folders_of_parts(tmp_path):
    for part in ("train", "valid", "test"):
        written(tmp_path, {f"{part}1": ONE["a"]}, part, part)
    assert {name: len(part) for name, part in loaded(str(tmp_path), test_fraction=0.5).items()} == {
        "train": 1, "val": 1, "test": 1,
    }  # fmt: skip


def test_parts_are_split_off_where_no_list_says(tmp_path):
    root = written(tmp_path, {f"{number:02}": ONE["a"] for number in range(20)})
    counts = {name: len(part) for name, part in loaded(root, val_fraction=0.1, test_fraction=0.2).items()}
    assert counts == {"train": 14, "val": 2, "test": 4}
    lists = tmp_path / "ImageSets/Main"
    lists.mkdir(parents=True)
    (lists / "trainval.txt").write_text("".join(f"{number:02}  1\n" for number in range(15)))
    (lists / "test.txt").write_text("18\n19\n")
    counts = {name: len(part) for name, part in loaded(root, val_fraction=0.2, test_fraction=0.2).items()}
    assert counts == {"train": 12, "val": 3, "test": 2}
    (lists / "train.txt").write_text("00\n01\n")
    (lists / "val.txt").write_text("02\n77\n")
    assert "1 image without a label file: ImageSets/Main/val.txt:2: no '77.xml' in Annotations" in refused(root)
    counts = {name: len(part) for name, part in loaded(root, broken="drop").items()}
    assert counts == {"train": 2, "val": 1, "test": 2}


def test_the_first_pixel(tmp_path):
    root = written(tmp_path, {"a": [("ant", 0, 0, 40, 30)]})
    assert boxes(loaded(root)["train"]) == [[0, 0, 40, 30]]
    assert boxes(loaded(root, box_origin=0)["train"]) == [[1, 1, 40, 30]]
    root = written(tmp_path, {"a": [("ant", -1, 4, 12, 9)]})
    assert (
        "1 box at pixel 0: Annotations/a.xml:4: xmin is 0, but VOC's first pixel is 1; data.box_origin=0 if"
        in refused(root)
    )
    assert boxes(loaded(root, box_origin=0)["train"]) == [[0, 5, 12, 9]]
    root = written(tmp_path, {"a": [("ant", -1, 4, 12, 9), ("ant", -1, -1, 9, 9), ("bee", 3, -1, 9, 9)]})
    assert "3 boxes have a 0, so they seem to count from 0: data.box_origin=0; fix" in refused(root)


def test_difficult_objects_are_ignored_regions(tmp_path):
    root = written(tmp_path, {"a": [("ant", 1, 1, 9, 9)], "b": [("bee", 1, 1, 9, 9)]})
    path = tmp_path / "Annotations/a.xml"
    path.write_text(path.read_text().replace("<difficult>0", "<difficult>1"))
    target = loaded(root)["train"].take(torch.arange(2)).target
    assert [len(own) for own in target.boxes] == [0, 1] and [len(own) for own in target.ignored] == [1, 0]


def test_classes_are_the_sorted_names_of_train_or_chosen(tmp_path):
    objects = [("bee", 1, 1, 9, 9), ("Ant", 2, 2, 9, 9), ("ant", 3, 3, 9, 9)]
    root = written(tmp_path, {"a": objects})
    assert Voc(root=root).class_names == ("Ant", "ant", "bee")
    data = Voc(root=root, classes=("bee", "ant"), val_fraction=0, test_fraction=0)
    assert data.spec.class_names == ("bee", "ant") and data.load()["train"].target.labels[0].tolist() == [0, 1]
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    for part, name in (("train", "a"), ("val", "b")):
        (tmp_path / f"ImageSets/Main/{part}.txt").write_text(name)
    written(tmp_path, {"b": [("wasp", 1, 1, 9, 9)]})
    assert "Annotations/b.xml:4: class 'wasp' is in no file of train" in refused(root)
    assert [len(own) for own in loaded(root, classes=("bee",))["val"].target.boxes] == [0]


def test_stems_are_exact_and_images_without_a_file_are_counted(tmp_path, capsys):
    root = written(tmp_path, {"1": [("ant", 1, 1, 9, 9)], "10": [("ant", 2, 2, 9, 9)]})
    for name in ("11", "12"):
        annotated_files.paint(tmp_path / "JPEGImages" / f"{name}.png", SIZE)
    part = loaded(root)["train"]
    assert [Path(path).stem for path in part.paths] == ["1", "10"] and boxes(part, 1) == [[2, 2, 9, 9]]
    assert "2 images without an XML file not taken (the first: JPEGImages/11.png)" in capsys.readouterr().err
    (tmp_path / "JPEGImages/1.png").unlink()
    path = tmp_path / "Annotations/1.xml"
    path.write_text(path.read_text().replace("1.png", "C:\\\\photos\\\\7.png"))
    assert "1 label file without an image: Annotations/1.xml: no image is called '1' or '7.png'" in refused(root)
    annotated_files.paint(tmp_path / "JPEGImages/7.png", SIZE)
    assert len(loaded(root)["train"]) == 2
    for suffix in ("bmp", "gif"):
        annotated_files.paint(tmp_path / f"more/10.{suffix}", SIZE)
    (tmp_path / "JPEGImages/10.png").unlink()
    assert "Annotations/10.xml: 2 images are called '10'; keep one" in refused(root)


def test_nothing_to_train_on(tmp_path):
    assert "no object to train on in 1 XML file: they name none" in refused(written(tmp_path, {"a": []}))
    (tmp_path / "empty").mkdir()
    assert "holds no XML file; give a folder with Annotations" in refused(str(tmp_path / "empty"))
    assert "is a file; give a folder" in refused(str(tmp_path / "Annotations/a.xml"))


@pytest.mark.real
@pytest.mark.skipif("DLRUN_DATA" not in os.environ, reason="DLRUN_DATA is not set to a folder with bccd")
def test_the_blood_cells_of_bccd(capsys):
    root = Path(os.environ["DLRUN_DATA"]) / "bccd"
    line = refused(str(root))
    assert line.startswith(f"{root}: 2 boxes without area: ")
    assert "Annotations/BloodImage_00343.xml:50: x 181 to 181, y 329 to 329" in line
    assert "Annotations/BloodImage_00338.xml:158: x 504 to 504, y 337 to 337" in line
    data = Voc(root=str(root), broken="drop")
    parts = data.load()
    assert "dlrun: note: data=voc: 2 boxes without area" in capsys.readouterr().err
    assert data.class_names == ("Platelets", "RBC", "WBC")
    assert {name: len(part) for name, part in parts.items()} == {"train": 205, "val": 87, "test": 72}
    assert sum(len(own) for part in parts.values() for own in part.target.boxes) == 4886
