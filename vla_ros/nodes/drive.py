"""Leads the arm from pose to pose through the teleop input, and so the governor, and takes pictures while it stands."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TwistStamped
from sensor_msgs.msg import Image as ImageMessage
from sensor_msgs.msg import JointState

from vla_ros.calibration.way import gap, way
from vla_ros.clock import SECOND
from vla_ros.config import Config
from vla_ros.episodes.replay import Track
from vla_ros.geometry import Array, Pose
from vla_ros.nodes import convert
from vla_ros.nodes.client import Client, ServiceError
from vla_ros.nodes.process import newest
from vla_ros.nodes.sway import GRACE, RATE
from vla_ros.values import JOINTS, ZERO_TWIST, Image

GAIN = 2.0
"""1/s on what is missing: stable up to a delay of 0.18 s (1/(e·delay))."""
NEAR, TURNED = 0.002, 0.01
"""m and rad within which a pose counts as reached: where the arm really is, is measured."""
STUCK = 4.0
"""s after the end of a way in which the pose must be reached, or something holds the arm."""
STILL, STANDING = 0.005, 0.3
"""rad/s below which every joint must have been, and for how long, s, before the arm counts as standing."""
SETTLE = 10.0
SETTLED = 0.3
"""s from standing to a picture that counts: a camera's stamps may be late by as much before they are calibrated."""


@dataclass(frozen=True)
class Shot:
    """A picture (H, W, 3) that was exposed while the arm stood at `tool` with `joints` (7,)."""

    image: Image
    tool: Pose
    joints: Array


class Driver:
    """Holds the clutch of the service that `client` talks to, and listens to its arm and to one camera, if one is named."""

    def __init__(self, client: Client, config: Config, camera: str = "") -> None:
        self.client, self._config = client, config
        self.joints: Array = np.zeros(0)
        self.gripper = 0.0
        self._pose: Pose | None = None
        self._poses: deque[Pose] = deque(maxlen=20)
        self._still_since, self._followed = 0.0, 0.0
        self._image: tuple[int, ImageMessage] | None = None
        self._forces: deque[tuple[int, Array]] = deque(maxlen=50)
        node = client.node
        self._twist = node.create_publisher(TwistStamped, "/teleop/twist", newest(reliable=False))
        self._grip = node.create_publisher(JointState, "/teleop/gripper", newest(reliable=False))
        node.create_subscription(PoseStamped, "/arm/tool_pose", self._hear_pose, newest(reliable=False))
        node.create_subscription(JointState, "/joint_states", self._hear_joints, newest(reliable=False))
        node.create_subscription(DiagnosticArray, "/arm/status", self._hear_status, newest(depth=10))
        if camera:
            settings = config.cameras[camera]
            self._camera, self._rate = camera, settings.rate
            self._shape = settings.roi[3] // settings.binning, settings.roi[2] // settings.binning
            node.create_subscription(ImageMessage, settings.image_topic, self._hear_image, newest())

    @property
    def tool(self) -> Pose:
        """Where the tool is. Raises ServiceError where the arm says nothing."""
        if not self.client.wait(lambda: self._pose is not None and self.joints.size > 0, 5.0) or self._pose is None:
            raise ServiceError("nothing comes on /arm/tool_pose and /joint_states: is the arm node running?")
        return self._pose

    def go(self, goal: Pose) -> bool:
        """Lead the tool to a pose and let it come to rest; False where something holds it before it is there. Raises ServiceError."""
        line = way(self.tool, goal, self._config.limits)
        reached = self._lead(
            lambda t: line.twist(t) + GAIN * gap(line.at(t), self.tool),
            lambda t: t > line.seconds and _near(goal, self.tool),
            line.seconds + STUCK,
        )
        self.settle()
        return reached

    def follow(self, track: Track) -> float:
        """Lead the tool along a recorded way from its beginning: by how much it was off at most, m. Raises ServiceError.

        The distance is to where the tool should be at that moment, so it holds the delay of the arm as well.
        """
        off = 0.0

        def twist(t: float) -> Array:
            nonlocal off
            missing = gap(track.at(t), self.tool)
            off = max(off, float(np.linalg.norm(missing[:3])))
            return track.twist(t) + GAIN * missing

        self._lead(twist, lambda t: t >= track.seconds, track.seconds + STUCK, track.gripper)
        self.settle()
        return off

    def settle(self) -> None:
        """Hold still until every joint stands. Raises ServiceError where they do not."""
        self._still_since = time.monotonic()
        if not self._lead(lambda t: ZERO_TWIST, lambda t: time.monotonic() - self._still_since > STANDING, SETTLE):
            raise ServiceError(f"the arm does not come to rest within {SETTLE:.0f} s: {self.client.arm.message}")

    def descend(self, speed: float, seconds: float, force: float) -> Pose | None:
        """Lead the tool down at `speed` m/s until it is pushed up by `force` N more than before; the pose in which it touches.

        None where nothing was touched in so many seconds. Raises ServiceError.
        """
        free = self.force(0.5)
        down = np.array([0.0, 0.0, -speed, 0.0, 0.0, 0.0])
        self._forces.clear()
        if not self._lead(lambda t: down, lambda t: self._pushed() - free[2] > force, seconds):
            return None
        self.settle()
        self._poses.clear()
        self._hold(lambda: len(self._poses) >= 10, 2.0)
        return self._mean()

    def force(self, seconds: float) -> Array:
        """Mean force (3,) N on the tool over that long, at rest, as the arm reports it. Raises ServiceError where it does not."""
        self._forces.clear()
        self._hold(lambda: False, seconds)
        if not self._forces:
            raise ServiceError("no force comes on /arm/status: start the service anew, or touch by hand with --by-hand")
        return np.asarray(np.mean([force for _, force in self._forces], axis=0))

    def grip(self, target: float, seconds: float = 3.0) -> None:
        """Move the gripper to `target`, 0 open … 1 closed. Raises ServiceError where it does not get within 0.1 of it."""
        if not self._lead(lambda t: ZERO_TWIST, lambda t: abs(self.gripper - target) < 0.1, seconds, target):
            raise ServiceError(
                f"the gripper is at {self.gripper:.2f} and does not move to {target:.2f}: is something in it?"
            )
        self._hold(lambda: False, 0.5)

    def shoot(self) -> Shot:
        """The first picture that was surely exposed while the arm stood. Raises ServiceError where none comes."""
        since = self._now() + int(SETTLED * SECOND)
        self._poses.clear()
        patience = 3 / self._rate + 5.0
        if not self._hold(lambda: self._image is not None and self._image[0] >= since, patience):
            raise ServiceError(f"no picture of camera {self._camera} comes within {patience:.0f} s: is it running?")
        return self._shot()

    def watch(self) -> Shot | None:
        """A picture that has not been seen yet, or None when none comes within two periods. The arm is left alone."""
        self._image = None
        self.client.wait(lambda: self._image is not None, 2 / self._rate + 0.5)
        return None if self._image is None else self._shot()

    def rest(self) -> None:
        """Leave the arm at rest, whatever happened: called at the end, also after Ctrl-C."""
        for _ in range(round(0.3 * RATE)):
            self._say(ZERO_TWIST, None)
            time.sleep(1 / RATE)

    def _shot(self) -> Shot:
        assert self._image is not None
        image = convert.to_image(self._image[1], self._shape).copy()
        return Shot(image, self._mean(), self.joints.copy())

    def _mean(self) -> Pose:
        """The tool where it stood lately: the median place, and the newest turn."""
        tool = self.tool
        if not self._poses:
            return tool
        return Pose(np.median([pose.position for pose in self._poses], axis=0), tool.quaternion)

    def _hold(self, done: Callable[[], bool], seconds: float) -> bool:
        """Hold still until it is done, or that long."""
        return self._lead(lambda t: ZERO_TWIST, lambda t: done(), seconds)

    def _lead(
        self,
        twist: Callable[[float], Array],
        done: Callable[[float], bool],
        seconds: float,
        gripper: float | Callable[[float], float] | None = None,
    ) -> bool:
        """Say twist(t) until done(t); False where it is not within `seconds`. Raises ServiceError where nobody follows."""
        began, due = time.monotonic(), 0.0
        self._followed = 0.0
        while (t := time.monotonic() - began) < seconds:
            if done(t):
                return True
            if t >= due:
                due = max(due + 1 / RATE, t)
                self._say(twist(t), gripper(t) if callable(gripper) else gripper)
                self._check(t)
            self.client.spin(max(0.0, min(due, seconds) - t))
        return False

    def _check(self, t: float) -> None:
        mode = self.client.arm.values.get("mode", "")
        if mode == "TELEOP":
            self._followed = t
        if t - self._followed > GRACE:
            raise ServiceError(f"the arm does not follow the teleop input: {mode.lower()}: {self.client.arm.message}")

    def _say(self, twist: Array, gripper: float | None) -> None:
        stamp = self._now()
        self._twist.publish(convert.from_twist(twist, stamp))
        if gripper is not None:
            message = JointState(name=[convert.GRIPPER], position=[gripper])
            message.header.stamp = convert.to_time(stamp)
            self._grip.publish(message)

    def _now(self) -> int:
        return int(self.client.node.get_clock().now().nanoseconds)

    def _pushed(self) -> float:
        """N by which the tool is pushed up now; nothing as long as the arm has not said."""
        return float(self._forces[-1][1][2]) if self._forces else -np.inf

    def _hear_pose(self, message: PoseStamped) -> None:
        self._pose = convert.to_pose(message.pose)
        self._poses.append(self._pose)

    def _hear_joints(self, message: JointState) -> None:
        if convert.GRIPPER not in message.name or len(message.position) <= JOINTS:
            return
        self.joints = np.array(message.position[:JOINTS])
        self.gripper = float(message.position[list(message.name).index(convert.GRIPPER)])
        if np.abs(message.velocity[:JOINTS]).max(initial=0.0) > STILL:
            self._still_since = time.monotonic()

    def _hear_status(self, message: DiagnosticArray) -> None:
        for status in convert.named(message, "arm"):
            values = convert.values(status)
            if "force_z_n" in values:
                force = np.array([float(values[f"force_{axis}_n"]) for axis in "xyz"])
                self._forces.append((convert.from_time(message.header.stamp), force))

    def _hear_image(self, message: ImageMessage) -> None:
        self._image = convert.from_time(message.header.stamp), message


def _near(goal: Pose, here: Pose) -> bool:
    missing = gap(goal, here)
    return bool(np.linalg.norm(missing[:3]) < NEAR and np.linalg.norm(missing[3:]) < TURNED)
