"""A picture that learns stays in 0..1, and begins as it was told to."""

import torch

from dlrun.models.canvas import Canvas

PHOTO = torch.rand(1, 3, 6, 5)


def test_it_begins_with_noise_or_with_the_content():
    noise, content = (Canvas(start=start, in_channels=3, image_size=(6, 5)) for start in ("noise", "content"))
    for canvas in (noise, content):
        canvas.begin(PHOTO)
    assert not torch.allclose(noise(PHOTO), PHOTO, atol=0.1)
    torch.testing.assert_close(content(PHOTO), PHOTO, atol=1.01 / 255, rtol=0)


def test_noise_is_spread_evenly():
    picture = Canvas(in_channels=3, image_size=(60, 50))(torch.zeros(2, 3, 60, 50))
    assert picture.shape == (2, 3, 60, 50)
    torch.testing.assert_close(
        picture.quantile(torch.tensor([0.1, 0.5, 0.9])), torch.tensor([0.1, 0.5, 0.9]), atol=0.03, rtol=0
    )


def test_black_and_white_still_get_a_gradient():
    canvas = Canvas(start="content", in_channels=1, image_size=(1, 2))
    canvas.begin(torch.tensor([[[[0.0, 1.0]]]]))
    canvas(torch.zeros(1, 1, 1, 2)).sum().backward()
    assert (canvas.logits.grad > 0.003).all()


def test_a_thousand_steps_at_any_rate_stay_finite_and_between_black_and_white():
    for rate in (0.1, 100.0):
        canvas = Canvas(in_channels=3, image_size=(6, 5))
        optimizer = torch.optim.Adam(canvas.parameters(), lr=rate)
        for step in range(1000):
            optimizer.zero_grad()
            # It is pulled far out of what a picture can be, to one side and then to the other.
            (canvas(PHOTO) - 9 * (-1) ** (step // 100)).square().sum().backward()
            optimizer.step()
        picture = canvas(PHOTO)
        assert picture.isfinite().all() and picture.min() >= 0 and picture.max() <= 1
