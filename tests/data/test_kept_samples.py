"""Each data set of the user's own files finds the samples of a run again, renamed, moved, with others beside them."""

import random
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from dlrun.data.boxes.masks import MaskFolder
from dlrun.data.boxes.yolo import Yolo
from dlrun.data.faces.folder import FaceFolder
from dlrun.data.graphs.edges import EdgeList
from dlrun.data.images.imagefolder import ImageFolder
from dlrun.data.images.photos import Photos
from dlrun.data.sequences.text import Text
from dlrun.data.tables.csv_file import CSVFile
from dlrun.errors import UserError


def picture(path, seed, mode="RGB", size=(6, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*size, 3) if mode == "RGB" else size
    high = 256 if mode == "RGB" else 2
    Image.fromarray(np.random.default_rng(seed).integers(0, high, shape).astype(np.uint8)).save(path)


def by_folder(root, numbers, name):
    for number in numbers:
        # The first two pictures of a folder are equal.
        picture(root / "abcdefgh"[number % 8] / name(number), number % 8 if number < 16 else number)


def masked(root, numbers, name):
    for number in numbers:
        picture(root / "images" / name(number), number)
        picture(root / "masks" / name(number), number, "L")


def boxed(root, numbers, name):
    for number in numbers:
        path = root / "images" / name(number)
        picture(path, number)
        label = root / "labels" / f"{path.stem}.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text(f"{number % 2} 0.5 0.5 0.{number % 5 + 4} 0.5\n")
    (root / "classes.txt").write_text("ant\nbee\n")


def table(root, numbers, name):
    root.mkdir(exist_ok=True)
    lines = [f"{number % 20}.5,{'xyz'[number % 3]},{'no' if number % 2 else 'yes'}\n" for number in numbers]
    random.Random(name(1)).shuffle(lines)
    (root / "t.csv").write_text("a,b,y\n" + "".join(lines))


def graph(root, numbers, name):
    root.mkdir(exist_ok=True)
    nodes = [f"n{number},{number % 7},{'ab'[number % 2] if number % 5 else ''}\n" for number in numbers]
    edges = [f"n{number},n{min(numbers) + number * 7 % len(numbers)},{number % 3 + 1}\n" for number in numbers]
    for lines, header, file in ((nodes, "id,size,label", "nodes.csv"), (edges, "a,b,weight", "edges.csv")):
        random.Random(name(1)).shuffle(lines)
        (root / file).write_text(f"{header}\n" + "".join(lines))


CASES = {
    "imagefolder": (by_folder, lambda root: ImageFolder(root=str(root), image_size=6, test_fraction=0.2)),
    "quick": (by_folder, lambda root: ImageFolder(root=str(root), image_size=6, verify="none", test_fraction=0.2)),
    "faces": (by_folder, lambda root: FaceFolder(root=str(root), image_size=6)),
    "masks": (masked, lambda root: MaskFolder(root=str(root))),
    "yolo": (boxed, lambda root: Yolo(root=str(root), image_size=32)),
    "csv": (table, lambda root: CSVFile(path=str(root / "t.csv"))),
    "edges": (graph, lambda root: EdgeList(nodes=str(root / "nodes.csv"), edges=str(root / "edges.csv"))),
}


def add_to_graph(root):
    for file, row in (("nodes.csv", "new,3,a"), ("edges.csv", "new,n0,1")):
        header, rest = (root / file).read_text().split("\n", 1)
        (root / file).write_text(f"{header}\n{row}\n{rest}")


def values(part):
    """All tensors of a part."""
    batch = part.take(torch.arange(len(part)))
    flat, left = [], [batch.inputs, batch.target]
    while left:
        value = left.pop()
        if isinstance(value, torch.Tensor):
            flat.append(value)
        elif value is not None:
            left += list(value)
    return flat


def assert_same(found, parts):
    assert {part: len(own) for part, own in found.items()} == {part: len(own) for part, own in parts.items()}
    for part, own in parts.items():
        assert all(torch.equal(*both) for both in zip(values(found[part]), values(own), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_samples_are_found_again_by_their_content(tmp_path, capsys, name):
    make, open_ = CASES[name]
    make(tmp_path / "then", range(48), lambda number: f"{number:03}.png")
    first = open_(tmp_path / "then")
    spec, parts = first.spec, first.load()
    assert first.found is not None and set(parts) == {"train", "val", "test"}

    make(tmp_path / "now", range(48 if name == "edges" else 56), lambda number: f"{number * 7919 % 1000:03}.png")
    if name == "edges":
        add_to_graph(tmp_path / "now")
    capsys.readouterr()
    again = open_(tmp_path / "now")
    again.kept, again.offered = first.found, spec
    assert again.spec == spec
    assert_same(again.load(), parts)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "of the run's" in line]
    assert "0 changed and 0 missing (left out)" in line and " 0 new" not in line


@pytest.mark.parametrize("name", CASES)
def test_other_files_are_refused(tmp_path, name):
    make, open_ = CASES[name]
    make(tmp_path / "then", range(48), lambda number: f"{number:03}.png")
    first = open_(tmp_path / "then")
    first.load()
    make(tmp_path / "now", range(60, 140), lambda number: f"{number:03}.png")
    if name == "csv":
        path = tmp_path / "now/t.csv"
        path.write_text(path.read_text().replace(".5,", ".25,"))
    again = open_(tmp_path / "now")
    again.kept = first.found
    with pytest.raises(UserError, match="samples of the run are gone or changed") as caught:
        again.load()
    assert len(str(caught.value)) <= 300


def test_photographs_and_texts_are_taken_whole(tmp_path):
    photos, text = tmp_path / "photos", tmp_path / "t.txt"
    for number in range(3):
        picture(photos / f"{number}.png", number, size=(64, 64))
    text.write_text("".join(f"line {number} of a story\n" for number in range(60)))
    opened = []
    for open_ in (lambda: Photos(root=str(photos), patch_size=16), lambda: Text(path=str(text), seq_len=8)):
        first = open_()
        opened.append((open_, first, first.load()))
    picture(photos / "00.png", 9, size=(64, 64))
    text.write_text(text.read_text() + "more\n" * 50)
    for open_, first, parts in opened:
        again = open_()
        again.kept = first.found
        assert_same(again.load(), parts)
    shutil.copy(photos / "1.png", photos / "0.png")
    text.write_text(text.read_text().replace("line 7", "line seven"))
    for open_, first, _ in opened:
        again = open_()
        again.kept = first.found
        with pytest.raises(UserError, match=r"samples of the run are gone or changed \(1 of (3|60)\)"):
            again.load()


def test_a_node_that_has_changed_stays_in_the_graph_and_is_in_no_part(tmp_path, capsys):
    make, open_ = CASES["edges"]
    make(tmp_path, range(48), lambda number: f"{number:03}.png")
    first = open_(tmp_path)
    parts = first.load()
    path = tmp_path / "nodes.csv"
    # One that had no class, and one that had.
    path.write_text(path.read_text().replace("n5,5,\n", "n5,5,b\n").replace("n6,6,a\n", "n6,6,b\n"))
    capsys.readouterr()
    again = open_(tmp_path)
    again.kept, again.offered = first.found, first.spec
    found = again.load()
    assert sum(map(len, found.values())) == sum(map(len, parts.values())) - 1
    assert found["train"].graph.num_nodes == parts["train"].graph.num_nodes
    assert (
        "1 changed and 0 missing (left out), 0 new (in no part); 1 other lines or files changed"
        in capsys.readouterr().err
    )
