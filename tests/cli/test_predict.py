"""`dlrun predict` on real, tiny runs: one of each kind of input."""

import pytest
import torch
from PIL import Image

from dlrun.cli import main

RUNS = {
    "names": ["model=gru", "model.hidden_size=8", "data=names", "trainer.epochs=1"],
    "text": ["model=rnn", "model.hidden_size=8", "data=text", "trainer.epochs=1", "trainer.limit_batches=2"],
    "hello": ["experiment=embedding_hello"],
    "digits": ["model=cnn", "data=digits", "trainer.epochs=1", "trainer.limit_batches=2"],
    "iris": ["model=mlp", "data=iris", "trainer.epochs=20", "optimizer.lr=0.05"],
    "diabetes": ["model=linear", "data=diabetes", "trainer.epochs=2"],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a run of each kind."""
    folder = tmp_path_factory.mktemp("predict")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, words in RUNS.items():
            assert main.main([*words, "logger=none", f"folder={name}"]) == 0
    return folder


@pytest.fixture
def predict(home, monkeypatch, capsys):
    """`predict("names", "Satoshi")`: what it prints; `code=2`: the line of error."""
    monkeypatch.chdir(home)

    def call(*words, code=0):
        assert main.main(["predict", *words]) == code
        out, err = capsys.readouterr()
        assert (out == "") == (code != 0)
        return err.strip() if code else out.splitlines()

    return call


def test_texts_get_classes_with_probabilities_and_stand_alone(predict):
    lines = predict("names", "Satoshi", "Kowalski", "Ελένη")
    assert lines[0].split() == ["input", "predicted", "then", "and", "then"]
    assert [line.split()[0] for line in lines[1:]] == ["Satoshi", "Kowalski", "Ελένη"]
    assert predict("names", "Satoshi")[1].split() == lines[1].split()
    assert all(line.count("%") == 3 for line in lines[1:])


def test_a_long_name_is_read_and_an_empty_one_is_named(predict):
    assert "%" in predict("names", "x" * 10_000)[1]
    assert "name 2 of 2, '', is empty" in predict("names", "a", "", code=2)


def test_a_file_of_texts_is_read_row_by_row(predict, home):
    (home / "people.csv").write_text('Satoshi,?\n\n"Kowalski",x\n')
    lines = predict("names", "people.csv", "Satoshi")
    assert [line.split()[0] for line in lines[1:]] == ["people.csv:1", "people.csv:3", "Satoshi"]
    assert lines[1].split()[1:] == lines[3].split()[1:]
    assert "no file peple.csv; did you mean people.csv?" in predict("names", "peple.csv", code=2)
    assert "J.Smith" in predict("names", "J.Smith")[1]


@pytest.mark.parametrize(
    "path", ["new.csv", "new/rows", "./rows", "~/x.tsv", "C:\\rows.csv", "rows.csv.gz", "new rows.csv"]
)
def test_a_file_that_is_not_there_is_said_to_be_missing(predict, path):
    assert "no file" in predict("iris", path, code=2)


def test_a_text_model_writes(predict):
    text = "\n".join(predict("text", "--prompt", "The sea", "--length", "50"))
    assert text.startswith("The sea") and len(text) == 57
    assert "\n".join(predict("text", "--prompt", "The sea", "--length", "50")) == text
    assert "\n".join(predict("text", "--prompt", "The sea", "--length", "50", "--seed", "1")) != text
    assert "give it a beginning" in predict("text", code=2)
    assert "must not be negative" in predict("text", "--prompt", "a", "--temperature", "-1", code=2)
    assert "--prompt is for a run that" in predict("names", "--prompt", "a", code=2)


def test_a_letter_at_every_step(predict):
    assert predict("hello", "hello")[1].split() == ["hello", "ohlol"]


def test_images_and_folders_of_them(predict, home):
    (home / "photos").mkdir(exist_ok=True)
    for name in ("a.png", "b.png"):
        Image.new("RGB", (40, 30), "white").save(home / "photos" / name)
    lines = predict("digits", "photos", "photos/a.png")
    assert [line.split()[0] for line in lines[1:]] == ["photos/a.png", "photos/b.png", "photos/a.png"]
    assert "no file or folder missing.png" in predict("digits", "missing.png", code=2)
    (home / "photos/c.png").write_text("no image")
    assert "c.png: cannot be decoded" in predict("digits", "photos/c.png", code=2)
    (home / "photos/c.png").unlink()


def test_rows_and_tables_of_numbers(predict, home):
    (line,) = predict("iris", "5.1,3.5,1.4,0.2")[1:]
    assert line.split()[:2] == ["5.1,3.5,1.4,0.2", "setosa"]
    names = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)"
    (home / "new.csv").write_text(f"id,{names}\n7,5.1,3.5,1.4,0.2\n8,6.7,3.0,5.2,2.3\n")
    lines = predict("iris", "new.csv")
    assert [line.split()[:2] for line in lines[1:]] == [["new.csv:2", "setosa"], ["new.csv:3", "virginica"]]
    assert "'1,2': has 2 numbers and is no file; this run takes 4" in predict("iris", "1,2", code=2)
    assert "'x' is not a number" in predict("iris", "1,2,x,4", code=2)
    (home / "bad.csv").write_text(f"{names}\n1,2,3,inf\n")
    assert "bad.csv: row 2, column 'petal width (cm)': 'inf' is too large" in predict("iris", "bad.csv", code=2)
    (home / "bad.csv").write_text("a,b\n1,2\n")
    assert "bad.csv: has no column 'sepal length (cm)', 'sepal" in predict("iris", "bad.csv", code=2)


def test_values_are_in_units_of_the_target(predict):
    lines = predict("diabetes", "59,2,32.1,101,157,93.2,38,4,4.8598,87")
    assert lines[0].split() == ["input", "progression"]
    assert 25 < float(lines[1].split()[1]) < 346


def test_without_inputs_or_a_run_it_says_what_to_write(predict, home):
    assert "which inputs?" in predict("iris", code=2)
    assert "is not the folder of a run" in predict("photos", "a", code=2)


def test_a_category_is_one_where_its_column_says_so(tmp_path):
    from dlrun.config.spec import DataSpec
    from dlrun.data import inputs
    from dlrun.engine.contracts import DataSet

    (tmp_path / "t.csv").write_text("colour,size\nred,1\n blue ,2\n")
    spec = DataSpec("features", "value", in_features=3, feature_names=("colour=blue", "colour=red", "size"))
    names, (rows,) = inputs.read(DataSet(), spec, [str(tmp_path / "t.csv")])
    assert names == ["t.csv:2", "t.csv:3"]
    assert torch.equal(rows, torch.tensor([[0.0, 1, 1], [1, 0, 2]]))
