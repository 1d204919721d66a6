import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from dlrun.data.sequences.characters import PAD, UNKNOWN, decode, encode, fold, vocabulary_of
from dlrun.errors import UserError

CHARACTERS = st.characters()
TEXTS = st.lists(st.text(CHARACTERS, min_size=1), min_size=1)


def test_the_vocabulary_is_padding_unknown_and_the_sorted_characters():
    assert vocabulary_of(["ba", "łb"]) == (PAD, UNKNOWN, "a", "b", "ł")
    assert vocabulary_of([]) == (PAD, UNKNOWN)


def test_texts_become_padded_tokens_and_lengths():
    tokens, lengths = encode(["ab", "b", "cab"], (PAD, UNKNOWN, "a", "b"))
    assert tokens.tolist() == [[2, 3, 0], [3, 0, 0], [1, 2, 3]] and lengths.tolist() == [2, 1, 3]
    assert tokens.dtype == lengths.dtype == torch.int64
    assert decode(tokens[2], (PAD, UNKNOWN, "a", "b")) == "<unk>ab"


@given(TEXTS)
@example(["\0", "\ud800", "\U0010ffff"])
def test_known_characters_come_back(texts):
    vocabulary = vocabulary_of(texts)
    tokens, lengths = encode(texts, vocabulary)
    assert [decode(row, vocabulary) for row in tokens] == texts
    assert lengths.tolist() == [len(text) for text in texts]
    assert all((row[length:] == 0).all() for row, length in zip(tokens, lengths, strict=True))
    assert not any((row[:length] <= 1).any() for row, length in zip(tokens, lengths, strict=True))


@given(TEXTS, st.lists(CHARACTERS))
def test_every_other_character_is_unknown(texts, known):
    vocabulary = vocabulary_of(known)
    tokens, lengths = encode(texts, vocabulary)
    for text, row, length in zip(texts, tokens, lengths, strict=True):
        assert (row[:length] == 1).tolist() == [character not in known for character in text]


def test_a_vocabulary_without_padding_or_unknown():
    tokens, _ = encode(["hello"], "ehlo")
    assert tokens.tolist() == [[1, 0, 2, 2, 3]] and decode(tokens[0], "ehlo") == "hello"
    with pytest.raises(UserError, match=r"^'x' is none of the characters e h l o$"):
        encode(["he", "hxy"], "ehlo")


def test_an_empty_text_is_named():
    with pytest.raises(UserError, match=r"^text 2 of 3 is empty; it needs at least one character$"):
        encode(["a", "", "b"], vocabulary_of("ab"))


def test_no_text_gives_no_rows():
    tokens, lengths = encode([], vocabulary_of("ab"))
    assert tokens.shape == (0, 0) and lengths.shape == (0,)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Ślusàrski", "Slusarski"), ("Groß", "Gross"), ("GROẞ", "GROSS"), ("Łukasz Wałęsa", "Lukasz Walesa"),
        ("Øster ǿ", "Oster o"), ("Đặng", "Dang"), ("Nguyễn", "Nguyen"), ("Ægir Þór", "Aegir Thor"),
        ("O’Brien", "O'Brien"), ("Παπάς", ""), ("ﬁ", "fi"),
    ],
)  # fmt: skip
def test_folding(text, folded):
    assert fold(text) == folded


@given(st.text(CHARACTERS))
def test_folding_gives_ascii_and_twice_is_once(text):
    folded = fold(text)
    assert folded.isascii() and fold(folded) == folded


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_stays_as_it_is(text):
    assert fold(text) == text
