import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from measuring import findings, loss, measured
from sklearn import metrics

from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import Batch
from dlrun.tasks.binary import Binary
from dlrun.tasks.multiclass import OneVsRest


def spec(features):
    return DataSpec("features", "binary", in_features=features, out_features=1, class_names=("no", "yes"))


@given(st.lists(st.tuples(st.floats(-50, 50), st.integers(0, 1)), min_size=1, max_size=40))
def test_metrics_equal_scikit_learns(pairs):
    output = torch.tensor([[logit] for logit, _ in pairs])
    target = torch.tensor([label for _, label in pairs])
    task, true, guess = Binary(spec(3)), target.numpy(), (output[:, 0] > 0).numpy()
    found = measured(task, output, target)
    assert found["accuracy"] == metrics.accuracy_score(true, guess)
    # Undefined is what is a share of nothing.
    for name, of in (("precision", guess), ("recall", true), ("f1", true + guess)):
        assert math.isnan(found[name]) == (of.sum() == 0)
        if of.sum():
            assert found[name] == pytest.approx(getattr(metrics, f"{name}_score")(true, guess))
    assert math.isnan(found["roc_auc"]) == (len(set(true.tolist())) == 1)
    assert torch.isfinite(loss(task, output * 1e6, target))


def test_loss_is_the_cross_entropy_of_the_probability():
    output, target = torch.tensor([[0.3], [-2.0]]), torch.tensor([1, 0])
    task = Binary(spec(1))
    probability = task.predict(output)
    expected = -(probability[0, 1].log() + probability[1, 0].log()) / 2
    assert loss(task, output, target).item() == pytest.approx(expected.item())
    assert torch.allclose(probability.sum(dim=1), torch.ones(2))


@pytest.mark.parametrize(("features", "picture"), [(1, "probability_curve"), (2, "decision_regions"), (3, None)])
def test_pictures_fit_the_number_of_features(features, picture):
    x = torch.linspace(-1, 1, 12 * features).reshape(12, features)
    target = (x.sum(dim=1) > 0).long()
    found = findings(x.sum(dim=1, keepdim=True), target, x, lambda raw: raw.sum(1, keepdim=True))
    figures = Binary(spec(features)).pictures(found)
    common = ["confusion_matrix", "roc", "precision_recall"]
    assert list(figures) == common + ([picture] if picture else [])


@pytest.mark.parametrize(
    ("x", "slope", "low", "high"),
    [
        ([1.0, 2.0, 3.0], 1.0, 0.0, 5.9),  # hours: not below none, and as far up as it takes
        ([-1.0, 0.0, 1.0], 1.0, -1.9, 5.9),
        ([-1.0, 0.0, 5.0], 30.0, -1.6, 5.6),  # sure within the data: as far as these and a tenth more
        ([1.0, 2.0, 3.0], 0.0, 0.0, 11.0),  # never sure
        ([-3.0, -2.0, -1.0], 1.0, -3.2, 0.0),
    ],
)
def test_a_probability_is_drawn_until_the_model_is_sure(x, slope, low, high):
    x = torch.tensor(x)[:, None]
    found = findings(x, (x > x.median()).long()[:, 0], x, lambda raw: (raw - 2) * slope)
    (axes,) = Binary(spec(1)).pictures(found)["probability_curve"].axes
    (curve,) = [line for line in axes.lines if line.get_label() == "model"]
    assert curve.get_xdata()[[0, -1]] == pytest.approx([low, high], abs=0.05)


def test_one_class_only_has_no_curves():
    x = torch.ones(4, 3)
    found = findings(x[:, :1], torch.ones(4).long(), x)
    assert list(Binary(spec(3)).pictures(found)) == ["confusion_matrix"]


def test_one_vs_rest_is_a_sum_of_binary_problems():
    many = DataSpec("features", "class", in_features=2, out_features=3)
    output, target = torch.randn(5, 3), torch.tensor([0, 1, 2, 2, 0])
    task = OneVsRest(many)
    binary = Binary(spec(2))
    parts = [loss(binary, output[:, k : k + 1], (target == k).long()).item() for k in range(3)]
    assert loss(task, output, target).item() == pytest.approx(sum(parts), rel=1e-5)
    assert torch.equal(task.predict(output).argmax(dim=1), output.argmax(dim=1))


def test_a_soft_target_counts_the_share_of_the_predicted_class():
    output, target = torch.tensor([[2.0], [-2.0], [2.0]]), torch.tensor([0.7, 0.4, 0.0])
    found = Binary(spec(1)).metrics()[0]
    batch_ = Batch((), target, torch.arange(3))
    found.update(output, batch_, {})
    assert found.compute()["accuracy"] == pytest.approx((0.7 + 0.6 + 0.0) / 3)


def test_answers_start_with_the_likelier_class():
    columns = Binary(spec(1)).answers(torch.tensor([[2.0], [-2.0]]))
    assert columns == {"predicted": ["yes 88.1%", "no 88.1%"], "then": ["no 11.9%", "yes 11.9%"]}


def test_a_run_says_which_class_is_the_positive_one():
    from dlrun.data.tables.sklearn_tables import BreastCancer

    data = BreastCancer()
    (line,) = Binary(data.spec).begin(torch.nn.Identity(), data.load()["train"])
    assert line == "classes malignant, and as the positive one benign"


def test_the_roc_picture_and_the_table_have_one_area():
    """Sigmoids of large logits are all 1 in float32, and would lose their order."""
    output, target = torch.tensor([[40.0], [50.0], [60.0], [45.0], [55.0], [30.0]]), torch.tensor([0, 1, 1, 0, 0, 0])
    table = measured(Binary(spec(3)), output, target)
    figures = Binary(spec(3)).pictures(findings(output, target, torch.zeros(6, 3), lambda raw: raw[:, :1]))
    labels = [text.get_text() for text in figures["roc"].axes[0].get_legend().get_texts()]
    assert f"model: area {table['roc_auc']:.3f}" in labels
    assert table["roc_auc"] == pytest.approx(7 / 8)
