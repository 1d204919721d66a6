"""Mamba: the scan is the recurrence, its way back too; the mixer is the paper's; the start is the paper's."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dlrun.models import mamba
from dlrun.models.mamba import Mamba, Mixer, scan_, selective_scan
from dlrun.optim import optimizers

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


@pytest.fixture(params=[1, 24, 100, 10**6], ids=lambda numbers: f"{numbers} numbers")
def chunked(request, monkeypatch):
    """Chunks of one step, of two, of seven, and of all."""
    monkeypatch.setitem(mamba.CHUNK_NUMBERS, "cpu", request.param)


def arguments(num_steps, dtype=torch.float64):
    """x, dt (2, T, 3), A (2, 3), B, C (2, T, 2), h (2, 2, 3), with gradients."""
    torch.manual_seed(num_steps)
    shapes = [(2, num_steps, 3), (2, num_steps, 3), (2, 3), (2, num_steps, 2), (2, num_steps, 2), (2, 2, 3)]
    x, dt, A, B, C, h = (torch.randn(*shape, dtype=dtype) for shape in shapes)
    return [value.requires_grad_() for value in (x, dt.abs(), -A.exp(), B, C, h)]


def recurrence(x, dt, A, B, C, h):
    """The definition, of one channel and one number at a time in broad strokes."""
    y = []
    for t in range(x.shape[1]):
        h = torch.exp(dt[:, t, None] * A) * h + torch.einsum("be,bn->bne", dt[:, t] * x[:, t], B[:, t])
        y.append(torch.einsum("bn,bne->be", C[:, t], h))
    return torch.stack(y, 1), h


@given(num_steps=st.integers(1, 70), reverse=st.booleans())
@settings(deadline=None, max_examples=40)
def test_a_scan_of_any_length_is_the_recurrence(num_steps, reverse):
    torch.manual_seed(num_steps)
    a, b = torch.rand(2, num_steps, 3, dtype=torch.float64), torch.randn(2, num_steps, 3, dtype=torch.float64)
    order = list(reversed(range(num_steps))) if reverse else list(range(num_steps))
    h, expected = torch.zeros(2, 3, dtype=torch.float64), torch.zeros_like(b)
    for t in order:
        h = a[:, t] * h + b[:, t]
        expected[:, t] = h
    torch.testing.assert_close(scan_(a.clone(), b.clone(), reverse=reverse), expected, atol=1e-12, rtol=0)


def test_a_scan_survives_products_that_underflow():
    a, b = torch.full((1, 100, 1), 1e-20), torch.ones(1, 100, 1)
    torch.testing.assert_close(scan_(a, b), torch.ones(1, 100, 1))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("num_steps", [1, 2, 7, 13, 64])
def test_the_selective_scan_is_the_recurrence(num_steps, dtype, chunked):
    values = arguments(num_steps, dtype)
    ours, theirs = selective_scan(*values), recurrence(*values)
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])
    weights = [torch.randn_like(value) for value in theirs]
    for one, other in zip(
        torch.autograd.grad(sum((y * w).sum() for y, w in zip(ours, weights, strict=True)), values),
        torch.autograd.grad(sum((y * w).sum() for y, w in zip(theirs, weights, strict=True)), values),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=10 * TOLERANCE[dtype], rtol=10 * TOLERANCE[dtype])


def test_the_gradients_are_those_of_finite_differences(chunked):
    assert torch.autograd.gradcheck(selective_scan, arguments(5))


def test_a_sequence_in_two_halves_is_the_sequence():
    x, dt, A, B, C, h = arguments(11)
    whole, last = selective_scan(x, dt, A, B, C, h)
    first, between = selective_scan(x[:, :4], dt[:, :4], A, B[:, :4], C[:, :4], h)
    second, end = selective_scan(x[:, 4:], dt[:, 4:], A, B[:, 4:], C[:, 4:], between)
    torch.testing.assert_close((torch.cat([first, second], 1), end), (whole, last))


def test_the_mixer_is_the_paper_s():
    torch.manual_seed(0)
    mixer = Mixer(d_model=8, d_state=4, expand=2, d_conv=4).double()
    u = torch.randn(2, 9, 8, dtype=torch.float64)
    x, z = (u @ mixer.in_proj.weight.T).chunk(2, -1)
    x = F.conv1d(x.mT, mixer.conv.conv.weight, mixer.conv.conv.bias, padding=3, groups=16)[..., :9].mT
    x = F.silu(x)
    rank, B, C = (x @ mixer.x_proj.weight.T).split([1, 4, 4], -1)
    dt = F.softplus(rank @ mixer.dt_proj.weight.T + mixer.dt_proj.bias)
    A = -torch.exp(mixer.A_log).view(4, 16)
    y, _ = recurrence(x, dt, A, B, C, torch.zeros(2, 4, 16, dtype=torch.float64))
    expected = ((y + mixer.D * x) * F.silu(z)) @ mixer.out_proj.weight.T
    torch.testing.assert_close(mixer(u)[0], expected, atol=1e-10, rtol=0)


def test_it_starts_as_the_paper_says():
    torch.manual_seed(0)
    mixer = Mixer(d_model=64, d_state=16, expand=2, d_conv=4)
    decays = torch.arange(1.0, 17)[:, None].expand(16, 128)
    torch.testing.assert_close(mixer.A_log.exp().view(16, 128), decays)
    assert (mixer.D == 1).all()
    dt = F.softplus(mixer.dt_proj.bias)
    assert 0.001 <= dt.min() < 0.002
    assert 0.05 < dt.max() <= 0.1001
    assert mixer.dt_proj.weight.shape == (128, 4)  # of rank 64 / 16
    assert mixer.dt_proj.weight.abs().max() <= 0.5


def test_weight_decay_and_muon_take_the_decays_for_no_matrix():
    model = Mamba(vocab_size=5, d_model=8, per_step=True, causal=True, out_features=5)
    decayed, spared = optimizers.adamw(model.parameters(), decay_all=False).param_groups
    ours = [p for mixer in model.mixers for p in (mixer.A_log, mixer.D)]
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.01, 0)
    assert all(any(p is q for q in spared["params"]) for p in ours)


def test_long_sequences_store_no_states(monkeypatch):
    monkeypatch.setitem(mamba.CHUNK_NUMBERS, "cpu", 100)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda value: saved.append(value.numel()) or value, lambda v: v):
        selective_scan(*arguments(160))
    # Beside the arguments the state before each chunk: eight steps of 12 numbers are the most within 100.
    assert sum(saved) == 2 * (2 * 160 * 3) + 2 * (2 * 160 * 2) + 2 * 3 + 160 // 8 * 12
