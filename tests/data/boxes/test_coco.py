"""COCO's format: its layouts, ids, crowds, and outlines against pycocotools."""

import itertools
import json
import os
import pickle
import random
from pathlib import Path

import annotated_files
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as oracle

from dlrun.data.boxes.coco import Coco
from dlrun.data.boxes.letterbox import to_image
from dlrun.data.boxes.outlines import InstanceFiles, mask_of, outline_of
from dlrun.data.boxes.voc import Voc
from dlrun.data.boxes.yolo import Yolo
from dlrun.errors import UserError

FORMATS = {"coco": Coco, "yolo": Yolo, "voc": Voc}


def seen(parts: dict) -> dict:
    """For each part and image the boxes, in pixels of the image, and labels."""
    found = {}
    for name, part in parts.items():
        for path, boxes, labels, frame in zip(
            part.paths, part.target.boxes, part.target.labels, part.target.frame, strict=True
        ):
            pixels = to_image(boxes, frame).round(decimals=3).tolist()
            found[name, Path(path).stem] = sorted(zip(labels.tolist(), pixels, strict=True))
    return found


def written(path: Path, content: dict) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return str(path)


def one(tmp_path: Path, boxes: list, size: tuple[int, int] = (40, 30), **changes) -> dict:
    """A file with one image and an annotation for each of `boxes`, which may be further keys as well."""
    annotated_files.paint(tmp_path / "a.png", size)
    annotations = [
        {"id": number, "image_id": 0, "category_id": 0} | (box if isinstance(box, dict) else {"bbox": box})
        for number, box in enumerate(boxes)
    ]
    images = [{"id": 0, "file_name": "a.png", "width": size[0], "height": size[1]}]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "ant"}]}
    return content | changes


def loaded(path: str, **keys):
    return Coco(root=path, val_fraction=0, test_fraction=0, **keys).load()["train"]


def refused(path: str, **keys) -> str:
    with pytest.raises(UserError) as caught:
        loaded(path, **keys)
    assert "\n" not in str(caught.value) and len(str(caught.value)) <= 400
    return str(caught.value)


def test_the_three_formats_say_the_same(tmp_path):
    expected = {
        (part, name): sorted([annotated_files.NAMES.index(label), list(map(float, box))] for label, *box in objects)
        for part, images in annotated_files.IMAGES.items()
        for name, _, objects in images
    }
    for name, kind in FORMATS.items():
        data = kind(root=getattr(annotated_files, name)(tmp_path / name), image_size=(48, 64))
        assert data.spec.class_names == ("ant", "bee") and data.spec.out_features == 2 and data.spec.target == "boxes"
        found = {key: [[label, box] for label, box in value] for key, value in seen(data.load()).items()}
        assert found == {key: [[a, pytest.approx(b, abs=1e-3)] for a, b in value] for key, value in expected.items()}


@pytest.mark.real
@pytest.mark.skipif("DLRUN_DATA" not in os.environ, reason="DLRUN_DATA is not set to a folder with bccd")
def test_real_photographs_in_the_three_formats_have_the_same_boxes(tmp_path):
    keys = {"image_size": 256, "verify": "none"}
    data = Voc(root=str(Path(os.environ["DLRUN_DATA"]) / "bccd"), broken="drop", **keys)
    parts = data.load()
    wanted = seen(parts)
    categories = [{"id": 2 + 5 * k, "name": name} for k, name in enumerate(data.class_names)]
    for part, own in parts.items():
        images, annotations = [], []
        for number, path in enumerate(own.paths):
            stem, (width, height) = Path(path).stem, own.target.frame[number, 4:].int().tolist()
            for link in (tmp_path / "coco" / part, tmp_path / "yolo/images" / part):
                link.mkdir(parents=True, exist_ok=True)
                (link / f"{stem}.jpg").symlink_to(path)
            images.append({"id": number, "file_name": f"{stem}.jpg", "width": width, "height": height})
            rows = []
            for label, (x1, y1, x2, y2) in wanted[part, stem]:
                annotations.append({
                    "id": len(annotations), "image_id": number, "category_id": categories[label]["id"],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                })  # fmt: skip
                centre = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height
                rows.append(f"{label} {centre[0]} {centre[1]} {(x2 - x1) / width} {(y2 - y1) / height}\n")
            label_file = tmp_path / "yolo/labels" / part / f"{stem}.txt"
            label_file.parent.mkdir(parents=True, exist_ok=True)
            label_file.write_text("".join(rows))
        content = {"images": images, "annotations": annotations, "categories": categories}
        written(tmp_path / "coco/annotations" / f"instances_{part}.json", content)
    names = ", ".join(data.class_names)
    (tmp_path / "yolo/data.yaml").write_text(
        f"train: images/train\nval: images/val\ntest: images/test\nnames: [{names}]\n"
    )
    for kind, root in ((Coco, "coco"), (Yolo, "yolo")):
        found = seen(kind(root=str(tmp_path / root), **keys).load())
        assert found.keys() == wanted.keys()
        for key, objects in wanted.items():
            assert [label for label, _ in found[key]] == [label for label, _ in objects]
            for (_, box), (_, other) in zip(found[key], objects, strict=True):
                assert box == pytest.approx(other, abs=2e-3)


def test_parts_travel_to_workers_and_to_memory(tmp_path):
    data = Coco(root=annotated_files.coco(tmp_path), learn="instances", image_size=(48, 64), in_channels=1)
    part = data.load()["train"]
    assert isinstance(part, InstanceFiles) and data.spec.target == "instances" and len(data.spec.mean) == 1
    batch = pickle.loads(pickle.dumps(part)).take(torch.tensor([2, 0]))
    held = part.to(torch.device("cpu")).take(torch.tensor([2, 0]))
    picked = part.subset(torch.tensor([2, 0])).take(torch.tensor([0, 1]))
    assert batch.inputs[0].shape == (2, 1, 48, 64)
    for other in (held, picked):
        assert torch.equal(other.inputs[0], batch.inputs[0])
        assert all(map(torch.equal, other.target.masks, batch.target.masks))
        assert all(map(torch.equal, other.target.boxes, batch.target.boxes))
    assert [len(masks) for masks in batch.target.masks] == [0, 2] and batch.target.masks[0].shape == (0, 48, 64)
    assert batch.target.boxes[0].shape == (0, 4) and batch.target.ignored[0].shape == (0, 4)
    for mask, (x1, y1, x2, y2) in zip(batch.target.masks[1], batch.target.boxes[1].tolist(), strict=True):
        rows, columns = torch.nonzero(mask).unbind(1)
        near = [columns.min().item(), rows.min().item(), columns.max().item() + 1, rows.max().item() + 1]
        assert near == pytest.approx([x1, y1, x2, y2], abs=1)
    assert part.nbytes() == 3 * 48 * 64 + 3 * 48 * 64


def test_eighty_classes_with_gaps_in_images_of_many_sizes(tmp_path):
    chance = random.Random(0)
    numbers = sorted(chance.sample(range(1, 400), 80))
    categories = [{"id": number, "name": f"class {number}", "supercategory": "x"} for number in numbers]
    chance.shuffle(categories)
    images, annotations, expected = [], [], {}
    for number in range(20):
        size = (chance.randint(9, 90), chance.randint(9, 90))
        annotated_files.paint(tmp_path / "train" / f"{number}.png", size)
        images.append({"id": 10**12 + number, "file_name": f"{number}.png", "width": size[0], "height": size[1]})
        expected["train", str(number)] = []
        for _ in range(4):
            box = [chance.uniform(0, size[0] / 2), chance.uniform(0, size[1] / 2), size[0] / 2, size[1] / 2]
            label = len(annotations) % 80
            annotations.append({
                "id": len(annotations), "image_id": 10**12 + number, "category_id": numbers[label], "bbox": box,
            })  # fmt: skip
            corners = [box[0], box[1], box[0] + box[2], box[1] + box[3]]
            expected["train", str(number)].append((label, pytest.approx(corners, abs=2e-3)))
    chance.shuffle(annotations)
    path = written(tmp_path / "x.json", {"images": images, "annotations": annotations, "categories": categories})
    data = Coco(root=str(tmp_path), val_fraction=0, test_fraction=0)
    assert data.class_names == tuple(f"class {number}" for number in numbers) and path
    assert seen(data.load()) == {key: sorted(value, key=lambda pair: pair[0]) for key, value in expected.items()}


def test_the_order_and_the_ids_of_categories_change_nothing(tmp_path):
    first = Coco(root=annotated_files.coco(tmp_path / "a"))
    second = Coco(root=annotated_files.coco(tmp_path / "b", gap=90, is_reversed=True))
    assert first.class_names == second.class_names and seen(first.load()) == seen(second.load())
    # Another order of ids in val: matched by name.
    path = tmp_path / "b/annotations/instances_val2017.json"
    content = json.loads(path.read_text())
    swapped = {entry["id"]: other["id"] for entry, other in itertools.pairwise(content["categories"] * 2)}
    for entry in content["categories"]:
        entry["id"] = swapped[entry["id"]]
    for entry in content["annotations"]:
        entry["category_id"] = swapped[entry["category_id"]]
    path.write_text(json.dumps(content))
    assert seen(Coco(root=str(tmp_path / "b")).load()) == seen(first.load())


def test_a_category_that_train_lacks_is_an_error(tmp_path):
    root = annotated_files.coco(tmp_path)
    path = tmp_path / "annotations/instances_val2017.json"
    path.write_text(path.read_text().replace('"bee"', '"wasp"'))
    with pytest.raises(
        UserError, match=r"val2017\.json: category 'wasp' is unknown to instances_train2017\.json, which"
    ):
        Coco(root=root).load()
    assert len(Coco(root=root, classes=("ant",)).load()["val"].target.boxes[0]) == 0


def test_classes_are_chosen_in_order(tmp_path):
    root = annotated_files.coco(tmp_path)
    data = Coco(root=root, classes=("bee", "ant"))
    assert data.class_names == ("bee", "ant") and data.load()["train"].target.labels[0].tolist() == [0, 1]
    data = Coco(root=root, classes=("bee",))
    assert [len(labels) for labels in data.load()["train"].target.labels] == [1, 0, 0]
    with pytest.raises(
        UserError, match=r"data\.classes: .* has no class 'be'; did you mean bee\? \(its classes: 'ant', 'b"
    ):
        Coco(root=root, classes=("be",)).load()
    with pytest.raises(ValueError, match="one or more different classes"):
        Coco(root=root, classes=())


LAYOUTS = {
    "coco": ("annotations/instances_train2017.json", "train2017/a.png"),
    "images of a part": ("annotations/instances_train.json", "images/train/a.png"),
    "all images": ("annotations/instances_train.json", "images/a.png"),
    "cvat": ("annotations/instances_default.json", "images/a.png"),
    "roboflow": ("train/_annotations.coco.json", "train/a.png"),
    "beside": ("annotations.json", "a.png"),
    "deep": ("x/y/anything.json", "x/y/a.png"),
    "part below": ("annotations/train.json", "train/images/a.png"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_usual_layouts(tmp_path, name):
    file, image = LAYOUTS[name]
    content = one(tmp_path, [[1, 2, 10, 12]])
    target = tmp_path / "set" / image
    target.parent.mkdir(parents=True)
    (tmp_path / "a.png").rename(target)
    path = written(tmp_path / "set" / file, content)
    for root in (str(tmp_path / "set"), path):
        part = loaded(root)
        assert part.paths == [str(target)] and len(part.target.boxes[0]) == 1


def test_parts_are_never_guessed(tmp_path):
    content = one(tmp_path, [[1, 2, 10, 12]])
    for name in ("first", "second"):
        written(tmp_path / f"{name}.json", content)
    assert "first.json, second.json is clearly for train; name it by data.root=FILE.json" in refused(str(tmp_path))
    assert len(loaded(str(tmp_path / "first.json"))) == 1
    for name in ("instances_train2014", "instances_train2017"):
        written(tmp_path / "annotations" / f"{name}.json", content)
    assert "both stand for the train part; keep one" in refused(str(tmp_path))
    (tmp_path / "empty").mkdir()
    assert "holds no JSON file" in refused(str(tmp_path / "empty"))
    assert "no folder" in refused(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"data\.root: no folder given; write data\.root=FOLDER"):
        Coco()


def test_ids_of_zero_and_images_without_objects(tmp_path):
    content = one(tmp_path, [[0, 0, 40, 30]])
    annotated_files.paint(tmp_path / "b.png", (9, 9))
    content["images"].append({"id": 1, "file_name": "b.png", "width": 9, "height": 9})
    part = loaded(written(tmp_path / "x.json", content))
    assert [len(boxes) for boxes in part.target.boxes] == [1, 0]
    assert to_image(part.target.boxes[0], part.target.frame[0]).tolist() == [pytest.approx([0, 0, 40, 30], abs=1e-3)]


def test_crowds_are_ignored_regions(tmp_path):
    crowd = {"bbox": [5, 5, 20, 20], "iscrowd": 1, "segmentation": {"size": [30, 40], "counts": [1200]}}
    for learn in ("boxes", "instances"):
        outline = {"bbox": [1, 2, 10, 12], "segmentation": [[1, 2, 11, 2, 11, 14]]}
        path = written(tmp_path / "x.json", one(tmp_path, [outline, crowd]))
        target = loaded(path, learn=learn).take(torch.tensor([0])).target
        assert len(target.boxes[0]) == len(target.labels[0]) == len(target.ignored[0]) == 1
        assert target.masks is None or len(target.masks[0]) == 1


def test_boxes_are_clipped_by_a_pixel_and_doubled_ones_dropped(tmp_path, capsys):
    boxes = [[-0.9, -0.5, 41.5, 31.0], [3, 3, 9, 9], [3, 3, 9, 9], [3, 3, 9, 9.5]]
    part = loaded(written(tmp_path / "x.json", one(tmp_path, boxes)))
    found = to_image(part.target.boxes[0], part.target.frame[0])
    assert found[0].tolist() == pytest.approx([0, 0, 40, 30], abs=1e-3) and len(found) == 3
    assert capsys.readouterr().err == "dlrun: note: data=coco: 1 box given twice left out\n"


FAULTS = {
    "flat": (
        [[1, 2, 0, 5]],
        r"1 box without area: x\.json, annotation 0: x 1 to 1, y 2 to 7; a box is at least a pixel",
    ),
    "negative": ([[9, 9, -5, 5]], r"1 box without area: x\.json, annotation 0: x 9 to 4"),
    "thin": ([[1, 2, 0.4, 5]], r"1 box without area: .* x 1 to 1\.4"),
    "outside": ([[1, 2, 3, 4], [30, 20, 20, 5]], r"outside of its image: .*annotation 1: x 30 to 50, .*image is 40x30"),
    "before": ([[-2, 2, 30, 5]], r"1 box outside of its image: .*annotation 0: x -2 to 28"),
    "three": ([[1, 2, 3]], r"1 box with broken numbers: .* 4 finite numbers x, y, width, height, found \[1, 2, 3\]"),
    "nan": ([[1, float("nan"), 3, 4]], r"with broken numbers: .* found \[1, nan, 3, 4\]"),
    "category": ([{"bbox": [1, 2, 3, 4], "category_id": 9}], r"annotation 0: category_id 9 is none of `categories`"),
    "image": ([{"bbox": [1, 2, 3, 4], "image_id": 9}], r"annotation 0: image_id 9 is none of `images`"),
    "twice": (
        [{"bbox": [1, 2, 3, 4], "id": 5}, {"bbox": [1, 2, 3, 4], "id": 5}],
        r"annotation 5: this id stands there b",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_named_or_dropped(tmp_path, capsys, name):
    boxes, reason = FAULTS[name]
    path = written(tmp_path / "x.json", one(tmp_path, [*boxes, {"bbox": [7, 7, 9, 9], "id": 100}]))
    line = refused(path)
    assert line.startswith(f"{path}: 1 ") and line.endswith("; fix them, or data.broken=drop leaves them out")
    with pytest.raises(UserError, match=reason):
        loaded(path)
    part = loaded(path, broken="drop")
    assert len(part.target.boxes[0]) == len(boxes)
    note = capsys.readouterr().err
    assert note.startswith("dlrun: note: data=coco: 1 ") and " left out (" in note and note.count("\n") == 1


def test_images_that_are_gone_or_of_another_size(tmp_path, capsys):
    content = one(tmp_path, [[1, 2, 3, 4]])
    content["images"] += [
        {"id": 1, "file_name": "gone.png", "width": 9, "height": 9},
        {"id": 2, "file_name": "b.png", "width": 9, "height": 9},
        {"id": 3, "file_name": "c.png", "width": 9, "height": 9},
    ]
    annotated_files.paint(tmp_path / "b.png", (9, 8))
    (tmp_path / "c.png").write_bytes(b"oops")
    path = written(tmp_path / "x.json", content)
    line = refused(path)
    assert "1 image without a file, 1 image of another size, 1 image that cannot be decoded: " in line
    assert "x.json, image 2: 9x9 here, b.png is 9x8" in line
    assert len(loaded(path, broken="drop")) == 1
    assert "1 image without a file, 1 image of another size, 1 image that cannot be de" in capsys.readouterr().err


def test_corners_in_the_place_of_sizes_are_found_out(tmp_path):
    boxes = [[20 + k, 15, 30 + k, 28] for k in range(5)]
    line = refused(written(tmp_path / "x.json", one(tmp_path, boxes)), broken="drop")
    assert "5 of 5 boxes leave their image as x, y, width, height, and fit as x1, y1, x2, y2 (annotation 0, [20" in line
    assert len(loaded(written(tmp_path / "x.json", one(tmp_path, [[1 + k, 2, 20, 20] for k in range(9)])))) == 1


def test_the_turned_twin_of_a_photo_has_the_same_boxes(tmp_path):
    """Annotated as it is seen; where the size is that of the pixels as stored, the boxes would be wrong."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, size, options in (("plain", (30, 40), {}), ("turned", (40, 30), {"exif": exif})):
        content = one(tmp_path / name, [[3, 4, 10, 20]], size=(30, 40))
        annotated_files.paint(tmp_path / name / "a.png", size, **options)
        written(tmp_path / name / "x.json", content)
    plain, turned = (loaded(str(tmp_path / name)).take(torch.tensor([0])) for name in ("plain", "turned"))
    assert torch.equal(plain.target.boxes[0], turned.target.boxes[0]) and torch.equal(
        *(x.inputs[0] for x in (plain, turned))
    )
    assert torch.equal(plain.target.frame, turned.target.frame)

    content["images"][0] |= {"width": 40, "height": 30}
    content["annotations"][0]["bbox"] = [3, 4, 20, 10]
    for verify in ("full", "none"):
        line = refused(written(tmp_path / "turned" / "x.json", content), verify=verify)
        assert "image 0: 40x30 here, a.png is 30x40 once its EXIF data turn it upright; save it turned" in line


def test_missing_outlines_are_named_where_they_are_needed(tmp_path):
    path = written(tmp_path / "x.json", one(tmp_path, [[1, 2, 10, 12]]))
    assert "1 object without an outline: x.json, annotation 0: data.learn=instances needs" in refused(
        path, learn="instances"
    )


def test_a_class_without_boxes_is_noted(tmp_path, capsys):
    categories = [{"id": 0, "name": "ant"}, {"id": 1, "name": "none"}]
    loaded(written(tmp_path / "x.json", one(tmp_path, [[1, 2, 10, 12]], categories=categories)))
    assert "no box in train is of the class 'none'; data.classes chooses others" in capsys.readouterr().err


def test_three_faults_of_thousands_are_named(tmp_path):
    boxes = [[1, 2, 0, number + 1] for number in range(2000)]
    line = refused(written(tmp_path / "x.json", one(tmp_path, boxes)))
    assert "2000 boxes without area: " in line and "; and 199" in line


@given(st.data())
def test_outlines_are_drawn_as_pycocotools_does(data):
    width, height = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    corner = st.tuples(st.floats(-3, width + 3), st.floats(-3, height + 3))
    parts = data.draw(st.lists(st.lists(corner, min_size=3, max_size=9), min_size=1, max_size=3))
    flat = [[side for pair in part for side in pair] for part in parts]
    expected = oracle.decode(oracle.merge(oracle.frPyObjects(flat, height, width)))
    assert np.array_equal(mask_of(outline_of(flat), (width, height)), expected)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_runs_are_drawn_as_pycocotools_does(width, height, seed, share):
    """Of any mask, with holes and specks; compressed and not."""
    mask = (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8)
    packed = oracle.encode(np.asfortranarray(mask))
    flat = mask.T.flatten()
    lengths = [len(list(group)) for _, group in itertools.groupby(flat.tolist())]
    counts = lengths if flat[0] == 0 else [0, *lengths]
    for value in (
        {"size": [height, width], "counts": packed["counts"].decode()},
        {"size": [height, width], "counts": counts},
    ):
        assert np.array_equal(mask_of(outline_of(value), (width, height)), mask)


def test_a_ring_of_runs_keeps_its_hole_and_a_pair_of_polygons_is_one_object(tmp_path):
    ring = np.zeros((30, 40), dtype=np.uint8)
    ring[5:25, 5:35] = 1
    ring[10:20, 12:28] = 0
    packed = oracle.encode(np.asfortranarray(ring))
    parts = [[1, 1, 9, 1, 9, 9, 1, 9], [20, 10, 30, 10, 30, 20, 20, 20]]
    pair = oracle.decode(oracle.merge(oracle.frPyObjects(parts, 30, 40)))
    outlines = [
        {"bbox": [5, 5, 30, 20], "segmentation": {"size": [30, 40], "counts": packed["counts"].decode()}},
        {"bbox": [1, 1, 29, 19], "segmentation": parts},
    ]
    part = loaded(written(tmp_path / "x.json", one(tmp_path, outlines)), learn="instances", image_size=(30, 40))
    masks = part.take(torch.tensor([0])).target.masks[0].numpy()
    assert np.array_equal(masks[0], ring) and np.array_equal(masks[1], pair)
