"""Settings against one of them, over shared seeds: the numbers of SciPy's paired t test."""

import pathlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dlrun.report.comparison import Group, Row
from dlrun.report.differences import differences, t_limit

METRIC = "val/accuracy"


def group(name, values, state="done"):
    rows = [Row(pathlib.Path(), state, keys={"seed": seed}, metrics={METRIC: v}) for seed, v in values.items()]
    return Group({"model": name}, rows)


numbers = st.floats(-1, 1).map(lambda value: round(value, 6))


@given(st.dictionaries(st.integers(0, 99).map(str), st.tuples(numbers, numbers), min_size=2))
def test_the_interval_is_that_of_the_paired_t_test(pairs):
    base, other = (group(str(place), {seed: pair[place] for seed, pair in pairs.items()}) for place in (0, 1))
    (found,) = differences([base, other], base, METRIC)
    values = np.array([second - first for first, second in pairs.values()])
    assert found.mean == pytest.approx(values.mean(), abs=1e-12)
    expected = values.mean() + stats.sem(values) * stats.t.ppf([0.025, 0.975], len(values) - 1)
    assert found.interval == pytest.approx(tuple(expected), abs=1e-9)


def test_only_seeds_that_both_have_count_and_those_of_runs_that_are_done():
    base, other = group("a", {"0": 0.1, "1": 0.2, "2": 0.3}), group("b", {"1": 0.5, "2": 0.7, "3": 0.9})
    lost = group("b", {"0": 0.9}, state="failed")
    other.rows += lost.rows
    (found,) = differences([base, other], base, METRIC)
    assert sorted(found.values) == pytest.approx([0.3, 0.4])
    assert differences([base, lost], base, METRIC) == []


def test_runs_of_one_seed_are_one_value():
    base, other = group("a", {"0": 0.5}), group("b", {"0": 0.6})
    other.rows += group("b", {"0": 0.8}).rows
    (found,) = differences([base, other], base, METRIC)
    assert found.values == pytest.approx([0.2]) and found.interval is None


def test_seeds_that_differ_alike_have_an_interval_of_no_width():
    base, other = group("a", {"0": 0.25, "1": 0.5}), group("b", {"0": 0.5, "1": 0.75})
    assert differences([base, other], base, METRIC)[0].interval == (0.25, 0.25)


def test_the_limits_of_t_are_those_of_scipy():
    freedoms = [*range(1, 60), 99, 100, 999, 1000]
    assert [t_limit(n) for n in freedoms] == pytest.approx(stats.t.ppf(0.975, freedoms), rel=1e-10)
