"""Coloured shapes on textured ground: objects, boxes, corner points and masks, as many as one likes."""

import functools
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dlrun.config.schema import Fraction, NonNegativeInt, PositiveInt, Seed
from dlrun.config.spec import DataSpec
from dlrun.data.boxes.mask_part import MaskPart
from dlrun.data.boxes.objects import Objects, ObjectsPart
from dlrun.data.boxes.single import PointsPart, VectorPart, vectors
from dlrun.data.generated import Generated
from dlrun.engine.contracts import Part

CORNERS = {"disc": 0, "square": 4, "triangle": 3, "star": 5}  # of the star its tips
MOST_TILT = 30  # degrees, so that the first corner of each is the highest or the upper left one
SAMPLES = 3  # a side of a pixel, by which the edge of a shape is smooth
ATTEMPTS = 30  # at a free place
CLOUDS = 5  # points a side, of which the ground is made
LEAST_CONTRAST = 90  # between a shape and the ground, the largest of three channels
STAR_WAIST = 0.45  # how far inner corners of a star are from its centre, of its tips


class Shapes(Generated):
    """None, one or many discs, squares, triangles and stars an image, drawn by a seed.

    What is to be learned of them follows from the model, or from `learn`: `boxes` and classes of all; one `object` or
    none, as a vector (N, 5 + K) [present, x, y, height, width, classes], the centre and the sides in 0..1 of the image;
    the corner `points` (N, P, 3) of one object or none, x, y in pixels and 1 where there is such a corner; the class of
    each pixel as a `mask` (N, H, W), 0 the ground; or boxes with the mask of each object, `instances`.

    Shapes lie whole inside of their image, tilted by at most 30 degrees. Corners count clockwise: the tip of a triangle
    and of a star is the first, of a square the upper left one.
    """

    kind: str = "image"
    target: str = "boxes|object|points|mask|instances"

    def __init__(
        self, *, learn: Literal["boxes", "object", "points", "mask", "instances"] | None = None,
        kinds: tuple[Literal["disc", "square", "triangle", "star"], ...] = ("disc", "square", "triangle", "star"),
        image_size: PositiveInt | tuple[PositiveInt, PositiveInt] = 64, min_size: PositiveInt = 12,
        max_size: PositiveInt = 28, min_objects: NonNegativeInt = 1, max_objects: PositiveInt = 3,
        occlusion: Fraction = 0.2, empty: Fraction = 0.1, num_train: PositiveInt = 2000, num_val: NonNegativeInt = 200,
        num_test: NonNegativeInt = 400, seed: Seed = 0,
    ):  # fmt: skip
        """**Arguments:**

        - `learn`: what is to be learned; None: what the model answers with.
        - `kinds`: the classes, in this order.
        - `image_size`: H and W in pixels; one number if they are equal.
        - `min_size`, `max_size`: pixels from side to side of a shape, before it is tilted.
        - `min_objects`, `max_objects`: how many are in an image that has any; of `object` and `points` it is one.
        - `occlusion`: the largest share of a shape that others may cover.
        - `empty`: the share of images without any.
        - `num_train`, `num_val`, `num_test`: the number of images of each part; 0: there is no such part.
        - `seed`: from which the images are drawn.

        **Raises:** `ValueError` for sizes and numbers that contradict each other.
        """
        super().__init__(num_train=num_train, num_val=num_val, num_test=num_test, seed=seed)
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        if not min_size <= max_size <= min(self.image_size) * 0.7:
            raise ValueError(
                f"min_size {min_size} and max_size {max_size} must rise, and be at most 0.7 of the smaller side of "
                f"image_size {self.image_size[0]}x{self.image_size[1]}, so that a tilted shape has room"
            )
        if min_objects > max_objects:
            raise ValueError(f"min_objects {min_objects} is above max_objects {max_objects}")
        if not kinds or len(set(kinds)) < len(kinds):
            raise ValueError(f"kinds must name one or more different shapes, found {', '.join(kinds) or 'none'}")
        self.learn = learn or "boxes"
        self.kinds, self.shape_sizes, self.occlusion, self.empty = kinds, (min_size, max_size), occlusion, empty
        self.num_objects = (1, 1) if self.learn in ("object", "points") else (min_objects, max_objects)
        self.num_points = max(CORNERS[kind] for kind in kinds)
        if self.learn == "points" and self.num_points == 0:
            raise ValueError("a disc has no corner points; add another of kinds")

    @property
    def spec(self) -> DataSpec:
        offered = DataSpec(
            kind="image", target=self.learn, in_channels=3, image_size=self.image_size, mean=(0.5,) * 3,
            std=(0.25,) * 3, out_features=len(self.kinds), class_names=self.kinds,
        )  # fmt: skip
        if self.learn == "mask":
            names = ("ground", *self.kinds)
            return replace(offered, out_features=len(names), class_names=names)
        if self.learn == "points":
            chain = tuple((k, k + 1) for k in range(self.num_points - 1))
            names = tuple(f"corner {k + 1}" for k in range(self.num_points))
            return replace(
                offered, out_features=self.num_points, class_names=None, point_names=names,
                skeleton=chain + self._closing(),
            )  # fmt: skip
        return offered

    def _closing(self) -> tuple[tuple[int, int], ...]:
        """The edge from the last corner to the first, where all shapes have as many."""
        return ((self.num_points - 1, 0),) if len(self._corner_counts()) == 1 and self.num_points > 2 else ()

    def _corner_counts(self) -> set[int]:
        return {CORNERS[kind] for kind in self.kinds} - {0}

    def generate(self, size: int, seed: int) -> Part:
        chance = np.random.default_rng(seed)
        scenes = [self._scene(chance) for _ in range(size)]
        images = torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2).contiguous()
        if self.learn == "mask":
            return MaskPart((images,), torch.from_numpy(np.stack([scene.mask for scene in scenes])))
        if self.learn == "points":
            points = torch.from_numpy(np.stack([self._points(scene) for scene in scenes]))
            counts = self._corner_counts()
            return PointsPart((images,), points, mirrored_order(counts.pop()) if len(counts) == 1 else None)
        height, width = self.image_size
        boxes = [torch.tensor([shape.box for shape in scene.shapes]).view(-1, 4).float() for scene in scenes]
        labels = [torch.tensor([shape.label for shape in scene.shapes], dtype=torch.int64) for scene in scenes]
        if self.learn == "object":
            return VectorPart((images,), vectors(boxes, labels, len(self.kinds), (height, width)))
        frame = torch.tensor([[1.0, 1.0, 0.0, 0.0, width, height]]).repeat(size, 1)
        ignored = [torch.zeros(0, 4) for _ in scenes]
        masks = None
        if self.learn == "instances":
            masks = [torch.from_numpy(scene.instances).view(-1, height, width) for scene in scenes]
        return ObjectsPart((images,), Objects(boxes, labels, ignored, frame, masks))

    def _scene(self, chance: np.random.Generator) -> "Scene":
        """An image, and what is in it."""
        height, width = self.image_size
        ground = chance.uniform(30, 226, 3)
        canvas = _ground(ground, height, width, chance)
        wanted = (
            0 if chance.random() < self.empty else int(chance.integers(self.num_objects[0], self.num_objects[1] + 1))
        )
        shapes: list[Shape] = []
        sizes: list[int] = []  # pixels of each, before others cover them
        owner = np.full((height, width), -1)
        for _ in range(wanted * ATTEMPTS):
            if len(shapes) == wanted:
                break
            shape = self._shape(chance)
            window, own = _coverage(shape.outline, height, width)
            inside = np.zeros((height, width), dtype=bool)
            inside[window] = own > 0.5
            left = [((owner == number) & ~inside).sum() for number in range(len(shapes))]
            if any(seen < (1 - self.occlusion) * whole for seen, whole in zip(left, sizes, strict=True)):
                continue
            canvas[window] += own[..., None] * (_paint(ground, own.shape, chance) - canvas[window])
            owner[inside] = len(shapes)
            shapes.append(shape)
            sizes.append(int(inside.sum()))
        classes = np.array([0, *(1 + shape.label for shape in shapes)], dtype=np.uint8)
        instances = np.stack([owner == number for number in range(len(shapes))] or [np.zeros((0, height, width))])
        return Scene(canvas.clip(0, 255).astype(np.uint8), shapes, classes[owner + 1], instances.astype(np.uint8))

    def _shape(self, chance: np.random.Generator) -> "Shape":
        height, width = self.image_size
        label = int(chance.integers(len(self.kinds)))
        radius = chance.uniform(*self.shape_sizes) / 2
        outline = _outline(self.kinds[label], radius, np.deg2rad(chance.uniform(-MOST_TILT, MOST_TILT)))
        low, high = outline.min(axis=0), outline.max(axis=0)
        outline = outline + chance.uniform(-low, np.array([width, height]) - high)
        box = (*outline.min(axis=0).tolist(), *outline.max(axis=0).tolist())
        step = 2 if self.kinds[label] == "star" else 1
        return Shape(label, outline, box, outline[::step][: CORNERS[self.kinds[label]]])

    def _points(self, scene: "Scene") -> np.ndarray:
        """The corners (P, 3) of the only shape, 0 where there is none."""
        points = np.zeros((self.num_points, 3), dtype=np.float32)
        for shape in scene.shapes:
            points[: len(shape.corners), :2], points[: len(shape.corners), 2] = shape.corners, 1
        return points


class Shape(NamedTuple):
    """One shape: its class, its outline (V, 2), its box x1, y1, x2, y2 and its corners, in pixels."""

    label: int
    outline: np.ndarray
    box: tuple[float, ...]
    corners: np.ndarray


class Scene(NamedTuple):
    """An image (H, W, 3), its shapes, the class of each pixel (H, W), and the visible pixels of each (n, H, W)."""

    image: np.ndarray
    shapes: list[Shape]
    mask: np.ndarray
    instances: np.ndarray


def mirrored_order(num_corners: int) -> Tensor:
    """Which corner each one is after left and right have changed places."""
    first = 1 if num_corners == CORNERS["square"] else 0
    return (first - torch.arange(num_corners)) % num_corners


def _outline(kind: str, radius: float, tilt: float) -> np.ndarray:
    """The corners (V, 2) around the centre, clockwise as seen, the first one up or up on the left."""
    if kind == "star":
        angles, reach = np.arange(10) * np.pi / 5, np.where(np.arange(10) % 2, STAR_WAIST, 1.0)
    elif kind == "disc":
        angles, reach = np.arange(32) * np.pi / 16, np.ones(32)
    else:
        num = CORNERS[kind]
        angles, reach = np.arange(num) * 2 * np.pi / num - (np.pi / 4 if kind == "square" else 0), np.ones(num)
    angles = angles + tilt
    return radius * reach[:, None] * np.stack([np.sin(angles), -np.cos(angles)], axis=1)


def _coverage(outline: np.ndarray, height: int, width: int) -> tuple[tuple[slice, slice], np.ndarray]:
    """(The window of the image around the outline, how much of each of its pixels (h, w) is inside).

    A sample of a pixel is inside if the number of sides to its right is odd.
    """
    left, top = np.floor(outline.min(axis=0)).astype(int).clip(0)
    right, bottom = np.minimum(np.ceil(outline.max(axis=0)).astype(int), (width, height))
    x = left + (np.arange((right - left) * SAMPLES) + 0.5) / SAMPLES
    y = (top + (np.arange((bottom - top) * SAMPLES) + 0.5) / SAMPLES)[:, None]
    inside = np.zeros((len(y), len(x)), dtype=bool)
    for (x1, y1), (x2, y2) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if y1 != y2:
            inside ^= ((y1 > y) != (y2 > y)) & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    blocks = inside.reshape(bottom - top, SAMPLES, right - left, SAMPLES)
    return (slice(top, bottom), slice(left, right)), blocks.mean(axis=(1, 3), dtype=np.float32)


def _ground(colour: np.ndarray, height: int, width: int, chance: np.random.Generator) -> np.ndarray:
    """`colour` with clouds and grain (H, W, 3)."""
    clouds = 22 * chance.standard_normal((CLOUDS, CLOUDS, 3), dtype=np.float32)
    clouds = np.einsum("yr,xc,rck->yxk", _between(height), _between(width), clouds, optimize=True)
    return clouds + colour.astype(np.float32) + _grain((height, width), chance)


def _grain(size: tuple[int, ...], chance: np.random.Generator) -> np.ndarray:
    return 8 * chance.standard_normal((*size, 3), dtype=np.float32)


@functools.lru_cache(maxsize=8)
def _between(length: int) -> np.ndarray:
    """How much each of a few points counts at each of `length` pixels (length, CLOUDS), linear between two."""
    place = np.linspace(0, CLOUDS - 1, length)[:, None]
    return (1 - np.abs(place - np.arange(CLOUDS))).clip(0).astype(np.float32)


def _paint(ground: np.ndarray, size: tuple[int, ...], chance: np.random.Generator) -> np.ndarray:
    """A colour that stands out from the ground, with grain (h, w, 3)."""
    colour = chance.uniform(0, 255, 3)
    while np.abs(colour - ground).max() < LEAST_CONTRAST:
        colour = chance.uniform(0, 255, 3)
    return colour.astype(np.float32) + _grain(size, chance)
