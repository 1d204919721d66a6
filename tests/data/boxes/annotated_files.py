"""One tiny set of annotated images, written in each of the formats."""

import json
from pathlib import Path

from PIL import Image

NAMES = ("ant", "bee")
# Each image: its name, size, and its objects: class, x1, y1, x2, y2 in whole pixels.
IMAGES = {
    "train": [
        ("a", (40, 30), [("bee", 4, 6, 20, 18), ("ant", 0, 0, 40, 30)]),
        ("b", (33, 47), [("ant", 10, 1, 33, 47)]),
        ("empty", (24, 24), []),
    ],
    "val": [("c", (31, 17), [("bee", 3, 2, 9, 16)])],
    "test": [("d", (20, 20), [("ant", 1, 1, 19, 19), ("bee", 5, 5, 9, 9)])],
}


def paint(path: Path, size: tuple[int, int], **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 160, 220)).save(path, **options)


def coco(root: Path, gap: int = 7, is_reversed: bool = False) -> str:
    """Ids with gaps, not in the order of the classes' names where they are listed."""
    categories = [{"id": 3 + gap * k, "name": name} for k, name in enumerate(NAMES)]
    numbers = {entry["name"]: entry["id"] for entry in categories}
    for part, images in IMAGES.items():
        entries, annotations = [], []
        for number, (name, (width, height), objects) in enumerate(images):
            paint(root / f"{part}2017" / f"{name}.png", (width, height))
            entries.append({"id": number, "file_name": f"{name}.png", "width": width, "height": height})
            for label, x1, y1, x2, y2 in objects:
                annotations.append({
                    "id": len(annotations), "image_id": number, "category_id": numbers[label], "iscrowd": 0,
                    "bbox": [x1, y1, x2 - x1, y2 - y1], "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]],
                })  # fmt: skip
        content = {
            "images": entries,
            "annotations": annotations,
            "categories": categories[::-1] if is_reversed else categories,
        }
        path = root / "annotations" / f"instances_{part}2017.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return str(root)


def yolo(root: Path) -> str:
    for part, images in IMAGES.items():
        for name, (width, height), objects in images:
            paint(root / "images" / part / f"{name}.png", (width, height))
            rows = [
                f"{NAMES.index(label)} {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} "
                f"{(x2 - x1) / width} {(y2 - y1) / height}\n"
                for label, x1, y1, x2, y2 in objects
            ]
            path = root / "labels" / part / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(rows))
    (root / "data.yaml").write_text(
        "path: ../datasets/gone\ntrain: images/train\nval: images/val\ntest: images/test\n"
        f"nc: 2\nnames:\n  0: {NAMES[0]}\n  1: {NAMES[1]}\n"
    )
    return str(root)


def voc(root: Path) -> str:
    lists = root / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (root / "Annotations").mkdir()
    for part, images in IMAGES.items():
        for name, size, objects in images:
            paint(root / "JPEGImages" / f"{name}.png", size)
            (root / "Annotations" / f"{name}.xml").write_text(xml(f"{name}.png", size, objects))
        (lists / f"{part}.txt").write_text("".join(f"{name}\n" for name, _, _ in images))
    return str(root)


def xml(name: str, size: tuple[int, int], objects: list[tuple], difficult: int = 0) -> str:
    body = "".join(
        f"<object>\n<name>{label}</name>\n<difficult>{difficult}</difficult>\n<bndbox><xmin>{x1 + 1}</xmin>"
        f"<ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>\n</object>\n"
        for label, x1, y1, x2, y2 in objects
    )
    return (
        f"<annotation>\n<filename>{name}</filename>\n<size><width>{size[0]}</width><height>{size[1]}</height>"
        f"<depth>3</depth></size>\n{body}</annotation>\n"
    )
