"""A camera's own copy of the scene: renders coordinates that come from a physics elsewhere."""

from __future__ import annotations

import mujoco

from vla_ros.config.schema import Config
from vla_ros.geometry import Array
from vla_ros.twin import scene, tasks
from vla_ros.twin.physics import OBJECTS
from vla_ros.twin.render import make_renderer
from vla_ros.values import Image

LOOK_ROWS = scene.LIGHT_ROW + 1 + len(tasks.NAMES)


class Eye:
    """Sees what the camera `name` would see. Raises RenderError where the configured renderer cannot work."""

    def __init__(self, config: Config, name: str) -> None:
        self._model = scene.build(config, OBJECTS)
        self._data = mujoco.MjData(self._model)
        self._renderer = make_renderer(self._model, config.cameras[name], name, config.twin.renderer)

    def paint(self, look: Array) -> None:
        """Take over the colours and the light of an episode (see tasks.Episode.look); rows beyond it are unused."""
        scene.paint(self._model, look[:LOOK_ROWS], tasks.NAMES)

    def render(self, coordinates: Array) -> Image:
        """The image (H, W, 3) uint8 RGB of the simulator's coordinates (nq, or more: the rest is unused)."""
        self._data.qpos[:] = coordinates[: self._model.nq]
        scene.update(self._model, self._data)
        return self._renderer.render(self._data)

    def close(self) -> None:
        """Let go of the renderer."""
        self._renderer.close()
