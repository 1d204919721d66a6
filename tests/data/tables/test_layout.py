"""What stands above a table, its header, quotes and separator: found, or named where it is refused."""

import functools
import random
import re
import shlex

import pytest
from csv_tables import from_text, lines, refusal

from dlrun.config import check, compose
from dlrun.data.tables.csv_file import CSVFile
from dlrun.errors import UserError

NUMBERS = "".join(f"{i * 37 % 11 / 4},{i * 5 % 13},{'uv'[i % 2]}\n" for i in range(24))


@pytest.fixture
def table(tmp_path):
    """`table("a,y\\n1,2\\n", target=...)`: the data set of a file with that text; all rows to train on."""
    return functools.partial(from_text, tmp_path)


def years(first: str) -> str:
    draw = random.Random(0)
    columns = [[f"{draw.gauss(0, 1):.2f}" for _ in range(30)] for _ in range(3)]
    words = [[draw.choice(pair) for _ in range(30)] for pair in (["north", "south"], ["ripe", "unripe"])]
    return lines(words[0], *columns, words[1], header=first)


@pytest.mark.parametrize(
    ("text", "names", "is_doubtful"),
    [
        (years("region,2019,2020,2021,label"), ["region", "2019", "2020", "2021", "label"], True),
        (years("where,1,2,3,what"), ["where", "1", "2", "3", "what"], True),
        (years("a,b,c,d,e"), ["a", "b", "c", "d", "e"], False),
        (years("north,0.1,0.2,-1.5,ripe"), None, False),
        (years("east,0.1,0.2,-1.5,ripe"), None, True),
        ("400,410,420,fat\n" + "".join(f"0.{i},0.{i + 1},1.{i},{i % 7}\n" for i in range(20)),
         ["400", "410", "420", "fat"], True),
        ("400,410,420\n" + "".join(f"0.{i},0.{i + 1},{i % 7}\n" for i in range(20)), ["400", "410", "420"], True),
        ("5,3.5,1.4,setosa\n" + "4.9,3.1,1.5,setosa\n6.1,3,4,versicolor\n" * 5, None, False),
        ("6,148,72,1\n" + "1,85,66,0\n8,183,64,1\n" * 5, None, False),
        ("id,2020\n" + "".join(f"{i},{2000 + i}\n" for i in range(9)), None, True),
        ("?,2.5,x\n" + "1.5,3.5,x\n2.5,1.5,y\n" * 5, None, False),
        ("a,2,z\n" + "1.5,3,x\n2.5,1,y\n" * 5, ["a", "2", "z"], True),
    ],
)  # fmt: skip
def test_a_header_differs_in_kind_from_the_rows_below(table, capsys, text, names, is_doubtful):
    data = table(text, missing="drop", target_kind="auto")
    sheet_names = names or [f"column_{i}" for i in range(text.splitlines()[0].count(",") + 1)]
    if not (names is None and is_doubtful):  # a name taken for a value is refused there, with the key to change it
        assert data.spec.target_name == sheet_names[-1]
        said = re.search(r"csv: row 1 is taken for .*; data\.header=", capsys.readouterr().out)
        assert (said is not None) == is_doubtful
    elif text.startswith("id"):
        assert "data.header=true" in refusal(data)


@pytest.mark.parametrize(
    ("above", "header", "names"),
    [
        ("sep=;\n", "a;b;y", ("a", "b")),
        ('"sep=;"\r\n', "a;b;y", ("a", "b")),
        ("# made by a tool\n# in cm, kg\n\n", "a;b;y", ("a", "b")),
        ("# a;b;y\n", None, ("a", "b")),
        ("# 2024\n#\n#a;b;y\n", None, ("a", "b")),
        ("", "#;b;y", ("#", "b")),
    ],
)
def test_what_other_programs_write_above_a_table_is_no_row_of_it(table, above, header, names):
    body = NUMBERS.replace(",", ";")
    data = table(above + (f"{header}\n" if header else "") + body)
    assert data.spec.feature_names == names and len(data.load()["train"]) == 24


def test_texts_that_begin_with_a_number_sign_are_values(table):
    text = "".join(f"#{'0f'[i % 2] * 6},{i * 5 % 13},{'uv'[i % 3 > 0]}\n" for i in range(24))
    assert table(text).spec.feature_names == ("column_0=#000000", "column_0=#ffffff", "column_1")
    assert len(table("colour,x,y\n" + text).load()["train"]) == 24


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Harvest of 2024\na,b,y\n" + NUMBERS, "row 1: 'Harvest of 2024' stands alone above rows of 3 fields; if it"),
        ("Harvest of 2024,,\na,b,y\n" + NUMBERS, "row 1: 'Harvest of 2024' stands alone above rows of 3 fields"),
        ("Harvest\n" + "a;b;y\n" + NUMBERS.replace(",", ";"), "row 1: 'Harvest' stands alone above rows of 3 fields"),
        ("a,b,y\ncm,kg,-\n" + NUMBERS, "row 2: holds texts ('cm', 'kg') where all rows below hold numbers; if"),
        ("a,b,y\n1,2,u\n# a remark\n" + NUMBERS, "row 3: 1 fields, but the first row has 3"),
        ("a,y\n" + lines([f"r{i}" for i in range(9)], range(9), [0, 1, 0] * 3), "if the first column has no name"),
        ("".join(f'"{row}"\n' for row in ("a,b,y\n" + NUMBERS).splitlines()), "the row is quoted as a whole"),
        ("a,b,y\n" + NUMBERS.replace("u", "“u”").replace("v", "“v”"), "fields stand in “ ”; quote them by"),
        ("a b y\n" + NUMBERS.replace(",", " "), "columns apart by blanks"),
        ('a,b,y\n1,"2 \\"x\\" 3",u\n' + NUMBERS, "within a field it is doubled"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_named(table, text, says):
    assert says in refusal(table(text))


def test_quotes_of_other_tools_are_no_part_of_a_text(table, capsys):
    text = "'a','b','y'\n" + "".join(f"'{i}','x,{i % 2}','{'uv'[i % 2]}'\n" for i in range(9))
    assert table(text).spec.feature_names == ("a", "b=x,0", "b=x,1")
    assert "separator ',', quotes '" in capsys.readouterr().out


def test_real_categories_that_look_missing_are_told_how_to_stay(table):
    text = lines(["None", "steep"] * 6, range(12), [0, 1] * 6, header="roof,x,y")
    assert refusal(table(text)).endswith("data.na_values=[] takes it as a text")
    assert table(text, na_values=()).spec.feature_names[:2] == ("roof=None", "roof=steep")
    assert "na_values" not in refusal(table(text.replace("None", "")))


def test_all_mistakes_of_a_file_come_at_once_and_one_advice_mends_them(table):
    """As of the passengers of the Titanic: names, tickets, cabins, and ages that are missing."""
    count = 120
    text = lines(
        range(1, count + 1), [f'"Doe, J{i}"' for i in range(count)], ["", *range(1, count)],
        [f"T{i}/x" for i in range(count)], [f"2024-01-{i % 28 + 1:02}" for i in range(count)], [0, 1] * (count // 2),
        header="PassengerId,Name,Age,Ticket,Date,Survived",
    )  # fmt: skip
    mistakes = refusal(table(text)).splitlines()
    places = [re.search(r"column '(\w+)'", mistake) for mistake in mistakes]
    assert [place and place[1] for place in places] == ["Name", "Ticket", "Date", "Age", None]
    assert "data.ignore=[Name,Ticket,Date] leaves out" in mistakes[-1]
    assert table(text, ignore=("Name", "Ticket", "Date"), missing="drop").spec.feature_names == ("Age",)


def test_messages_are_bounded_however_wide_a_file_is(table):
    text = lines(*([f"{name}{i}" for i in range(200)] for name in "abcdefghijklmnop"), [0, 1] * 100)
    header = ",".join(f"a rather long name of a column, number {i}".replace(",", "") for i in range(17))
    mistakes = refusal(table(f"{header}\n{text}")).splitlines()
    assert len(mistakes) <= 10 and any(line.endswith("and 8 more") for line in mistakes)
    assert len(refusal(table(f"{header}\n{text}", target="no such column " * 30))) <= 300


ODD = [
    *("Sepal Length (cm)", "price ($)", "PM2.5", "No", "weight [kg]", "a:b", "x/y", "null", "2019", "a, b", 'in "'),
    *("it's", "é", "{x}", "-1", "back\\slash", "True", "id"),
]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("kind", ["free text", "date", "dressed", "id", "empty"])
def test_the_advice_that_is_printed_works_in_a_shell(table, tmp_path, capsys, name, kind):
    columns = {
        "free text": [f"note {i}x" for i in range(30)],
        "date": [f"2024-05-{i + 1:02}" for i in range(30)],
        "dressed": [f"{i + 1}%" for i in range(30)],
        "id": list(range(1, 31)),
        "empty": [""] * 30,
    }
    quoted = '"' + name.replace('"', '""') + '"'
    text = lines(columns[kind], [i % 7 / 2 for i in range(30)], ["u", "v"] * 15, header=f"{quoted},b,y")
    words = [f"data.path={tmp_path / 'table.csv'}", "data=csv", "model=mlp", "data.max_categories=20"]
    if kind == "id":
        table(text).load()
        (said,) = re.findall(r"left out; (.*) takes it as a feature", capsys.readouterr().out)
    else:
        said = refusal(table(text, max_categories=20))
        (said,) = re.findall(r"(\S*data\.ignore=.*) leaves the column out", said)
        said = said.rpartition(" ")[2] if "'data" not in said else said[said.index("'data") :]
    config = check.parse(compose.tree([*words, *shlex.split(said)], []))
    options = {key: value for key, value in config.data.items() if key not in ("name", "path")}
    data = CSVFile(path=str(tmp_path / "table.csv"), **options)
    assert data.spec.feature_names == ((name, "b") if kind == "id" else ("b",))


def test_a_list_that_needs_quotes_is_advised_with_quotes_around_each_item():
    with pytest.raises(UserError) as caught:
        compose.tree(["data=csv", "data.ignore=[Sepal Length (cm), b]"], [])
    (word,) = shlex.split(str(caught.value).partition("inside quotes: ")[2])
    assert compose.tree(["data=csv", word], [])["data"]["ignore"] == ["Sepal Length (cm)", "b"]


def test_the_positive_class_is_the_rarer_one_unless_it_is_named(table, capsys):
    text = lines(range(10), ["ok"] * 8 + ["fraud"] * 2, header="x,y")
    assert table(text).spec.class_names == ("ok", "fraud")
    assert table(text).load()["train"].target.tolist() == [0] * 8 + [1] * 2
    assert "csv: the positive class is 'fraud', the rarer one; data.positive chooses it" in capsys.readouterr().out
    assert table(text, positive="ok").spec.class_names == ("fraud", "ok")
    assert table(text, positive="ok").load()["train"].target.tolist() == [1] * 8 + [0] * 2
    assert "data.positive: 'frod' is no class of column 'y'" in refusal(table(text, positive="frod"))
    numbers = lines(range(10), [0] * 3 + [1] * 7, header="x,y")
    assert table(numbers).spec.class_names == ("1", "0") and table(numbers, positive=1).spec.class_names == ("0", "1")
    truth = lines(range(10), ["True"] * 7 + ["False"] * 3, header="x,y")
    assert table(truth, positive=True).spec.class_names == ("False", "True")
    assert "data.positive: is for two classes" in refusal(
        table(lines(range(6), list("abcabc"), header="x,y"), positive="a")
    )


@pytest.mark.parametrize(
    ("name", "start", "is_left_out"),
    [("id", 0, True), ("PassengerId", 1, True), ("row nr", 1, True), ("customer_id", 1001, True), ("z", 1, True),
     ("z", 1001, False), ("liquid", 7, False)],
)  # fmt: skip
def test_a_column_that_counts_the_rows_is_left_out_and_can_be_kept(table, capsys, name, start, is_left_out):
    count = 24
    order = random.Random(0).sample(range(start, start + count), count)
    for numbers in (range(start, start + count), order):
        text = lines(numbers, [i % 7 / 2 for i in range(count)], ["u", "v"] * (count // 2), header=f"{name},b,y")
        assert table(text).spec.feature_names == (("b",) if is_left_out else (name, "b"))
        assert table(text, keep=(name,)).spec.feature_names == (name, "b")
    assert ("counts the rows: left out" in capsys.readouterr().out) == is_left_out
