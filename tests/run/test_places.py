"""Runs that learn where things are: the same bits on both roads and after a kill, evaluated, reported, drawn."""

import json

import pytest
import torch
from killing import same_bits

from dlrun.cli import main
from dlrun.models import MODELS
from dlrun.run.loggers.tensorboard import TensorBoard

SMALL = ["data=shapes", "data.num_train=24", "data.num_val=8", "data.num_test=8", "data.empty=0.3"]
COMMON = [
    *SMALL,
    "trainer.batch_size=8",
    "trainer.epochs=3",
    "device=cpu",
    "device.threads=1",
    "logger.tensorboard=false",
]
MOVED = ["augment=geometric", "augment.mirror=0.5", "augment.padding=6"]
# The words, what the run watches, and the pictures beside the learning curves.
RUNS = {
    "localizer": (["model=localizer", "model.channels=[4,8]", *MOVED], "mean_iou", {"iou", "predictions"}),
    "keypoint_net": (
        ["model=keypoint_net", "model.channels=[4,8]", "data.kinds=[square]", *MOVED],
        "point_error",
        {"point_errors", "predictions"},
    ),
    "yolo": (
        ["model=yolo", "model.channels=[4,8,8]", *MOVED],
        "map50",
        {"predictions", "precision_recall", "iou", "suppression", "grid"},
    ),
    "yolo_mosaic": (
        ["model=yolo", "model.channels=[4,8,8]", "model.scales=2", "augment=mosaic"],
        "map50",
        {"predictions", "precision_recall", "iou", "suppression", "grid"},
    ),
    "sliding_window": (
        ["model=sliding_window", "model.channels=4"],
        "map50",
        {"predictions", "precision_recall", "iou", "suppression"},
    ),
    "mask_rcnn": (
        ["model=mask_rcnn", "model.channels=[4,8]", "model.hidden_size=8", "model.mask_channels=4", *MOVED],
        "mask_map50",
        {"predictions", "precision_recall", "iou", "suppression", "masks"},
    ),
    "unet": (
        ["model=unet", "model.channels=4", "model.depth=2", *MOVED, "augment.crop=32"],
        "mean_iou",
        {"masks", "class_overlap"},
    ),
}


def dlrun(*words):
    assert main.main([str(word) for word in words]) == 0, words


@pytest.mark.parametrize("name", RUNS)
def test_a_run_gives_the_same_bits_on_both_roads_and_after_a_kill(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words, watch, pictures = RUNS[name]
    words = [*words, *COMMON]
    dlrun(*words, "folder=whole")
    assert json.loads((tmp_path / "whole/status.json").read_text())["watch"] == f"val/{watch}"
    drawn = {path.stem for path in (tmp_path / "whole/plots").glob("*.png")}
    assert drawn == pictures | {"learning_curves"}
    same_bits([*words, "logger.pictures=false"], tmp_path, step=5)

    dlrun("eval", "whole")
    dlrun("report", "whole", "killed")


def test_the_recall_of_proposals_can_be_watched_where_there_are_some(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [*COMMON, "trainer.epochs=1", "trainer.watch=proposal_recall50", "model.channels=[4,8]", "folder=run"]
    dlrun("model=fast_rcnn", "model.hidden_size=8", "model.proposer=selective_search", *words)
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert 0.5 < summary["metrics"]["val/proposal_recall50"] <= 1
    capsys.readouterr()
    assert main.main(["model=yolo", *words, "folder=other"]) == 2
    error = capsys.readouterr().err
    assert error == "dlrun: error: trainer.watch: model=yolo gives no proposal_recall50; watch map50\n"


@pytest.mark.parametrize("name", ["localizer", "yolo", "sliding_window", "faster_rcnn", "mask_rcnn", "unet"])
def test_tensorboard_draws_the_graph_whatever_a_model_answers(name, tmp_path, capsys):
    sizes = {"in_channels": 3, "image_size": 64, "out_features": 2}
    wanted = MODELS.describe(name).parameters
    model = MODELS.get(name)(**{key: value for key, value in sizes.items() if key in wanted})
    events = TensorBoard(tmp_path)
    events.graph(model, (torch.rand(1, 3, 64, 64),))
    events.close("done")
    assert capsys.readouterr().out == ""


def test_images_without_objects_train_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn = set()
    for name, (words, _, pictures) in RUNS.items():
        is_new = not pictures <= drawn
        drawn |= pictures
        more = ["trainer.epochs=1", "data.empty=1", "data.num_val=0", f"logger.pictures={is_new}"]
        dlrun(*words, *COMMON, *more, f"folder={name}")
