import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from measuring import findings, loss, measured

from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import LoaderOptions
from dlrun.engine.loading import PartLoader
from dlrun.engine.parts import TensorPart
from dlrun.tasks import generation
from dlrun.tasks.steps import NextToken, Perplexity, StepClass

SPEC = DataSpec("tokens", "step_class", vocab_size=4, out_features=3, per_step=True, class_names=("a", "b", "c"))
TEXT = DataSpec(
    "tokens", "next_token", vocab_size=4, out_features=4, per_step=True, vocabulary=("<pad>", "<unk>", "x", "y")
)
TARGET = torch.tensor([[0, 1, 2], [2, -100, 1], [-100, -100, 0]])


def logits(classes, confidence=9.0):
    return torch.nn.functional.one_hot(torch.as_tensor(classes), 3) * confidence


def test_only_steps_with_a_target_count():
    guess = logits([[0, 1, 2], [2, 0, 0], [1, 1, 0]])  # one of six is wrong; two stand where none is counted
    found = measured(StepClass(SPEC), guess.float(), TARGET)
    assert (found["accuracy"], found["sequence_accuracy"]) == (5 / 6, 2 / 3)


@given(st.integers(0, 2**20))
def test_loss_is_the_mean_over_steps_or_their_sum_over_sequences(seed):
    output = torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(seed))
    each = [
        -output[row, step].log_softmax(0)[TARGET[row, step]].item()
        for row in range(3)
        for step in range(3)
        if TARGET[row, step] != -100
    ]
    assert loss(StepClass(SPEC), output, TARGET).item() == pytest.approx(sum(each) / 6, abs=1e-5)
    assert loss(StepClass(SPEC, reduction="sum"), output, TARGET).item() == pytest.approx(sum(each) / 3, abs=1e-5)


def test_predictions_are_written_side_by_side():
    columns = StepClass(SPEC).rows(logits([[0, 1, 0], [2, 0, 1], [0, 0, 0]]), TARGET)
    assert columns == {"true": ["abc", "cb", "a"], "predicted": ["aba", "cb", "a"]}
    long = DataSpec("tokens", "step_class", out_features=2, class_names=("one", "two"))
    assert StepClass(long).rows(torch.eye(2)[None], torch.tensor([[0, 1]]))["true"] == ["one two"]


def test_a_sample_is_what_the_model_says_of_the_first_example():
    part = TensorPart((torch.zeros(1, 3),), TARGET[:1])
    loader = PartLoader(part, LoaderOptions(lambda raw: raw, torch.device("cpu"), batch_size=1))
    assert StepClass(SPEC).sample(lambda x: logits([[0, 0, 2]]), loader) == "aac (right: abc)"


def test_pictures_leave_out_what_is_not_counted():
    output = logits([[0, 1, 2], [2, 0, 0], [1, 1, 0]])
    figures = StepClass(SPEC).pictures(findings(output, TARGET, torch.zeros(3, 3)))
    assert set(figures) == {"step_accuracy", "confusion_matrix"}
    (line,) = figures["step_accuracy"].axes[0].lines
    assert list(line.get_ydata()) == pytest.approx([1, 1, 2 / 3])
    assert "5 of 6 right" in figures["confusion_matrix"].axes[0].get_title()


def test_a_text_is_measured_in_perplexity_and_bits():
    target = torch.tensor([[2, 3, 2, -100]])
    found = measured(NextToken(TEXT), torch.zeros(1, 4, 4), target)
    assert found["perplexity"] == pytest.approx(4) and found["bits_per_character"] == pytest.approx(2)
    hopeless = Perplexity().value({"loss": 1e9, "right": 0, "steps": 3}, 1)
    assert math.isfinite(hopeless["perplexity"])


class Alternates(torch.nn.Module):
    """x after y, y after x, and a great wish for <unk>."""

    def step(self, x, state=None):
        scores = torch.tensor([[0.0, 99.0, 0.0, 0.0]])
        scores[0, 3 if x.item() == 2 else 2] = 20
        return scores, (0 if state is None else state[0] + 1,)


def test_a_text_goes_on_with_the_prompt_and_never_writes_what_is_no_character():
    for temperature in (0, 0.5):
        text = generation.continue_text(Alternates(), TEXT.vocabulary, torch.tensor([2]), 5, temperature=temperature)
        assert text == "xyxyxy"


class Coin(torch.nn.Module):
    def step(self, x, state=None):
        return torch.zeros(1, 4), state


def test_the_same_seed_writes_the_same_text_and_leaves_other_generators_alone():
    before = torch.get_rng_state()
    texts = [generation.continue_text(Coin(), TEXT.vocabulary, torch.tensor([2]), 60, seed=s) for s in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert {"x", "y"} == set(texts[0])
    assert torch.equal(torch.get_rng_state(), before)
