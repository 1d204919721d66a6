import functools
import gzip

import numpy as np
import pytest
from csv_tables import from_text, lines, refusal, rows_of

from dlrun.data.tables.csv_file import CSVFile
from dlrun.data.tables.csv_reading import number
from dlrun.errors import UserError


@pytest.fixture
def table(tmp_path):
    """`table("a,y\\n1,2\\n", target=...)`: the data set of a file with that text; all rows to train on."""
    return functools.partial(from_text, tmp_path)


@pytest.mark.parametrize(
    ("text", "has_header"),
    [
        ("a,b\n1,2\n3,4\n5,7\n", True),
        ("1,2\n3,4\n5,7\n", False),
        ("name,1\nx,2\ny,3\nz,4\n", False),
        (",b\n0,2\n1,4\n2,7\n", True),
        ("0,1,2\n5,6,7\n8,9,1\n", True),
        ("0,1\n5,6\n8,9\n", False),
        ("red,round\nred,long\nblue,round\nblue,long\n", False),
        ("colour,shape\nred,long\nblue,round\nblue,long\n", True),
    ],
)
def test_the_header_is_found_out_and_can_be_said(table, text, has_header):
    count = text.count("\n")
    for header, expected in ((None, has_header), (True, True), (False, False)):
        if header is not None and header != has_header:
            continue
        data = table(text, header=header)
        assert len(data.load()["train"]) == count - expected
        assert (data.spec.target_name == f"column_{text.splitlines()[0].count(',')}") == (not expected)


def test_a_header_read_as_a_row_is_hinted_at(table):
    text = lines(range(6), range(6, 12), [0, 1] * 3, header="a,2020,y")
    assert "row 1, column 'column_0': 'a' is not a number" in refusal(table(text, target=1, header=False))
    assert "is this row a header? data.header=true" in refusal(table(text, target=1, header=False))
    assert table(text, target="2020").spec.feature_names == ("a", "y")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_out(table, separator):
    text = (
        separator.join(["a", "b", "y"]) + "\n" + "".join(f"{i}{separator}{i / 2}{separator}{i % 2}\n" for i in range(8))
    )
    assert table(text).spec.feature_names == ("a", "b")
    assert table(text, separator=separator).spec.feature_names == ("a", "b")


def test_a_semicolon_wins_over_commas_inside_its_fields(table):
    text = "".join(f"{i}/2;a,b;{i % 2}\n" for i in range(8))
    assert table(text).spec.feature_names[-1] == "column_1=a,b"
    decimal_commas = "x;z;y\n" + "".join(f"{i},5;{i};{i % 2}\n" for i in range(8))
    assert "row 2, column 'x': '0,5' is not a number" in refusal(table(decimal_commas))


@pytest.mark.parametrize("separator", [" ", "~"])
def test_any_one_character_separates(table, separator):
    text = "".join(f"{i}{separator}{i / 2}{separator}{i % 2}\n" for i in range(8))
    assert rows_of(table(text, separator=separator)) == [[i, i / 2] for i in range(8)]


def test_empty_columns_of_a_spreadsheet_behind_the_last_are_left_out(table):
    text = lines(range(6), [0, 1] * 3, [""] * 6, [""] * 6, header="x,y,,")
    assert (table(text).spec.feature_names, table(text).spec.target_name) == (("x",), "y")
    assert "column 'column_3'" in refusal(table(text.replace("3,1,,", "3,1,,9")))


def test_texts_are_read_as_written_however_long_the_file_is(table):
    """pandas reads a large file in pieces, and would take 007 for 7 in those that hold only numbers."""
    filler = ",".join(["1"] * 1000)
    codes = ["007"] * 1500 + ["x9"] * 2000
    text = lines(codes, range(3500), [filler] * 3500, [0, 1] * 1750)
    data = table(text)
    assert data.spec.feature_names[:3] == ("column_0=007", "column_0=x9", "column_1")
    assert data.load()["train"].inputs[0][:, 0].sum() == 1500
    broken = table(text.replace("x9,3400,", "x9,late,"), ignore=(0,))
    assert "row 3401, column 'column_1': 'late' is not a number" in refusal(broken)


@pytest.mark.parametrize("text", ["1_000", "0x1f", "1e", "--1", "1 2", "one", "1.2.3", "nan"])
def test_no_number(text):
    assert np.isnan(number(text))


def test_rows_are_lines_of_the_file(table):
    text = 'a,b,y\n\n1,"two\nlines",0\n   \n2,x,1\n3,x,0\noh,x,1\n'
    assert "row 8, column 'a': 'oh' is not a number" in refusal(table(text))
    assert "row 8, column 'a': 'oh' is not a number" in refusal(table(text.replace("\n", "\r\n")))


def test_a_stray_quote_cannot_join_fields_or_rows(table):
    assert "row 2: ',' expected" in refusal(table('a,b,c,y\n1,"2,"a,b",0\n2,3,x,1\n', target=0))
    text = 'a,b,y\n1,"x,0\n2,"y",1\n3,z,0\n4,"two\nlines",1\n'
    assert "row 2: ',' expected after '\"', a quote is missing" in refusal(table(text))
    assert len(table(text.replace('"x', "x")).load()["train"]) == 4


def test_duplicate_names_can_be_told_apart_by_number(table):
    text = lines(range(6), range(6, 12), [0, 1] * 3, header="x,x,y")
    assert "column 'x': the name of two columns, 0 and 1" in refusal(table(text))
    assert rows_of(table(text, ignore=(1,)))[5] == [5]
    assert "two columns 'x'; give the number" in refusal(table(text, ignore=("x",)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "Y "}, ["data.target: no column 'Y '", "columns: 'age', 'y'"]),
        ({"target": 2}, ["data.target: no column 2", "it has 2, counted from 0"]),
        ({"target": -3}, ["data.target: no column -3"]),
        ({"target": "y", "ignore": ("y",)}, ["data.ignore: column 'y'", "is the target"]),
        ({"target": "y", "split_column": "y"}, ["data.split_column: column 'y'", "is the target"]),
        ({"categorical": ("aeg",)}, ["data.categorical: no column 'aeg'", "did you mean age?"]),
    ],
)
def test_columns_that_cannot_be_meant(table, options, words):
    line = refusal(table(lines(range(6), [0, 1] * 3, header="age,y"), **options))
    assert all(word in line for word in [*words, "table.csv"])


def test_files_that_cannot_be_meant(tmp_path):
    (tmp_path / "houses.csv").write_text("a,y\n1,2\n")
    assert refusal(CSVFile(path=str(tmp_path))) == f"data.path: {tmp_path} is a folder; give one file"
    missing = refusal(CSVFile(path=str(tmp_path / "hauses.csv")))
    assert missing.startswith("data.path: no file") and missing.endswith(f"did you mean {tmp_path / 'houses.csv'}?")
    with pytest.raises(UserError, match=r"^data\.path: no file given; write data\.path=FILE"):
        CSVFile()
    with pytest.raises(UserError, match=r"^data\.separator: ', ' is not one character"):
        CSVFile(path="x.csv", separator=", ")


def test_a_packed_file_needs_no_suffix_and_has_a_limit(table, monkeypatch):
    text = lines(range(6), [0, 1] * 3, header="x,y")
    assert rows_of(table(gzip.compress(text.encode()))) == [[i] for i in range(6)]
    monkeypatch.setattr("dlrun.data.reading.MAX_BYTES", 10)
    assert "holds more than" in refusal(table(gzip.compress(text.encode())))


def test_a_wide_file(table):
    count = 3000
    names = ",".join(
        [*(f"a_rather_long_name_of_a_gene_{i:06}_with_a_very_long_suffix_{'x' * 40}" for i in range(count)), "y"]
    )
    assert len(names) > 256 * 1024
    text = names + "\n" + "".join(",".join(["1"] * count) + f",{label}\n" for label in (0, 1, 0))
    assert table(text).spec.in_features == count and table(text).spec.std == (1.0,) * count
