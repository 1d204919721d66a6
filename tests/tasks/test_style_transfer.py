"""Gram matrices and losses against loops and closed forms, gradients in float64, and what a task makes of pictures."""

import math

import pytest
import torch
from measuring import findings
from torch import nn
from torch.autograd import gradcheck

from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import Batch
from dlrun.engine.parts import TensorPart
from dlrun.errors import RunError, UserError
from dlrun.models.canvas import Canvas
from dlrun.tasks import style_transfer
from dlrun.tasks.loss_network import luminance
from dlrun.tasks.style_transfer import StyleTransfer, content_loss, gram_matrix, style_loss, total_variation

MAPS, OTHERS = torch.randn(2, 1, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
SPEC = DataSpec("image", "style", in_channels=3, image_size=(18, 22))
CONTENT = torch.randint(0, 256, (1, 3, 18, 22), generator=torch.Generator().manual_seed(1)).byte()
STYLE = torch.randint(0, 256, (1, 3, 20, 17), generator=torch.Generator().manual_seed(2)).byte()
PAIR = Batch((CONTENT / 255,), STYLE, torch.zeros(1, dtype=torch.int64))
PART = TensorPart((CONTENT,), STYLE)


def task(**keys):
    return StyleTransfer(SPEC, network="cnn", **keys)


def started(made, start="content"):
    """A canvas that the task has handed the content to."""
    canvas = Canvas(start=start, in_channels=3, image_size=(18, 22))
    return canvas, made.begin(canvas, PART)


# ---- the formulas


def loop_gram(maps):
    channels, height, width = maps.shape
    gram = torch.zeros(channels, channels, dtype=maps.dtype)
    for a in range(channels):
        for b in range(channels):
            for y in range(height):
                for x in range(width):
                    gram[a, b] += maps[a, y, x] * maps[b, y, x]
    return gram / (height * width)


def test_gram_matrices_and_losses_equal_a_direct_double_loop():
    ours, theirs = loop_gram(MAPS[0]), loop_gram(OTHERS[0])
    torch.testing.assert_close(gram_matrix(MAPS)[0], ours, atol=1e-6, rtol=1e-6)
    style = sum((ours[a, b] - theirs[a, b]) ** 2 for a in range(3) for b in range(3)) / (4 * 3**2)
    assert style_loss(gram_matrix(MAPS), gram_matrix(OTHERS)).item() == pytest.approx(style.item(), rel=1e-6)
    pairs = [zip(MAPS[0, c].flatten(), OTHERS[0, c].flatten(), strict=True) for c in range(3)]
    by_channel = [sum((ours - theirs) ** 2 for ours, theirs in channel) for channel in pairs]
    assert content_loss(MAPS, OTHERS, "sum").item() == pytest.approx(sum(by_channel).item(), rel=1e-6)
    assert content_loss(MAPS, OTHERS, "mean").item() == pytest.approx(sum(by_channel).item() / 60, rel=1e-6)
    rough = 0.0
    for c in range(3):
        for y in range(4):
            for x in range(5):
                rough += (MAPS[0, c, y + 1, x] - MAPS[0, c, y, x]) ** 2 if y < 3 else 0
                rough += (MAPS[0, c, y, x + 1] - MAPS[0, c, y, x]) ** 2 if x < 4 else 0
    assert total_variation(MAPS).item() == pytest.approx(rough.item() / 60, rel=1e-6)


def test_the_paper_s_style_loss_is_the_same_where_both_pictures_have_one_size():
    sums = [maps.flatten(2) @ maps.flatten(2).transpose(1, 2) for maps in (MAPS, OTHERS)]
    paper = (sums[0] - sums[1]).square().sum() / (4 * 3**2 * (4 * 5) ** 2)
    torch.testing.assert_close(style_loss(gram_matrix(MAPS), gram_matrix(OTHERS)), paper)


def test_a_map_repeated_in_space_has_the_same_gram_matrix():
    torch.testing.assert_close(gram_matrix(MAPS.repeat(1, 1, 3, 2)), gram_matrix(MAPS))


def test_where_things_are_does_not_change_the_style():
    shuffled = MAPS.flatten(2)[:, :, torch.randperm(20)].view_as(MAPS)
    torch.testing.assert_close(gram_matrix(shuffled), gram_matrix(MAPS))
    assert content_loss(shuffled, MAPS, "mean") > 0.1


def test_a_picture_of_one_pixel_has_no_variation():
    assert total_variation(torch.rand(1, 3, 1, 1)).item() == 0
    assert total_variation(torch.rand(1, 3, 1, 9)).isfinite()


@pytest.mark.parametrize("keys", [{}, {"keep_colour": True}, {"content_loss": "sum", "rescale": False}])
def test_gradients_are_right(keys):
    made = task(style_weight=3.0, tv_weight=0.5, content_layers=("relu1_1",), **keys)
    made.network.double()
    batch = Batch((PAIR.inputs[0].double(),), STYLE, PAIR.index)
    picture = torch.rand(1, 3, 18, 22, dtype=torch.float64, requires_grad=True)
    terms = ("loss", "content", "style", "tv")
    assert gradcheck(lambda x: tuple(made.losses(x, batch)[t] for t in terms), (picture,), fast_mode=True)
    small = MAPS.clone().requires_grad_()
    assert gradcheck(lambda x: style_loss(gram_matrix(x), gram_matrix(OTHERS)), (small,))


# ---- the task


def test_the_loss_is_the_weighted_sum_of_what_is_recorded():
    weights = {"content_weight": 2.0, "style_weight": 30.0, "tv_weight": 0.25}
    found = task(**weights).losses(torch.rand(1, 3, 18, 22), PAIR)
    terms = 2 * found["content"] + 30 * found["style"] + 0.25 * found["tv"]
    assert list(found) == ["loss", "content", "style", "tv"]
    torch.testing.assert_close(found["loss"], terms)


def test_layers_are_weighted():
    picture = torch.rand(1, 3, 18, 22)
    alone = [task(style_layers=(name,)).losses(picture, PAIR)["style"] for name in ("conv1_1", "conv2_1")]
    both = task(style_layers=("conv1_1", "conv2_1"), style_layer_weights=(0.25, 2.0)).losses(picture, PAIR)["style"]
    torch.testing.assert_close(both, 0.25 * alone[0] + 2 * alone[1])
    torch.testing.assert_close(task().losses(picture, PAIR)["style"], (alone[0] + alone[1]) / 2)
    with pytest.raises(ValueError, match=r"^style_layer_weights are 1, and the style layers 2: conv1_1, conv2_1$"):
        task(style_layer_weights=(1.0,))


def test_the_usual_layers_are_those_of_the_paper():
    made = StyleTransfer(DataSpec("image", "style", in_channels=3, image_size=(64, 48)))
    assert made.style_layers == tuple(f"conv{k}_1" for k in range(1, 6))
    assert made.content_layers == ("conv4_2",)
    assert task().content_layers == ("conv2_1",)


def test_rescaled_maps_have_a_root_mean_square_of_one_over_both_pictures():
    made = task(content_layers=("conv1_1",))
    made.losses(torch.rand(1, 3, 18, 22), PAIR)
    maps = [made.network(picture / 255)["conv1_1"] for picture in (CONTENT, STYLE)]
    both = torch.cat([value.flatten() for value in maps]) * made.wanted.scales["conv1_1"]
    assert both.square().mean().sqrt().item() == pytest.approx(1, rel=1e-5)
    plain = task(content_layers=("conv1_1",), rescale=False, content_loss="sum")
    picture = torch.rand(1, 3, 18, 22)
    wanted = (plain.network(picture)["conv1_1"] - maps[0]).square().sum()
    torch.testing.assert_close(plain.losses(picture, PAIR)["content"], wanted)


def test_the_content_itself_has_no_content_loss_and_the_style_no_style_loss():
    assert task().losses(CONTENT / 255, PAIR)["content"].item() == 0
    same = Batch(PAIR.inputs, CONTENT, PAIR.index)
    assert task().losses(CONTENT / 255, same)["style"].item() == 0


def test_a_start_is_told():
    canvas, lines = started(task())
    assert lines[0] == "network cnn, untrained (network_seed 0)"
    assert lines[1].startswith("content conv2_1: loss ")
    assert lines[2].startswith("style   conv1_1 x 0.5, conv2_1 x 0.5: loss ")
    torch.testing.assert_close(canvas(PAIR.inputs[0]), PAIR.inputs[0], atol=1.01 / 255, rtol=0)


def test_colours_are_kept_and_brightness_is_not():
    made = task(keep_colour=True)
    picture = torch.rand(1, 3, 18, 22) * 0.2 + 0.4
    content = torch.rand(1, 3, 18, 22) * 0.2 + 0.4
    shown = made.shown(picture, content)
    torch.testing.assert_close(luminance(shown), luminance(picture))
    torch.testing.assert_close(shown - luminance(shown), content - luminance(content))
    loud = made.shown(torch.ones(1, 3, 18, 22), content)
    assert loud.max() <= 1
    # The loss does not see colours either: turned grey, a picture has the same.
    found = [made.losses(seen, PAIR)["loss"] for seen in (picture, luminance(picture).expand_as(picture))]
    torch.testing.assert_close(*found)


def test_an_evaluation_may_come_first():
    made, picture = task(), torch.rand(1, 3, 18, 22, requires_grad=True)
    with torch.inference_mode():
        inside = Batch((PAIR.inputs[0].clone(),), STYLE.clone(), PAIR.index)
        made.losses(picture, inside)
    made.losses(picture, PAIR)["loss"].backward()
    assert picture.grad is not None and picture.grad.isfinite().all()


def test_a_fall_is_measured_and_a_picture_that_stayed_is_a_failure():
    made = task()
    canvas, _ = started(made)
    assert made.examine(Canvas(in_channels=3, image_size=(18, 22)))["style_fall"] > 0
    with pytest.raises(RunError, match=r"^the picture is still the one that it began with: none of its") as e:
        made.examine(canvas)
    assert len(str(e.value).splitlines()) == 1
    with torch.no_grad():
        canvas.logits[0, 0, 9, 9] += 1
    assert made.examine(canvas)["style_fall"] == pytest.approx(1, abs=0.1)
    assert task().examine(canvas) == {}  # a finished run that is measured again knows of no start


def test_pictures():
    made = task()
    canvas, _ = started(made, "noise")
    output = canvas(PAIR.inputs[0]).detach()
    figures = made.pictures(findings(output, STYLE, CONTENT, model=canvas))
    assert list(figures) == ["result", "style_transfer", "gram"]
    assert torch.equal(figures["result"], output[0])
    assert [ax.get_title() for ax in figures["style_transfer"].axes] == ["content", "style", "result"]
    content, style, result = (ax.images[0].get_array() for ax in figures["gram"].axes[:3])
    scale = made.wanted.scales["conv1_1"]
    for shown, picture in ((content, CONTENT / 255), (style, STYLE / 255), (result, output)):
        wanted = gram_matrix(made.network(picture)["conv1_1"] * scale)[0].detach()
        torch.testing.assert_close(torch.from_numpy(shown.data), wanted)
    assert list(task(style_layers=()).pictures(findings(output, STYLE, CONTENT))) == ["result", "style_transfer"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: task().begin(nn.Identity(), TensorPart((CONTENT.repeat(2, 1, 1, 1),), STYLE.repeat(2, 1, 1, 1))),
         "^task=style_transfer: paints one picture from one pair, and the data have 2$"),
        (lambda: task().losses(CONTENT / 255, Batch(PAIR.inputs, STYLE[:, :, :1, :1], PAIR.index)),
         r"^data.style: a picture of 1x1 is too small for network cnn, untrained \(network_seed 0\) \(.*\); take a"),
        (lambda: task().check(torch.zeros(1, 3, 4, 4), PAIR), r"^the picture is \(1, 3, 4, 4\), the content \(1, 3"),
        (lambda: task(style_layers=("conv1_2",)), "^'conv1_2' is no layer of network cnn, untrained"),
        (lambda: task().answers(CONTENT), "^this run has painted one picture, plots/result.png"),
    ],
    ids=["two pairs", "tiny style", "size", "layer", "predict"],
)  # fmt: skip
def test_what_cannot_be_is_a_line(make, says):
    with pytest.raises((UserError, ValueError), match=says) as caught:
        make()
    assert len(str(caught.value).splitlines()) == 1


def test_a_thousand_steps_stay_finite_and_the_picture_in_its_range():
    made = task(style_weight=1e4)
    canvas, _ = started(made, "noise")
    optimizer = torch.optim.Adam(canvas.parameters(), lr=0.5)
    for _ in range(1000):
        optimizer.zero_grad()
        loss = made.losses(canvas(*PAIR.inputs), PAIR)["loss"]
        loss.backward()
        optimizer.step()
    picture = canvas(*PAIR.inputs)
    assert math.isfinite(loss.item()) and picture.isfinite().all()
    assert picture.min() >= 0 and picture.max() <= 1
    assert style_transfer.luminance(picture).std() > 0.01
