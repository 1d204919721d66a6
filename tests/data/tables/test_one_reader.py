"""What training found out about a file is kept with the run, and `predict` and `eval` read by it."""

import functools
import random
from pathlib import Path

import hypothesis
import pytest
import torch
from csv_cases import Case, good, table, written
from csv_tables import from_text, lines
from hypothesis import strategies

from dlrun.config.spec import DataSpec
from dlrun.data import inputs
from dlrun.data.tables.csv_file import CSVFile
from dlrun.engine.contracts import DataSet
from dlrun.errors import UserError

ROWS = [
    (i / 10, (i * 7 % 40) / 8, "male" if i % 3 else "female", 1 + i % 3, "yes" if i % 2 else "no") for i in range(40)
]
NAMES = ["a", "b", "sex", "k", "y"]


def text_of(rows, names=NAMES, separator=",") -> str:
    return "".join(separator.join(map(str, row)) + "\n" for row in ([names] if names else []) + rows)


@pytest.fixture
def made(tmp_path):
    """`made("a,y\\n1,2\\n", target=...)`: the data set of a file with that text; all rows to train on."""
    return functools.partial(from_text, tmp_path)


def kept(data: CSVFile) -> DataSpec:
    """The offer of a data set after a trip through a run's folder."""
    import json

    return DataSpec.from_dict(json.loads(json.dumps(data.spec.to_dict())))


def predicted(data: CSVFile, path: Path) -> tuple[list[str], torch.Tensor]:
    """(The names of the rows, their features) as `dlrun predict` reads a file for a run that was trained on `data`."""
    names, (x,) = inputs.read(DataSet(), kept(data), [str(path)])
    return names, x


def by_row(data: CSVFile) -> torch.Tensor:
    """The features of training's own parts, as a sorted list of rows."""
    x = torch.cat([part.inputs[0] for part in data.load().values()])
    return torch.tensor(sorted(x.tolist()))


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (text_of(ROWS, separator=";"), {}),
        (text_of(ROWS).replace(",", ", "), {}),
        (text_of(ROWS, names=None), {}),
        (text_of(ROWS).replace("0.5,", "?,").replace("female,2", "NA,2"), {"missing": "mean"}),
        (text_of(ROWS).replace("0.5,", "?,").replace("female,2", "NA,2"), {"missing": "drop"}),
        (text_of(ROWS).replace(",male", ',"ma\nle"'), {}),
        (text_of(ROWS), {"categorical": ("k",), "ignore": ("b",)}),
        ("sep=;\n" + text_of(ROWS, separator=";"), {}),
        ("# exported by tool\n# units: cm\n" + text_of(ROWS), {}),
        (text_of(ROWS, separator=" "), {"separator": " "}),
        (text_of(ROWS).replace("female", "'female'").replace(",male", ",'male'").replace("a,b", "'a','b'"), {}),
    ],
)
def test_predict_reads_the_file_that_the_run_was_trained_on(made, text, options):
    data = made(text, **options)
    names, x = predicted(data, data.path)
    assert torch.equal(torch.tensor(sorted(x.tolist())), by_row(data))
    starts = text.splitlines()
    numbers = [int(name.partition(":")[2]) for name in names]
    assert numbers == sorted(numbers) and all(starts[number - 1][0] in "?0123456789" for number in numbers)


def test_rows_and_columns_may_come_in_any_order_and_the_target_may_lack(made, tmp_path):
    data = made(text_of(ROWS), categorical=("k",))
    draw = random.Random(0)
    order = [3, 0, 2, 1]
    rows = draw.sample(ROWS, len(ROWS))
    new = tmp_path / "new.csv"
    new.write_text(text_of([[row[i] for i in order] for row in rows], [NAMES[i] for i in order], separator="\t"))
    _, x = predicted(data, new)
    place = {row: i for i, row in enumerate(ROWS)}
    assert torch.equal(x, data.load()["train"].inputs[0][[place[row] for row in rows]])


@hypothesis.given(seed=strategies.integers(0, 2**32), missing=strategies.sampled_from(["error", "mean", "drop"]))
def test_a_table_that_training_accepts_is_predicted_as_training_saw_it(tmp_path_factory, seed, missing):
    case, folder = good(seed), tmp_path_factory.mktemp("run")
    draw = random.Random(seed)
    if missing != "error":
        for row in draw.sample(case.table.rows, 3):
            row[draw.randrange(1, len(row) - 1)] = draw.choice(("?", "", "NA"))
        case = Case("none", written(case.table, case.style)[0], case.options, None, case.table, case.style)
    (folder / "table.csv").write_bytes(case.content)
    data = CSVFile(path=str(folder / "table.csv"), missing=missing, **case.options)
    _, x = predicted(data, data.path)
    assert torch.equal(torch.tensor(sorted(x.tolist())), by_row(data))
    # The file anew: its rows, and with a header its columns, in another order.
    order = draw.sample(range(len(case.table.names)), len(case.table.names)) if case.style.header else None
    rows = draw.sample(case.table.rows, len(case.table.rows))
    shuffled = table(random.Random(seed))
    shuffled.names = [case.table.names[i] for i in order] if order else case.table.names
    shuffled.rows = [[row[i] for i in order] if order else row for row in rows]
    (folder / "new.csv").write_bytes(written(shuffled, case.style)[0])
    _, again = predicted(data, folder / "new.csv")
    assert torch.equal(torch.tensor(sorted(again.tolist())), by_row(data))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b,k,sex\n0,1,2,1,male\n", "row 2: 5 fields, but the first row has 4"),
        (
            "a,b,k,sex\n1,2,3\n1,2,3,male\n4,5,6\n",
            "row 2: 3 fields, but the first row has 4 (separator ','); so in rows 4",
        ),
        ('a,b,sex,k\n1,2,"two\nlines",1\n1,2,male\n', "row 4: 3 fields"),
        ("a,b,sex,k,a\n1,2,male,1,99\n", "column 'a': the name of several columns (0, 4, from 0)"),
        ("a,b,sex\n1,2,male\n", "has no column 'k'; its header: 'a', 'b', 'sex'"),
        ("a,b,sex,k\n1,2,male,1\n1,x,male,1\n", "row 3, column 'b': 'x' is not a number"),
        ("a,b,sex,k\n1,2,male,1\n\n1,2,?,1\n", "row 4, column 'sex': '?' stands for a missing value (1 in 'sex')"),
        ("a,b,sex,k\n", "a header and no rows"),
    ],
)
def test_what_predict_cannot_read_is_refused_with_the_row_of_the_file(made, tmp_path, text, says):
    data = made(text_of(ROWS), categorical=("k",))
    (tmp_path / "new.csv").write_text(text)
    with pytest.raises(UserError) as caught:
        predicted(data, tmp_path / "new.csv")
    assert says in str(caught.value) and "new.csv: " in str(caught.value)


def test_categories_that_training_has_not_seen_are_nothing_and_said(made, tmp_path, capsys):
    data = made(text_of(ROWS))
    (tmp_path / "new.csv").write_text("a,b,sex,k\n1,2,Male,1\n1,2,female,1\n")
    _, x = predicted(data, tmp_path / "new.csv")
    place = data.spec.feature_names.index("sex=female")
    assert x[:, place : place + 2].tolist() == [[0, 0], [1, 0]]
    assert "column 'sex': unknown to train, so 0 everywhere, in 1 of 2 rows: 'Male'" in capsys.readouterr().err


def test_what_is_missing_takes_the_mean_of_training_and_not_of_the_new_file(made, tmp_path, capsys):
    data = made(lines([1, 2, 6], ["u", "v", "u"], [0, 1, 0], header="x,c,y"), missing="mean")
    (tmp_path / "new.csv").write_text("x,c\n?,u\n100,\n7,v\n")
    assert predicted(data, tmp_path / "new.csv")[1].tolist() == [[3, 1, 0], [100, 0, 0], [7, 0, 1]]
    assert "missing numbers become the mean of train" in capsys.readouterr().err
    dropped = made(lines([1, 2, 6], ["u", "v", "u"], [0, 1, 0], header="x,c,y"), missing="drop")
    names, x = predicted(dropped, tmp_path / "new.csv")
    assert (names, x.tolist()) == (["new.csv:4"], [[7, 0, 1]])
    assert "2 of 3 rows are left out" in capsys.readouterr().err


def test_eval_and_resume_keep_the_order_of_classes_and_the_parts_of_the_run(made, tmp_path):
    """Also of an older run, whose second class was the last by the alphabet."""
    data = made(text_of(ROWS[:-9]).replace("no", "stays"), test_fraction=0.2)
    for class_names in (("stays", "yes"), ("yes", "stays")):
        then = made(data.path.read_text(), test_fraction=0.2)
        spec = kept(data)
        then.offered = DataSpec.from_dict(spec.to_dict() | {"class_names": class_names})
        assert then.spec.class_names == class_names and then.spec.feature_names == data.spec.feature_names
        flip = class_names != data.spec.class_names
        for name, part in data.load().items():
            if not flip:
                assert torch.equal(then.load()[name].inputs[0], part.inputs[0])
                assert torch.equal(then.load()[name].target, part.target)
    older = made(data.path.read_text(), test_fraction=0.2)
    older.offered = DataSpec("features", "binary", class_names=("stays", "yes"), feature_names=data.spec.feature_names)
    assert older.spec.class_names == ("stays", "yes")


def test_an_adopted_table_is_encoded_as_the_run_did_whatever_the_file_holds_now(made):
    data = made(text_of(ROWS), missing="mean", categorical=("k",))
    spec = kept(data)
    rows = [(1000.0, 2, "other", 9, "no")] * 40 + ROWS
    grown = made(text_of(rows))
    grown.offered = spec
    assert grown.spec.feature_names == data.spec.feature_names
    assert torch.equal(grown.load()["train"].inputs[0][40:], data.load()["train"].inputs[0])
    assert grown.load()["train"].inputs[0][0].tolist() == [1000, 2, 0, 0, 0, 0, 0]
