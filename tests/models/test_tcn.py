"""TCN: the paper's block, and how far it sees."""

import torch
import torch.nn.functional as F

from dlrun.models.tcn import TCN, Block


def test_a_block_is_the_paper_s():
    torch.manual_seed(0)
    block, x = Block(3, 5, kernel_size=3, dilation=2, dropout=0.0), torch.randn(2, 3, 11)
    y = x
    for conv in (block.conv1.conv, block.conv2.conv):
        norm, direction = conv.parametrizations.weight.original0, conv.parametrizations.weight.original1
        weight = norm * direction / direction.flatten(1).norm(dim=1)[:, None, None]
        y = F.relu(F.conv1d(F.pad(y, (4, 0)), weight, conv.bias, dilation=2))
    torch.testing.assert_close(block(x)[0], F.relu(y + block.residual(x)))


def test_the_residual_needs_a_convolution_only_where_channels_change():
    model = TCN(in_features=5, hidden_size=5, num_layers=2, per_step=True, causal=True, out_features=2)
    assert [len(list(block.residual.parameters())) for block in model.blocks] == [0, 0]
    model = TCN(in_features=3, hidden_size=5, num_layers=2, per_step=True, causal=True, out_features=2)
    assert [len(list(block.residual.parameters())) for block in model.blocks] == [2, 0]


def test_it_sees_as_many_steps_as_the_formula_says():
    torch.manual_seed(0)
    model = TCN(in_features=1, kernel_size=3, num_layers=3, dropout=0.0, per_step=True, causal=True, out_features=1)
    x = torch.randn(1, 50, 1, requires_grad=True)
    model(x)[0, -1].backward()
    assert x.grad is not None
    assert x.grad.flatten().nonzero().flatten().tolist() == list(range(50 - (1 + 2 * 2 * (2**3 - 1)), 50))


def test_weight_norm_starts_with_the_spread_of_torch():
    torch.manual_seed(0)
    model = TCN(in_features=1, hidden_size=32, per_step=True, causal=True, out_features=1)
    weight = model.blocks[1].conv1.conv.weight
    bound = (32 * 7) ** -0.5
    assert abs(weight.std() - bound / 3**0.5) < 0.05 * bound
