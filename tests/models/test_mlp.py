import typing

import pytest
import torch
import torch.nn.functional as F

from dlrun.models import MODELS
from dlrun.models.mlp import MLP

ACTIVATIONS = typing.get_args(MODELS.describe("mlp").parameters["activation"].annotation)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_used_and_lets_gradients_through(activation):
    torch.manual_seed(0)
    model = MLP(in_features=6, hidden_sizes=(8, 4), activation=activation, out_features=3)
    x = torch.randn(32, 6)
    first, second = model.linears
    function = getattr(F, activation)
    torch.testing.assert_close(model(x), model.fc(function(second(function(first(x))))))
    model(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_without_hidden_layers_it_is_softmax_regression():
    model = MLP(in_features=6, hidden_sizes=(), out_features=3)
    x = torch.randn(2, 6)
    torch.testing.assert_close(model(x), F.linear(x, *model.parameters()))


def test_dropout_and_batch_norm_act_in_training_only():
    torch.manual_seed(0)
    model = MLP(in_features=6, hidden_sizes=(50,), dropout=0.5, batch_norm=True, out_features=3)
    x = torch.randn(16, 6)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))
    assert [type(module).__name__ for module in model.norms] == ["BatchNorm1d"]
    assert len(list(model.parameters())) == 6
