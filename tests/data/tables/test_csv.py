import functools
import os
import pathlib

import numpy as np
import pandas as pd
import pytest
import torch
from csv_tables import from_text, lines, refusal, rows_of
from sklearn import datasets

from dlrun.data.tables.csv_file import CSVFile
from dlrun.data.tables.sklearn_tables import Diabetes, Iris
from dlrun.engine.parts import TensorPart
from dlrun.errors import UserError
from dlrun.run.run import run


@pytest.fixture
def table(tmp_path):
    """`table("a,y\\n1,2\\n", target=...)`: the data set of a file with that text; all rows to train on."""
    return functools.partial(from_text, tmp_path)


def test_iris_from_a_file_is_iris(tmp_path):
    bunch = datasets.load_iris(as_frame=True)
    bunch.frame["target"] = [bunch.target_names[label] for label in bunch.target]
    bunch.frame.to_csv(tmp_path / "iris.csv", index=False)
    ours, theirs = CSVFile(path=str(tmp_path / "iris.csv"), target="target"), Iris()
    for name, part in theirs.load().items():
        assert torch.equal(ours.load()[name].inputs[0], part.inputs[0])
        assert torch.equal(ours.load()[name].target, part.target)
    for key in ("target", "in_features", "out_features", "class_names", "feature_names", "mean", "std"):
        assert getattr(ours.spec, key) == getattr(theirs.spec, key), key


def test_the_file_of_notes_7_whose_header_counts_the_columns(tmp_path, capsys):
    x, y = datasets.load_diabetes(return_X_y=True)
    pd.DataFrame(np.column_stack([x, y]).astype(np.float32)).to_csv(tmp_path / "diabetes.csv", index=False)
    data = CSVFile(path=str(tmp_path / "diabetes.csv"), val_fraction=0.0)
    assert (data.spec.in_features, data.spec.target, data.spec.target_name) == (10, "value", "10")
    assert torch.equal(data.load()["test"].target, Diabetes(val_fraction=0.0).load()["test"].target)
    out = capsys.readouterr().out
    assert "diabetes.csv: 442 rows, header in the first row, separator ','; 10 numeric" in out
    assert "csv: target '10' -> value (214 different numbers)" in out


def test_a_table_of_pandas_with_index_texts_blanks_and_a_date_says_what_to_change(tmp_path, capsys):
    count = 40
    frame = pd.DataFrame(
        {
            "date": pd.date_range("2024-01-01", periods=count),
            "city": ["Oslo", "Bern", None, "Rome"] * 10,
            "size in m": [None, *range(1, count)],
            "note": [f"remark {i}" for i in range(count)],
            "price": np.linspace(1, 2, count),
        }
    )
    file = tmp_path / "homes.csv"
    frame.to_csv(file)
    options = {"path": str(file), "target": "price", "max_categories": 20, "val_fraction": 0.0}
    with pytest.raises(UserError) as caught:
        CSVFile(**options).load()
    assert str(caught.value).splitlines() == [
        f"{file}: row 2, column 'date': '2024-01-01' looks like a date or a time, which is no feature here",
        f"{file}: column 'note': holds 40 different texts in 40 rows; data.max_categories=40 makes each a feature",
        f"{file}: row 2, column 'size in m': an empty field stands for a missing value (10 in 'city', 1 in "
        "'size in m'); data.missing=mean takes the mean of the train part, data.missing=drop leaves out 11 of 40 rows",
        f"{file}: data.ignore=[date,note] leaves out the columns that cannot be used",
    ]
    assert refusal(CSVFile(**options, ignore=("date",), missing="mean")) == (
        f"{file}: column 'note': holds 40 different texts in 40 rows; data.max_categories=40 makes each a feature, "
        "data.ignore=[date,note] leaves the column out"
    )
    assert refusal(CSVFile(**options, ignore=("date", "note"))) == (
        f"{file}: row 2, column 'size in m': an empty field stands for a missing value "
        "(10 in 'city', 1 in 'size in m'); data.missing=mean takes the mean of the train part, "
        "data.missing=drop leaves out 11 of 40 rows"
    )
    data = CSVFile(**options, ignore=("date", "note"), missing="mean")
    assert data.spec.feature_names == ("city=Bern", "city=Oslo", "city=Rome", "size in m")
    assert sum(map(len, data.load().values())) == count
    out = capsys.readouterr().out
    assert "column 'column_0' counts the rows: left out; data.keep=[column_0] takes it as a feature" in out
    assert "missing numbers become the mean of train, missing categories 0 everywhere: 10 in 'city'" in out


def test_missing_values_take_the_mean_of_train_alone(table):
    parts = ["train", "train", "test", "train", "train", "test"]
    data = table(
        lines([1, 2, 300, 3, "?", "NA"], list("ababab"), parts, [0, 1, 0, 1, 0, 1], header="x,c,part,y"),
        split_column="part", missing="mean",
    )  # fmt: skip
    assert [row[0] for row in rows_of(data)] == [1, 2, 3, 2] and [row[0] for row in rows_of(data, "test")] == [300, 2]
    assert data.spec.mean[0] == 2 and data.spec.mean[1:] == (0.5, 0.5)


def test_a_column_without_a_value_in_train_is_refused(table):
    text = lines(["?", "", 5], [1, 2, 3], ["train", "train", "test"], [0, 1, 1], header="x,z,part,y")
    assert "column 'x': holds no value in the train part; data.ignore=[x]" in refusal(
        table(text, split_column="part", missing="mean")
    )


def test_the_texts_for_missing_are_a_key(table):
    text = lines(["NA", "None", "steep"] * 2, range(6), [0, 1] * 3, header="roof,x,y")
    assert table(text, na_values=("?",)).spec.feature_names == ("roof=NA", "roof=None", "roof=steep", "x")
    assert "row 2, column 'roof': 'NA' stands for a missing value (4 in 'roof')" in refusal(table(text))


def test_a_part_that_the_column_does_not_name_is_split_off_from_train(table):
    parts = ["Train"] * 30 + ["test"] * 10
    data = table(lines(range(40), parts, [0, 1] * 20, header="x,part,y"), split_column="part", val_fraction=0.2)
    assert {name: len(part) for name, part in data.load().items()} == {"train": 24, "val": 6, "test": 10}
    assert [row[0] for row in rows_of(data, "test")] == list(range(30, 40))
    only_test = table(lines([1, 2], ["test", "val"], [0, 1], header="x,part,y"), split_column="part")
    assert "column 'part': names no record for the train part" in refusal(only_test)


def test_too_few_rows_for_the_parts_name_the_file(table):
    assert "table.csv: data: 2 samples are too few for train, val, test" in refusal(
        table(lines([1, 2], [0, 1], header="x,y"), val_fraction=0.1, test_fraction=0.2)
    )
    one_class = table(lines([1, 2, 3], [0, 1, 1], ["test", "train", "train"], header="x,y,part"), target="y")
    one_class.split_column = "part"
    assert "column 'y': the train part has only the class '1'" in refusal(one_class)


@pytest.mark.parametrize(
    ("target", "kind", "class_names", "labels"),
    [
        ([0, 1], "binary", ("0", "1"), [0, 1]),
        (["1.0", "-1.0"], "binary", ("-1", "1"), [1, 0]),
        ([0.5, 1.5], "binary", ("0.5", "1.5"), [0, 1]),
        (["yes", "no"], "binary", ("no", "yes"), [1, 0]),
        (["True", "False"], "binary", ("False", "True"), [1, 0]),
        ([10, 9, 2], "class", ("2", "9", "10"), [2, 1, 0]),
        (["1", "1.0", "2", "3e0"], "class", ("1", "2", "3"), [0, 0, 1, 2]),
        (["b", "a", "c"], "class", ("a", "b", "c"), [1, 0, 2]),
        ([1.5, 2, 3], "value", None, [[1.5], [2.0], [3.0]]),
        (list(range(21)), "value", None, [[float(number)] for number in range(21)]),
    ],
)
def test_the_kind_of_the_target_is_found_out(table, target, kind, class_names, labels):
    data = table(lines(range(len(target) * 4), target * 4, header="x,y"))
    assert (data.spec.target, data.spec.class_names) == (kind, class_names)
    assert data.spec.out_features == (len(class_names) if kind == "class" else 1)
    assert data.load()["train"].target.tolist() == labels * 4


def test_few_whole_numbers_that_do_not_return_are_values(table):
    data = table("x,y\n1,2\n2,4\n3,6\n")
    assert data.spec.target == "value" and data.load()["train"].target.tolist() == [[2.0], [4.0], [6.0]]
    forced = table("x,y\n1,2\n2,4\n3,6\n", target_kind="class")
    assert forced.spec.class_names == ("2", "4", "6") and forced.load()["train"].target.tolist() == [0, 1, 2]
    assert (
        table(lines(range(6), [0, 1] * 3, header="x,y"), target_kind="value")
        .load()["train"]
        .target.dtype.is_floating_point
    )


def test_numbers_that_are_names(table):
    text = lines([10, 9, 9, 10, 111, 9], range(6), [0, 1] * 3, header="zip,x,y")
    assert table(text).spec.feature_names == ("zip", "x")
    assert table(text, categorical=("zip",)).spec.feature_names == ("zip=9", "zip=10", "zip=111", "x")
    assert table(text, categorical=(0,), ignore=(-2,)).spec.feature_names == ("zip=9", "zip=10", "zip=111")


def test_raw_on_request(table):
    text = lines([1, 2, 3, 4], [0, 1, 0, 1], header="x,y")
    assert table(text).spec.mean == (2.5,) and table(text).spec.std == pytest.approx((1.25**0.5,))
    assert table(text, standardize=False).spec.mean is None
    assert rows_of(table(text)) == [[1], [2], [3], [4]]


def test_numbers_too_large_for_their_spread_are_pointed_out(table, capsys):
    table(lines(range(1_700_000_000, 1_700_000_006), [0, 1] * 3, header="seconds,y")).load()
    assert "column 'seconds' are so large (up to 1.7e+09) that float32 keeps them to 2e+02" in capsys.readouterr().out


def test_read_once_for_offer_and_parts(table, capsys):
    data = table(lines(range(6), [0, 1] * 3, header="x,y"))
    assert data.spec is data.spec and isinstance(data.load()["train"], TensorPart)
    assert capsys.readouterr().out.count("csv: target 'y' -> binary (2 classes: '0' 3, '1' 3)") == 1


def test_a_run_learns_from_a_file_and_keeps_its_statistics(make_config, tmp_path, monkeypatch):
    from dlrun.store import checkpoint

    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    x = generator.normal(100, 30, (300, 2))
    label = np.where(x[:, 0] > 120, "high", np.where(x[:, 0] < 80, "low", "mid"))
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "label": label}).to_csv("table.csv", index=False)
    words = ["data=csv", "data.path=table.csv", "model=mlp", "model.hidden_sizes=[16]", "trainer.epochs=30"]
    result = run(make_config(*words, "trainer.batch_size=16", "optimizer.lr=0.02", "logger=none"), words)
    assert result.metrics["test/accuracy"] > 0.85
    spec = checkpoint.read(result.path / "checkpoints" / "best.safetensors")["spec"]
    assert list(spec["feature_names"]) == ["a", "b"] and list(spec["class_names"]) == ["high", "low", "mid"]
    assert spec["mean"] == pytest.approx(CSVFile(path="table.csv").spec.mean)


def test_a_broken_file_ends_the_command_in_one_line_and_leaves_nothing(cli, tmp_path):
    (tmp_path / "table.csv").write_text("a,b,y\n1,2,x\n3,?,z\n")
    done = cli("data=csv", "data.path=table.csv", "model=mlp", check=2)
    assert done.stderr == (
        "dlrun: error: table.csv: row 3, column 'b': '?' stands for a missing value (1 in 'b'); data.missing=mean "
        "takes the mean of the train part, data.missing=drop leaves out 1 of 2 rows\n"
    )
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.real
@pytest.mark.skipif("DLRUN_DATA" not in os.environ, reason="DLRUN_DATA is not set to a folder with diabetes")
def test_the_diabetes_file_of_the_course():
    file = pathlib.Path(os.environ["DLRUN_DATA"]) / "diabetes" / "diabetes.csv.gz"
    data = CSVFile(path=str(file), target=-1)
    spec, parts = data.spec, data.load()
    assert (spec.in_features, spec.target, spec.class_names) == (8, "binary", ("0", "1"))
    assert {name: len(part) for name, part in parts.items()} == {"train": 531, "val": 76, "test": 152}
    whole = pd.read_csv(file, header=None).to_numpy()
    assert sum(part.target.sum().item() for part in parts.values()) == whole[:, -1].sum()
    rows = sorted(row for part in parts.values() for row in part.inputs[0].tolist())
    assert rows == sorted(whole[:, :-1].astype(np.float32).tolist())
