"""Three plug-ins that no built-in task resembles, each one file against the public contracts: trained on both roads,
killed and gone on with, evaluated, asked and reported. None of them needs a line of dlrun."""

import ast
import json
import pathlib

import pytest
import torch
from killing import content, killed_in_training
from PIL import Image
from plugged_in import plugged_in

from dlrun.cli import main
from dlrun.store import checkpoint

HERE = pathlib.Path(__file__).parent
COMMON = ["logger=none", "device.threads=1", "trainer.epochs=4", "device=cpu"]
PLUGINS = {
    "boxes": (
        ["model=grid_detector", "data=rectangles", "augment=flip", "trainer.batch_size=8", "optimizer.lr=0.01"],
        "val/ap50",
    ),
    "boxes_geometric": (
        ["model=grid_detector", "data=rectangles", "augment=geometric", "augment.mirror=0.5", "trainer.batch_size=8"],
        "val/ap50",
    ),
    "margin": (
        ["model=person_embedder", "data=people", "task=a_margin", "sampler=classes", "sampler.num_classes=3"]
        + ["sampler.num_samples=2", "optimizer.lr=0.01"],
        "val/recall_at_1",
    ),
    "canvas": (["model=a_canvas", "data=one_picture", "optimizer.lr=0.2", "scheduler=none"], "train/loss"),
    "canvas_lbfgs": (
        ["model=a_canvas", "data=one_picture", "optimizer=lbfgs", "optimizer.max_iter=4", "scheduler=none"],
        "train/loss",
    ),
}


@pytest.fixture(params=PLUGINS)
def plugin(request, tmp_path, monkeypatch):
    """(The words of a run, what it watches), the plug-in loaded, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    text = (HERE / f"{request.param.split('_')[0]}_plugin.py").read_text()
    with plugged_in(tmp_path / "plugin.py", text):
        words, watch = PLUGINS[request.param]
        yield [*words, *COMMON], watch


def dlrun(*words):
    assert main.main([str(word) for word in words]) == 0, words


def test_trains_goes_on_and_answers(plugin, tmp_path, capsys):
    words, watch = plugin
    dlrun(*words, "folder=whole")
    assert json.loads((tmp_path / "whole/status.json").read_text())["watch"] == watch
    whole = content(tmp_path / "whole")

    dlrun(*words, "folder=workers", "device.residency=workers", "device.workers=2")
    # The checkpoints name no road, and hold the same bits on either.
    assert content(tmp_path / "workers") == whole

    killed_in_training([*words, "folder=killed"], step=4 if "data=one_picture" not in words else 3)
    dlrun("resume", "killed")
    assert content(tmp_path / "killed") == whole

    dlrun("eval", "whole")
    dlrun("report", "whole", "killed")
    assert (tmp_path / "report.csv").exists()
    if "data=people" in words:
        dlrun("predict", "whole", "1,2,3,4,5,6")
    else:
        Image.new("RGB", (16, 16), (90, 20, 200)).save(tmp_path / "asked.png")
        dlrun("predict", "whole", "asked.png")
    assert "asked.png" in capsys.readouterr().out or "data=people" in words


def test_the_best_epoch_is_the_one_that_the_metric_chose(plugin, tmp_path):
    words, watch = plugin
    dlrun(*words, "folder=run", "logger.pictures=true")
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    rows = (tmp_path / "run/metrics.csv").read_text().splitlines()
    names = rows[0].split(",")
    values = [float(row.split(",")[names.index(watch)]) for row in rows[1:]]
    if watch.startswith("val/"):
        assert values[summary["best_epoch"] - 1] == max(values)
    else:
        assert summary["best_epoch"] == 4
        assert values[-1] < 0.8 * values[0]
        assert len(list((tmp_path / "run/samples").iterdir())) == 4
        names = {path.name for path in (tmp_path / "run/plots").iterdir()}
        assert names == {"painted.png", "painted.webp", "samples.png", "learning_curves.png"}
        with Image.open(tmp_path / "run/plots/painted.png") as painted:
            assert painted.size == (12, 12)  # pixel by pixel, not as a figure
        assert list(checkpoint.read(tmp_path / "run/checkpoints/best.safetensors")["model"]) == ["picture"]


def test_boxes_move_with_their_pixels(tmp_path, monkeypatch):
    from dlrun.engine.contracts import LoaderOptions
    from dlrun.engine.loading import PartLoader

    with plugged_in(tmp_path / "plugin.py", (HERE / "boxes_plugin.py").read_text()):
        from dlrun.augment import AUGMENTS
        from dlrun.augment.augmentation import Augmentation
        from dlrun.config import registry
        from dlrun.data import DATA

        registry.load_plugins()
        part = DATA.get("rectangles")().load()["train"]
        for change in (AUGMENTS.get("flip")(), AUGMENTS.get("geometric")(rotation=0, shear=0, warp=0, mirror=0.5)):
            options = LoaderOptions(lambda raw: raw, torch.device("cpu"), augment=Augmentation(change, seed=3))
            (batch,) = PartLoader(part, options).batches(epoch=1)
            for image, boxes in zip(batch.inputs[0], batch.target, strict=True):
                for left, top, right, bottom in boxes.tolist():
                    if right - left < 2 or bottom - top < 2:
                        continue
                    middle = image[0, int((top + bottom) / 2), int((left + right) / 2)]
                    assert middle > 150, "the middle of a box is bright"


@pytest.mark.parametrize("path", sorted(HERE.glob("*_plugin.py")), ids=lambda path: path.stem)
def test_a_plug_in_knows_contracts_and_registries_alone(path):
    modules = {node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)}
    public = {"dlrun.config.spec", "dlrun.engine.contracts", "dlrun.engine.metrics", "dlrun.engine.parts"}
    public |= {"dlrun.models", "dlrun.data", "dlrun.tasks", "dlrun.augment"}
    assert {module for module in modules if module.startswith("dlrun")} <= public
