"""What a part or a vocabulary does not hold is said once, in one line."""

import pytest
import torch

from dlrun.cli import main
from dlrun.config.spec import DataSpec
from dlrun.data.sequences import characters
from dlrun.engine.parts import TensorPart
from dlrun.run.checks import rare_classes

NAMES = tuple("abcdefgh")


def sentence(target="class", **labels):
    spec = DataSpec("features", target, out_features=len(NAMES), class_names=NAMES)
    lines = rare_classes(spec, {part: TensorPart((), torch.tensor(own)) for part, own in labels.items()})
    return lines[0].removeprefix("dlrun: note: ") if lines else None


def test_a_class_of_one_example_and_one_that_a_part_lacks_are_said():
    every = list(range(8))
    assert sentence(train=every, val=every, test=every) is None
    assert sentence(train=[*every, 0], val=every, test=every[1:]) == "none in test of class a"
    assert sentence(train=every, test=[0, 0, 0, 1, 2]) == (
        "one example in all of class d, e, f, g and 1 more; none in test of class d, e, f, g and 1 more"
    )
    assert sentence(train=[*every, -1], test=[*every, -1]) is None
    assert sentence(target="identity", train=[0, 0], test=[1, 1]) is None


def test_it_is_said_where_a_run_begins(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("a,b,y\n" + "".join(f"{n},{n % 3},{'xyz'[n % 3]}\n" for n in range(30)) + "1,1,w\n")
    words = ["model=mlp", "data=csv", "data.path=t.csv", "trainer.epochs=1", "logger=none", "scheduler=none"]
    assert main.main([*words, "folder=run"]) == 0
    line = "dlrun: note: one example in all of class w; none in val of class w; none in test of class w"
    assert line in capsys.readouterr().out.splitlines()


def test_characters_that_training_never_had_are_said(capsys):
    vocabulary = characters.vocabulary_of(["abc"])
    characters.say_unknown("names", {"val": ["ab"], "test": ["xa", "b€", "cdefgh"]}, vocabulary)
    assert capsys.readouterr().err == (
        "dlrun: note: data=names: characters that training never had, each read as <unk>: "
        "in test 'd', 'e', 'f', 'g', 'h' and 2 more\n"
    )
    characters.say_unknown("names", {"the inputs": ["abc"]}, vocabulary)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", [["data=names", "model=gru"], ["data=text", "model=rnn"]])
def test_a_letter_unknown_to_a_run_is_said_when_it_is_asked(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    more = ["model.hidden_size=4", "trainer.epochs=1", "trainer.limit_batches=1", "logger=none", "folder=run"]
    assert main.main([*words, *more]) == 0
    capsys.readouterr()
    asked = ["--prompt", "a☃", "--length", "1"] if words[0] == "data=text" else ["Sn☃w"]
    assert main.main(["predict", "run", *asked]) == 0
    assert "each read as <unk>: in the inputs '☃'" in capsys.readouterr().err
