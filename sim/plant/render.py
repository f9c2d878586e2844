"""Pictures of a plant for people, drawn without a screen: chase and top views, fog, captions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfbot.media import drawing_package

from ..physics.geometry import bounds, merge
from .plant import Plant

Frame = NDArray[np.uint8]

FOG_TOP = 0.34
"""Height of the drawn fog, m: as high as the walls."""

FOG_DENSITY = 1.1
"""Share of light that fog takes, as an exponent per metre."""

SKY = (np.array([226.0, 234.0, 242.0]), np.array([180.0, 197.0, 214.0]))
"""Background at the horizon and overhead."""

_FOG = np.array([214.0, 222.0, 230.0])
_NEAR, _FAR = 0.05, 60.0


class Renderer:
    """Draws one plant.

    Args:
        plant: what to draw.
        width, height: of a frame, px.
        smoothing: each pixel is the mean of this many squared, against jagged edges; 2 takes four times as
            long.

    """

    def __init__(self, plant: Plant, width: int = 640, height: int = 360, smoothing: int = 1) -> None:
        self.plant, self.width, self.height, self.smoothing = plant, width, height, smoothing
        self._eye: NDArray[np.float64] | None = None

    def top(self) -> Frame:
        """The whole course from above, north up, a little tilted; uint8 (height, width, 3)."""
        course, field = self.plant.course, math.radians(40.0)
        aspect = self.width / self.height
        tall = max(course.height + 0.6, (course.width + 0.6) / aspect)
        distance = tall / 2 / math.tan(field / 2)
        target = np.array([course.width / 2, course.height / 2, 0.0])
        eye = target + distance * np.array([0.0, -math.sin(0.2), math.cos(0.2)])
        return self.view(eye, target, (0.0, 1.0, 0.0), field)

    def chase(self, distance: float = 1.9, height: float = 1.35, smooth: float = 1.0) -> Frame:
        """From behind and above the robot; uint8 (height, width, 3).

        ``smooth`` in (0, 1]: how much of the way to its new place the camera goes each frame (1: no lag).
        """
        state = self.plant.robot.state
        forward = np.array([math.cos(state.heading), math.sin(state.heading), 0.0])
        position = np.array(state.position)
        wanted = position - distance * forward + (0.0, 0.0, height)
        self._eye = wanted if self._eye is None else self._eye + smooth * (wanted - self._eye)
        return self.view(self._eye, position + 0.7 * forward, (0.0, 0.0, 1.0), math.radians(58.0))

    def view(
        self,
        eye: NDArray[np.float64],
        target: NDArray[np.float64],
        up: tuple[float, float, float],
        field: float,
    ) -> Frame:
        """From ``eye`` to ``target`` (m) with ``field`` rad of vertical view; uint8 (height, width, 3)."""
        client = self.plant.client
        width, height = self.width * self.smoothing, self.height * self.smoothing
        view = client.computeViewMatrix(eye.tolist(), target.tolist(), up)
        lens = client.computeProjectionMatrixFOV(math.degrees(field), width / height, _NEAR, _FAR)
        _, _, pixels, depth, _ = client.getCameraImage(
            width,
            height,
            view,
            lens,
            shadow=0,
            lightDirection=(-4.0, -6.0, 12.0),
            lightColor=(1.0, 0.985, 0.95),
            lightAmbientCoeff=0.62,
            lightDiffuseCoeff=0.42,
            lightSpecularCoeff=0.05,
            renderer=client.ER_TINY_RENDERER,
            flags=client.ER_NO_SEGMENTATION_MASK,
        )
        image = np.asarray(pixels, np.float32).reshape(height, width, 4)[..., :3]
        buffer = np.asarray(depth, np.float64).reshape(height, width)
        rays = _rays(view, width, height, field)
        reach = _FAR * _NEAR / (_FAR - (_FAR - _NEAR) * buffer)
        image = _sky(image, buffer, rays)
        image = self._fog(image, np.asarray(eye, np.float64), rays, reach)
        s = self.smoothing
        if s > 1:
            image = image.reshape(self.height, s, self.width, s, 3).mean(axis=(1, 3))
        return np.clip(image, 0, 255).astype(np.uint8)

    def _fog(
        self,
        image: NDArray[Any],
        eye: NDArray[np.float64],
        rays: NDArray[np.float64],
        reach: NDArray[np.float64],
    ) -> NDArray[Any]:
        """Blend in the fog that each ray crosses before it meets something (``reach``: distance along the
        axis).
        """
        course = self.plant.course
        path = np.zeros(reach.shape)
        for region in course.regions:
            if region.kind != "fog":
                continue
            for patch in merge(region.cells):
                x0, x1, y0, y1 = bounds(patch, course.cell, course.rows)
                enter, leave = np.zeros(reach.shape), reach.copy()
                for axis, (low, high) in enumerate(((x0, x1), (y0, y1), (0.0, FOG_TOP))):
                    step = np.where(np.abs(rays[..., axis]) < 1e-9, 1e-9, rays[..., axis])
                    a, b = (low - eye[axis]) / step, (high - eye[axis]) / step
                    enter, leave = np.maximum(enter, np.minimum(a, b)), np.minimum(leave, np.maximum(a, b))
                path += np.maximum(0.0, leave - enter)
        if not path.any():
            return image
        share = (1.0 - np.exp(-FOG_DENSITY * path * np.linalg.norm(rays, axis=-1)))[..., None]
        blended: NDArray[Any] = image * (1.0 - share) + _FOG * share
        return blended


def _rays(view: tuple[float, ...], width: int, height: int, field: float) -> NDArray[np.float64]:
    """World direction of every pixel, (height, width, 3), one metre long along the camera's axis."""
    matrix = np.array(view).reshape(4, 4).T[:3, :3]
    half = math.tan(field / 2)
    x = ((np.arange(width) + 0.5) / width * 2 - 1) * half * width / height
    y = (1 - (np.arange(height) + 0.5) / height * 2) * half
    right, up, back = matrix
    rays: NDArray[np.float64] = x[None, :, None] * right + y[:, None, None] * up - back
    return rays


def _sky(image: NDArray[Any], buffer: NDArray[np.float64], rays: NDArray[np.float64]) -> NDArray[Any]:
    empty = buffer >= 1.0
    if not empty.any():
        return image
    rise = np.clip(rays[empty][:, 2:3] / 0.6, 0.0, 1.0)
    image = image.copy()
    image[empty] = SKY[0] * (1.0 - rise) + SKY[1] * rise
    return image


def label(frame: Frame, lines: list[str]) -> Frame:
    """The frame with lines of text on a dark band at its top left; needs Pillow.

    Raises `MissingDependency` without it.
    """
    image_module, draw_module, font_module = (
        drawing_package(f"PIL.{part}") for part in ("Image", "ImageDraw", "ImageFont")
    )
    size = max(11, frame.shape[0] // 26)
    font = font_module.load_default(size)
    picture = image_module.fromarray(frame)
    band = image_module.new("RGBA", picture.size, (0, 0, 0, 0))
    pen = draw_module.Draw(band)
    width = max((pen.textlength(line, font=font) for line in lines), default=0)
    pen.rectangle((0, 0, width + 2 * size, (len(lines) + 0.8) * size * 1.3), fill=(18, 22, 30, 170))
    for k, line in enumerate(lines):
        pen.text((size, size * (0.4 + 1.3 * k)), line, font=font, fill=(255, 255, 255, 255))
    return np.asarray(image_module.alpha_composite(picture.convert("RGBA"), band).convert("RGB"))
