import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from measuring import batch, findings, loss, measured
from sklearn import metrics

from dlrun.config.spec import DataSpec
from dlrun.tasks.regression import Regression

SPEC = DataSpec("features", "value", in_features=1, out_features=1, feature_names=("x",), target_name="y")


def column(values):
    return torch.tensor(values).float().reshape(-1, 1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (1 + 9) / 2),
        ({"loss": "l1"}, (1 + 3) / 2),
        ({"loss": "huber", "huber_delta": 2.0}, (0.5 + 2 * (3 - 1)) / 2),
    ],
)
def test_losses(options, expected):
    found = loss(Regression(SPEC, **options), torch.tensor([[1.0], [3.0]]), column([0, 0]))
    assert found.item() == pytest.approx(expected)


def test_shapes_are_not_broadcast():
    with pytest.raises(ValueError, match=r"\(2,\).*\(2, 1\)"):
        loss(Regression(SPEC), torch.zeros(2), column([0, 1]))


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=2, max_size=30))
def test_metrics_equal_scikit_learns(pairs):
    guess, true = torch.tensor(pairs).float().T.unsqueeze(2)
    task = Regression(SPEC)
    found = measured(task, guess, true)
    assert found["mse"] == pytest.approx(metrics.mean_squared_error(true, guess), rel=1e-6, abs=1e-12)
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(true, guess), rel=1e-6, abs=1e-12)
    assert found["r2"] == pytest.approx(metrics.r2_score(true.double(), guess.double()), rel=1e-6, abs=1e-12)
    errors, whole = task.metrics()[0], batch(true)
    errors.update(guess, whole, {})
    running = errors.compute()
    assert running["rmse"] == pytest.approx(found["rmse"], rel=1e-4, abs=1e-6)
    assert running["mae"] == pytest.approx(found["mae"], rel=1e-4, abs=1e-6)


def test_one_example_has_no_r2():
    assert "r2" not in measured(Regression(SPEC), torch.ones(1, 1), torch.zeros(1, 1))


def test_pictures_show_the_curve_where_there_is_one_feature():
    x = torch.linspace(0, 1, 9).reshape(-1, 1)
    found = findings(3 * x, 3 * x, x, lambda raw: 3 * raw)
    figures = Regression(SPEC).pictures(found)
    assert list(figures) == ["predicted_against_true", "residuals", "fit"]
    (line,) = (line for line in figures["fit"].axes[0].lines if line.get_label() == "model")
    assert line.get_ydata()[0] == pytest.approx(-0.3)
    wide = DataSpec("features", "value", in_features=2, out_features=1)
    assert "fit" not in Regression(wide).pictures(found)
