"""Objects of any number in an image, each with its box, class and mask (notes, instance segmentation)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dlrun.data.boxes.objects import Objects
from dlrun.engine.contracts import Batch, Findings, Metric
from dlrun.tasks.average_precision import InstancePrecision, pasted
from dlrun.tasks.detection import Detection

SHOWN = 6  # images


class InstanceSegmentation(Detection):
    """As `Detection`; a model answers with (detections (m, 6), masks (m, 28, 28) inside their boxes) of each image."""

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
        return [InstancePrecision(len(self.class_names))]

    def boxes(self, output: Any) -> list[Tensor]:
        return output[0]

    def masks(self, output: Any) -> Sequence[Tensor]:
        return output[1]

    def pictures(self, findings: Findings) -> dict[str, Any]:
        """Those of boxes, and the true and predicted masks of the images with most objects."""
        from dlrun.plots import boxes

        masks, target = findings.outputs[1], findings.target
        counts = torch.tensor([len(own) for own in target.boxes])
        most = counts.argsort(descending=True, stable=True)[:SHOWN]
        likely = []
        for k in most.tolist():
            found = self.boxes(findings.outputs)[k]
            shown = found[:, 4] >= self.shown_score
            likely.append(pasted(masks[k][shown], found[shown], target.masks[k].shape[-2:]).numpy())
        true = [target.masks[k].numpy() for k in most.tolist()]
        figures = super().pictures(findings)
        figures["masks"] = boxes.masks_compared(findings.raw(most).float().numpy() / 255, true, likely)
        return figures
