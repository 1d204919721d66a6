"""What every model that answers with an embedding has beside its layers."""

import torch
from torch import Tensor, nn

NOT_CHOSEN = -1.0  # a threshold: no distance is below 0


class PairUnit(nn.Module):
    """A logistic unit on |difference|: two are the same with the probability sigmoid(bias - sum of |w (a - b)|).

    The distance in it is the one of embeddings times w, so that they can be compared as any others are.
    """

    def __init__(self, embedding_size: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(embedding_size)), nn.Parameter(torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)
        nn.init.ones_(self.bias)

    def forward(self, embedding: Tensor) -> Tensor:
        return embedding * self.weight  # (B, E)


class Embedding(nn.Module):
    """Embeddings (B, E) of length 1, and the distance up to which two are called the same.

    The threshold is a buffer, so that it stands in the checkpoint with the weights that it was chosen for.
    """

    accepts: tuple = ("image",)
    answers: tuple = ("embedding",)

    def __init__(self, embedding_size: int, pair_unit: bool = False):
        super().__init__()
        self.threshold: Tensor
        self.register_buffer("threshold", torch.tensor(NOT_CHOSEN))
        self.unit = PairUnit(embedding_size) if pair_unit else None
