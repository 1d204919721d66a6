"""Any object detector of torchvision: Faster R-CNN, RetinaNet, FCOS, SSD, with the bodies of their papers.

The papers: https://docs.pytorch.org/vision/stable/models.html#object-detection. torchvision is imported when a model is
made, so that nothing else of dlrun pays for it.

Regions of which nothing is known, such as crowds, are taught as background: these networks know of none.

Departures: images are normalised by their own data and, but for SSD, keep their size; the first convolution takes any
number of channels; all weights are random, unless `init.from` names some.

Letters: B images, C channels, H, W pixels, K classes (`out_features`).
"""

from typing import Any

from torch import Tensor

from dlrun.config.schema import Fraction, PositiveInt, suggest
from dlrun.models.parts.detector import Detections, Detector
from dlrun.models.zoo import replace_first_convolution

OTHER = ("mask", "keypoint")  # in the names of networks that answer with more than boxes
RENAMED = {"objectness": "object", "rpn_box_reg": "region", "classifier": "class", "box_reg": "box"}
RENAMED |= {"classification": "class", "bbox_regression": "box", "bbox_ctrness": "centre"}


class TorchvisionDetector(Detector):
    """The network `arch` of torchvision, fitted to the channels, size and classes of the data."""

    accepts: tuple = ("image",)
    answers: tuple = ("boxes",)

    def __init__(
        self, *, arch: str = "fasterrcnn_mobilenet_v3_large_320_fpn", in_channels: PositiveInt,
        image_size: PositiveInt | tuple[PositiveInt, PositiveInt], out_features: PositiveInt,
        score_threshold: Fraction = 0.05, max_detections: PositiveInt = 100,
    ):  # fmt: skip
        """**Arguments:**

        - `arch`: torchvision's name of the network.
        - `in_channels`: C, channels of the images.
        - `image_size`: pixels of the images, one number for both sides or (H, W).
        - `out_features`: K, the number of classes.
        - `score_threshold`: probability below which a box is none.
        - `max_detections`: the most detections an image.

        **Raises:** `ValueError` if torchvision has no such detector.
        """
        super().__init__()
        import torchvision
        from torchvision.models.detection.transform import GeneralizedRCNNTransform

        every = torchvision.models.list_models(module=torchvision.models.detection)
        names = [name for name in every if not name.startswith(OTHER)]
        if arch not in names:
            raise ValueError(
                f"arch {arch!r} is no detector of torchvision{suggest(arch, names)}; it has {', '.join(names)}"
            )
        # Classes count from 1: 0 is the background.
        self.net: Any = torchvision.models.get_model(
            arch, weights=None, weights_backbone=None, num_classes=out_features + 1
        )
        sides = (image_size, image_size) if isinstance(image_size, int) else image_size
        fixed = {"fixed_size": self.net.transform.fixed_size} if self.net.transform.fixed_size else {}
        unchanged = [0.0] * in_channels, [1.0] * in_channels
        self.net.transform = GeneralizedRCNNTransform(min(sides), max(sides), *unchanged, **fixed)
        replace_first_convolution(self.net, in_channels)
        decides = getattr(self.net, "roi_heads", self.net)
        decides.score_thresh, decides.detections_per_img = score_threshold, max_detections

    def forward(
        self, images: Tensor, boxes: list[Tensor] | None = None, labels: list[Tensor] | None = None,
        ignored: list[Tensor] | None = None,
    ) -> Any:  # fmt: skip
        """What is found; with true boxes and labels the terms of the loss."""
        from dlrun.models.parts.regions import detections, targets_of

        if boxes is None or labels is None:
            return Detections(detections(self.net(list(images))))
        terms = self.net(list(images), targets_of(boxes, labels))
        short = {name: name.removeprefix("loss_") for name in terms}
        return {RENAMED.get(short[name], short[name]): value for name, value in terms.items()}
