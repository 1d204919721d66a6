"""Regions: pooled as the notes teach it, proposed, matched, and learned; with masks."""

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import ops

from dlrun.models.parts.boxes import share_inside
from dlrun.models.parts.regions import detections, grid_of_boxes, known, roi_pool, targets_of
from dlrun.models.parts.selective_search import selective_search
from dlrun.models.rcnn import RCNN, FasterRCNN, FastRCNN, MaskRCNN

SMALL = {"in_channels": 3, "image_size": 64, "out_features": 2, "channels": (8, 8, 8), "hidden_size": 16}
NETWORKS = [RCNN, FastRCNN, FasterRCNN, MaskRCNN]
TARGET = (
    [torch.tensor([[8.0, 8, 28, 30], [40, 36, 60, 60]]), torch.zeros(0, 4)],
    [torch.tensor([0, 1]), torch.zeros(0).long()],
)
MASKS = [torch.zeros(2, 64, 64, dtype=torch.uint8), torch.zeros(0, 64, 64, dtype=torch.uint8)]
for number, (x1, y1, x2, y2) in enumerate(TARGET[0][0].int().tolist()):
    MASKS[0][number, y1:y2, x1:x2] = 1


def network(kind, **keys):
    torch.manual_seed(0)
    model = kind(**SMALL | keys)
    model.begin(*TARGET)
    return model


def more(kind):
    """What Mask R-CNN is taught beside boxes and labels."""
    return (None, MASKS) if kind is MaskRCNN else ()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.sampled_from([1, 2, 3, 7]), st.sampled_from([1, 4, 8]))
def test_pooling_of_regions_is_torchvisions(seed, size, stride):
    chance = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 3, 12, 10, generator=chance)
    corner = torch.rand(4, 2, generator=chance) * 8 * stride
    boxes = torch.cat([corner, corner + torch.rand(4, 2, generator=chance) * 8 * stride], dim=1)
    regions = [boxes[:1], boxes[1:]]
    theirs = ops.roi_pool(features, regions, (size, size), 1 / stride)
    torch.testing.assert_close(roi_pool(features, regions, size, stride), theirs)


def test_a_grid_of_boxes_covers_the_image_and_stays_in_it():
    boxes = grid_of_boxes((32, 48), torch.tensor([[10.0, 20], [30, 8]]), step=16)
    assert boxes.shape == (2 * 3 * 2, 4)
    assert boxes[:2].tolist() == [[3, 0, 13, 18], [0, 4, 23, 12]]
    assert (boxes >= 0).all() and (boxes <= torch.tensor([48, 32, 48, 32])).all()


def test_classes_count_from_one_inside_and_from_zero_outside():
    (own,) = targets_of([TARGET[0][0]], [torch.tensor([1, -1])], [MASKS[0]])
    assert own["labels"].tolist() == [2] and len(own["boxes"]) == len(own["masks"]) == 1
    found = detections([{"boxes": TARGET[0][0], "labels": torch.tensor([1, 2]), "scores": torch.tensor([0.9, 0.5])}])
    assert found[0][:, 5].tolist() == [0, 1]


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_term_is_finite_for_images_with_and_without_objects(kind):
    model, images = network(kind).train(), torch.rand(2, 3, 64, 64)
    terms = model(images, *TARGET, *more(kind))
    wanted = {RCNN: 2, FastRCNN: 2, FasterRCNN: 4, MaskRCNN: 5}[kind]
    assert len(terms) == wanted and all(value.isfinite() for value in terms.values())
    empty = [torch.zeros(0, 4)] * 2, [torch.zeros(0).long()] * 2
    blank = (None, [torch.zeros(0, 64, 64, dtype=torch.uint8)] * 2) if kind is MaskRCNN else ()
    torch.stack(list(model(images, *empty, *blank).values())).sum().backward()


@pytest.mark.parametrize("kind", NETWORKS)
def test_answers_are_detections_inside_of_the_image(kind):
    model = network(kind, score_threshold=0.01).eval()
    with torch.no_grad():
        found = model(torch.rand(2, 3, 64, 64))
        before = model.candidates(torch.rand(2, 3, 64, 64))
    assert [own.shape[1] for own in found.proposals] == [4, 4] and min(map(len, found.proposals)) > 0
    assert (found.masks is None) == (kind is not MaskRCNN)
    if found.masks is not None:
        assert [own.shape[1:] for own in found.masks] == [(28, 28)] * 2
        assert [len(own) for own in found.masks] == [len(own) for own in found.boxes]
    for own in found.boxes:
        assert own.shape[1] == 6 and (own[:, :4] >= 0).all() and (own[:, :4] <= 64).all()
        assert (own[:, 4].diff() <= 0).all() and set(own[:, 5].tolist()) <= {0, 1}
    assert all(len(each) >= len(own) for each, own in zip(before, found.boxes, strict=True))


def test_sizes_of_the_training_boxes_stand_in_the_checkpoint():
    model = network(FasterRCNN, num_anchors=2)
    assert model.state_dict()["proposer.box_sizes"].tolist() == [[20, 22], [20, 24]]
    other = FasterRCNN(**SMALL, num_anchors=2)
    other.load_state_dict(model.state_dict())
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(other.eval()(images).boxes[0], model.eval()(images).boxes[0])
    assert "no training image has a box" in model.begin([torch.zeros(0, 4)], [])[0]


@pytest.mark.parametrize("kind", [FastRCNN, MaskRCNN])
def test_one_image_is_learned_by_heart(kind):
    model = network(kind, channels=(16, 32), num_anchors=1).train()
    images = torch.zeros(2, 3, 64, 64)
    images[0, 0, 8:30, 8:28], images[0, 1, 36:60, 40:60] = 2, 2
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(60):
        optimizer.zero_grad()
        torch.stack(list(model(images, *TARGET, *more(kind)).values())).sum().backward()
        optimizer.step()
    with torch.no_grad():
        boxes = model.eval()(images).boxes
    best = torch.stack([boxes[0][boxes[0][:, 5] == k][0] for k in (0, 1)])
    assert ops.box_iou(best[:, :4], TARGET[0][0]).diagonal().min() > 0.7
    assert best[:, 4].min() > 0.3


def test_selective_search_proposes_what_looks_like_one_thing():
    image = torch.zeros(3, 64, 64)
    image[0, 8:30, 8:28], image[1, 36:60, 40:60] = 2, -2
    found = selective_search(image)
    assert found.shape[1] == 4 and (found >= 0).all() and (found <= 64).all()
    assert found.tolist().count([0, 0, 64, 64]) == 1
    assert ops.box_iou(TARGET[0][0], found).amax(dim=1).min() > 0.8
    assert torch.equal(selective_search(image.clone()), found)
    assert selective_search(torch.zeros(1, 9, 12)).tolist() == [[0, 0, 12, 9]]


@pytest.mark.parametrize("kind", [RCNN, FastRCNN])
def test_searched_proposals_are_learned_from(kind):
    model = network(kind, proposer="selective_search").train()
    assert model.begin(*TARGET) == ["regions by selective search, anew in each image"]
    terms = model(torch.rand(2, 3, 64, 64), *TARGET)
    torch.stack(list(terms.values())).sum().backward()
    with torch.no_grad():
        found = model.eval()(torch.rand(2, 3, 64, 64))
    assert len(found.proposals) == 2 and all(len(own) >= 1 for own in found.proposals)


def test_a_search_without_its_library_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ValueError, match=r"needs OpenCV.*pip install 'dlrun\[proposals\]'"):
        network(RCNN, proposer="selective_search")


@pytest.mark.parametrize("kind", [RCNN, FastRCNN, FasterRCNN])
def test_an_image_that_is_one_crowd_has_a_loss(kind):
    images, none = torch.rand(1, 3, 64, 64), ([torch.zeros(0, 4)], [torch.zeros(0).long()])
    model = network(kind).train()
    terms = model(images, *none, [torch.tensor([[-64.0, -64, 128, 128]])])
    assert all(value.isfinite() for value in terms.values())
    torch.stack(list(terms.values())).sum().backward()


def test_an_anchor_in_a_crowd_is_not_taught_to_be_empty():
    model = network(FasterRCNN).train()
    anchors = [torch.tensor([[8.0, 8, 28, 30], [0, 40, 20, 60], [44, 0, 60, 20]])]
    target = {"boxes": TARGET[0][0][:1], "ignored": torch.tensor([[0.0, 0, 40, 64]])}
    assert model.rpn.assign_targets_to_anchors(anchors, [target])[0][0].tolist() == [1, -1, 0]
    target["ignored"] = torch.zeros(0, 4)
    assert model.rpn.assign_targets_to_anchors(anchors, [target])[0][0].tolist() == [1, 0, 0]


def test_an_object_in_a_crowd_is_taught():
    target = {"boxes": torch.tensor([[8.0, 8, 28, 30]]), "ignored": torch.tensor([[0.0, 0, 40, 64]])}
    regions = torch.tensor([[8.0, 8, 28, 28], [0, 40, 20, 60], [44, 0, 60, 20], [30, 0, 50, 10]])
    assert known([regions], [target])[0].tolist() == regions[[0, 2, 3]].tolist()
    assert share_inside(regions, target["ignored"]).tolist() == [1, 1, 0, 0.5]
