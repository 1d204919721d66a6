import contextlib
import json
import os
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from dlrun.errors import RunError
from dlrun.store import checkpoint, weights
from dlrun.store.checkpoint import DamagedCheckpoint

TREE = {
    "weights": torch.arange(12.0).reshape(1, 3, 2, 2).to(memory_format=torch.channels_last),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "empty": torch.empty(0, 4),
    "scalar": torch.tensor(7),
    0: ("a", [1, 2.5, None, True], float("inf")),
}

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
trees = st.recursive(
    leaves, lambda t: st.lists(t) | st.dictionaries(st.text() | st.integers(), t) | st.tuples(t, t), max_leaves=10
)


def test_tensors_come_back_in_value_type_and_layout(tmp_path):
    checkpoint.write(tmp_path / "a", TREE)
    back = checkpoint.read(tmp_path / "a")
    for name in ("weights", "half", "empty", "scalar"):
        assert torch.equal(back[name], TREE[name])
        assert back[name].dtype is TREE[name].dtype
        assert back[name].stride() == TREE[name].stride()
    assert back[0] == TREE[0]


@given(trees)
def test_any_tree_of_plain_values_comes_back(tmp_path_factory, tree):
    path = tmp_path_factory.getbasetemp() / "tree"
    checkpoint.write(path, tree)
    assert checkpoint.read(path) == tree


def test_tensors_stand_under_their_own_names(tmp_path):
    tree = {
        "model": {"linear.weight": torch.ones(1), "linear": {"weight": torch.zeros(1)}},
        "optimizer": {0: [torch.tensor(2.0)], "0": (torch.tensor(3.0),)},
        "__metadata__": torch.tensor(4.0),
    }
    checkpoint.write(tmp_path / "a", tree)
    names = ["model.linear.weight", "model.linear.weight#2", "optimizer.0.0", "optimizer.0.0#2", "__metadata__#2"]
    assert sorted(load((tmp_path / "a").read_bytes())) == sorted(names)
    back = checkpoint.read(tmp_path / "a")
    assert back["model"] == tree["model"]
    assert (back["optimizer"][0], back["optimizer"]["0"]) == ([2.0], (3.0,))
    assert checkpoint.read(tmp_path / "a")["__metadata__"] == 4
    checkpoint.write(tmp_path / "b", torch.tensor(5.0))
    assert checkpoint.read(tmp_path / "b") == 5


def numbered(tree):
    """The file of a dlrun that numbered its tensors."""
    tensors, names = load(checkpoint.encode(tree)), {}
    text = json.dumps(checkpoint._pack(tree, {}))
    for number, name in enumerate(tensors):
        names[name] = f"t{number:05d}"
        text = text.replace(f'"tensor": {json.dumps(name)}', f'"tensor": "t{number:05d}"')
    renamed = {names[name]: tensor for name, tensor in tensors.items()}
    return save(renamed, {"tree": text, "digest": checkpoint._digest(renamed, text)})


def test_a_file_of_numbered_tensors_still_opens(tmp_path):
    (tmp_path / "old.safetensors").write_bytes(numbered(TREE))
    back = checkpoint.read(tmp_path / "old.safetensors")
    assert all(torch.equal(back[name], TREE[name]) for name in ("weights", "half", "empty", "scalar"))
    assert checkpoint.holds_tree(tmp_path / "old.safetensors")
    (tmp_path / "plain.safetensors").write_bytes(save({"t00000": torch.ones(2)}))
    assert weights.read(str(tmp_path / "plain.safetensors")).tensors["t00000"].tolist() == [1, 1]


def test_an_object_is_refused():
    with pytest.raises(TypeError, match="not set"):
        checkpoint.encode({"a": {1, 2}})


@settings(max_examples=int(os.environ.get("DLRUN_FUZZ", "100")))
@given(st.integers(min_value=0), st.sampled_from(["flip", "cut", "zero"]))
def test_every_damage_is_found(tmp_path_factory, place, kind):
    folder = tmp_path_factory.getbasetemp()
    content = bytearray(checkpoint.encode(TREE))
    if kind == "flip":
        content[place // 8 % len(content)] ^= 1 << place % 8
    elif kind == "cut":
        del content[place % len(content) :]
    else:
        start = place % len(content)
        page = content[start : start + 64]
        content[start : start + 64] = bytes(len(page))
        if bytes(page) == bytes(len(page)):
            return
    path = folder / "damaged"
    path.write_bytes(content)
    with pytest.raises(DamagedCheckpoint):
        checkpoint.read(path)


def test_the_previous_file_is_used_with_one_warning_that_names_both(tmp_path):
    newest, previous = tmp_path / "last", tmp_path / "previous"
    checkpoint.write(newest, {"n": 1}, previous)
    checkpoint.write(newest, {"n": 2}, previous)
    assert checkpoint.read_newest(newest, previous, lambda tree: None) == ({"n": 2}, None)
    newest.write_bytes(newest.read_bytes()[:-1])
    tree, warning = checkpoint.read_newest(newest, previous, lambda tree: None)
    assert tree == {"n": 1}
    assert str(newest) in warning
    assert str(previous) in warning
    previous.unlink()
    with pytest.raises(DamagedCheckpoint):
        checkpoint.read_newest(newest, previous, lambda tree: None)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("stage", range(12))
def test_a_kill_at_any_stage_of_a_save_loses_nothing(tmp_path, monkeypatch, stage):
    newest, previous = tmp_path / "last", tmp_path / "previous"
    checkpoint.write(newest, {"n": 1}, previous)
    calls = iter(range(100))

    def counted(real):
        def call(*args, **kwargs):
            if next(calls) == stage:
                raise Killed
            return real(*args, **kwargs)

        return call

    for name in ("fsync", "replace", "open", "close"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    monkeypatch.setattr(checkpoint, "read", counted(checkpoint.read))
    with contextlib.suppress(Killed):
        checkpoint.write(newest, {"n": 2}, previous)
    monkeypatch.undo()
    tree, _ = checkpoint.read_newest(newest, previous, lambda tree: None)
    assert tree["n"] in (1, 2)


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_a_full_disk_is_tried_three_times_and_harms_nothing(tmp_path, monkeypatch, failures):
    path = tmp_path / "last"
    checkpoint.write(path, {"n": 1})
    naps, left = [], [failures]
    real = os.fsync

    def full(descriptor):
        if left[0]:
            left[0] -= 1
            raise OSError(28, "No space left on device")
        return real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(checkpoint.time, "sleep", naps.append)
    if failures < 3:
        checkpoint.write(path, {"n": 2})
        assert checkpoint.read(path) == {"n": 2}
    else:
        with pytest.raises(RunError, match=r"No space left.*MiB are free"):
            checkpoint.write(path, {"n": 2})
        assert checkpoint.read(path) == {"n": 1}
    assert len(naps) == min(failures, 2)
    assert [file.name for file in tmp_path.iterdir()] == ["last"]


def test_a_pickle_is_not_opened(tmp_path):
    torch.save({"a": random.Random}, tmp_path / "evil")
    with pytest.raises(DamagedCheckpoint):
        checkpoint.read(tmp_path / "evil")


def test_what_is_read_lies_in_memory_as_what_was_made(tmp_path):
    # A dot product adds up in another order where a vector lies otherwise: L-BFGS would not go on with the same bits.
    tree = {"a": torch.ones(1), "b": torch.rand(431), "c": torch.tensor(2.0), "d": torch.rand(433)}
    checkpoint.write(tmp_path / "file.safetensors", tree)
    read = checkpoint.read(tmp_path / "file.safetensors")
    assert all(tensor.data_ptr() % 64 == 0 for tensor in read.values())
