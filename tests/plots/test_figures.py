"""The figures say what they should, and every text can be read: inside the figure, none over another."""

import itertools
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from dlrun.examples import EXAMPLES
from dlrun.plots import feature_maps, filters, gram, regression
from dlrun.plots.classes import confusion_matrix, per_class_accuracy
from dlrun.plots.curves import learning_curves, overlaid_curves
from dlrun.plots.figure import png_bytes, shorten
from dlrun.plots.images import before_and_after, predictions_grid, side_by_side
from dlrun.plots.masks import class_overlap, masks_grid

LONG_NAMES = [f"{i}: a class with a long name of its own, number {i}" for i in range(100)]

NOISE = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
MAP = torch.rand(4, 4)


def history(epochs):
    return [
        {"epoch": e, "step": e, "lr": 0.1, "train/loss": 1 / e, "val/loss": 2 / e, "val/accuracy": 1 - 1 / (e + 1)}
        for e in range(1, epochs + 1)
    ]


def counts(num_classes, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 9, (num_classes, num_classes)) + 50 * np.eye(num_classes, dtype=int)


def many_curves(number):
    return {
        f"model=resnet optimizer.lr=0.{i:04d} trainer.batch_size=256": {
            "epochs": [1, 2, 3],
            "mean": [0.1, 0.2, 0.3 + i / 100],
            "std": [0.01, 0.01, 0.02] if i % 2 else None,
        }
        for i in range(number)
    }


def predictions(names, number=25):
    true = names[:number]
    said = [*names[1:3], *true[2:]]
    return predictions_grid(torch.rand(number, 3, 8, 8), true, said, [0.5] * number)


def changed(captions, columns=8):
    rows = [torch.rand(columns, 1, *size).numpy() for size in ((6, 9), (6, 9), (4, 4))]
    return before_and_after(rows, ["as they are", "epoch 1", "epoch 2"], [captions[:columns]] * 3, "x, changed by y")


def masks(names, number=6, height=8, width=8):
    """Of each class some pixels, and some that are not counted."""
    size = number * height * width
    true = np.arange(size).reshape(number, height, width) % len(names)
    said = np.where(np.arange(size).reshape(true.shape) % 3, true, 0)
    true = np.where(np.arange(size).reshape(true.shape) % 7, true, 255).astype(np.uint8)
    captions = [f"image {k}: mean IoU 5.0%" for k in range(number)]
    return masks_grid(torch.rand(number, 3, height, width), true, said.astype(np.uint8), names, captions, 255)


def overlap(names):
    iou = np.linspace(0, 1, len(names))
    return class_overlap(iou, 2 * iou / (1 + iou), np.arange(len(names)) != 1, names)


FIGURES = {
    "masks": lambda: masks(["background", "cat"]),
    "masks of many classes": lambda: masks(LONG_NAMES, number=2, height=20),
    "masks 1": lambda: masks(["background", "cat"], number=1, width=20),
    "overlap 2": lambda: overlap(["background", "cat"]),
    "overlap 100": lambda: overlap(LONG_NAMES),
    "changed 8": lambda: changed([f"{i}: 100%\n{i} of many: 0%" for i in range(8)]),
    "changed 1": lambda: changed([""], columns=1),
    "learning 10": lambda: learning_curves(history(10), best_epoch=7),
    "learning 1": lambda: learning_curves(history(1), best_epoch=1),
    "overlaid 3": lambda: overlaid_curves(many_curves(3), "val/accuracy", "Three"),
    "overlaid 30": lambda: overlaid_curves(many_curves(30), "val/accuracy", "Thirty"),
    "confusion 2": lambda: confusion_matrix(counts(2), ["cat", "dog"]),
    "confusion 10": lambda: confusion_matrix(counts(10), list("0123456789")),
    "confusion 20": lambda: confusion_matrix(counts(20), LONG_NAMES),
    "confusion 100": lambda: confusion_matrix(counts(100), LONG_NAMES),
    "classes 2": lambda: per_class_accuracy(counts(2), ["cat", "dog"]),
    "classes 100": lambda: per_class_accuracy(counts(100), LONG_NAMES),
    "predictions": lambda: predictions([str(i) for i in range(25)]),
    "predictions with long names": lambda: predictions(LONG_NAMES),
    "answers": lambda: filters.answers(
        torch.rand(5, 3, 8, 8), NOISE, NOISE / 2, "a kernel with a long name of its own"
    ),
    "edges": lambda: filters.edges(NOISE[0], [("fixed: sobel_x", NOISE[0, 0, :3, :3], NOISE[0])] * 2),
    "kernels": lambda: feature_maps.kernels(torch.randn(3, 1, 5, 5), "features.0.0.a.long.path.of.a.layer"),
    "feature maps": lambda: feature_maps.feature_maps(
        NOISE[0], [("features.0.0.a.long.path", torch.rand(9, 4, 4))] * 4
    ),
    "few feature maps": lambda: feature_maps.feature_maps(NOISE[0], [("conv", torch.rand(2, 1, 1))]),
    "class activation": lambda: feature_maps.class_activation(
        NOISE[0], [(LONG_NAMES[0], MAP), ("b", 0 * MAP)], "convs.1"
    ),
    "side by side 3": lambda: side_by_side(
        {name: torch.rand(3, 8, 9 + len(name)) for name in ("a", "style", "result")}
    ),
    "side by side 13": lambda: side_by_side(dict.fromkeys(LONG_NAMES[:13], torch.rand(3, 8, 12))),
    "side by side 2": lambda: side_by_side(dict.fromkeys("ab", torch.rand(1, 2, 40))),
    "gram": lambda: gram.matrices({"style": torch.randn(64, 64), "result": torch.rand(64, 64)}, "layer1.0.a.long.name"),
    "residuals": lambda: regression.residuals(np.arange(30.0), np.arange(30.0) ** 0.9, "weight"),
    "residuals of one guess": lambda: regression.residuals(np.arange(30.0), np.full(30, 1234.5678), "weight"),
    "residuals of nearly one": lambda: regression.residuals(np.arange(30.0), 1 + 1e-7 * np.arange(30), "weight"),
    "against true": lambda: regression.predicted_against_true(np.full(3, 1e6), 1e6 + np.arange(3) / 1e4, "weight"),
    "gram 1": lambda: gram.matrices({"style": torch.zeros(1, 1)}, "conv1_1"),
    "predictions 1": lambda: predictions(["cat", "dog"], number=1),
    **{f"example {name}": lambda name=name: EXAMPLES.get(name)().figure for name in EXAMPLES.names()},
}


def drawn_texts(figure):
    """(text, box in pixels) of everything written, after the layout."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    # Ticks beyond the limits of an axis exist but are not drawn.
    hidden = {id(tick.label1) for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for tick in axis.get_major_ticks()}
    shown = {id(tick.label1) for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for tick in axis._update_ticks()}
    return [(t.get_text(), t.get_window_extent()) for t in texts if id(t) not in hidden - shown]


@pytest.mark.parametrize("name", FIGURES)
def test_every_text_is_inside_and_none_lies_on_another(name):
    figure = FIGURES[name]()
    texts = drawn_texts(figure)
    assert texts
    width, height = figure.bbox.size
    assert 400 < width < 2200 and 200 < height < 2200
    for text, box in texts:
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, text
    for (one, a), (other, b) in itertools.combinations(texts, 2):
        overlap = min(a.x1, b.x1) - max(a.x0, b.x0) > 2 and min(a.y1, b.y1) - max(a.y0, b.y0) > 2
        assert not overlap, f"{one!r} on {other!r}"


@pytest.mark.parametrize("name", ["changed 8", "learning 10", "confusion 20"])
def test_png(name):
    figure = FIGURES[name]()
    png = png_bytes(figure)
    assert png.startswith(b"\x89PNG\r\n")
    sizes = [int.from_bytes(png[start : start + 4], "big") for start in (16, 20)]
    assert sizes == pytest.approx(figure.bbox.size, abs=1)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *(("answers", 16), ("edges", 6), ("kernels", 3), ("feature maps", 32), ("few feature maps", 3)),
        *(("masks", 24), ("masks 1", 4)),
    ],
)
def test_a_picture_has_an_axis_an_image(name, number):
    assert [len(ax.images) for ax in FIGURES[name]().axes] == [1] * number


def test_the_brightest_place_of_a_class_activation_is_1_and_an_empty_map_says_so():
    first, second = FIGURES["class activation"]().axes[1:]
    assert float(first.images[1].get_array().max()) == 1
    assert "nothing speaks for it" in second.get_title()


def words(figure):
    return " | ".join(t.get_text() for t in figure.findobj(Text))


def test_learning_curves_have_a_panel_a_metric_and_mark_the_best_epoch():
    figure = learning_curves(history(10), best_epoch=7)
    assert [ax.get_title() for ax in figure.axes] == ["loss", "accuracy"]
    assert [ax.get_xlabel() for ax in figure.axes] == ["epoch", "epoch"]
    loss, accuracy = figure.axes
    assert [t.get_text() for t in loss.get_legend().get_texts()] == [
        "train (0.1429 at best epoch)",
        "val (0.2857 at best epoch)",
        "best epoch: 7",
    ]
    assert list(loss.lines[-1].get_xdata()) == [7, 7]
    assert list(accuracy.lines[0].get_ydata()) == [row["val/accuracy"] for row in history(10)]


def test_learning_curves_leave_out_what_is_missing_and_join_the_rest():
    rows = history(5)
    rows[1]["val/loss"] = None
    rows[2]["val/loss"] = float("nan")
    del rows[3]["val/loss"]
    _, val = learning_curves(rows).axes[0].lines
    assert list(val.get_xdata()) == [1, 5]


def test_a_run_of_one_epoch_shows_its_points():
    ax = learning_curves(history(1)).axes[0]
    assert all(line.get_marker() == "o" for line in ax.lines)
    low, high = ax.get_xlim()
    assert low < 1 < high


def test_a_run_without_an_epoch_is_an_empty_figure():
    assert png_bytes(learning_curves([])).startswith(b"\x89PNG")


def test_overlaid_curves_are_told_apart_and_listed_from_the_highest_last_value():
    figure = overlaid_curves(many_curves(30), "val/accuracy", "Thirty")
    (ax,) = figure.axes
    looks = {(line.get_color(), str(line._unscaled_dash_pattern)) for line in ax.lines}
    assert len(looks) == 30
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert texts[0].startswith("0.5900  model=resnet optimizer.lr=0.0029")
    assert texts == sorted(texts, reverse=True)
    assert len(ax.collections) == 15  # bands
    assert ax.get_ylabel() == "val/accuracy"
    FigureCanvasAgg(figure).draw()
    assert ax.get_window_extent().width > 600, "the legend must not squeeze the curves"


@pytest.mark.parametrize(("lowest", "scale"), [(0.01, "linear"), (1e-6, "log"), (0.0, "linear")])
def test_overlaid_curves_far_apart_get_a_log_axis(lowest, scale):
    pair = {"a": [2.0, 1.0], "b": [0.5, lowest]}
    found = {name: {"epochs": [1, 2], "mean": mean, "std": None} for name, mean in pair.items()}
    (ax,) = overlaid_curves(found, "train/loss", "").axes
    assert ax.get_yscale() == scale


def test_a_band_is_one_standard_deviation_wide():
    (ax,) = overlaid_curves({"a": {"epochs": [1, 2], "mean": [1.0, 2.0], "std": [0.1, 0.5]}}, "loss", "").axes
    box = ax.collections[0].get_paths()[0].get_extents()
    assert (box.y0, box.y1) == pytest.approx((0.9, 2.5))


def test_confusion_matrix_shows_counts_and_names_the_most_frequent_mistakes():
    matrix = torch.tensor([[7, 3, 0], [1, 9, 0], [0, 0, 0]])
    figure = confusion_matrix(matrix, ["cat", "dog", "bird"])
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.texts] == ["7", "3", "1", "9"]
    assert ax.images[0].get_array().tolist() == [[0.7, 0.3, 0], [0.1, 0.9, 0], [0, 0, 0]]
    assert ax.get_title() == "Confusion matrix: 16 of 20 right (80.0%)"
    assert "cat taken for dog: 3\ndog taken for cat: 1" in ax.get_xlabel()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["cat", "dog", "bird"]


def test_a_large_confusion_matrix_has_no_numbers_and_few_names():
    ax = confusion_matrix(counts(100), LONG_NAMES).axes[0]
    assert not ax.texts
    assert len(ax.get_xticklabels()) <= 40


def test_a_perfect_or_empty_confusion_matrix_can_be_drawn():
    assert "none" in words(confusion_matrix(np.eye(3, dtype=int), ["a", "b", "c"]))
    assert "0 of 0 right" in words(confusion_matrix(np.zeros((2, 2), dtype=int), ["a", "b"]))
    assert png_bytes(per_class_accuracy(np.zeros((2, 2), dtype=int), ["a", "b"]))


def test_per_class_accuracy_puts_the_worst_on_top_and_leaves_out_absent_classes():
    figure = per_class_accuracy(np.array([[9, 1, 0], [5, 5, 0], [0, 0, 0]]), ["cat", "dog", "bird"])
    (ax,) = figure.axes
    assert [t.get_text() for t in ax.get_yticklabels()] == ["dog", "cat"]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([50, 90])
    assert list(ax.lines[0].get_xdata()) == pytest.approx([70, 70])
    assert "mean of the classes: 70.0%" in words(figure)
    assert "50.0%  (5 of 10)" in words(figure)


def test_of_many_classes_the_worst_and_the_best_are_shown():
    matrix = np.diag(np.arange(100)) + np.diag(99 - np.arange(99), k=1)[:100, :100]
    (ax,) = per_class_accuracy(matrix, [str(i) for i in range(100)]).axes
    names = [t.get_text() for t in ax.get_yticklabels()]
    assert names == [str(i) for i in [*range(20), *range(80, 100)]]
    assert "60 between" in ax.get_title()


def test_a_wrong_prediction_is_marked_in_colour_and_in_words():
    figure = predictions_grid(torch.rand(3, 1, 8, 8), ["cat", "dog", "cat"], ["cat", "cat", "cat"], [1.0, 0.61, 0.4])
    right, wrong, _ = figure.axes[0].texts
    assert right.get_text().split() == ["cat", "100%"]
    assert wrong.get_text() == "✗ cat  61%\ntrue: dog"
    assert right.get_color() != wrong.get_color()
    assert "2 of 3 right" in words(figure)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_any_number_of_channels(channels):
    images = torch.rand(30, channels, 8, 6)
    figure = predictions_grid(images, ["cat"] * 30, ["cat"] * 30, [0.5] * 30)
    assert len(figure.axes[0].images) == 25
    shown = np.asarray(figure.axes[0].images[0].get_array())
    expected = images[0].permute(1, 2, 0) if channels == 3 else images[0].mean(0)[..., None].expand(8, 6, 3)
    np.testing.assert_allclose(shown, expected, atol=1e-6)


@pytest.mark.parametrize(("number", "size"), [(1, (8, 6)), (7, (6, 8)), (25, (8, 8))])
def test_each_image_keeps_its_shape_and_has_its_text_above_it(number, size):
    figure = predictions_grid(
        torch.rand(number, 1, *size), [f"{i}" for i in range(number)], ["1"] * number, [1] * number
    )
    png_bytes(figure)
    (ax,) = figure.axes
    places = [image.get_window_extent() for image in ax.images]
    texts = [text.get_window_extent() for text in ax.texts]
    for one, other in itertools.combinations([*places, *texts], 2):
        assert not one.overlaps(other)
    for place, text in zip(places, texts, strict=True):
        assert place.height / place.width == pytest.approx(size[0] / size[1])
        assert (text.x0 + text.x1) / 2 == pytest.approx((place.x0 + place.x1) / 2, abs=1)
        assert 0 < text.y0 - place.y1 < 15


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_guesses_fill_the_axis_whatever_their_unit(size):
    guesses = size * np.linspace(1, 2, 30)
    low, high = regression.residuals(guesses, guesses, "weight").axes[0].get_xlim()
    assert (low, high) == pytest.approx((0.95 * size, 2.05 * size))


def test_names_are_drawn_as_they_are():
    figure = confusion_matrix(counts(2), ["US$ and CA$", "_hidden"])
    assert png_bytes(figure)
    assert "US$ and CA$" in words(figure)


def test_a_character_no_font_has_does_not_stop_or_warn(recwarn):
    assert png_bytes(confusion_matrix(counts(2), ["\u732b", "\U000f0000"]))
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_style_leaves_global_settings_alone():
    before = dict(matplotlib.rcParams)
    learning_curves(history(2))
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("length", [3, 4, 9, 10])
def test_shorten_keeps_both_ends(length):
    assert shorten("abcdefghi", 9) == "abcdefghi"
    short = shorten("abcdefghij", length)
    assert len(short) == length if length < 10 else short == "abcdefghij"
    assert short[0] == "a" and short[-1] == "j"


def test_matplotlib_comes_with_the_first_figure_and_pyplot_never():
    code = (
        "import sys, dlrun.plots.classes, dlrun.plots.curves, dlrun.plots.images as images\n"
        "assert 'matplotlib' not in sys.modules and 'torch' not in sys.modules\n"
        "import numpy\n"
        "from dlrun.plots.figure import png_bytes\n"
        "png_bytes(images.predictions_grid(numpy.zeros((2, 1, 4, 4)), 'ab', 'ab', [1, 1]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_wrong_pixels_are_marked_and_those_that_are_not_counted_never():
    true, said = np.array([[[0, 1, 255]]], np.uint8), np.array([[[0, 0, 1]]], np.uint8)
    figure = masks_grid(torch.zeros(1, 1, 1, 3), true, said, ["a", "b"], ["image 0"], 255)
    errors = figure.axes[3].images[0].get_array()[0]
    assert errors[0].tolist() == errors[2].tolist() == [0.5, 0.5, 0.5]
    assert errors[1].tolist() != errors[0].tolist()
    assert figure.axes[1].images[0].get_array()[0, 2].tolist() == [1, 1, 1]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "not counted", "wrong"]


def test_a_class_that_does_not_occur_has_no_bar():
    ax = overlap(["a", "b", "c"]).axes[0]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "c"]
    assert "mean IoU: 50.0%" in [text.get_text() for text in ax.figure.legends[0].get_texts()]


def test_one_value_does_not_hide_the_curve():
    rows = [
        {"epoch": epoch, "train/loss": 10.0 ** (3 * epoch), "train/r2": -(10.0 ** (3 * epoch))} for epoch in range(8)
    ]
    figure = learning_curves(rows, diverged=True)
    assert [ax.get_yscale() for ax in figure.axes] == ["log", "symlog"]
    assert figure.get_suptitle() == "training diverged"
    usual = [{"epoch": epoch, "train/loss": 10.0 ** (1 - epoch)} for epoch in range(8)]
    assert learning_curves(usual).axes[0].get_yscale() == "linear"


def test_a_curve_that_diverges_leaves_the_picture():
    found = {
        "a": {"epochs": [1, 2], "mean": [4.0, 1.0], "std": None},
        "b": {"epochs": [1, 2], "mean": [4.0, 1e25], "std": None, "diverged": True},
    }
    (ax,) = overlaid_curves(found, "train/loss", "").axes
    assert ax.get_ylim()[1] < 5
    assert [text.get_text().endswith("b  (diverged)") for text in ax.get_legend().get_texts()] == [True, False]
