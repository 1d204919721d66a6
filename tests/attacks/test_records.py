"""Records that are damaged, or were never dlrun's: each is one line, and hides no other run."""

import copy
import json
import os
import random
import shutil

import pytest
import torch
from attacking import MANY, some
from stored_runs import write_run, write_sweep

from dlrun.store import checkpoint

JSON = ["status.json", "summary.json", "overrides.json", "spec.json", "offered.json"]
TEXTS = ["config.yaml", "metrics.csv", "predictions.csv"]
TREES = ["checkpoints/last.safetensors", "checkpoints/best.safetensors", "samples.safetensors"]
ODD = {
    "empty": "", "null": "null", "a number": "7", "a text": '"x"', "a list": "[]", "a list in a list": "[[]]",
    "deep lists": "[" * 100_000, "deep lists, closed": "[" * 100_000 + "]" * 100_000, "deep": '{"a":' * 100_000,
    "half": '{"state": "do', "many digits": '{"seconds": ' + "9" * 5000 + "}", "infinite": '{"seconds": 1e999}',
    "not a number": '{"seconds": NaN}', "half a letter": '{"state": "\\ud800"}', "zero bytes": "\0" * 50,
    "twice": '{"state": "done", "state": 1}', "other types": '{"state": [], "metrics": 3, "error": {}, "started": 7}',
    "types within": '{"metrics": {"val/loss": "low"}, "best_epoch": "x", "seconds": [1], "parameters": null}',
    "no time": '{"state": "done", "started": "yesterday", "finished": "never"}', "a large number": '{"pid": 1e300}',
    "another encoding": "\xff\xfe{",
}  # fmt: skip
VERBS = {
    "list": lambda run, table: ("list", "runs", run.parent),
    "show": lambda run, table: ("show", run),
    "report": lambda run, table: ("report", run.parent),
    "eval": lambda run, table: ("eval", run),
    "predict": lambda run, table: ("predict", run, table),
    "resume": lambda run, table: ("resume", run, "trainer.epochs=2"),
}


def each_verb(attempt, run, table):
    """A damaged file may change what a command finds, never how it ends."""
    before = run.with_name("before")
    shutil.copytree(run, before)
    for words in VERBS.values():
        attempt(*words(run, table))
        shutil.rmtree(run)
        shutil.copytree(before, run)
    shutil.rmtree(before)


@pytest.mark.parametrize(("name", "oddity"), some([(name, oddity) for oddity in ODD for name in JSON], 26))
def test_an_odd_record_hides_no_other_run(copied, attempt, name, oddity):
    run = copied("table")
    write_run(run.parent / "sound")
    (run / name).write_bytes(ODD[oddity].encode("latin1"))
    for words in (("list", "runs", run.parent), ("report", run.parent)):
        code, printed = attempt(*words)
        assert code == 0 and "sound" in printed


@pytest.mark.parametrize("oddity", some(ODD, 6))
def test_an_odd_record_of_a_sweep_hides_no_run(tmp_path, attempt, monkeypatch, oddity):
    monkeypatch.chdir(tmp_path)
    write_run(write_sweep(tmp_path / "sweep", {"state": "done"}) / "0")
    (tmp_path / "sweep/sweep.json").write_bytes(ODD[oddity].encode("latin1"))
    for words in (("list", "runs", "sweep"), ("report", "sweep")):
        code, printed = attempt(*words)
        assert code == 0 and "sweep/0" in printed and "sweep.json: cannot be read" in printed
    assert attempt("resume", "sweep")[0] == 2


@pytest.mark.parametrize("tree", [None, {}, [], 7, "x", {"parts": {}}, {"parts": 3, "counters": {}, "threads": 1}])
def test_a_checkpoint_that_holds_no_state_is_damage_and_no_fresh_start(copied, attempt, tree):
    run = copied("table")
    checkpoint.write(run / "checkpoints/last.safetensors", tree)
    code, printed = attempt("resume", run, "trainer.epochs=2")
    assert code == 2 and "no usable checkpoint" in printed and "holds no state of a run" in printed


@pytest.mark.parametrize(
    "changed",
    [{"step": None}, {"lr": None}, {"epoch": None}, {"step": 1e999}, {"step": 10**30}, {"epoch": -1}],
    ids=str,
)
def test_a_row_of_the_past_that_is_none_is_damage(copied, attempt, changed):
    run = copied("table")
    last = run / "checkpoints/last.safetensors"
    tree = checkpoint.read(last)
    row = tree["counters"]["history"][0] | changed
    tree["counters"]["history"][0] = {name: value for name, value in row.items() if value is not None}
    checkpoint.write(last, tree)
    code, printed = attempt("resume", run, "trainer.epochs=2", "logger.tensorboard=true")
    assert code == 2 and "holds no state of a run" in printed


def test_a_checkpoint_of_a_run_before_takes_its_place(copied, attempt):
    run = copied("table")
    last = run / "checkpoints/last.safetensors"
    shutil.copy(last, last.with_name("last.previous.safetensors"))
    checkpoint.write(last, None)
    code, printed = attempt("resume", run, "trainer.epochs=2")
    assert code == 0 and "holds no state of a run" in printed and "going on from" in printed


def test_more_threads_than_any_machine_has_are_damage(copied, attempt):
    run = copied("table")
    last = run / "checkpoints/last.safetensors"
    checkpoint.write(last, checkpoint.read(last) | {"threads": 10**9})
    assert attempt("resume", run, "trainer.epochs=2")[0] == 2


@pytest.mark.parametrize("seed", range(max(4, MANY)))
def test_damage_of_any_kind_is_one_line(trained, copied, attempt, seed):
    """Bytes, values and tensors changed at random; a checkpoint's checksum is made to fit, as a stranger would."""
    draw = random.Random(seed)
    run = copied("table")
    name = draw.choice(JSON + TEXTS + TREES)
    path = run / name
    kind = draw.choice(["bytes", "values"])
    if name in TREES and kind == "values":
        checkpoint.write(path, mutated(checkpoint.read(path), draw))
    elif name in JSON and kind == "values":
        path.write_text(json.dumps(mutated(json.loads(path.read_text()), draw)))
    else:
        path.write_bytes(changed_bytes(path.read_bytes(), draw))
    each_verb(attempt, run, trained / "table.csv")


def changed_bytes(content, draw):
    """Some bytes turned, taken away, doubled or put in."""
    content = bytearray(content)
    for _ in range(draw.choice([1, 1, 3, 20])):
        place, length = draw.randrange(len(content) + 1), draw.choice([1, 1, 4, 40])
        change = draw.choice(["turn", "cut", "double", "new", "end"])
        if change == "turn" and place < len(content):
            content[place] ^= 1 << draw.randrange(8)
        elif change == "cut":
            del content[place : place + length]
        elif change == "double":
            content[place:place] = content[place : place + length]
        elif change == "new":
            content[place:place] = draw.choice([b"\0", b'"', b"{", b"[", b"\n", b"-", b"9" * 30, os.urandom(4)])
        else:
            del content[place:]
    return bytes(content)


def mutated(tree, draw):
    """`tree` with one value somewhere in it replaced, taken away or renamed."""
    tree = copy.deepcopy(tree)
    places = list(_places(tree))
    if not places:
        return None
    owner, key = draw.choice(places)
    change = draw.choice(["replace", "replace", "replace", "remove", "rename"])
    if change == "replace" or isinstance(owner, list):
        owner[key] = draw.choice(_others(owner[key], draw))
    elif change == "remove":
        del owner[key]
    else:
        owner[f"{key}x"] = owner.pop(key)
    return tree


def _places(tree):
    if isinstance(tree, dict | list):
        for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
            yield tree, key
            yield from _places(tree[key])


def _others(value, draw):
    if isinstance(value, torch.Tensor):
        return [
            value.double(), value.int(), value.reshape(-1)[:1], value.reshape(-1), torch.zeros(0), torch.tensor(7),
            torch.full_like(value, 100), value.unsqueeze(0), 3, None, "x",
        ]  # fmt: skip
    odd = [None, True, -1, 0, 7, 10**6, 2**63, -0.5, 1e308, "", "x", "mlp", "../x", [], {}, [1, "a"], {"a": 1}, [[]]]
    return [*odd, {"name": "mlp"}, [value], {"x": value}, "\x1b[31m", "🙂" * 200]
