"""Average precision as pycocotools counts it, and what a detection says of itself."""

import numpy as np
import pytest
import torch

from dlrun.config.spec import DataSpec
from dlrun.data.boxes.objects import Objects
from dlrun.models.parts.detector import Detections
from dlrun.tasks.average_precision import curves
from dlrun.tasks.detection import Detection

SPEC = DataSpec(
    kind="image", target="boxes", in_channels=3, image_size=(64, 64), out_features=2, class_names=("cat", "dog")
)


def objects(*images, frame=(1.0, 1.0, 0.0, 0.0, 64.0, 64.0), ignored=None):
    """Each image as rows [x1, y1, x2, y2, label]."""
    rows = [torch.tensor(image).float().view(-1, 5) for image in images]
    none = [torch.zeros(0, 4) for _ in images]
    return Objects(
        [own[:, :4] for own in rows], [own[:, 4].long() for own in rows], ignored or none,
        torch.tensor([frame] * len(images)),
    )  # fmt: skip


def detections(*images):
    """Each image as rows [x1, y1, x2, y2, score, class]."""
    return [torch.tensor(image).float().view(-1, 6) for image in images]


def scored(output, target, num_classes=2):
    return curves(output, target, num_classes).mean(0)


def by_pycocotools(output, target, num_classes):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, found = COCO(), []
    annotations = []
    for number, (own, kinds, said) in enumerate(zip(target.boxes, target.labels, output, strict=True), start=1):
        for (x1, y1, x2, y2), kind in zip(own.tolist(), kinds.tolist(), strict=True):
            annotations.append({
                "id": len(annotations) + 1, "image_id": number, "category_id": kind + 1, "iscrowd": 0,
                "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1),
            })  # fmt: skip
        for x1, y1, x2, y2, score, kind in said.tolist():
            box = [x1, y1, x2 - x1, y2 - y1]
            found.append({"image_id": number, "category_id": int(kind) + 1, "bbox": box, "score": score})
    truth.dataset = {
        "images": [{"id": k + 1} for k in range(len(output))], "annotations": annotations, "info": {},
        "categories": [{"id": k + 1, "name": str(k)} for k in range(num_classes)],
    }  # fmt: skip
    truth.createIndex()
    evaluator = COCOeval(truth, truth.loadRes(found), "bbox")
    evaluator.evaluate()
    evaluator.accumulate()
    precision = evaluator.eval["precision"][:, :, :, 0, 2]
    return float(precision[0][precision[0] > -1].mean()), float(precision[precision > -1].mean())


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_is_that_of_pycocotools(seed, capsys):
    chance = np.random.default_rng(seed)
    images, found = [], []
    for _ in range(12):
        corner = chance.uniform(0, 40, (int(chance.integers(0, 5)), 2))
        own = np.concatenate([corner, corner + chance.uniform(5, 20, corner.shape)], axis=1)
        kinds = chance.integers(0, 3, len(own))
        images.append(np.column_stack([own, kinds]).tolist())
        noisy = own + chance.normal(0, 2, own.shape)
        extra = chance.uniform(0, 30, (3, 2))
        extra = np.concatenate([extra, extra + 10], axis=1)
        said = np.concatenate([noisy, extra])
        found.append(
            np.column_stack([said, chance.random(len(said)), np.append(kinds, chance.integers(0, 3, 3))]).tolist()
        )
    output, target = detections(*found), objects(*images)
    ours = curves(output, target, 3)
    theirs = by_pycocotools(output, target, 3)
    assert (ours.mean(0), ours.mean()) == pytest.approx(theirs, abs=1e-9)
    # The order of the images changes nothing.
    order = chance.permutation(len(images)).tolist()
    shuffled = curves([output[k] for k in order], objects(*[images[k] for k in order]), 3)
    assert shuffled.mean() == pytest.approx(ours.mean(), abs=1e-12)


def test_the_truth_as_prediction_is_perfect():
    assert scored(detections([[1, 1, 9, 9, 1, 0]]), objects([[1, 1, 9, 9, 0]])) == pytest.approx(1)
    many = [[x, y, x + 1, y + 1, 0] for x in range(0, 60, 5) for y in range(0, 64, 5)][:150]
    said = [[*row[:4], 0.9, 0] for row in many]
    assert len(said) == 150
    assert curves(detections(said), objects(many), 2).mean() == pytest.approx(1)


def test_a_false_box_counts_in_an_image_without_objects_too():
    true = objects([[1, 1, 9, 9, 0]], [])
    right = [1, 1, 9, 9, 0.5, 0]
    assert scored(detections([right], []), true) == pytest.approx(1)
    assert scored(detections([right], [[1, 1, 9, 9, 0.9, 0]]), true) == pytest.approx(0.5)


def test_a_crowd_is_neither_hit_nor_missed():
    crowd = [torch.tensor([[20.0, 20, 60, 60]])]
    true = objects([[1, 1, 9, 9, 0]], ignored=crowd)
    said = detections([[1, 1, 9, 9, 0.5, 0], [25, 25, 35, 35, 0.9, 0], [40, 40, 50, 50, 0.9, 1]])
    assert scored(said, true) == pytest.approx(1)
    assert scored(detections([]), true) == 0


def test_classes_without_a_box_are_left_out_and_no_box_at_all_is_zero():
    said = detections([[1, 1, 9, 9, 0.5, 0], [1, 1, 9, 9, 0.5, 1]])
    assert scored(said, objects([[1, 1, 9, 9, 0]])) == pytest.approx(1)
    assert scored(said, objects([])) == scored(detections([]), objects([])) == 0


def test_letterboxed_boxes_are_compared_in_pixels_of_the_image():
    wide = (0.25, 0.25, 0.0, 16.0, 256.0, 128.0)
    true = objects([[10, 20, 30, 40, 0]], frame=wide)
    assert scored(detections([[10, 20, 30, 40, 0.5, 0]]), true) == pytest.approx(1)


def test_metrics_have_names_and_no_threshold_of_what_is_shown():
    output, target = detections([[1, 1, 9, 9, 0.02, 0]], []), objects([[1, 1, 9, 9, 0]], [])
    task = Detection(SPEC, shown_score=0.9)
    metric = task.metrics()[0]
    assert metric.value(Detections(output), target) == pytest.approx({"map50": 1, "map": 1, "recall50": 1})
    assert task.rows(Detections(output), target) == {
        "num_true": [1, 0], "num_predicted": [0, 0], "true": ["cat 1 1 9 9", ""], "predicted": ["", ""],
    }  # fmt: skip


def test_answers_name_the_likely_ones():
    said = detections([[1, 1, 9, 9, 0.9, 1], [2, 2, 5, 5, 0.2, 0]], [])
    assert Detection(SPEC).answers(Detections(said)) == {"objects": ["1", "0"], "boxes": ["dog 90% 1 1 9 9", ""]}


def test_the_loss_is_the_sum_of_the_terms_of_the_model():
    task = Detection(SPEC)
    terms = {"one": torch.tensor(1.0), "two": torch.tensor(2.5)}
    assert task.losses(terms, None) == {"loss": torch.tensor(3.5), **terms}
    assert task.losses(Detections(detections([])), None) == {}


def test_an_answer_of_another_shape_is_refused():
    from dlrun.engine.contracts import Batch

    one = Batch((torch.zeros(1, 3, 8, 8),), objects([]), torch.arange(1))
    Detection(SPEC).check(Detections(detections([])), one)
    for wrong in ([torch.zeros(0, 5)], [], [torch.zeros(1, 6)] * 2):
        with pytest.raises(ValueError, match="for each image"):
            Detection(SPEC).check(Detections(wrong), one)
    with pytest.raises(ValueError, match="for each image"):
        Detection(SPEC).check([torch.zeros(1, 5)], one)


def test_the_recall_of_proposals_counts_true_boxes_that_a_region_overlaps_by_half():
    target = objects([[0, 0, 10, 10, 0], [20, 20, 40, 40, 1]], [], [[0, 0, 8, 8, 0]])
    regions = [torch.tensor([[0.0, 0, 10, 6], [30, 20, 40, 40]]), torch.zeros(0, 4), torch.zeros(0, 4)]
    output = Detections(detections([], [], []), proposals=regions)
    _, metric = Detection(SPEC).metrics()
    assert metric.value(output, target) == {"proposal_recall50": pytest.approx(2 / 3)}
    assert metric.value(output, objects([], [], [])) == {"proposal_recall50": 0}
    assert metric.value(Detections(detections([], [], [])), target) == {}
