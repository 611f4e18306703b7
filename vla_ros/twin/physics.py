"""Physics of the twin, and the Gen3's own controller played on top of it.

The controller takes up a twist every 25 ms, integrates it to joint targets and goes on with the last one
until told otherwise, until `stop`, or until no command has come for `deadlines.connection`; position servos
follow the targets. Time is physics time in integer ns; nothing here reads a clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import mujoco
import numpy as np

from vla_ros import geometry, kinematics
from vla_ros.clock import SECOND
from vla_ros.config.schema import Config
from vla_ros.geometry import Array, Pose
from vla_ros.twin import board, scene, tasks
from vla_ros.twin import gripper as mechanism
from vla_ros.twin.controller.motion import Controller
from vla_ros.values import JOINTS, ArmState

FORCE_FILTER = 0.020
"""Time constant, s, of the external torques that the tool force is estimated from."""
OBJECTS = tuple(scene.ObjectSpec(name, half=tasks.CUBE / 2) for name in tasks.NAMES)


class Twin:
    """The simulated arm on its table. Poses in the base frame, m and quaternions xyzw."""

    def __init__(
        self, config: Config, seed: int = 0, controller: Callable[[Config, Array, int], Controller] = Controller
    ) -> None:
        self.config = config
        self._make_controller = controller
        self.model = scene.build(config, OBJECTS)
        self.data = mujoco.MjData(self.model)
        self.table = config.workspace.table + config.twin.table_offset
        self.fault = ""
        self._step = round(config.twin.timestep * SECOND)
        self._addresses = {o.name: self.model.joint(self.model.body(o.name).jntadr[0]).qposadr[0] for o in OBJECTS}
        self._smoothing = config.twin.timestep / FORCE_FILTER
        self.reset(tasks.sample(seed))

    def reset(self, episode: tasks.Episode, now: int = 0) -> None:
        """Begin an episode at physics time `now`: cubes placed, tool at its start, at rest, gripper open."""
        self.episode, self.now = episode, now
        self._external: Array = np.zeros(JOINTS)
        scene.paint(self.model, episode.look(), tasks.NAMES)
        mujoco.mj_resetData(self.model, self.data)
        joints = kinematics.inverse_kinematics(start_pose(episode))
        self.data.qpos[:JOINTS] = joints
        self.data.ctrl[:JOINTS] = joints
        aside = self.config.twin.cleared or self.config.twin.board
        for row, (name, cube) in enumerate(zip(tasks.NAMES, episode.cubes, strict=True)):
            x, y = board.ASIDE[row] if aside else (cube.x, cube.y)
            self.place(name, np.array([x, y, self.table + tasks.CUBE / 2]), cube.yaw)
        self.controller = self._make_controller(self.config, joints, now)
        mujoco.mj_forward(self.model, self.data)

    def place(self, name: str, position: Array, yaw: float) -> None:
        """Put an object at `position` (3,) m, at rest, turned by `yaw` rad about the vertical."""
        start = self._addresses[name]
        self.data.qpos[start : start + 7] = [*position, math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)]
        velocity = self.model.body(name).dofadr[0]
        self.data.qvel[velocity : velocity + 6] = 0.0

    def command(self, now: int, twist: Array, gripper: float) -> None:
        """Tool twist (6,) m/s and rad/s in the base frame, gripper 0 open … 1 closed, sent at `now`."""
        self.controller.command(now, twist, gripper)

    def stop(self, now: int) -> None:
        """Bring the arm to rest within the controller's own limits; the next command moves it again."""
        self.controller.stop()

    def advance(self, to: int) -> None:
        """Step the physics until its time is `to` ns or less than a step before it."""
        model, data, controller = self.model, self.data, self.controller
        while self.now + self._step <= to:
            controller.fault = bool(self.fault)
            data.ctrl[:JOINTS] = controller.step(self.now, self._step)
            data.ctrl[JOINTS] = controller.finger_target(float(data.qpos[JOINTS]), self._step)
            mujoco.mj_step(model, data)
            self.now += self._step
            self._external += self._smoothing * (data.qfrc_constraint[:JOINTS] - self._external)
        scene.update(model, data)  # mj_step leaves the poses of its beginning; cameras see those of its end

    def state(self) -> ArmState:
        """What the arm would report now: tool pose from the joints, force from foreign torques."""
        return self.sensed()[0]

    def sensed(self) -> tuple[ArmState, kinematics.Kinematics]:
        """What the arm would report now, and the kinematics behind it."""
        data = self.data
        joints = data.qpos[:JOINTS].copy()
        k = kinematics.kinematics(joints)
        torques = data.qfrc_actuator[:JOINTS] + data.qfrc_gravcomp[:JOINTS]
        fingers = float(data.qpos[JOINTS]) / mechanism.CLOSED
        velocities = data.qvel[:JOINTS].copy()
        state = ArmState(
            self.now,
            kinematics.wrapped(joints),
            velocities,
            torques,
            k.tool,
            min(max(fingers, 0.0), 1.0),
            self._force(k),
            self.fault,
        )
        return state, k

    def _force(self, k: kinematics.Kinematics) -> Array:
        """Force (3,) N that the joints' external torques amount to at the tool, by damped least squares."""
        gram = k.jacobian @ k.jacobian.T + 1e-4 * np.eye(6)
        return np.asarray(np.linalg.solve(gram, k.jacobian @ self._external)[:3])

    @property
    def gripper_speed(self) -> float:
        """Rate of the gripper position, 1/s, closing positive."""
        return float(self.data.qvel[JOINTS]) / mechanism.CLOSED

    def object_position(self, name: str) -> Array:
        """Centre (3,) m of an object in the base frame."""
        start = self._addresses[name]
        return self.data.qpos[start : start + 3].copy()

    def object_yaw(self, name: str) -> float:
        """Turn of an object about the vertical, rad."""
        start = self._addresses[name]
        w, x, y, z = self.data.qpos[start + 3 : start + 7].tolist()
        return math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))

    def snapshot(self) -> Array:
        """Everything that decides what happens next, as one flat array; `restore` goes back to it."""
        physics = np.empty(mujoco.mj_stateSize(self.model, mujoco.mjtState.mjSTATE_INTEGRATION))
        mujoco.mj_getState(self.model, self.data, physics, mujoco.mjtState.mjSTATE_INTEGRATION)
        return np.concatenate([[self.now], self._external, self.controller.snapshot(), physics])

    def restore(self, snapshot: Array) -> None:
        """Go back to a snapshot of the same episode."""
        own = 1 + JOINTS
        controller = own + Controller.SIZE
        self.now, self._external = int(snapshot[0]), snapshot[1:own].copy()
        self.controller.restore(snapshot[own:controller])
        mujoco.mj_setState(self.model, self.data, snapshot[controller:], mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_forward(self.model, self.data)


def start_pose(episode: tasks.Episode) -> Pose:
    """Where the tool begins."""
    tilt = geometry.exp(np.array(episode.tool_tilt))
    return Pose(np.array(episode.tool_position), geometry.multiply(tilt, kinematics.TOOL_DOWN))
