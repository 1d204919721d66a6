"""Folders of images and masks, well and badly laid out, and what the values of masks become."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dlrun.cli import main
from dlrun.data.boxes.masks import MaskFolder
from dlrun.errors import UserError
from dlrun.store import runs

VALUES = np.array([[0, 0, 255], [255, 0, 0]], np.uint8)  # of the usual mask, 2x3 pixels
CLASSES = [[0, 0, 1], [1, 0, 0]]
PALETTE = [255 - k // 3 for k in range(768)]  # colours that are not their indices
WHOLE = dict(val_fraction=0.0, test_fraction=0.0)


def write(path: Path, values=VALUES, mode: str | None = None, exif: int | None = None, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values), mode)
    if mode == "P":
        image.putpalette(PALETTE)
    if exif is not None:
        found = Image.Exif()
        found[0x0112] = exif
        options["exif"] = found
    image.save(path, **options)


def pairs(root: Path, stems=("0", "1", "2"), images="images", masks="masks", ending="", mask=VALUES, **options) -> str:
    """Writes an image and a mask for each stem; an image is as large as its mask, and grey by its place."""
    for place, stem in enumerate(stems):
        write(root / images / f"{stem}.png", np.full(np.shape(mask)[:2], 10 * place, np.uint8))
        write(root / masks / f"{stem}{ending}.png", mask, **options)
    return str(root)


def train(root, **keys):
    """(The spec, the images and the masks) of the training part, into which everything goes."""
    data = MaskFolder(root=str(root), **WHOLE | keys)
    part = data.load()["train"]
    return data.spec, part.inputs[0], part.target


def refused(root, **keys) -> str:
    with pytest.raises(UserError) as caught:
        MaskFolder(root=str(root), **WHOLE | keys).load()
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("data.")
    return line


# ---- layouts


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("images", "masks"), ("image", "label"), ("imgs", "labels"), ("img", "mask"), ("Images", "Annotations"),
        ("JPEGImages", "SegmentationClass"), ("images", "gt"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("layout", ["flat", "above", "below"])
def test_usual_layouts_are_found(tmp_path, images, masks, layout):
    sizes = {"train": 4, "validation": 2, "Test": 3} if layout != "flat" else {"": 9}
    first = 0
    for part, num in sizes.items():
        stems, first = [str(first + k) for k in range(num)], first + num
        folders = {
            name: {"flat": name, "above": f"{part}/{name}", "below": f"{name}/{part}"} for name in (images, masks)
        }
        pairs(tmp_path, stems, folders[images][layout], folders[masks][layout])
    data = MaskFolder(root=str(tmp_path), val_fraction=0.2, test_fraction=0.2)
    parts = data.load()
    wanted = {"train": 4, "val": 2, "test": 3} if layout != "flat" else {"train": 5, "val": 2, "test": 2}
    assert {name: len(part) for name, part in parts.items()} == wanted
    spec = data.spec
    assert (spec.kind, spec.target, spec.out_features, spec.in_channels) == ("image", "mask", 2, 3)
    assert (spec.image_size, spec.class_names) == ((2, 3), ("background", "class_255"))
    for part in parts.values():
        assert part.inputs[0].shape[1:] == (3, 2, 3) and part.inputs[0].dtype == torch.uint8
        assert part.target.dtype == torch.uint8
        assert all(mask.tolist() == CLASSES for mask in part.target)
        assert part.labels is None


def test_folders_of_any_name_can_be_named(tmp_path):
    root = pairs(tmp_path, images="slices", masks="by hand")
    assert "write data.images=NAME" in refused(root)
    _, images, masks = train(root, images="slices", masks="by hand")
    assert len(images) == len(masks) == 3
    pairs(tmp_path, masks="labels", images="images")
    pairs(tmp_path, masks="masks", images="images")
    line = refused(root)
    assert "must have one folder of masks, found labels, masks" in line
    assert len(train(root, masks="labels")[1]) == 3


def test_the_seed_splits_and_splits_the_same(tmp_path):
    root = pairs(tmp_path, [f"{k:02}" for k in range(20)])
    drawn = [MaskFolder(root=root, split_seed=seed).load() for seed in (0, 0, 1)]
    grey = [[int(image[0, 0, 0]) for image in parts["test"].inputs[0]] for parts in drawn]
    assert {name: len(part) for name, part in drawn[0].items()} == {"train": 16, "val": 2, "test": 2}
    assert grey[0] == grey[1] != grey[2]


def test_a_missing_part_is_split_off_from_train(tmp_path):
    for part, stems in (("train", [str(k) for k in range(10)]), ("test", ["a", "b"])):
        pairs(tmp_path, stems, f"{part}/images", f"{part}/masks")
    parts = MaskFolder(root=str(tmp_path), val_fraction=0.2, test_fraction=0.5).load()
    assert {name: len(part) for name, part in parts.items()} == {"train": 8, "val": 2, "test": 2}


# ---- pairs


def test_a_stem_is_matched_whole(tmp_path):
    """Image 1 belongs to mask 1, not to 10 or 11."""
    for number, stem in enumerate(("1", "10", "11", "111")):
        write(tmp_path / "images" / f"{stem}.jpg", np.full((2, 3), 40 * number, np.uint8), quality=100)
        write(tmp_path / "masks" / f"{stem}.png", np.roll(VALUES, number, axis=1))
    _, images, masks = train(tmp_path)
    for image, mask in zip(images, masks, strict=True):
        number = round(image.float().mean().item() / 40)
        assert mask.tolist() == np.roll(CLASSES, number, axis=1).tolist()


@pytest.mark.parametrize("ending", ["_mask", "_label", "_seg", "_gt", "-mask"])
def test_a_usual_ending_is_taken_off(tmp_path, ending):
    pairs(tmp_path, ("1", "11", f"2{ending}"), ending=ending)  # a stem that itself has the ending
    assert len(train(tmp_path)[1]) == 3


def test_an_ending_of_both_is_taken_off(tmp_path):
    write(tmp_path / "images" / "1_image.png")
    write(tmp_path / "masks" / "1_image.png")
    assert len(train(tmp_path)[1]) == 1
    write(tmp_path / "images" / "2_img.png")
    write(tmp_path / "masks" / "2.png")
    assert len(train(tmp_path)[1]) == 2


def test_orphans_of_both_kinds_are_listed_a_few_of_many(tmp_path):
    pairs(tmp_path, [str(k) for k in range(3)])
    for k in range(5):
        write(tmp_path / "images" / f"alone{k}.png")
    write(tmp_path / "masks" / "nobody.png")
    line = refused(tmp_path)
    assert "5 of 8 images have no mask (alone0.png, alone1.png, alone2.png and 2 more)" in line
    assert "1 of 4 masks have no image (nobody.png)" in line


def test_two_files_for_one_are_refused(tmp_path):
    pairs(tmp_path)
    write(tmp_path / "masks" / "0_mask.png")
    assert "masks/0.png and 0_mask.png are both for 0; keep one" in refused(tmp_path)
    write(tmp_path / "masks" / "0.bmp")
    assert "have the same stem; keep one" in refused(tmp_path)


def test_two_endings_for_one_image_are_refused(tmp_path):
    pairs(tmp_path, ending="_mask")
    write(tmp_path / "masks" / "0_gt.png")
    assert "are both for 0; keep one" in refused(tmp_path)


# ---- values


KINDS = {
    "grey": (VALUES, None, ("background", "class_255")),
    "indices": (VALUES // 255, None, ("background", "class_1")),
    "palette": (VALUES // 255 * 2, "P", ("background", "class_2")),
    "palette in place of its grey": (VALUES // 255, "P", ("background", "class_1")),
    "black and white": (VALUES > 0, None, ("background", "class_1")),
    "16 bits": (VALUES.astype(np.uint16) * 200, None, ("background", "class_51000")),
    "grey as RGB": (VALUES[:, :, None].repeat(3, axis=2), None, ("background", "class_255")),
    "no zero": (VALUES // 255 + 4, None, ("class_4", "class_5")),
    "colours": (VALUES[:, :, None] * np.array([1, 0, 0], np.uint8), None, ("background", "#FF0000")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_values_of_any_kind_of_mask_become_classes_by_their_rank(tmp_path, kind):
    mask, mode, names = KINDS[kind]
    spec, _, masks = train(pairs(tmp_path, mask=mask, mode=mode))
    assert spec.class_names == names
    assert spec.out_features == 2
    assert all(own.tolist() == CLASSES for own in masks)


def test_each_colour_is_a_class_black_first(tmp_path):
    colours = np.array(
        [[[255, 255, 255], [0, 0, 0], [0, 0, 255]], [[0, 255, 0], [255, 0, 0], [255, 255, 255]]], np.uint8
    )
    spec, _, masks = train(pairs(tmp_path, mask=colours))
    assert spec.class_names == ("background", "#0000FF", "#00FF00", "#FF0000", "#FFFFFF")
    assert masks[0].tolist() == [[4, 0, 1], [2, 3, 4]]
    spec, _, masks = train(
        tmp_path, values=("#FF0000", "#0000FF", "#00FF00", 0), ignore="#FFFFFF", classes=tuple("abcd")
    )
    assert (spec.class_names, spec.out_features) == (tuple("abcd"), 4)
    assert masks[0].tolist() == [[255, 3, 1], [2, 0, 255]]


def test_a_mask_of_black_and_white_alone_keeps_its_colours_among_others(tmp_path):
    pairs(tmp_path, ("0",), mask=KINDS["grey as RGB"][0])
    pairs(tmp_path, ("1",), mask=KINDS["colours"][0])
    pairs(tmp_path, ("2",), mask=np.zeros((2, 3), np.uint8))  # black is black
    spec, _, masks = train(tmp_path)
    assert spec.class_names == ("background", "#FF0000", "#FFFFFF")
    assert masks.tolist() == [(2 * np.array(CLASSES)).tolist(), CLASSES, [[0] * 3] * 2]


def test_grey_can_be_said_as_a_colour(tmp_path):
    root = pairs(tmp_path, mask=KINDS["grey as RGB"][0])
    assert train(root, values=("#FFFFFF", "#000000"))[0].class_names == ("#FFFFFF", "background")
    pairs(tmp_path, ("4",))
    assert "has colours" in refused(root, values=("#FFFFFF", "#000000"))


def test_classes_are_those_of_the_whole_set(tmp_path):
    for number, value in enumerate((0, 40, 200)):
        pairs(tmp_path, (str(number),), mask=np.array([[0, value]], np.uint8))
    spec, _, masks = train(tmp_path, classes=("ground", "cat", "dog"))
    assert spec.class_names == ("ground", "cat", "dog")
    assert masks.tolist() == [[[0, 0]], [[0, 1]], [[0, 2]]]


IGNORING = {
    "two of 0 and 255": ([0, 255], None, {}, 2, False),
    "0, 1 and 255": ([0, 1, 255], None, {}, 2, True),
    "0, 1, 2 and 255": ([0, 1, 2, 255], None, {}, 3, True),
    "a gap in grey": ([0, 15, 255], None, {}, 3, False),
    "grey levels": ([0, 128, 255], None, {}, 3, False),
    "a gap in a palette": ([0, 15, 255], "P", {}, 2, True),
    "told": ([0, 15, 255], None, dict(ignore=255), 2, True),
    "told otherwise": ([0, 1, 255], None, dict(values=(0, 1, 255)), 3, False),
    "another one": ([0, 15, 255], None, dict(ignore=15), 2, True),
}


@pytest.mark.parametrize("case", IGNORING)
def test_what_is_not_counted(tmp_path, case):
    values, mode, keys, num_classes, is_ignored = IGNORING[case]
    spec, _, masks = train(pairs(tmp_path, mask=np.array([values], np.uint8), mode=mode), **keys)
    assert spec.out_features == num_classes
    assert (masks == 255).any() == is_ignored
    assert sorted(set(masks.unique().tolist()) - {255}) == list(range(num_classes))


def test_the_order_of_given_values_is_that_of_the_classes(tmp_path):
    spec, _, masks = train(pairs(tmp_path), values=(255, 0), classes=("cell", "membrane"))
    assert spec.class_names == ("cell", "membrane")
    assert masks[0].tolist() == [[1, 1, 0], [0, 1, 1]]


# ---- sizes


def test_both_are_resized_and_a_mask_gets_no_new_value(tmp_path):
    generator = np.random.default_rng(0)
    for k, shape in enumerate(((20, 30), (41, 17), (9, 9))):
        pairs(tmp_path, (str(k),), mask=generator.choice(np.array([0, 7, 200], np.uint8), shape))
    assert "images have different sizes: 20x30 (0.png) and 41x17 (1.png); set data.image_size=256" in refused(tmp_path)
    spec, images, masks = train(tmp_path, image_size=(16, 24), in_channels=1)
    assert spec.image_size == (16, 24) and spec.mean == (0.449,)
    assert (images.shape, masks.shape) == ((3, 1, 16, 24), (3, 16, 24))
    assert set(masks.unique().tolist()) == {0, 1, 2}
    assert train(tmp_path, image_size=8)[1].shape == (3, 3, 8, 8)


@settings(max_examples=30, deadline=None)
@given(size=st.tuples(st.integers(12, 70), st.integers(12, 70)), seed=st.integers(0, 99))
def test_an_image_painted_from_its_mask_agrees_after_resizing(tmp_path_factory, size, seed):
    root = tmp_path_factory.mktemp("masks")
    mask = np.zeros((30, 24), np.uint8)
    top, left = np.random.default_rng(seed).integers(0, 12, 2)
    mask[top : top + 14, left : left + 10] = 255
    for folder in ("images", "masks"):
        write(root / folder / "0.png", mask)
    _, images, masks = train(root, image_size=size, in_channels=1)
    assert (images[0, 0][masks[0] == 1] >= 55).all()
    assert (images[0, 0][masks[0] == 0] <= 155).all()


def test_an_image_that_exif_turns_agrees_with_its_mask(tmp_path):
    write(tmp_path / "images" / "0.jpg", np.zeros((3, 2), np.uint8), exif=6)
    write(tmp_path / "masks" / "0.png")
    _, images, _ = train(tmp_path)
    assert images.shape == (1, 3, 2, 3)
    write(tmp_path / "images" / "0.jpg", np.zeros((2, 3), np.uint8), exif=6)
    line = refused(tmp_path)
    assert "images/0.jpg has 3x2 pixels, its mask" in line and "2x3; they must agree" in line


def test_sizes_that_do_not_agree_are_refused_even_if_both_are_resized(tmp_path):
    root = pairs(tmp_path)
    write(tmp_path / "images" / "1.png", np.zeros((2, 4), np.uint8))
    assert "images/1.png has 2x4 pixels" in refused(root, image_size=8)


# ---- refusals


def smoothed():
    mask = np.zeros((20, 20), np.uint8)
    mask[5:15, 5:15], mask[4, 4:13] = 255, np.arange(20, 200, 20)
    return mask


BAD = {
    "a photograph": (np.arange(600, dtype=np.uint16).reshape(20, 30), {}, "has 600 different values"),
    "smoothed": (smoothed(), {}, "has 11 grey levels, nearly all of them rare: smoothed edges"),
    "one value": (np.zeros((2, 3), np.uint8), {}, "of 3 masks each pixel has the one value 0"),
    "float": (np.zeros((2, 3), np.float32), {}, "cannot be decoded|has pixels of the kind F"),
    "unmapped": (VALUES, dict(values=(0, 1)), r"data.values: .*0.png has the value 255, which is none of 0, 1; add"),
    "names": (VALUES, dict(classes=("a",)), "data.classes: needs 2 different names, for the values 0, 255; found a"),
    "names twice": (VALUES, dict(classes=("a", "a")), "needs 2 different names"),
    "values twice": (VALUES, dict(values=(1, 1)), "data.values: needs two or more different values, found 1, 1"),
    "no colour": (VALUES, dict(values=(0, "red")), "data.values: 'red' is neither a number nor a colour such as"),
    "nothing left": (VALUES, dict(ignore=255), "of 3 masks each pixel has the one value 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_masks_that_are_none_are_refused(tmp_path, case):
    mask, keys, reason = BAD[case]
    suffix = "tiff" if mask.dtype == np.float32 else "png"
    for k in range(3):
        write(tmp_path / "images" / f"{k}.png", np.zeros(mask.shape[:2], np.uint8))
        write(tmp_path / "masks" / f"{k}.{suffix}", mask)
    import re

    assert re.search(reason, refused(tmp_path, **keys))


def test_few_smoothed_values_that_are_named_are_refused_too(tmp_path):
    pairs(tmp_path, mask=smoothed())
    assert "has the value 20, which is none of 0, 255" in refused(tmp_path, values=(0, 255))


def test_lossy_masks_are_refused(tmp_path):
    pairs(tmp_path)
    (tmp_path / "masks" / "1.png").unlink()
    write(tmp_path / "masks" / "1.jpg")
    assert "masks/1.jpg is a JPEG, whose losses change the values of a mask; save masks as PNG" in refused(tmp_path)
    (tmp_path / "masks" / "1.jpg").rename(tmp_path / "masks" / "1.png")  # its name does not hide it
    assert "masks/1.png is a JPEG" in refused(tmp_path)


def test_a_value_that_cannot_be_learned_is_refused(tmp_path):
    for part, value in (("train", 100), ("val", 100), ("test", 200)):
        pairs(tmp_path, images=f"{part}/images", masks=f"{part}/masks", mask=np.array([[0, value]], np.uint8))
    line = refused(tmp_path)
    assert "test/masks/0.png, in the test part, has the value 200, which no mask of the training part has" in line
    assert train(tmp_path, values=(0, 100, 200))[0].out_features == 3
    assert train(tmp_path, ignore=200)[0].out_features == 2


def test_masks_of_several_kinds_are_refused(tmp_path):
    pairs(tmp_path)
    pairs(tmp_path, ("3",), mask=KINDS["colours"][0])
    assert "masks/3.png has colours" in refused(tmp_path)


def test_broken_files_are_named(tmp_path):
    root = pairs(tmp_path)
    for folder in ("masks", "images"):
        kept = (tmp_path / folder / "1.png").read_bytes()
        (tmp_path / folder / "1.png").write_bytes(kept[:40])
        line = refused(root)
        assert f"{folder}/1.png: cannot be decoded" in line
        (tmp_path / folder / "1.png").write_bytes(kept)


def test_folders_that_do_not_fit_are_refused(tmp_path):
    assert "data.root: no folder" in refused(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"data\.root: no folder given; write data\.root=FOLDER"):
        MaskFolder()
    (tmp_path / "images").mkdir()
    assert "data.masks: " in refused(tmp_path)
    (tmp_path / "masks").mkdir()
    assert "images has no images" in refused(tmp_path)
    pairs(tmp_path, images="images/a", masks="masks/a")
    assert "holds the folder a; images must lie directly in it" in refused(tmp_path)


def test_part_folders_must_be_complete(tmp_path):
    pairs(tmp_path, images="images/val", masks="masks/val")
    assert "has a folder for val but none for train" in refused(tmp_path)
    pairs(tmp_path, images="images/train", masks="masks/train")
    pairs(tmp_path, images="images/test", masks="masks/other")
    assert "folders for train, val, test" in refused(tmp_path) or "folders for test, train, val" in refused(tmp_path)


def test_too_few_for_all_parts(tmp_path):
    pairs(tmp_path, ("0", "1"))
    with pytest.raises(UserError, match="2 samples are too few for train, val, test"):
        MaskFolder(root=str(tmp_path)).load()


def test_one_path_is_all_that_a_run_needs(tmp_path, monkeypatch, capsys):
    """Squares in the brighter part of an image, found after a few epochs of windows; images of an odd size."""
    monkeypatch.chdir(tmp_path)
    for k in range(10):
        mask = np.zeros((21, 26), np.uint8)
        mask[k : k + 10, k : k + 12] = 255
        write(tmp_path / "scans" / "images" / f"{k}.png", mask // 2 + 60)
        write(tmp_path / "scans" / "masks" / f"{k}_mask.png", mask)
    words = ["data=masks", "data.root=scans", "model=unet", "model.channels=4", "model.depth=1", "augment=geometric"]
    words += ["augment.crop=16", "augment.border=reflect", "trainer.epochs=12", "trainer.batch_size=4"]
    assert main.main([*words, "optimizer.lr=0.03", "task=segmentation", "task.dice_weight=1", "folder=run"]) == 0
    run = runs.open_run("run")
    assert run.metrics["test/mean_iou"] > 0.8
    assert {"test/dice", "test/pixel_accuracy", "test/iou_class_255", "val/mean_iou"} <= set(run.metrics)
    found = {path.name for path in (tmp_path / "run/plots").iterdir()}
    assert {"masks.png", "class_overlap.png"} <= found
    header = (tmp_path / "run/predictions.csv").read_text().partition("\n")[0]
    assert header == "index,pixel_accuracy,mean_iou"
    capsys.readouterr()
    assert main.main(["predict", "run", "scans/images/0.png"]) == 0
    assert "class_255" in capsys.readouterr().out
