"""Pictures of the twin for people: any size, a free viewpoint, soft shadows, smooth edges. By ray casting."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from vla_ros.geometry import Array
from vla_ros.twin.render import SKY, Caster, pinhole, to_image
from vla_ros.values import Image

_MIDDLE: Array = np.array([0.3, 0.0, 0.2])
_SUN_DISTANCE = 4.0


@dataclass(frozen=True)
class View:
    """Where a picture is taken from: eye and point looked at (m, base), vertical field of view (rad)."""

    eye: tuple[float, float, float] = (1.30, -1.10, 0.82)
    at: tuple[float, float, float] = (0.21, -0.02, 0.24)
    height: float = math.radians(34)

    def rotation(self) -> Array:
        """Axes (3, 3) of MuJoCo's camera frame as columns: right, up, backward."""
        back = np.array(self.eye) - np.array(self.at)
        back /= np.linalg.norm(back)
        right = np.cross([0.0, 0.0, 1.0], back)
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(back, right), back], axis=1)


class PictureRenderer:
    """Renders from a view: `shape` (H, W), `samples` rays per pixel edge, `shadows` sun rays (0: none)."""

    def __init__(
        self,
        model: mujoco.MjModel,
        shape: tuple[int, int],
        view: View | None = None,
        samples: int = 2,
        shadows: int = 6,
    ) -> None:
        self.model, self.shape, self.samples = model, shape, samples
        self.view = view or View()
        self._fine = (shape[0] * samples, shape[1] * samples)
        focal = self._fine[0] / 2 / math.tan(self.view.height / 2)
        rays = pinhole(self._fine, focal, focal, (self._fine[1] - 1) / 2, (self._fine[0] - 1) / 2)
        self._rays = np.ascontiguousarray(rays @ self.view.rotation().T)
        self._caster = Caster(model, len(self._rays))
        self._spread = _disc(shadows)

    def render(self, data: mujoco.MjData) -> Image:
        """The picture (H, W, 3) uint8 RGB; the kinematics of `data` must be up to date."""
        caster, rays = self._caster, self._rays
        origin = np.array(self.view.eye)
        caster.cast(data, origin, rays)
        towards = -self.model.light_dir[0]
        points = origin + rays * caster.distances[:, None]
        sun = np.maximum(caster.normals @ towards, 0.0) * self._lit(data, points, towards)
        colours = caster.colours() * self._light(sun, towards)
        colours = _fade(colours, caster, self._sky(rays))
        height, width = self.shape
        smooth = colours.reshape(height, self.samples, width, self.samples, 3).mean(axis=(1, 3))
        return to_image(smooth.reshape(-1, 3), self.shape)

    def _light(self, sun: Array, towards: Array) -> Array:
        """Light (n, 3): a bluish sky from above, a warm sun, a glint on smooth surfaces."""
        normals, rays = self._caster.normals, self._rays
        sky = 0.5 + 0.5 * normals[:, 2:]
        ambient = sky * np.array([0.50, 0.53, 0.57]) + (1 - sky) * np.array([0.30, 0.28, 0.26])
        head = 0.14 * np.abs(np.einsum("ij,ij->i", normals, rays))[:, None]
        half = towards - rays
        half /= np.linalg.norm(half, axis=1, keepdims=True)
        glint = 0.22 * np.maximum(np.einsum("ij,ij->i", normals, half), 0.0) ** 40 * (sun > 0)
        return np.asarray(ambient + head + sun[:, None] * np.array([0.56, 0.53, 0.48]) + glint[:, None])

    def _lit(self, data: mujoco.MjData, points: Array, towards: Array) -> Array:
        """Share (n,) of the sun that reaches each point: rays from points on the sun's face that arrive."""
        lit = np.ones(len(points))
        near = (self._caster.geoms >= 0) & (self._caster.distances < 7.0)
        reached = np.flatnonzero(near & (self._caster.normals @ towards > 0))
        if not len(self._spread) or not len(reached):
            return lit
        side = np.cross(towards, [0.0, 0.0, 1.0])
        side /= np.linalg.norm(side)
        faces = _SUN_DISTANCE * (towards + self._spread @ np.stack([side, np.cross(side, towards)]))
        shadow = Caster(self.model, len(reached))
        lit[reached] = np.mean([_arrives(shadow, data, _MIDDLE + face, points[reached]) for face in faces], axis=0)
        return lit

    def _sky(self, rays: Array) -> Array:
        """Colour (n, 3) of the backdrop: lighter towards the horizon."""
        up = np.clip(rays[:, 2:] * 2.2 + 0.35, 0.0, 1.0)
        return np.asarray((1 - up) * np.array([0.93, 0.94, 0.95]) + up * (SKY - 0.06))


def _arrives(caster: Caster, data: mujoco.MjData, light: Array, points: Array) -> Array:
    """Which of the points (n, 3) the light (3,) sees."""
    rays = points - light
    distances = np.linalg.norm(rays, axis=1)
    caster.cast(data, light, rays / distances[:, None])
    return np.asarray(caster.distances > distances - 1.5e-3, float)


def _fade(colours: Array, caster: Caster, sky: Array) -> Array:
    """The floor melts into the backdrop with distance."""
    share = np.clip((caster.distances - 2.2) / 4.0, 0.0, 1.0)[:, None]
    share[caster.geoms < 0] = 1.0
    return np.asarray((1 - share) * colours + share * sky)


def _disc(count: int, radius: float = 0.07) -> Array:
    """Points (count, 2) spread evenly over a disc: the sun's face (sunflower pattern)."""
    k = np.arange(count)
    r, angle = radius * np.sqrt((k + 0.5) / max(count, 1)), k * math.pi * (3 - math.sqrt(5))
    return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)
