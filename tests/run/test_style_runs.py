"""Style transfer as a run: the same bits after a kill by either optimizer, what it leaves, and what it refuses."""

import json

import pytest
import torch
from killing import same_bits
from PIL import Image

from dlrun.cli import main
from dlrun.store import checkpoint

SMALL = ["experiment=style_transfer", "data.image_size=24", "task.network=cnn", "task.style_layers=null"]
SMALL += ["task.content_layers=null", "trainer.eval_every=1", "trainer.save_every=1", "device=cpu", "device.threads=1"]
LBFGS = ["optimizer=lbfgs", "optimizer.lr=1", "optimizer.max_iter=5"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def dlrun(*words):
    assert main.main([str(word) for word in words]) == 0, words


def failed(capsys, code, *words):
    """The one line of error of a command."""
    capsys.readouterr()
    assert main.main([str(word) for word in words]) == code
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("dlrun: error: ")]
    return line.removeprefix("dlrun: error: ")


@pytest.mark.parametrize(
    "words",
    [["model.start=noise", "task.keep_colour=true"], LBFGS],
    ids=["adam from noise, colours kept", "lbfgs from the content"],
)
def test_a_run_gives_the_same_bits_on_both_roads_and_after_a_kill(words, tmp_path):
    words = [*SMALL, *words, "trainer.epochs=6"]
    dlrun(*words, "folder=whole")
    same_bits(words, tmp_path, step=4)
    for name in ("result", "samples", "style_transfer", "gram"):
        assert (tmp_path / f"killed/plots/{name}.png").read_bytes() == (
            tmp_path / f"whole/plots/{name}.png"
        ).read_bytes()
    dlrun("eval", "killed")


def test_what_a_run_leaves(tmp_path):
    dlrun(*SMALL, "folder=run", "trainer.epochs=12")
    names = {path.stem for path in (tmp_path / "run/plots").glob("*.png")}
    assert names == {"result", "style_transfer", "gram", "samples", "learning_curves"}
    rows = [row.split(",") for row in (tmp_path / "run/metrics.csv").read_text().splitlines()]
    assert rows[0] == ["epoch", "step", "lr", "train/loss", "train/content", "train/style", "train/tv"]
    assert len(rows) == 13
    with (
        Image.open(tmp_path / "run/plots/result.png") as result,
        Image.open(tmp_path / "run/samples/00012.png") as last,
    ):
        assert result.size == (24, 16) and result.mode == "RGB"
        assert result.tobytes() == last.tobytes()
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["metrics"]["train/style_fall"] > 1


@pytest.mark.parametrize("words", [["trainer.epochs=200"], [*LBFGS, "trainer.epochs=40"]], ids=["adam", "lbfgs"])
def test_the_style_loss_of_the_two_photographs_falls_twentyfold_in_200_steps(tmp_path, words):
    dlrun(*SMALL, *words, "data.image_size=48", "trainer.eval_every=200", "trainer.save_every=200", "folder=run")
    assert json.loads((tmp_path / "run/summary.json").read_text())["metrics"]["train/style_fall"] > 20


def test_no_network_that_is_only_looked_through_stands_in_a_checkpoint(tmp_path):
    dlrun(*SMALL, "folder=run", "trainer.epochs=1")
    best = checkpoint.read(tmp_path / "run/checkpoints/best.safetensors")
    assert list(best["model"]) == ["logits"]
    last = checkpoint.read(tmp_path / "run/checkpoints/last.safetensors")
    assert list(last["parts"]["model"]) == ["logits"]
    tensors = {}
    checkpoint._pack(last, tensors)
    pixels = best["model"]["logits"].shape
    assert all(value.shape in (pixels, ()) or value.dtype != torch.float32 for value in tensors.values())


def test_a_run_of_digits_can_be_looked_through_and_a_lost_one_is_a_line(tmp_path, capsys):
    dlrun("model=cnn", "data=digits", "trainer=smoke", "logger=none", "folder=digits")
    words = [*SMALL, "task.network=null", "task.weights=digits", "folder=run", "trainer.epochs=2"]
    dlrun(*words)
    assert "network cnn of digits\n" in capsys.readouterr().out
    (tmp_path / "digits").rename(tmp_path / "moved")
    line = failed(capsys, 2, "eval", "run")
    assert line.startswith(f"task.weights={tmp_path}/digits: no such folder or file; give the folder")


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_any_two_pictures(tmp_path, mode):
    Image.effect_noise((40, 30), 80).convert(mode).save("content.png")
    Image.effect_noise((30, 50), 80).convert(mode).save("style.png")
    dlrun(*SMALL, "data.content=content.png", "data.style=style.png", "folder=run", "trainer.epochs=2")
    with Image.open(tmp_path / "run/plots/result.png") as result:
        assert result.size == (24, 18)


def test_pictures_that_cannot_be_used_are_a_line_before_a_run_has_a_folder(tmp_path, capsys):
    Image.new("RGB", (1, 1)).save("pixel.png")
    (tmp_path / "words.jpg").write_text("no image")
    for key, file, says in (
        (
            "content",
            "pixel.png",
            "task=style_transfer: network cnn, untrained (network_seed 0): no convolution of it mak",
        ),
        ("style", "pixel.png", "data.style: a picture of 1x1 is too small for network cnn"),
        ("content", "words.jpg", "data.content: words.jpg: cannot be decoded"),
        ("style", "lost.jpg", "data.style: no file lost.jpg; give an image"),
    ):
        assert failed(capsys, 2, *SMALL, f"data.{key}={file}", "folder=run").startswith(says)
        assert not (tmp_path / "run").exists()
    line = failed(capsys, 2, *SMALL, "augment=geometric", "folder=run")
    assert line.startswith("augment=geometric: changes the images, and the target of data=style_pair, a picture too")


def test_a_picture_that_does_not_change_is_a_failure_that_is_said(tmp_path, capsys):
    for words in (["optimizer.lr=0"], [*LBFGS, "task.style_weight=0", "task.tv_weight=0", "task.content_weight=0"]):
        line = failed(capsys, 1, *SMALL, *words, "folder=run", "trainer.epochs=2")
        assert line.startswith("the picture is still the one that it began with")
        assert json.loads((tmp_path / "run/status.json").read_text())["state"] == "failed"
        (tmp_path / "run").rename(tmp_path / words[0].partition("=")[0])
