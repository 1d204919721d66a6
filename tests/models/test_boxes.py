"""Overlap, suppression and anchors: by hand, against torchvision, and by laws."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import ops

from dlrun.models.parts import boxes

corners = st.lists(st.integers(0, 40), min_size=4, max_size=4).map(
    lambda c: [min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]) + 1, max(c[1], c[3]) + 1]
)
some_boxes = st.lists(corners, min_size=1, max_size=12).map(lambda rows: torch.tensor(rows).float())


def test_overlap_by_hand():
    # 2 x 2 of 16 + 16 - 4 pixels
    one, other = torch.tensor([0.0, 0, 4, 4]), torch.tensor([2.0, 2, 6, 6])
    assert boxes.iou(one, other) == pytest.approx(4 / 28)
    assert boxes.iou(one, one) == 1
    assert boxes.iou(one, torch.tensor([4.0, 0, 8, 4])) == 0  # they touch
    assert boxes.iou(torch.tensor([3.0, 3, 1, 1]), one) == 0  # inside out
    assert boxes.iou_of_sizes(torch.tensor([4.0, 2]), torch.tensor([2.0, 4])) == pytest.approx(4 / 12)


@settings(deadline=None, max_examples=60)
@given(some_boxes, some_boxes)
def test_overlap_is_torchvisions(one, other):
    torch.testing.assert_close(boxes.iou(one[:, None], other), ops.box_iou(one, other))


@settings(deadline=None, max_examples=60)
@given(some_boxes, st.sampled_from([0.0, 0.313, 0.5003, 0.7071]), st.integers(0, 2**31))
def test_suppression_is_torchvisions(own, threshold, seed):
    scores = torch.rand(len(own), generator=torch.Generator().manual_seed(seed))
    assert boxes.nms(own, scores, threshold).tolist() == ops.nms(own, scores, threshold).tolist()


def test_suppression_per_class_agnostic_and_soft():
    own = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 9], [30, 30, 40, 40], [0, 0, 10, 10]])
    scores, classes = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.001]), torch.tensor([0, 1, 0, 0, 2])
    options = {"iou_threshold": 0.5, "score_threshold": 0.01, "most": 10}
    per_class = boxes.suppressed(own, scores, classes, how="per_class", **options)
    assert per_class[:, 4].tolist() == pytest.approx([0.9, 0.8, 0.6])
    assert per_class[:, 5].tolist() == [0, 1, 0]
    assert boxes.suppressed(own, scores, classes, how="agnostic", **options)[:, 4].tolist() == pytest.approx([0.9, 0.6])
    soft = boxes.suppressed(own, scores, classes, how="soft", **options)
    lowered = 0.7 * torch.exp(torch.tensor(-(0.9**2) / 0.5)).item()
    assert soft[:, 4].tolist() == pytest.approx([0.9, 0.8, 0.6, lowered])
    assert len(boxes.suppressed(own, scores, classes, how="per_class", **options | {"most": 2})) == 2


@pytest.mark.parametrize("how", ["per_class", "agnostic", "soft"])
def test_nothing_is_left_of_nothing(how):
    found = boxes.suppressed(
        torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64), how=how, iou_threshold=0.5,
        score_threshold=0.1, most=5,
    )  # fmt: skip
    assert found.shape == (0, 6)


def test_anchors_are_the_sizes_that_there_are():
    sizes = torch.tensor([[1.0, 1]] * 5 + [[2.0, 4]] * 5 + [[6.0, 6]] * 5) + 0.01 * torch.randn(15, 2)
    found = boxes.anchors_of(sizes, 3)
    torch.testing.assert_close(found, torch.tensor([[1.0, 1], [2, 4], [6, 6]]), atol=0.05, rtol=0)
    assert torch.equal(found, boxes.anchors_of(sizes, 3))
    assert boxes.anchors_of(torch.tensor([[2.0, 2]] * 4), 3).tolist() == [[2, 2], [3, 3], [4.5, 4.5]]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=8, max_size=40, unique=True))
def test_more_anchors_fit_no_worse(sizes):
    sizes = torch.tensor(sizes).float()
    fit = [boxes.iou_of_sizes(sizes[:, None], boxes.anchors_of(sizes, k)).amax(1).mean() for k in (1, 8)]
    assert fit[1] >= fit[0] - 1e-6
