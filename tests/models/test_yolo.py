"""YOLO: the notes' vector of a cell, who is responsible, what the loss teaches and what it leaves alone."""

import math

import pytest
import torch

from dlrun.models.parts.receptive import receptive_field
from dlrun.models.rcnn import FastRCNN
from dlrun.models.sliding_window import SlidingWindow
from dlrun.models.yolo import EMPTY_AT_FIRST, YOLO, encoded, flat


def yolo(**keys):
    torch.manual_seed(0)
    options = {"in_channels": 3, "image_size": 96, "out_features": 3, "channels": (4, 4, 4, 4, 4), "num_anchors": 0}
    return YOLO(**options | keys)


def raw_of(model, batch=1):
    """Outputs of one grid that say nothing is anywhere (B, A, G, F, 5 + K)."""
    raw = torch.zeros(batch, model.anchors.shape[1], *model.grids[0], 5 + model.num_classes)
    raw[..., 0] = -20
    return raw


def boxes(*rows):
    return torch.tensor(rows).float().view(-1, 4)


def labels(*kinds):
    return torch.tensor(kinds, dtype=torch.int64)


def test_without_anchors_it_gives_the_notes_three_by_three_by_eight():
    model = yolo()
    assert model.raw(torch.zeros(2, 3, 96, 96))[0].shape == (2, 1, 3, 3, 8)


def test_the_centre_decides_the_cell_and_the_notes_numbers_are_decoded():
    model = yolo()
    # Cells of 32 pixels. Centre (48, 80): cell column 1, row 2, half of a cell from its corner; wider than a cell.
    owner, truth, _ = model.assigned((1, 9), [boxes([24, 76, 72, 84])], [labels(2)])
    assert owner.view(3, 3).tolist() == [[-1, -1, -1], [-1, -1, -1], [-1, 0, -1]]
    raw = raw_of(model)
    raw[0, 0, 2, 1] = torch.tensor([9.0, 0, 0, math.log(8 / 32), math.log(48 / 32), 0, 0, 20])
    (found,) = model.scored(flat([raw]))
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
    terms = model.losses(flat([raw]), *target)
    assert {name: round(value.item(), 5) for name, value in terms.items()} == dict.fromkeys(terms, 0)
    raw = torch.randn_like(raw).requires_grad_()
    torch.stack(list(model.losses(flat([raw]), *target).values())).sum().backward()
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
    assert with_anchors.anchors.tolist() == [[[0.5, 0.5], [1.75, 0.25]]]
    assert "16x16 56x8" in lines[1]
    owner, _, _ = with_anchors.assigned((1, 18), *pair)
    assert owner.view(2, 3, 3)[:, 1, 1].tolist() == [0, 1]


def test_what_is_gone_or_of_no_interest_is_not_taught():
    model = yolo()
    gone = model.losses(flat([raw_of(model) + 5]), [boxes([24, 76, 72, 84])], [labels(-1)])
    nothing = model.losses(flat([raw_of(model) + 5]), [boxes()], [labels()])
    assert gone == nothing
    loud = raw_of(model)
    loud[..., 0] = 5
    crowd = model.losses(flat([loud]), [boxes()], [labels()], [boxes([0, 0, 96, 64])])
    assert crowd["empty"] == pytest.approx(model.losses(flat([loud]), [boxes()], [labels()])["empty"].item() / 3)


def test_a_box_that_hits_anyway_is_not_taught_to_be_empty():
    model = yolo()
    raw = raw_of(model)
    # The cell to the left of the responsible one says nearly the same box.
    raw[0, 0, 2, 0] = torch.tensor([5.0, 20, 0, math.log(8 / 32), math.log(48 / 32), 0, 0, 0])
    terms = model.losses(flat([raw]), [boxes([10, 76, 58, 84])], [labels(0)])
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
    assert model.head.outputs[0].bias.view(1, -1)[0, 0] == EMPTY_AT_FIRST
    assert all((own[:, 4] < 0.3).all() for own in model(torch.rand(2, 3, 96, 96)).boxes)


def test_three_grids_share_the_boxes_by_size():
    model = yolo(image_size=64, channels=(4, 4, 4), scales=3, num_anchors=2)
    assert model.grids == [(32, 32), (16, 16), (8, 8)]
    assert [tuple(own.shape) for own in model.raw(torch.zeros(1, 3, 64, 64))] == [
        (1, 2, 32, 32, 8), (1, 2, 16, 16, 8), (1, 2, 8, 8, 8)
    ]  # fmt: skip
    sides = [4, 6, 12, 14, 30, 40]
    rows = boxes(*([20, 20, 20 + side, 20 + side] for side in sides))
    lines = model.begin([rows], [labels(*[0] * 6)])
    assert lines[0].startswith("grid    32x32, 16x16 and 8x8 cells of 2x2, 4x4 and 8x8 pixels; 0 of 6 boxes")
    assert "4x4 6x6 12x12 14x14 30x30 40x40" in lines[1]
    assert model.anchors[2].tolist() == [[3.75, 3.75], [5, 5]]
    grids = [duty.grid for duty in model.duties(rows, labels(*[0] * 6))]
    assert grids == [(32, 32)] * 2 + [(16, 16)] * 2 + [(8, 8)] * 2


def test_a_duty_is_the_notes_vector_with_its_cell_and_anchors():
    model = yolo(num_anchors=2)
    rows, kinds = boxes([24, 76, 72, 84], [0, 0, 32, 32], [40, 0, 56, 90]), labels(2, 0, -1)
    model.begin([rows], [kinds])
    first, second = model.duties(rows, kinds)  # the third is gone
    assert (first.number, first.grid, first.cell.tolist()) == (0, (3, 3), [32, 64, 64, 96])
    assert first.vector.tolist() == [1, 0.5, 0.5, 0.25, 1.5, 0, 0, 1]  # present, x, y, height, width, classes
    torch.testing.assert_close(first.anchors[first.chosen], torch.tensor([24.0, 76, 72, 84]))
    assert (second.number, second.cell.tolist(), second.vector[:5].tolist()) == (1, [0, 0, 32, 32], [1, 0.5, 0.5, 1, 1])
    plain = yolo().duties(rows, kinds)
    assert [len(duty.anchors) for duty in plain] == [0, 0]


@pytest.mark.parametrize(
    ("channels", "image_size", "keys"),
    [((4, 8, 8), (40, 72), {"scales": 2}), ((4, 8), 30, {}), ((8,) * 3, 64, {"backbone": "resnet18", "scales": 3}),
     ((8,), (48, 80), {"backbone": "resnet"})],
)  # fmt: skip
def test_what_is_encoded_is_decoded(channels, image_size, keys):
    """Outputs that say of each taught box what the loss wants of them give that box, whatever the grids."""
    model = yolo(image_size=image_size, channels=channels, num_anchors=3, **keys).eval()
    height, width = model.size
    corner = torch.rand(12, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([width - 9, height - 9])
    rows = torch.cat([corner, corner + torch.rand(12, 2, generator=torch.Generator().manual_seed(1)) * 20 + 4], dim=1)
    rows = torch.minimum(rows, torch.tensor([width, height, width, height]))
    kinds = labels(*[k % 3 for k in range(12)])
    model.begin([rows], [kinds])
    raw = flat(model.raw(torch.zeros(1, 3, height, width))).detach()
    owner, truth, _ = model.assigned(raw.shape[:2], [rows], [kinds])
    place, size = encoded(truth[owner.clamp(min=0)], model.places(raw.device))
    told = torch.zeros_like(raw)
    told[..., [1, 2]], told[..., [4, 3]] = place.logit(), size
    taught = owner[0] >= 0
    assert taught.sum() >= 8
    torch.testing.assert_close(model.decoded(told)[0, taught], rows[owner[0, taught]], atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["cnn", "resnet", "googlenet_mini", "mobilenet_v1", "mobilenet_v2", "efficientnet"])
def test_any_image_model_of_dlrun_is_a_backbone(name):
    model = yolo(image_size=64, channels=(8, 8), backbone=name, num_anchors=1).train()
    assert min(model.grids[0]) >= 6
    terms = model(torch.rand(2, 3, 64, 64), [boxes([8, 8, 30, 26]), boxes()], [labels(0), labels()])
    sum(terms.values()).backward()
    # What follows the map is left out, so that nothing is without a gradient.
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "densenet121", "vgg11_bn"])
def test_networks_of_torchvision_are_backbones(name):
    model = yolo(in_channels=1, image_size=96, channels=(8, 8, 8), backbone=name, scales=2).train()
    assert model.grids == [(24, 24), (12, 12)]
    assert model.body.net.training
    names = {name.split(".")[0] for name, _ in model.body.net.named_parameters()}
    assert not names & {"fc", "classifier"}
    model.eval()
    assert all(own.shape[1] == 6 for own in model(torch.rand(1, 1, 96, 96)).boxes)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"backbone": "resnet1"}, "backbone resnet1: no such network; did you mean"),
        ({"backbone": "gru"}, "backbone gru: is no model from images to numbers"),
        ({"backbone": "unet"}, "backbone unet: is no model from images to numbers"),
        ({"backbone": "mlp"}, "backbone mlp: is no model from images to numbers|it makes no map"),
        ({"backbone": "vit_b_16"}, "arch vit_b_16 needs images of exactly"),
        ({"scales": 4, "channels": (4, 4)}, "scales 4: the body leaves 2 maps"),
    ],
)
def test_what_is_no_backbone_is_refused(keys, line):
    with pytest.raises(ValueError, match=line):
        yolo(**keys)


def test_the_receptive_field_is_that_of_the_formula():
    # r + (f - 1) * the strides before, for each convolution: 3, 7, 11, 19, 27, 43; with two more on the map 59, 75.
    assert yolo(image_size=64, channels=(4, 4, 4)).sees() == (75, 75)
    assert FastRCNN(in_channels=1, image_size=(64, 80), out_features=2, channels=(4, 4, 4)).sees() == (43, 43)
    assert SlidingWindow(in_channels=1, image_size=64, out_features=2).sees() == (14, 14)
    # ResNet-18 up to its third size of map: 7x7 and pooling 11, two blocks 43, two more, the first of which halves, 99.
    model = yolo(image_size=64, channels=(4,), backbone="resnet18").train()
    assert receptive_field(lambda images: model.body(images)[-1], model, 3, (64, 64)) == (99, 99)
    assert model.training


def test_an_image_smaller_than_a_cell_is_refused():
    with pytest.raises(ValueError, match="less than one cell of 32 pixels"):
        yolo(image_size=16)
