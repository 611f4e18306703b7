"""The only conversions between ROS messages and the words of the house.

An action chunk travels as a MultiDOFJointTrajectory with the joints `tool` and `gripper`: the tool's pose in transforms[0], the
gripper (0 open … 1 closed) in transforms[1].translation.x, and target k at stamp + (k + 1)·step. Points that may be played carry
`velocities`, the way there divided by the step; the points behind them are a preview and carry none. A trajectory without any
velocities may be played whole; one without points says that there is nothing to do.
"""

from __future__ import annotations

import array
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from builtin_interfaces.msg import Duration
from builtin_interfaces.msg import Time as TimeMessage
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Pose as PoseMessage
from geometry_msgs.msg import PoseStamped, Transform, Twist, TwistStamped, Vector3
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, JointState, RegionOfInterest
from sensor_msgs.msg import Image as ImageMessage
from trajectory_msgs.msg import MultiDOFJointTrajectory, MultiDOFJointTrajectoryPoint

from vla_ros import geometry
from vla_ros.clock import SECOND
from vla_ros.episodes.depth import Depth, from_metres
from vla_ros.geometry import Array, Pose
from vla_ros.motion.admission import LONGEST
from vla_ros.values import JOINTS, ActionChunk, ArmState, Image, Intrinsics, Teleop

BASE_FRAME = "base_link"
GRIPPER = "gripper"
JOINT_NAMES = [*(f"joint_{i + 1}" for i in range(JOINTS)), GRIPPER]
CHUNK_JOINTS = ["tool", GRIPPER]
ENCODINGS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}
"""Bytes of a pixel (sensor_msgs/image_encodings.hpp)."""
NO_DISTORTION = (0.0,) * 5
TOOL_FRAMES = ("tool", "tool_frame", "end_effector_link")
"""Frame ids of a teleop twist that is given in the tool's frame."""


class MessageError(Exception):
    """A message that does not hold what it must. The text names the field, what it holds, and what is wanted."""


def to_time(stamp: int) -> TimeMessage:
    """Nanoseconds as a message."""
    seconds, nanoseconds = divmod(stamp, SECOND)
    return TimeMessage(sec=seconds, nanosec=nanoseconds)


def from_time(message: TimeMessage) -> int:
    """Nanoseconds of a stamp."""
    return int(message.sec) * SECOND + int(message.nanosec)


class ImageWriter:
    """One rgb8 message whose memory is used again for every frame."""

    def __init__(self, shape: tuple[int, int], frame_id: str) -> None:
        height, width = shape
        self._message = ImageMessage(height=height, width=width, encoding="rgb8", step=3 * width)
        self._message.header.frame_id = frame_id
        self._message.data = array.array("B", bytes(3 * width * height))
        # the setter copied, so the view is taken from what the message holds
        self._view = np.frombuffer(self._message.data, np.uint8).reshape(height, width, 3)

    def write(self, image: Image, stamp: int) -> ImageMessage:
        """The message with this RGB image (H, W, 3); it is valid until the next call. `stamp` in ROS time, ns."""
        if image.shape != self._view.shape:
            raise MessageError(
                f"the camera gave an image of shape {image.shape}, its configuration says {self._view.shape}"
            )
        self._view[:] = image
        self._message.header.stamp = to_time(stamp)
        return self._message


def from_depth(depth: NDArray[np.float32], stamp: int, frame_id: str) -> ImageMessage:
    """A 32FC1 image of depth (H, W) in m, NaN where unknown (REP 118). `stamp` in ROS time, ns."""
    height, width = depth.shape
    message = ImageMessage(height=height, width=width, encoding="32FC1", step=4 * width, is_bigendian=0)
    message.header.stamp, message.header.frame_id = to_time(stamp), frame_id
    message.data = array.array("B", depth.astype("<f4").tobytes())
    return message


def to_depth(message: ImageMessage) -> Depth:
    """Depth (H, W) in mm, 0 where unknown, of a message 32FC1 in m or 16UC1 in mm (REP 118). Raises MessageError for others."""
    kinds = {"32FC1": ">f4" if message.is_bigendian else "<f4", "16UC1": ">u2" if message.is_bigendian else "<u2"}
    if message.encoding not in kinds:
        raise MessageError(f"encoding of depth is {message.encoding!r}: publish {' or '.join(kinds)}")
    kind = np.dtype(kinds[message.encoding])
    width = message.step // kind.itemsize
    if width < message.width or len(message.data) != message.height * message.step or message.step % kind.itemsize:
        raise MessageError(
            f"depth holds {len(message.data)} bytes with step {message.step} for {message.width}×{message.height} pixels"
        )
    values = np.frombuffer(message.data, kind).reshape(message.height, width)[:, : message.width]
    return from_metres(values) if message.encoding == "32FC1" else values.astype(np.uint16)


def to_image(message: ImageMessage, shape: tuple[int, int]) -> Image:
    """The RGB image (H, W, 3) of a message in one of ENCODINGS, without a copy. Raises MessageError unless it is of `shape` (H, W)."""
    if message.encoding not in ENCODINGS:
        raise MessageError(f"encoding is {message.encoding!r}: publish {', '.join(ENCODINGS)}")
    if (message.height, message.width) != shape:
        raise MessageError(f"size is {message.width}×{message.height}, wanted is {shape[1]}×{shape[0]}")
    (height, width), size = shape, ENCODINGS[message.encoding]
    if message.step < size * width or len(message.data) != height * message.step:
        raise MessageError(f"data holds {len(message.data)} bytes with step {message.step} for {width}×{height} pixels")
    rows = np.frombuffer(message.data, np.uint8).reshape(height, message.step)
    return _rgb(rows[:, : size * width].reshape(height, width, size), message.encoding)


def _rgb(pixels: Image, encoding: str) -> Image:
    if encoding == "mono8":
        return np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    return pixels[:, :, 2::-1] if encoding.startswith("bgr") else pixels[:, :, :3]


def from_intrinsics(camera: Intrinsics, frame_id: str) -> CameraInfo:
    """A CameraInfo; width, height and K are those of the full sensor."""
    x, y, width, height = camera.roi
    message = CameraInfo(width=camera.width, height=camera.height)
    message.d = list(camera.distortion or NO_DISTORTION)
    message.distortion_model = "rational_polynomial" if len(message.d) == 8 else "plumb_bob"
    message.k = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [camera.fx, 0.0, camera.cx, 0.0, 0.0, camera.fy, camera.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    message.binning_x = message.binning_y = camera.binning
    message.roi = RegionOfInterest(x_offset=x, y_offset=y, width=width, height=height)
    message.header.frame_id = frame_id
    return message


def to_intrinsics(message: CameraInfo) -> Intrinsics:
    """The camera of a CameraInfo; a roi of zeros is the full sensor, a binning of zero is one, as the message defines.

    A distortion of zeros is none, and so is one of a model that we do not know.
    """
    if message.binning_x != message.binning_y:
        raise MessageError(f"binning is {message.binning_x}×{message.binning_y}: both must be the same")
    roi = (message.roi.x_offset, message.roi.y_offset, message.roi.width, message.roi.height)
    full = (0, 0, message.width, message.height)
    k = message.k
    return Intrinsics(
        message.width, message.height, float(k[0]), float(k[4]), float(k[2]), float(k[5]),
        roi if any(roi) else full, max(1, message.binning_x), _distortion(message),
    )  # fmt: skip


def _distortion(message: CameraInfo) -> tuple[float, ...]:
    known = message.distortion_model in ("plumb_bob", "rational_polynomial") and len(message.d) in (5, 8)
    return tuple(message.d) if known and any(message.d) else ()


def from_pose(pose: Pose) -> PoseMessage:
    """A pose as a message."""
    message = PoseMessage()
    message.position.x, message.position.y, message.position.z = pose.position.tolist()
    q = message.orientation
    q.x, q.y, q.z, q.w = pose.quaternion.tolist()
    return message


def to_pose(message: PoseMessage) -> Pose:
    """The pose of a message."""
    p, q = message.position, message.orientation
    return Pose(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))


def from_arm(arm: ArmState, stamp: int) -> tuple[JointState, PoseStamped]:
    """Joints, the gripper (0 open … 1 closed) among them, and tool pose, both at `stamp` in ROS time, ns."""
    joints = JointState(name=JOINT_NAMES)
    joints.position = [*arm.joints.tolist(), arm.gripper]
    joints.velocity = [*arm.velocities.tolist(), 0.0]
    joints.effort = [*arm.torques.tolist(), 0.0]
    tool = PoseStamped(pose=from_pose(arm.tool))
    for message in (joints, tool):
        message.header.frame_id = BASE_FRAME
        message.header.stamp = to_time(stamp)
    return joints, tool


def to_arm(joints: JointState, tool: PoseStamped, stamp: int) -> ArmState:
    """The arm's state at `stamp` (ns, the receiver's clock). What is not on these topics, the force, is zero. Raises MessageError."""
    position, velocity, effort = (_by_name(joints, part) for part in ("position", "velocity", "effort"))
    return ArmState(
        stamp,
        position[:JOINTS],
        velocity[:JOINTS],
        effort[:JOINTS],
        to_pose(tool.pose),
        float(position[JOINTS]),
        np.zeros(3),
    )


def _by_name(joints: JointState, part: str) -> Array:
    values = dict(zip(joints.name, getattr(joints, part), strict=False))
    if part != "position":
        return np.array([values.get(name, 0.0) for name in JOINT_NAMES])
    missing = [name for name in JOINT_NAMES if name not in values]
    if missing:
        raise MessageError(f"joint_states lacks {', '.join(missing)}: publish {', '.join(JOINT_NAMES)}")
    return np.array([values[name] for name in JOINT_NAMES])


def from_twist(twist: Array, stamp: int, in_tool: bool = False) -> TwistStamped:
    """A tool twist (6,) m/s and rad/s in the base frame, or in the tool's, at `stamp` in ROS time, ns."""
    message = TwistStamped(twist=_twist(twist))
    message.header.frame_id = TOOL_FRAMES[0] if in_tool else BASE_FRAME
    message.header.stamp = to_time(stamp)
    return message


def to_teleop(message: TwistStamped, stamp: int, gripper: float | None) -> Teleop:
    """The wish of a teleop device. Raises MessageError for a frame that is neither the base nor the tool."""
    frame, t = message.header.frame_id, message.twist
    if frame not in ("", BASE_FRAME, *TOOL_FRAMES):
        raise MessageError(f"frame_id is {frame!r}: wanted is {BASE_FRAME!r} or {TOOL_FRAMES[0]!r}")
    twist = np.array([t.linear.x, t.linear.y, t.linear.z, t.angular.x, t.angular.y, t.angular.z])
    return Teleop(stamp, twist, gripper, frame in TOOL_FRAMES)


def from_gripper(position: float, stamp: int) -> JointState:
    """A gripper position (0 open … 1 closed) at `stamp` in ROS time, ns."""
    message = JointState(name=[GRIPPER], position=[position])
    message.header.stamp = to_time(stamp)
    return message


def to_gripper(message: JointState) -> float:
    """The gripper position (0 open … 1 closed) of a teleop device. Raises MessageError."""
    if GRIPPER not in message.name or len(message.position) != len(message.name):
        raise MessageError(f"names are {list(message.name)}: wanted is {GRIPPER!r} with its position")
    return float(message.position[list(message.name).index(GRIPPER)])


def _twist(twist: Array) -> Twist:
    x, y, z, a, b, c = twist.tolist()
    return Twist(linear=Vector3(x=x, y=y, z=z), angular=Vector3(x=a, y=b, z=c))


def from_chunk(chunk: ActionChunk, stamp: int) -> MultiDOFJointTrajectory:
    """The chunk as a message stamped `stamp` in ROS time, ns: the moment that the chunk's own stamp is there."""
    message = MultiDOFJointTrajectory(joint_names=CHUNK_JOINTS)
    message.header.frame_id = BASE_FRAME
    message.header.stamp = to_time(stamp)
    velocities = _velocities(chunk)
    message.points = [_point(chunk, k, velocities) for k in range(len(chunk))]
    return message


def _point(chunk: ActionChunk, k: int, velocities: Array) -> MultiDOFJointTrajectoryPoint:
    tool, gripper = Transform(), Transform()
    x, y, z = chunk.positions[k].tolist()
    tool.translation = Vector3(x=x, y=y, z=z)
    q = tool.rotation
    q.x, q.y, q.z, q.w = chunk.quaternions[k].tolist()
    gripper.translation.x = float(chunk.grippers[k])
    point = MultiDOFJointTrajectoryPoint(transforms=[tool, gripper])
    seconds, nanoseconds = divmod((k + 1) * chunk.step, SECOND)
    point.time_from_start = Duration(sec=seconds, nanosec=nanoseconds)
    if k < chunk.execute:
        point.velocities = [_twist(velocities[k]), Twist()]
    return point


def _velocities(chunk: ActionChunk) -> Array:
    """Tool velocity (n, 6) on the way to each target; the first target's is that of the second."""
    n, seconds = len(chunk), chunk.step / SECOND
    rates = np.zeros((n, 6))
    if n < 2:
        return rates
    rates[1:, :3] = np.diff(chunk.positions, axis=0) / seconds
    pairs = itertools.pairwise(chunk.quaternions)
    rates[1:, 3:] = [geometry.difference(after, before) / seconds for before, after in pairs]
    rates[0] = rates[1]
    return rates


def to_chunk(
    message: MultiDOFJointTrajectory, stamp: int, sequence: int, policy: str = "", instruction: str = ""
) -> ActionChunk:
    """The chunk of a message; `stamp` is the message's in ns of the receiver's clock. Raises MessageError on another form."""
    if not message.points:
        return ActionChunk(stamp, 1, np.zeros((0, 3)), np.zeros((0, 4)), np.zeros(0), 1, policy, instruction, sequence)
    if list(message.joint_names) != CHUNK_JOINTS:
        raise MessageError(f"joint_names are {list(message.joint_names)}: wanted are {CHUNK_JOINTS}")
    if message.header.frame_id not in ("", BASE_FRAME):
        raise MessageError(f"frame_id is {message.header.frame_id!r}: wanted is {BASE_FRAME!r}")
    if len(message.points) > LONGEST:
        raise MessageError(f"{len(message.points)} points: at most {LONGEST} are taken")
    if any(len(point.transforms) != 2 for point in message.points):
        raise MessageError("every point must have two transforms: tool and gripper")
    tools = [point.transforms[0] for point in message.points]
    return ActionChunk(
        stamp,
        _step(message),
        np.array([[t.translation.x, t.translation.y, t.translation.z] for t in tools]),
        np.array([[t.rotation.x, t.rotation.y, t.rotation.z, t.rotation.w] for t in tools]),
        np.array([point.transforms[1].translation.x for point in message.points]),
        _playable(message),
        policy,
        instruction,
        sequence,
    )


def _step(message: MultiDOFJointTrajectory) -> int:
    times = [from_time(point.time_from_start) for point in message.points]  # a Duration has the fields of a Time
    step = times[0]
    if step <= 0 or any(abs(t - (k + 1) * step) > SECOND // 1_000_000 for k, t in enumerate(times)):
        raise MessageError("time_from_start must be step, 2·step, 3·step …")
    return step


def _playable(message: MultiDOFJointTrajectory) -> int:
    marked = [bool(point.velocities) for point in message.points]
    if not any(marked):
        return len(marked)
    execute = marked.index(False) if False in marked else len(marked)
    if any(marked[execute:]) or not execute:
        raise MessageError("points that may be played (those with velocities) must come first")
    return execute


def diagnostic(
    name: str, level: bytes, message: str, values: Mapping[str, object], hardware: str = ""
) -> DiagnosticStatus:
    """One status; numbers are written with six digits at most."""
    pairs = [KeyValue(key=key, value=_text(value)) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=message, hardware_id=hardware, values=pairs)


def diagnostics(stamp: int, statuses: Sequence[DiagnosticStatus]) -> DiagnosticArray:
    """Statuses at `stamp` in ROS time, ns."""
    message = DiagnosticArray(status=list(statuses))
    message.header.stamp = to_time(stamp)
    return message


def values(status: DiagnosticStatus) -> dict[str, str]:
    """The values of a status by name."""
    return {pair.key: pair.value for pair in status.values}


def number(text: str) -> float | None:
    """The number that a value is, NaN among them; None for infinity and for what is no number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isinf(value) else value


def named(message: DiagnosticArray, name: str) -> Iterator[DiagnosticStatus]:
    """The statuses of that name."""
    return (status for status in message.status if status.name == name)


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
