"""A classifier of small windows, slid over the whole image in one go: its linear layers are convolutions.

The notes' chapter on sliding windows; Sermanet et al., "OverFeat", 2014: a network made for windows of 14 x 14 gives
1 x 1 answers of such a one, 2 x 2 of 16 x 16 and 8 x 8 of 28 x 28: what a window each would give, every second pixel,
without doing twice what windows share.

Letters: B examples, C channels, H, W pixels, K classes (`out_features`), N windows.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from dlrun.config.schema import Fraction, PositiveInt
from dlrun.models.parts.boxes import iou, share_inside, suppressed
from dlrun.models.parts.detector import Detections, Detector

WINDOW, STRIDE = 14, 2  # pixels of a window that the network is made for, and from one to the next
JITTER = 0.1  # of a window's side, by which one with an object is moved and scaled in training
EMPTY_BELOW = 0.3  # overlap with every true box, and share in what is not known, below which a window is empty
DRAWN = 16  # windows an image from which those without an object are taken


class SlidingWindow(Detector):
    """5x5 convolution, max-pooling, and three layers that would be linear: a class or "nothing" of every window."""

    accepts: tuple = ("image",)
    answers: tuple = ("boxes",)

    def __init__(
        self, *, in_channels: PositiveInt, image_size: PositiveInt | tuple[PositiveInt, PositiveInt],
        out_features: PositiveInt, channels: PositiveInt = 16, hidden_size: PositiveInt = 64,
        windows: tuple[PositiveInt, ...] = (14, 18, 23, 28), iou_threshold: Fraction = 0.3,
        score_threshold: Fraction = 0.05, max_detections: PositiveInt = 50,
    ):  # fmt: skip
        """**Arguments:**

        - `in_channels`: C, channels of the images.
        - `image_size`: pixels of the images, one number for both sides or (H, W).
        - `out_features`: K, the number of classes.
        - `channels`: of the first convolution.
        - `hidden_size`: of the two layers that follow.
        - `windows`: sides of the windows in pixels; for each the image is scaled so that it becomes 14.
        - `iou_threshold`: overlap above which a window of the same class is suppressed.
        - `score_threshold`: probability below which a window holds nothing.
        - `max_detections`: the most detections an image.

        **Raises:** `ValueError` for a window that is larger than the image.
        """
        super().__init__()
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        if max(windows) > min(height, width):
            raise ValueError(f"windows: {max(windows)} pixels are more than the image of {height}x{width}")
        self.windows, self.num_classes = windows, out_features
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, channels, 5), nn.ReLU(), nn.MaxPool2d(2),  # 14 -> 10 -> 5
            nn.Conv2d(channels, hidden_size, 5), nn.ReLU(),  # 5 -> 1: a linear layer on 5 x 5 x C'
            nn.Conv2d(hidden_size, hidden_size, 1), nn.ReLU(),
            nn.Conv2d(hidden_size, out_features + 1, 1),
        )  # fmt: skip
        self.suppression: dict[str, Any] = {
            "how": "per_class", "iou_threshold": iou_threshold, "score_threshold": score_threshold,
            "most": max_detections,
        }  # fmt: skip

    def forward(
        self, images: Tensor, boxes: list[Tensor] | None = None, labels: list[Tensor] | None = None,
        ignored: list[Tensor] | None = None,
    ) -> Any:  # fmt: skip
        """What is found; with true boxes and labels the loss of windows with and without them."""
        if boxes is not None and labels is not None:
            return self.losses(images, boxes, labels, ignored)
        found = self.candidates(images)
        return Detections([suppressed(own[:, :4], own[:, 4], own[:, 5], **self.suppression) for own in found])

    def sees(self) -> tuple[int, int]:
        return WINDOW, WINDOW

    def candidates(self, images: Tensor) -> list[Tensor]:
        found = []
        for side in self.windows:
            size = [max(WINDOW, round(int(pixels) * WINDOW / side)) for pixels in images.shape[-2:]]
            scaled = F.interpolate(images, size, mode="bilinear", antialias=True) if side != WINDOW else images
            chance, kind = self.net(scaled).float().softmax(dim=1)[:, :-1].max(dim=1)  # (B, G, F)
            row, column = torch.meshgrid(
                *(torch.arange(n, device=images.device) for n in kind.shape[1:]), indexing="ij"
            )
            corner = torch.stack([column, row], dim=-1) * STRIDE * (side / WINDOW)
            windows = torch.cat([corner, corner + side], dim=-1).expand(len(images), -1, -1, -1)
            found.append(torch.cat([windows, chance[..., None], kind[..., None].float()], dim=-1).flatten(1, 2))
        every = torch.cat(found, dim=1)  # (B, N, 6)
        return [own[own[:, 4] >= self.suppression["score_threshold"]] for own in every]

    def losses(
        self, images: Tensor, boxes: Sequence[Tensor], labels: Sequence[Tensor],
        ignored: Sequence[Tensor] | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """`window`: the cross-entropy of windows around true boxes and of others, each half of the whole."""
        height, width = images.shape[-2:]
        windows, kinds = [], []
        nothing = [own.new_zeros(0, 4) for own in boxes]
        for own, label, unknown in zip(boxes, labels, ignored or nothing, strict=True):
            there = own[label >= 0]
            around, empty = self._around(there), self._anywhere((height, width), images.device)
            if len(there):
                empty = empty[iou(empty[:, None], there).amax(dim=1) < EMPTY_BELOW]
            empty = empty[share_inside(empty, unknown) < EMPTY_BELOW]
            windows.append(torch.cat([around, empty]))
            kinds.append(torch.cat([label[label >= 0], label.new_full((len(empty),), self.num_classes)]))
        crops = roi_align(images.float(), windows, (WINDOW, WINDOW), aligned=True)  # (N, C, 14, 14)
        kind = torch.cat(kinds)
        each = F.cross_entropy(self.net(crops).flatten(1), kind, reduction="none")
        is_object = kind < self.num_classes
        halves = [(each * chosen).sum() / chosen.sum().clamp(min=1) for chosen in (is_object, ~is_object)]
        return {"window": (halves[0] + halves[1]) / 2}

    def _around(self, boxes: Tensor) -> Tensor:
        """Square windows (n, 4) around boxes (n, 4), a little off as those of a grid are."""
        side = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True)
        noise = (2 * torch.rand(len(boxes), 3, device=boxes.device) - 1) * JITTER
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2 + noise[:, :2] * side
        half = side * (1 + noise[:, 2:]) / 2
        return torch.cat([centre - half, centre + half], dim=1)

    def _anywhere(self, size: tuple[int, int], device: torch.device) -> Tensor:
        """Windows (16, 4) anywhere in an image of `size` (H, W)."""
        sides = torch.tensor(self.windows, device=device)[torch.randint(len(self.windows), (DRAWN,), device=device)]
        room = torch.tensor([size[1], size[0]], device=device) - sides[:, None]
        corner = torch.rand(DRAWN, 2, device=device) * room
        return torch.cat([corner, corner + sides[:, None]], dim=1)
