"""Recurrent networks: the notes' three, torch's modules, and keys that contradict each other."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlrun.models import MODELS

HELLO = torch.tensor([[1, 0, 2, 2, 3]])
TORCH = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
CELLS = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}


def hello(name, **keys):
    torch.manual_seed(0)
    return MODELS.get(name)(vocab_size=4, per_step=True, causal=True, out_features=4, **keys)


def shapes(model):
    return [tuple(parameter.shape) for parameter in model.parameters()]


def test_the_notes_cell_answers_with_its_hidden_state():
    model = hello("rnn_cell")
    assert shapes(model) == [(4, 4), (4, 4), (4,), (4,)]
    w_ih, w_hh, b_ih, b_hh = model.parameters()
    hidden, expected = torch.zeros(1, 4), []
    for token in HELLO[0]:
        hidden = torch.tanh(w_ih[:, token] + b_ih + hidden @ w_hh.T + b_hh)
        expected.append(hidden)
    torch.testing.assert_close(model(HELLO), torch.stack(expected, 1))


def test_the_notes_rnn_is_the_cell_without_the_loop():
    cell, rnn = hello("rnn_cell"), hello("rnn", embedding_size=None, hidden_size=None, num_layers=1)
    for ours, theirs in zip(rnn.parameters(), cell.parameters(), strict=True):
        ours.data = theirs.data
    torch.testing.assert_close(rnn(HELLO), cell(HELLO))


def test_the_notes_embedding_comes_first_and_the_linear_layer_last():
    model = hello("rnn", embedding_size=10, hidden_size=8, num_layers=2)
    layers = [(8, 10), (8, 8), (8,), (8,)] + [(8, 8), (8, 8), (8,), (8,)]
    assert shapes(model) == [(4, 10), *layers, (4, 8), (4,)]
    table, *_, weight, bias = model.parameters()
    reference = nn.RNN(10, 8, 2, batch_first=True)
    for ours, theirs in zip(reference.parameters(), list(model.parameters())[1:-2], strict=True):
        ours.data = theirs.data
    torch.testing.assert_close(model(HELLO), F.linear(reference(F.embedding(HELLO, table))[0], weight, bias))


def test_the_defaults_of_gru_are_the_notes_classifier():
    model = MODELS.get("gru")(vocab_size=128, per_step=False, causal=False, out_features=18)
    first, second = [(300, 100), (300, 100), (300,), (300,)], [(300, 200), (300, 100), (300,), (300,)]
    assert shapes(model) == [(128, 100), *first, *first, *second, *second, (18, 200), (18,)]


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("bidirectional", [True, False])
def test_packed_rows_are_torch_s_module_on_each_row_alone(name, bidirectional):
    torch.manual_seed(0)
    keys = {"embedding_size": 5, "hidden_size": 6, "bidirectional": bidirectional}
    make = MODELS.get(name)
    once = make(vocab_size=9, per_step=False, causal=False, out_features=3, **keys)
    every = make(vocab_size=9, per_step=True, causal=False, out_features=3, **keys)
    every.load_state_dict(once.state_dict())
    reference = TORCH[name](5, 6, 2, bidirectional=bidirectional)
    reference.load_state_dict(once.rnn.state_dict())
    x, lengths = torch.randint(9, (4, 7)), torch.tensor([2, 7, 1, 5])
    answers, at_steps = once(x, lengths), every(x, lengths)
    for i, length in enumerate(lengths):
        y, state = reference(once.embed(x[i, :length]))  # (T, directions * H)
        hidden = state[0] if name == "lstm" else state
        last = torch.cat([hidden[-2], hidden[-1]]) if bidirectional else hidden[-1]
        torch.testing.assert_close(answers[i], once.fc(last), atol=1e-5, rtol=0)
        torch.testing.assert_close(at_steps[i, :length], once.fc(y), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CELLS)
def test_a_layer_is_torch_s_cell_in_a_loop(name):
    torch.manual_seed(0)
    model = MODELS.get(name)(
        in_features=3, hidden_size=6, num_layers=1, per_step=True, causal=True, out_features=2
    ).double()
    cell = CELLS[name](3, 6).double()
    for ours, theirs in zip(cell.parameters(), model.rnn.parameters(), strict=True):
        ours.data = theirs.data
    x, state, hidden = torch.randn(2, 5, 3, dtype=torch.float64), None, []
    for x_t in x.unbind(1):
        state = cell(x_t, state)
        hidden.append(state[0] if name == "lstm" else state)
    torch.testing.assert_close(model(x), model.fc(torch.stack(hidden, 1)))


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize(
    ("causal", "bidirectional", "directions"), [(False, None, 2), (True, None, 1), (False, False, 1)]
)
def test_it_reads_both_ways_unless_the_answer_is_causal(name, causal, bidirectional, directions):
    model = MODELS.get(name)(
        vocab_size=4, per_step=True, causal=causal, bidirectional=bidirectional, hidden_size=6, out_features=4
    )
    assert model.fc.in_features == directions * 6


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"bidirectional": True, "causal": True}, "bidirectional=true reads ahead, found causal=true; use bid"),
        ({"hidden_size": None, "causal": False}, "hidden_size=null makes the hidden state the 4 outputs"),
        ({"dropout": 0.5, "num_layers": 1, "causal": True}, r"dropout=0\.5 acts between layers, found num_layers=1"),
    ],
)
def test_keys_that_contradict_each_other(keys, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        MODELS.get("gru")(vocab_size=4, per_step=True, out_features=4, **keys)
