"""What differs, who is best, what the seed changes: the numbers behind `dlrun report`."""

import math
import os
import pathlib
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_runs import write_run, write_sweep

from dlrun.report import comparison
from dlrun.report.comparison import Row, best_first, differing, direction, grouped
from dlrun.store import locks


def row(name="r", value=None, state="done", history=(), **keys):
    metrics = {} if value is None else {"val/accuracy": value}
    written = {key.replace("__", "."): text for key, text in keys.items()}
    return Row(pathlib.Path(name), state, keys=written, metrics=metrics, history=list(history))


def curve_rows(*values):
    return [{"epoch": epoch, "val/accuracy": value} for epoch, value in enumerate(values, start=1)]


def test_a_key_of_a_model_counts_among_runs_of_that_model_only():
    mlp, cnn = {"model": "mlp", "model__dropout": "0.1"}, {"model": "cnn", "model__kernel_size": "5"}
    rows = [row(**mlp, seed="0", trainer__epochs="2"), row(**cnn, seed="1", trainer__epochs="2")]
    assert differing(rows) == ["model", "seed"]
    rows.append(row(**(mlp | {"model__dropout": "0.5"}), seed="0", trainer__epochs="3"))
    assert differing(rows) == ["model", "model.dropout", "trainer.epochs", "seed"]
    assert differing(rows[:1]) == []
    assert differing([]) == []


@given(st.lists(st.one_of(st.none(), st.floats())), st.sampled_from(["max", "min"]))
def test_best_first_is_a_sorted_permutation_with_the_unmeasured_last(values, mode):
    items = list(enumerate(values))
    ranked = best_first(items, lambda item: item[1], mode)
    assert sorted(ranked, key=lambda item: item[0]) == items
    finite = [value for _, value in ranked if value is not None and math.isfinite(value)]
    assert finite == sorted(finite, reverse=mode == "max")
    assert all(value is not None and math.isfinite(value) for _, value in ranked[: len(finite)])


def test_groups_are_equal_in_all_but_the_seed():
    rows = [row(model=model, seed=seed, value=value) for model, seed, value in [("a", "0", 0.5), ("b", "0", 0.9)]]
    rows += [row(model="a", seed="1", value=0.7), row(model="a", seed="2", state="running", value=0.1), row()]
    first, second = grouped(rows)
    assert (first.keys, len(first.rows)) == ({"model": "a"}, 3)
    assert first.values("val/accuracy") == [0.5, 0.7]
    assert first.mean("val/accuracy") == pytest.approx(0.6)
    assert first.std("val/accuracy") == pytest.approx(statistics.stdev([0.5, 0.7]))
    assert (second.mean("val/accuracy"), second.std("val/accuracy")) == (0.9, None)
    assert first.mean("val/loss") is None


def test_a_curve_is_the_mean_over_the_epochs_that_all_have():
    long, short = curve_rows(0.1, 0.3, 0.5), curve_rows(0.3, 0.5)
    (group,) = grouped([row(model="a", seed="0", history=long), row(model="a", seed="1", history=short)])
    curve = group.curve("val/accuracy")
    assert curve["epochs"] == [1, 2]
    assert curve["mean"] == pytest.approx([0.2, 0.4])
    assert curve["std"] == pytest.approx([statistics.stdev([0.1, 0.3])] * 2)
    assert group.curve("val/loss") is None


def test_runs_that_are_not_done_do_not_cut_a_curve_but_show_alone():
    done, running = (
        row(model="a", history=curve_rows(0.1, 0.3)),
        row(model="a", state="running", history=curve_rows(0.2)),
    )
    assert grouped([done, running])[0].curve("val/accuracy") == {"epochs": [1, 2], "mean": [0.1, 0.3], "std": None}
    assert grouped([running])[0].curve("val/accuracy")["mean"] == [0.2]


def test_a_gap_in_a_curve_is_left_out():
    history = [
        *curve_rows(0.1),
        {"epoch": 2},
        {"epoch": 3, "val/accuracy": math.nan},
        {"epoch": 4, "val/accuracy": 0.4},
    ]
    assert grouped([row(model="a", history=history)])[0].curve("val/accuracy")["epochs"] == [1, 4]


@pytest.mark.parametrize(
    ("metric", "best"),
    [
        ("val/accuracy", "max"),
        ("test/accuracy", "max"),
        ("val/loss", "min"),
        ("test/rmse", "min"),
        ("test/f1_macro", "max"),
    ],
)
def test_direction_by_name(metric, best):
    assert direction(metric, [Row(pathlib.Path(), "done", watch="val/accuracy", mode="max")]) == best


def test_the_direction_that_runs_watch_comes_first():
    assert direction("test/loss", [Row(pathlib.Path(), "done", watch="val/loss", mode="max")]) == "max"


def test_a_finished_run(tmp_path):
    write_run(tmp_path / "run", "seed=3", "model.hidden_sizes=[8,4]", values=(0.9, 0.4))
    (found,) = comparison.collect([tmp_path])
    assert (found.state, found.watch, found.mode, found.best_epoch, found.epochs) == (
        "done",
        "val/accuracy",
        "max",
        1,
        2,
    )
    assert found.metrics == {"train/loss": 1.5, "val/accuracy": 0.9, "test/accuracy": 0.45}
    assert found.keys["model"] == "mlp"
    assert found.keys["model.hidden_sizes"] == "[8,4]"
    assert found.keys["model.batch_norm"] == "false"
    assert found.keys["seed"] == "3"
    assert not {key for key in found.keys if key.startswith(("folder", "outputs", "sweep"))}


def test_a_place_in_the_working_directory_is_said_as_it_is_typed_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = {
        "from": str(tmp_path / "outputs/first"),
        "elsewhere": "/data/second",
        "layers": [1],
        "here": str(tmp_path),
    }
    found = comparison.keys_of({"init": places})
    assert found == {
        "init.from": "outputs/first",
        "init.elsewhere": "/data/second",
        "init.layers": "[1]",
        "init.here": str(tmp_path),
    }


@pytest.mark.parametrize("state", ["interrupted", "failed"])
def test_an_unfinished_run_has_its_latest_metrics(tmp_path, state):
    write_run(tmp_path / "run", state=state, values=(0.9, 0.4), error="out of memory")
    (found,) = comparison.collect([tmp_path])
    assert (found.state, found.reason, found.watch, found.mode) == (state, "out of memory", "val/accuracy", "max")
    assert found.metrics == {"train/loss": 1.5, "val/accuracy": 0.4}
    assert (found.best_epoch, found.seconds) == (None, 90.0)


def test_an_old_summary_does_not_hide_that_a_run_goes_on(tmp_path):
    write_run(tmp_path / "run", values=(0.9, 0.4))
    write_run(tmp_path / "on", state="running", values=(0.9, 0.4, 0.3))
    (tmp_path / "run/summary.json").rename(tmp_path / "on/summary.json")
    with locks.owned(tmp_path / "on"):
        (found,) = comparison.collect([tmp_path / "on"])
    assert (found.state, found.metrics["val/accuracy"]) == ("running", 0.3)


def test_a_run_that_nobody_holds_was_killed(tmp_path):
    for name, host in (("held", None), ("gone", None), ("far", "another")):
        write_run(tmp_path / name, state="running", **({"host": host} if host else {}))
    with locks.owned(tmp_path / "held"):
        states = {found.path.name: found.state for found in comparison.collect([tmp_path])}
    assert states == {"held": "running", "gone": "killed", "far": "running"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.yaml", None),
        ("config.yaml", "a: [1"),
        ("config.yaml", "- 1"),
        ("summary.json", '{"metrics": '),
        ("status.json", "[]"),
        ("metrics.csv", "epoch,val/accuracy\n1,0.5\n2,0.x\n"),
        ("metrics.csv", "epoch,val/accuracy\n1,0.5,0.7\n"),
        ("metrics.csv", "epoch,val/accuracy\n1,\xff\n"),
    ],
)
def test_a_half_written_run_is_a_row_that_says_why(tmp_path, name, content):
    write_run(tmp_path / "run")
    if content is None:
        (tmp_path / "run" / name).unlink()
    else:
        (tmp_path / "run" / name).write_bytes(content.encode("latin1"))
    (found,) = comparison.collect([tmp_path])
    assert found.state == comparison.UNREADABLE
    assert str(tmp_path / "run") in found.reason


def test_jobs_of_a_sweep_that_are_no_runs(tmp_path):
    write_run(tmp_path / "sweep/0", state="failed", error="from the run")
    write_run(tmp_path / "sweep/1")
    write_run(tmp_path / "sweep/2", state="interrupted")
    write_sweep(
        tmp_path / "sweep",
        {"state": "failed", "reason": None},
        {"state": "failed", "reason": "went on by itself since"},
        {"state": "failed", "reason": "took longer than 1 minutes"},
        {"state": "failed", "reason": "the process was ended by SIGSEGV", "changed": {"model": "cnn", "seed": "1"}},
        {},
    )
    found = [(found.path.name, found.state, found.reason) for found in comparison.collect([tmp_path])]
    assert found == [
        ("0", "failed", "from the run"),
        ("1", "done", None),
        ("2", "failed", "took longer than 1 minutes"),
        ("3", "failed", "the process was ended by SIGSEGV"),
        ("4", "waiting", None),
    ]
    assert comparison.collect([tmp_path])[3].keys == {"model": "cnn", "seed": "1"}


def test_job_10_comes_after_job_9_and_none_twice(tmp_path):
    for number in (10, 9, 1):
        write_run(tmp_path / str(number))
    found = comparison.collect([tmp_path, tmp_path / "9", os.path.relpath(tmp_path / "10")])
    assert [entry.path.name for entry in found] == ["1", "9", "10"]
