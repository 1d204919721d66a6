"""Boxes x1, y1, x2, y2: how far they overlap, which of many stand for the same thing, and which sizes are usual.

`iou` and `nms` are written as the notes teach them, and tests hold them against torchvision's, which `suppressed` runs.
"""

from typing import Literal

import torch
from torch import Tensor

ROUNDS = 100  # of k-means, at most
SOFT_SIGMA = 0.5  # of soft NMS (Bodla et al. 2017)


def area(boxes: Tensor) -> Tensor:
    """(..., 4) -> (...); of a box that is inside out 0."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1)


def iou(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 4), which broadcast: `iou(a[:, None], b)` is of all pairs."""
    low = torch.maximum(one[..., :2], other[..., :2])
    high = torch.minimum(one[..., 2:], other[..., 2:])
    both = (high - low).clamp(min=0).prod(dim=-1)
    return both / (area(one) + area(other) - both).clamp(min=1e-9)


def iou_of_sizes(one: Tensor, other: Tensor) -> Tensor:
    """IoU of boxes of sizes (..., 2) that share their centre; they broadcast."""
    both = torch.minimum(one, other).prod(dim=-1)
    return both / (one.prod(dim=-1) + other.prod(dim=-1) - both).clamp(min=1e-9)


def share_inside(boxes: Tensor, regions: Tensor) -> Tensor:
    """The largest share (n,) of each of boxes (n, 4) that lies in one of regions (m, 4)."""
    if not len(regions):
        return boxes.new_zeros(len(boxes))
    low = torch.maximum(boxes[:, None, :2], regions[:, :2])
    high = torch.minimum(boxes[:, None, 2:], regions[:, 2:])
    return ((high - low).clamp(min=0).prod(dim=-1) / area(boxes)[:, None].clamp(min=1e-9)).amax(dim=1)


def nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Non-maximum suppression: which of boxes (n, 4) with scores (n,) stay, best first.

    The best one stays, and all that overlap it by more than `threshold` go; then the best of those that are left.
    """
    left, kept = scores.argsort(descending=True, stable=True), []
    while len(left):
        best, others = left[0], left[1:]
        kept.append(best)
        left = others[iou(boxes[best], boxes[others]) <= threshold]
    return torch.stack(kept) if kept else left


def soft_nms(boxes: Tensor, scores: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """(Which of boxes (n, 4) stay, their new scores), best first (Bodla et al. 2017).

    What overlaps a better box loses score, exp(-iou² / 0.5) of it is left, and goes where that falls below `least`.
    """
    scores, left = scores.clone(), torch.arange(len(scores), device=scores.device)
    kept, values = [], []
    while len(left):
        place = scores[left].argmax()
        best, left = left[place], torch.cat([left[:place], left[place + 1 :]])
        kept.append(best)
        values.append(scores[best])
        scores[left] *= torch.exp(-(iou(boxes[best], boxes[left]) ** 2) / SOFT_SIGMA)
        left = left[scores[left] >= least]
    return (torch.stack(kept), torch.stack(values)) if kept else (left, scores[:0])


def suppressed(
    boxes: Tensor, scores: Tensor, classes: Tensor, *, how: Literal["per_class", "agnostic", "soft"],
    iou_threshold: float, score_threshold: float, most: int,
) -> Tensor:  # fmt: skip
    """The detections (m, 6) [x1, y1, x2, y2, score, class] that are left of boxes (n, 4), scores and classes (n,).

    Best first, `most` of them; only boxes with a score of at least `score_threshold` take part. Per class, boxes of one
    class suppress each other; agnostic, any do; soft, per class, by lower scores.
    """
    from torchvision.ops import batched_nms
    from torchvision.ops import nms as library_nms

    likely = scores >= score_threshold
    boxes, scores, classes = boxes[likely], scores[likely], classes[likely]
    if how == "agnostic":
        kept = library_nms(boxes, scores, iou_threshold)
    elif how == "per_class":
        kept = batched_nms(boxes, scores, classes, iou_threshold)
    else:
        # Far apart, boxes of different classes do not touch.
        shift = classes[:, None] * (boxes.max() + 1 if len(boxes) else 0)
        kept, values = soft_nms(boxes + shift, scores, score_threshold)
        scores = scores.index_copy(0, kept, values)
    kept = kept[:most]
    return torch.cat([boxes[kept], scores[kept, None], classes[kept, None].to(boxes.dtype)], dim=1)


def anchors_of(sizes: Tensor, num: int) -> Tensor:
    """`num` typical sizes (num, 2), the smallest area first, of sizes (n, 2): k-means by 1 - IoU (YOLO9000, 2016).

    It starts from sizes at even ranks of the area, so that the same sizes give the same anchors. Of fewer different
    sizes than `num` the last is repeated, each time larger by a half.
    """
    unique = sizes.unique(dim=0)
    unique = unique[unique.prod(dim=1).argsort(stable=True)]
    if len(unique) <= num:
        more = [unique[-1] * 1.5**k for k in range(1, num - len(unique) + 1)]
        return torch.cat([unique, torch.stack(more)]) if more else unique
    centres = unique[(torch.arange(num) * 2 + 1) * len(unique) // (2 * num)]
    before = None
    for _ in range(ROUNDS):
        nearest = iou_of_sizes(sizes[:, None], centres).argmax(dim=1)
        if before is not None and torch.equal(nearest, before):
            break
        before = nearest
        for k in range(num):
            own = sizes[nearest == k]
            if len(own):
                centres[k] = own.median(dim=0).values
    return centres[centres.prod(dim=1).argsort(stable=True)]
