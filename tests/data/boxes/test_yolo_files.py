"""Ultralytics' format: its layouts, rows, and what is missing."""

from pathlib import Path

import annotated_files
import pytest
import torch

from dlrun.data.boxes.letterbox import to_image
from dlrun.data.boxes.yolo import Yolo
from dlrun.errors import UserError


def tree(root: Path, files: dict[str, str | tuple[int, int]]) -> str:
    """Writes texts, and images of a size."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, tuple):
            annotated_files.paint(path, content)
        else:
            path.write_text(content)
    return str(root)


def loaded(root: str, **keys):
    return Yolo(root=root, val_fraction=0, test_fraction=0, **keys).load()


def refused(root: str, **keys) -> str:
    with pytest.raises(UserError) as caught:
        loaded(root, **keys)
    assert "\n" not in str(caught.value) and len(str(caught.value)) <= 400
    return str(caught.value)


ROW = "0 0.5 0.5 0.5 0.25\n"
SIZE = (40, 20)
LAYOUTS = {
    "parts below images": {
        "data.yaml": "train: images/train\nval: images/val\nnames: [ant]\n",
        "images/train/a.png": SIZE, "labels/train/a.txt": ROW, "images/val/b.png": SIZE, "labels/val/b.txt": ROW,
    },
    "roboflow": {
        "data.yaml": "train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['ant']\n", "README.dataset.txt": "x",
        "train/images/a.png": SIZE, "train/labels/a.txt": ROW, "valid/images/b.png": SIZE, "valid/labels/b.txt": ROW,
    },
    "lists": {
        "coco.yaml": "path: .\ntrain: train.txt\nval: val.txt\nnames:\n  0: ant\n", "train.txt": "./images/a.png\n\n",
        "val.txt": "images/b.png", "images/a.png": SIZE, "labels/a.txt": ROW, "images/b.png": SIZE, "labels/b.txt": ROW,
    },
    "several folders": {
        "data.yaml": "path: data\ntrain: [x/images, y/images]\nval: val\nnames: {0: ant}\n",
        "data/x/images/a.png": SIZE,
        "data/x/labels/a.txt": ROW, "data/y/images/sub/c.png": SIZE, "data/y/labels/sub/c.txt": ROW,
        "data/val/b.png": SIZE, "data/val/b.txt": ROW,
    },
    "no yaml": {
        "classes.txt": "ant\n", "images/train/a.png": SIZE, "labels/train/a.txt": ROW, "images/val/b.png": SIZE,
        "labels/val/b.txt": ROW,
    },
    "darknet": {
        "obj.names": "ant\n", "obj.data": "classes = 1\n", "train.txt": "data/obj_train_data/a.png\n",
        "valid.txt": "data/obj_train_data/b.png\n", "obj_train_data/a.png": SIZE, "obj_train_data/a.txt": ROW,
        "obj_train_data/b.png": SIZE, "obj_train_data/b.txt": ROW,
    },
    "images above images": {
        "images/set/data.yaml": "train: images/train\nval: images/val\nnames: [ant]\n",
        "images/set/images/train/a.png": SIZE, "images/set/labels/train/a.txt": ROW,
        "images/set/images/val/b.png": SIZE, "images/set/labels/val/b.txt": ROW,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_usual_layouts(tmp_path, name):
    tree(tmp_path, LAYOUTS[name])
    root = tmp_path / "images/set" if name == "images above images" else tmp_path
    yaml = next(iter(root.glob("*.yaml")), None)
    for place in [root, *([yaml] if yaml else [])]:
        parts = loaded(str(place))
        assert {key: len(part) for key, part in parts.items()} == {"train": 1 + (name == "several folders"), "val": 1}
        for part in parts.values():
            for boxes, labels, frame in zip(part.target.boxes, part.target.labels, part.target.frame, strict=True):
                assert labels.tolist() == [0]
                assert to_image(boxes, frame)[0].tolist() == pytest.approx([10, 7.5, 30, 12.5], abs=1e-3)


def test_numbers_are_names_where_there_are_none(tmp_path):
    root = tree(
        tmp_path, {"a.png": SIZE, "a.txt": "7 0.5 0.5 0.5 0.5\n2.0 0.5 0.5 0.2 0.2\n", "b.png": SIZE, "b.txt": ""}
    )
    data = Yolo(root=root, val_fraction=0, test_fraction=0)
    assert data.class_names == ("2", "7")
    part = data.load()["train"]
    assert [labels.tolist() for labels in part.target.labels] == [[1, 0], []]


def test_numbers_with_gaps_become_labels_without(tmp_path):
    files = LAYOUTS["parts below images"] | {"data.yaml": "train: images/train\nnames: {3: ant, 8: yes, 5: bee}\n"}
    root = tree(tmp_path, files | {"labels/train/a.txt": "8 0.5 0.5 0.2 0.2\n5 0.5 0.5 0.1 0.1"})
    data = Yolo(root=root, val_fraction=0, test_fraction=0)
    assert data.class_names == ("ant", "bee", "True") and data.load()["train"].target.labels[0].tolist() == [2, 1]
    data = Yolo(root=root, val_fraction=0, test_fraction=0, classes=("bee",))
    assert data.load()["train"].target.labels[0].tolist() == [0]


def test_an_empty_file_is_no_missing_file(tmp_path, capsys):
    files = {
        "images/a.png": SIZE,
        "labels/a.txt": ROW,
        "images/b.png": SIZE,
        "labels/b.txt": "\n",
        "classes.txt": "ant",
    }
    root = tree(tmp_path, files | {f"images/c{number}.png": SIZE for number in range(5)})
    line = refused(root)
    assert "5 images without a label file: images/c0.png: no labels/c0.txt; images/c1" in line
    assert "; data.unlabelled=empty if nothing is there; fix them, or data.broken=drop leaves them out" in line
    assert [len(boxes) for boxes in loaded(root, unlabelled="empty")["train"].target.boxes] == [1, 0, 0, 0, 0, 0, 0]
    capsys.readouterr()
    assert [len(boxes) for boxes in loaded(root, broken="drop")["train"].target.boxes] == [1, 0]
    assert "note: data=yolo: 5 images without a label file left out (images/c0" in capsys.readouterr().err


def test_a_label_file_without_an_image_is_named(tmp_path):
    files = {"images/a.png": SIZE, "labels/a.txt": ROW, "labels/aa.txt": ROW, "labels/classes.txt": "ant"}
    assert "1 label file without an image: labels/aa.txt: no image of this name in images" in refused(
        tree(tmp_path, files)
    )


def test_outlines_and_key_points(tmp_path):
    files = {"images/a.png": SIZE, "labels/a.txt": "0 0.25 0.1 0.75 0.1 0.75 0.9 0.25 0.9\n", "classes.txt": "ant"}
    root = tree(tmp_path, files)
    target = loaded(root, learn="instances", image_size=(20, 40))["train"].take(torch.tensor([0])).target
    assert to_image(target.boxes[0], target.frame[0])[0].tolist() == pytest.approx([10, 2, 30, 18], abs=1e-3)
    rows, columns = torch.nonzero(target.masks[0][0]).unbind(1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 17, 10, 29)
    assert "object without an outline" in refused(tree(tmp_path, {"labels/a.txt": ROW}), learn="instances")
    points = {
        "data.yaml": "train: images\nnames: [ant]\nkpt_shape: [2, 3]",
        "labels/a.txt": ROW.strip() + " 0.4 0.5 2 0 0 0",
    }
    part = loaded(tree(tmp_path, points))["train"]
    assert to_image(part.target.boxes[0], part.target.frame[0])[0].tolist() == pytest.approx(
        [10, 7.5, 30, 12.5], abs=1e-3
    )


FAULTS = {
    "class": ("1 0.5 0.5 0.5 0.5", "object of an unknown class: labels/a.txt:2: class 1 is none of the 1: 0 (ant)"),
    "word": ("ant 0.5 0.5 0.5 0.5", "row that is broken: labels/a.txt:2: 'ant' is no finite number"),
    "pixels": (
        "0 20 10 10 10",
        "outside of its image: labels/a.txt:2: x 600 to 1000, y 100 to 300; its image is 40x20, and",
    ),
    "short": ("0 0.5 0.5 0.5", "labels/a.txt:2: 4 numbers; a row is `class x y width height` or `class` and x y of 3"),
    "flat": ("0 0.5 0.5 0.5 0", "box without area: labels/a.txt:2: x 10 to 30, y 10 to 10"),
    "nan": ("0 0.5 nan 0.5 0.5", "labels/a.txt:2: 'nan' is no finite number"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_name_the_row(tmp_path, name):
    row, reason = FAULTS[name]
    root = tree(tmp_path, {"images/a.png": SIZE, "labels/a.txt": f"{ROW}{row}\n", "classes.txt": "ant"})
    assert f"{root}: 1 " in (line := refused(root)) and reason in line
    assert len(loaded(root, broken="drop")["train"].target.boxes[0]) == 1


def test_a_test_folder_that_is_not_there_is_noted(tmp_path, capsys):
    files = LAYOUTS["roboflow"]
    root = tree(tmp_path, files | {"data.yaml": files["data.yaml"] + "test: ../test/images\n"})
    assert set(loaded(root)) == {"train", "val"}
    assert "data.yaml: test: no folder or list '../test/images'; taken for none" in capsys.readouterr().err
    tree(tmp_path, {"data.yaml": "train: train/images\nval: gone\nnames: [ant]"})
    assert "data.yaml: val: no folder or list 'gone' below" in refused(root)


def test_what_describes_the_data_must_be_clear(tmp_path):
    root = tree(tmp_path, {"a.yaml": "x: 1", "b.yaml": "x: 1"})
    assert "holds a.yaml, b.yaml; name the right one by data.root=FILE.yaml" in refused(root)
    assert "no train; it must name a folder of images" in refused(str(tmp_path / "a.yaml"))
    assert "is no .yaml file" in refused(tree(tmp_path, {"c.txt": "x"}) + "/c.txt")
    (tmp_path / "empty").mkdir()
    assert "holds no images to train on" in refused(str(tmp_path / "empty"))


def test_bombs_of_aliases_are_harmless(tmp_path):
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    text = "\n".join([*lines, "train: *a39", "names: *a39"])
    assert "data.yaml: train must be a folder" in refused(tree(tmp_path, {"data.yaml": text, "images/a.png": SIZE}))
