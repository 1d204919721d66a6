"""R-CNN and what became of it: regions that may hold an object, and a network that says what each one is.

Girshick et al., "Rich feature hierarchies", 2014; Girshick, "Fast R-CNN", 2015; Ren et al., "Faster R-CNN", 2015; He
et al., "Mask R-CNN", 2017; the notes' chapter on R-CNN. The last step of all four is torchvision's: regions are matched
with the true boxes, some of them sampled, classified, and their boxes corrected. What differs:

- R-CNN cuts every proposal out of the image, and each goes through all convolutions by itself.
- Fast R-CNN runs the convolutions once over the image, and pools the proposals from their map.
- Faster R-CNN has a network on that map propose the regions.
- Mask R-CNN draws a mask in each.

Departures: a small body of convolutions, one map; the sizes of anchors, and of proposals on a grid, are found in the
training boxes; the first two propose every place of a grid unless they are to search; R-CNN is one network trained at
once, without SVMs.

Letters: B images, C channels, H, W pixels, K classes (`out_features`), A sizes, R regions of all images.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import roi_align, roi_pool

from dlrun.config.schema import Fraction, PositiveInt
from dlrun.models.parts.body import Body
from dlrun.models.parts.boxes import anchors_of, iou_of_sizes
from dlrun.models.parts.detector import Detections, Detector
from dlrun.models.parts.receptive import receptive_field
from dlrun.models.parts.regions import Anchors, Pool, Proposer, detections, grid_of_boxes, known, roi_heads, targets_of
from dlrun.models.parts.selective_search import is_there, selective_search

CROP = 32  # pixels a side of a region that R-CNN cuts out
POOLED = 7  # places a side of a region that is pooled from a map
MASK_POOLED = 14  # places a side of one in which a mask is drawn, twice as fine


class RCNN(Detector):
    """Every proposal is cut out of the image, scaled to 32 x 32, and goes through the convolutions by itself."""

    accepts: tuple = ("image",)
    answers: tuple = ("boxes",)

    def __init__(
        self, *, in_channels: PositiveInt, image_size: PositiveInt | tuple[PositiveInt, PositiveInt],
        out_features: PositiveInt, channels: tuple[PositiveInt, ...] = (32, 64, 128), hidden_size: PositiveInt = 128,
        proposer: Literal["grid", "selective_search"] = "grid", num_anchors: PositiveInt = 3, step: PositiveInt = 8,
        sampled: PositiveInt = 32, iou_threshold: Fraction = 0.5, score_threshold: Fraction = 0.05,
        max_detections: PositiveInt = 50,
    ):  # fmt: skip
        """**Arguments:**

        - `in_channels`: C, channels of the images.
        - `image_size`: pixels of the images, one number for both sides or (H, W).
        - `out_features`: K, the number of classes.
        - `channels`: of the body; each halves the sides of the map.
        - `hidden_size`: of the layer on a region.
        - `proposer`: where proposals come from: every place of a grid, or selective search by OpenCV (the paper's).
        - `num_anchors`: A, sizes of proposals on a grid, found in the training boxes.
        - `step`: pixels from one proposal on a grid to the next.
        - `sampled`: regions an image that are learned from.
        - `iou_threshold`: overlap above which a box of the same class is suppressed.
        - `score_threshold`: probability below which a box is none.
        - `max_detections`: the most detections an image.

        **Raises:** `ValueError` for a selective search without OpenCV.
        """
        super().__init__()
        if proposer == "selective_search" and not is_there():
            raise ValueError(
                "proposer selective_search needs OpenCV with its contributed modules, which is not installed; pip "
                "install 'dlrun[proposals]', or use proposer grid"
            )
        self.searches, self.in_channels = proposer == "selective_search", in_channels
        self.size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.step, self.proposer = step, Anchors(num_anchors)
        pool, head = self.layers(Body(in_channels, channels), hidden_size)
        self.heads = roi_heads(
            pool, head, hidden_size, out_features, sampled=sampled, iou_threshold=iou_threshold,
            score_threshold=score_threshold, most=max_detections,
        )  # fmt: skip

    def layers(self, body: Body, hidden_size: int) -> tuple[nn.Module, nn.Module]:
        """(What is taken of each region, what makes `hidden_size` numbers of it)."""
        places = -(-CROP // body.stride)
        return Pool(roi_align, CROP, stride=1), nn.Sequential(
            body, nn.Flatten(), _layer(body.out_channels * places**2, hidden_size)
        )

    def map(self, images: Tensor) -> Tensor:
        """What regions are cut from: the images."""
        return images

    def forward(
        self, images: Tensor, boxes: list[Tensor] | None = None, labels: list[Tensor] | None = None,
        ignored: list[Tensor] | None = None, masks: list[Tensor] | None = None,
    ) -> Any:  # fmt: skip
        """What is found; with true boxes and labels the terms of the loss."""
        targets = None if boxes is None or labels is None else targets_of(boxes, labels, masks, ignored)
        sizes = [(images.shape[-2], images.shape[-1])] * len(images)
        features = {"map": self.map(images)}
        regions, terms = self.proposed(images, features, targets)
        if targets is not None:
            regions = known(regions, targets)
        found, more = self.heads(features, regions, sizes, targets)
        if targets is not None:
            return {TERMS[name]: value for name, value in {**terms, **more}.items()}
        masks = [own["masks"].squeeze(1) for own in found] if self.heads.has_mask() else None
        return Detections(detections(found), masks, regions)

    def proposed(
        self, images: Tensor, features: dict[str, Tensor], targets: list[dict[str, Tensor]] | None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """(The regions (r, 4) of each image, terms of the loss): the same grid for all, or what is found in each."""
        if self.searches:
            return [selective_search(image) for image in images], {}
        size = (images.shape[-2], images.shape[-1])
        grid = grid_of_boxes(size, self.proposer.box_sizes, self.step)
        return [grid] * len(images), {}

    def candidates(self, images: Tensor) -> list[Tensor]:
        threshold, self.heads.nms_thresh = self.heads.nms_thresh, 1.0
        try:
            return self(images).boxes
        finally:
            self.heads.nms_thresh = threshold

    def begin(self, boxes: Sequence[Tensor], labels: Sequence[Tensor]) -> list[str]:
        """Finds the usual sizes of boxes."""
        if self.searches:
            return ["regions by selective search, anew in each image"]
        if not any(len(own) for own in boxes):
            return ["regions no training image has a box"]
        sizes = torch.cat([own[:, 2:] - own[:, :2] for own in boxes]).cpu()
        self.proposer.box_sizes.copy_(anchors_of(sizes, len(self.proposer.box_sizes)))
        overlap = iou_of_sizes(sizes[:, None], self.proposer.box_sizes.cpu()).amax(dim=1).mean()
        names = " ".join(f"{w:.0f}x{h:.0f}" for w, h in self.proposer.box_sizes.tolist())
        return [f"regions {names} pixels (width x height) at every place; mean IoU with the nearest size {overlap:.2f}"]


class FastRCNN(RCNN):
    """The convolutions run once; every proposal is pooled from their map, 7 x 7 places."""

    accepts: tuple = ("image",)
    answers: tuple = ("boxes",)

    # The maximum of each of 7 x 7 places, as in the paper.
    pool = staticmethod(roi_pool)

    def sees(self) -> tuple[int, int]:
        return receptive_field(self.body, self, self.in_channels, self.size)

    def layers(self, body: Body, hidden_size: int) -> tuple[nn.Module, nn.Module]:
        self.body = body
        head = nn.Sequential(nn.Flatten(), _layer(body.out_channels * POOLED**2, hidden_size))
        return Pool(self.pool, POOLED, body.stride), head

    def map(self, images: Tensor) -> Tensor:
        return self.body(images)  # (B, C, H, W) -> (B, C', H / stride, W / stride)


class FasterRCNN(FastRCNN):
    """A small network slides over the map and says at every place which anchors may hold an object."""

    accepts: tuple = ("image",)
    answers: tuple = ("boxes",)

    def __init__(
        self, *, in_channels: PositiveInt, image_size: PositiveInt | tuple[PositiveInt, PositiveInt],
        out_features: PositiveInt, channels: tuple[PositiveInt, ...] = (32, 64, 128), hidden_size: PositiveInt = 128,
        num_anchors: PositiveInt = 3, proposals: PositiveInt = 100, sampled: PositiveInt = 64,
        iou_threshold: Fraction = 0.5, score_threshold: Fraction = 0.05, max_detections: PositiveInt = 50,
    ):  # fmt: skip
        """**Arguments:** as of `RCNN`, and

        - `proposals`: the most regions an image that the network proposes; in training twice as many.
        """
        super().__init__(
            in_channels=in_channels, image_size=image_size, out_features=out_features, channels=channels,
            hidden_size=hidden_size, num_anchors=num_anchors, sampled=sampled, iou_threshold=iou_threshold,
            score_threshold=score_threshold, max_detections=max_detections,
        )  # fmt: skip
        self.rpn = Proposer(
            self.proposer, RPNHead(self.body.out_channels, num_anchors), fg_iou_thresh=0.7, bg_iou_thresh=0.3,
            batch_size_per_image=128, positive_fraction=0.5, nms_thresh=0.7,
            pre_nms_top_n={"training": 8 * proposals, "testing": 4 * proposals},
            post_nms_top_n={"training": 2 * proposals, "testing": proposals},
        )  # fmt: skip

    # Bilinear between places, which keeps what a mask needs.
    pool = staticmethod(roi_align)

    def proposed(
        self, images: Tensor, features: dict[str, Tensor], targets: list[dict[str, Tensor]] | None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """(The regions (r, 4) of each image, the loss of the network that proposes them)."""
        size = (images.shape[-2], images.shape[-1])
        return self.rpn(ImageList(images, [size] * len(images)), features, targets)


class MaskRCNN(FasterRCNN):
    """One head more draws a mask of 28 x 28 in each region."""

    accepts: tuple = ("image",)
    answers: tuple = ("instances",)

    def __init__(
        self, *, in_channels: PositiveInt, image_size: PositiveInt | tuple[PositiveInt, PositiveInt],
        out_features: PositiveInt, channels: tuple[PositiveInt, ...] = (32, 64, 128), hidden_size: PositiveInt = 128,
        mask_channels: PositiveInt = 64, num_anchors: PositiveInt = 3, proposals: PositiveInt = 100,
        sampled: PositiveInt = 64, iou_threshold: Fraction = 0.5, score_threshold: Fraction = 0.05,
        max_detections: PositiveInt = 50,
    ):  # fmt: skip
        """**Arguments:** as of `FasterRCNN`, and

        - `mask_channels`: of the four convolutions that draw a mask.
        """
        super().__init__(
            in_channels=in_channels, image_size=image_size, out_features=out_features, channels=channels,
            hidden_size=hidden_size, num_anchors=num_anchors, proposals=proposals, sampled=sampled,
            iou_threshold=iou_threshold, score_threshold=score_threshold, max_detections=max_detections,
        )  # fmt: skip
        self.heads.mask_roi_pool = Pool(roi_align, MASK_POOLED, self.body.stride)
        self.heads.mask_head = MaskRCNNHeads(self.body.out_channels, [mask_channels] * 4, dilation=1)
        self.heads.mask_predictor = MaskRCNNPredictor(mask_channels, mask_channels, out_features + 1)


# What torchvision calls the terms of the loss, and what they are called here.
TERMS = {
    "loss_objectness": "object",
    "loss_rpn_box_reg": "region",
    "loss_classifier": "class",
    "loss_box_reg": "box",
    "loss_mask": "mask",
}


def _layer(in_features: int, out_features: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_features, out_features), nn.ReLU(inplace=True))
