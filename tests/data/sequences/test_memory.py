import math

import pytest
import torch

from dlrun.config.spec import DataSpec
from dlrun.data import DATA
from dlrun.data.sequences.memory import Adding, CopyMemory, InductionHeads, SelectiveCopying

NAMES = ["copy_memory", "adding", "selective_copying", "induction_heads"]
SMALL = {"num_train": 500, "num_val": 40, "num_test": 60}


def part_of(data):
    part = data.load()["train"]
    (x,) = part.inputs
    return x, part.target


@pytest.mark.parametrize("name", NAMES)
def test_a_part_is_what_the_offer_says(name):
    data = DATA.get(name)(**SMALL)
    spec, parts = data.spec, data.load()
    assert {part: len(samples) for part, samples in parts.items()} == {"train": 500, "val": 40, "test": 60}
    assert (spec.kind, spec.target) == (type(data).kind, type(data).target) and type(data).source == "made"
    assert spec.causal and DataSpec.from_dict(spec.to_dict()) == spec
    for part in parts.values():
        (x,), target = part.inputs, part.target
        assert x.shape[:2] == (len(part), spec.seq_len)
        if spec.kind == "series":
            assert x.shape[2] == spec.in_features and x.dtype == torch.float32
        else:
            assert x.dtype == torch.int64 and x.unique().tolist() == list(range(spec.vocab_size))
            assert len(spec.vocabulary) == spec.vocab_size
        if spec.target == "value":
            assert target.shape == (len(part), 1) and target.dtype == torch.float32
            continue
        assert target.dtype == torch.int64 and len(spec.class_names) == spec.out_features
        assert target.shape == (x.shape if spec.per_step else (len(part),))
        assert target[target != -100].unique().tolist() == list(range(spec.out_features))


@pytest.mark.parametrize("name", NAMES)
def test_a_part_is_fixed_by_the_seed_whatever_the_sizes_of_the_others(name):
    make = DATA.get(name)
    first, second = make(**SMALL).load(), make(num_train=9, num_val=0, num_test=60).load()
    assert list(second) == ["train", "test"]
    assert torch.equal(first["test"].inputs[0], second["test"].inputs[0])
    assert torch.equal(first["test"].target, second["test"].target)
    other = make(**SMALL, seed=1).load()
    tests = [
        first["test"],
        other["test"],
        first["train"].subset(torch.arange(60)),
        other["train"].subset(torch.arange(60)),
    ]
    for place, part in enumerate(tests):
        assert not any(torch.equal(part.inputs[0], earlier.inputs[0]) for earlier in tests[:place])
    assert len(make(**SMALL, seed=2**63 - 1).load()) == 3


def test_copy_memory_asks_for_the_first_symbols_at_the_last_steps():
    data = CopyMemory(blank_steps=7, num_to_copy=3, **SMALL)
    tokens, target = part_of(data)
    assert data.spec.seq_len == 13 and data.spec.vocab_size == 10 and data.spec.out_features == 8
    assert (tokens[:, 3:9] == 0).all() and (tokens[:, 9:] == 9).all()
    assert (target[:, :10] == -100).all() and torch.equal(target[:, 10:] + 1, tokens[:, :3])
    assert [data.spec.class_names[number] for number in target[0, 10:]] == [
        data.spec.vocabulary[number] for number in tokens[0, :3]
    ]
    assert CopyMemory().spec.seq_len == 120


def test_every_symbol_of_copy_memory_is_as_likely():
    _, target = part_of(CopyMemory(num_train=4000))
    shares = target[target != -100].bincount() / (target != -100).sum()
    assert (shares - 1 / 8).abs().max() < 0.01
    assert -(shares * shares.log()).sum() == pytest.approx(math.log(8), abs=1e-3)


def test_adding_sums_the_two_marked_numbers():
    series, target = part_of(Adding(seq_len=5, **SMALL))
    numbers, marks = series.unbind(dim=2)
    assert ((marks == 0) | (marks == 1)).all() and (marks.sum(dim=1) == 2).all()
    assert ((numbers >= 0) & (numbers < 1)).all()
    for row in range(20):
        assert target[row, 0] == pytest.approx(sum(numbers[row][marks[row] == 1].tolist()))


def test_saying_1_has_an_error_of_one_sixth_at_adding():
    series, target = part_of(Adding(seq_len=10, num_train=20_000))
    assert (target - 1).square().mean() == pytest.approx(1 / 6, abs=0.004)
    assert (series[:, :, 1].mean(dim=0) - 0.2).abs().max() < 0.02, "every place is as likely"


def test_selective_copying_asks_for_the_symbols_in_order():
    data = SelectiveCopying(seq_len=9, num_to_copy=4, vocab_size=7, **SMALL)
    tokens, target = part_of(data)
    assert data.spec.seq_len == 13 and data.spec.out_features == 5
    assert (tokens[:, 9:] == 6).all() and (target[:, :9] == -100).all()
    for row, wanted in zip(tokens[:, :9], target[:, 9:], strict=True):
        assert (row[row != 0] - 1).tolist() == wanted.tolist()
    assert ((tokens[:, :9] != 0).float().mean(dim=0) - 4 / 9).abs().max() < 0.1, "every place is as likely"


def test_every_symbol_of_selective_copying_is_as_likely():
    data = SelectiveCopying(seq_len=32, num_train=2000)
    _, target = part_of(data)
    shares = target[target != -100].bincount() / (target != -100).sum()
    assert len(shares) == data.spec.out_features == 14 and (shares - 1 / 14).abs().max() < 0.01


@pytest.mark.parametrize(("seq_len", "vocab_size"), [(12, 5), (3, 2), (64, 16)])
def test_induction_heads_asks_for_the_token_behind_the_special_one(seq_len, vocab_size):
    tokens, target = part_of(InductionHeads(seq_len=seq_len, vocab_size=vocab_size, **SMALL))
    is_special = tokens == vocab_size - 1
    assert (is_special.sum(dim=1) == 2).all() and is_special[:, -1].all() and not is_special[:, -2].any()
    first = is_special.int().argmax(dim=1)
    assert torch.equal(target, tokens[torch.arange(len(tokens)), first + 1])
    assert first.max() == seq_len - 3 and first.min() == 0


def test_every_answer_of_induction_heads_is_as_likely():
    _, target = part_of(InductionHeads())
    assert (target.bincount() / len(target) - 1 / 15).abs().max() < 0.01


@pytest.mark.parametrize(
    ("make", "options", "line"),
    [
        (Adding, {"seq_len": 1}, "two numbers are to be added: seq_len must be at least 2, found 1"),
        (SelectiveCopying, {"vocab_size": 2}, "noise, a marker and a symbol: vocab_size must be at least 3, found 2"),
        (SelectiveCopying, {"seq_len": 8}, "num_to_copy 16 symbols have no room in seq_len 8"),
        (InductionHeads, {"vocab_size": 1}, "a special token and another: vocab_size must be at least 2, found 1"),
        (InductionHeads, {"seq_len": 2}, "the special token, another, and the special token: seq_len 2 is below 3"),
    ],
)
def test_sizes_without_a_task_are_refused(make, options, line):
    with pytest.raises(ValueError, match=f"^{line}$"):
        make(**options)


def test_the_smallest_sizes_work():
    assert part_of(Adding(seq_len=2, num_train=1))[0].shape == (1, 2, 2)
    assert part_of(CopyMemory(blank_steps=1, num_to_copy=1, num_train=1))[0].tolist()[0][1:] == [9, 9]
    tokens, target = part_of(SelectiveCopying(seq_len=1, num_to_copy=1, vocab_size=3, num_train=1))
    assert tokens.tolist() == [[1, 2]] and target.tolist() == [[-100, 0]]
