"""Images to be hit: errors of pixels, and the kernel beside the one behind the target."""

import pytest
import torch
from measuring import batch, findings, loss, measured
from torch import nn

from dlrun.config.kernels import KERNELS
from dlrun.config.spec import DataSpec
from dlrun.tasks.image_regression import ImageRegression

SPEC = DataSpec(
    "image", "image", in_channels=1, out_features=1, target_name="sobel_x", target_kernel=KERNELS["sobel_x"]
)


def conv(rows):
    layer = nn.Conv2d(1, 1, len(rows), bias=False)
    layer.weight.data = torch.tensor(rows, dtype=torch.float32)[None, None]
    return layer


def test_errors_are_of_a_pixel():
    task, target = ImageRegression(SPEC), torch.zeros(3, 1, 2, 2)
    output = torch.tensor([1.0, 2.0, 6.0]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    assert measured(task, output, target) == pytest.approx({"loss": 41 / 3, "mse": 41 / 3, "mae": 3.0})
    assert loss(task, output, target).item() == pytest.approx(41 / 3)
    assert task.rows(output, target) == {"mse": [1.0, 4.0, 36.0], "mae": [1.0, 2.0, 6.0]}


def test_another_size_is_refused_with_the_rule():
    with pytest.raises(ValueError, match=r"\(2, 1, 4, 4\), the target is \(2, 1, 2, 2\); .*floor\(\(n \+ 2 padding"):
        ImageRegression(SPEC).check(torch.zeros(2, 1, 4, 4), batch(torch.zeros(2, 1, 2, 2)))


def test_the_cosine_of_kernels():
    task, sobel = ImageRegression(SPEC), torch.tensor(KERNELS["sobel_x"], dtype=torch.float32)
    cosine = lambda rows: task.examine(conv(rows))["kernel_cosine"]  # noqa: E731
    assert cosine((5 * sobel).tolist()) == pytest.approx(1)
    assert cosine((-sobel).tolist()) == pytest.approx(-1)
    assert cosine(KERNELS["sobel_y"]) == pytest.approx(0)
    assert cosine(nn.functional.pad(sobel, [1] * 4).tolist()) == pytest.approx(1)
    assert task.examine(conv([[1.0, 0], [0, 0]])) == {}
    assert task.examine(nn.Sequential(conv(KERNELS["sobel_x"]), conv(KERNELS["sobel_x"]))) == {}
    assert ImageRegression(DataSpec("image", "image", out_features=1)).examine(conv(KERNELS["sobel_x"])) == {}


@pytest.mark.parametrize("num_examples", [1, 6])
def test_pictures(num_examples):
    images = torch.randint(0, 256, (num_examples, 1, 6, 5)).byte()
    model = conv(KERNELS["sobel_x"])
    output = model(images / 255).detach()
    figures = ImageRegression(SPEC).pictures(findings(output, output, images, model=model))
    assert {name: len(figure.axes) for name, figure in figures.items()} == {
        "answers": 4 * min(4, num_examples),
        "edges": 6,
    }
    titles = [ax.get_title() for ax in figures["edges"].axes]
    assert titles == ["input", "fixed: sobel_x", "edges", "", "learned: cosine 1.0000 with sobel_x", ""]
    numbers = [text.get_text() for text in figures["edges"].axes[4].texts]
    assert numbers == ["-1.00", "0.00", "1.00", "-2.00", "0.00", "2.00", "-1.00", "0.00", "1.00"]
