"""`dlrun predict` on runs that learned where things are in images."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from dlrun.cli import main

SHAPES = ["data=shapes", "data.num_train=16", "data.num_val=4", "data.num_test=4", "trainer.batch_size=8"]
# So soon after the start no box has a score of any height.
YOLO = ["model=yolo", "model.channels=[4,4,8]", "model.score_threshold=0.0001"]
RUNS = {
    "boxes": [*YOLO, *SHAPES],
    "files": [*YOLO, "data=yolo", "data.root={root}", "data.image_size=64"],
    "object": ["model=localizer", "model.channels=[4,4]", *SHAPES],
    "points": ["model=keypoint_net", "model.channels=[4,4]", "data.kinds=[square]", *SHAPES],
    "mask": ["model=unet", "model.channels=4", *SHAPES],
    "instances": ["model=mask_rcnn", "model.channels=[4,8,8]", *SHAPES],
    "class": ["model=cnn", "data=digits", "trainer.limit_batches=2"],
}
SIZES = {"wide.png": (300, 90), "tall.jpg": (80, 210)}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a run of each kind, and photos."""
    folder = tmp_path_factory.mktemp("places")
    chance = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for name, (width, height) in SIZES.items():
        Image.fromarray(chance.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(folder / "photos" / name)
    for kind in ("images", "labels"):
        (folder / "own" / kind).mkdir(parents=True)
    (folder / "own" / "classes.txt").write_text("cat\ndog\n")
    for number in range(12):
        image = Image.fromarray(chance.integers(0, 255, (40, 120, 3), dtype=np.uint8))
        image.save(folder / "own" / "images" / f"{number}.png")
        (folder / "own" / "labels" / f"{number}.txt").write_text(f"{number % 2} 0.5 0.5 0.3 0.6\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, words in RUNS.items():
            words = [word.replace("{root}", str(folder / "own")) for word in words]
            assert main.main([*words, "trainer.epochs=1", "logger=none", f"folder=runs/{name}"]) == 0
    return folder


@pytest.fixture
def predict(home, tmp_path, monkeypatch, capsys):
    """`predict("boxes", "photos")`: what it prints; `code=2`: the line of error. Writes below `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def call(run, *words, code=0):
        words = [str(home / word) if word.startswith("photos") else word for word in words]
        assert main.main(["predict", str(home / "runs" / run), *words]) == code
        out, err = capsys.readouterr()
        assert (out == "") == (code != 0)
        return err.strip() if code else out.splitlines()

    return call


def result(folder):
    """What is in detections.json, once faster-coco-eval has read it beside images.json."""
    from faster_coco_eval import COCO

    listed = json.loads((folder / "detections.json").read_text())
    read = COCO(str(folder / "images.json")).loadRes(str(folder / "detections.json"))
    assert len(read.anns) == len(listed)
    return listed


@pytest.mark.parametrize("run", ["boxes", "files", "object", "points", "mask", "instances"])
def test_pictures_have_the_size_of_their_images(predict, tmp_path, run):
    score = [] if run == "mask" else ["--score", "0"]
    lines = predict(run, "photos", *score)
    assert [line.split()[0].split("/")[-1] for line in lines[1:-1]] == ["tall.jpg", "wide.png"]
    assert lines[-1] == "predictions: 2 pictures"
    assert {path.name for path in (tmp_path / "predictions").iterdir()} == {"wide.png", "tall.png"}
    for name, size in SIZES.items():
        with Image.open(tmp_path / "predictions" / name.replace("jpg", "png")) as picture:
            assert picture.size == size and picture.mode == "RGB"


@pytest.mark.parametrize("run", ["boxes", "files", "object", "points", "instances"])
def test_with_a_score_of_one_nothing_is_drawn_and_with_none_something(predict, tmp_path, home, run):
    before = np.asarray(Image.open(home / "photos/wide.png"))
    predict(run, "photos/wide.png", "--score", "1", "--out", "none", "--format", "coco")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "none/wide.png")), before)
    assert json.loads((tmp_path / "none/detections.json").read_text()) == []
    predict(run, "photos/wide.png", "--score", "0", "--out", "all")
    assert not np.array_equal(np.asarray(Image.open(tmp_path / "all/wide.png")), before)


@pytest.mark.parametrize("run", ["boxes", "files", "object", "instances"])
def test_coco_is_read_by_its_evaluator_and_boxes_lie_inside(predict, tmp_path, run):
    lines = predict(run, "photos", "--score", "0", "--format", "coco", "--out", "found")
    assert lines[-1] == "found: 2 pictures, detections.json, images.json"
    found = result(tmp_path / "found")
    described = json.loads((tmp_path / "found/images.json").read_text())
    sizes = {image["id"]: SIZES[image["file_name"]] for image in described["images"]}
    assert found and len(sizes) == 2
    for entry in found:
        x, y, width, height = entry["bbox"]
        assert min(x, y) >= 0 and width > 0 and height > 0
        assert x + width <= sizes[entry["image_id"]][0] + 0.01 and y + height <= sizes[entry["image_id"]][1] + 0.01
        assert SIZES[entry["file_name"]] == sizes[entry["image_id"]]
        assert entry["category_id"] in {kind["id"] for kind in described["categories"]} and 0 <= entry["score"] <= 1
        assert ("segmentation" in entry) == (run == "instances")
        if run == "instances":
            assert entry["segmentation"]["size"] == list(sizes[entry["image_id"]][::-1])


def test_points_are_coco_key_points(predict, tmp_path):
    predict("points", "photos", "--score", "0", "--format", "coco", "--out", "found")
    for entry in result(tmp_path / "found"):
        assert len(entry["keypoints"]) == 12
        width, height = SIZES[entry["file_name"]]
        assert all(0 <= x <= width for x in entry["keypoints"][::3])
        assert all(0 <= y <= height for y in entry["keypoints"][1::3])
    assert "--format yolo: it can be coco" in predict("points", "photos", "--format", "yolo", code=2)


def test_yolo_files_are_what_the_reader_of_yolo_takes(predict, tmp_path):
    """But for the score at the end of a line: what was found is no truth yet."""
    from dlrun.data.boxes.letterbox import to_image
    from dlrun.data.boxes.objects import ObjectsFiles
    from dlrun.data.boxes.yolo import Yolo

    predict("files", "photos", "--score", "0", "--format", "coco", "--out", "as_coco")
    lines = predict("files", "photos", "--score", "0", "--format", "yolo", "--out", "found")
    assert lines[-1] == "found: 2 pictures, classes.txt"
    folder = tmp_path / "found"
    for name in ("wide", "tall"):
        rows = (folder / f"{name}.txt").read_text().splitlines()
        assert rows and all(len(row.split()) == 6 for row in rows)
        big = [row.rsplit(" ", 1)[0] for row in rows if float(row.split()[3]) > 0.02 and float(row.split()[4]) > 0.02]
        (folder / f"{name}.txt").write_text("\n".join(big))
    part = Yolo(root=str(folder), image_size=64, val_fraction=0, test_fraction=0).load()["train"]
    assert isinstance(part, ObjectsFiles)
    coco = json.loads((tmp_path / "as_coco/detections.json").read_text())
    for path, boxes, frame in zip(part.paths, part.target.boxes, part.target.frame, strict=True):
        stem = path.rsplit("/", 1)[-1].removesuffix(".png")
        own = to_image(boxes, frame)
        wanted = torch.tensor([entry["bbox"] for entry in coco if entry["file_name"].startswith(stem)])
        wanted = torch.cat([wanted[:, :2], wanted[:, :2] + wanted[:, 2:]], dim=1)
        assert len(own) > 0
        assert (own[:, None] - wanted).abs().amax(dim=2).amin(dim=1).max() < 0.002


def test_boxes_come_back_through_the_frame_of_each_data_set(home):
    """Squeezed by the made data, and letterboxed by those of the user's own files."""
    from dlrun.cli.verbs.predict import runs
    from dlrun.data import inputs
    from dlrun.run import stored, trained
    from dlrun.tasks.places import in_image

    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for name in ("boxes", "files"):
            run = runs.open_run(f"runs/{name}")
            loaded = trained.load(stored.config_of(run, on_cpu=True), run.path, with_data=False)
            (image,), raw = inputs.read_images(loaded.dataset, loaded.offered, ["photos/wide.png"])
            assert raw.shape == (1, 3, 64, 64) and image.size == (300, 90)
            found[name] = (raw, in_image(torch.tensor([[16.0, 32, 48, 64], [0, 0, 64, 4]]), image))
    squeezed, letterboxed = found["boxes"][1], found["files"][1]
    assert squeezed[0][0].tolist() == pytest.approx([75, 45, 225, 90], abs=1e-3)
    # 19 of 64 rows show the image, the first of them is 22; the second box lies in the margin.
    assert letterboxed[0][0].tolist() == pytest.approx([75, 10 * 90 / 19, 225, 90], abs=1e-3)
    assert squeezed[1].tolist() == [True, True] and letterboxed[1].tolist() == [True, False]
    assert (found["files"][0][0, :, :22] == 114).all()


def test_nothing_is_overwritten(predict, tmp_path):
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions/wide.png").write_text("mine")
    (tmp_path / "predictions/images.json").write_text("mine")
    lines = predict("boxes", "photos/wide.png", "photos/wide.png", "--format", "coco")
    assert lines[-1] == "predictions: 2 pictures, detections_2.json, images_2.json"
    assert {path.name for path in (tmp_path / "predictions").iterdir()} == {
        "wide.png", "wide_2.png", "wide_3.png", "images.json", "detections_2.json", "images_2.json",
    }  # fmt: skip
    assert (tmp_path / "predictions/wide.png").read_text() == "mine"
    (tmp_path / "taken").write_text("a file")
    assert "cannot write taken" in predict("boxes", "photos", "--out", "taken", code=2)


def test_frames_of_a_video_stay_in_order(predict, tmp_path):
    (tmp_path / "video").mkdir()
    for number in range(1, 21):
        Image.new("RGB", (30, 20)).save(tmp_path / "video" / f"frame{number}.png")
    lines = predict("boxes", "video")
    assert [line.split()[0] for line in lines[1:-1]] == [f"video/frame{number}.png" for number in range(1, 21)]


def test_a_broken_image_is_one_line_and_leaves_nothing(predict, tmp_path, home):
    (tmp_path / "broken.png").write_text("no image")
    error = predict("files", "broken.png", code=2)
    assert "broken.png: cannot be decoded" in error and "\n" not in error
    assert not (tmp_path / "predictions").exists()


@pytest.mark.parametrize(
    ("run", "words", "wanted"),
    [
        ("class", ["--out", "x"], "--out is for a run that finds places in images; this one learned class"),
        ("class", ["--format", "coco"], "--format is for a run that finds places"),
        ("class", ["--score", "0"], "--score is for a run that finds places"),
        ("mask", ["--score", "0.5"], "--score: what this run finds has no score"),
        ("mask", ["--format", "coco"], "--format coco: there is none for what this run finds"),
        ("boxes", ["--format", "voc"], "--format voc: it can be coco or yolo"),
        ("boxes", ["--score", "nan"], "--score must be between 0 and 1"),
        ("boxes", ["--score", "1.5"], "--score must be between 0 and 1"),
    ],
)
def test_options_that_mean_nothing_are_refused(predict, tmp_path, run, words, wanted):
    assert wanted in predict(run, "photos", *words, code=2)
    assert not list(tmp_path.iterdir())


def test_other_runs_write_nothing(predict, tmp_path):
    assert len(predict("class", "photos")) == 3
    assert not list(tmp_path.iterdir())
