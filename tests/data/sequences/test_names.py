import gzip
import hashlib
import os
import unicodedata
from collections import Counter, defaultdict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dlrun.config.spec import DataSpec
from dlrun.data.sequences import names
from dlrun.data.sequences.characters import decode
from dlrun.data.sequences.names import COURSE_FILES, LANGUAGE_FILES, Names, Row, read_table, split_by_name
from dlrun.errors import UserError

LANGUAGES = tuple(sorted(name.removesuffix(".txt") for name in LANGUAGE_FILES))
TRAIN = "".join(
    f'"{name}","{country}"\r\n' for country in ("B", "C") for name in ("Kim", "Đặng", *map("N{}".format, range(8)))
)
TEST = '"Zoë","C"\r\n"Kim ","B"\r\n'


def spelled(part, spec):
    tokens, _ = part.inputs
    return [decode(row, spec.vocabulary) for row in tokens]


def course(folder, train=TRAIN, test=TEST):
    """The two files of the course below the root `folder`, as text or bytes."""
    (folder / "names").mkdir(parents=True)
    for name, text in zip(COURSE_FILES, (train, test), strict=True):
        data = text if isinstance(text, bytes) else text.encode()
        (folder / "names" / name).write_bytes(gzip.compress(data, mtime=0))
    return {"collection": "course", "root": str(folder), "val_fraction": 0.0}


def languages(folder, **changed):
    (folder / "names" / "languages").mkdir(parents=True)
    for name in LANGUAGE_FILES:
        text = changed.get(name.removesuffix(".txt"), "Ab\nCd\nKim\nLó\n")
        (folder / "names" / "languages" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return {"collection": "languages", "root": str(folder)}


# ---- the list that ships


def test_the_list_that_ships():
    rows = read_table(names.SHIPPED)
    counts = Counter(row.country for row in rows)
    assert tuple(sorted(counts)) == LANGUAGES and min(counts.values()) >= 40
    assert len({(row.name, row.country) for row in rows}) == len(rows)
    assert all(unicodedata.is_normalized("NFC", row.name) for row in rows)


@pytest.mark.parametrize("ascii", [False, True])
def test_parts_and_offer(ascii):
    data = Names(ascii=ascii)
    spec, parts = data.spec, data.load()
    assert (spec.kind, spec.target, spec.out_features, spec.class_names) == ("tokens", "class", 18, LANGUAGES)
    assert (spec.per_step, spec.causal, spec.in_features) == (False, False, None)
    assert spec.vocab_size == len(spec.vocabulary) and spec.vocabulary[:2] == ("<pad>", "<unk>")
    assert all(character.isascii() for character in spec.vocabulary) == ascii
    assert data.load() is parts and list(parts) == ["train", "val", "test"]
    assert DataSpec.from_dict(spec.to_dict()) == spec
    for part in parts.values():
        tokens, lengths = part.inputs
        assert tokens.shape == (len(part), spec.seq_len) and tokens.dtype == lengths.dtype == torch.int64
        assert ((tokens != 0).sum(dim=1) == lengths).all()
        assert part.target.shape == (len(part),) and part.target.dtype == torch.int64
        assert part.target.unique().tolist() == list(range(18))
    assert max(part.inputs[1].max() for part in parts.values()) == spec.seq_len
    assert set(range(2, spec.vocab_size)) == set(parts["train"].inputs[0].unique().tolist()) - {0}


def test_a_name_is_in_one_part_whatever_its_languages():
    data = Names()
    found = defaultdict(set)
    for part, samples in data.load().items():
        for name in spelled(samples, data.spec):
            found[name].add(part)
    assert all(len(places) == 1 for name, places in found.items() if "<unk>" not in name)
    rows = Counter(name for part in data.load().values() for name in spelled(part, data.spec))
    assert rows["Wilson"] == 3 and rows["Martin"] == 2


# ---- the split


@given(
    st.lists(st.tuples(st.text("abc", min_size=1, max_size=3), st.sampled_from("XYZ")), min_size=30, max_size=60),
    st.integers(0, 2**63 - 1),
)
def test_a_split_loses_nothing_and_shares_no_name(pairs, seed):
    rows = [Row(name, country, str(number)) for number, (name, country) in enumerate(pairs)]
    if len({name for name, _ in pairs}) < 10:
        return
    parts = split_by_name(rows, 0.2, 0.2, seed)
    assert sorted(row.source for part in parts.values() for row in part) == sorted(row.source for row in rows)
    owners = [{row.name for row in part} for part in parts.values()]
    assert all(not (a & b) for place, a in enumerate(owners) for b in owners[:place])
    distinct = len(set().union(*owners))
    assert all(abs(len(owner) - 0.2 * distinct) <= 1 for owner in owners[1:])
    assert all([int(row.source) for row in part] == sorted(int(row.source) for row in part) for part in parts.values())


def test_the_test_part_does_not_depend_on_the_val_fraction():
    one, other, another = (
        Names(**options).load()["test"].target.tolist() for options in ({}, {"val_fraction": 0.0}, {"split_seed": 1})
    )
    assert one == other != another
    assert list(Names(val_fraction=0.0, test_fraction=0.0).load()) == ["train"]


def test_names_that_fold_to_one_are_one(tmp_path):
    both = [f"{letter}{chr(97 + number)}" for number in range(20) for letter in "ŁL"]
    rows = [Row(name, "Polish", "") for name in both]
    data = Names(**languages(tmp_path, Polish="\n".join(both)), ascii=True)
    known = [name for part in data.load().values() for name in spelled(part, data.spec) if "<unk>" not in name]
    assert all(known.count(name) == 2 for name in known if name[0] == "L" and name != "Lo")
    assert len(split_by_name(rows, 0.2, 0.2, 0)["test"]) == 8


# ---- the two files of the course


def test_the_test_file_is_the_test_part_and_its_classes_are_those_of_the_train_file(tmp_path):
    data = Names(**course(tmp_path))
    parts, spec = data.load(), data.spec
    assert {name: len(part) for name, part in parts.items()} == {"train": 20, "test": 2}
    assert spec.class_names == ("B", "C") and parts["test"].target.tolist() == [1, 0]
    assert spelled(parts["test"], spec) == ["<unk><unk><unk>", "Kim"]
    assert "Đ" in spec.vocabulary and "Z" not in spec.vocabulary and spec.seq_len == 4


def test_val_is_split_off_the_train_file_by_name(tmp_path):
    data = Names(**course(tmp_path) | {"val_fraction": 0.3})
    parts = data.load()
    assert {name: len(part) for name, part in parts.items()} == {"train": 14, "val": 6, "test": 2}
    assert not set(spelled(parts["train"], data.spec)) & set(spelled(parts["val"], data.spec))


@pytest.mark.parametrize(
    ("train", "test", "line"),
    [
        (TRAIN + '\r\n"A","B"\r\n', TEST, "names_train.csv.gz: row 21: is empty; delete the line"),
        (TRAIN, TEST + '"Solo"\r\n', "names_test.csv.gz: row 3: must be a name and a country, found 'Solo'"),
        (TRAIN, TEST + 'Solo,\r\n', "names_test.csv.gz: row 3: must be a name and a country, found 'Solo,'"),
        (TRAIN + ",B\r\n", TEST, "names_train.csv.gz: row 21: must be a name and a country, found ',B'"),
        (TRAIN, 'Solo,A,B\r\n', "names_test.csv.gz: row 1: must be a name and a country, found 'Solo,A,B'"),
        (TRAIN, TEST + '"Solo","A"\r\n', "names_test.csv.gz: row 3: 'A' is no country of the train file"),
        (TRAIN, "", "names_test.csv.gz: holds no name"),
        (TRAIN, TEST + '"Solo', "names_test.csv.gz: row 3: unexpected end of data, a quote is missing "
         "or one too many (within a field it is doubled)"),
        (TRAIN.encode("latin-1", "replace") + b"Zo\xeb,C", TEST,
         "names_train.csv.gz: row 21: byte 0xeb is not UTF-8; save the file in UTF-8"),
    ],
)  # fmt: skip
def test_a_wrong_row_is_one_line_with_its_place(tmp_path, train, test, line):
    with pytest.raises(UserError) as caught:
        _ = Names(**course(tmp_path, train, test)).spec
    assert str(caught.value) == f"{tmp_path}/names/{line}"


def test_a_cut_archive_is_one_line(tmp_path):
    options = course(tmp_path)
    path = tmp_path / "names" / "names_train.csv.gz"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match=r"names_train.csv.gz: cannot be read"):
        Names(**options).load()


# ---- the 18 files


def test_the_name_of_a_file_is_its_language(tmp_path):
    data = Names(**languages(tmp_path, Korean="Kim \r\nOh\r\nPark"), val_fraction=0.0, test_fraction=0.0)
    (part,) = data.load().values()
    assert len(part) == 17 * 4 + 3 and data.spec.class_names == LANGUAGES
    korean = [name for name, label in zip(spelled(part, data.spec), part.target, strict=True) if label == 11]
    assert korean == ["Kim", "Oh", "Park"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Kim\n\nOh\n", "row 2: is empty; delete the line"),
        ("Kim\n \t\n", "row 2: is empty; delete the line"),
        ("", "row 1: is empty; delete the line"),
        (b"Kim\nO\xf3\n", "row 2: byte 0xf3 is not UTF-8; save the file in UTF-8"),
        ("Kim\nЛи\n", "row 2: 'Ли' has no ASCII form; use data.ascii=false"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, text, line):
    with pytest.raises(UserError) as caught:
        Names(**languages(tmp_path, Korean=text), ascii=True).load()
    assert str(caught.value) == f"{tmp_path}/names/languages/Korean.txt: {line}"


# ---- files: there, or from the network


@pytest.mark.parametrize("write", [course, languages])
def test_files_that_are_there_are_read_without_any_write(tmp_path, monkeypatch, write):
    monkeypatch.setenv("DLRUN_OFFLINE", "1")
    options = write(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    Names(**options).load()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("write", "table", "inner"), [(course, "COURSE_FILES", "names"), (languages, "LANGUAGE_FILES", "names/languages")]
)
def test_what_is_missing_is_downloaded_once_and_checked(server, tmp_path, monkeypatch, write, table, inner):
    options = write(tmp_path / "origin")
    files = {name: (tmp_path / "origin" / inner / name).read_bytes() for name in getattr(names, table)}
    checksums = {name: f"sha256:{hashlib.sha256(data).hexdigest()}" for name, data in files.items()}
    monkeypatch.setattr(names, table, checksums)
    server.answers |= {f"/good/{name}": server.content(data) for name, data in files.items()}
    server.answers |= {f"/bad/{name}": server.content(b"other bytes") for name in files}
    options |= {"root": str(tmp_path / "new"), "mirrors": (f"{server.url}/bad/", f"{server.url}/good/")}
    for _ in range(2):
        Names(**options).load()
    assert len(server.asked) == 2 * len(files)
    assert {path.name: path.read_bytes() for path in (tmp_path / "new" / inner).glob("*.*")} == files


@pytest.mark.parametrize(("collection", "files"), [("course", COURSE_FILES), ("languages", LANGUAGE_FILES)])
def test_offline_line_says_which_files_go_where(tmp_path, monkeypatch, collection, files):
    monkeypatch.setenv("DLRUN_OFFLINE", "1")
    monkeypatch.setenv("DLRUN_DATA", str(tmp_path))
    with pytest.raises(UserError) as caught:
        Names(collection=collection).load()
    line = str(caught.value)
    told = ("data=names", *list(files)[:2], str(tmp_path / "names"), "use data.collection=ships")
    assert all(part in line for part in told) and "\n" not in line
    assert list(tmp_path.iterdir()) == []


# ---- names of the user's own


def test_names_to_predict(tmp_path):
    data = Names()
    tokens, lengths = data.encode([" Satoshi ", "Kowalski", "Ω"], data.spec)
    assert tokens.shape == (3, 8) and lengths.tolist() == [7, 8, 1] and tokens[2].tolist() == [1] + [0] * 7
    assert decode(tokens[0], data.spec.vocabulary) == "Satoshi"
    decomposed, composed = unicodedata.normalize("NFD", "Dvořák"), "Dvořák"
    assert torch.equal(data.encode([decomposed], data.spec)[0], data.encode([composed], data.spec)[0])
    long, lengths = data.encode(["x" * 12_345], data.spec)
    assert long.shape == (1, 12_345) and lengths.tolist() == [12_345]


def test_names_to_predict_are_folded_as_the_data_are():
    data = Names(ascii=True)
    tokens, _ = data.encode(["Dvořák", "Wałęsa"], data.spec)
    assert [decode(row, data.spec.vocabulary) for row in tokens] == ["Dvorak", "Walesa"]
    with pytest.raises(UserError, match=r"^name 2 of 2, 'Ωμέγα', has no ASCII form, and data.ascii is true$"):
        data.encode(["Kim", "Ωμέγα"], data.spec)


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_a_name_without_a_letter_is_named(empty):
    data = Names()
    with pytest.raises(UserError, match=r"^name 2 of 3, '.*', is empty$"):
        data.encode(["Kim", empty, "Oh"], data.spec)


# ---- the real files


@pytest.mark.real
def test_real_files_of_the_course():
    data = Names(collection="course", val_fraction=0.0)
    parts = data.load()
    assert {name: len(part) for name, part in parts.items()} == {"train": 13_374, "test": 6700}
    assert data.spec.class_names == LANGUAGES and (data.spec.seq_len, data.spec.vocab_size) == (19, 57)
    assert (parts["test"].target == LANGUAGES.index("Russian")).float().mean() == pytest.approx(0.468, abs=1e-3)
    rows = {
        name: Counter(zip(spelled(part, data.spec), part.target.tolist(), strict=True)) for name, part in parts.items()
    }
    assert sum(n for row, n in rows["test"].items() if row in rows["train"]) / 6700 == pytest.approx(0.115, abs=1e-3)
    folder = os.path.join(os.environ["DLRUN_DATA"], "names")
    for name, checksum in COURSE_FILES.items():
        assert names.download.matches(names.Path(folder, name), checksum)


@pytest.mark.real
def test_real_files_of_the_languages():
    data = Names(collection="languages", val_fraction=0.0)
    parts = data.load()
    assert sum(len(part) for part in parts.values()) == 20_050 and data.spec.class_names == LANGUAGES
    found = [set(spelled(part, data.spec)) for part in parts.values()]
    assert not {name for name in found[0] & found[1] if "<unk>" not in name}
    folder = os.path.join(os.environ["DLRUN_DATA"], "names", "languages")
    for name, checksum in LANGUAGE_FILES.items():
        assert names.download.matches(names.Path(folder, name), checksum)
