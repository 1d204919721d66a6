"""How far boxes overlap, and which of many stand for one thing."""

import torch
from torch import Tensor

from dlrun.config.schema import Fraction, says
from dlrun.errors import UserError
from dlrun.examples.lesson import Lesson, Step, text
from dlrun.models.parts import boxes as parts
from dlrun.plots import boxes as figures

MOST = 12  # boxes
CORNERS = ("x1", "y1", "x2", "y2")


@says(chapter="YOLO")
def iou(
    *, first: tuple[float, float, float, float] = (0.0, 0.0, 4.0, 4.0),
    second: tuple[float, float, float, float] = (2.0, 1.0, 6.0, 5.0),
) -> Lesson:  # fmt: skip
    """Intersection over union: 1 if two boxes are the same, 0 if they do not touch; from 0.5 on they agree.

    **Arguments:**

    - `first`: a box, x1, y1, x2, y2: its upper left and its lower right corner.
    - `second`: another one.
    """
    pair = torch.stack([_box("first", first), _box("second", second)])
    one, other = pair
    low, high = torch.maximum(one[:2], other[:2]), torch.minimum(one[2:], other[2:])
    sides = (high - low).clamp(min=0)
    areas, both = parts.area(pair), float(sides.prod())
    union, overlap = float(areas.sum()) - both, float(parts.iou(one, other))
    steps = [
        Step("Two boxes.", values=pair, rows=("first", "second"), columns=CORNERS),
        Step(
            "The intersection begins at the larger of the upper left corners and ends at the smaller of the others.",
            "max of x1, max of y1, min of x2, min of y2",
            torch.cat([low, high])[None],
            columns=CORNERS,
        ),
        Step(
            "Its width times its height; 0 if it ends before it begins.",
            f"{text(float(sides[0]))} * {text(float(sides[1]))} = {text(both)}",
        ),
        Step("The areas of the boxes.", "(x2 - x1) (y2 - y1)", areas, columns=("first", "second")),
        Step(
            "The union: what lies in both would be counted twice.",
            f"{text(float(areas[0]))} + {text(float(areas[1]))} - {text(both)} = {text(union)}",
        ),
        Step(
            "Intersection over union; a prediction counts as found from 0.5 on.",
            f"{text(both)} / {text(union)}",
            torch.tensor(overlap),
        ),
    ]
    return Lesson(steps, figures.overlap(pair.numpy(), overlap))


@says(chapter="YOLO")
def nms(
    *, boxes: tuple[tuple[float, float, float, float], ...] = (
        (20, 30, 60, 70), (24, 34, 64, 74), (18, 36, 56, 72), (70, 80, 110, 110), (74, 76, 114, 108), (10, 100, 30, 130)
    ),
    scores: tuple[Fraction, ...] = (0.9, 0.8, 0.7, 0.75, 0.6, 0.3), iou_threshold: Fraction = 0.5,
    score_threshold: Fraction = 0.4,
) -> Lesson:  # fmt: skip
    """Non-maximum suppression: of boxes that overlap much only the one with the highest score stays.

    **Arguments:**

    - `boxes`: rows x1, y1, x2, y2.
    - `scores`: how sure the model is of each, 0 to 1.
    - `iou_threshold`: boxes that overlap a better one by more than this go.
    - `score_threshold`: boxes below this go first.
    """
    if not 1 <= len(boxes) <= MOST or len(boxes) != len(scores):
        raise UserError(f"boxes: must be one to {MOST}, as many as scores, found {len(boxes)} and {len(scores)}")
    rows = torch.stack([_box(f"boxes[{number}]", row) for number, row in enumerate(boxes)])
    values = torch.tensor(scores)
    names = [f"box {number}" for number in range(len(rows))]
    likely = (values >= score_threshold).nonzero().flatten()
    kept = likely[parts.nms(rows[likely], values[likely], iou_threshold)].tolist()
    overlap = parts.iou(rows[:, None], rows)
    steps = [
        Step(
            "The boxes, with their scores.",
            values=torch.cat([rows, values[:, None]], dim=1),
            rows=names,
            columns=(*CORNERS, "score"),
        ),
        Step(
            f"Those with a score below {text(score_threshold)} go: "
            f"{_named(sorted(set(range(len(rows))) - set(likely.tolist())))}."
        ),
        Step("How far each two overlap.", "intersection over union", overlap, rows=names, columns=names),
    ]
    left = set(likely.tolist()) - set(kept)
    for best in kept:
        gone = sorted(number for number in left if overlap[best, number] > iou_threshold)
        left -= set(gone)
        steps.append(
            Step(
                f"Box {best} has the highest score of those left, {text(scores[best])}, and stays. "
                f"Those that overlap it by more than {text(iou_threshold)} go: {_named(gone)}."
            )
        )
    steps.append(Step(f"What is left: {_named(kept)}."))
    found = torch.cat([rows, values[:, None], torch.zeros(len(rows), 1)], dim=1)
    width, height = rows[:, 2:].amax(dim=0).ceil().int().tolist()
    image = torch.ones(3, height + 8, width + 8)
    figure = figures.before_and_after(
        image.numpy(), found[likely].numpy(), found[kept].numpy(), ("box",), score_threshold
    )
    return Lesson(steps, figure)


def _box(key: str, corners: tuple[float, ...]) -> Tensor:
    x1, y1, x2, y2 = corners
    if not (0 <= x1 < x2 <= 1000 and 0 <= y1 < y2 <= 1000):
        raise UserError(
            f"{key}: must be [x1,y1,x2,y2] with x1 below x2 and y1 below y2, 0 to 1000, found {list(corners)}"
        )
    return torch.tensor(corners, dtype=torch.float32)


def _named(numbers: list[int]) -> str:
    return ", ".join(f"box {number}" for number in numbers) or "none"
