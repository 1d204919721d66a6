"""What is best for its cost, and names that can be read."""

from hypothesis import given
from hypothesis import strategies as st

from dlrun.plots import costs

small = st.integers(0, 8).map(float)


@given(st.lists(st.tuples(small, small), min_size=1, max_size=12), st.sampled_from(["max", "min"]))
def test_the_front_is_what_nothing_beats(points, mode):
    def is_beaten(cost, value):
        gains = [(cost - c, (v - value) * (1 if mode == "max" else -1)) for c, v in points]
        return any(less >= 0 and more >= 0 and (less, more) != (0, 0) for less, more in gains)

    prices, values = zip(*points, strict=True)
    kept = [points[index] for index in costs.front(prices, values, mode)]
    assert set(kept) == {point for point in points if not is_beaten(*point)}
    assert kept == sorted(set(kept))


def test_each_panel_has_a_point_and_a_name_for_each_model_and_its_own_metric():
    names = [f"model_{number}" for number in range(12)]
    values, parameters = [number / 12 for number in range(12)], [10**number for number in range(12)]
    first = costs.Panel("digits", "val/accuracy", "max", names, values, {"parameters": parameters, "seconds": values})
    second = costs.Panel("line", "val/loss", "min", names[:3], values[:3], {"parameters": parameters[:3]})
    axes = costs.against_costs([first, second]).axes
    assert [ax.get_title() for ax in axes] == [
        "digits: val/accuracy against parameters", "digits: val/accuracy against seconds",
        "line: val/loss against parameters",
    ]  # fmt: skip
    assert [ax.get_xscale() for ax in axes] == ["log", "linear", "log"], "a cost of 0 has no logarithm"
    assert [sorted(text.get_text() for text in ax.texts) for ax in axes] == [sorted(names), sorted(names), names[:3]]


def test_names_of_points_that_lie_together_do_not_hide_each_other():
    points = [(200.0, 100.0), (203.0, 101.0), (206.0, 99.0), (390.0, 260.0)]
    names = ["mobilenet_v1", "mobilenet_v2", "efficientnet", "at the edge"]
    boxes = []
    for index, (dx, dy) in costs._places(points, names, [2, 0, 1, 3], []).items():
        x, y, half = points[index][0] + dx, points[index][1] + dy, costs.LETTER * len(names[index]) / 2
        boxes.append((x - half, y - costs.LINE / 2, x + half, y + costs.LINE / 2))
    assert all(costs._overlap(a, b) == 0 for place, a in enumerate(boxes) for b in boxes[:place])
    assert all(left >= 0 and right <= costs.INNER[0] for left, _, right, _ in boxes)


def test_ticks_are_named_by_one_two_and_five():
    assert [costs._tick(value) for value in (0.5, 1, 3, 20, 5e4, 1e6, 2e9)] == ["0.5", "1", "", "20", "50k", "1M", "2G"]
