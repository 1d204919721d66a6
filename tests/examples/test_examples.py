"""Worked examples: the notes' numbers, documented keys, and for no value of one a traceback."""

import pathlib
import re
import typing

import pytest
import torch
import torch.nn.functional as F

from dlrun.config import catalogue, course, schema
from dlrun.data.tables.small import Line
from dlrun.errors import UserError
from dlrun.examples import EXAMPLES
from dlrun.examples.lesson import seeded

ROOT = pathlib.Path(__file__).parent.parent.parent


def lesson(name, **keys):
    return EXAMPLES.get(name)(**keys)


def tensors(name, **keys):
    """What comes out of the steps of an example, those of texts left out."""
    return [step.values for step in lesson(name, **keys).steps if isinstance(step.values, torch.Tensor)]


def said(name, **keys):
    return " | ".join(f"{step.says} {step.formula} {step.values or ''}" for step in lesson(name, **keys).steps
                      if not isinstance(step.values, torch.Tensor))  # fmt: skip


# ---- the notes' numbers


def test_chapter_3_gradients_and_the_last_loss_of_the_first_epoch():
    forward, backward, by_autograd, table = tensors("backprop")
    assert forward.tolist() == [[1, 1, 1, 2, -1, 1]]
    assert backward.tolist() == [[-2, -2, -2, -2]]
    assert by_autograd.item() == -2
    torch.testing.assert_close(table[:, 5], torch.tensor([-2.0, -7.84, -16.2288]))
    assert table[-1, 4].item() == pytest.approx(7.3159, abs=5e-5)
    points = Line().load()["train"].take(torch.arange(3))
    torch.testing.assert_close(table[:, 1:3], torch.cat([points.inputs[0], points.target], dim=1))


def test_chapter_4_one_one_two_against_three_one_two():
    a, b, expanded, other, total = tensors("broadcasting")
    assert (a.shape, b.shape) == ((1, 1, 2), (3, 1, 2))
    assert expanded.shape == other.shape == total.shape == (3, 1, 2)
    assert total.tolist() == [[[11, 22]], [[31, 42]], [[51, 62]]]


def test_chapter_8_losses_of_a_good_and_of_a_bad_prediction():
    found = tensors("cross_entropy")
    torch.testing.assert_close(found[4], torch.tensor([0.6657, 0.5735, 0.2507, 0.5536]), atol=5e-5, rtol=0)
    torch.testing.assert_close(found[8], torch.tensor([1.2679, 1.2398, 1.2089, 1.4284]), atol=5e-5, rtol=0)
    logits, shares, loss = (tensors("softmax")[place] for place in (0, 4, 5))
    torch.testing.assert_close(shares, F.softmax(logits, dim=0))
    assert loss.item() == pytest.approx(F.cross_entropy(logits, torch.tensor(0)).item())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conv", [[211, 295, 262], [259, 282, 214], [251, 253, 169]]),
        ("stride", [[211, 262], [251, 169]]),
        ("maxpool", [[4, 8], [9, 8]]),
    ],
)
def test_chapter_9(name, expected):
    assert tensors(name)[-1].tolist() == expected


def test_chapter_9_padding_keeps_the_size():
    y = tensors("padding")[-1]
    assert y.shape == (5, 5)
    assert y[0].tolist() == [91, 168, 224, 215, 127]
    assert "floor((5 + 2 * 1 - 3) / 1) + 1 = 5" in said("padding")


def test_a_kernel_is_given_by_its_name_or_by_its_rows():
    by_rows = tensors("conv", kernel=((1.0, 0.0, -1.0),) * 3)[-1]
    assert tensors("conv", kernel="vertical")[-1].tolist() == by_rows.tolist()


def test_chapter_10_four_branches_make_88_channels_and_1408_features():
    text = said("inception_shapes")
    assert "16 + 24 + 24 + 24 = 88 channels: 88 x 12 x 12" in text
    assert "'flattened: what the linear layer takes', '1408'" in text
    # 192 channels, 5x5 to 24: in front of it a 1x1 to 16.
    assert f"5x5 alone: {144 * 25 * 192 * 24:,}" in said("inception_shapes", channels=192)
    assert f"then 5x5: {144 * (192 * 16 + 25 * 16 * 24):,}" in said("inception_shapes", channels=192)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_a_cell_in_a_loop_is_the_network(batch_first, num_layers):
    x, looped, output, hidden = tensors("rnn_shapes", batch_size=2, num_layers=num_layers, batch_first=batch_first)
    output = output.transpose(0, 1) if batch_first else output
    assert (x.shape, output.shape, hidden.shape) == ((3, 2, 4), (3, 2, 2), (num_layers, 2, 2))
    torch.testing.assert_close(output[-1], hidden[-1])
    torch.testing.assert_close(looped[-1], hidden[0])
    differs = re.search(
        r"differs from it by at most (\S+)\.", " ".join(step.says for step in lesson("rnn_shapes").steps)
    )
    assert float(differs[1]) < 1e-6


@pytest.mark.parametrize(("name", "kind"), [("gru_cell", torch.nn.GRU), ("lstm_cell", torch.nn.LSTM)])
def test_gates_by_hand_are_those_of_torch(name, kind):
    with seeded(3):
        net = kind(4, 3)
        x = torch.randn(5, 4)
    output, _ = net(x)
    found = tensors(name, input_size=4, hidden_size=3, num_steps=5, seed=3)
    torch.testing.assert_close(found[0], x)
    torch.testing.assert_close(found[-1], output.detach())
    num_gates = {"gru_cell": 3, "lstm_cell": 4}[name]
    assert f"{num_gates} (H F + H H + 2 H) = {sum(weight.numel() for weight in net.parameters())}" in said(
        name, input_size=4, hidden_size=3
    )


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_torch_s(causal):
    x, q, k, v, scores, shares, taken, _ = tensors("attention", num_steps=4, d_model=6, num_heads=3, causal=causal)
    heads = [value.view(4, 3, 2).transpose(0, 1) for value in (q, k, v)]
    torch.testing.assert_close(taken, F.scaled_dot_product_attention(*heads, is_causal=causal))
    torch.testing.assert_close(shares.sum(dim=2), torch.ones(3, 4))
    assert (shares.triu(1) == 0).all() == causal
    assert x.shape == (4, 6) and scores.shape == (3, 4, 4)


def test_positions_are_told_apart_by_their_distance():
    rates, encoding, products = tensors("positional_encoding", d_model=4)
    assert encoding[0].tolist() == [0, 1, 0, 1]
    torch.testing.assert_close(encoding[1], torch.tensor([0.8415, 0.5403, 0.0100, 1.0000]), atol=6e-5, rtol=0)
    torch.testing.assert_close(rates[0], torch.tensor([1.0, 0.01]))
    torch.testing.assert_close(products.diagonal(1), products[0, 1].expand(5))


def test_the_notes_four_nodes():
    assert tensors("message_passing")[-1].tolist() == [[2, 4], [13, 11], [20, 13], [10, 7]]
    adjacency, looped, degrees, normalized, x, result = tensors("gcn_norm")
    assert adjacency.tolist() == [[1, 0, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]]
    assert looped.tolist() == [[1, 0, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]
    assert degrees.tolist() == [1, 3, 3, 2]
    root = degrees.pow(-0.5)
    torch.testing.assert_close(normalized, root[:, None] * looped * root)
    torch.testing.assert_close(result, normalized @ x)


def test_a_graph_of_ones_own():
    x, result = (tensors("message_passing", x=((1.0,), (2.0,)), edges=((0, 1),))[place] for place in (0, -1))
    assert (x.tolist(), result.tolist()) == ([[1], [2]], [[0], [3]])


def test_overlap_and_suppression():
    assert tensors("iou")[-1].item() == pytest.approx(6 / 26)
    assert tensors("iou", first=(0.0, 0.0, 1.0, 1.0), second=(2.0, 2.0, 3.0, 3.0))[-1].item() == 0
    text = said("nms")
    assert "score below 0.4 go: box 5." in text
    assert "Box 0 has the highest score of those left, 0.9, and stays" in text
    assert "by more than 0.5 go: box 1, box 2." in text
    assert "What is left: box 0, box 3." in text


def test_two_by_two_pixels_become_four_by_four_and_why_that_needs_an_output_padding():
    whole, y = tensors("transposed_conv")[-2:]
    assert y.tolist() == [[0, 4, 0, 1], [10, 7, 6, 3], [0, 7, 0, 2], [6, 3, 4, 2]]
    assert whole.shape == (5, 5)
    assert tensors("transposed_conv", output_padding=0)[-1].shape == (3, 3)
    assert "[['3', '2', '0'], ['4', '2', '1']]" in said("transposed_conv")


def test_style_knows_what_occurs_together_and_not_where():
    found = tensors("gram")
    assert found[2].tolist() == found[3].tolist() == [[0.5, 1, 0], [1, 2, 0], [0, 0, 4.5]]
    assert found[4].item() == 0


def test_every_optimizer_comes_down():
    start, table = tensors("optimizers_path")[1:]
    assert table.shape == (8, 5)
    assert (table[:, 4] < start / 5).all()
    assert table[-1, 4] < 1e-6  # L-BFGS


def test_an_optimizer_that_diverges_ends_where_its_loss_is_no_number_any_more():
    table = tensors("optimizers_path", optimizers=("sgd",), lr=5.0, steps=300)[-1]
    assert not table.isnan().any()


def test_activations_and_their_slopes():
    values, slopes = tensors("activations", names=("sigmoid", "relu"), x=(-2.0, 0.0, 2.0))
    assert values[0, 1].item() == 0.5 and slopes[0, 1].item() == 0.25
    assert values[1].tolist() == [0, 0, 2] and slopes[1].tolist() == [0, 0, 1]


def test_what_an_example_draws_leaves_the_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for name in EXAMPLES.names():
        lesson(name)
    assert torch.equal(torch.get_rng_state(), before)


# ---- every example


@pytest.mark.parametrize("name", EXAMPLES.names())
def test_it_says_its_chapter_and_what_each_key_means(name):
    described = EXAMPLES.describe(name)
    assert described.attributes["chapter"] in course.TITLES
    assert catalogue.meanings(described.doc).keys() == described.parameters.keys()
    for parameter in described.parameters.values():
        schema.check(parameter.default, parameter.annotation)


def test_examples_stand_in_the_order_of_the_notes():
    places = [course.TITLES.index(EXAMPLES.describe(name).attributes["chapter"]) for name in EXAMPLES._targets]
    assert places == sorted(places)


def ends(annotation):
    """The values at the ends of a type, as far as it has any."""
    arguments = typing.get_args(annotation)
    if annotation is bool:
        return [False, True]
    if typing.get_origin(annotation) is typing.Literal:
        return list(arguments)
    if typing.get_origin(annotation) is typing.Annotated:
        bounds = [value for value in (arguments[1].low, arguments[1].high) if abs(value) <= 2**63]
        return [arguments[0](value) for value in bounds if value in arguments[1]]
    if annotation is float:
        return [0.0, -1e300, 1e300]
    if type(None) in arguments:
        return [None, *(end for argument in arguments for end in ends(argument))]
    if typing.get_origin(annotation) is tuple:
        if arguments[-1] is Ellipsis:
            return [(), *((end,) for end in ends(arguments[0])), *((end,) * 20 for end in ends(arguments[0])[-1:])]
        return [tuple(ends(argument)[0] for argument in arguments)]
    return []


@pytest.mark.parametrize(
    ("name", "key"),
    [(name, key) for name in EXAMPLES.names() for key in EXAMPLES.describe(name).parameters],
)
def test_at_the_ends_of_each_key_there_is_a_lesson_or_one_line(name, key):
    annotation = EXAMPLES.describe(name).parameters[key].annotation
    for value in ends(annotation):
        try:
            found = lesson(name, **{key: schema.check(value, annotation)})
        except (UserError, ValueError) as error:
            assert len(str(error).splitlines()) == 1 and len(str(error)) <= 300, error
        else:
            assert found.steps and found.figure.axes


def test_the_guide_names_every_example():
    guide = (ROOT / "docs/examples.md").read_text()
    found = re.findall(r"`dlrun show example=(\w+)", guide)
    assert list(dict.fromkeys(found)) == list(EXAMPLES._targets)
