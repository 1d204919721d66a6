"""Runs that learn who is seen: the same bits on both roads and after a kill, a threshold of val, comparisons."""

import json

import pytest
import torch
from killing import same_bits
from PIL import Image

from dlrun.cli import main
from dlrun.data.faces.drawn import DrawnFaces
from dlrun.store import checkpoint

SMALL = ["data=drawn_faces", "data.num_train_people=6", "data.num_val_people=3", "data.num_test_people=3"]
SMALL += ["data.num_images=5", "data.image_size=32"]
COMMON = [
    "model=embedder", "model.channels=[4,8]", *SMALL, "sampler=classes", "sampler.num_classes=3",
    "sampler.num_samples=4", "trainer.epochs=3", "device=cpu", "device.threads=1", "logger.tensorboard=false",
    "optimizer=adam",
]  # fmt: skip
RUNS = {
    "triplet": ["task=triplet"],
    "random": ["task=triplet", "task.mining=random"],
    "siamese": ["task=siamese", "augment=geometric", "augment.mirror=0.5"],
    "logistic": ["task=siamese", "task.loss=logistic", "model.pair_unit=true"],
}
PICTURES = {"distances", "embedding", "hardest_pairs", "learning_curves", "nearest", "triplets"}


def dlrun(*words):
    assert main.main([str(word) for word in words]) == 0, words


@pytest.mark.parametrize("name", RUNS)
def test_a_run_gives_the_same_bits_on_both_roads_and_after_a_kill(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [*COMMON, *RUNS[name]]
    draws = name == "triplet"
    logged = f"logger.tensorboard={str(draws).lower()}"
    dlrun(*words, "folder=whole", f"logger.pictures={str(draws).lower()}", logged)
    assert (tmp_path / "whole/projector_config.pbtxt").exists() is draws
    assert json.loads((tmp_path / "whole/status.json").read_text())["watch"] == "val/roc_auc"
    assert {path.stem for path in (tmp_path / "whole/plots").glob("*.png")} == (PICTURES if draws else set())
    same_bits([*words, "logger.pictures=false"], tmp_path, step=3)

    summary = json.loads((tmp_path / "whole/summary.json").read_text())["metrics"]
    best = checkpoint.read(tmp_path / "whole/checkpoints/best.safetensors")["model"]
    # The threshold of the test part is the one that was best for the people of val.
    assert summary["test/threshold"] == summary["val/threshold"] == pytest.approx(best["threshold"].item())
    assert {"test/pixels_roc_auc", "test/untrained_one_shot", "test/one_shot"} <= summary.keys()
    dlrun("eval", "whole")
    dlrun("report", "whole", "killed")


def test_the_projector_has_a_point_a_name_and_a_thumbnail_of_each_picture(tmp_path):
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    from dlrun.engine.contracts import Embedded
    from dlrun.run.loggers.tensorboard import TensorBoard

    vectors = torch.arange(14.0).view(7, 2)
    names = ["ann", "two\nlines\tand a tab", "ann", "b", "b", "b", "b"]
    images = torch.zeros(7, 1, 9, 11, dtype=torch.uint8)
    images[3] = 200
    for _ in range(2):  # a run that is resumed writes it once more
        events = TensorBoard(tmp_path)
        events.points(lambda: Embedded(vectors, names, images))
        events.close("done")
    config = text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), ProjectorConfig())
    (shown,) = config.embeddings
    lines = (tmp_path / shown.tensor_path).read_text().splitlines()
    assert [[float(cell) for cell in line.split("\t")] for line in lines] == vectors.tolist()
    found = (tmp_path / shown.metadata_path).read_text().splitlines()
    assert found == ["ann", "two lines and a tab", "ann", "b", "b", "b", "b"]
    width, height = shown.sprite.single_image_dim
    with Image.open(tmp_path / shown.sprite.image_path) as sprite:
        assert sprite.size == (3 * width, 3 * height)  # 7 pictures in rows of 3
        bright = [
            sprite.getpixel((column * width + width // 2, row * height + height // 2))[0]
            for row in range(3)
            for column in range(3)
        ]
    assert [value > 100 for value in bright] == [place == 3 for place in range(9)]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a run, and one without a picture."""
    folder = tmp_path_factory.mktemp("faces")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        dlrun(*COMMON, "trainer.epochs=1", "logger=none", "folder=run")
    (folder / "empty").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (32, 32), (9, 9, 9)).save(folder / name)
    return folder


def test_two_pictures_are_compared_and_a_gallery_is_ranked(home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    part = DrawnFaces(num_train_people=2, num_val_people=0, num_test_people=0, num_images=3, image_size=32).load()[
        "train"
    ]
    for image, who in zip(part.inputs[0], part.target.tolist(), strict=True):
        folder = home / f"known/person {who}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{len(list(folder.iterdir()))}.png")
    one, other = "known/person 0/0.png", "known/person 1/0.png"
    _, first, second = _rows(capsys, "predict", "run", one, one, other)
    assert "yes (up to" in first and "0.000" in first
    assert ("yes (up to" in second) != ("no (up to" in second)
    header, first, second = _rows(capsys, "predict", "run", one, other, "--gallery", "known")
    assert "nearest" in header and "2." in header
    assert "person 0 0.000" in first and "person 1 0.000" in second


def _rows(capsys, *words):
    capsys.readouterr()
    dlrun(*words)
    return [line for line in capsys.readouterr().out.splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a.png"], "give two of them, or --gallery FOLDER"),
        (["a.png", "--gallery", "gone"], "--gallery: no folder gone"),
        (["a.png", "--gallery", "empty"], "--gallery: no image in empty, nor in a folder in it"),
        (["a.png", "b.png", "--score", "0.5"], "--score is for a run that finds places"),
    ],
)
def test_what_cannot_be_compared_is_one_line(words, says, home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    capsys.readouterr()
    assert main.main(["predict", "run", *words]) == 2
    error = capsys.readouterr().err
    assert says in error and len(error.splitlines()) == 1


def test_a_loss_of_a_unit_needs_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main.main([*COMMON, "task=siamese", "task.loss=logistic"]) == 2
    assert "set model.pair_unit=true" in capsys.readouterr().err


def test_without_a_margin_all_is_one_point_and_the_run_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["experiment=margin_zero", "trainer.epochs=2", "trainer.eval_every=2", "device.threads=1", "logger=none"]
    dlrun(*words, "model.channels=[8,16]", "folder=zero")
    out = capsys.readouterr().out
    assert "dlrun: note: collapsed: different ones are" in out
    dlrun(*words, "model.channels=[8,16]", "task.margin=0.2", "folder=apart")
    assert "collapsed" not in capsys.readouterr().out
    assert torch.tensor(json.loads((tmp_path / "apart/summary.json").read_text())["metrics"]["test/spread"]) > 0.1
