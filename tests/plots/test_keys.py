import numpy as np
import pytest

from dlrun.plots import keys
from dlrun.plots.figure import png_bytes


def test_one_key_has_a_log_axis_where_its_values_span_much():
    wide = keys.against_key("optimizer.lr", [0.1, 0.001, 0.01], [0.5, 0.9, 0.8], None, "val/accuracy", "max")
    assert wide.axes[0].get_xscale() == "log"
    (line,) = (line for line in wide.axes[0].lines if len(line.get_xdata()) == 3)
    assert line.get_xdata().tolist() == [0.001, 0.01, 0.1]
    assert line.get_ydata().tolist() == [0.9, 0.8, 0.5]
    narrow = keys.against_key("model.weight", [0, 1, 2, 3, 4], [4, 1, 0, 1, 4], [0.1] * 5, "train/loss", "min")
    assert narrow.axes[0].get_xscale() == "linear"
    assert "model.weight = 2" in narrow.axes[0].get_legend().get_texts()[0].get_text()


def test_a_heat_map_leaves_out_what_was_not_trained():
    values = np.array([[0.1, np.nan], [0.3, 0.4]])
    figure = keys.heat_map(["optimizer.lr", "model"], ["0.1", "0.01"], ["mlp", "cnn"], values, "val/accuracy")
    assert sorted(text.get_text() for text in figure.axes[0].texts) == ["0.1", "0.3", "0.4"]
    assert figure.axes[0].get_xlabel() == "optimizer.lr"


def test_parallel_coordinates_draw_a_line_a_run_with_the_best_on_top():
    runs = [{"model": model, "optimizer.lr": lr, "seed": "0"} for model in ("cnn", "mlp") for lr in ("0.1", "0.001")]
    figure = keys.parallel_coordinates(runs, [0.2, 0.9, 0.4, 0.3], "val/accuracy")
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 4]
    assert len(lines) == 4
    assert lines[-1].get_ydata().tolist() == [0.0, 0.0, 0.5, 1.0]
    assert png_bytes(figure).startswith(b"\x89PNG")


def test_ticks_that_would_overlap_are_left_out():
    runs = [{"optimizer.lr": text} for text in ("0.001234567", "0.0012346", "0.5", "1.0", "0.9999")]
    figure = keys.parallel_coordinates(runs, [1, 2, 3, 4, 5], "val/accuracy")
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.001235", "0.5", "1", "1", "5"]


@pytest.mark.parametrize(
    ("texts", "numbers"), [(["1", "1e-3"], [1, 0.001]), (["a", "1"], None), (["nan"], None), ([""], None)]
)
def test_numbers_are_told_from_words(texts, numbers):
    assert keys.as_numbers(texts) == numbers
