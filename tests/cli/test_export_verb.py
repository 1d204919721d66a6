"""`dlrun export` on a tiny run."""

import pytest

from dlrun.cli import main


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["model=mlp", "data=iris", "trainer=smoke", "logger=none", "folder=run"]
        assert main.main(words) == 0
    return folder


def test_it_tells_the_file_what_it_takes_and_gives_and_how_far_it_is_off(home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    assert main.main(["export", "run", "--format", "onnx"]) == 0
    out, _ = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "file    run/exports/mlp.onnx" and (home / "run/exports/mlp.onnx").is_file()
    assert lines[1] == "takes   features float32 (any, 4)"
    assert lines[2].startswith("gives   logits (B, K)") and lines[3].startswith("differs by ") and len(lines) == 4


def test_weights_go_to_the_file_that_is_named(home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    assert main.main(["export", "run", "--format", "safetensors", "--out", "mine.safetensors"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "file    mine.safetensors"
    assert (home / "mine.safetensors").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "--format must be one of safetensors, state_dict, torch_export, onnx, found None"),
        (["run", "--format", "onx"], "found 'onx'"),
        (["nowhere", "--format", "onnx"], "is not the folder of a run"),
        ([], "usage: dlrun export RUN --format"),
    ],
)
def test_a_wrong_word_is_one_line(home, monkeypatch, capsys, words, said):
    monkeypatch.chdir(home)
    assert main.main(["export", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err and len(err.splitlines()) == 1
