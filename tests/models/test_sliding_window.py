"""A classifier slid over an image: the notes' sizes, and the same answers as window by window."""

import pytest
import torch

from dlrun.models.sliding_window import STRIDE, WINDOW, SlidingWindow


def network(**keys):
    torch.manual_seed(0)
    return SlidingWindow(**{"in_channels": 3, "image_size": 64, "out_features": 4} | keys).eval()


@pytest.mark.parametrize(("side", "answers"), [(14, 1), (16, 2), (28, 8)])
def test_the_notes_sizes(side, answers):
    assert network().net(torch.rand(1, 3, side, side)).shape == (1, 5, answers, answers)


@torch.no_grad()
def test_one_pass_gives_what_window_by_window_gives():
    net, image = network().net, torch.rand(1, 3, 40, 32)
    whole = net(image)[0]  # (K + 1, 14, 10)
    for row in range(whole.shape[1]):
        for column in range(whole.shape[2]):
            top, left = row * STRIDE, column * STRIDE
            alone = net(image[:, :, top : top + WINDOW, left : left + WINDOW])[0, :, 0, 0]
            torch.testing.assert_close(whole[:, row, column], alone, atol=1e-5, rtol=0)


def test_windows_stand_where_they_looked():
    model = network(windows=(14, 28), score_threshold=0.0)
    (found,) = model.candidates(torch.rand(1, 3, 64, 64))
    sides = (found[:, 2:4] - found[:, :2]).round(decimals=3)
    assert set(map(tuple, sides.tolist())) == {(14, 14), (28, 28)}
    assert found[:, :2].min() == 0 and found[:, 2:4].max() == 64
    assert len(found) == 26**2 + 10**2  # 64 -> 26 windows a side, 32 -> 10


def test_windows_with_and_without_objects_are_told_apart():
    """A bright square on dark ground, learned from one image."""
    model = network(out_features=1, windows=(14,)).train()
    image = torch.zeros(1, 3, 64, 64)
    image[:, :, 20:34, 30:44] = 1
    target = [torch.tensor([[30.0, 20, 44, 34]])], [torch.tensor([0])]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(80):
        optimizer.zero_grad()
        model(image, *target)["window"].backward()
        optimizer.step()
    with torch.no_grad():
        best = model.eval()(image).boxes[0][0]
    torch.testing.assert_close(best[:4], target[0][0][0], atol=2.0, rtol=0)
    assert best[4] > 0.8


def test_images_without_objects_have_a_loss():
    model = network().train()
    none = [torch.zeros(0, 4)] * 2, [torch.zeros(0, dtype=torch.int64)] * 2
    loss = model(torch.rand(2, 3, 64, 64), *none)["window"]
    loss.backward()
    assert loss.isfinite() and model.net[0].weight.grad.isfinite().all()


def test_windows_in_a_crowd_are_not_taught_to_be_empty():
    model, crowd = network().train(), [torch.tensor([[0.0, 0, 64, 64]])]
    none = [torch.zeros(0, 4)], [torch.zeros(0, dtype=torch.int64)]
    assert model(torch.rand(1, 3, 64, 64), *none, crowd)["window"] == 0


def test_a_window_larger_than_the_image_is_refused():
    with pytest.raises(ValueError, match="28 pixels are more than the image of 20x40"):
        network(image_size=(20, 40))
