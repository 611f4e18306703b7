"""Cameras of the twin: what their intrinsics, crop and pose see, by ray casting or with OpenGL.

A delivered pixel (i, j) covers `binning`² pixels of the full sensor; the ray goes through the middle of them.
"""

from __future__ import annotations

from typing import Literal, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_ros.config.schema import CameraConfig
from vla_ros.geometry import Array
from vla_ros.twin import board
from vla_ros.twin.scene import delivered
from vla_ros.values import Image

SKY: Array = np.array([0.80, 0.85, 0.90])
AMBIENT, HEAD, SUN = 0.40, 0.24, 0.46
"""Shares of the light: from everywhere, from the camera, from the scene's first light."""
_GROUPS: NDArray[np.uint8] = np.array([1, 1, 1, 0, 0, 0], np.uint8)


class RenderError(Exception):
    """Nothing can be rendered this way. The text says why and what to do."""


class Renderer(Protocol):
    """Renders one camera."""

    def render(self, data: mujoco.MjData) -> Image:
        """The image (H, W, 3) uint8 RGB of `data`, whose kinematics must be up to date."""

    def close(self) -> None:
        """Let go of what it holds."""


def make_renderer(
    model: mujoco.MjModel, camera: CameraConfig, name: str, backend: Literal["auto", "ray", "gl"] = "auto"
) -> Renderer:
    """A renderer of the camera `name`; "auto" casts rays, which gives the same image everywhere."""
    return GlRenderer(model, camera, name) if backend == "gl" else RayRenderer(model, camera, name)


class Caster:
    """Casts a fixed number of rays into a model and shades what they hit."""

    def __init__(self, model: mujoco.MjModel, count: int) -> None:
        self.model, self.count = model, count
        self.geoms = np.full(count, -1, np.int32)
        self.distances = np.zeros(count)
        self._normals = np.zeros(3 * count)

    def cast(self, data: mujoco.MjData, origin: Array, rays: Array) -> None:
        """Find what unit `rays` (n, 3) from `origin` (3,) hit first; fills geoms, distances and normals."""
        mujoco.mj_multiRay(
            self.model,
            data,
            origin,
            rays.ravel(),
            _GROUPS,
            1,
            -1,
            self.geoms,
            self.distances,
            self._normals,
            self.count,
            1e10,
        )

    @property
    def normals(self) -> Array:
        """Surface normals (n, 3) in the world."""
        return self._normals.reshape(-1, 3)

    def colours(self) -> Array:
        """Colour (n, 3) of what was hit, 0 … 1, before shading."""
        table = np.vstack([self.model.geom_rgba[:, :3], SKY]).astype(np.float32)
        return np.asarray(table[self.geoms])

    def shade(self, rays: Array) -> Array:
        """Brightness (n,) of what was hit: ambient, at the camera, the model's first light (Lambert)."""
        towards = -self.model.light_dir[0]
        head = np.abs(np.einsum("ij,ij->i", self.normals, rays))
        sun = np.maximum(self.normals @ towards, 0.0)
        brightness = AMBIENT + HEAD * head + SUN * sun
        brightness[self.geoms < 0] = 1.0
        return np.asarray(brightness)


class RayRenderer:
    """One ray per delivered pixel with mj_multiRay, Lambert shading, no shadows."""

    def __init__(self, model: mujoco.MjModel, camera: CameraConfig, name: str) -> None:
        fx, fy, cx, cy = delivered(camera)
        self.shape = (camera.roi[3] // camera.binning, camera.roi[2] // camera.binning)
        self._camera = model.camera(name).id
        self.directions = pinhole(self.shape, fx, fy, cx, cy)
        self._caster = Caster(model, len(self.directions))
        self._board = board.painter(model, self._camera, (fx, fy, cx, cy), self.shape[1])

    def render(self, data: mujoco.MjData) -> Image:
        """The image (H, W, 3) uint8 RGB."""
        rays = self._cast(data)
        colours = self._caster.colours()
        if self._board is not None:
            pixels, grey = self._board.reflectance(data, self._caster.geoms)
            colours[pixels] = grey[:, None]
        return to_image(colours * self._caster.shade(rays).astype(np.float32)[:, None], self.shape)

    def segment(self, data: mujoco.MjData) -> NDArray[np.int32]:
        """Which geom each pixel (H, W) shows; -1 is the sky."""
        self._cast(data)
        return self._caster.geoms.reshape(self.shape).copy()

    def close(self) -> None:
        """Nothing to let go of."""

    def _cast(self, data: mujoco.MjData) -> Array:
        rotation = data.cam_xmat[self._camera].reshape(3, 3)
        rays = self.directions @ rotation.T
        self._caster.cast(data, data.cam_xpos[self._camera].copy(), rays)
        return np.asarray(rays)


class GlRenderer:
    """MuJoCo's OpenGL renderer with the same intrinsics; needs EGL or OSMesa (MUJOCO_GL). Raises RenderError."""

    def __init__(self, model: mujoco.MjModel, camera: CameraConfig, name: str) -> None:
        height, width = camera.roi[3] // camera.binning, camera.roi[2] // camera.binning
        self._name = name
        if mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, board.NAME) >= 0:
            raise RenderError("twin.board is painted by ray casting only: use twin.renderer=ray")
        try:
            self._renderer = mujoco.Renderer(model, height, width)
        except (AttributeError, ImportError, RuntimeError, mujoco.FatalError) as error:
            raise RenderError(
                f"no OpenGL for twin.renderer=gl ({error}). Set MUJOCO_GL=osmesa (package libosmesa6) or "
                "MUJOCO_GL=egl (libegl1 and libgl1), or use twin.renderer=ray, which needs none"
            ) from None

    def render(self, data: mujoco.MjData) -> Image:
        """The image (H, W, 3) uint8 RGB."""
        self._renderer.update_scene(data, self._name)
        return np.asarray(self._renderer.render())

    def close(self) -> None:
        """Close the OpenGL context."""
        self._renderer.close()


def pinhole(shape: tuple[int, int], fx: float, fy: float, cx: float, cy: float) -> Array:
    """Unit rays (H·W, 3) through the pixel centres in MuJoCo's camera frame (x right, y up, z backward)."""
    v, u = np.mgrid[: shape[0], : shape[1]].astype(float)
    rays = np.stack([(u - cx) / fx, -(v - cy) / fy, -np.ones(shape)], axis=-1).reshape(-1, 3)
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))


def to_image(colours: Array, shape: tuple[int, int]) -> Image:
    """Colours (H·W, 3) 0 … 1 as an image (H, W, 3) uint8."""
    return np.asarray((np.clip(colours, 0.0, 1.0) * 255).astype(np.uint8).reshape(*shape, 3))
