"""What holds for every model of sequences: one call form, padding, order, causality, step by step, learning."""

import pytest
import torch
import torch.nn.functional as F

from dlrun.models import MODELS

SIZES = {
    "rnn_cell": {"hidden_size": 6},
    "rnn": {"embedding_size": 5, "hidden_size": 6},
    "lstm": {"embedding_size": 5, "hidden_size": 6},
    "gru": {"embedding_size": None, "hidden_size": 6},
    "tcn": {"hidden_size": 6, "num_layers": 3, "kernel_size": 3, "dropout": 0.0},
    "transformer": {"d_model": 8, "num_heads": 2, "dim_feedforward": 16, "num_layers": 2, "window": 5, "dropout": 0.0},
    "mamba": {"d_model": 8, "d_state": 4},
    "mamba2": {"d_model": 8, "d_state": 3, "head_dim": 4, "num_groups": 2, "chunk_size": 4},
}
ALWAYS_CAUSAL = ("rnn_cell", "tcn", "mamba", "mamba2")
INPUTS = {"tokens": {"vocab_size": 7}, "series": {"in_features": 3}}

names = pytest.mark.parametrize("name", SIZES)
kinds = pytest.mark.parametrize("kind", INPUTS)
readouts = pytest.mark.parametrize("per_step", [True, False], ids=["per_step", "once"])
causalities = pytest.mark.parametrize("causal", [True, False], ids=["causal", "whole"])


def make(name, kind="tokens", *, per_step=True, causal=True, **keys):
    torch.manual_seed(0)
    keys = SIZES[name] | INPUTS[kind] | keys
    return MODELS.get(name)(per_step=per_step, causal=causal, out_features=4, **keys).double()


def draw(kind, *shape):
    if kind == "tokens":
        return torch.randint(7, shape)
    return torch.randn(*shape, 3, dtype=torch.float64)


def changed_from(x, step):
    """`x` with every step from `step` on replaced by others."""
    x = x.clone()
    x[:, step:] = (x[:, step:] + 1) % 7 if x.dtype == torch.int64 else x[:, step:] + 1
    return x


@names
@kinds
@readouts
@causalities
def test_padding_changes_nothing(name, kind, per_step, causal):
    model = make(name, kind, per_step=per_step, causal=causal)
    x, lengths = draw(kind, 4, 9), torch.tensor([3, 9, 1, 5])
    other = torch.stack([changed_from(x[i : i + 1], length)[0] for i, length in enumerate(lengths.tolist())])
    padded, otherwise_padded = model(x, lengths), model(other, lengths)
    assert padded.shape == ((4, 9, 4) if per_step else (4, 4))
    for i, length in enumerate(lengths):
        alone = model(x[i : i + 1, :length])[0]
        torch.testing.assert_close(padded[i, :length] if per_step else padded[i], alone)
        torch.testing.assert_close(otherwise_padded[i, :length] if per_step else otherwise_padded[i], alone)


@names
@kinds
def test_the_future_changes_nothing_and_the_present_does(name, kind):
    model, x = make(name, kind), draw(kind, 2, 12)
    before = model(x)
    for step in range(1, 12):
        after = model(changed_from(x, step))
        torch.testing.assert_close(after[:, :step], before[:, :step])
        assert not torch.allclose(after[:, step], before[:, step])


@pytest.mark.parametrize("name", [name for name in SIZES if name not in ALWAYS_CAUSAL])
def test_where_it_may_it_looks_ahead(name):
    model, x = make(name, causal=False), draw("tokens", 2, 12)
    assert not torch.allclose(model(changed_from(x, 11))[:, 0], model(x)[:, 0])
    with pytest.raises(ValueError, match="step by step; use "):
        model.step(x[:, 0])


@names
def test_the_last_valid_step_answers_for_a_causal_row(name):
    keys = {"pooling": "last"} if name == "transformer" else {}
    once, x, lengths = make(name, per_step=False, **keys), draw("tokens", 2, 8), torch.tensor([8, 3])
    every = make(name, **keys)(x)
    torch.testing.assert_close(once(x, lengths), torch.stack([every[0, 7], every[1, 2]]))


@pytest.mark.parametrize("name", ["transformer", "mamba", "mamba2"])
def test_a_mean_is_over_the_valid_steps(name):
    x, lengths = draw("tokens", 2, 8), torch.tensor([8, 3])
    every = make(name, pooling="mean", causal=False)(x, lengths)
    # The last layer is linear: it may read the mean, or its answers be averaged.
    expected = torch.stack([every[0].mean(0), every[1, :3].mean(0)])
    torch.testing.assert_close(make(name, pooling="mean", causal=False, per_step=False)(x, lengths), expected)


@pytest.mark.parametrize(("name", "causal"), [(n, True) for n in SIZES] + [(n, False) for n in ALWAYS_CAUSAL])
@kinds
def test_step_by_step_it_says_the_same(name, kind, causal):
    model, x, state, sizes = make(name, kind, causal=causal), draw(kind, 2, 17), None, set()
    expected = model(x)
    for step in range(17):
        logits, state = model.step(x[:, step], state)
        torch.testing.assert_close(logits, expected[:, step])
        assert isinstance(state, tuple)
        sizes.add(tuple(value.shape for value in state))
    assert len(sizes) == 1


@names
def test_a_state_can_be_used_twice(name):
    model, x = make(name), draw("tokens", 2, 4)
    _, state = model.step(x[:, 0])
    _, state = model.step(x[:, 1], state)
    first, _ = model.step(x[:, 2], state)
    model.step(x[:, 3], state)
    again, _ = model.step(x[:, 2], state)
    assert torch.equal(first, again)


@names
@kinds
@readouts
@causalities
def test_every_parameter_gets_a_gradient(name, kind, per_step, causal):
    model = make(name, kind, per_step=per_step, causal=causal)
    model(draw(kind, 8, 6), torch.tensor([6, 5, 4, 3, 6, 6, 2, 6])).square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all() and parameter.grad.count_nonzero() > 0, key


@names
@pytest.mark.parametrize("sizes", [{"vocab_size": 7, "in_features": 3}, {"vocab_size": None}])
def test_tokens_or_a_series_not_both_nor_none(name, sizes):
    found = f"found vocab_size={sizes['vocab_size']} and in_features={sizes.get('in_features')}"
    with pytest.raises(ValueError, match=f"exactly one of vocab_size and in_features is a number, {found}"):
        make(name, **sizes)


@names
def test_it_learns_one_batch_by_heart(name):
    model = make(name, per_step=False, causal=False).float()
    x, lengths, target = draw("tokens", 8, 6), torch.tensor([6, 5, 6, 3, 6, 6, 2, 6]), torch.arange(8) % 4
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(80):
        loss = F.cross_entropy(model(x, lengths), target)
        if loss < 0.2:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (model(x, lengths).argmax(1) == target).all()


@pytest.mark.parametrize("name", ["lstm", "tcn", "transformer", "mamba", "mamba2"])
def test_dropout_acts_in_training_only(name):
    keys = {"num_layers": 2} if name == "lstm" else {}
    model, x = make(name, dropout=0.5, **keys), draw("tokens", 2, 9)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@names
def test_it_runs_in_bfloat16(name):
    model, x = make(name).float(), draw("tokens", 2, 9)
    exact = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(x)
    torch.testing.assert_close(rounded.float(), exact, rtol=0.1, atol=0.1)
    rounded.float().sum().backward()
