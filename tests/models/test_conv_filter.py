"""One convolution: fixed kernels answer what the data ask for, and a learned one comes out as the fixed one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlrun.cli import main
from dlrun.config.kernels import KERNELS
from dlrun.data.images.photos import Photos
from dlrun.models.conv_filter import ConvFilter
from dlrun.store import runs

FEW = ["data=photos", "data.patch_size=32", "data.stride=160"]


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 20), f=st.integers(1, 7), p=st.integers(0, 3), s=st.integers(1, 4))
def test_the_size_of_what_comes_out(n, f, p, s):
    model, image = ConvFilter(in_channels=1, kernel_size=f, padding=p, stride=s), torch.rand(1, 1, n, n + 1)
    if n + 2 * p < f:
        with pytest.raises(RuntimeError):
            model(image)
    else:
        assert model(image).shape[2:] == ((n + 2 * p - f) // s + 1, (n + 1 + 2 * p - f) // s + 1)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_fixed_kernel_answers_the_target_and_does_not_learn(kernel):
    patches = torch.randint(0, 256, (2, 3, 8, 7)).byte()
    options = {"kernel": kernel, "padding": 1, "sign": False}
    target = Photos(patch_size=8, in_channels=3, kernel_stride=2, **options).filtered(patches)
    model = ConvFilter(in_channels=3, stride=2, **options)
    assert torch.allclose(model(patches.float() / 255), target, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_fixed_kernel_has_its_own_size():
    with pytest.raises(ValueError, match="kernel sobel_x has 3 pixels a side, not kernel_size 5"):
        ConvFilter(in_channels=1, kernel="sobel_x", kernel_size=5)


def test_the_recipe_finds_the_kernel_in_few_patches(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["trainer.epochs=2", "optimizer=lbfgs", "optimizer.lr=1", "scheduler=none", "logger=none"]
    assert main.main(["experiment=edge_detection", *FEW, *words, "folder=run"]) == 0
    assert runs.open_run("run").metrics["test/kernel_cosine"] > 0.99


def test_a_fixed_kernel_is_evaluated_and_not_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert (
        main.main(
            [
                "model=conv_filter",
                "model.kernel=prewitt_x",
                *FEW,
                "scheduler=none",
                "logger.tensorboard=false",
                "folder=run",
            ]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert "9 parameters, 0 of them learn" in out
    assert "nothing to learn: " in out
    run = runs.open_run("run")
    assert (run.state, run.summary["outcome"], run.summary["steps"]) == ("done", "nothing to learn", 0)
    # (1 + 1 + 2 + 2 + 1 + 1) / sqrt(6 * 12)
    assert run.metrics["test/kernel_cosine"] == pytest.approx(8 / 72**0.5)
    assert {path.stem for path in (tmp_path / "run/plots").iterdir()} == {"answers", "edges"}
    assert main.main(["eval", "run"]) == 0
    assert "0.9428" in capsys.readouterr().out
    for words in (["resume", "run", "trainer.epochs=3"], ["report", "run"]):
        assert main.main(words) == 0
    assert [row["epoch"] for row in run.history()] == [0]
