"""Objects of any number in an image, each with its box, class and mask (notes, instance segmentation)."""

from typing import Any

import torch
from torch import nn

from dlrun.data.boxes.objects import Objects
from dlrun.engine.contracts import Batch, Findings, Metric
from dlrun.tasks.average_precision import InstancePrecision, ProposalRecall, pasted
from dlrun.tasks.detection import Detection

SHOWN = 6  # images


class InstanceSegmentation(Detection):
    """As `Detection`, and each object has a mask too, true and predicted."""

    learns: str = "instances"
    needs: str = "instances"
    is_default: bool = True
    watch: str = "mask_map50"
    mode: str = "max"

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        if not model.training:
            return model(*batch.inputs)
        target: Objects = batch.target
        return model(*batch.inputs, target.boxes, target.labels, target.ignored, target.masks)

    def metrics(self) -> list[Metric]:
        return [InstancePrecision(len(self.class_names)), ProposalRecall()]

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """Those of boxes, and the true and predicted masks of the images with most objects."""
        from dlrun.plots import boxes

        masks, target = findings.outputs.masks, findings.target
        counts = torch.tensor([len(own) for own in target.boxes])
        most = counts.argsort(descending=True, stable=True)[:SHOWN]
        likely = []
        for k in most.tolist():
            found = findings.outputs.boxes[k]
            shown = found[:, 4] >= self.shown_score
            likely.append(pasted(masks[k][shown], found[shown], target.masks[k].shape[-2:]).numpy())
        true = [target.masks[k].numpy() for k in most.tolist()]
        figures = super().pictures(findings)
        figures["masks"] = boxes.masks_compared(findings.raw(most).float().numpy() / 255, true, likely)
        return figures
