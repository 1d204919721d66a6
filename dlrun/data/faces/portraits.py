"""Faces drawn from numbers: the traits of a person, what differs between pictures of one, and the drawing itself.

A face has coordinates of its own: u to the right, v down, (0, 0) in the middle of the head, 1 is half a side of the
picture. Its features sit on an ellipsoid, so that a head that turns or nods shifts and squeezes them as a real one
does. Colours are red, green and blue in 0..1.

Letters: P people, B pictures, S pixels a side of a picture.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

Numbers = dict[str, Tensor]

# The traits of a person, each drawn evenly between two bounds. `head_width` and `head_height` are half the width and
# half the height; places and lengths on the face are shares of these.
TRAITS = {
    "head_width": (0.47, 0.60), "head_height": (0.64, 0.74), "jaw": (0.0, 0.42), "squareness": (0.0, 0.5),
    "skin_tone": (0.0, 1.0), "redness": (-0.04, 0.05), "ear_height": (0.13, 0.24), "ear_width": (0.05, 0.13),
    "neck_width": (0.45, 0.75),
    "hair_height": (0.03, 0.17), "hair_side": (0.0, 0.15), "hair_length": (-0.15, 1.3), "hair_flare": (0.0, 0.16),
    "hairline": (-0.80, -0.38), "hairline_curve": (0.0, 0.75), "parting": (-0.35, 0.35),
    "eye_x": (0.34, 0.50), "eye_y": (-0.16, 0.06), "eye_width": (0.15, 0.23), "eye_height": (0.42, 0.80),
    "eye_slant": (-0.25, 0.35),
    "brow_gap": (0.12, 0.25), "brow_width": (0.20, 0.33), "brow_height": (0.018, 0.062), "brow_slant": (-0.30, 0.30),
    "brow_curve": (0.0, 0.55),
    "nose_y": (0.20, 0.36), "nose_width": (0.12, 0.27), "nose_bridge": (0.05, 0.12),
    "mouth_gap": (0.18, 0.30), "mouth_width": (0.26, 0.52), "upper_lip": (0.02, 0.055), "lower_lip": (0.03, 0.085),
    "lip_redness": (0.05, 0.55),
    "beard_line": (0.3, 0.6), "beard_curve": (0.1, 0.45), "moustache_width": (0.35, 0.6),
    "mole_x": (-0.6, 0.6), "mole_y": (0.1, 0.6),
}  # fmt: skip
# How many people have what others have not.
SHARES = {"has_hair": 0.88, "has_beard": 0.25, "has_moustache": 0.25, "has_mole": 0.3}
SKINS = torch.tensor([[0.99, 0.86, 0.77], [0.83, 0.61, 0.46], [0.38, 0.24, 0.17]])  # from light to dark
HAIRS = torch.tensor([
    [0.09, 0.08, 0.08], [0.24, 0.15, 0.10], [0.43, 0.28, 0.17], [0.80, 0.66, 0.40], [0.62, 0.29, 0.13],
    [0.60, 0.60, 0.60],
])  # fmt: skip
IRISES = torch.tensor([[0.25, 0.15, 0.08], [0.24, 0.42, 0.62], [0.30, 0.45, 0.28], [0.45, 0.49, 0.52]])
LIPS = torch.tensor([0.05, -0.35, -0.28])  # what makes skin red
NOSE_LENGTH = 1.35  # how far the tip of a nose is from the centre of the head, of the surface there
# At a strength of 1: radians of pose; lengths in halves of a side; shares of what they change.
MOST_TURN, MOST_NOD, MOST_TILT, MOST_SHIFT, MOST_GROWTH = 0.65, 0.30, 0.30, 0.16, 0.15
MOST_SLOPE, MOST_BRIGHTER, MOST_CONTRAST, MOST_TINT = 0.6, 0.22, 0.18, 0.08
MOST_GROUND, MOST_GROUND_TINT, MOST_CLOUDS = 0.22, 0.10, 0.10


def draw_people(num: int, generator: torch.Generator) -> Numbers:
    """The traits (P,) and colours (P, 3) of `num` people."""
    low, high = torch.tensor(list(TRAITS.values())).T
    traits = low + (high - low) * torch.rand(num, len(TRAITS), generator=generator)
    has = torch.rand(num, len(SHARES), generator=generator) < torch.tensor(list(SHARES.values()))
    person = dict(zip(TRAITS, traits.T, strict=True)) | dict(zip(SHARES, has.float().T, strict=True))
    tone = 2 * person["skin_tone"][:, None]
    skin = torch.where(tone < 1, SKINS[0].lerp(SKINS[1], tone), SKINS[1].lerp(SKINS[2], tone - 1))
    person["skin_colour"] = skin + person["redness"][:, None] * torch.tensor([1.0, 0.0, 0.0])
    own = 0.06 * torch.rand(num, 3, generator=generator) - 0.03
    person["hair_colour"] = HAIRS[torch.randint(len(HAIRS), (num,), generator=generator)] + own
    person["iris_colour"] = IRISES[torch.randint(len(IRISES), (num,), generator=generator)] + own
    return person


def draw_views(
    num: int, generator: torch.Generator, *, pose: float, expression: float, light: float, background: float,
    glasses: float,
) -> Numbers:  # fmt: skip
    """What differs between `num` pictures: numbers (B,) and colours (B, 3). Each strength is in 0..1; 0: nothing."""

    def around(most: float, *shape: int) -> Tensor:
        return most * (2 * torch.rand(num, *shape, generator=generator) - 1)

    def above(most: float, *shape: int) -> Tensor:
        return most * torch.rand(num, *shape, generator=generator)

    view = {"turn": around(MOST_TURN * pose), "nod": around(MOST_NOD * pose), "tilt": around(MOST_TILT * pose)}
    view |= {"shift_x": around(MOST_SHIFT * pose), "shift_y": around(MOST_SHIFT * pose)}
    view["scale"] = 1 + around(MOST_GROWTH * pose)
    view |= {"smile": around(expression), "open": around(expression).clamp(min=0), "brows": around(expression)}
    view["narrow"] = above(0.5 * expression)
    angle, slope = around(math.pi), above(MOST_SLOPE * light)
    view |= {"light_x": slope * angle.sin(), "light_y": slope * angle.cos()}
    view |= {"brightness": 1 + around(MOST_BRIGHTER * light), "contrast": 1 + around(MOST_CONTRAST * light)}
    view["tint"] = 1 + around(MOST_TINT * light, 3)
    for name in ("ground", "far_ground", "clothes"):
        view[name] = 0.5 + around(MOST_GROUND * background, 1) + around(MOST_GROUND_TINT * background, 3)
    view["clouds"] = around(MOST_CLOUDS * background, 4, 4)
    view["has_glasses"] = (torch.rand(num, generator=generator) < glasses).float()
    view |= {"lens_size": 1 + around(0.15), "lens_squareness": above(1.0), "rim": 0.02 + above(0.025)}
    view["rim_colour"] = above(0.45, 3)
    return view


def draw_faces(person: Numbers, view: Numbers, image_size: int) -> Tensor:
    """Pictures (B, 3, S, S) in 0..1 of the people `person` (B,), each as in `view` (B,)."""
    return _Picture(person | view, image_size).drawn()


def reach(along: Tensor, across: Tensor, squareness: Tensor) -> Tensor:
    """How far out a place is, 1 on an outline between a circle (`squareness` 0) and a square with round corners (1)."""
    along, across = along * along, across * across
    square = (along * along + across * across).sqrt()
    return (along + across + squareness * (square - along - across)).sqrt()


class _Picture:
    """B pictures while they are drawn: layer over layer, each a mask (B, S, S) with smooth edges and a colour."""

    def __init__(self, numbers: Numbers, image_size: int):
        # Numbers (B, 1, 1) beside colours (B, 3).
        self.of = {name: value[:, None, None] if value.ndim == 1 else value for name, value in numbers.items()}
        self.side = (torch.arange(image_size) * 2 + 1) / image_size - 1
        x, y = self.side - self.of["shift_x"], self.side[:, None] - self.of["shift_y"]
        cosine, sine = self.of["tilt"].cos() / self.of["scale"], self.of["tilt"].sin() / self.of["scale"]
        self.u, self.v = x * cosine + y * sine, y * cosine - x * sine
        self.pixel = 2 / image_size / self.of["scale"]
        self.width, self.height = self.of["head_width"], self.of["head_height"]
        self.zero = torch.zeros_like(self.width)
        self.canvas = self._ground()

    def drawn(self) -> Tensor:
        self._clothes()
        self._hair_behind()
        self._ears()
        face = self._head()
        self._beard(face)
        for side in (-1, 1):
            self._eye(side)
        self._nose()
        self._mouth()
        self._mole()
        self._hair()
        for side in (-1, 1):
            self._brow(side)
        self._glasses()
        return self._lit()

    # ---- tools

    def paint(self, mask: Tensor, colour: Tensor) -> None:
        """Lays `colour` (B, 3) over the canvas where `mask` (B, S, S) is above 0, whole where it is 1."""
        self.canvas.lerp_(colour[:, :, None, None], mask[:, None])

    def edge(self, inside: Tensor) -> Tensor:
        """A mask from how far inside each pixel is (B, S, S): it goes from 0 to 1 within the width of a pixel."""
        return (inside / self.pixel + 0.5).clamp(0, 1)

    def ellipse(self, u: Tensor, v: Tensor, width: Tensor, height: Tensor, slant: Tensor | float = 0.0) -> Tensor:
        """The mask of an ellipse around (u, v); `width` and `height` are halves, `slant` how much it rises."""
        along = (self.u - u) / width
        across = (self.v - v) / height - slant * along
        return self.edge((1 - (along * along + across * across).sqrt()) * torch.minimum(width, height))

    def placed(self, u: Tensor, v: Tensor, out: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        """Where the place (u, v) of a face is seen when the head turns and nods, and how narrow things there become.

        `out` is how far the place is from the centre of the head, of the surface there.
        """
        turn, nod = self.of["turn"], self.of["nod"]
        depth = (1 - (u / self.width) ** 2 - (v / self.height) ** 2).clamp(min=0.15).sqrt()
        seen_u = u * turn.cos() + out * depth * self.width * turn.sin()
        seen_v = v * nod.cos() + out * depth * self.height * nod.sin()
        return seen_u, seen_v, (turn.cos() - u / self.width / depth * turn.sin()).clamp(0.3, 1.2)

    def skin(self, brightness: float) -> Tensor:
        return self.of["skin_colour"] * brightness

    # ---- layers, from the back

    def _ground(self) -> Tensor:
        of, size = self.of, len(self.side)
        share = (self.side[:, None] + self.side + 2) / 4
        near, far = of["ground"][:, :, None, None], of["far_ground"][:, :, None, None]
        return near + share * (far - near) + F.interpolate(of["clouds"][:, None], (size, size), mode="bilinear")

    def _clothes(self) -> None:
        of = self.of
        self.paint(self.ellipse(self.zero, self.height + 0.72, 1.9 * self.width, self.zero + 0.55), of["clothes"])
        neck = of["neck_width"] * self.width
        self.paint(self.ellipse(self.zero, self.height, neck, self.zero + 0.45), self.skin(0.72))

    def _hair_behind(self) -> None:
        of = self.of
        along = self.u / (self.width + of["hair_side"] + of["hair_flare"] * self.v.clamp(min=0))
        above = self.v.clamp(max=0) / (self.height + of["hair_height"])
        inside = (1 - (along * along + above * above).sqrt()) * self.width
        mask = self.edge(torch.minimum(inside, of["hair_length"] * self.height - self.v))
        self.paint(mask * of["has_hair"], of["hair_colour"] * 0.8)

    def _ears(self) -> None:
        of = self.of
        width = of["ear_width"]
        for side in (-1, 1):
            # The ear on the far side vanishes behind the head.
            behind = 0.25 * (side * of["turn"]).clamp(min=0)
            place = side * (self.width + 0.3 * width - behind) - 0.12 * of["turn"]
            self.paint(self.ellipse(place, -0.2 * of["nod"], width, of["ear_height"] * self.height), self.skin(0.85))

    def _head(self) -> Tensor:
        """The mask of the face."""
        of = self.of
        across = self.v / self.height
        below = across.clamp(0, 1)
        along = self.u / (self.width * (1 - of["jaw"] * below * below))
        face = self.edge((1 - reach(along, across, of["squareness"])) * self.width)
        self.paint(face, self.skin(1.0))
        return face

    def _beard(self, face: Tensor) -> None:
        of = self.of
        u, v, _ = self.placed(self.zero, of["beard_line"] * self.height)
        along = (self.u - u) / self.width
        mask = self.edge(self.v - v + of["beard_curve"] * along * along) * face
        self.paint(0.8 * mask * of["has_beard"], of["hair_colour"])

    def _eye(self, side: int) -> None:
        of = self.of
        u, v, narrow = self.placed(side * of["eye_x"] * self.width, of["eye_y"] * self.height)
        width = of["eye_width"] * self.width
        open_height = width * of["eye_height"]
        width, height, slant = width * narrow, open_height * (1 - of["narrow"]), -side * of["eye_slant"]
        self.paint(0.45 * self.ellipse(u, v, 1.35 * width, 1.35 * open_height + 0.02, slant), self.skin(0.75))
        self.paint(self.ellipse(u, v - 0.018, 1.12 * width, height + 0.012, slant), self.skin(0.25))
        white = self.ellipse(u, v, width, height, slant)
        self.paint(white, torch.full_like(of["iris_colour"], 0.93))
        gaze, iris = u + 0.1 * self.width * of["turn"].sin(), 0.95 * open_height
        self.paint(white * self.ellipse(gaze, v, iris * narrow, iris), of["iris_colour"])
        self.paint(white * self.ellipse(gaze, v, 0.45 * iris * narrow, 0.45 * iris), 0.1 * of["iris_colour"])

    def _nose(self) -> None:
        of = self.of
        top_u, top_v, _ = self.placed(self.zero, of["eye_y"] * self.height)
        tip_u, tip_v, _ = self.placed(self.zero, of["nose_y"] * self.height, NOSE_LENGTH)
        width, bridge = of["nose_width"] * self.width, of["nose_bridge"] * self.width
        share = ((self.v - top_v) / (tip_v - top_v)).clamp(0, 1)
        middle = top_u + (tip_u - top_u) * share
        half = bridge + (width - bridge) * share * share
        length = self.edge(torch.minimum(self.v - top_v, tip_v - self.v))
        for side in (-1, 1):
            # One side is darker than the other, by where the light comes from.
            dark = (0.5 - 0.8 * side * of["light_x"]).clamp(0.12, 0.9)
            line = self.edge(0.02 - (self.u - middle - side * half).abs())
            self.paint(line * length * dark * share, self.skin(0.55))
        self.paint(0.35 * self.ellipse(tip_u, tip_v - 0.02, 0.62 * width, 0.5 * width), self.skin(1.12).clamp(max=1))
        for side in (-1, 1):
            wing = self.ellipse(tip_u + side * width, tip_v, 0.4 * width, self.zero + 0.05)
            self.paint(0.4 * wing, self.skin(0.7))
            hole = self.ellipse(tip_u + 0.5 * side * width, tip_v + 0.03, 0.3 * width, self.zero + 0.022)
            self.paint(hole, self.skin(0.35))

    def _mouth(self) -> None:
        of = self.of
        u, v, narrow = self.placed(self.zero, (of["nose_y"] + of["mouth_gap"]) * self.height)
        moustache = self.ellipse(u, v - 0.07, of["moustache_width"] * self.width * narrow, self.zero + 0.055)
        self.paint(0.85 * moustache * of["has_moustache"], of["hair_colour"])
        width = of["mouth_width"] * self.width * narrow * (1 + 0.22 * of["smile"])
        along = (self.u - u) / width
        ends = self.edge((1 - along.abs()) * width)
        bow = (1 - along * along).clamp(min=0)
        # The corners go up in a smile, and what is between them down.
        middle, gap = v + 0.1 * of["smile"] * (bow - 0.5), 0.1 * of["open"] * bow
        over, under = middle - gap - self.v, self.v - middle - gap
        lips = (self.skin(0.8) + self.skin(1.0) * of["lip_redness"][:, 0] * LIPS).clamp(0, 1)
        self.paint(self.edge(of["lower_lip"] * bow - under) * self.edge(under + 0.01) * ends, lips)
        self.paint(self.edge(of["upper_lip"] * bow - over) * self.edge(over + 0.01) * ends, 0.85 * lips)
        inside = torch.minimum(-over, -under)
        self.paint(self.edge(inside + 0.012) * ends, self.skin(0.25))
        teeth = self.edge(0.05 + over) * self.edge(inside - 0.01) * ends
        self.paint(teeth, torch.full_like(lips, 0.92))

    def _mole(self) -> None:
        of = self.of
        u, v, narrow = self.placed(of["mole_x"] * self.width, of["mole_y"] * self.height)
        self.paint(0.8 * self.ellipse(u, v, 0.03 * narrow, self.zero + 0.03) * of["has_mole"], self.skin(0.35))

    def _hair(self) -> None:
        of = self.of
        along = self.u / (self.width + 0.5 * of["hair_side"] + 0.01)
        across = self.v / (self.height + of["hair_height"])
        cap = (1 - (along * along + across * across).sqrt()) * self.width
        off = self.u / self.width - 0.5 * of["turn"].sin()
        line = of["hairline"] + 0.3 * of["nod"].sin() + of["hairline_curve"] * off * off + of["parting"] * off
        mask = self.edge(torch.minimum(cap, line.clamp(max=0.15) * self.height - self.v))
        self.paint(mask * of["has_hair"], of["hair_colour"])

    def _brow(self, side: int) -> None:
        of = self.of
        place = (of["eye_y"] - of["brow_gap"] - 0.06 * of["brows"]) * self.height
        u, v, narrow = self.placed(side * of["eye_x"] * self.width, place)
        width = of["brow_width"] * self.width * narrow
        along = (self.u - u) / width
        square = along * along
        middle = v + 0.18 * self.width * (side * of["brow_slant"] * along + of["brow_curve"] * square)
        thick = of["brow_height"] * (1.15 - 0.5 * square)
        mask = self.edge(thick - (self.v - middle).abs()) * self.edge((1 - along.abs()) * width)
        self.paint(0.9 * mask, 0.75 * of["hair_colour"])

    def _glasses(self) -> None:
        of = self.of
        height, has = 0.26 * self.width * of["lens_size"], of["has_glasses"]
        for side in (-1, 1):
            u, v, narrow = self.placed(side * of["eye_x"] * self.width, of["eye_y"] * self.height)
            along, across = (self.u - u) / (1.25 * height * narrow), (self.v - v) / height
            off = (reach(along, across, of["lens_squareness"]) - 1).abs() * height
            self.paint(self.edge(of["rim"] - off) * has, of["rim_colour"])
        u, v, _ = self.placed(self.zero, of["eye_y"] * self.height)
        half = (of["eye_x"] * self.width - 1.2 * height).clamp(min=0.01)
        bridge = self.edge(torch.minimum(half - (self.u - u).abs(), of["rim"] - (self.v - v).abs()))
        self.paint(bridge * has, of["rim_colour"])

    def _lit(self) -> Tensor:
        """The canvas in the light: what looks away from it is in the shade."""
        of = self.of
        along, across = (self.u / self.width).clamp(-1.2, 1.2), (self.v / self.height).clamp(-1.2, 1.2)
        front = (1 - along * along - across * across).clamp(min=0).sqrt()
        shade = 0.85 + 0.15 * front + 0.75 * (of["light_x"] * along + of["light_y"] * across)
        lit = self.canvas * (shade.clamp(min=0.12) * of["brightness"])[:, None] * of["tint"][:, :, None, None]
        return (0.5 + (lit - 0.5) * of["contrast"][:, None]).clamp(0, 1)
