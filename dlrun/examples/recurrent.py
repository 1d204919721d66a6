"""Recurrent cells written out, and the shapes of the networks that torch makes of them.

Letters: B examples, T steps, F values of an input, H hidden features, L layers.
"""

from typing import TYPE_CHECKING, Annotated, TypeVar

import torch
from torch import Tensor, nn

from dlrun.config.schema import Range, Seed, says
from dlrun.examples.lesson import Lesson, Step, seeded, size
from dlrun.plots import diagrams, grids
from dlrun.plots.diagrams import INPUT, OUTPUT, Box

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cell = TypeVar("Cell", nn.GRUCell, nn.LSTMCell)


@says(chapter="11 recurrent networks")
def rnn_shapes(
    *, batch_size: Annotated[int, Range(1, 6)] = 1, seq_len: Annotated[int, Range(1, 8)] = 3,
    input_size: Annotated[int, Range(1, 8)] = 4, hidden_size: Annotated[int, Range(1, 8)] = 2,
    num_layers: Annotated[int, Range(1, 4)] = 1, batch_first: bool = False, seed: Seed = 0,
) -> Lesson:  # fmt: skip
    """A cell in a loop and nn.RNN are the same; what stands in which dimension of what goes in and comes out.

    **Arguments:**

    - `batch_size`: B, sequences side by side.
    - `seq_len`: T, steps of each.
    - `input_size`: F, numbers of a step.
    - `hidden_size`: H, numbers of the hidden state.
    - `num_layers`: L, networks on top of each other; each reads the hidden states of the one below.
    - `batch_first`: whether the batch, not the step, is the first dimension of input and output.
    - `seed`: of the random weights and inputs.
    """
    with seeded(seed):
        net = nn.RNN(input_size, hidden_size, num_layers, batch_first=batch_first)
        both_ways = nn.RNN(input_size, hidden_size, num_layers, batch_first=batch_first, bidirectional=True)
        x = torch.randn(seq_len, batch_size, input_size)
    given = x.transpose(0, 1) if batch_first else x
    with seeded(seed), torch.no_grad():
        output, hidden = net(given)
        wide_output, wide_hidden = both_ways(given)
        looped, above = _looped(net, x)
    order = "B, T" if batch_first else "T, B"
    rows = [
        ["input", f"({order}, F)", size(given)],
        ["h0, zeros if it is left out", "(L, B, H)", size(hidden)],
        ["output: the last layer at every step", f"({order}, H)", size(output)],
        ["hidden: every layer at the last step", "(L, B, H)", size(hidden)],
        ["output with bidirectional=True", f"({order}, 2 H)", size(wide_output)],
        ["hidden with bidirectional=True", "(2 L, B, H)", size(wide_hidden)],
    ]
    times = [f"step {t}" for t in range(1, seq_len + 1)]
    weights = [[name, size(weight)] for name, weight in net.named_parameters()]
    difference = float((above - (output.transpose(0, 1) if batch_first else output)).abs().max())
    steps = [
        Step(
            "The shapes. With batch_first=True input and output begin with the batch; the hidden state never does.",
            values=rows,
            columns=("", "letters", "shape"),
        ),
        Step(
            "The weights: their shapes know of no batch and no number of steps; each step takes the same.",
            values=weights,
            columns=("weight", "shape"),
        ),
        Step("The input x, step by step.", values=x, tables=times),
        Step(
            "A cell in a loop: the hidden states of the first layer, from h0 = 0.",
            "h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh)",
            looped,
            tables=times,
        ),
        Step(
            f"nn.RNN gives all steps of the last layer at once; the loop differs from it by at most {difference:.1g}.",
            "output, hidden = rnn(input)",
            output,
            tables=[f"sequence {b}" for b in range(1, batch_size + 1)] if batch_first else times,
        ),
        Step(
            "The hidden state: each layer at the last step. Its last layer is the last step of the output.",
            "hidden",
            hidden,
            tables=[f"layer {layer}" for layer in range(1, num_layers + 1)],
        ),
    ]
    return Lesson(steps, _unrolled(batch_size, seq_len, input_size, hidden_size, num_layers))


@says(chapter="GRU")
def gru_cell(
    *, input_size: Annotated[int, Range(1, 6)] = 3, hidden_size: Annotated[int, Range(1, 6)] = 2,
    num_steps: Annotated[int, Range(1, 8)] = 4, seed: Seed = 0,
) -> Lesson:  # fmt: skip
    """A GRU, gate by gate: how much of the past is read, and how much of it stays.

    **Arguments:**

    - `input_size`: F, numbers of a step.
    - `hidden_size`: H, numbers of the hidden state.
    - `num_steps`: T, steps.
    - `seed`: of the random weights and inputs.
    """
    cell, x = _drawn(nn.GRUCell, input_size, hidden_size, num_steps, seed)
    h = torch.zeros(hidden_size)
    theirs = h
    gates: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        for x_t in x:
            r_x, z_x, n_x = (cell.weight_ih @ x_t + cell.bias_ih).chunk(3)
            r_h, z_h, n_h = (cell.weight_hh @ h + cell.bias_hh).chunk(3)
            r, z = (r_x + r_h).sigmoid(), (z_x + z_h).sigmoid()
            n = (n_x + r * n_h).tanh()
            h = (1 - z) * n + z * h
            _note(gates, r=r, z=z, n=n, h=h)
            theirs = cell(x_t[None], theirs[None])[0]
    formulas = {
        "r": ("r = sigmoid(W_r x + U_r h + b_r)", "reset gate, how much of h is read"),
        "z": ("z = sigmoid(W_z x + U_z h + b_z)", "update gate, how much of h stays"),
        "n": ("n = tanh(W_n x + a_n + r * (U_n h + b_n))", "candidate"),
        "h": ("h <- (1 - z) * n + z * h", "new hidden state"),
    }
    return _gated(cell, x, gates, formulas, theirs)


@says(chapter="LSTM")
def lstm_cell(
    *, input_size: Annotated[int, Range(1, 6)] = 3, hidden_size: Annotated[int, Range(1, 6)] = 2,
    num_steps: Annotated[int, Range(1, 8)] = 4, seed: Seed = 0,
) -> Lesson:  # fmt: skip
    """An LSTM, gate by gate: beside the hidden state there is a cell state, which is only multiplied and added to.

    **Arguments:**

    - `input_size`: F, numbers of a step.
    - `hidden_size`: H, numbers of the hidden state, and of the cell state.
    - `num_steps`: T, steps.
    - `seed`: of the random weights and inputs.
    """
    cell, x = _drawn(nn.LSTMCell, input_size, hidden_size, num_steps, seed)
    h = c = torch.zeros(hidden_size)
    theirs = (h[None], c[None])
    gates: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        for x_t in x:
            sums = cell.weight_ih @ x_t + cell.bias_ih + cell.weight_hh @ h + cell.bias_hh
            i, f, g, o = sums.chunk(4)
            i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
            c = f * c + i * g
            h = o * c.tanh()
            _note(gates, i=i, f=f, g=g, o=o, c=c, h=h)
            theirs = cell(x_t[None], theirs)
    formulas = {
        "i": ("i = sigmoid(W_i x + U_i h + b_i)", "input gate, how much comes in"),
        "f": ("f = sigmoid(W_f x + U_f h + b_f)", "forget gate, how much of c stays"),
        "g": ("g = tanh(W_g x + U_g h + b_g)", "candidate"),
        "o": ("o = sigmoid(W_o x + U_o h + b_o)", "output gate, how much of c shows"),
        "c": ("c <- f * c + i * g", "new cell state"),
        "h": ("h <- o * tanh(c)", "new hidden state"),
    }
    return _gated(cell, x, gates, formulas, theirs[0][0])


def _looped(net: nn.RNN, x: Tensor) -> tuple[Tensor, Tensor]:
    """The hidden states (T, B, H) of the first and of the last layer of `net`, by a cell in a loop."""
    layers: list[Tensor] = []
    below = x
    for layer in range(net.num_layers):
        cell = nn.RNNCell(below.shape[2], net.hidden_size)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            cell.get_parameter(name).copy_(net.get_parameter(f"{name}_l{layer}"))
        hidden, states = torch.zeros(x.shape[1], net.hidden_size), []
        for x_t in below:
            hidden = cell(x_t, hidden)
            states.append(hidden)
        below = torch.stack(states)
        layers.append(below)
    return layers[0], layers[-1]


def _unrolled(batch_size: int, seq_len: int, input_size: int, hidden_size: int, num_layers: int) -> "Figure":
    boxes, arrows = {}, []
    state = f"{batch_size} x {hidden_size}"
    for t in range(1, seq_len + 1):
        boxes[f"x {t}"] = Box(f"x{t}\n{batch_size} x {input_size}", t, num_layers + 1, INPUT)
        boxes[f"out {t}"] = Box(f"output {t}\n{state}", t, 0, OUTPUT)
    for layer in range(1, num_layers + 1):
        row = num_layers + 1 - layer
        boxes[f"{layer} 0"] = Box(f"h0, layer {layer}\n{state}", 0, row, INPUT)
        for t in range(1, seq_len + 1):
            boxes[f"{layer} {t}"] = Box(f"cell, layer {layer}", t, row)
            arrows += [
                (f"{layer} {t - 1}", f"{layer} {t}"),
                (f"x {t}" if layer == 1 else f"{layer - 1} {t}", f"{layer} {t}"),
            ]
        boxes[f"{layer} end"] = Box(f"hidden, layer {layer}\n{state}", seq_len + 1, row, OUTPUT)
        arrows.append((f"{layer} {seq_len}", f"{layer} end"))
    arrows += [(f"{num_layers} {t}", f"out {t}") for t in range(1, seq_len + 1)]
    return diagrams.diagram(boxes, arrows, "A recurrent network, unrolled over its steps")


def _drawn(kind: type[Cell], input_size: int, hidden_size: int, num_steps: int, seed: int) -> tuple[Cell, Tensor]:
    """A cell with random weights, and inputs (T, F)."""
    with seeded(seed):
        return kind(input_size, hidden_size), torch.randn(num_steps, input_size)


def _note(gates: dict[str, list[Tensor]], **values: Tensor) -> None:
    for name, value in values.items():
        gates.setdefault(name, []).append(value)


def _gated(
    cell: nn.GRUCell | nn.LSTMCell, x: Tensor, gates: dict[str, list[Tensor]], formulas: dict[str, tuple[str, str]],
    theirs: Tensor,
) -> Lesson:  # fmt: skip
    """The steps of a cell: the first one formula by formula, then all, then what torch's cell gives, `theirs` (H,)."""
    name, times = type(cell).__name__, [f"step {t}" for t in range(1, len(x) + 1)]
    states = [gate for gate in ("c", "h") if gate in gates]
    zeros = " and ".join(f"{state} = 0" for state in states)
    num_weights, num_gates = sum(weight.numel() for weight in cell.parameters()), len(cell.bias_hh) // cell.hidden_size
    steps = [Step(f"The input x, a row a step. At the start {zeros}.", values=x, rows=times)]
    steps += [Step(f"Step 1: {about}.", formulas[gate][0], gates[gate][0]) for gate, (_, about) in formulas.items()]
    steps += [Step(f"{state} at every step.", values=torch.stack(gates[state]), rows=times) for state in states]
    difference = float((gates["h"][-1] - theirs).abs().max())
    steps.append(
        Step(
            f"nn.{name} with the same weights ends with the same h: they differ by at most {difference:.1g}. So many "
            "weights it has, with the two bias vectors that torch gives each gate.",
            f"{num_gates} (H F + H H + 2 H) = {num_weights}",
        )
    )
    columns = [str(t) for t in range(1, len(x) + 1)]
    panels = [
        grids.Grid(f"{gate}: {about}", torch.stack(gates[gate]).T, columns=columns)
        for gate, (_, about) in formulas.items()
    ]
    return Lesson(steps, grids.grids(panels, f"{name}: a column a step, a row a hidden feature"))
