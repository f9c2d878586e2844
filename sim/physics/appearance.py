"""Visual shapes and colours of everything on a course. No physics here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from nerfbot.course.elements import Element

from .client import Client

Colour = tuple[float, float, float, float]
Point = tuple[float, float, float]
Mesh = tuple[list[Point], list[int]]
"""Vertices (m, about the object's centre) and triangles."""

Part = tuple[Point, Point, Colour]
"""A box: its centre and half extents in m, and its colour."""

COLOURS: dict[str, Colour] = {
    "red": (0.86, 0.16, 0.16, 1),
    "green": (0.20, 0.68, 0.30, 1),
    "blue": (0.16, 0.38, 0.88, 1),
    "purple": (0.56, 0.26, 0.78, 1),
    "yellow": (1.00, 0.80, 0.08, 1),
    "grey": (0.55, 0.57, 0.60, 1),
    "orange": (0.96, 0.52, 0.10, 1),
    "cyan": (0.15, 0.76, 0.86, 1),
    "white": (0.96, 0.96, 0.94, 1),
    "brown": (0.58, 0.38, 0.22, 1),
    "pink": (0.96, 0.50, 0.72, 1),
    "black": (0.18, 0.19, 0.22, 1),
    "lime": (0.65, 0.88, 0.20, 1),
    "navy": (0.12, 0.20, 0.50, 1),
    "olive": (0.50, 0.52, 0.16, 1),
}

WALL = (0.46, 0.52, 0.60, 1.0)
COPING = (0.60, 0.67, 0.76, 1.0)
APRON = (0.36, 0.39, 0.43, 1.0)
GATE = (0.93, 0.36, 0.20, 1.0)
GATE_BAND = (0.97, 0.94, 0.88, 1.0)
GROUND = (0.62, 0.64, 0.66, 1.0)
BAND = (0.20, 0.22, 0.26, 1.0)

FLOOR: tuple[Colour, Colour] = ((0.88, 0.88, 0.85, 1), (0.82, 0.82, 0.79, 1))
"""The two shades of bare floor, by the parity of row + column."""

TILES: dict[str, tuple[Colour, Colour]] = {
    "no_go": ((0.93, 0.45, 0.42, 1), (0.86, 0.36, 0.34, 1)),
    "fog": ((0.70, 0.77, 0.84, 1), (0.65, 0.72, 0.80, 1)),
    "interference": ((0.76, 0.64, 0.90, 1), (0.69, 0.56, 0.85, 1)),
    "gate": ((0.98, 0.80, 0.62, 1), (0.94, 0.73, 0.54, 1)),
    "lift_zone": ((0.50, 0.84, 0.66, 1), (0.44, 0.79, 0.60, 1)),
    "start": ((0.66, 0.80, 0.95, 1), (0.66, 0.80, 0.95, 1)),
}
"""Shades of the floor under a zone or a gate; where kinds overlap, the first and the last take turns."""


def colour_of(item: Element) -> Colour:
    """The colour of an element that has one."""
    return COLOURS[str(item.properties["colour"])]


def floor_colour(kinds: set[str], odd: int) -> Colour:
    """The colour of a floor cell on which elements of ``kinds`` lie; ``odd``: parity of row + column."""
    pairs = [pair for kind, pair in TILES.items() if kind in kinds] or [FLOOR]
    return pairs[-odd][odd]


def prism(outline: list[tuple[float, float]], depth: float) -> Mesh:
    """An outline in (y, z), star-shaped about the origin, drawn out to ``depth`` m along x: vertices and
    triangles.
    """
    count, half = len(outline), depth / 2
    rings: list[Point] = [(x, y, z) for x in (half, -half) for y, z in outline]
    vertices = [*rings, (half, 0.0, 0.0), (-half, 0.0, 0.0)]
    faces: list[int] = []
    for i in range(count):
        j = (i + 1) % count
        faces += [2 * count, i, j, 2 * count + 1, count + j, count + i]
        faces += [i, count + i, j, j, count + i, count + j]
    return vertices, faces


def spun(profile: list[tuple[float, float]], sides: int = 20) -> Mesh:
    """A profile of (radius, height) in m turned about z: vertices and triangles."""
    vertices = [
        (r * math.cos(2 * math.pi * k / sides), r * math.sin(2 * math.pi * k / sides), z)
        for r, z in profile
        for k in range(sides)
    ]
    faces: list[int] = []
    for ring in range(len(profile) - 1):
        for k in range(sides):
            a, b = ring * sides + k, ring * sides + (k + 1) % sides
            faces += [a, b, a + sides, b, b + sides, a + sides]
    return vertices, faces


def _circle(radius: float, count: int, inner: float | None = None) -> list[tuple[float, float]]:
    radii = (radius, radius if inner is None else inner)
    return [
        (radii[k % 2] * math.sin(2 * math.pi * k / count), radii[k % 2] * math.cos(2 * math.pi * k / count))
        for k in range(count)
    ]


def _petals(radius: float, wave: float, leaves: int, count: int = 36) -> list[tuple[float, float]]:
    """A flower's outline: the radius swells by `wave` times itself, once a leaf."""
    turns = [2 * math.pi * k / count for k in range(count)]
    reach = [radius * (1 + wave * math.cos(leaves * turn)) for turn in turns]
    return [(r * math.sin(turn), r * math.cos(turn)) for r, turn in zip(reach, turns, strict=True)]


def _torus(radius: float, tube: float) -> Mesh:
    turned = spun(
        [
            (radius + tube * math.cos(a), tube * math.sin(a))
            for a in (2 * math.pi * k / 10 for k in range(11))
        ],
        24,
    )
    return [(z, x, y) for x, y, z in turned[0]], turned[1]


SIZE = 0.11
"""Radius of a coin and of everything that is touched like one, m."""

MESHES: dict[str, Mesh] = {
    "coin": prism(_circle(SIZE, 28), 0.035),
    "gem": spun([(0.001, -SIZE), (SIZE * 0.85, 0.02), (SIZE * 0.5, SIZE * 0.75), (0.001, SIZE * 0.75)], 8),
    "cone": spun([(0.001, -SIZE), (SIZE, -SIZE), (0.001, SIZE)]),
    "ring": _torus(SIZE * 0.78, SIZE * 0.24),
    "star": prism(_circle(SIZE * 1.15, 10, SIZE * 0.5), 0.05),
    "line": prism([(-SIZE, -0.02), (SIZE, -0.02), (SIZE, 0.02), (-SIZE, 0.02)], 0.04),
    "cube": prism([(-0.08, -0.08), (0.08, -0.08), (0.08, 0.08), (-0.08, 0.08)], 0.16),
    "ball": spun(
        [
            (max(0.001, SIZE * 0.9 * math.cos(a)), SIZE * 0.9 * math.sin(a))
            for a in (math.pi * (k / 10 - 0.5) for k in range(11))
        ]
    ),
    "cross": prism(
        [
            (a * SIZE, b * SIZE)
            for a, b in (
                (0.3, 0.3), (0.3, 1.0), (-0.3, 1.0), (-0.3, 0.3), (-1.0, 0.3), (-1.0, -0.3),
                (-0.3, -0.3), (-0.3, -1.0), (0.3, -1.0), (0.3, -0.3), (1.0, -0.3), (1.0, 0.3),
            )
        ],
        0.05,
    ),
    "heart": prism(
        [
            (a * SIZE, b * SIZE)
            for a, b in (
                (0.0, 0.5), (0.25, 0.85), (0.65, 0.9), (0.95, 0.5), (0.8, 0.05), (0.0, -1.0),
                (-0.8, 0.05), (-0.95, 0.5), (-0.65, 0.9), (-0.25, 0.85),
            )
        ],
        0.05,
    ),
    "clover": prism(_petals(SIZE * 0.75, 0.35, 3), 0.05),
    "arrow": prism(
        [
            (a * SIZE, b * SIZE)
            for a, b in (
                (-1.0, 0.3), (-1.0, -0.3), (0.0, -0.3), (0.0, -0.9), (1.1, 0.0), (0.0, 0.9), (0.0, 0.3),
            )
        ],
        0.05,
    ),
    "nut": prism(_circle(SIZE, 6), 0.07),
    "drop": spun(
        [
            (0.001, -SIZE), (SIZE * 0.55, -SIZE * 0.75), (SIZE * 0.75, -SIZE * 0.25),
            (SIZE * 0.45, SIZE * 0.35), (0.001, SIZE * 1.2),
        ]
    ),
    "bell": spun(
        [
            (0.001, -SIZE * 0.8), (SIZE, -SIZE * 0.8), (SIZE * 0.6, -SIZE * 0.3),
            (SIZE * 0.5, SIZE * 0.5), (0.001, SIZE),
        ]
    ),
    "crown": prism(
        [
            (a * SIZE, b * SIZE)
            for a, b in (
                (-1.0, 0.75), (-0.45, 0.2), (0.0, 1.0), (0.45, 0.2), (1.0, 0.75), (0.8, -0.8), (-0.8, -0.8),
            )
        ],
        0.05,
    ),
    "key": prism(
        [
            (-0.12, -0.03), (-0.03, -0.05), (0.0, -0.02), (0.1, -0.02), (0.1, -0.06), (0.13, -0.06),
            (0.13, 0.02), (0.0, 0.02), (-0.03, 0.05), (-0.12, 0.03),
        ],
        0.03,
    ),
    "vase": spun(
        [
            (0.001, -0.15), (0.06, -0.15), (0.085, -0.05), (0.08, 0.03),
            (0.04, 0.09), (0.055, 0.15), (0.001, 0.14),
        ]
    ),
}  # fmt: skip
"""Every shape that an object can have."""


def mesh(client: Client, solid: Mesh, colour: Colour) -> int:
    """A visual shape, flat-shaded: every triangle has its own corners and normal."""
    points, faces = solid
    vertices: list[Point] = []
    normals: list[Point] = []
    for corner in range(0, len(faces), 3):
        a, b, c = (points[faces[corner + k]] for k in range(3))
        u = [b[k] - a[k] for k in range(3)]
        v = [c[k] - a[k] for k in range(3)]
        normal = (u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0])
        length = math.sqrt(sum(part * part for part in normal)) or 1.0
        vertices += [a, b, c]
        normals += [(normal[0] / length, normal[1] / length, normal[2] / length)] * 3
    shape: int = client.createVisualShape(
        client.GEOM_MESH,
        vertices=vertices,
        indices=list(range(len(vertices))),
        normals=normals,
        rgbaColor=colour,
        specularColor=(0.2, 0.2, 0.2),
    )
    return shape


def boxes(client: Client, rows: Sequence[Part]) -> int:
    """One visual shape of several boxes."""
    shape: int = client.createVisualShapeArray(
        shapeTypes=[client.GEOM_BOX] * len(rows),
        halfExtents=[row[1] for row in rows],
        visualFramePositions=[row[0] for row in rows],
        rgbaColors=[row[2] for row in rows],
    )
    return shape


def wall(client: Client, half: Point) -> int:
    """A wall with a lighter coping; ``half`` extents in m, here and below."""
    cap = 0.018
    return boxes(
        client,
        [
            ((0.0, 0.0, -cap), (half[0], half[1], half[2] - cap), WALL),
            ((0.0, 0.0, half[2] - cap), (half[0] + 0.004, half[1] + 0.004, cap), COPING),
        ],
    )


def gate(client: Client, half: Point) -> int:
    """A gate with horizontal bands."""
    side, tall, step = half[0] - 0.001, half[2], half[2] * 2 / 5
    bands = [(-tall + (k + 0.5) * step, GATE_BAND if k % 2 else GATE) for k in range(5)]
    return boxes(client, [((0.0, 0.0, z), (side, side, step / 2), colour) for z, colour in bands])


def block(client: Client, half: Point, colour: Colour) -> int:
    """A block with darker edges."""
    rim = (colour[0] * 0.75, colour[1] * 0.75, colour[2] * 0.75, 1.0)
    edge = 0.02
    x, y, z = (part - edge for part in half)
    parts: list[Part] = [((0.0, 0.0, 0.0), (half[0] - 0.004, half[1] - 0.004, half[2] - 0.004), colour)]
    for sx in (-1, 1):
        parts += [((sx * x, sy * y, 0.0), (edge, edge, half[2]), rim) for sy in (-1, 1)]
        for sz in (-1, 1):
            parts.append(((sx * x, 0.0, sz * z), (edge, half[1], edge), rim))
            parts.append(((0.0, sx * y, sz * z), (half[0], edge, edge), rim))
    return boxes(client, parts)


def chest(client: Client, half: Point, colour: Colour) -> int:
    """A wooden chest whose lid and lock have ``colour``."""
    a, b, c = half
    return boxes(
        client,
        [
            ((0, 0, -0.02), (a, b, c - 0.02), COLOURS["brown"]),
            ((0, 0, c - 0.03), (a + 0.006, b + 0.006, 0.03), colour),
            ((a - 0.05, 0, 0), (0.016, b + 0.008, c), BAND),
            ((0.05 - a, 0, 0), (0.016, b + 0.008, c), BAND),
            ((0, 0, 0.02), (0.03, b + 0.014, 0.035), colour),
        ],
    )


def corner(client: Client, side: float, colour: Colour) -> int:
    """A marker in a corner of a cell of ``side`` m."""
    arm, thick = side * 0.36, side * 0.09
    parts: list[Part] = [
        ((-arm + thick, 0.0, 0.003), (thick, arm, 0.003), colour),
        ((0.0, -arm + thick, 0.003), (arm, thick, 0.003), colour),
    ]
    return boxes(client, parts)


def finish_pad(client: Client, side: float, colour: Colour) -> int:
    """A chequered marker that fills a cell of ``side`` m."""
    tile, white = side * 0.94 / 4, COLOURS["white"]
    half = (tile / 2, tile / 2, 0.003)
    spots = [((i - 1.5) * tile, (j - 1.5) * tile, (i + j) % 2) for i in range(4) for j in range(4)]
    return boxes(client, [((x, y, 0.003), half, colour if odd else white) for x, y, odd in spots])


def ground(client: Client, corners: list[Point]) -> int:
    """A ramp or step by its eight corners: four of the bottom, then four of the top."""
    faces = [0, 2, 1, 1, 2, 3, 4, 5, 6, 5, 7, 6, 0, 1, 4, 1, 5, 4]
    faces += [2, 6, 3, 3, 6, 7, 0, 4, 2, 2, 4, 6, 1, 3, 5, 3, 7, 5]
    return mesh(client, (corners, faces), GROUND)


def tiles(client: Client, squares: Iterable[tuple[float, float]], half: float, colour: Colour) -> int:
    """One visual shape of squares on the floor: their centres (x, y), half their side, all in m."""
    vertices: list[Point] = []
    indices: list[int] = []
    for x, y in squares:
        first = len(vertices)
        vertices += [(x + dx * half, y + dy * half, 0.0) for dx, dy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        indices += [first, first + 1, first + 2, first, first + 2, first + 3]
    shape: int = client.createVisualShape(
        client.GEOM_MESH,
        vertices=vertices,
        indices=indices,
        normals=[(0.0, 0.0, 1.0)] * len(vertices),
        rgbaColor=colour,
        specularColor=(0.0, 0.0, 0.0),
    )
    return shape
