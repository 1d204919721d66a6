"""Some hundreds of damaged annotation files: each is one line that names a file, and never another exception."""

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import annotated_files
import pytest

from dlrun.data.boxes.coco import Coco
from dlrun.data.boxes.voc import Voc
from dlrun.data.boxes.yolo import Yolo
from dlrun.errors import UserError

HUGE = 10**400
DEEP: list = []
for _ in range(300):
    DEEP = [DEEP]
ANY = [None, "x", -1, 1.5, float("nan"), float("inf"), HUGE, [], {}, True, DEEP, "\n\r\x1b[31m" * 30]

# Where a value of another kind is put, and which of ANY are right there.
PLACES: dict[tuple, list] = {
    ("images",): [], ("annotations",): [[]], ("categories",): [],
    ("images", 0): [], ("images", 0, "id"): [], ("images", 0, "file_name"): [],
    ("images", 0, "width"): [], ("images", 0, "height"): [],
    ("annotations", 0): [], ("annotations", 0, "id"): ["x", -1, HUGE, "\n\r\x1b[31m" * 30],
    ("annotations", 0, "image_id"): [], ("annotations", 0, "category_id"): [], ("annotations", 0, "bbox"): [],
    ("annotations", 0, "bbox", 0): [-1, 1.5], ("annotations", 0, "bbox", 1): [-1, 1.5],
    ("annotations", 0, "bbox", 2): [1.5], ("annotations", 0, "bbox", 3): [1.5], ("annotations", 0, "iscrowd"): [True],
    ("annotations", 0, "segmentation"): [], ("annotations", 0, "segmentation", 0): [],
    ("annotations", 0, "segmentation", 0, 0): [-1, 1.5],
    ("categories", 0): [], ("categories", 0, "id"): [-1, HUGE], ("categories", 0, "name"): ["x", "\n\r\x1b[31m" * 30],
    ("categories", 1, "id"): [-1, HUGE], ("categories", 1, "name"): ["x", "\n\r\x1b[31m" * 30],
}  # fmt: skip


# An annotation has no need of these, and an image that nobody lists is not missed.
MAY_BE_ABSENT = {
    ("images", 0), ("images", 0, "width"), ("images", 0, "height"), ("annotations", 0), ("annotations", 0, "id"),
    ("annotations", 0, "iscrowd"), ("annotations", 0, "segmentation", 0, 0),
}  # fmt: skip


def replaced(content: dict, place: tuple, value: object) -> bytes:
    found = copy.deepcopy(content)
    at = found
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    return json.dumps(found).encode()


def removed(content: dict, place: tuple) -> bytes:
    found = copy.deepcopy(content)
    at = found
    for key in place[:-1]:
        at = at[key]
    del at[place[-1]]
    return json.dumps(found).encode()


def damaged_bytes(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """What happens to any text file."""
    yield "UTF-16", whole.decode().encode("utf-16")
    yield "UTF-16 without a mark", whole.decode().encode("utf-16-le")
    yield "latin-1", whole + "# ämeise\n".encode("latin-1")
    yield "zeros", bytes(len(whole))
    yield "binary", bytes(range(256)) * 4
    yield "picture", b"\x89PNG\r\n\x1a\n" + bytes(40)
    yield "packed", b"\x1f\x8b" + bytes(range(200))
    yield "zip", b"PK\x03\x04" + bytes(200)
    yield "web page", b"<!DOCTYPE html><html><body>404</body></html>"
    yield "text", b"not what it should be at all"
    yield "conflict", b"<<<<<<< HEAD\n" + whole + b"=======\n" + whole


def damaged_json(whole: bytes) -> Iterator[tuple[str, bytes]]:
    yield from damaged_bytes(whole)
    content = json.loads(whole)
    for share in range(10):
        yield f"cut at {share} tenths", whole[: len(whole) * share // 10]
    yield "deep", b"[" * 100_000
    yield "deep objects", b'{"a":' * 100_000
    yield "long integer", whole.replace(b'"id": 0', b'"id": ' + b"9" * 10_000, 1)
    yield "list", b"[]"
    yield "number", b"7"
    yield "trailing comma", whole[:-1] + b",}"
    yield "single quotes", whole.replace(b'"', b"'")
    for place, right in PLACES.items():
        for value in ANY:
            if not any(value is item or (value == item and type(value) is type(item)) for item in right):
                yield f"{place} = {str(value)[:12]!r}", replaced(content, place, value)
        if place not in MAY_BE_ABSENT:
            yield f"{place} removed", removed(content, place)
    for place in [("images", 0), ("annotations", 0), ("categories", 0)]:
        twice = copy.deepcopy(content)
        twice[place[0]].append(twice[place[0]][0])
        yield f"{place} twice", json.dumps(twice).encode()
    for box in (
        [0, 0, 0, 5],
        [0, 0, 5, -3],
        [-9, 0, 20, 5],
        [0, 0, 500, 5],
        [1, 2, 3],
        [1, 2, 3, 4, 5],
        [1, 2, 3, "4"],
    ):
        yield f"box {box}", replaced(content, ("annotations", 0, "bbox"), box)
    for name in ("../a.png", "gone.png", "/etc/passwd", "a.png\0", "x" * 5000, "..\\a.png", "a"):
        yield f"file {name[:10]!r}", replaced(content, ("images", 0, "file_name"), name)
    for outline in (
        {"size": [30, 40], "counts": [1200, 1]}, {"size": [30, 40], "counts": [-5, 1205]},
        {"size": [0, 0], "counts": []},
        {"size": [40, 30], "counts": [1200]}, {"counts": [1200]}, {"size": [30, 40]}, {"size": [30, 40], "counts": "é"},
        {"size": [30, 40], "counts": "ooooooooooooooooooooo"}, {"size": [30, 40], "counts": "P"},
        {"size": [10**9, 10**9], "counts": [10**18]}, {"size": [30, 40], "counts": [HUGE]},
        [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]], [[1, 2, 3, 4, 1e12, 6]], [[1, 2, 3, 4, float("nan"), 6]], [[HUGE] * 6],
    ):  # fmt: skip
        yield f"outline {str(outline)[:60]}", replaced(content, ("annotations", 0, "segmentation"), outline)


def damaged_labels(whole: bytes) -> Iterator[tuple[str, bytes]]:
    yield from damaged_bytes(whole)
    rows = [
        "0", "0 0.5 0.5 0.2", "0 0.5 0.5 0.2 0.2 0.9", "0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "0,0.5,0.5,0.2,0.2",
        "bee 0.5 0.5 1 1",
        "-1 0.5 0.5 0.2 0.2", "2 0.5 0.5 0.2 0.2", "0.5 0.5 0.5 0.2 0.2", "1e30 0.5 0.5 0.2 0.2", "nan 0.5 0.5 0.2 0.2",
        "0 nan 0.5 0.2 0.2", "0 inf 0.5 0.2 0.2", "0 0.5 0.5 1e999 0.2", "0 0.5 0.5 -0.2 0.2", "0 0.5 0.5 0 0.2",
        "0 0.5 0.5 0.2 0", "0 20 15 10 10", "0 0.5 0.5 1e300 1e300", "0 1.5 0.5 0.2 0.2", "0 -0.5 0.5 0.2 0.2",
        "0 0.95 0.5 0.4 0.2", "0 0.5 0.5 0.001 0.001", "0 0,5 0,5 0,2 0,2", "0 0.5 0.5 0_2 0.2",
        "class x y width height",
        "0 0.1 0.1 0.1 0.1 0.1 0.1", "0 0.1 0.1 9 0.1 0.5 9", "1 " * 4000, "9" * 5000 + " 0.5 0.5 0.2 0.2", "{}", "[0]",
    ]  # fmt: skip
    for row in rows:
        yield f"row {row[:30]!r}", whole + row.encode() + b"\n"


def damaged_yaml(whole: bytes) -> Iterator[tuple[str, bytes]]:
    yield from damaged_bytes(whole)
    for key in ("train", "val", "names"):
        for value in (
            "7",
            "1.5",
            "[[]]",
            "{a: {}}",
            "true",
            "2000-13-45",
            "gone/folder",
            "[gone, [7]]",
            "*gone",
            "!!python/x y",
        ):
            yield f"{key}: {value}", whole + f"\n{key}: {value}\n".encode()
    for text in (
        "nc: 3", "nc: -1", "nc: x", "nc: [2]", "names: []", "names: {}", "names: [a, a]", "names: {0: a, x: b}",
        "names: {-1: a, 0: b}", "names: [[a], b]", "names: {0: null, 1: b}", "path: [a]", "path: 7", "kpt_shape: 7",
        "kpt_shape: [a, b]", "kpt_shape: [1000000, 3]", "names: [ant]", "x: " + "[" * 2000, "a: &a [*a]\nnames: *a",
        "a: [", "a: b: c", "\ttabs: x", "? [a]\n: b\n- c", "train:", 'train: "\\0"', "a: !!timestamp x", "names: yes",
    ):  # fmt: skip
        yield f"yaml {text[:20]!r}", whole + f"\n{text}\n".encode()


def damaged_xml(whole: bytes) -> Iterator[tuple[str, bytes]]:
    yield from damaged_bytes(whole)
    for share in range(10):
        yield f"cut at {share} tenths", whole[: len(whole) * share // 10]
    declared = '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
    outer = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'
    for start in (declared, outer, "<!DOCTYPE annotation>", '<!DOCTYPE a SYSTEM "http://localhost/a.dtd">'):
        yield start[:30], b'<?xml version="1.0"?>' + start.encode() + whole.replace(b"ant</name>", b"&c;</name>")
    yield "deep", b"<a>" * 5000
    yield "deep inside", whole.replace(b"<object>", b"<object>" + b"<part>" * 100 + b"</part>" * 100, 1)
    yield "wide", b"<a/>" * 5000
    yield "other", b"<annotations><images/></annotations>"
    yield "entity", whole.replace(b"ant<", b"&nbsp;<")
    first = whole.index(b"<object>")
    head, body = whole[:first], whole[first:]
    for tag in ("xmin", "ymin", "xmax", "ymax"):
        for value in (
            "",
            "x",
            "nan",
            "inf",
            "-inf",
            "1e999",
            "-7",
            "9" * 400,
            "1_0",
            "0x10",
            "1,5",
            "5000",
            "1e300",
            "<b/>",
        ):
            start, end = body.index(f"<{tag}>".encode()) + len(tag) + 2, body.index(f"</{tag}>".encode())
            yield f"{tag} = {value[:9]}", head + body[:start] + value.encode() + body[end:]
        start, end = body.index(f"<{tag}>".encode()), body.index(f"</{tag}>".encode()) + len(tag) + 3
        yield f"{tag} removed", head + body[:start] + body[end:]
    for old, new in (
        ("<name>bee</name>", ""), ("<name>bee</name>", "<name> </name>"), ("<bndbox>", "<box>"),
        ("<difficult>0", "<difficult>x"),
        ("<width>40", "<width>41"), ("<width>40", "<width>0"), ("<width>40", "<width>x"), ("<width>40", "<width>nan"),
        ("<height>30", "<height>-30"), ("<width>40", "<width>1e999"), ("<height>30</height>", ""),
        ("<annotation>", "<a b=1>"),
        ("<annotation>", "<annotation"), ("</annotation>", "</annotation>x"), ("</annotation>", "</annotation><a/>"),
    ):  # fmt: skip
        tags = [(old, new)] + ([("</bndbox>", "</box>")] if old == "<bndbox>" else [])
        found = whole.decode()
        for a, b in tags:
            assert a in found
            found = found.replace(a, b)
        yield f"{old} becomes {new}", found.encode()


FORMATS: dict[str, tuple[type, str, Callable]] = {
    "coco": (Coco, "annotations/instances_train2017.json", damaged_json),
    "yolo": (Yolo, "labels/train/a.txt", damaged_labels),
    "yolo yaml": (Yolo, "data.yaml", damaged_yaml),
    "voc": (Voc, "Annotations/a.xml", damaged_xml),
}


@pytest.mark.parametrize("name", FORMATS)
def test_each_damaged_file_is_one_line_with_its_name(tmp_path, name):
    kind, place, damage = FORMATS[name]
    root = Path(getattr(annotated_files, name.split()[0])(tmp_path / "set"))
    whole = (root / place).read_bytes()
    learn = "instances" if kind is not Voc else "boxes"
    if kind is Yolo:
        whole = b"0 0.1 0.1 0.9 0.1 0.5 0.9\n" if place.endswith("txt") else whole
        for path in root.rglob("labels/*/*.txt"):
            rows = b"0 0.1 0.1 0.9 0.1 0.5 0.9\n1 0.1 0.1 0.9 0.1 0.5 0.9\n" if path.read_bytes() else b""
            path.write_bytes(rows)
    (root / place).write_bytes(whole)
    kind(root=str(root), learn=learn).load()
    wrong, count = [], 0
    for case, content in damage(whole):
        (root / place).write_bytes(content)
        count += 1
        try:
            kind(root=str(root), learn=learn).load()
        except UserError as error:
            line = str(error)
            is_named = Path(place).name in line
            if "\n" in line or not line.isprintable() or len(line) > 400 or not is_named:
                wrong.append(f"{case}: {len(line)} letters: {line}")
        except Exception as error:
            wrong.append(f"{case}: {error!r:.300}")
        else:
            wrong.append(f"{case}: no error")
    assert not wrong, f"{len(wrong)} of {count}\n" + "\n".join(wrong)
    assert count >= 40


def test_dropping_never_fails_otherwise(tmp_path):
    """With broken=drop a damaged file is left out, or as a whole refused; the other images stay."""
    root = Path(annotated_files.voc(tmp_path / "set"))
    path = root / "Annotations/a.xml"
    for case, content in list(damaged_xml(path.read_bytes()))[::5]:
        path.write_bytes(content)
        parts = Voc(root=str(root), broken="drop", test_fraction=0).load()
        assert len(parts["train"]) in (2, 3), case
    root = Path(annotated_files.coco(tmp_path / "other"))
    path = root / "annotations/instances_train2017.json"
    for case, content in list(damaged_json(path.read_bytes()))[::5]:
        path.write_bytes(content)
        try:
            parts = Coco(root=str(root), learn="instances", broken="drop").load()
        except UserError:
            continue
        assert len(parts["train"]) in (2, 3), case


def test_a_folder_of_faults_names_three_and_counts_the_rest(tmp_path):
    root = Path(annotated_files.coco(tmp_path / "set"))
    path = root / "annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    first = content["annotations"][0]
    content["annotations"] = [first | {"id": number, "bbox": [1, 2, 0, number]} for number in range(50)]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as caught:
        Coco(root=str(root)).load()
    line = str(caught.value)
    assert line.startswith(f"{root}: 50 boxes without area: ") and "annotation 0: x 1 to 1, y 2 to 2" in line
    assert "more; fix them, or data.broken=drop leaves them out" in line and len(line) <= 400
    shutil.rmtree(root)
