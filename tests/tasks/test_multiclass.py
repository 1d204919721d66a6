"""The numbers of a classification against scikit-learn and against plain sums."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from measuring import findings, loss, measured
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import Batch
from dlrun.tasks.multiclass import Multiclass, OneVsRest, confusion

SPEC = DataSpec(kind="features", target="class", in_features=2, out_features=4, class_names=("a", "b", "c", "d"))


def outputs_for(guesses, classes=4):
    """Logits (B, K) that predict `guesses`."""
    return F.one_hot(torch.tensor(guesses), classes).float() * 3 + torch.arange(classes) * 0.1


labels = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@given(labels)
def test_the_report_is_scikit_learn_s_macro_average(pairs):
    true, guesses = map(list, zip(*pairs, strict=True))
    task = Multiclass(SPEC)
    found = measured(task, outputs_for(guesses), torch.tensor(true))
    expected = precision_recall_fscore_support(true, guesses, average="macro", zero_division=0)
    names = ("precision_macro", "recall_macro", "f1_macro")
    assert [found[name] for name in names] == pytest.approx(list(expected[:3]))
    assert found["accuracy"] == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
    matrix = confusion(torch.tensor(guesses), torch.tensor(true), 4)
    assert matrix.tolist() == confusion_matrix(true, guesses, labels=range(4)).tolist()


def test_the_loss_is_the_mean_negative_log_of_the_true_class():
    logits = torch.tensor([[0.0, math.log(3), 0.0, 0.0]])
    assert loss(Multiclass(SPEC), logits, torch.tensor([1])).item() == pytest.approx(math.log(2))
    assert Multiclass(SPEC).predict(logits).tolist()[0] == pytest.approx([1 / 6, 1 / 2, 1 / 6, 1 / 6])


def test_label_smoothing_spreads_a_share_of_the_target():
    logits, target = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3, 0])
    smooth = 0.7 * F.one_hot(target, 4) + 0.3 / 4
    expected = -(smooth * logits.log_softmax(1)).sum(1).mean()
    assert loss(Multiclass(SPEC, label_smoothing=0.3), logits, target).item() == pytest.approx(expected.item())


def test_half_precision_logits_lose_nothing_in_the_loss():
    logits, target = torch.tensor([[30.0, 0.0, 0.0, 1e-4]]).bfloat16(), torch.tensor([1])
    found = loss(Multiclass(SPEC), logits, target)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(30.0)


def test_the_sums_carry_no_graph():
    output, target = torch.randn(3, 4, requires_grad=True), torch.tensor([0, 1, 2])
    for metric in Multiclass(SPEC).metrics():
        sums = metric.sums(output, Batch((), target, torch.arange(3)), {})
        assert not any(value.requires_grad for value in sums.values())


def test_classes_without_names_are_numbered():
    assert Multiclass(DataSpec(kind="image", target="class", out_features=3)).class_names == ("0", "1", "2")


@pytest.mark.parametrize("examples", [1, 3, 30])
def test_pictures_show_samples_with_the_names_of_their_own_classes(monkeypatch, examples):
    from dlrun.plots import images

    shown = {}
    monkeypatch.setattr(
        images,
        "predictions_grid",
        lambda pixels, true, guesses, probability: shown.update(
            pixels=pixels, true=true, guesses=guesses, p=probability
        ),
    )
    target = torch.arange(examples) % 4
    output = outputs_for(((target + 1) % 4).tolist())
    # The first pixel of each picture tells which sample it is.
    pixels = torch.arange(examples, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    figures = Multiclass(SPEC).pictures(findings(output, target, pixels))
    assert set(figures) == {"confusion_matrix", "per_class_accuracy", "predictions"}
    indices = (shown["pixels"][:, 0, 0, 0] * 255).round().long()
    assert len(indices) == min(25, examples)
    assert indices.unique().tolist() == indices.tolist()
    assert shown["true"] == [SPEC.class_names[k] for k in target[indices]]
    assert shown["guesses"] == [SPEC.class_names[(k + 1) % 4] for k in target[indices]]
    assert shown["p"] == pytest.approx(output.softmax(1).max(1).values[indices].tolist())


def test_data_that_are_no_images_have_no_grid():
    target = torch.tensor([0, 1])
    figures = Multiclass(SPEC).pictures(findings(outputs_for([0, 1]), target, torch.zeros(2, 5)))
    assert set(figures) == {"confusion_matrix", "per_class_accuracy"}


@pytest.mark.parametrize("task", [Multiclass(SPEC), Multiclass(SPEC, label_smoothing=0.2), OneVsRest(SPEC)])
def test_the_loss_of_a_mixture_is_its_shares_of_the_losses_of_both(task):
    output, own, other = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 3]), torch.tensor([1, 1, 0, 2, 3])
    for share in (0.0, 0.3, 1.0):
        soft = share * F.one_hot(own, 4) + (1 - share) * F.one_hot(other, 4)
        expected = share * loss(task, output, own) + (1 - share) * loss(task, output, other)
        assert loss(task, output, soft).item() == pytest.approx(expected.item(), rel=1e-5)
        hits = [accuracy(task, output, target) for target in (own, other)]
        assert accuracy(task, output, soft) == pytest.approx(share * hits[0] + (1 - share) * hits[1])


def accuracy(task, output, target):
    metric = task.metrics()[0]
    metric.update(output, Batch((), target, torch.arange(len(target))), {})
    return metric.compute()["accuracy"]


def test_answers_name_the_likeliest_classes():
    columns = Multiclass(SPEC).answers(torch.tensor([[0.0, 3.0, 1.0, 2.0]]))
    assert columns == {"predicted": ["b 64.4%"], "then": ["d 23.7%"], "and then": ["c 8.7%"]}
