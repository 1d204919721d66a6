"""YOLO: the notes' vector of a cell, who is responsible, what the loss teaches and what it leaves alone."""

import math

import pytest
import torch

from dlrun.models.yolo import EMPTY_AT_FIRST, YOLO


def yolo(**keys):
    torch.manual_seed(0)
    options = {"in_channels": 3, "image_size": 96, "out_features": 3, "channels": (4, 4, 4, 4, 4), "num_anchors": 0}
    return YOLO(**options | keys)


def raw_of(model, batch=1):
    """Outputs that say nothing is anywhere (B, A, G, F, 5 + K)."""
    raw = torch.zeros(batch, len(model.anchors), *model.grid, 5 + model.num_classes)
    raw[..., 0] = -20
    return raw


def boxes(*rows):
    return torch.tensor(rows).float().view(-1, 4)


def labels(*kinds):
    return torch.tensor(kinds, dtype=torch.int64)


def test_without_anchors_it_gives_the_notes_three_by_three_by_eight():
    model = yolo()
    assert model.raw(torch.zeros(2, 3, 96, 96)).shape == (2, 1, 3, 3, 8)


def test_the_centre_decides_the_cell_and_the_notes_numbers_are_decoded():
    model = yolo()
    # Cells of 32 pixels. Centre (48, 80): cell column 1, row 2, half of a cell from its corner; wider than a cell.
    owner, truth, _ = model.assigned((1, 1, 3, 3), [boxes([24, 76, 72, 84])], [labels(2)])
    assert owner[0, 0].tolist() == [[-1, -1, -1], [-1, -1, -1], [-1, 0, -1]]
    raw = raw_of(model)
    raw[0, 0, 2, 1] = torch.tensor([9.0, 0, 0, math.log(8 / 32), math.log(48 / 32), 0, 0, 20])
    (found,) = model._scored(raw)
    best = found[1].argmax()
    torch.testing.assert_close(found[0][best], truth[0])
    assert found[2][best] == 2
    assert found[1][best] == pytest.approx(torch.tensor(9.0).sigmoid().item(), abs=1e-4)  # presence x probability


def test_the_right_answer_has_no_loss_and_a_cell_without_an_object_teaches_presence_alone():
    model = yolo()
    target = [boxes([24, 76, 72, 84])], [labels(2)]
    raw = raw_of(model)
    raw[0, 0, 2, 1] = torch.tensor([20.0, 0, 0, math.log(8 / 32), math.log(48 / 32), 0, 0, 20])
    raw.requires_grad_()
    terms = model.losses(raw, *target)
    assert {name: round(value.item(), 5) for name, value in terms.items()} == dict.fromkeys(terms, 0)
    raw = torch.randn_like(raw).requires_grad_()
    torch.stack(list(model.losses(raw, *target).values())).sum().backward()
    empty = torch.ones(3, 3, dtype=torch.bool)
    empty[2, 1] = False
    assert raw.grad[0, 0][empty][:, 1:].abs().sum() == 0
    assert (raw.grad[0, 0][empty][:, 0] != 0).all()
    assert (raw.grad[0, 0, 2, 1] != 0).all()


def test_two_in_one_cell_collide_unless_they_have_anchors_of_their_own():
    pair = [boxes([40, 40, 56, 56], [20, 44, 76, 52])], [labels(0, 1)]
    assert "1 of 2 boxes share their cell with another" in yolo().begin(*pair)[0]
    with_anchors = yolo(num_anchors=2)
    lines = with_anchors.begin(*pair)
    assert "0 of 2 boxes share their cell and anchor" in lines[0]
    assert with_anchors.anchors.tolist() == [[0.5, 0.5], [1.75, 0.25]]
    assert "16x16 56x8" in lines[1]
    owner, _, _ = with_anchors.assigned((1, 2, 3, 3), *pair)
    assert owner[0, :, 1, 1].tolist() == [0, 1]


def test_what_is_gone_or_of_no_interest_is_not_taught():
    model = yolo()
    gone = model.losses(raw_of(model) + 5, [boxes([24, 76, 72, 84])], [labels(-1)])
    nothing = model.losses(raw_of(model) + 5, [boxes()], [labels()])
    assert gone == nothing
    loud = raw_of(model)
    loud[..., 0] = 5
    crowd = model.losses(loud, [boxes()], [labels()], [boxes([0, 0, 96, 64])])
    assert crowd["empty"] == pytest.approx(model.losses(loud, [boxes()], [labels()])["empty"].item() / 3)


def test_a_box_that_hits_anyway_is_not_taught_to_be_empty():
    model = yolo()
    raw = raw_of(model)
    # The cell to the left of the responsible one says nearly the same box.
    raw[0, 0, 2, 0] = torch.tensor([5.0, 20, 0, math.log(8 / 32), math.log(48 / 32), 0, 0, 0])
    terms = model.losses(raw, [boxes([10, 76, 58, 84])], [labels(0)])
    assert terms["empty"] < 1e-6


def test_images_without_boxes_and_batches_without_any_have_a_loss():
    model = yolo(num_anchors=2).train()
    images = torch.rand(2, 3, 96, 96)
    terms = model(images, [boxes(), boxes()], [labels(), labels()])
    assert terms["object"] == terms["box"] == terms["class"] == 0
    sum(terms.values()).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    assert "no training image has a box" in model.begin([boxes()], [labels()])[0]


def test_one_image_is_learned_by_heart():
    model = yolo(image_size=64, channels=(8, 16, 16), num_anchors=2).train()
    image, target = torch.rand(1, 3, 64, 64), ([boxes([8, 8, 30, 26], [40, 30, 60, 62])], [labels(0, 2)])
    model.begin(*target)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(120):
        optimizer.zero_grad()
        torch.stack(list(model(image, *target).values())).sum().backward()
        optimizer.step()
    with torch.no_grad():
        found = [own[own[:, 4] > 0.5] for own in model.candidates(image)]
    assert sorted(found[0][:, 5].tolist()) == [0, 2]
    order = found[0][:, 5].argsort()
    torch.testing.assert_close(found[0][order, :4], target[0][0], atol=2, rtol=0)


def test_nothing_is_said_to_be_there_before_training():
    model = yolo().eval()
    assert model.head.bias.view(1, -1)[0, 0] == EMPTY_AT_FIRST
    assert all((own[:, 4] < 0.3).all() for own in model(torch.rand(2, 3, 96, 96)))


def test_an_image_smaller_than_a_cell_is_refused():
    with pytest.raises(ValueError, match="less than one cell of 32 pixels"):
        yolo(image_size=16)
