"""A loss: the focal loss (Lin et al. 2017), to which an example counts less the surer its answer is right.

A loss belongs to a task. A task that differs from one of dlrun's in its loss alone is a subclass with one method.

DLRUN_PLUGINS=examples/plugins/loss.py dlrun model=mlp data=digits task=focal task.gamma=2
"""

import torch.nn.functional as F
from torch import Tensor

from dlrun.config.schema import NonNegativeFloat
from dlrun.config.spec import DataSpec
from dlrun.engine.contracts import Batch
from dlrun.tasks import TASKS
from dlrun.tasks.multiclass import Multiclass


@TASKS.register("focal")
class Focal(Multiclass):
    """(1 - p)^gamma times the cross-entropy of each example, p the probability of its class; metrics as they were."""

    def __init__(self, spec: DataSpec, *, gamma: NonNegativeFloat = 2.0):
        super().__init__(spec)
        self.gamma = gamma

    def losses(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        cross_entropy = F.cross_entropy(output.float(), batch.target, reduction="none")
        easy = (-cross_entropy).exp()
        # As a term of its own it is recorded too.
        return {"loss": ((1 - easy) ** self.gamma * cross_entropy).mean(), "cross_entropy": cross_entropy.mean()}
