"""A text written by a causal model, one character after the other, each at the same cost."""

from typing import Any

import torch
from torch import Tensor, nn

from dlrun.config.spec import PAD, UNKNOWN

NEVER_WRITTEN = (PAD, UNKNOWN)


@torch.inference_mode()
def continue_text(
    model: nn.Module, vocabulary: tuple[str, ...], prompt: Tensor, length: int, *, temperature: float = 0.8,
    seed: int = 0,
) -> str:  # fmt: skip
    """The characters of `prompt` (T,), at least one, and `length` more, drawn by the model's probabilities.

    `temperature` below 1 prefers what is likely; 0 always takes the likeliest. The same seed draws the same text
    and leaves the generator of the training alone.
    """
    step: Any = model.eval().step
    generator = torch.Generator().manual_seed(seed)
    written, state, logits = prompt.tolist(), None, None
    never = [vocabulary.index(token) for token in NEVER_WRITTEN if token in vocabulary]
    for token in written:
        logits, state = step(prompt.new_tensor([token]), state)
    for _ in range(length):
        assert logits is not None, "the prompt has a character"
        scores = logits[0].float().cpu()
        scores[never] = -torch.inf
        token = int(scores.argmax()) if temperature == 0 else _draw(scores / temperature, generator)
        written.append(token)
        logits, state = step(prompt.new_tensor([token]), state)
    return "".join(vocabulary[token] for token in written)


def _draw(scores: Tensor, generator: torch.Generator) -> int:
    return int(torch.multinomial(scores.softmax(dim=0), 1, generator=generator))
