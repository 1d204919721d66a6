"""Layers that stay as they are, for the whole run or until their turn comes."""

from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _NormBase


@dataclass(frozen=True)
class Freezing:
    """Blocks of a model that do not learn.

    **Fields:**

    - `blocks`: the names of the parameters of each, from the input on.
    - `every`: after each so many epochs the last block that is still frozen begins to learn; None: none does
      (gradual unfreezing: Howard and Ruder 2018, section 3.3).
    """

    blocks: tuple[tuple[str, ...], ...]
    every: int | None = None

    def apply(self, model: nn.Module, epoch: int) -> None:
        """Says which parameters learn in `epoch`, counted from 0; norms of what does not keep their statistics."""
        num_frozen = len(self.blocks) - (epoch // self.every if self.every else 0)
        for position, names in enumerate(self.blocks):
            for name in names:
                model.get_parameter(name).requires_grad_(position >= num_frozen)
        for module in model.modules():
            parameters = list(module.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                for norm in module.modules():
                    if isinstance(norm, _NormBase):
                        norm.eval()
