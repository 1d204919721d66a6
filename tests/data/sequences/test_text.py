import gzip

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dlrun.config.spec import DataSpec
from dlrun.data.sequences.characters import decode
from dlrun.data.sequences.text import SHIPPED, Text
from dlrun.errors import UserError


def write(path, text):
    data = text if isinstance(text, bytes) else text.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


def asked(part, vocabulary):
    """The characters that are asked for, in order."""
    return decode(part.target[part.target != -100], vocabulary)


def test_the_story_that_ships():
    data = Text()
    spec, parts = data.spec, data.load()
    story = SHIPPED.read_text(encoding="utf-8")
    assert len(story) >= 8000 and story.isascii()
    assert list(parts) == ["train", "val", "test"] and data.load() is parts
    assert (spec.kind, spec.target, spec.seq_len, spec.per_step, spec.causal) == (
        "tokens",
        "next_token",
        64,
        True,
        True,
    )
    assert spec.vocab_size == spec.out_features == len(spec.vocabulary) and spec.vocabulary[:2] == ("<pad>", "<unk>")
    assert DataSpec.from_dict(spec.to_dict()) == spec
    for part in parts.values():
        (tokens,) = part.inputs
        assert tokens.shape == part.target.shape == (len(part), 64) and tokens.dtype == part.target.dtype == torch.int64
        assert not (tokens <= 1).any(), "every character of val and test is one of the train part"


def test_parts_are_the_text_by_position():
    story = SHIPPED.read_text(encoding="utf-8")
    data = Text(seq_len=50, val_fraction=0.2, test_fraction=0.1)
    parts, vocabulary = data.load(), data.spec.vocabulary
    pieces = [decode(part.inputs[0][0, :1], vocabulary) + asked(part, vocabulary) for part in parts.values()]
    assert "".join(pieces) == story
    shares = [len(piece) / len(story) for piece in pieces]
    assert shares == pytest.approx([0.7, 0.2, 0.1], abs=1e-3)


@given(st.integers(2, 200), st.integers(1, 60))
def test_every_character_but_the_first_is_asked_for_once_from_the_one_before(tmp_path_factory, length, seq_len):
    if length <= seq_len:
        return
    text = "".join(chr(0x4E00 + number) for number in range(length))
    path = write(tmp_path_factory.mktemp("text") / "x.txt", text)
    data = Text(path=path, seq_len=seq_len, val_fraction=0.0, test_fraction=0.0)
    (part,) = data.load().values()
    assert asked(part, data.spec.vocabulary) == text[1:]
    counts = part.target != -100
    assert torch.equal(part.inputs[0][counts] + 1, part.target[counts])
    assert torch.equal(part.inputs[0][:, 1:], part.inputs[0][:, :-1] + 1), "a window is one piece of the text"
    assert len(part) == -(-(length - 1) // seq_len)


@pytest.mark.parametrize("name", ["x.txt", "x.txt.gz"])
def test_a_file_is_found_as_given_and_below_the_root(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DLRUN_DATA", str(tmp_path / "data"))
    options = {"path": f"text/{name}", "seq_len": 4, "val_fraction": 0.0, "test_fraction": 0.0}
    write(tmp_path / "data" / "text" / name, "below")
    data = Text(**options)
    assert asked(data.load()["train"], data.spec.vocabulary) == "elow"
    write(tmp_path / "other" / "text" / name, "other")
    data = Text(**options, root="other")
    assert asked(data.load()["train"], data.spec.vocabulary) == "ther"
    write(tmp_path / "text" / name, "given")
    for root in (None, "other"):
        data = Text(**options, root=root)
        assert asked(data.load()["train"], data.spec.vocabulary) == "iven"


def test_the_vocabulary_is_that_of_the_train_part(tmp_path):
    data = Text(
        path=write(tmp_path / "x.txt", "abab" * 10 + "łabł" * 5), seq_len=5, val_fraction=0.0, test_fraction=1 / 3
    )
    assert data.spec.vocabulary == ("<pad>", "<unk>", "a", "b")
    assert asked(data.load()["test"], data.spec.vocabulary)[:12] == "ab<unk><unk>"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a" * 64, "the train part has 64 of 64 characters, and a window takes 65"),
        ("", "the train part has 0 of 0 characters, and a window takes 65"),
        (b"abc\n\xff\xfa", "row 2: byte 0xff is not UTF-8; save the file in UTF-8"),
        (b"\xff\xfea\0", "row 1: is in UTF-16; save it in UTF-8"),
    ],
)
def test_a_text_that_cannot_be_used_is_one_line(tmp_path, text, line):
    path = write(tmp_path / "x.txt", text)
    with pytest.raises(UserError) as caught:
        _ = Text(path=path, val_fraction=0.0, test_fraction=0.0).spec
    assert str(caught.value).startswith(f"{path}: {line}") and "\n" not in str(caught.value)


def test_a_part_without_a_window_is_named(tmp_path):
    path = write(tmp_path / "x.txt", "ab" * 100)
    with pytest.raises(UserError, match=r"x.txt: the val part has 20 of 200 characters, and a window takes 31; lower "):
        Text(path=path, seq_len=30).load()
    assert list(Text(path=path, seq_len=30, val_fraction=0.0, test_fraction=0.2).load()) == ["train", "test"]


def test_a_file_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("DLRUN_DATA", str(tmp_path))
    write(tmp_path / "story.txt", "x")
    with pytest.raises(UserError, match=r"^data.path: no file .*storm.txt; did you mean .*story.txt\?$"):
        Text(path=str(tmp_path / "storm.txt")).load()
    with pytest.raises(UserError, match=r"^data.path: .* is a folder; give one file$"):
        Text(path=str(tmp_path)).load()


def test_fractions_must_leave_something():
    with pytest.raises(ValueError, match=r"^val_fraction 0.5 and test_fraction 0.5 leave nothing to train on"):
        Text(val_fraction=0.5, test_fraction=0.5)


def test_prompts():
    data = Text()
    tokens, lengths = data.encode(["The clock", "Ω"], data.spec)
    assert decode(tokens[0], data.spec.vocabulary) == "The clock"
    assert lengths.tolist() == [9, 1] and tokens[1].tolist() == [1] + [0] * 8
    assert data.encode(["a" * 10_001], data.spec)[0].shape == (1, 10_001)
    with pytest.raises(UserError, match=r"^text 2 of 2 is empty"):
        data.encode(["a", ""], data.spec)


@pytest.mark.real
def test_real_shakespeare():
    data = Text(path="text/shakespeare.txt.gz", seq_len=100)
    parts, spec = data.load(), data.spec
    assert {name: len(part) for name, part in parts.items()} == {"train": 8924, "val": 1116, "test": 1116}
    assert sum(int((part.target != -100).sum()) + 1 for part in parts.values()) == 1_115_394 and spec.vocab_size == 67
    start = "First Citizen:\nBefore we proceed any further"
    assert decode(parts["train"].inputs[0][0], spec.vocabulary).startswith(start)
