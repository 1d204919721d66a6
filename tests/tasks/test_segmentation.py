"""Loss, overlap and pictures of a class for each pixel; what becomes of classes that are not there."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from measuring import batch, findings, loss, measured
from sklearn.metrics import f1_score, jaccard_score
from torch import nn

from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import Batch, LoaderOptions
from dlrun.engine.evaluate import evaluate
from dlrun.engine.loading import PartLoader
from dlrun.engine.metrics import Meter
from dlrun.engine.parts import TensorPart
from dlrun.tasks.segmentation import ClassOverlap, Segmented, SemanticSegmentation, confusion

NAMES = ("background", "cat", "dog")
IGNORED = 255


def spec(num_classes=3):
    return DataSpec(
        kind="image", target="mask", in_channels=1, image_size=(6, 7), out_features=num_classes,
        class_names=NAMES[:num_classes],
    )  # fmt: skip


def task(num_classes=3, **keys):
    return SemanticSegmentation(spec(num_classes), **keys)


def masks(seed, num=8, num_classes=3, size=(6, 7)):
    return torch.randint(num_classes, (num, *size), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


def logits_for(guess, num_classes=3, sure=5.0):
    """Logits (B, K, H, W) that predict `guess` (B, H, W)."""
    return F.one_hot(guess.long(), num_classes).movedim(-1, 1).float() * sure


def metrics(guess, target, num_classes=3):
    return measured(task(num_classes), logits_for(guess, num_classes), target)


# ---- loss


def test_the_loss_is_torch_s_without_what_is_not_counted():
    output, target = torch.randn(1, 3, 6, 7), masks(0, num=1)
    target[0, :2] = IGNORED
    expected = F.cross_entropy(output, target.long(), ignore_index=IGNORED)
    assert loss(task(), output, target).item() == pytest.approx(expected.item(), rel=1e-6)
    output[:, :, :2] = 100 * torch.randn(1, 3, 2, 7)
    assert loss(task(), output, target).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("dice_weight", [0.0, 1.0])
def test_a_batch_without_a_counted_pixel_has_the_loss_zero_and_no_gradient(dice_weight):
    output = torch.randn(2, 3, 6, 7, requires_grad=True)
    terms = task(dice_weight=dice_weight).losses(output, batch(torch.full((2, 6, 7), IGNORED, dtype=torch.uint8)))
    assert all(term.item() == pytest.approx(0) for term in terms.values())
    terms["loss"].backward()
    assert output.grad.count_nonzero() == 0


@pytest.mark.parametrize("dice_weight", [0.0, 0.7])
def test_the_loss_of_a_part_does_not_depend_on_the_batch_size(dice_weight):
    output, target, chosen = torch.randn(8, 3, 6, 7), masks(1), task(dice_weight=dice_weight)
    target[0, :5] = IGNORED
    whole = loss(chosen, output, target).item()
    for size in (1, 2, 4):
        pieces = zip(output.split(size), target.split(size), strict=True)
        assert sum(loss(chosen, *piece).item() for piece in pieces) * size / 8 == pytest.approx(whole, rel=1e-5)


def test_the_dice_term_is_recorded_and_falls_to_zero_with_a_perfect_answer():
    target = masks(2, num=2)
    terms = task(dice_weight=0.5).losses(logits_for(target, sure=50), batch(target))
    assert set(terms) == {"loss", "cross_entropy", "dice_loss"}
    assert all(term.item() == pytest.approx(0, abs=1e-5) for term in terms.values())
    wrong = task(dice_weight=0.5).losses(logits_for((target + 1) % 3, sure=50), batch(target))
    assert wrong["dice_loss"].item() > 0.9
    assert wrong["loss"].item() == pytest.approx((wrong["cross_entropy"] + 0.5 * wrong["dice_loss"]).item())
    assert set(task().losses(logits_for(target), batch(target))) == {"loss"}


def test_the_dice_term_by_hand():
    """Two pixels of two classes, each half and half: 2 * 0.5 + 1 over 1 + 1 + 1 for both."""
    target = torch.tensor([[[0, 1]]], dtype=torch.uint8)
    terms = task(2, dice_weight=1.0).losses(torch.zeros(1, 2, 1, 2), batch(target))
    assert terms["dice_loss"].item() == pytest.approx(1 - 2 / 3)
    assert terms["cross_entropy"].item() == pytest.approx(math.log(2))


# ---- metrics


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), ignored=st.floats(0, 0.9))
def test_the_overlap_is_scikit_learn_s(seed, ignored):
    guess, target = masks(seed), masks(seed + 1)
    is_ignored = torch.rand(target.shape, generator=torch.Generator().manual_seed(seed)) < ignored
    found = metrics(guess, target.masked_fill(is_ignored, IGNORED))
    true, said = target[~is_ignored], guess[~is_ignored]
    if not len(true):
        return
    options = {"labels": torch.cat([true, said]).unique().tolist(), "average": "macro"}
    assert found["mean_iou"] == pytest.approx(jaccard_score(true, said, **options))
    assert found["pixel_accuracy"] == pytest.approx((true == said).double().mean().item())
    foreground = [label for label in options["labels"] if label]
    if foreground:
        assert found["dice"] == pytest.approx(f1_score(true, said, labels=foreground, average="macro"))
    for label, name in enumerate(NAMES):
        if label in options["labels"]:
            assert found[f"iou_{name}"] == pytest.approx(jaccard_score(true, said, labels=[label], average="macro"))
            assert found[f"dice_{name}"] == pytest.approx(f1_score(true, said, labels=[label], average="macro"))


def test_a_perfect_prediction_has_one_whatever_classes_there_are():
    for target in (masks(3), masks(3, num_classes=2), torch.zeros_like(masks(3)), torch.full_like(masks(3), 2)):
        found = metrics(target, target)
        assert {found[name] for name in found if name != "loss"} == {1.0}


def test_a_background_where_there_is_something_has_dice_zero():
    target = torch.zeros_like(masks(0))
    target[:, 2:4] = 1
    found = metrics(torch.zeros_like(target), target)
    assert found["dice"] == found["dice_cat"] == found["iou_cat"] == 0
    assert found["dice_dog"] == 1  # neither there nor said
    assert found["mean_iou"] == pytest.approx((4 / 6) / 2)
    assert metrics(target, torch.zeros_like(target))["dice"] == 0


def test_where_nothing_is_counted_nothing_is_wrong():
    found = metrics(masks(0), torch.full_like(masks(0), IGNORED))
    assert {found[name] for name in ("mean_iou", "dice", "pixel_accuracy", "iou_cat")} == {1.0}
    assert found["loss"] == 0


@pytest.mark.parametrize("size", [1, 3, 8])
def test_batches_of_any_size_have_the_same_figures(size):
    guess, target = masks(4), masks(5)
    target[0] = 0  # an image without a foreground counts as well
    chosen, meter = task(dice_weight=1.0), Meter(task().metrics())
    for output, own in zip(logits_for(guess).split(size), target.split(size), strict=True):
        meter.update(output, batch(own), chosen.losses(output, batch(own)))
    wanted = measured(chosen, logits_for(guess), target)
    assert meter.compute(8) == pytest.approx(wanted)


def test_merged_metrics_are_those_of_both():
    guess, target = masks(6), masks(7)
    one, other, whole = (ClassOverlap(NAMES) for _ in range(3))
    for metric, place in ((one, slice(0, 3)), (other, slice(3, 8)), (whole, slice(0, 8))):
        metric.update(logits_for(guess[place]), batch(target[place]), {})
    one.merge(other)
    assert one.compute() == pytest.approx(whole.compute())


def test_each_value_can_be_watched_and_its_name_has_no_blank():
    metric = ClassOverlap(("sky", "traffic light", "a/b"))
    assert list(metric.better) == [
        f"{kind}_{name}" for kind in ("iou", "dice") for name in ("sky", "traffic_light", "a_b")
    ]
    assert not ClassOverlap.better or "iou_sky" not in ClassOverlap.better
    assert set(metric.value({"pixels": torch.eye(3)}, 1)) == set(metric.better)


def test_the_confusion_counts_rows_of_the_truth():
    guess, target = torch.tensor([[[0, 1, 2]]]), torch.tensor([[[1, 1, 255]]])
    assert confusion(guess.byte(), target.byte(), 3).tolist() == [[0, 0, 0], [1, 1, 0], [0, 0, 0]]


# ---- a run


class Echo(nn.Module):
    """Logits that are the image, for each class another part of it."""

    def forward(self, x):
        return torch.cat([x, 1 - x, x * x], dim=1)


def loader(target, images=None):
    images = torch.rand(len(target), 1, *target.shape[1:]) if images is None else images
    return PartLoader(TensorPart((images,), target), LoaderOptions(lambda raw: raw, torch.device("cpu"), batch_size=3))


def test_an_evaluation_keeps_a_byte_a_pixel_and_has_the_figures_of_the_logits():
    import contextlib

    target, chosen = masks(8), task(dice_weight=1.0)
    target[1, :3] = IGNORED
    source = loader(target)
    found = evaluate(Echo(), chosen, source, chosen.metrics(), contextlib.nullcontext(), keep_outputs=True)
    logits = Echo()(source.part.inputs[0])
    assert isinstance(found.outputs, Segmented)
    assert found.outputs.classes.dtype == torch.uint8
    assert torch.equal(found.outputs.classes, logits.argmax(dim=1).byte())
    assert found.metrics == pytest.approx(measured(chosen, logits, target), rel=1e-5)
    rows = chosen.rows(found.outputs, found.target)
    alone = [measured(chosen, logits[k : k + 1], target[k : k + 1]) for k in range(8)]
    for name in ("pixel_accuracy", "mean_iou"):
        assert rows[name] == pytest.approx([each[name] for each in alone])


def test_in_training_and_without_a_mask_the_output_is_the_logits():
    images, chosen = torch.rand(2, 1, 6, 7), task()
    for model, target in ((Echo().train(), masks(0, num=2)), (Echo().eval(), ())):
        output = chosen.forward(model, Batch((images,), target, torch.arange(2)))
        assert torch.equal(output, Echo()(images))


@pytest.mark.parametrize(
    ("shape", "num_classes"), [((1, 3, 6, 6), 3), ((1, 3), 3), ((1, 4, 6, 7), 3), ((1, 3, 7, 6), 3)], ids=str
)
def test_an_answer_of_another_size_is_refused_in_one_line(shape, num_classes):
    class Wrong(nn.Module):
        def forward(self, x):
            return torch.zeros(shape)

    chosen, one = task(num_classes), loader(masks(0)).example()
    output = chosen.forward(Wrong().eval(), one)
    with pytest.raises(ValueError, match=r"the mask is \(6, 7\) of 3 classes") as caught:
        chosen.check(output, one)
    assert "\n" not in str(caught.value)
    chosen.check(chosen.forward(Echo().eval(), one), one)


def test_predictions_are_probabilities_and_answers_shares_of_the_pixels():
    guess = torch.zeros(2, 4, 5, dtype=torch.uint8)
    guess[0, 0], guess[1] = 1, 2
    probabilities = task().predict(logits_for(guess))
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2, 4, 5))
    assert torch.equal(probabilities.argmax(dim=1), guess.long())
    shares = {"background": ["75.0%", "0.0%"], "cat": ["25.0%", "0.0%"], "dog": ["0.0%", "100.0%"]}
    assert task().answers(logits_for(guess)) == shares
    many = SemanticSegmentation(DataSpec("image", "mask", out_features=20))
    assert many.answers(logits_for(guess, 20)) == {
        "most": ["0 75.0%", "2 100.0%"], "then": ["1 25.0%", ""], "and then": ["", ""],
    }  # fmt: skip


def test_pictures_show_the_worst_images_first(monkeypatch):
    from dlrun.plots import masks as plots

    shown = {}
    monkeypatch.setattr(plots, "masks_grid", lambda *given: shown.update(images=given[0], captions=given[4]))
    target, guess = masks(9, num=10), masks(9, num=10)
    for k in range(10):
        guess[k].view(-1)[: 4 * k] = (guess[k].view(-1)[: 4 * k] + 1) % 3
    images = torch.arange(10, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 6, 7)
    found = findings(Segmented(guess, torch.zeros(10, 1)), target, images)
    figures = task().pictures(found)
    assert set(figures) == {"class_overlap", "masks"}
    assert (shown["images"][:, 0, 0, 0] * 255).round().tolist() == [9, 8, 7, 6, 5, 4]
    assert shown["captions"][0].startswith("image 9: mean IoU ")
