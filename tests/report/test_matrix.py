"""Two things chosen by name against each other."""

import pathlib

import pytest

from dlrun.report import tables
from dlrun.report.comparison import Row, differing, direction, grouped
from dlrun.report.matrix import matrix


def row(value, metric="val/accuracy", parameters=10, seconds=1.0, state="done", **keys):
    written = {key.replace("__", "."): text for key, text in keys.items()}
    metrics = {} if value is None else {metric: value}
    return Row(pathlib.Path("r"), state, keys=written, metrics=metrics, parameters=parameters, seconds=seconds)


def of(rows):
    def measured_by(groups):
        metric = next((name for group in groups for row in group.rows for name in row.metrics), "val/loss")
        return metric, direction(metric, rows)

    return matrix(grouped(rows), differing(rows), measured_by)


@pytest.mark.parametrize(
    ("runs", "keys"),
    [
        ([{"model": "a", "data": "x"}, {"model": "b", "data": "y"}], ("model", "data")),
        ([{"optimizer": "sgd", "model": "a"}, {"optimizer": "adam", "model": "b"}], ("model", "optimizer")),
        ([{"optimizer": "sgd", "data": "x"}, {"optimizer": "adam", "data": "y"}], ("optimizer", "data")),
        ([{"model": "a"}, {"model": "b"}], ("model", "")),
        # The task follows from the data, unless it alone differs.
        ([{"data": "x", "task": "s"}, {"data": "y", "task": "t"}], ("data", "")),
        ([{"data": "x", "task": "s"}, {"data": "x", "task": "t"}], ("task", "")),
        ([{"model": m, "optimizer": m, "data": m} for m in "ab"], ("model", "data")),
        ([{"model": "a", "optimizer__lr": "1"}, {"model": "a", "optimizer__lr": "2"}], None),
        ([{"model": "a", "trainer__epochs": "1"}], None),
    ],
)  # fmt: skip
def test_the_axes_are_what_was_chosen_by_name(runs, keys):
    found = of([row(0.5, **own) for own in runs])
    assert (found and found.keys) == keys


def test_a_cell_is_the_best_of_its_settings_by_the_metric_of_its_data():
    rows = [row(0.5, model="a", data="x", optimizer__lr="1"), row(0.7, model="a", data="x", optimizer__lr="2")]
    rows += [row(0.6, model="b", data="x", optimizer__lr="1", parameters=1_234_567)]
    rows += [row(v, "val/loss", model="a", data="y", optimizer__lr=lr) for v, lr in ((3.0, "1"), (2.0, "2"))]
    rows += [row(None, model="b", data="y", optimizer__lr="1", state="failed")]
    assert tables.matrix(of(rows)) == (
        ["model", "x: val/accuracy", "y: val/loss"],
        [["a", "0.7000 · 10 · 1.0 s *", "2.0000 · 10 · 1.0 s"], ["b", "0.6000 · 1.23M · 1.0 s", "failed · 10"]],
    )


def test_rows_stand_by_their_mean_place_and_what_has_no_value_comes_last():
    values = {"a": (0.1, 0.9), "b": (0.5, 0.8), "c": (0.9, 0.7), "d": (0.7, None), "e": (None, None)}
    rows = [row(v, model=m, data=d) for m, own in values.items() for d, v in zip("xy", own, strict=True)]
    found = of(rows)
    # Places of x: c d b a, of y: a b c.
    assert found.rows == ["d", "a", "c", "b", "e"]
    assert [found.best(column) for column in ("x", "y")] == ["c", "a"]


def test_one_model_on_many_data_sets_is_a_list_with_their_metrics():
    rows = [row(0.5, model="a", data="x"), row(2.0, "val/loss", model="a", data="y", seconds=None)]
    assert tables.matrix(of(rows)) == (
        ["data", "metric", "value", "parameters", "seconds"],
        [["x", "val/accuracy", "0.5000", "10", "1.0"], ["y", "val/loss", "2.0000", "10", ""]],
    )
