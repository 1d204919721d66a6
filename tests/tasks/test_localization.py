"""One object or none: the notes' loss in two pieces, overlap by hand; and the points of one."""

import pytest
import torch
from measuring import batch, findings, loss, measured

from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import Batch
from dlrun.models.localizer import KeyPointNet, Localizer
from dlrun.tasks.key_points import KeyPoints
from dlrun.tasks.localization import Localization

OBJECT = DataSpec(
    kind="image", target="object", in_channels=3, image_size=(40, 80), out_features=3, class_names=("a", "b", "c")
)
POINTS = DataSpec(kind="image", target="points", in_channels=3, image_size=(40, 80), out_features=2)
# [present, x, y, height, width, a, b, c]: 20 x 20 pixels in the middle of 80 x 40
HERE = [1, 0.5, 0.5, 0.5, 0.25, 0, 1, 0]
NOTHING = [0.0] * 8


def logits(present, box, kind):
    return torch.tensor([[present, *torch.tensor(box).logit().tolist(), *(20.0 if k == kind else 0 for k in range(3))]])


def test_where_nothing_is_only_the_first_output_has_a_gradient():
    output = torch.randn(2, 8, requires_grad=True)
    loss(Localization(OBJECT), output, torch.tensor([HERE, NOTHING])).backward()
    assert (output.grad[0] != 0).all()
    assert output.grad[1, 0] != 0 and (output.grad[1, 1:] == 0).all()


def test_the_three_terms_by_hand():
    output, target = logits(0.0, [0.5, 0.5, 0.5, 0.35], 1), torch.tensor([HERE])
    terms = Localization(OBJECT, box_weight=10.0, class_weight=2.0).losses(output, batch(target))
    assert terms["present"] == pytest.approx(0.6931, abs=1e-4)
    assert terms["box"] == pytest.approx(0.01, abs=1e-6)
    assert terms["class"] == pytest.approx(0, abs=1e-6)
    assert terms["loss"] == pytest.approx(0.6931 + 0.1, abs=1e-4)


def test_a_batch_without_any_object_has_a_loss_and_metrics():
    output = torch.randn(3, 8)
    found = measured(Localization(OBJECT), output, torch.tensor([NOTHING] * 3))
    assert found["box"] == found["class"] == found["mean_iou"] == 0
    assert found["loss"] == pytest.approx(found["present"])


def test_overlap_presence_and_class_are_counted():
    target = torch.tensor([HERE, HERE, NOTHING, NOTHING])
    half = [0.5, 0.5, 0.5, 0.125]  # half as wide: 200 of 400 pixels
    output = torch.cat([
        logits(5.0, half, 1), logits(-5.0, [0.5, 0.5, 0.5, 0.25], 0), logits(-5.0, half, 0), logits(5.0, half, 0),
    ])  # fmt: skip
    found = measured(Localization(OBJECT), output, target)
    assert found["mean_iou"] == pytest.approx(0.25)  # one of two was said not to be there
    assert found["present_accuracy"] == 0.5
    assert found["class_accuracy"] == 0.5
    rows = Localization(OBJECT).rows(output, target)
    assert rows["true"] == ["b", "b", "", ""] and rows["predicted"] == ["b", "", "", "a"]
    assert rows["iou"][:2] == pytest.approx([0.5, 1]) and rows["iou"][2:] == ["", ""]
    assert Localization(OBJECT).answers(output)["x1 y1 x2 y2"][:2] == ["35.0 10.0 45.0 30.0", ""]


def test_points_that_are_not_there_teach_nothing_and_are_not_measured():
    target = torch.tensor([[[20.0, 10, 1], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]])
    output = torch.randn(2, 5, requires_grad=True)
    loss(KeyPoints(POINTS), output, target).backward()
    assert (output.grad[0, :3] != 0).all() and (output.grad[0, 3:] == 0).all()
    assert output.grad[1, 0] != 0 and (output.grad[1, 1:] == 0).all()


def test_distances_are_in_pixels():
    target = torch.tensor([[[20.0, 10, 1], [40, 20, 1]], [[0, 0, 0], [0, 0, 0]]])
    place = torch.tensor([(20 + 3) / 80, (10 + 4) / 40, 40 / 80, 20 / 40]).logit()
    output = torch.stack([torch.cat([torch.tensor([5.0]), place]), torch.full((5,), -5.0)])
    found = measured(KeyPoints(POINTS), output, target)
    assert found["point_error"] == pytest.approx(2.5, abs=1e-4)
    assert found["within_3px"] == 0.5 and found["present_accuracy"] == 1
    assert KeyPoints(POINTS).answers(output)["point 1"] == ["23.0 14.0", ""]
    assert KeyPoints(POINTS).rows(output, target)["point_error"] == [pytest.approx(2.5, abs=1e-4), ""]
    none = measured(KeyPoints(POINTS), output, torch.zeros(2, 2, 3))
    assert none["point_error"] == none["points"] == 0


@pytest.mark.parametrize(
    ("task", "says"), [(Localization(OBJECT), "3 classes are 8"), (KeyPoints(POINTS), "of 2 points are 5")]
)
def test_another_number_of_outputs_is_refused(task, says):
    target = torch.tensor([HERE]) if task.spec.target == "object" else torch.zeros(1, 2, 3)
    one = Batch((torch.zeros(1, 3, 40, 80),), target, torch.arange(1))
    with pytest.raises(ValueError, match=says):
        task.check(torch.zeros(1, 4), one)


def test_pictures_are_drawn_of_what_is_there_and_of_nothing():
    images = torch.randint(0, 256, (3, 3, 40, 80), dtype=torch.uint8)
    for target, names in (
        (torch.tensor([HERE, NOTHING, HERE]), {"iou", "predictions"}),
        (torch.tensor([NOTHING] * 3), {"predictions"}),
    ):
        assert set(Localization(OBJECT).pictures(findings(torch.randn(3, 8), target, images))) == names
    points = torch.tensor([[[20.0, 10, 1], [40, 20, 1]], [[0, 0, 0], [0, 0, 0]], [[5, 5, 1], [0, 0, 0]]])
    for target, names in ((points, {"point_errors", "predictions"}), (points * 0, {"predictions"})):
        assert set(KeyPoints(POINTS).pictures(findings(torch.randn(3, 5), target, images))) == names


@pytest.mark.parametrize("backbone", [None, "resnet", "mobilenet_v2"])
def test_a_body_or_any_image_model_gives_as_many_outputs_as_are_needed(backbone):
    sizes = {"in_channels": 3, "image_size": (40, 56), "backbone": backbone}
    images = torch.rand(2, 3, 40, 56)
    assert Localizer(out_features=3, **sizes)(images).shape == (2, 8)
    assert KeyPointNet(out_features=4, **sizes)(images).shape == (2, 9)
