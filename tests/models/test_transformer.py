"""Transformer: torch's encoder with the same weights, positions, masks, the sliding window."""

import math

import pytest
import torch
from torch import nn

from dlrun.models.transformer import Transformer, sinusoids


def make(**keys):
    torch.manual_seed(0)
    keys = {"d_model": 12, "num_heads": 3, "dim_feedforward": 20, "num_layers": 2, "dropout": 0.0} | keys
    return Transformer(vocab_size=7, per_step=True, out_features=4, **keys)


def reference(model):
    """torch's encoder with the weights of `model`."""
    layer = nn.TransformerEncoderLayer(12, 3, 20, dropout=0.0, batch_first=True)
    encoder = nn.TransformerEncoder(layer, len(model.layers), enable_nested_tensor=False)
    for theirs, ours in zip(encoder.layers, model.layers, strict=True):
        attention = ours.self_attn
        states = {"self_attn.out_proj": attention.fc_out, "linear1": ours.linear1, "linear2": ours.linear2}
        states |= {"norm1": ours.norm1, "norm2": ours.norm2}
        weights = {f"{key}.{name}": value for key, part in states.items() for name, value in part.state_dict().items()}
        for name in ("weight", "bias"):
            parts = [getattr(part, name) for part in (attention.wq, attention.wk, attention.wv)]
            weights[f"self_attn.in_proj_{name}"] = torch.cat(parts)
        theirs.load_state_dict(weights)
    return encoder


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_it_is_torch_s_encoder(causal, dtype, tolerance):
    model = make(causal=causal).to(dtype)
    encoder = reference(model).to(dtype)
    x, lengths = torch.randint(7, (4, 9)), torch.tensor([9, 2, 5, 1])
    inputs = model.embed(x) + sinusoids(torch.arange(9), 12).to(dtype)
    padding = torch.arange(9) >= lengths[:, None]
    mask = torch.ones(9, 9, dtype=torch.bool).triu(1) if causal else None
    for training in (True, False):
        ours = model.train(training)(x, lengths)
        theirs = model.fc(encoder.train(training)(inputs, mask=mask, src_key_padding_mask=padding))
        torch.testing.assert_close(ours[~padding], theirs[~padding], atol=tolerance, rtol=0)


@pytest.mark.parametrize("d_model", [12, 7, 1])
def test_positions_are_the_paper_s(d_model):
    table = sinusoids(torch.tensor([0, 3, 1000]), d_model)
    for row, position in zip(table.tolist(), (0, 3, 1000), strict=True):
        for i, value in enumerate(row):
            angle = position / 10000 ** (2 * (i // 2) / d_model)
            assert value == pytest.approx(math.cos(angle) if i % 2 else math.sin(angle), abs=2e-4)


def test_the_notes_sizes_in_the_order_of_the_listing():
    torch.manual_seed(0)
    d, sizes = 512, {"num_heads": 8, "dim_feedforward": 2048, "num_layers": 6}
    model = Transformer(in_features=1, per_step=True, causal=False, out_features=2, d_model=d, **sizes)
    layer = model.layers[0]
    # Queries, keys, values, output, feed-forward, norms.
    attention = [(d, d), (d,)] * 4
    assert [tuple(p.shape) for p in layer.parameters()] == [
        *attention, (2048, d), (2048,), (d, 2048), (d,), (d,), (d,), (d,), (d,)
    ]  # fmt: skip
    assert (len(model.layers), layer.self_attn.num_heads, layer.dropout.p) == (6, 8, 0.1)


def test_a_step_looks_back_over_the_window_alone():
    model = make(causal=True, window=4, num_layers=1).double()
    x = torch.randint(7, (1, 12))
    changed = x.clone()
    changed[0, 3] = (x[0, 3] + 1) % 7
    differs = (model(x) - model(changed)).abs().sum(2)[0] > 1e-12
    assert differs.nonzero().flatten().tolist() == [3, 4, 5, 6]
    wide = make(causal=True, window=12, num_layers=1).double()
    torch.testing.assert_close(model(x)[:, :4], wide(x)[:, :4])


def test_heads_share_the_model_evenly():
    with pytest.raises(ValueError, match=r"^d_model must be a multiple of num_heads, found 10 and 3$"):
        make(causal=True, d_model=10)


@pytest.mark.parametrize("causal", [False, True])
def test_the_attention_that_is_shown_is_the_one_that_answers(causal):
    model = Transformer(vocab_size=7, d_model=8, num_heads=2, per_step=causal, causal=causal, out_features=3).eval()
    tokens, lengths = torch.randint(7, (2, 5)), torch.tensor([5, 3])
    layers = model.attention(tokens, lengths)
    assert [layer.shape for layer in layers] == [(2, 2, 5, 5)] * 2
    assert torch.allclose(layers[0].sum(dim=3), torch.ones(2, 2, 5))
    if causal:
        assert torch.equal(layers[1], layers[1].tril())
    else:
        assert layers[1][1, :, :, 3:].abs().max() == 0
    attend = model.layers[0].self_attn
    x, mask, is_causal = model._start(tokens, lengths)
    expected = attend.fc_out((layers[0] @ attend._heads(attend.wv(x))).transpose(1, 2).flatten(2))
    assert torch.allclose(attend(x, mask, is_causal)[0], expected, atol=1e-6)
