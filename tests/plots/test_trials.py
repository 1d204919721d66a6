import pytest

from dlrun.plots import trials
from dlrun.plots.figure import png_bytes

TRIALS = [(0, 0.5, "done"), (1, 0.9, "pruned"), (2, 0.7, "done"), (3, 0.6, "done"), (4, 0.1, "failed")]


@pytest.mark.parametrize(("mode", "steps", "best"), [("max", [0.5, 0.7, 0.7, 0.7], 2), ("min", [0.5] * 4, 0)])
def test_the_best_so_far_counts_trials_that_are_done(mode, steps, best):
    figure = trials.over_trials(TRIALS, "val/accuracy", mode)
    (ax,) = figure.axes
    (line,) = (line for line in ax.lines if line.get_label() == "best so far")
    assert line.get_xdata().tolist() == [0, 2, 3, 4]
    assert line.get_ydata().tolist() == steps
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[:3] == ["3 done", "1 pruned", "1 failed or not at their end"]
    assert f"best: trial {best}, {steps[-1]:g}" in labels
    assert png_bytes(figure).startswith(b"\x89PNG")


def test_a_search_without_a_trial_that_is_done_has_no_best():
    figure = trials.over_trials([(0, 0.5, "pruned")], "val/loss", "min")
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["1 pruned"]
