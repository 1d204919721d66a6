"""`dlrun show RUN` draws what the convolutions of a run see, or says why it does not."""

import pytest
from PIL import Image
from stored_runs import write_run

from dlrun.cli import main
from dlrun.cli.verbs.show_run import NOTHING

SMALL = ["data=synthetic", "data.num_train=16", "data.num_val=4", "data.num_test=4", "trainer.epochs=1", "logger=none"]
CNN = [*SMALL, "model=cnn", "model.channels=[3,5]"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def shown(capsys, *words):
    """The lines of what is seen after a run with these words."""
    assert main.main([*words, "folder=run"]) == 0
    capsys.readouterr()
    assert main.main(["show", "run"]) == 0
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("seen ")]


def pictures(folder):
    return sorted(path.stem for path in (folder / "run/plots").glob("*.png"))


def test_a_network_of_convolutions(capsys, tmp_path):
    lines = shown(capsys, *CNN)
    assert lines[:2] == [
        "seen    run/plots/kernels.png: the kernels of convs.0",
        "seen    run/plots/feature_maps.png: the first image of test behind convs.0, convs.1",
    ]
    assert lines[2].startswith("seen    run/plots/class_activation.png: where it sees predicted")
    assert pictures(tmp_path) == ["class_activation", "feature_maps", "kernels"]


def test_an_image_as_the_answer_has_no_class(capsys, tmp_path):
    words = ["model=conv_filter", "model.kernel=laplacian", "data=photos", "data.in_channels=3", "logger=none"]
    lines = shown(capsys, *words)
    assert len(lines) == 2
    assert pictures(tmp_path) == ["feature_maps", "kernels"]
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    assert main.main(["predict", "run", "photo.png"]) == 2
    assert capsys.readouterr().err.startswith("dlrun: error: predict: this run answers with images")


@pytest.mark.parametrize("words", [["model=mlp", "model.hidden_sizes=[]"], ["model=linear"]], ids=" ".join)
def test_a_run_without_convolutions(capsys, tmp_path, words):
    assert shown(capsys, *SMALL, *words) == [f"seen    {NOTHING}"]
    assert not (tmp_path / "run/plots").exists()


def test_a_run_without_weights_or_with_broken_ones(capsys, tmp_path):
    write_run(tmp_path / "none", "model=cnn")
    assert main.main(["show", "none"]) == 0
    assert "seen    nothing yet: there are no best weights" in capsys.readouterr().out
    (tmp_path / "none/checkpoints").mkdir()
    (tmp_path / "none/checkpoints/best.safetensors").write_bytes(b"torn")
    assert main.main(["show", "none"]) == 0
    out = capsys.readouterr().out
    assert "seen    nothing: no usable weights: none/checkpoints/best.safetensors" in out
    assert out.splitlines()[-1].startswith("again   dlrun")


def test_a_folder_that_cannot_be_written(capsys, tmp_path):
    assert main.main([*CNN, "folder=run"]) == 0
    (tmp_path / "run/plots").write_text("a file in its place")
    assert main.main(["show", "run"]) == 0
    assert "seen    nothing: run/plots cannot be written (File exists)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["model=transformer", "data=text", "trainer.limit_batches=2"], ["attention", "embedding", "positions"]),
        (["model=transformer", "data=hello"], ["attention", "positions"]),
        (["model=gru", "data=text", "trainer.limit_batches=2"], ["embedding"]),
        (["model=diffpool", "data=motifs", "trainer.limit_batches=1"], ["clusters"]),
        (["model=sagpool", "data=motifs", "trainer.limit_batches=1"], ["kept"]),
        (["model=gcn", "data=motifs", "trainer.limit_batches=1"], []),
    ],
    ids=lambda value: value[0] if value else "none",
)
def test_a_model_of_sequences_or_graphs(capsys, tmp_path, words, names):
    lines = shown(capsys, *words, "trainer.epochs=1", "logger=none")
    assert lines == [f"seen    {NOTHING}"] if not names else [line.split("/")[2].split(".")[0] for line in lines]
    assert (pictures(tmp_path) if names else []) == names
