"""Mamba-2: its three forms are one function; the mixer is the paper's; sizes that do not divide."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dlrun.models.mamba2 import Mamba2, Mixer, chunked, recurrent, segment_sums

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}


def arguments(num_steps, dtype=torch.float64):
    """x (2, T, 2, 3, 4), log_a (2, T, 2, 3), B, C (2, T, 2, 5), h (2, 2, 3, 5, 4)."""
    torch.manual_seed(num_steps)
    shapes = [(2, num_steps, 2, 3, 4), (2, num_steps, 2, 3), (2, num_steps, 2, 5), (2, num_steps, 2, 5)]
    x, log_a, B, C = (torch.randn(*shape, dtype=dtype) for shape in shapes)
    return x, -log_a.exp(), B, C, torch.randn(2, 2, 3, 5, 4, dtype=dtype)


def quadratic(x, log_a, B, C):
    """(L * C B^T) x, a matrix (T, T) a head; h is 0 before the first step, and y alone is given."""
    mask = segment_sums(log_a.movedim(1, -1)).exp()  # (B, G, R, T, T)
    scores = torch.einsum("btgn,bsgn->bgts", C, B)
    return torch.einsum("bgts,bgrts,bsgrp->btgrp", scores, mask, x)


@given(num_steps=st.integers(1, 40), size=st.integers(1, 17), dtype=st.sampled_from(list(TOLERANCE)))
@settings(deadline=None, max_examples=50)
def test_three_forms_of_one_function(num_steps, size, dtype):
    x, log_a, B, C, h = arguments(num_steps, dtype)
    tolerance = {"atol": TOLERANCE[dtype], "rtol": 0}
    y, last = recurrent(x, log_a, B, C, h)
    torch.testing.assert_close(chunked(x, log_a, B, C, h, size), (y, last), **tolerance)
    y, _ = recurrent(x, log_a, B, C, torch.zeros_like(h))
    torch.testing.assert_close(quadratic(x, log_a, B, C), y, **tolerance)


@pytest.mark.parametrize("num_steps", [1, 4, 7])
def test_the_gradients_of_the_forms_are_the_same(num_steps):
    values = [value.requires_grad_() for value in arguments(num_steps)]
    weights = torch.randn(2, num_steps, 2, 3, 4, dtype=torch.float64)
    grads = []
    for form in (recurrent, lambda *given: chunked(*given, chunk_size=3)):
        y, last = form(*values)
        grads.append(torch.autograd.grad((y * weights).sum() + last.square().sum(), values))
    torch.testing.assert_close(*grads, atol=1e-10, rtol=0)


def test_segments_are_summed_without_differences():
    log_a = torch.tensor([-1e8, -1.0, -2.0, -3.0])
    expected = torch.tensor([[0, -torch.inf, -torch.inf], [-2, 0, -torch.inf], [-5, -3, 0]])
    assert torch.equal(segment_sums(log_a)[1:, 1:], expected)


def test_the_mixer_is_the_paper_s():
    torch.manual_seed(0)
    mixer = Mixer(d_model=8, d_state=5, expand=2, head_dim=4, num_groups=2, d_conv=4, chunk_size=3).double()
    u = torch.randn(2, 10, 8, dtype=torch.float64)
    z, xBC, dt = (u @ mixer.in_proj.weight.T).split([16, 16 + 2 * 2 * 5, 4], -1)
    xBC = F.conv1d(xBC.mT, mixer.conv.conv.weight, mixer.conv.conv.bias, padding=3, groups=36)[..., :10].mT
    x, B, C = F.silu(xBC).split([16, 10, 10], -1)
    dt, A = F.softplus(dt + mixer.dt_bias), -mixer.A_log.exp()
    y = torch.zeros(2, 10, 16, dtype=torch.float64)
    for head in range(4):
        channels, group = slice(4 * head, 4 * head + 4), slice(5 * (head // 2), 5 * (head // 2) + 5)
        h = torch.zeros(2, 4, 5, dtype=torch.float64)
        for t in range(10):
            inputs = torch.einsum("bp,bn->bpn", dt[:, t, head, None] * x[:, t, channels], B[:, t, group])
            h = torch.exp(dt[:, t, head] * A[head])[:, None, None] * h + inputs
            y[:, t, channels] = torch.einsum("bpn,bn->bp", h, C[:, t, group]) + mixer.D[head] * x[:, t, channels]
    gated = y * F.silu(z)
    normed = gated / (gated.square().mean(-1, keepdim=True) + 1e-5).sqrt() * mixer.norm.weight
    torch.testing.assert_close(mixer(u)[0], normed @ mixer.out_proj.weight.T, atol=1e-10, rtol=0)


def test_the_chunk_size_changes_no_number():
    answers = []
    for size in (1, 5, 64):
        torch.manual_seed(0)
        model = Mamba2(in_features=2, chunk_size=size, per_step=True, causal=True, out_features=3).double()
        answers.append(model(torch.linspace(-1, 1, 46, dtype=torch.float64).view(1, 23, 2)))
    torch.testing.assert_close(answers[0], answers[1])
    torch.testing.assert_close(answers[0], answers[2])


def test_it_starts_as_the_paper_says():
    torch.manual_seed(0)
    mixer = Mixer(d_model=512, d_state=5, expand=2, head_dim=4, num_groups=1, d_conv=4, chunk_size=3)
    rates, dt = mixer.A_log.exp(), F.softplus(mixer.dt_bias)
    assert 1 <= rates.min() < 2
    assert 15 < rates.max() <= 16
    assert 0.001 <= dt.min() < 0.002
    assert 0.05 < dt.max() <= 0.1001
    assert (mixer.D == 1).all()
    assert all(p.ndim < 2 for p in (mixer.A_log, mixer.D, mixer.dt_bias))  # no weight decay, no Muon


@pytest.mark.parametrize("keys", [{"head_dim": 5}, {"head_dim": 4, "num_groups": 3}])
def test_sizes_that_do_not_divide(keys):
    found = f"found 16, {keys['head_dim']} and {keys.get('num_groups', 1)}"
    with pytest.raises(ValueError, match=f"^expand \\* d_model must be a multiple of head_dim, .* {found}$"):
        Mamba2(vocab_size=3, d_model=8, per_step=True, causal=True, out_features=2, **keys)
