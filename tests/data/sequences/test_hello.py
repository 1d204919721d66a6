import pytest
import torch

from dlrun.config.spec import DataSpec
from dlrun.data.sequences.hello import Hello
from dlrun.errors import UserError

INPUTS, TARGET = [1, 0, 2, 2, 3], [3, 1, 2, 3, 2]


def test_letters_as_tokens():
    data = Hello(encoding="tokens")
    spec, parts = data.spec, data.load()
    assert list(parts) == ["train"]
    (tokens,) = parts["train"].inputs
    assert tokens.tolist() == [INPUTS] and tokens.dtype == torch.int64
    assert parts["train"].target.tolist() == [TARGET] and parts["train"].target.dtype == torch.int64
    assert (spec.kind, spec.target, spec.vocab_size, spec.in_features) == ("tokens", "step_class", 4, None)
    assert (spec.seq_len, spec.per_step, spec.causal, spec.out_features) == (5, True, True, 4)
    assert spec.vocabulary == spec.class_names == ("e", "h", "l", "o")
    assert DataSpec.from_dict(spec.to_dict()) == spec


def test_letters_as_one_hot_vectors():
    data = Hello()
    (series,) = data.load()["train"].inputs
    assert series.shape == (1, 5, 4) and series.dtype == torch.float32
    assert series.argmax(dim=2).tolist() == [INPUTS] and (series.sum(dim=2) == 1).all()
    assert (data.spec.kind, data.spec.vocab_size, data.spec.in_features) == (Hello.kind, None, 4) == ("series", None, 4)


@pytest.mark.parametrize("encoding", ["one_hot", "tokens"])
def test_other_words(encoding):
    data = Hello(text="abc", labels="xaz", encoding=encoding)
    assert data.spec.vocabulary == ("a", "b", "c", "x", "z") and data.spec.seq_len == 3
    inputs, lengths = data.encode(["cab", "x"], data.spec)
    assert lengths.tolist() == [3, 1] and inputs.shape[:2] == (2, 3)
    assert torch.equal(data.encode(["abc"], data.spec)[0], data.load()["train"].inputs[0])
    with pytest.raises(UserError, match=r"^'y' is none of the characters a b c x z$"):
        data.encode(["ya"], data.spec)


@pytest.mark.parametrize(("text", "labels"), [("hello", "ohlo"), ("", ""), ("", "x")])
def test_every_letter_needs_a_label(text, labels):
    with pytest.raises(ValueError, match="every letter needs one label"):
        Hello(text=text, labels=labels)
