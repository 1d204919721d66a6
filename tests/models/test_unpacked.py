"""A recurrent network without packing, as an exported graph holds it."""

import pytest
import torch

from dlrun.models import MODELS


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("keys", [{}, {"num_layers": 1, "bidirectional": False}, {"hidden_size": None}])
@pytest.mark.parametrize("per_step", [False, True])
def test_rows_of_different_lengths_get_the_same_answers_without_packing(name, keys, per_step, monkeypatch):
    torch.manual_seed(0)
    keys = {"hidden_size": 5} | keys | ({"bidirectional": False} if "hidden_size" in keys else {})
    model = MODELS.get(name)(vocab_size=9, embedding_size=4, per_step=per_step, causal=False, out_features=3, **keys)
    x, lengths = torch.randint(9, (4, 6)), torch.tensor([6, 1, 4, 2])
    packed = model.eval()(x, lengths)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    torch.testing.assert_close(model(x, lengths), packed)
